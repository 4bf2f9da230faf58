use bytes::Bytes;
use http::StatusCode;

use super::super::call::Call;
use super::super::respond::{Answer, Tag};
use crate::domain::Error;

const ACCEPTED: &[u8] = br#"{"accepted":true}"#;

/// Takes an event. A genuine one is always accepted, a repetition too.
pub async fn receive(call: Call<'_>) -> Result<Answer, Error> {
    call.env.events().receive(call.headers, &call.body).await?;
    Ok(Answer::bare(StatusCode::ACCEPTED, Bytes::from_static(ACCEPTED), Tag::None))
}
