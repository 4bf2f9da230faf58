use super::decide::{Found, Ledger};
use super::{Command, Outcome, Request};
use crate::domain::Error;
use crate::model::{Hold, Mode, Record, RecordId};
use crate::store::LedgerRow;

/// What a transno names already.
#[derive(Debug, Clone, Default)]
pub struct Earlier {
    /// A record.
    pub record: Option<Record>,
    /// A hold.
    pub hold: Option<Hold>,
}

/// What a booking would come to if it were made now, without making it.
pub fn preview(
    customer: LedgerRow,
    earlier: Earlier,
    request: Request,
    default_mode: Mode,
) -> Result<Outcome, Error> {
    let Earlier { record, hold } = earlier;
    let found = Found {
        customers: vec![customer],
        records: record.into_iter().collect(),
        holds: hold.into_iter().collect(),
        ..Found::default()
    };
    let command = Command { request, id: RecordId(uuid::Uuid::nil()) };
    Ledger::new(found, default_mode).decide_one(&command)
}
