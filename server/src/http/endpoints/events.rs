//! Events of the platform.

use bytes::Bytes;
use http::StatusCode;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde_json::json;

use crate::domain::Error;
use crate::http::call::Call;
use crate::http::respond::{Answer, EntityTag};
use crate::http::routes::{Access, Body, Payload, Route, Verb};
use crate::http::schema::{self, IdText, TimeText};
use crate::http::tag::Tag;

pub const ROUTES: &[Route] = &[Route {
    id: "receiveEvent",
    path: "/api/v1/events",
    tag: Tag::Events,
    access: Access::Event,
    body: Body::Json(event_schema),
    status: 202,
    answer: Payload::Bare(accepted_schema),
    summary: "Accepts a signed event of the platform (Standard Webhooks) and pulls the rows that it names.",
    ..Route::new(Verb::Post, |call| Box::pin(receive(call)))
}];

const ACCEPTED: &[u8] = br#"{"accepted":true}"#;

/// A genuine event is always accepted, a repetition too.
async fn receive(call: Call<'_>) -> Result<Answer, Error> {
    call.env.events().receive(call.headers, &call.body).await?;
    Ok(Answer::bare(StatusCode::ACCEPTED, Bytes::from_static(ACCEPTED), EntityTag::None))
}

fn event_schema(g: &mut SchemaGenerator) -> Schema {
    let (id, time) = (g.subschema_for::<IdText>(), g.subschema_for::<TimeText>());
    let schema = json!({
        "type": "object",
        "description": "Unknown members and types are tolerated.",
        "properties": {
            "type": { "type": "string", "examples": ["user.updated"] },
            "timestamp": time,
            "data": {
                "type": "object",
                "properties": {
                    "entity": { "type": "string", "examples": ["users"] },
                    "ids": { "type": "array", "items": id, "maxItems": 500 },
                },
            },
        },
    });
    schema::defined(g, "Event", schema)
}

fn accepted_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object", "properties": { "accepted": { "type": "boolean", "const": true } }, "required": ["accepted"],
    })
}
