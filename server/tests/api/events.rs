//! POST /events: Standard Webhooks, and what a valid event starts.

use std::time::Duration;

use sageapi_server::signing::webhook::{ID, SIGNATURE, TIMESTAMP, WebhookSecret, sign};
use sageapi_test_support::app::{AppBuilder, UAPI_SECRET};
use sageapi_upstream_sim::event::Event;
use sageapi_upstream_sim::world::Counts;
use sageapi_upstream_sim::{DEMO_KEY, DEMO_SECRET, Options, Rows, RunningSim, Sim};
use serde_json::{Value, json};

use crate::raw::{Ask, Reply};
use crate::site::{
    Site, clock_at, new_id, on_every_database, on_every_database_with, on_every_database_with_a_clock, until,
};

const ACCEPTED: &[u8] = br#"{"accepted":true}"#;

fn event(secret: &str, id: &str, timestamp: i64, body: &[u8]) -> Ask {
    let signature = sign(&WebhookSecret::parse(secret).unwrap(), id, timestamp, body);
    Ask::post_bytes("/events", body)
        .header(ID, id)
        .header(TIMESTAMP, &timestamp.to_string())
        .header(SIGNATURE, &signature)
}

impl Site {
    pub async fn tell(&self, body: &[u8]) -> Reply {
        event(UAPI_SECRET, &new_id("evt"), self.now_s(), body).send(self.http()).await
    }
}

#[track_caller]
fn assert_accepted(reply: &Reply) {
    assert_eq!((reply.status, reply.bytes.as_slice()), (202, ACCEPTED), "{}", reply.text());
}

#[test]
fn every_webhook_vector_is_accepted() {
    let vectors: Value = serde_json::from_str(include_str!("../vectors/signing.json")).unwrap();
    let vectors = vectors["standard_webhooks"].as_array().unwrap();
    assert_eq!(vectors.len(), 2);
    for vector in vectors {
        let text = |member: &str| vector[member].as_str().unwrap();
        let timestamp = vector["timestamp"].as_i64().unwrap();
        let configure = |builder: AppBuilder| {
            let secrets = format!("whsec_AAAA {}", text("secret"));
            builder.set("SAGEAPI_UPSTREAM_UAPI_SECRET", &secrets).clock(clock_at(timestamp))
        };
        on_every_database_with(configure, async |site| {
            let ask = Ask::post_bytes("/events", text("body"))
                .header(ID, text("id"))
                .header(TIMESTAMP, &timestamp.to_string())
                .header(SIGNATURE, text("signature"));
            assert_accepted(&ask.send(site.http()).await);
            // Standard Webhooks does not say what type the body has.
            assert_accepted(&ask.clone().without("content-type").send(site.http()).await);
            let forged = Ask { body: [ask.body.as_slice(), b" "].concat(), ..ask };
            assert_eq!(forged.send(site.http()).await.refusal(), (401, "auth_failed"));
        });
    }
}

#[test]
fn an_event_is_accepted_every_time_it_comes() {
    on_every_database(async |site| {
        let body = br#"{"type":"user.updated","timestamp":"2026-05-28T20:26:40Z","data":{"entity":"users","ids":["u-1"]}}"#;
        let ask = event(UAPI_SECRET, &new_id("evt"), site.now_s(), body);
        for _ in 0..3 {
            assert_accepted(&ask.send(site.http()).await);
        }
        let replies = futures_util::future::join_all((0..20).map(|_| ask.send(site.http()))).await;
        replies.iter().for_each(assert_accepted);
        let site = site.restarted(|_| ()).await;
        assert_accepted(&ask.send(site.http()).await);
        assert_eq!(site.database().int("SELECT COUNT(*) FROM webhook_ids").await, 1);
    });
}

#[test]
fn an_event_that_is_not_genuine_is_refused_with_its_code() {
    on_every_database_with_a_clock(async |site, clock| {
        let now = site.now_s();
        let good = || event(UAPI_SECRET, "evt-1", now, b"{}");
        for name in [ID, TIMESTAMP, SIGNATURE] {
            assert_eq!(
                good().without(name).send(site.http()).await.refusal(),
                (401, "auth_missing"),
                "{name}"
            );
            let value = good().headers.iter().find(|(given, _)| given == name).unwrap().1.clone();
            assert_eq!(
                good().header(name, &value).send(site.http()).await.refusal(),
                (401, "auth_failed"),
                "{name}"
            );
        }
        for offset in [-301, 301] {
            let reply = event(UAPI_SECRET, "evt-1", now + offset, b"{}").send(site.http()).await;
            assert_eq!(reply.refusal(), (401, "auth_expired"), "{offset}");
            assert!(reply.json["server_time"].is_string());
        }
        for wrong in [
            event("whsec_AAAA", "evt-1", now, b"{}"),
            good().without(ID).header(ID, "evt-2"),
            good().without(TIMESTAMP).header(TIMESTAMP, &(now + 1).to_string()),
            good().without(TIMESTAMP).header(TIMESTAMP, "soon"),
            good().without(SIGNATURE).header(SIGNATURE, "v1,AAAA"),
            good().without(SIGNATURE).header(SIGNATURE, "v2,AAAA v1a,AAAA"),
            good().without(SIGNATURE).header(SIGNATURE, ""),
            event(UAPI_SECRET, &"e".repeat(129), now, b"{}"),
            Ask { body: b"{} ".to_vec(), ..good() },
        ] {
            assert_eq!(wrong.send(site.http()).await.refusal(), (401, "auth_failed"), "{:?}", wrong.headers);
        }
        // dapi means nothing here, and what was refused may still come genuine.
        let signed = Ask::post("/events", &json!({})).signed(&site.platform, now);
        assert_eq!(signed.send(site.http()).await.refusal(), (401, "auth_missing"));
        let both = event(UAPI_SECRET, "evt-1", now, b"{}").header("authorization", "Bearer x");
        assert_accepted(&both.send(site.http()).await);
        clock.advance(Duration::from_secs(300));
        assert_accepted(&good().send(site.http()).await);
        let unbound = site.database().int("SELECT COUNT(*) FROM webhook_ids").await;
        assert_eq!(unbound, 1, "only genuine events are remembered");
    });
}

#[test]
fn an_event_of_any_content_is_accepted_when_it_is_genuine() {
    on_every_database(async |site| {
        let many: Vec<_> = (0..501).map(|n| format!("u-{n}")).collect();
        let long = "x".repeat(10_000);
        for body in [
            json!({"type": "user.updated", "timestamp": "2026-05-28T20:26:40Z", "data": {"entity": "users", "ids": ["u"]}}),
            json!({"type": "user.deleted", "data": {"entity": "users", "ids": ["u"], "cursor": null, "more": {"a": [1]}}}),
            json!({"type": "balance.changed", "data": {"entity": "balances", "ids": ["org"]}}),
            json!({"type": "galaxy.exploded", "data": {"entity": "galaxies", "ids": ["andromeda"]}}),
            json!({"type": "user.updated", "data": {"entity": "users", "ids": many}}),
            json!({"type": "user.updated", "data": {"entity": "users", "ids": ["", " ", "a b", "ü", long]}}),
            json!({"type": "user.updated", "data": {"entity": "users", "ids": [1, null]}}),
            json!({"type": "user.updated", "data": {"entity": 7, "ids": "u"}}),
            json!({"type": 5, "data": null}),
            json!({}),
            json!([]),
            json!(null),
        ] {
            assert_accepted(&site.tell(body.to_string().as_bytes()).await);
        }
        for body in [
            &b""[..],
            b"not json",
            b"{\"a\":",
            b"\xff\xfe",
            b"{\"data\":{},\"data\":{}}",
            "[".repeat(100_000).as_bytes(),
        ] {
            assert_accepted(&site.tell(body).await);
        }
        let huge = vec![b' '; (1 << 20) + 1];
        assert_eq!(site.tell(&huge).await.refusal(), (413, "body_too_large"));
        assert_eq!(site.get(&site.platform, "/whoami").await.status, 200);
    });
}

/// A simulated platform, and what makes an instance mirror it.
async fn platform() -> RunningSim {
    let counts = Counts { users: 40, customers: 4, models: 8, apis: 3, programs: 5, ..Counts::default() };
    let options = Options { counts, event_secret: Some(UAPI_SECRET.to_owned()), ..Options::default() };
    Sim::start(options).await.unwrap()
}

fn mirroring(builder: AppBuilder, sim: &RunningSim) -> AppBuilder {
    builder
        .set("SAGEAPI_UPSTREAM_URL", &sim.feed_url())
        .set("SAGEAPI_UPSTREAM_DAPI_KEY", DEMO_KEY)
        .set("SAGEAPI_UPSTREAM_DAPI_SECRET", DEMO_SECRET)
        // Only events bring news within the time of this test.
        .set("SAGEAPI_SYNC_USERS_EVERY", "1h")
        .set("SAGEAPI_SYNC_PRICING_EVERY", "1h")
        .set("SAGEAPI_SYNC_LLMAGE_EVERY", "1h")
        .set("SAGEAPI_SYNC_UAPI_EVERY", "1h")
}

#[test]
fn an_event_pulls_what_it_names() {
    for kind in sageapi_test_support::database::kinds() {
        crate::site::on(kind, async || {
            let sim = platform().await;
            let builder = sageapi_test_support::app::App::builder(kind);
            let site = Site::new(mirroring(builder, &sim).start().await);
            let id = sim.control.id(sageapi_upstream_sim::Entity::Users, 3);
            let path = format!("/users/{id}");
            until("the first run is over", async || {
                site.env().sync().freshness().iter().all(|(_, freshness)| freshness.age_s.is_some())
            })
            .await;
            let before = site.get(&site.platform, &path).await.data().clone();
            let set = json!({"nick_name": "renamed"}).as_object().unwrap().clone();
            sim.control
                .change(sageapi_upstream_sim::Entity::Users, &Rows::Ids(vec![id.clone()]), Some(set))
                .unwrap();
            assert_eq!(site.get(&site.platform, &path).await.data(), &before, "no event has arrived yet");
            let url = Some(format!("{}/api/v1/events", site.app.base()));
            let about = |ids: Vec<String>| Event {
                url: url.clone(),
                ..Event::about(sageapi_upstream_sim::Entity::Users, ids)
            };
            let told = sim.control.send_event(&about(vec![id.clone()])).await.unwrap();
            assert_eq!((told.status, told.body.as_bytes()), (202, ACCEPTED));
            let took = until("the change is visible", async || {
                site.get(&site.platform, &path).await.data()["nick_name"] == "renamed"
            })
            .await;
            eprintln!("event to visible on {kind}: {} ms", took.as_millis());

            sim.control.delete(sageapi_upstream_sim::Entity::Users, &Rows::Ids(vec![id.clone()])).unwrap();
            sim.control.send_event(&about(vec![id])).await.unwrap();
            until("the deletion is visible", async || site.get(&site.platform, &path).await.status == 404)
                .await;
            let forged = sim
                .control
                .send_event(&Event { bad_signature: true, ..about(vec!["x".into()]) })
                .await
                .unwrap();
            assert_eq!(forged.status, 401);
            sim.stop().await;
        });
    }
}
