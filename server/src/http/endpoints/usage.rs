//! What users consume: recording it, one by one and in batches, and reading it.

mod body;
mod export_lines;
pub mod list;
mod request;
pub mod stats;

use schemars::{Schema, SchemaGenerator};

use super::batch::{
    BatchForm, answer, answer_lines_schema, answer_schema, batch_lines_schema, batch_schema, items,
    submit_each,
};
use crate::domain::Error;
use crate::domain::booking::Used;
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::{Access, Body, Payload, Route, Verb};
use crate::http::schema;
use crate::http::tag::Tag;
use crate::model::Scope;
use crate::signing::IDEMPOTENCY_KEY;

use body::{UsageBody, UsedBody};
use request::{read_usage, read_usage_item, usage_schema};

pub const ROUTES: &[Route] = &[
    Route {
        id: "recordUsage",
        path: "/api/v1/usage",
        tag: Tag::Usage,
        access: Access::Scope(Scope::UsageWrite),
        body: Body::Json(usage_schema),
        status: 201,
        answer: Payload::One(schema::of::<UsedBody<'static>>),
        replays: true,
        summary: "Records what one request consumed, exactly once per request_id. 200 repeats the first answer.",
        problems: PROBLEMS,
        ..Route::new(Verb::Post, |call| Box::pin(record(call)))
    },
    Route {
        id: "recordUsageBatch",
        path: "/api/v1/usage/batch",
        tag: Tag::Usage,
        access: Access::Scope(Scope::UsageWrite),
        body: Body::Bulk { array: array_body, lines: lines_body },
        answer: Payload::Bulk { object: object_answer, lines: lines_answer },
        summary: "Records up to 1,000 items, each on its own, and answers with the outcome of each.",
        problems: PROBLEMS,
        ..Route::new(Verb::Post, |call| Box::pin(record_batch(call)))
    },
    Route {
        id: "getUsage",
        path: "/api/v1/usage/{id}",
        tag: Tag::Usage,
        access: Access::Scope(Scope::UsageRead),
        answer: Payload::One(schema::of::<UsageBody<'static>>),
        summary: "One usage record.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(get(call)))
    },
];

/// What can go wrong with usage, alone or in a batch.
const PROBLEMS: &[Code] = &[
    Code::CustomerForbidden,
    Code::NotFound,
    Code::TransnoInProgress,
    Code::RequestConflict,
    Code::EventInFuture,
    Code::EventTooOld,
];

async fn record(call: Call<'_>) -> Result<Answer, Error> {
    let request = call.env.usage().prepare(read_usage(&call)?, call.reach()?).await?;
    let used = call.env.usage().record(request).await?;
    let location = format!("/api/v1/usage/{}", used.usage.id);
    Answer::created(&UsedBody::of(&used), location, used.replayed)
}

async fn record_batch(mut call: Call<'_>) -> Result<Answer, Error> {
    if call.headers.contains_key(IDEMPOTENCY_KEY) {
        call.params.refuse(IDEMPOTENCY_KEY, "is not allowed for batches; every item has its own request_id");
    }
    call.params.finish()?;
    let form = BatchForm::of(call.headers);
    let reach = call.reach()?;
    let items = items(&call.body, form)?;
    let mut read = Vec::with_capacity(items.len());
    for item in items {
        read.push(match read_usage_item(&call, item.as_bytes()) {
            Ok(request) => call.env.usage().prepare(request, reach).await,
            Err(error) => Err(error),
        });
    }
    let verdicts =
        submit_each(&call, read, async |requests| call.env.usage().record_each(requests).await).await?;
    answer(&call, form, &verdicts, |used: &Used| (used.replayed, UsedBody::of(used)))
}

async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let id = call.path_record_id("id", "usage record")?;
    Answer::ok(&UsageBody::of(&call.env.usage().get(call.principal()?, id).await?))
}

fn array_body(g: &mut SchemaGenerator) -> Schema {
    batch_schema(&usage_schema(g))
}

fn lines_body(g: &mut SchemaGenerator) -> Schema {
    batch_lines_schema(&usage_schema(g))
}

fn object_answer(g: &mut SchemaGenerator) -> Schema {
    let data = schema::of::<UsedBody<'_>>(g);
    answer_schema(g, ["UsageBatch", "UsageBatchRow"], &data)
}

fn lines_answer(g: &mut SchemaGenerator) -> Schema {
    let data = schema::of::<UsedBody<'_>>(g);
    answer_lines_schema(g, "UsageBatchLine", &data)
}
