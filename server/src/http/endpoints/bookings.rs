//! Bookings: charges, credits and adjustments.

mod answer;
mod request;

use crate::domain::Error;
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::{Parameter, ParameterKind};
use crate::http::routes::{Access, Body, Payload, Route, Verb};
use crate::http::schema;
use crate::http::tag::Tag;
use crate::model::Scope;

pub use answer::BookedBody;
use answer::{PreviewBody, booked_or_preview_schema};
use request::read_booking;
pub use request::{booking_schema, entry_hash, fingerprint, read_item};

pub const ROUTES: &[Route] = &[Route {
    id: "createAccounting",
    path: "/api/v1/accounting",
    tag: Tag::Accounting,
    access: Access::Scope(Scope::AccountingWrite),
    parameters: &[&[DRY_RUN]],
    body: Body::Json(booking_schema),
    status: 201,
    answer: Payload::One(schema::of::<BookedBody<'static>>),
    replays: true,
    dry_run: Some(booked_or_preview_schema),
    summary: "Books one charge, credit or adjustment, exactly once per transno. 200 repeats the first answer.",
    problems: PROBLEMS,
    ..Route::new(Verb::Post, |call| Box::pin(create(call)))
}];

const DRY_RUN: Parameter =
    Parameter::new("dry_run", ParameterKind::Flag, "Shows the outcome without booking; answers 200.");

/// What can go wrong with a booking, alone or in a batch.
pub const PROBLEMS: &[Code] = &[
    Code::AmountNotString,
    Code::AmountInvalid,
    Code::InsufficientBalance,
    Code::CustomerForbidden,
    Code::KindForbidden,
    Code::CustomerSuspended,
    Code::NotFound,
    Code::TransnoInProgress,
    Code::TransnoConflict,
    Code::CurrencyMismatch,
    Code::PriceNotFound,
    Code::AmountOutOfRange,
];

async fn create(mut call: Call<'_>) -> Result<Answer, Error> {
    let dry_run = call.params.flag("dry_run").unwrap_or(false);
    call.params.finish()?;
    let request = read_booking(&call)?;
    if dry_run {
        call.env.auth().spend_nonce(call.nonce()).await?;
    }
    let request = call.env.bookings().price(request, call.reach()?).await?;
    if dry_run {
        let booked = call.env.bookings().preview(request).await?;
        return Answer::done(&PreviewBody::of(&booked));
    }
    BookedBody::created(&call.env.bookings().submit(request).await?.into_booked()?)
}
