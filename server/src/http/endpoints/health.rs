//! The health of this instance.

use schemars::{Schema, SchemaGenerator};
use serde_json::json;

use crate::domain::Error;
use crate::env::ServerEnv;
use crate::http::respond::Answer;
use crate::http::routes::{Access, Payload, Route, Verb};
use crate::http::schema;
use crate::http::tag::Tag;

pub const ROUTES: &[Route] = &[Route {
    id: "getHealth",
    path: "/api/v1/health",
    tag: Tag::Service,
    access: Access::Open,
    answer: Payload::One(health_schema),
    summary: "The health of this instance, and how fresh its data is; 503 when it cannot serve.",
    ..Route::new(Verb::Get, |call| Box::pin(answer(call.env)))
}];

/// The health, with 503 when the instance cannot serve.
pub async fn answer(env: &ServerEnv) -> Result<Answer, Error> {
    let health = env.health().await;
    if health.is_down() { Answer::down(&health) } else { Answer::ok(&health) }
}

fn health_schema(g: &mut SchemaGenerator) -> Schema {
    let schema = json!({
        "type": "object",
        "required": ["status", "version", "instance", "uptime_s", "database", "cache", "sync"],
        "properties": {
            "status": { "type": "string", "enum": ["ok", "degraded", "down"] },
            "version": { "type": "string" },
            "instance": { "type": "string" },
            "uptime_s": { "type": "integer", "format": "int64" },
            "database": {
                "type": "object",
                "properties": { "kind": { "type": "string" }, "status": { "type": "string" } },
            },
            "cache": { "type": "object" },
            "sync": {
                "type": "object",
                "additionalProperties": {
                    "type": "object",
                    "properties": {
                        "age_s": { "type": ["number", "null"], "format": "double" },
                        "status": { "type": "string" },
                        "error_class": { "type": ["string", "null"] },
                        "quarantined": {
                            "type": "integer", "format": "int64",
                            "description": "Rows whose newest version cannot be read, counted up to 10,000.",
                        },
                    },
                },
            },
        },
    });
    schema::defined(g, "Health", schema)
}
