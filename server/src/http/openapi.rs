//! `openapi.json`: OpenAPI 3.1, made from the table of routes.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::endpoints::routes;
use super::problem::Code;
use super::routes::parameters::{Parameter, ParameterKind};
use super::routes::{Access, Body, IfMatch, MERGE_PATCH, NDJSON, Payload, Route};
use super::schema;
use super::tag::Tag;

/// Problems of every route that needs an authenticated caller.
const KEY_PROBLEMS: &[Code] = &[
    Code::AuthMissing,
    Code::AuthMalformed,
    Code::AuthUncovered,
    Code::AuthExpired,
    Code::AuthFailed,
    Code::TokenInvalid,
    Code::TokenExpired,
    Code::KeyDisabled,
    Code::AddressDenied,
];
/// Problems where only users who signed in are served.
const SESSION_PROBLEMS: &[Code] = &[Code::SessionRequired];
/// Problems that a scope adds.
const SCOPE_PROBLEMS: &[Code] = &[Code::ScopeMissing];
/// Problems of every query and path.
const PARAMETER_PROBLEMS: &[Code] = &[Code::InvalidRequest, Code::UnknownParameter];
/// Problems that a body adds.
const BODY_PROBLEMS: &[Code] = &[Code::BodyMalformed, Code::BodyTooLarge, Code::UnsupportedMediaType];
/// Problems that the body of anything but an event adds to those.
const MEMBER_PROBLEMS: &[Code] = &[Code::InvalidRequest, Code::UnknownField];
/// Problems that a write of anything but an event adds.
const WRITE_PROBLEMS: &[Code] = &[Code::ReadOnly];
/// Problems that a write of an authenticated caller adds to those.
const KEY_WRITE_PROBLEMS: &[Code] = &[Code::AuthReplay];
/// Problems of every route.
const SERVER_PROBLEMS: &[Code] = &[Code::Internal, Code::Overloaded, Code::StoreUnavailable];

/// The description of the interface, as JSON text that ends with a newline.
pub fn document() -> String {
    let mut generator = SchemaSettings::draft2020_12()
        .for_serialize()
        .with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
        .into_generator();
    let mut paths = Map::new();
    for route in routes() {
        let operation = operation(route, &mut generator);
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        path[method(route)] = operation;
    }
    let mut schemas: BTreeMap<String, Value> = generator.take_definitions(true).into_iter().collect();
    schemas.insert("Problem".into(), problem());
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "SageAPI",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Balances, bookings and a mirror of the Sage platform. Success is \
                {\"status\":\"ok\",\"data\":...}, an error is a problem document (RFC 9457) with a stable code. \
                HEAD works wherever GET does.",
            "license": { "name": "Apache-2.0", "identifier": "Apache-2.0" },
        },
        "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
        "servers": [{ "url": "/", "description": "The server that this document comes from" }],
        "tags": Tag::ALL.into_iter().filter(is_used).map(tag).collect::<Vec<_>>(),
        "paths": paths,
        "components": { "schemas": schemas, "securitySchemes": security_schemes() },
    });
    // A JSON value can always be written.
    let mut text = serde_json::to_string_pretty(&document).unwrap_or_default();
    text.push('\n');
    text
}

fn is_used(tag: &Tag) -> bool {
    routes().any(|route| route.tag == *tag)
}

fn tag(tag: Tag) -> Value {
    let (name, description) = tag.text();
    json!({ "name": name, "description": description })
}

/// The member of a path item that describes the route.
fn method(route: &Route) -> String {
    route.verb.method().as_str().to_ascii_lowercase()
}

fn operation(route: &Route, g: &mut SchemaGenerator) -> Value {
    let mut operation = json!({
        "operationId": route.id,
        "summary": route.summary,
        "tags": [route.tag.text().0],
        "security": security(route.access),
        "responses": responses(route, g),
    });
    let parameters: Vec<_> = path_parameters(route)
        .chain(route.parameters().map(query_parameter))
        .chain(if_match_parameter(route.if_match))
        .collect();
    if !parameters.is_empty() {
        operation["parameters"] = json!(parameters);
    }
    if let Some((required, content)) = request_body(route.body, g) {
        operation["requestBody"] = json!({ "required": required, "content": content });
    }
    if let Some(scope) = route.access.scope() {
        operation["description"] = json!(format!("Needs the scope {scope}."));
    }
    operation
}

/// Whether a body is required, and its content by media type.
fn request_body(body: Body, g: &mut SchemaGenerator) -> Option<(bool, Value)> {
    match body {
        Body::None => None,
        Body::Json(schema) => Some((true, json_content(&schema(g)))),
        Body::OptionalJson(schema) => Some((false, json_content(&schema(g)))),
        Body::MergePatch(schema) => {
            let schema = schema(g);
            let content =
                json!({ MERGE_PATCH: { "schema": schema }, "application/json": { "schema": schema } });
            Some((true, content))
        }
        Body::Bulk { array, lines } => Some((true, bulk_content(&array(g), &lines(g)))),
    }
}

fn json_content(schema: &Schema) -> Value {
    json!({ "application/json": { "schema": schema } })
}

fn bulk_content(json: &Schema, lines: &Schema) -> Value {
    json!({ "application/json": { "schema": json }, NDJSON: { "schema": lines } })
}

fn path_parameters(route: &Route) -> impl Iterator<Item = Value> {
    route
        .path_parameters()
        .map(|name| json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string" } }))
}

fn if_match_parameter(if_match: IfMatch) -> Option<Value> {
    let required = match if_match {
        IfMatch::Ignored => return None,
        IfMatch::Optional => false,
        IfMatch::Required => true,
    };
    Some(json!({
        "name": "If-Match", "in": "header", "required": required,
        "description": "The ETag of the row as it was read, or * for any version.",
        "schema": { "type": "string", "pattern": "^(\\*|(W/)?\"[0-9]+\")$" },
    }))
}

fn query_parameter(parameter: &Parameter) -> Value {
    let schema = match parameter.kind {
        ParameterKind::Id(most) => json!({ "type": "string", "pattern": format!("^[!-~]{{1,{most}}}$") }),
        ParameterKind::Text => json!({ "type": "string", "minLength": 1, "maxLength": 255 }),
        ParameterKind::Cursor => json!({ "type": "string" }),
        ParameterKind::Time => json!({ "type": "string", "format": "date-time" }),
        ParameterKind::Day => json!({ "type": "string", "format": "date" }),
        ParameterKind::Integer(least, most) => {
            json!({ "type": "integer", "format": "int32", "minimum": least, "maximum": most })
        }
        ParameterKind::Count(most, default) => {
            json!({
                "type": "integer", "format": "int32", "minimum": 1, "maximum": most, "default": default,
            })
        }
        ParameterKind::Flag => json!({ "type": "boolean", "default": false }),
        ParameterKind::Choice(names) => json!({ "type": "string", "enum": names }),
        ParameterKind::Several(names) | ParameterKind::AnyOf(names) => {
            let items = json!({ "type": "string", "enum": names });
            json!({ "type": "array", "items": items, "minItems": 1, "uniqueItems": true })
        }
    };
    if let ParameterKind::Several(_) | ParameterKind::AnyOf(_) = parameter.kind {
        let required = matches!(parameter.kind, ParameterKind::Several(_));
        // A comma between them, not a parameter for each.
        return json!({
            "name": parameter.name, "in": "query", "description": parameter.description, "required": required,
            "style": "form", "explode": false, "schema": schema,
        });
    }
    json!({ "name": parameter.name, "in": "query", "description": parameter.description, "schema": schema })
}

fn security(access: Access) -> Value {
    match access {
        Access::Open => json!([]),
        Access::SignedIn => json!([{ "bearer": [] }]),
        Access::Authenticated | Access::Scope(_) => {
            json!([{ "signature": [] }, { "bearer": [] }, { "apiKey": [] }])
        }
        Access::Event => json!([{ "webhook": [] }]),
    }
}

fn security_schemes() -> Value {
    json!({
        "signature": {
            "type": "apiKey", "in": "header", "name": "Signature",
            "description": "HTTP Message Signatures (RFC 9421) with hmac-sha256: Signature-Input and Signature. \
                It covers @method, @path, @query if there is one, content-digest if there is a body, and \
                idempotency-key if it is sent; created and keyid are required, and a nonce on writes.",
        },
        "bearer": {
            "type": "http", "scheme": "bearer",
            "description": "The secret of a key made with auth_mode bearer, which begins with sk_, or the access token of a user who signed in.",
        },
        "apiKey": { "type": "apiKey", "in": "header", "name": "X-Api-Key", "description": "The secret of a key, as in bearer." },
        "webhook": {
            "type": "apiKey", "in": "header", "name": "webhook-signature",
            "description": "Standard Webhooks: webhook-id, webhook-timestamp and webhook-signature.",
        },
    })
}

fn responses(route: &Route, g: &mut SchemaGenerator) -> Value {
    let content = match route.answer {
        Payload::Nothing => Value::Null,
        Payload::One(data) => json_content(&envelope(&data(g))),
        Payload::List(row) => {
            let row = row(g);
            json_content(&envelope(&list(&row)))
        }
        Payload::Bulk { object, lines } => bulk_content(&envelope(&object(g)), &lines(g)),
        Payload::Bare(body) => json_content(&body(g)),
        Payload::Export(row) => {
            let lines =
                schema::lines(&row(g), "One record a line, and {\"_end\":true,\"count\":n} at the end.");
            json!({ NDJSON: { "schema": lines }, "text/csv": { "schema": { "type": "string" } } })
        }
        Payload::Page => json!({ "text/html": { "schema": { "type": "string" } } }),
    };
    let export = matches!(route.answer, Payload::Export(_));
    let mut responses = Map::new();
    let mut success = |status: u16, description: &str| {
        let mut response = json!({ "description": description });
        if !content.is_null() {
            response["content"] = content.clone();
        }
        responses.insert(status.to_string(), response);
    };
    success(route.status, "Success");
    if route.replays {
        success(200, "The transno was booked before; this repeats the first answer");
    }
    if let Some(schema) = route.dry_run {
        let content = json_content(&envelope(&schema(g)));
        let description = "The transno was booked before, and this repeats the first answer; or, with dry_run, what \
                           would be booked";
        responses.insert("200".into(), json!({ "description": description, "content": content }));
    }
    if !route.is_write() && !export {
        responses.insert("304".into(), json!({ "description": "Unchanged since the ETag in If-None-Match" }));
    }
    for (status, codes) in problems(route) {
        let description = codes.join(", ");
        let content =
            json!({ "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } });
        responses
            .entry(status.to_string())
            .or_insert_with(|| json!({ "description": description, "content": content }));
    }
    Value::Object(responses)
}

/// The statuses of a route's answers, as described.
pub fn statuses(route: &Route) -> impl Iterator<Item = u16> {
    let replayed = (route.replays || route.dry_run.is_some()).then_some(200);
    let export = matches!(route.answer, Payload::Export(_));
    let unchanged = (!route.is_write() && !export).then_some(304);
    [Some(route.status), replayed, unchanged].into_iter().flatten().chain(problems(route).into_keys())
}

/// The codes of a route by status.
fn problems(route: &Route) -> BTreeMap<u16, Vec<&'static str>> {
    let mut groups: Vec<&[Code]> = vec![route.problems, PARAMETER_PROBLEMS, SERVER_PROBLEMS];
    match route.access {
        Access::Open => {
            groups.extend(route.body.is_some().then_some(MEMBER_PROBLEMS));
            groups.extend(route.is_write().then_some(WRITE_PROBLEMS));
        }
        Access::Authenticated | Access::SignedIn | Access::Scope(_) => {
            groups.push(KEY_PROBLEMS);
            groups.extend((route.access == Access::SignedIn).then_some(SESSION_PROBLEMS));
            groups.extend(route.access.scope().map(|_| SCOPE_PROBLEMS));
            groups.extend(route.body.is_some().then_some(MEMBER_PROBLEMS));
            groups.extend(route.is_write().then_some(WRITE_PROBLEMS));
            groups.extend(route.is_write().then_some(KEY_WRITE_PROBLEMS));
        }
        Access::Event => groups.push(&[Code::AuthMissing, Code::AuthFailed, Code::AuthExpired]),
    }
    groups.extend(route.body.is_some().then_some(BODY_PROBLEMS));
    groups.push(match route.if_match {
        IfMatch::Ignored => &[],
        IfMatch::Optional => &[Code::PreconditionFailed],
        IfMatch::Required => &[Code::PreconditionFailed, Code::PreconditionRequired],
    });
    let mut by_status: BTreeMap<u16, Vec<&'static str>> = BTreeMap::new();
    for code in Code::ALL.iter().filter(|code| groups.iter().any(|group| group.contains(code))) {
        by_status.entry(code.status().as_u16()).or_default().push(code.as_str());
    }
    by_status
}

fn envelope(data: &Schema) -> Schema {
    let envelope = json!({
        "type": "object", "required": ["status", "data"],
        "properties": { "status": { "type": "string", "const": "ok" }, "data": data },
    });
    Schema::try_from(envelope).unwrap_or_default()
}

fn list(row: &Schema) -> Schema {
    let list = json!({
        "type": "object", "required": ["rows", "next_cursor"],
        "properties": {
            "rows": { "type": "array", "items": row },
            "next_cursor": { "type": ["string", "null"], "description": "null at the end" },
            "total": { "type": "integer", "format": "int32", "maximum": 10_000, "description": "with count=true" },
        },
    });
    Schema::try_from(list).unwrap_or_default()
}

fn problem() -> Value {
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
    let text = json!({ "type": "string" });
    json!({
        "type": "object",
        "description": "An error (RFC 9457).",
        "required": ["type", "title", "status", "detail", "instance", "code", "request_id", "errors"],
        "properties": {
            "type": { "type": "string", "format": "uri", "examples": ["urn:sageapi:problem:not_found"] },
            "title": text,
            "status": schema::status(),
            "detail": text,
            "instance": { "type": "string", "description": "the path of the request" },
            "code": { "type": "string", "enum": codes },
            "request_id": { "type": "string", "description": "also in the header X-Request-Id and in the server's log" },
            "errors": {
                "type": "array",
                "items": {
                    "type": "object", "required": ["field", "message"],
                    "properties": { "field": text, "message": text },
                },
            },
            "index": { "type": "integer", "format": "int32", "description": "in an atomic batch, the index of the item, from 0" },
            "available": { "$ref": "#/components/schemas/Money" },
            "required": { "$ref": "#/components/schemas/Money" },
            "server_time": { "$ref": "#/components/schemas/Time" },
        },
    })
}
