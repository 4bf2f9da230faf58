//! One function an operation: typed parameters, one call of the server, a typed answer.

mod accounting;
mod balance;
mod batch;
mod events;
mod health;
mod holds;
mod models;
mod pricing;
mod uapis;
mod users;
mod whoami;

use bytes::Bytes;
use http::StatusCode;
use std::sync::LazyLock;

use crate::domain::Error;

use super::call::Call;
use super::docs;
use super::openapi;
use super::respond::{Answer, Tag};
use super::routes::Operation;

pub use health::answer as health_answer;

/// Does what a route is for. The handlers' futures are put in boxes, but for that of the route that must be quickest:
/// this future has room for the largest of those that are not, and is moved a few times before it runs.
pub async fn run(operation: Operation, call: Call<'_>) -> Result<Answer, Error> {
    match operation {
        Operation::Health => Box::pin(health::answer(call.env)).await,
        Operation::OpenApi => Ok(openapi_document()),
        Operation::Docs => Ok(docs::answer()),
        Operation::WhoAmI => whoami::get(&call),
        Operation::GetBalance => balance::get(call).await,
        Operation::ListUsers => Box::pin(users::list(call)).await,
        Operation::GetUser => Box::pin(users::get(call)).await,
        Operation::ListPricing => Box::pin(pricing::list(call)).await,
        Operation::GetPricing => Box::pin(pricing::get(call)).await,
        Operation::QuotePrice => Box::pin(pricing::quote(call)).await,
        Operation::ListModels => Box::pin(models::list(call)).await,
        Operation::GetModel => Box::pin(models::get(call)).await,
        Operation::ListUapis => Box::pin(uapis::list(call)).await,
        Operation::ListAccounting => Box::pin(accounting::list(call)).await,
        Operation::SummarizeAccounting => Box::pin(accounting::summarize(call)).await,
        Operation::ExportAccounting => Box::pin(accounting::export(call)).await,
        Operation::GetAccounting => Box::pin(accounting::get(call)).await,
        Operation::CreateAccounting => Box::pin(accounting::create(call)).await,
        Operation::CreateBatch => Box::pin(batch::create(call)).await,
        Operation::ReverseAccounting => Box::pin(accounting::reverse(call)).await,
        Operation::ListHolds => Box::pin(holds::list(call)).await,
        Operation::GetHold => Box::pin(holds::get(call)).await,
        Operation::CreateHold => Box::pin(holds::create(call)).await,
        Operation::CaptureHold => Box::pin(holds::capture(call)).await,
        Operation::ReleaseHold => Box::pin(holds::release(call)).await,
        Operation::ReceiveEvent => Box::pin(events::receive(call)).await,
    }
}

fn openapi_document() -> Answer {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi::document().into());
    Answer::bare(StatusCode::OK, DOCUMENT.clone(), Tag::Body)
}
