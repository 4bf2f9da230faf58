//! Mirrored upstream APIs.

use schemars::{Schema, SchemaGenerator};

use super::mirrored::{MirrorBody, mirror_schema};
use crate::domain::Error;
use crate::domain::mirror::{UapisQuery, query_uapis};
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::ParameterKind::Text;
use crate::http::routes::parameters::{CREATED, PAGE, Parameter};
use crate::http::routes::{Access, Payload, Route, Verb};
use crate::http::tag::Tag;
use crate::model::{Entity, Scope};

pub const ROUTES: &[Route] = &[Route {
    id: "listUapis",
    path: "/api/v1/uapis",
    tag: Tag::Models,
    access: Access::Scope(Scope::PricingRead),
    parameters: &[&[Parameter::new("name", Text, "The API's name.")], CREATED, PAGE],
    answer: Payload::List(schema),
    summary: "The mirrored upstream APIs.",
    problems: &[Code::InvalidCursor],
    ..Route::new(Verb::Get, |call| Box::pin(list(call)))
}];

fn schema(g: &mut SchemaGenerator) -> Schema {
    mirror_schema(g, "Uapi", Entity::Uapi)
}

async fn list(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let query = UapisQuery {
        name: params.text("name"),
        from: params.time("from"),
        to: params.time("to"),
        page: params.page(),
    };
    params.finish()?;
    let internal = call.reach()?.shows_internal();
    let page = query_uapis(call.env.store(), query).await?;
    Answer::list(&page, |row| MirrorBody::of(Entity::Uapi, row, internal))
}
