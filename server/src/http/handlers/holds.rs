use super::super::call::Call;
use super::super::respond::Answer;
use super::super::wire::{BookedBody, HoldBody, ListBody, read_capture, read_hold, read_release};
use crate::domain::Error;
use crate::domain::holds::HoldsQuery;
use crate::model::{HoldState, RecordId};

const HOLD: &str = "hold";

/// Holds.
pub async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let named = params.customer();
    let query = HoldsQuery {
        customer_id: None,
        user_id: params.text_id("user_id"),
        state: params.parsed("state", |text| {
            HoldState::parse(text).ok_or("must be open, captured, released or expired")
        }),
        transno: params.transno("transno"),
        from: params.time("from"),
        to: params.time("to"),
        page: params.page(),
    };
    std::mem::take(params).finish()?;
    let query = HoldsQuery { customer_id: call.customer(named.as_ref())?, ..query };
    let page = call.env.query_holds(query).await?;
    Answer::ok(&ListBody::of(&page, HoldBody::of))
}

/// One hold.
pub async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let hold = call.env.get_hold(call.reach()?, id_of(&call)?).await?;
    Answer::ok(&HoldBody::of(&hold))
}

/// Reserves money.
pub async fn create(call: Call<'_>) -> Result<Answer, Error> {
    let reserved = call.env.submit(read_hold(&call)?).await?.into_reserved()?;
    let location = format!("/api/v1/holds/{}", reserved.hold.id);
    Answer::created(&HoldBody::after(&reserved), location, reserved.replayed)
}

/// Settles a hold.
pub async fn capture(call: Call<'_>) -> Result<Answer, Error> {
    let hold = call.env.get_hold(call.reach()?, id_of(&call)?).await?;
    let request = read_capture(&call, hold.id, hold.customer_id)?;
    let booked = call.env.submit(request).await?.into_booked()?;
    let location = format!("/api/v1/accounting/{}", booked.record.id);
    Answer::created(&BookedBody::of(&booked.record, booked.replayed), location, booked.replayed)
}

/// Lets a hold go.
pub async fn release(call: Call<'_>) -> Result<Answer, Error> {
    let hold = call.env.get_hold(call.reach()?, id_of(&call)?).await?;
    let request = read_release(&call, hold.id, hold.customer_id)?;
    let reserved = call.env.submit(request).await?.into_reserved()?;
    Answer::done(&HoldBody::after(&reserved))
}

/// What is no id of ours names nothing.
fn id_of(call: &Call<'_>) -> Result<RecordId, Error> {
    RecordId::parse(call.id(HOLD)?.as_str()).ok_or(Error::NotFound(HOLD))
}
