use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sageapi_server::signing::AuthError;
use sageapi_server::signing::webhook::{self, WebhookSecret};
use sageapi_upstream_sim::event::{Event, EventError};
use sageapi_upstream_sim::{CommandError, Entity, Options, Rows, system_now};
use serde_json::{Value, json};

use super::client::{ids, start};

const SECRET: &str = "whsec_c2ltdWxhdG9yLWV2ZW50LXNlY3JldC0wMDAx";

#[tokio::test]
async fn the_control_port_changes_deletes_and_adds() {
    let (sim, client) = start(Options::default()).await;
    let (_, cursor) = client.walk(&sim, Entity::Users, "", "", 500).await;
    let (status, done) = client
        .command(
            &sim,
            "change",
            json!({"entity": "users", "ids": ["user_demo_0001"], "set": {"email": null}}),
        )
        .await;
    assert_eq!((status, &done["data"]["ids"]), (StatusCode::OK, &json!(["user_demo_0001"])));
    let (_, deleted) = client.command(&sim, "delete", json!({"entity": "users", "count": 2})).await;
    let (_, added) = client.command(&sim, "add", json!({"entity": "users", "ids": ["new"]})).await;
    let (rows, _) = client.walk(&sim, Entity::Users, &cursor, "", 500).await;
    // The two that were deleted begin with the one that was changed: it is told once, as deleted.
    assert_eq!(deleted["data"]["ids"], json!(["user_demo_0001", "user_demo_0002"]));
    assert_eq!(ids(&rows), ["user_demo_0001", "user_demo_0002", "new"]);
    assert_eq!(rows[2]["version"], added["data"]["version"]);

    let (_, back) =
        client.command(&sim, "change", json!({"entity": "users", "ids": ["user_demo_0001"]})).await;
    assert!(back["data"]["version"].as_u64() > added["data"]["version"].as_u64());
    let state = client.report(&sim, "state").await;
    assert_eq!(state["entities"]["users"]["rows"], 1000);
    assert_eq!(state["entities"]["users"]["deleted"], 1);
    assert_eq!(state["entities"]["users"]["highest_version"], back["data"]["version"]);
    sim.stop().await;
}

#[tokio::test]
async fn faults_and_expired_cursors_are_commanded_over_http_too() {
    let (sim, client) = start(Options::default()).await;
    let (_, cursor) = client.walk(&sim, Entity::Uapi, "", "", 500).await;
    let fault = json!({"mode": "status", "status": 500, "entity": "uapi", "count": 1});
    assert_eq!(client.command(&sim, "fault", fault.clone()).await.0, StatusCode::OK);
    assert_eq!(client.report(&sim, "state").await["faults"], json!([fault]));
    assert_eq!(client.pull(&sim, "/sync/v1/uapi").await.status().as_u16(), 500);
    assert_eq!(client.command(&sim, "expire-cursors", json!({})).await.0, StatusCode::OK);
    let since = percent_encoding::utf8_percent_encode(&cursor, percent_encoding::NON_ALPHANUMERIC);
    let answer = client.pull(&sim, &format!("/sync/v1/uapi?since={since}")).await;
    assert_eq!(answer.status(), StatusCode::GONE);
    sim.stop().await;
}

#[tokio::test]
async fn a_wrong_command_is_refused_with_the_reason_and_changes_nothing() {
    let (sim, client) = start(Options::default()).await;
    for (path, body, status, reason) in [
        ("change", json!({"entity": "users"}), 400, "either `count` or `ids`"),
        ("change", json!({"entity": "users", "count": 1, "ids": []}), 400, "either `count` or `ids`"),
        ("change", json!({"entity": "people", "count": 1}), 400, "unknown variant `people`"),
        ("change", json!({"entity": "users", "cuont": 1}), 400, "unknown field `cuont`"),
        ("change", json!({"entity": "users", "ids": ["user_demo_0001", "x"]}), 400, "users has no row \"x\""),
        ("add", json!({"entity": "users", "ids": ["user_demo_0001"]}), 400, "already"),
        ("delete", json!({"entity": "users", "count": 1, "set": {}}), 400, "no columns"),
        ("fault", json!({"mode": "status", "status": 99}), 400, "200 to 599"),
        ("event", json!({"entity": "users"}), 502, "--event-url"),
        ("dance", json!({}), 404, "no command POST /control/dance"),
    ] {
        let (answer, body) = client.command(&sim, path, body).await;
        let message = body["data"]["message"].as_str().unwrap();
        assert_eq!(answer.as_u16(), status, "{path}: {message}");
        assert!(message.contains(reason), "{path}: {message}");
    }
    assert_eq!(client.report(&sim, "state").await["entities"]["users"]["highest_version"], 1000);
    sim.stop().await;
}

#[tokio::test]
async fn commands_in_process_name_the_id_that_is_wrong() {
    let (sim, _) = start(Options::default()).await;
    let unknown = sim.control.delete(Entity::Uapi, &Rows::Ids(vec!["nope".into()]));
    assert!(matches!(unknown, Err(CommandError::UnknownId { id, .. }) if id == "nope"));
    sim.stop().await;
}

/// A server that keeps what it gets and answers 202.
struct Receiver {
    url: String,
    got: Arc<Mutex<Vec<(HeaderMap, Bytes)>>>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/api/v1/events", listener.local_addr().unwrap());
        let got = Arc::new(Mutex::new(Vec::new()));
        let keep = Arc::clone(&got);
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let keep = Arc::clone(&keep);
                tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(
                    TokioIo::new(stream),
                    service_fn(move |request: Request<Incoming>| {
                        let keep = Arc::clone(&keep);
                        async move {
                            let (head, body) = request.into_parts();
                            let body = body.collect().await.unwrap().to_bytes();
                            keep.lock().unwrap().push((head.headers, body));
                            let mut answer =
                                Response::new(Full::new(Bytes::from_static(b"{\"accepted\":true}")));
                            *answer.status_mut() = StatusCode::ACCEPTED;
                            Ok::<_, Infallible>(answer)
                        }
                    }),
                ));
            }
        });
        Self { url, got }
    }

    /// Checks the last event as the server does.
    fn verdict(&self) -> Result<String, AuthError> {
        let got = self.got.lock().unwrap();
        let (headers, body) = got.last().unwrap();
        let secrets = [WebhookSecret::parse(SECRET).unwrap()];
        webhook::verify(&secrets, headers, body, system_now()() / 1_000_000, 300).map(|id| format!("{id:?}"))
    }
}

#[tokio::test]
async fn events_are_signed_so_that_the_server_accepts_them_and_wrong_ones_are_told_apart() {
    let receiver = Receiver::start().await;
    let options = Options {
        event_url: Some(receiver.url.clone()),
        event_secret: Some(SECRET.into()),
        ..Options::default()
    };
    let (sim, client) = start(options).await;
    let event = Event::about(Entity::Llmage, ["model_demo_0001"]);
    let answer = sim.control.send_event(&event).await.unwrap();
    assert_eq!((answer.status, answer.body.as_str()), (202, r#"{"accepted":true}"#));
    assert!(receiver.verdict().unwrap().contains(&answer.webhook_id));
    let body: Value = serde_json::from_slice(&receiver.got.lock().unwrap()[0].1).unwrap();
    assert_eq!(body["type"], "llm.updated");
    assert_eq!(body["data"], json!({"entity": "llmage", "ids": ["model_demo_0001"]}));

    let again = sim.control.send_event(&event).await.unwrap();
    assert_ne!(again.webhook_id, answer.webhook_id);
    sim.control.send_event(&Event { bad_signature: true, ..event.clone() }).await.unwrap();
    assert_eq!(receiver.verdict(), Err(AuthError::Failed));
    sim.control.send_event(&Event { timestamp_offset: -400, ..event }).await.unwrap();
    assert_eq!(receiver.verdict(), Err(AuthError::Expired));

    let told = json!({"entity": "users", "type": "user.deleted", "ids": ["a"], "webhook_id": "msg_1"});
    let (status, body) = client.command(&sim, "event", told).await;
    assert_eq!((status, &body["data"]["status"]), (StatusCode::OK, &json!(202)));
    assert!(receiver.verdict().unwrap().contains("msg_1"));
    assert_eq!(sim.control.state_report().events_sent, 5);
    sim.stop().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_sent_says_why() {
    let (sim, _) = start(Options::default()).await;
    let event = Event::about(Entity::Users, ["a"]);
    assert!(matches!(sim.control.send_event(&event).await, Err(EventError::NoUrl)));
    // Nothing listens on a port that was just given back.
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let event = Event { url: Some(format!("http://{free}/")), ..event };
    assert!(matches!(sim.control.send_event(&event).await, Err(EventError::NoSecret)));
    let event = Event { secret: Some("not-a-secret".into()), ..event };
    assert!(matches!(sim.control.send_event(&event).await, Err(EventError::NoSecret)));
    let event = Event { secret: Some(SECRET.into()), ..event };
    assert!(matches!(sim.control.send_event(&event).await, Err(EventError::Unanswered(_))));
    assert_eq!(sim.control.state_report().events_sent, 0);
    sim.stop().await;
}
