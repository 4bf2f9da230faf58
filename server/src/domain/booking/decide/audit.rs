//! The entry that a booking of an administrator leaves in the audit log.

use serde_json::json;

use super::super::command::Command;
use super::super::outcome::{Booked, Outcome};
use super::Ledger;
use crate::model::{AuditEntry, AuditFields, ObjectKind, Owner, audit_diff};

impl Ledger {
    /// Audits what was booked just now. The entry has the id of the record, which was chosen with the command: an attempt
    /// whose COMMIT was lost and the one after it write one entry.
    pub(super) fn audited(&mut self, command: &Command, booked: Booked) -> Outcome {
        if let Some(actor) = &command.actor {
            let record = &booked.record;
            let before = record.balance_after.checked_add(record.delta.negated()).unwrap_or_default();
            let (before, after) = (
                json!({ "balance": before }),
                json!({
                    "balance": record.balance_after,
                    "transno": record.transno.as_str(),
                    "amount": record.amount,
                    "currency": record.currency,
                    "note": record.details.note,
                }),
            );
            let fields =
                |value: serde_json::Value| -> AuditFields { value.as_object().cloned().unwrap_or_default() };
            let diff = audit_diff(Some(&fields(before)), Some(&fields(after))).unwrap_or_default();
            let customer = record.customer_id.clone();
            self.changes.audit.push(AuditEntry::of(
                actor,
                (record.id, record.created_at),
                record.kind.as_str(),
                (ObjectKind::Customer, record.customer_id.as_str()),
                Owner::Customer(customer),
                diff,
            ));
        }
        Outcome::Booked(booked)
    }
}
