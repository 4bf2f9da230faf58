//! Mirrored models.

use schemars::{Schema, SchemaGenerator};

use super::mirrored::{MirrorBody, mirror_schema};
use crate::domain::Error;
use crate::domain::mirror::{ModelsQuery, get_model, query_models};
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::ParameterKind::{Id, Text};
use crate::http::routes::parameters::{CREATED, PAGE, Parameter};
use crate::http::routes::{Access, Payload, Route, Verb};
use crate::http::tag::Tag;
use crate::model::{Entity, Scope};

pub const ROUTES: &[Route] = &[
    Route {
        id: "listModels",
        path: "/api/v1/models",
        tag: Tag::Models,
        access: Access::Scope(Scope::PricingRead),
        parameters: &[
            &[
                Parameter::new("llmid", Id(64), "The model's id."),
                Parameter::new("model", Text, "The name of the model in requests."),
                Parameter::new("status", Text, "The model's status, such as published."),
                Parameter::new("ppid", Id(64), "The pricing program."),
            ],
            CREATED,
            PAGE,
        ],
        answer: Payload::List(schema),
        summary: "The mirrored models.",
        problems: &[Code::InvalidCursor],
        ..Route::new(Verb::Get, |call| Box::pin(list(call)))
    },
    Route {
        id: "getModel",
        path: "/api/v1/models/{id}",
        tag: Tag::Models,
        access: Access::Scope(Scope::PricingRead),
        answer: Payload::One(schema),
        summary: "One mirrored model, by the id of its row or of the model.",
        problems: &[Code::NotFound],
        ..Route::new(Verb::Get, |call| Box::pin(get(call)))
    },
];

fn schema(g: &mut SchemaGenerator) -> Schema {
    mirror_schema(g, "Model", Entity::Llmage)
}

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
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
    params.finish()?;
    let internal = call.reach()?.shows_internal();
    let page = query_models(call.env.store(), query).await?;
    Answer::list(&page, |row| MirrorBody::of(Entity::Llmage, row, internal))
}

async fn get(call: Call<'_>) -> Result<Answer, Error> {
    let id = call.path_id("id", "model")?;
    let model = get_model(call.env.store(), id.as_str()).await?;
    Answer::ok(&MirrorBody::of(Entity::Llmage, &model, call.reach()?.shows_internal()))
}
