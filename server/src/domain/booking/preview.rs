use super::backend::{DUE_HOLDS, latest};
use super::decide::{Ledger, Loaded};
use super::{Command, Outcome, Request};
use crate::domain::Error;
use crate::model::{Hold, Mode, Record, RecordId};
use crate::store::{LedgerRow, Store};

/// What a transno names already.
#[derive(Debug, Clone, Default)]
pub struct Earlier {
    /// A record.
    pub record: Option<Record>,
    /// A hold.
    pub hold: Option<Hold>,
}

/// The holds of a customer that a booking would close first.
pub async fn due_holds(store: &Store, row: &LedgerRow) -> Result<Vec<Hold>, Error> {
    let until = latest(std::slice::from_ref(row));
    Ok(store.due_holds(&row.customer.id, until, DUE_HOLDS).await?)
}

/// What a booking would come to if it were made now, without making it.
pub fn preview(
    customer: LedgerRow,
    due_holds: Vec<Hold>,
    earlier: Earlier,
    request: Request,
    default_mode: Mode,
) -> Result<Outcome, Error> {
    let Earlier { record, hold } = earlier;
    let loaded = Loaded {
        customers: vec![customer],
        records: record.into_iter().collect(),
        holds: hold.into_iter().collect(),
        due_holds,
        ..Loaded::default()
    };
    let command = Command::new(request, RecordId(uuid::Uuid::nil()));
    Ledger::new(loaded, default_mode).decide_one(&command)
}
