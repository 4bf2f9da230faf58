//! Reversals of records.

use schemars::{Schema, SchemaGenerator};
use serde_json::json;

use super::bookings::BookedBody;
use super::transno::{request_hash, transno};
use crate::domain::Error;
use crate::domain::booking::{Action, Request, Reverse};
use crate::http::body::{Object, required};
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::{Access, Body, Payload, Route, Verb};
use crate::http::schema::{self, MoneyText};
use crate::http::tag::Tag;
use crate::model::{CustomerId, Money, RecordId, Scope};

pub const ROUTES: &[Route] = &[Route {
    id: "reverseAccounting",
    path: "/api/v1/accounting/{id}/reverse",
    tag: Tag::Accounting,
    access: Access::Scope(Scope::AccountingWrite),
    body: Body::Json(reverse_schema),
    status: 201,
    answer: Payload::One(schema::of::<BookedBody<'static>>),
    replays: true,
    summary: "Reverses a record, in whole or in part, by a record of its own.",
    problems: &[
        Code::AmountNotString,
        Code::AmountInvalid,
        Code::InsufficientBalance,
        Code::KindForbidden,
        Code::NotFound,
        Code::TransnoInProgress,
        Code::TransnoConflict,
        Code::AmountOutOfRange,
        Code::ReversalExceeds,
    ],
    ..Route::new(Verb::Post, |call| Box::pin(reverse(call)))
}];

async fn reverse(call: Call<'_>) -> Result<Answer, Error> {
    let id = call.path_record_id("id", "accounting record")?;
    let customer_id = call.env.bookings().customer_of_record(call.reach()?, id).await?;
    let request = read_reverse(&call, id, customer_id)?;
    BookedBody::created(&call.env.bookings().submit(request).await?.into_booked()?)
}

fn reverse_schema(g: &mut SchemaGenerator) -> Schema {
    let money = g.subschema_for::<MoneyText>();
    let schema = json!({
        "type": "object", "additionalProperties": false,
        "description": "Without an amount the rest of the record is reversed.",
        "properties": {
            "transno": schema::client_name(), "amount": money, "note": { "type": "string", "maxLength": 1024 },
        },
    });
    schema::defined(g, "Reverse", schema)
}

fn read_reverse(call: &Call<'_>, record: RecordId, customer_id: CustomerId) -> Result<Request, Error> {
    let mut body = Object::parse(&call.body)?;
    let transno = transno(&mut body, call.headers);
    let amount = body.amount("amount", false);
    let note = body.note();
    body.finish()?;
    let transno = required(transno)?;
    let mut hash = request_hash("reverse", &customer_id);
    hash.text(Some(transno.as_str()));
    hash.option(Some(record.as_bytes()));
    hash.number(amount.map(Money::nanos));
    hash.text(note.as_deref());
    let of_any_kind = call.reach()?.may_reverse_any_kind();
    let action = Action::Reverse(Reverse { transno, record, amount, of_any_kind, note });
    Ok(Request { customer_id, body_hash: hash.finish(), nonce: call.nonce(), action })
}
