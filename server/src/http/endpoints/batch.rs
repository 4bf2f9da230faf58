//! Many bookings in one request: each on its own, or all or none.

mod form;

use http::StatusCode;
use schemars::{Schema, SchemaGenerator};
use serde::Serialize;
use serde_json::value::RawValue;

use super::bookings::{self, BookedBody, booking_schema, read_item};
use crate::domain::Error;
use crate::domain::booking::{Booked, Outcome, Request};
use crate::http::call::Call;
use crate::http::problem::{Occurrence, Problem};
use crate::http::respond::{Answer, EntityTag};
use crate::http::routes::parameters::{Parameter, ParameterKind};
use crate::http::routes::{Access, Body, Payload, Route, Verb};
use crate::http::schema;
use crate::http::tag::Tag;
use crate::model::Scope;
use crate::signing::IDEMPOTENCY_KEY;

pub use form::{
    BatchForm, MAX_ITEMS, answer_lines_schema, answer_schema, batch_lines_schema, batch_schema, items,
};
use form::{BatchRow, write_answer};

pub const ROUTES: &[Route] = &[Route {
    id: "createAccountingBatch",
    path: "/api/v1/accounting/batch",
    tag: Tag::Accounting,
    access: Access::Scope(Scope::AccountingWrite),
    parameters: &[&[ATOMIC]],
    body: Body::Bulk { array: array_body, lines: lines_body },
    answer: Payload::Bulk { object: object_answer, lines: lines_answer },
    summary: "Books up to 1,000 items, each on its own, and answers with the outcome of each.",
    problems: bookings::PROBLEMS,
    ..Route::new(Verb::Post, |call| Box::pin(create(call)))
}];

const ATOMIC: Parameter =
    Parameter::new("atomic", ParameterKind::Flag, "All items or none: the first failure is the answer.");

async fn create(mut call: Call<'_>) -> Result<Answer, Error> {
    let atomic = call.params.flag("atomic").unwrap_or(false);
    if call.headers.contains_key(IDEMPOTENCY_KEY) {
        call.params.refuse(IDEMPOTENCY_KEY, "is not allowed for batches; every item has its own transno");
    }
    call.params.finish()?;
    let form = BatchForm::of(call.headers);
    let items = items(&call.body, form)?;
    let reach = call.reach()?;
    let mut read = Vec::with_capacity(items.len());
    for item in items {
        read.push(match read_item(&call, item.as_bytes()) {
            Ok(booking) => call.env.bookings().price(booking, reach).await,
            Err(error) => Err(error),
        });
    }
    let verdicts = if atomic { all_or_none(&call, read).await? } else { each(&call, read).await? };
    answer(&call, form, &verdicts, |booked: &Booked| {
        (booked.replayed, BookedBody::of(&booked.record, booked.replayed))
    })
}

/// The first item that is invalid, else the first that is refused, is the answer, and nothing is booked.
async fn all_or_none(
    call: &Call<'_>,
    read: Vec<Result<Request, Error>>,
) -> Result<Vec<Result<Booked, Problem>>, Error> {
    let nonce = call.nonce();
    let placed = read.into_iter().enumerate().map(|(index, item)| item.map_err(|error| error.of_item(index)));
    let mut requests = match placed.collect::<Result<Vec<_>, _>>() {
        Ok(requests) => requests,
        Err(error) => {
            call.env.auth().spend_nonce(call.nonce()).await?;
            return Err(error);
        }
    };
    // One request, one nonce: it goes with the first item into the one transaction.
    if let Some(first) = requests.first_mut() {
        first.nonce = nonce;
    }
    let outcomes = call.env.bookings().submit_group(requests).await?;
    outcomes.into_iter().map(|outcome| Ok(Ok(outcome.into_booked()?))).collect()
}

/// Each item on its own; an invalid one does not keep the others from being booked.
async fn each(
    call: &Call<'_>,
    read: Vec<Result<Request, Error>>,
) -> Result<Vec<Result<Booked, Problem>>, Error> {
    submit_each(call, read, async |requests| {
        let outcomes = call.env.bookings().submit_bulk(requests).await?;
        Ok(outcomes.into_iter().map(|outcome| outcome.and_then(Outcome::into_booked)).collect())
    })
    .await
}

/// Submits those items that could be read; the verdicts are in the order of all.
pub async fn submit_each<T>(
    call: &Call<'_>,
    read: Vec<Result<Request, Error>>,
    submit: impl AsyncFnOnce(Vec<Request>) -> Result<Vec<Result<T, Error>>, Error>,
) -> Result<Vec<Result<T, Problem>>, Error> {
    call.env.auth().spend_nonce(call.nonce()).await?;
    let mut verdicts: Vec<Option<Result<T, Problem>>> = Vec::with_capacity(read.len());
    let mut requests = Vec::with_capacity(read.len());
    for item in read {
        match item {
            Ok(request) => {
                requests.push(request);
                verdicts.push(None);
            }
            Err(error) => verdicts.push(Some(Err(error.into()))),
        }
    }
    let mut done = submit(requests).await?.into_iter();
    let missing = || Error::Internal("an item has no verdict".to_owned());
    let verdict = |known: Option<Result<T, Problem>>| {
        known.unwrap_or_else(|| done.next().unwrap_or_else(|| Err(missing())).map_err(Problem::from))
    };
    Ok(verdicts.into_iter().map(verdict).collect())
}

/// The answer to a batch, in the form of the batch. `show` says of an item whether it came before, and what it came to.
pub fn answer<'v, T, D: Serialize>(
    call: &Call<'_>,
    form: BatchForm,
    verdicts: &'v [Result<T, Problem>],
    show: impl Fn(&'v T) -> (bool, D),
) -> Result<Answer, Error> {
    let row = |(index, verdict): (usize, &'v Result<T, Problem>)| match verdict {
        Ok(done) => {
            let (replayed, data) = show(done);
            BatchRow { index, status: if replayed { 200 } else { 201 }, data: Some(data), error: None }
        }
        Err(problem) => {
            let at = Occurrence { request_id: call.request_id, path: call.path, now: call.env.clock().now() };
            problem.log(at);
            let json = String::from_utf8(problem.body(at)).ok();
            let error = json.and_then(|json| RawValue::from_string(json).ok());
            BatchRow { index, status: problem.code().status().as_u16(), data: None, error }
        }
    };
    let rows: Vec<_> = verdicts.iter().enumerate().map(row).collect();
    let body = write_answer(&rows, form)?;
    Ok(match form {
        BatchForm::Array => Answer::bare(StatusCode::OK, body, EntityTag::None),
        BatchForm::Lines => Answer::lines(body),
    })
}

fn array_body(g: &mut SchemaGenerator) -> Schema {
    batch_schema(&booking_schema(g))
}

fn lines_body(g: &mut SchemaGenerator) -> Schema {
    batch_lines_schema(&booking_schema(g))
}

fn object_answer(g: &mut SchemaGenerator) -> Schema {
    let data = schema::of::<BookedBody<'_>>(g);
    answer_schema(g, ["Batch", "BatchRow"], &data)
}

fn lines_answer(g: &mut SchemaGenerator) -> Schema {
    let data = schema::of::<BookedBody<'_>>(g);
    answer_lines_schema(g, "BatchLine", &data)
}
