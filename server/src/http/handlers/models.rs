use super::super::call::Call;
use super::super::respond::Answer;
use super::super::wire::{ListBody, MirrorBody};
use crate::domain::Error;
use crate::domain::mirror::ModelsQuery;
use crate::model::Entity::Llmage;

/// The models.
pub async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let query = ModelsQuery {
        llmid: params.text_id("llmid"),
        model: params.text("model"),
        status: params.text("status"),
        ppid: params.text_id("ppid"),
        from: params.time("from"),
        to: params.time("to"),
        page: params.page(),
    };
    std::mem::take(params).finish()?;
    let internal = call.reach()?.shows_internal();
    let page = call.env.query_models(query).await?;
    Answer::ok(&ListBody::of(&page, |row| MirrorBody::of(Llmage, row, internal)))
}

/// One model.
pub async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let model = call.env.get_model(call.id("model")?.as_str()).await?;
    Answer::ok(&MirrorBody::of(Llmage, &model, call.reach()?.shows_internal()))
}
