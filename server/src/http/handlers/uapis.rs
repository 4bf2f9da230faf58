use super::super::call::Call;
use super::super::respond::Answer;
use super::super::wire::{ListBody, MirrorBody};
use crate::domain::Error;
use crate::domain::mirror::UapisQuery;
use crate::model::Entity::Uapi;

/// The upstream APIs.
pub async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let query = UapisQuery {
        name: params.text("name"),
        from: params.time("from"),
        to: params.time("to"),
        page: params.page(),
    };
    std::mem::take(params).finish()?;
    let internal = call.reach()?.shows_internal();
    let page = call.env.query_uapis(query).await?;
    Answer::ok(&ListBody::of(&page, |row| MirrorBody::of(Uapi, row, internal)))
}
