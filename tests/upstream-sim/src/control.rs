//! The control port: the commands of [`Control`] over HTTP, for other processes. It asks nobody who they are.

use std::sync::Arc;

use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::changes::Columns;
use crate::entity::Entity;
use crate::event::Event;
use crate::fault::Fault;
use crate::listener::{Body, Broken, full};
use crate::platform::{Control, Rows};

const MAX_BODY: usize = 16 << 20;

/// Body of change, delete and add.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Touch {
    entity: Entity,
    count: Option<u64>,
    ids: Option<Vec<String>>,
    set: Option<Columns>,
}

impl Touch {
    fn rows(&mut self) -> Result<Rows, No> {
        match (self.count.take(), self.ids.take()) {
            (Some(count), None) => Ok(Rows::Count(count)),
            (None, Some(ids)) => Ok(Rows::Ids(ids)),
            _ => Err(No::bad("give either `count` or `ids`")),
        }
    }
}

/// Body of expire-cursors.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expire {
    entity: Option<Entity>,
    older_than: Option<u64>,
}

/// A refusal with its reason.
struct No(StatusCode, String);

impl No {
    #[expect(clippy::needless_pass_by_value, reason = "so that it can stand in map_err")]
    fn bad(reason: impl ToString) -> Self {
        Self(StatusCode::BAD_REQUEST, reason.to_string())
    }
}

/// Answers one command.
pub(crate) async fn answer(
    platform: Arc<Control>,
    request: Request<Incoming>,
) -> Result<Response<Body>, Broken> {
    let (request, body) = request.into_parts();
    let path = request.uri.path().to_owned();
    let done = match Limited::new(body, MAX_BODY).collect().await {
        Ok(body) => command(&platform, &request.method, &path, &body.to_bytes()).await,
        Err(_) => Err(No(StatusCode::PAYLOAD_TOO_LARGE, format!("a command has at most {MAX_BODY} bytes"))),
    };
    let (status, body) = match done {
        Ok(body) => (StatusCode::OK, body),
        Err(No(status, message)) => {
            (status, json!({"status": "error", "data": {"message": message}}).to_string())
        }
    };
    tracing::info!(method = %request.method, path, status = status.as_u16(), "command");
    let mut answer = Response::new(full(body));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(answer)
}

async fn command(platform: &Control, method: &Method, path: &str, body: &[u8]) -> Result<String, No> {
    match (method.as_str(), path) {
        ("GET", "/control/state") => ok(platform.state_report()),
        ("GET", "/control/world") => ok(platform.describe_world()),
        ("POST", "/control/change") => {
            let mut touch: Touch = read(body)?;
            ok(platform.change(touch.entity, &touch.rows()?, touch.set).map_err(No::bad)?)
        }
        ("POST", "/control/add") => {
            let mut touch: Touch = read(body)?;
            ok(platform.add(touch.entity, &touch.rows()?, touch.set).map_err(No::bad)?)
        }
        ("POST", "/control/delete") => {
            let mut touch: Touch = read(body)?;
            if touch.set.is_some() {
                return Err(No::bad("a deleted row has no columns to set: leave `set` out"));
            }
            ok(platform.delete(touch.entity, &touch.rows()?).map_err(No::bad)?)
        }
        ("POST", "/control/expire-cursors") => {
            let expire: Expire = read(if body.is_empty() { b"{}" } else { body })?;
            platform.expire_cursors(expire.entity, expire.older_than);
            ok(json!({}))
        }
        ("POST", "/control/fault") => {
            let fault: Fault = read(body)?;
            if let Some(status) = fault.status
                && !(200..=599).contains(&status)
            {
                return Err(No::bad("`status` must be 200 to 599"));
            }
            platform.fault(fault);
            ok(json!({}))
        }
        ("POST", "/control/event") => {
            let event: Event = read(body)?;
            let answer = platform.send_event(&event).await;
            ok(answer.map_err(|error| No(StatusCode::BAD_GATEWAY, chain(&error)))?)
        }
        _ => Err(No(StatusCode::NOT_FOUND, format!("no command {method} {path}: --help lists them"))),
    }
}

fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, No> {
    serde_json::from_slice(body).map_err(No::bad)
}

fn ok(data: impl Serialize) -> Result<String, No> {
    #[derive(Serialize)]
    struct Envelope<T> {
        status: &'static str,
        data: T,
    }
    serde_json::to_string(&Envelope { status: "ok", data })
        .map_err(|error| No(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
}

/// An error with its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
