//! Accounting records: lists, sums and exports.

mod export_lines;
mod record;
mod summary;

use crate::domain::Error;
use crate::domain::accounts::{self, AccountingQuery, Export, GroupBy, get_accounting, query_accounting};
use crate::domain::page::{ListPage, PageRequest};
use crate::http::call::Call;
use crate::http::export;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::ParameterKind::{Choice, Id, Several, Time};
use crate::http::routes::parameters::{CREATED, CUSTOMER, PAGE, Parameter};
use crate::http::routes::{Access, Payload, Route, Verb};
use crate::http::schema;
use crate::http::tag::Tag;
use crate::model::{Kind, Scope};

#[cfg(test)]
pub use record::tests::record as test_record;

use record::RecordBody;
pub use summary::Sum;
use summary::SummaryBody;

pub const ROUTES: &[Route] = &[
    Route {
        id: "listAccounting",
        path: "/api/v1/accounting",
        tag: Tag::Accounting,
        access: Access::Scope(Scope::AccountingRead),
        parameters: &[CUSTOMER, RECORDS, CREATED, PAGE],
        answer: Payload::List(schema::of::<RecordBody<'static>>),
        summary: "Accounting records.",
        problems: &[Code::CustomerForbidden, Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list(call)))
    },
    Route {
        id: "summarizeAccounting",
        path: "/api/v1/accounting/summary",
        tag: Tag::Accounting,
        access: Access::Scope(Scope::AccountingRead),
        parameters: &[CUSTOMER, &[GROUP_BY], RECORDS, CREATED],
        answer: Payload::List(schema::of::<SummaryBody<'static>>),
        summary: "Sums of records, in at most 10,000 groups ordered by day, model and kind; all on one page.",
        problems: &[Code::CustomerForbidden],
        ..Route::new(Verb::Get, |call| Box::pin(summarize(call)))
    },
    Route {
        id: "exportAccounting",
        path: "/api/v1/accounting/export",
        tag: Tag::Accounting,
        access: Access::Scope(Scope::AccountingRead),
        parameters: &[CUSTOMER, RECORDS, CREATED],
        answer: Payload::Export(schema::of::<RecordBody<'static>>),
        summary: "All records up to the newest one at the start, oldest first, in the format of Accept. An export is \
                  complete only if its last line is #end,n or {\"_end\":true,\"count\":n}.",
        problems: &[Code::CustomerForbidden],
        ..Route::new(Verb::Get, |call| Box::pin(export(call)))
    },
    Route {
        id: "getAccounting",
        path: "/api/v1/accounting/{id}",
        tag: Tag::Accounting,
        access: Access::Scope(Scope::AccountingRead),
        answer: Payload::One(schema::of::<RecordBody<'static>>),
        summary: "One accounting record.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(get(call)))
    },
];

const GROUP_BY: Parameter = Parameter::new(
    "group_by",
    Several(GROUPS),
    "Required. Days are those of created_at in UTC; sums are always per currency.",
);

const RECORDS: &[Parameter] = &[
    Parameter::new("user_id", Id(64), "The user who caused it."),
    Parameter::new("model", Id(64), "The model's name, as given in the booking."),
    Parameter::new("llmid", Id(64), "The model's id."),
    Parameter::new("kind", Choice(KINDS), "The kind of record."),
    Parameter::new("status", Choice(STATUSES), "The status of the record."),
    Parameter::new("transno", Id(160), "The client's name for the booking."),
    Parameter::new("request_id", Id(160), "The client's request."),
    Parameter::new("event_from", Time, "With an event time at or after."),
    Parameter::new("event_to", Time, "With an event time before."),
];

/// The values of `group_by`.
const GROUPS: &[&str] = &["day", "model", "kind"];
/// The values of `kind`.
const KINDS: &[&str] = &["opening", "charge", "credit", "adjustment", "reversal", "capture", "sync"];
/// The values of `status`.
const STATUSES: &[&str] = &["pending", "accounted", "failed", "reversed"];

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let page = call.params.page();
    let query = AccountingQuery { page, ..query(&mut call)? };
    let page = query_accounting(call.env.store(), call.reach()?, query).await?;
    Answer::list(&page, RecordBody::of)
}

async fn summarize(mut call: Call<'_>) -> Result<Answer, Error> {
    let chosen = call.params.several("group_by", GROUPS);
    let by = |name: &str| chosen.contains(&name);
    let by = GroupBy { day: by("day"), model: by("model"), kind: by("kind") };
    let query = query(&mut call)?;
    let rows = accounts::summarize(call.env.store(), call.reach()?, query, by).await?;
    let page = ListPage { rows, next_cursor: None, total: None };
    Answer::list(&page, SummaryBody::of)
}

async fn export(mut call: Call<'_>) -> Result<Answer, Error> {
    let form = export::accepted(&mut call);
    let query = query(&mut call)?;
    let export = Export::start(call.env.store().clone(), call.reach()?, query).await?;
    export::answer(&call, export, form, "accounting").await
}

/// The filters of a list, a summary or an export. Call it last: it ends the reading of parameters.
fn query(call: &mut Call<'_>) -> Result<AccountingQuery, Error> {
    let params = &mut call.params;
    let query = AccountingQuery {
        customer_id: params.customer(),
        user_id: params.text_id("user_id"),
        model: params.text_id("model"),
        llmid: params.text_id("llmid"),
        transno: params.transno("transno"),
        request_id: params.transno("request_id"),
        kind: params.parsed("kind", |text| Kind::parse(text).ok_or("must be a kind of record")),
        status: params.parsed("status", |text| {
            STATUSES
                .contains(&text)
                .then(|| text.to_owned())
                .ok_or("must be pending, accounted, failed or reversed")
        }),
        from: params.time("from"),
        to: params.time("to"),
        event_from: params.time("event_from"),
        event_to: params.time("event_to"),
        page: PageRequest::default(),
    };
    params.finish()?;
    Ok(query)
}

async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let id = call.path_record_id("id", "accounting record")?;
    let record = get_accounting(call.env.store(), call.reach()?, id).await?;
    Answer::ok(&RecordBody::of(&record))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kinds_are_those_of_the_model() {
        assert_eq!(Kind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>(), KINDS);
    }
}
