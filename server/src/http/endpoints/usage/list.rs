//! Lists and exports of usage records.

use super::body::UsageBody;
use crate::domain::Error;
use crate::domain::page::PageRequest;
use crate::domain::usage::UsageQuery;
use crate::http::call::Call;
use crate::http::export;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::ParameterKind::{Choice, Id, Integer, Time};
use crate::http::routes::parameters::{CUSTOMER, PAGE, Parameter};
use crate::http::routes::{Access, Payload, Route, Verb};
use crate::http::schema;
use crate::http::tag::Tag;
use crate::model::Scope;

pub const ROUTES: &[Route] = &[
    Route {
        id: "listUsage",
        path: "/api/v1/usage",
        tag: Tag::Usage,
        access: Access::Scope(Scope::UsageRead),
        parameters: &[CUSTOMER, RECORDS, PAGE],
        answer: Payload::List(schema::of::<UsageBody<'static>>),
        summary: "Usage records. A page looks at 20,000 records at most: it may be short, or empty, and have a next_cursor. \
                  total is left out where as many do not tell it.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list(call)))
    },
    Route {
        id: "exportUsage",
        path: "/api/v1/usage/export",
        tag: Tag::Usage,
        access: Access::Scope(Scope::UsageRead),
        parameters: &[CUSTOMER, RECORDS],
        answer: Payload::Export(schema::of::<UsageBody<'static>>),
        summary: "All records up to the newest one at the start, oldest first, in the format of Accept. An export is \
                  complete only if its last line is #end,n or {\"_end\":true,\"count\":n}.",
        problems: &[Code::CustomerForbidden],
        ..Route::new(Verb::Get, |call| Box::pin(export(call)))
    },
];

const RECORDS: &[Parameter] = &[
    Parameter::new("user_id", Id(64), "The user."),
    Parameter::new("group_id", Id(64), "The group whose limits counted for the user at that moment."),
    Parameter::new("model", Id(64), "The model that answered; the one asked for where no other is named."),
    Parameter::new("status_code", Integer(100, 599), "The status of the answer."),
    Parameter::new(
        "status",
        Choice(&["error", "ok"]),
        "error: a status_code of 400 or more; ok: all others.",
    ),
    Parameter::new("source_node", Id(64), "The edge that reported it."),
    Parameter::new("request_id", Id(160), "The client's name for the request."),
    Parameter::new("from", Time, "Received at or after."),
    Parameter::new("to", Time, "Received before."),
    Parameter::new("event_from", Time, "With an event time at or after."),
    Parameter::new("event_to", Time, "With an event time before."),
];

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let page = call.params.page();
    let query = UsageQuery { page, ..query(&mut call)? };
    let page = call.env.usage().list(call.principal()?, query).await?;
    Answer::list(&page, UsageBody::of)
}

async fn export(mut call: Call<'_>) -> Result<Answer, Error> {
    let form = export::accepted(&mut call);
    let query = query(&mut call)?;
    let export = call.env.usage().export(call.principal()?, query).await?;
    export::answer(&call, export, form, "usage").await
}

/// The filters of a list or an export. Call it last: it ends the reading of parameters.
fn query(call: &mut Call<'_>) -> Result<UsageQuery, Error> {
    let params = &mut call.params;
    let query = UsageQuery {
        customer_id: params.customer(),
        user_id: params.text_id("user_id"),
        group_id: params.text_id("group_id"),
        model: params.text_id("model"),
        status_code: params.integer("status_code", 100, 599).map(i64::from),
        failed: params.choice("status", &[("error", true), ("ok", false)]),
        source_node: params.text_id("source_node"),
        request_id: params.transno("request_id"),
        from: params.time("from"),
        to: params.time("to"),
        event_from: params.time("event_from"),
        event_to: params.time("event_to"),
        page: PageRequest::default(),
    };
    params.finish()?;
    Ok(query)
}
