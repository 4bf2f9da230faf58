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

/// Does what a route is for.
pub async fn run(operation: Operation, call: Call<'_>) -> Result<Answer, Error> {
    match operation {
        Operation::Health => health::answer(call.env).await,
        Operation::OpenApi => Ok(openapi_document()),
        Operation::Docs => Ok(docs::answer()),
        Operation::WhoAmI => whoami::get(&call),
        Operation::GetBalance => balance::get(call).await,
        Operation::ListUsers => users::list(call).await,
        Operation::GetUser => users::get(call).await,
        Operation::ListPricing => pricing::list(call).await,
        Operation::GetPricing => pricing::get(call).await,
        Operation::QuotePrice => pricing::quote(call).await,
        Operation::ListModels => models::list(call).await,
        Operation::GetModel => models::get(call).await,
        Operation::ListUapis => uapis::list(call).await,
        Operation::ListAccounting => accounting::list(call).await,
        Operation::SummarizeAccounting => accounting::summarize(call).await,
        Operation::ExportAccounting => accounting::export(call).await,
        Operation::GetAccounting => accounting::get(call).await,
        Operation::CreateAccounting => accounting::create(call).await,
        Operation::CreateBatch => batch::create(call).await,
        Operation::ReverseAccounting => accounting::reverse(call).await,
        Operation::ListHolds => holds::list(call).await,
        Operation::GetHold => holds::get(call).await,
        Operation::CreateHold => holds::create(call).await,
        Operation::CaptureHold => holds::capture(call).await,
        Operation::ReleaseHold => holds::release(call).await,
        Operation::ReceiveEvent => events::receive(call).await,
    }
}

fn openapi_document() -> Answer {
    static DOCUMENT: LazyLock<Bytes> = LazyLock::new(|| openapi::document().into());
    Answer::bare(StatusCode::OK, DOCUMENT.clone(), Tag::Body)
}
