use super::super::call::Call;
use super::super::respond::Answer;
use super::super::routes::STATUSES;
use super::super::wire::{BookedBody, ListBody, RecordBody, read_booking};
use crate::domain::Error;
use crate::domain::accounts::AccountingQuery;
use crate::model::{Kind, RecordId};

const RECORD: &str = "accounting record";

/// Accounting records.
pub async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
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
        page: params.page(),
    };
    std::mem::take(params).finish()?;
    let query = AccountingQuery { customer_id: call.customer(named.as_ref())?, ..query };
    let page = call.env.query_accounting(query).await?;
    Answer::ok(&ListBody::of(&page, RecordBody::of))
}

/// One record. What is no id of ours names nothing.
pub async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let id = RecordId::parse(call.id(RECORD)?.as_str()).ok_or(Error::NotFound(RECORD))?;
    let record = call.env.get_accounting(call.caller()?.customer(), id).await?;
    Answer::ok(&RecordBody::of(&record))
}

/// Books one charge, credit or adjustment.
pub async fn create(call: Call<'_>) -> Result<Answer, Error> {
    let booked = call.env.create_accounting(read_booking(&call)?).await?;
    let location = format!("/api/v1/accounting/{}", booked.record.id);
    Answer::created(&BookedBody::of(&booked.record, booked.replayed), location, booked.replayed)
}
