//! Holds: reserving money, and settling what was reserved.

mod hold;
mod requests;

use super::bookings::BookedBody;
use crate::domain::Error;
use crate::domain::holds::{HoldsQuery, get_hold, query_holds};
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::ParameterKind::{Choice, Id};
use crate::http::routes::parameters::{CREATED, CUSTOMER, PAGE, Parameter};
use crate::http::routes::{Access, Body, Payload, Route, Verb};
use crate::http::schema;
use crate::http::tag::Tag;
use crate::model::{CustomerId, HoldState, RecordId, Scope};

use hold::HoldBody;
use requests::{capture_schema, read_capture, read_release, read_reserve, release_schema, reserve_schema};

pub const ROUTES: &[Route] = &[
    Route {
        id: "listHolds",
        path: "/api/v1/holds",
        tag: Tag::Holds,
        access: Access::Scope(Scope::BalanceRead),
        parameters: &[
            CUSTOMER,
            &[
                Parameter::new("user_id", Id(64), "The user the hold is for."),
                Parameter::new("state", Choice(STATES), "The state of the hold."),
                Parameter::new("transno", Id(160), "The client's name for the hold."),
            ],
            CREATED,
            PAGE,
        ],
        answer: Payload::List(schema::of::<HoldBody<'static>>),
        summary: "Holds.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list(call)))
    },
    Route {
        id: "getHold",
        path: "/api/v1/holds/{id}",
        tag: Tag::Holds,
        access: Access::Scope(Scope::BalanceRead),
        answer: Payload::One(schema::of::<HoldBody<'static>>),
        summary: "One hold.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(get(call)))
    },
    Route {
        id: "createHold",
        path: "/api/v1/holds",
        tag: Tag::Holds,
        access: Access::Scope(Scope::AccountingWrite),
        body: Body::Json(reserve_schema),
        status: 201,
        answer: Payload::One(schema::of::<HoldBody<'static>>),
        replays: true,
        summary: "Reserves money before an expensive call; it expires by itself.",
        problems: PROBLEMS,
        ..Route::new(Verb::Post, |call| Box::pin(create(call)))
    },
    Route {
        id: "captureHold",
        path: "/api/v1/holds/{id}/capture",
        tag: Tag::Holds,
        access: Access::Scope(Scope::AccountingWrite),
        body: Body::Json(capture_schema),
        status: 201,
        answer: Payload::One(schema::of::<BookedBody<'static>>),
        replays: true,
        summary: "Captures a hold: books what was used and frees the rest.",
        problems: PROBLEMS,
        ..Route::new(Verb::Post, |call| Box::pin(capture(call)))
    },
    Route {
        id: "releaseHold",
        path: "/api/v1/holds/{id}/release",
        tag: Tag::Holds,
        access: Access::Scope(Scope::AccountingWrite),
        body: Body::OptionalJson(release_schema),
        answer: Payload::One(schema::of::<HoldBody<'static>>),
        summary: "Releases a hold; can be repeated. The body is optional.",
        problems: &[Code::NotFound, Code::HoldClosed],
        ..Route::new(Verb::Post, |call| Box::pin(release(call)))
    },
];

const PROBLEMS: &[Code] = &[
    Code::AmountNotString,
    Code::AmountInvalid,
    Code::InsufficientBalance,
    Code::CustomerForbidden,
    Code::CustomerSuspended,
    Code::NotFound,
    Code::TransnoInProgress,
    Code::TransnoConflict,
    Code::CurrencyMismatch,
    Code::AmountOutOfRange,
    Code::HoldClosed,
];

/// The values of `state`.
const STATES: &[&str] = &["open", "captured", "released", "expired"];

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let query = HoldsQuery {
        customer_id: params.customer(),
        user_id: params.text_id("user_id"),
        state: params.parsed("state", |text| {
            HoldState::parse(text).ok_or("must be open, captured, released or expired")
        }),
        transno: params.transno("transno"),
        from: params.time("from"),
        to: params.time("to"),
        page: params.page(),
    };
    params.finish()?;
    let page = query_holds(call.env.store(), call.reach()?, query).await?;
    Answer::list(&page, HoldBody::of)
}

async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let id = call.path_record_id("id", "hold")?;
    Answer::ok(&HoldBody::of(&get_hold(call.env.store(), call.reach()?, id).await?))
}

async fn create(call: Call<'_>) -> Result<Answer, Error> {
    let reserved = call.env.bookings().submit(read_reserve(&call)?).await?.into_reserved()?;
    let location = format!("/api/v1/holds/{}", reserved.hold.id);
    Answer::created(&HoldBody::after(&reserved), location, reserved.replayed)
}

async fn capture(call: Call<'_>) -> Result<Answer, Error> {
    let (id, customer_id) = named_hold(&call).await?;
    let request = read_capture(&call, id, customer_id)?;
    BookedBody::created(&call.env.bookings().submit(request).await?.into_booked()?)
}

async fn release(call: Call<'_>) -> Result<Answer, Error> {
    let (id, customer_id) = named_hold(&call).await?;
    let request = read_release(&call, id, customer_id)?;
    let reserved = call.env.bookings().submit(request).await?.into_reserved()?;
    Answer::done(&HoldBody::after(&reserved))
}

/// The hold that the path names, and its customer.
async fn named_hold(call: &Call<'_>) -> Result<(RecordId, CustomerId), Error> {
    let id = call.path_record_id("id", "hold")?;
    Ok((id, call.env.bookings().customer_of_hold(call.reach()?, id).await?))
}
