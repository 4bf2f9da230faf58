use super::backend::{DUE_HOLDS, latest};
use super::command::Command;
use super::decide::{Ledger, Loaded};
use super::outcome::Outcome;
use super::request::Request;
use super::rules::Rules;
use crate::domain::{Error, accounts, holds};
use crate::model::RecordId;
use crate::store::Store;

/// What a booking would come to if it were made now; nothing is written.
pub async fn preview(store: &Store, request: Request, rules: Rules) -> Result<Outcome, Error> {
    let id = &request.customer_id;
    let customers = vec![store.ledger_row(id).await?.ok_or(Error::NotFound("customer"))?];
    let due_holds = store.due_holds(id, latest(&customers), DUE_HOLDS).await?;
    let mut loaded = Loaded { customers, due_holds, ..Loaded::default() };
    if let Some(transno) = request.action.transno() {
        loaded.records.extend(accounts::by_transno(store, id, transno).await?);
        loaded.holds.extend(holds::by_transno(store, id, transno).await?);
    }
    let command = Command::new(request, RecordId(uuid::Uuid::nil()));
    Ledger::new(loaded, rules).decide_one(&command)
}
