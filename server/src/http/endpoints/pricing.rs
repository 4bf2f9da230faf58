//! Mirrored pricing programs, and prices by them.

mod quote;

use schemars::{Schema, SchemaGenerator};

use super::mirrored::{MirrorBody, mirror_schema};
use crate::domain::Error;
use crate::domain::mirror::PricingQuery;
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::ParameterKind::{Choice, Id, Text, Time};
use crate::http::routes::parameters::{CREATED, PAGE, Parameter};
use crate::http::routes::{Access, Body, Payload, Route, Verb};
use crate::http::schema;
use crate::http::tag::Tag;
use crate::model::{Entity, Scope};
use crate::store::Validity;

pub use quote::{PricedBody, raw_json};
use quote::{QuoteBody, quote_request_schema, read_quote};

pub const ROUTES: &[Route] = &[
    Route {
        id: "listPricing",
        path: "/api/v1/pricing",
        tag: Tag::Pricing,
        access: Access::Scope(Scope::PricingRead),
        parameters: &[
            &[
                Parameter::new("ppid", Id(64), "The program."),
                Parameter::new("llmid", Id(64), "A model that is offered under the program."),
                Parameter::new("type", Text, "The pricing_type."),
                Parameter::new(
                    "status",
                    Choice(&["current", "future", "expired"]),
                    "Where `at` lies in the row's validity.",
                ),
                AT,
            ],
            CREATED,
            PAGE,
        ],
        answer: Payload::List(pricing_schema),
        summary: "The mirrored pricing programs; a customer sees those of published models.",
        problems: &[Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list(call)))
    },
    Route {
        id: "getPricing",
        path: "/api/v1/pricing/{ppid}",
        tag: Tag::Pricing,
        access: Access::Scope(Scope::PricingRead),
        parameters: &[&[AT]],
        answer: Payload::One(pricing_schema),
        summary: "The row of a pricing program that is valid at an instant.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(get(call)))
    },
    Route {
        id: "quotePrice",
        path: "/api/v1/pricing/quote",
        tag: Tag::Pricing,
        access: Access::Scope(Scope::PricingRead),
        body: Body::Json(quote_request_schema),
        answer: Payload::One(schema::of::<QuoteBody<'static>>),
        summary: "The price of a usage of a model, by the price list of its day; nothing is booked.",
        problems: &[Code::PriceNotFound, Code::AmountOutOfRange],
        ..Route::new(Verb::Post, |call| Box::pin(quote(call)))
    },
];

const AT: Parameter =
    Parameter::new("at", Time, "The instant whose calendar day decides which row is valid; now by default.");

/// The values of `status`.
const VALIDITIES: &[(&str, Validity)] =
    &[("current", Validity::Current), ("future", Validity::Future), ("expired", Validity::Expired)];

fn pricing_schema(g: &mut SchemaGenerator) -> Schema {
    mirror_schema(g, "Pricing", Entity::Pricing)
}

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let published_only = call.reach()?.is_published_only();
    let params = &mut call.params;
    let query = PricingQuery {
        ppid: params.text_id("ppid"),
        llmid: params.text_id("llmid"),
        pricing_type: params.text("type"),
        status: params.choice("status", VALIDITIES),
        at: params.time("at"),
        from: params.time("from"),
        to: params.time("to"),
        published_only,
        page: params.page(),
    };
    params.finish()?;
    let internal = call.reach()?.shows_internal();
    let page = call.env.prices().list(query, call.env.clock().now()).await?;
    Answer::list(&page, |row| MirrorBody::of(Entity::Pricing, row, internal))
}

async fn get(mut call: Call<'_>) -> Result<Answer, Error> {
    let at = call.params.time("at").unwrap_or_else(|| call.env.clock().now());
    call.params.finish()?;
    let (ppid, reach) = (call.path_id("ppid", "pricing program")?, call.reach()?);
    let row = call.env.prices().get(ppid.as_str(), at, reach.is_published_only()).await?;
    Answer::ok(&MirrorBody::of(Entity::Pricing, &row, reach.shows_internal()))
}

/// Changes nothing, but is a POST, and so spends its nonce.
async fn quote(call: Call<'_>) -> Result<Answer, Error> {
    let request = read_quote(&call.body, call.env.clock().now(), call.reach()?.is_published_only())?;
    call.env.auth().spend_nonce(call.nonce()).await?;
    let quote = call.env.prices().quote(&request).await??;
    Answer::done(&QuoteBody::of(&quote))
}
