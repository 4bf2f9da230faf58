use super::super::accept;
use super::super::call::Call;
use super::super::export::ExportLines;
use super::super::respond::Answer;
use super::super::routes::{GROUPS, STATUSES};
use super::super::wire::{
    BookedBody, ExportForm, ListBody, PreviewBody, RecordBody, SummaryBody, read_booking, read_reverse,
};
use crate::domain::Error;
use crate::domain::accounts::{AccountingQuery, GroupBy};
use crate::domain::page::{ListPage, PageRequest};
use crate::model::{Kind, RecordId};

const RECORD: &str = "accounting record";

/// Accounting records.
pub async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let page = call.params.page();
    let query = AccountingQuery { page, ..query(&mut call)? };
    let page = call.env.query_accounting(query).await?;
    Answer::ok(&ListBody::of(&page, RecordBody::of))
}

/// What records come to.
pub async fn summarize(mut call: Call<'_>) -> Result<Answer, Error> {
    let chosen = call.params.several("group_by", GROUPS);
    let by = |name: &str| chosen.contains(&name);
    let by = GroupBy { day: by("day"), model: by("model"), kind: by("kind") };
    let query = query(&mut call)?;
    let rows = call.env.summarize_accounting(query, by).await?;
    let page = ListPage { rows, next_cursor: None, total: None };
    Answer::ok(&ListBody::of(&page, SummaryBody::of))
}

/// All records, one a line. The first page is read before anything is answered, so that most of what can go
/// wrong is told by a status.
pub async fn export(mut call: Call<'_>) -> Result<Answer, Error> {
    let form = accept::choose(call.headers, ExportForm::ALL);
    if form.is_none() {
        call.params.refuse("accept", "must take application/x-ndjson or text/csv");
    }
    let query = query(&mut call)?;
    let Some(form) = form else { return Err(Error::Internal("a refused form went on".to_owned())) };
    let export = call.env.export_accounting(query).await?;
    let page_timeout = call.env.config().server.request_timeout;
    let lines = ExportLines::start(export, form, page_timeout, call.request_id).await?;
    let (content_type, name) = match form {
        ExportForm::Ndjson => ("application/x-ndjson", "accounting.ndjson"),
        ExportForm::Csv => ("text/csv; charset=utf-8; header=present", "accounting.csv"),
    };
    Ok(Answer::download(lines.into_body(), content_type, name))
}

/// Which records are asked for; the end of reading the parameters.
fn query(call: &mut Call<'_>) -> Result<AccountingQuery, Error> {
    let params = &mut call.params;
    let named = params.customer();
    let query = AccountingQuery {
        customer_id: None,
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
    std::mem::take(params).finish()?;
    Ok(AccountingQuery { customer_id: call.customer(named.as_ref())?, ..query })
}

/// One record. What is no id of ours names nothing.
pub async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let id = RecordId::parse(call.id(RECORD)?.as_str()).ok_or(Error::NotFound(RECORD))?;
    let record = call.env.get_accounting(call.reach()?, id).await?;
    Answer::ok(&RecordBody::of(&record))
}

/// Books one charge, credit or adjustment, or with `dry_run=true` only tells what that would come to.
pub async fn create(mut call: Call<'_>) -> Result<Answer, Error> {
    let dry_run = call.params.flag("dry_run").unwrap_or(false);
    std::mem::take(&mut call.params).finish()?;
    let request = read_booking(&call)?;
    if dry_run {
        call.env.auth().spend_nonce(call.nonce()).await?;
    }
    let request = call.env.price_booking(request, call.reach()?).await?;
    if dry_run {
        let booked = call.env.preview_accounting(request).await?;
        return Answer::done(&PreviewBody::of(&booked));
    }
    let booked = call.env.submit(request).await?.into_booked()?;
    let location = format!("/api/v1/accounting/{}", booked.record.id);
    Answer::created(&BookedBody::of(&booked.record, booked.replayed), location, booked.replayed)
}

/// Takes a record back, whole or in part.
pub async fn reverse(call: Call<'_>) -> Result<Answer, Error> {
    let id = RecordId::parse(call.id(RECORD)?.as_str()).ok_or(Error::NotFound(RECORD))?;
    let customer_id = call.env.owner_of_record(call.reach()?, id).await?;
    let booked = call.env.submit(read_reverse(&call, id, customer_id)?).await?.into_booked()?;
    let location = format!("/api/v1/accounting/{}", booked.record.id);
    Answer::created(&BookedBody::of(&booked.record, booked.replayed), location, booked.replayed)
}
