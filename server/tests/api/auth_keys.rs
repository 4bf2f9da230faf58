//! Keys: two valid secrets, disabled, expired, bound to addresses, bearer keys; and the order of the checks.

use std::time::Duration;

use sageapi_server::domain::keys::KeyRequest;
use sageapi_server::model::{Actor, AuthMode, Clock as _, KeyId};
use sageapi_test_support::app::{CUSTOMER_SCOPES, request};
use serde_json::json;

use crate::raw::{Ask, Credentials, nonce};
use crate::site::{Site, on_every_database, on_every_database_with, on_every_database_with_a_clock};

const DAY: Duration = Duration::from_hours(24);

fn id(key: &Credentials) -> KeyId {
    KeyId::parse(&key.key_id).unwrap()
}

#[test]
fn after_a_rotation_both_secrets_work_until_the_overlap_ends() {
    on_every_database_with_a_clock(async |site, clock| {
        let c = site.customer("1").await;
        assert_eq!(site.get(&c.key, "/whoami").await.status, 200, "the key is in the cache");
        // Rotated beside the server, as the command does; the server hears of it.
        let beside = site.command().await;
        let made = beside.env.keys().rotate(&id(&c.key), DAY, &Actor::command_line()).await.unwrap();
        let renewed = Credentials { secret: made.secret.expose().to_owned(), ..c.key.clone() };
        site.until("the new secret works", async || site.get(&renewed, "/whoami").await.status == 200).await;
        assert_eq!(site.get(&c.key, "/whoami").await.status, 200);
        let neither = Credentials { secret: "neither".into(), ..c.key.clone() };
        assert_eq!(site.get(&neither, "/whoami").await.refusal(), (401, "auth_failed"));

        clock.advance(DAY - Duration::from_secs(2));
        assert_eq!(site.get(&c.key, "/whoami").await.status, 200);
        clock.advance(Duration::from_secs(3));
        assert_eq!(site.get(&c.key, "/whoami").await.refusal(), (401, "auth_failed"));
        assert_eq!(site.get(&renewed, "/whoami").await.status, 200);
        assert!(
            beside.env.keys().rotate(&id(&c.key), DAY * 8, &Actor::command_line()).await.is_err(),
            "an overlap lasts seven days at most"
        );
    });
}

#[test]
fn a_key_that_is_switched_off_stops_working_and_on_again_works() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        assert_eq!(site.get(&c.key, "/whoami").await.status, 200);
        let beside = site.command().await;
        assert!(beside.env.store().set_key_enabled(&id(&c.key), false).await.unwrap());
        site.until("the key is refused", async || site.get(&c.key, "/whoami").await.status == 403).await;
        assert_eq!(site.get(&c.key, "/whoami").await.refusal(), (403, "key_disabled"));
        assert!(beside.env.store().set_key_enabled(&id(&c.key), true).await.unwrap());
        site.until("the key works", async || site.get(&c.key, "/whoami").await.status == 200).await;
    });
}

#[test]
fn an_expired_key_is_disabled_from_that_moment() {
    on_every_database_with_a_clock(async |site, clock| {
        let expires_at = clock.now().plus(Duration::from_secs(10));
        let key = site
            .app
            .make_key(KeyRequest { expires_at: Some(expires_at), ..request(None, CUSTOMER_SCOPES) })
            .await;
        let key = Credentials::from(&key);
        let me = site.get(&key, "/whoami").await;
        assert_eq!(me.data()["expires_at"], expires_at.to_string());
        clock.advance(Duration::from_secs(10));
        assert_eq!(site.get(&key, "/whoami").await.refusal(), (403, "key_disabled"));
    });
}

async fn key_from(site: &Site, networks: &[&str]) -> Credentials {
    let allowed_cidrs = networks.iter().map(|net| net.parse().unwrap()).collect();
    let key = site.app.make_key(KeyRequest { allowed_cidrs, ..request(None, CUSTOMER_SCOPES) }).await;
    Credentials::from(&key)
}

#[test]
fn a_key_may_be_bound_to_networks() {
    on_every_database(async |site| {
        for networks in [["10.0.0.0/8", "127.0.0.0/8"], ["10.0.0.0/8", "::ffff:127.0.0.0/104"]] {
            let here = key_from(&site, &networks).await;
            assert_eq!(site.get(&here, "/whoami").await.status, 200, "{networks:?}");
        }
        let elsewhere = key_from(&site, &["10.0.0.0/8", "::1/128"]).await;
        assert_eq!(site.get(&elsewhere, "/whoami").await.refusal(), (403, "address_denied"));
        let claimed =
            Ask::get("/whoami").header("x-forwarded-for", "10.1.2.3").header("forwarded", "for=10.1.2.3");
        let reply = site.send(claimed, &elsewhere).await;
        assert_eq!(
            reply.refusal(),
            (403, "address_denied"),
            "a client's word about its address is not believed"
        );
    });
}

#[test]
fn a_trusted_proxy_tells_the_address() {
    let trust = |builder: sageapi_test_support::app::AppBuilder| {
        builder.set("SAGEAPI_SERVER_TRUSTED_PROXIES", "127.0.0.0/8,10.9.0.0/16")
    };
    on_every_database_with(trust, async |site| {
        let key = key_from(&site, &["192.0.2.0/24"]).await;
        let from =
            async |line: &str| site.send(Ask::get("/whoami").header("x-forwarded-for", line), &key).await;
        assert_eq!(from("192.0.2.7").await.status, 200);
        assert_eq!(from("::ffff:192.0.2.7").await.status, 200);
        assert_eq!(from("203.0.113.1, 192.0.2.7, 10.9.1.1").await.status, 200);
        assert_eq!(from("192.0.2.7, 203.0.113.1").await.refusal(), (403, "address_denied"));
        assert_eq!(from("nonsense").await.refusal(), (403, "address_denied"));
        assert_eq!(site.get(&key, "/whoami").await.refusal(), (403, "address_denied"));
    });
}

#[test]
fn bearer_keys_are_the_token_itself_and_need_no_nonce() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let bearer = KeyRequest { auth_mode: AuthMode::Bearer, ..request(Some(&c.id), CUSTOMER_SCOPES) };
        let bearer = Credentials::from(&site.app.make_key(bearer).await);
        let token = bearer.secret.as_str();
        for ask in [
            Ask::get("/whoami").bearer(token),
            Ask::get("/whoami").header("x-api-key", token),
            Ask::get("/whoami").header("authorization", &format!("bearer {token}")),
        ] {
            let reply = ask.send(site.http()).await;
            assert_eq!(reply.data()["auth_mode"], "bearer");
        }
        let charge = Ask::post("/accounting", &json!({"transno": "t", "amount": "1"})).bearer(token);
        assert_eq!(charge.send(site.http()).await.status, 201);
        assert_eq!(charge.send(site.http()).await.status, 200, "repeating is safe by the transno");

        let basic = format!("Basic {token}");
        for wrong in [
            Ask::get("/whoami").bearer(&token[..token.len() - 1]),
            Ask::get("/whoami").bearer(""),
            Ask::get("/whoami").bearer(&bearer.key_id),
            Ask::get("/whoami").header("authorization", &basic),
            Ask::get("/whoami").header("authorization", token),
            Ask::get("/whoami").header("x-api-key", &bearer.key_id),
            // The secret of a signed key is not a token, and a bearer key cannot sign.
            Ask::get("/whoami").bearer(&c.key.secret),
            Ask::get("/whoami").header("x-api-key", &c.key.key_id),
            Ask::get("/whoami").signed(&bearer, site.now_s()),
        ] {
            assert_eq!(wrong.send(site.http()).await.refusal(), (401, "auth_failed"), "{:?}", wrong.headers);
        }
    });
}

#[test]
fn a_rotated_bearer_key_has_two_tokens_for_a_while() {
    on_every_database_with_a_clock(async |site, clock| {
        let bearer = KeyRequest { auth_mode: AuthMode::Bearer, ..request(None, CUSTOMER_SCOPES) };
        let old = Credentials::from(&site.app.make_key(bearer).await);
        let with = async |token: &str| Ask::get("/whoami").bearer(token).send(site.http()).await;
        assert_eq!(with(&old.secret).await.status, 200);
        let beside = site.command().await;
        let new = beside.env.keys().rotate(&id(&old), DAY, &Actor::command_line()).await.unwrap();
        site.until("the new token works", async || with(new.secret.expose()).await.status == 200).await;
        assert_eq!(with(&old.secret).await.status, 200);
        let rotation = Ask::post("/keys/rotate", &serde_json::json!({})).bearer(&old.secret);
        assert_eq!(rotation.send(site.http()).await.refusal(), (409, "conflict"));
        // A moment before it ends the old token is in the cache, which must not prolong it.
        clock.advance(DAY - Duration::from_secs(1));
        assert_eq!(with(&old.secret).await.status, 200);
        clock.advance(Duration::from_secs(2));
        assert_eq!(with(&old.secret).await.refusal(), (401, "auth_failed"));
        assert_eq!(with(new.secret.expose()).await.status, 200);
    });
}

/// Each step is wrong in everything that is asked later too, and the earliest fault is the answer.
#[test]
fn the_checks_come_in_the_order_of_the_contract() {
    on_every_database_with_a_clock(async |site, clock| {
        let c = site.customer("10").await;
        let later = Some(clock.now().plus(Duration::from_secs(5)));
        let nowhere = vec!["192.0.2.0/24".parse().unwrap()];
        let make = async |change: &dyn Fn(&mut KeyRequest)| {
            let mut wanted = request(Some(&c.id), "balance:read");
            change(&mut wanted);
            Credentials::from(&site.app.make_key(wanted).await)
        };
        let expired = make(&|key| (key.expires_at, key.allowed_cidrs) = (later, nowhere.clone())).await;
        let bound = make(&|key| key.allowed_cidrs = nowhere.clone()).await;
        let unscoped = make(&|_| ()).await;
        clock.advance(Duration::from_secs(5));

        let now = site.now_s();
        let spent = nonce();
        let good = json!({"transno": "t-0", "amount": "0.1"});
        let first = Ask::post("/accounting", &good).signed_at(&c.key, now, Some(&spent));
        assert_eq!(first.send(site.http()).await.status, 201);
        let post = |key: &Credentials, parts: &str, created: i64, rest: &str| {
            let input = format!(r#"({parts});created={created};keyid="{}"{rest}"#, key.key_id);
            // Not the JSON that it claims to be, of a type that is not taken, with a parameter unknown.
            let ask = Ask::post_bytes("/accounting?nope=1", "{").without("content-type");
            ask.signed_as(&key.secret, &input)
        };
        let all = r#""@method" "@path" "@query" "content-digest""#;
        let with_nonce = format!(r#";nonce="{}""#, nonce());
        let digest_wrong = |ask: Ask| Ask { body: b"[".to_vec(), ..ask };
        let no_such = Credentials { key_id: "ak_unknown".into(), ..expired.clone() };
        let wrong_secret = Credentials { secret: "x".into(), ..expired.clone() };
        let steps = [
            ("form", digest_wrong(post(&no_such, r#""@path""#, now - 999, "")), (401, "auth_malformed")),
            (
                "time",
                digest_wrong(post(&no_such, r#""@path""#, now - 999, &with_nonce)),
                (401, "auth_expired"),
            ),
            (
                "coverage",
                digest_wrong(post(&no_such, r#""@path""#, now, &with_nonce)),
                (401, "auth_uncovered"),
            ),
            ("key", digest_wrong(post(&no_such, all, now, &with_nonce)), (401, "auth_failed")),
            ("signature", digest_wrong(post(&wrong_secret, all, now, &with_nonce)), (401, "auth_failed")),
            (
                "coding",
                digest_wrong(post(&expired, all, now, &with_nonce)).header("content-encoding", "gzip"),
                (415, "unsupported_media_type"),
            ),
            ("digest", digest_wrong(post(&expired, all, now, &with_nonce)), (401, "auth_failed")),
            ("state", post(&expired, all, now, &with_nonce), (403, "key_disabled")),
            ("address", post(&bound, all, now, &with_nonce), (403, "address_denied")),
            ("scope", post(&unscoped, all, now, &with_nonce), (403, "scope_missing")),
            ("nonce", post(&c.key, all, now, &format!(r#";nonce="{spent}""#)), (401, "auth_replay")),
            ("type", post(&c.key, all, now, &with_nonce), (415, "unsupported_media_type")),
        ];
        for (step, ask, expected) in steps {
            let reply = ask.send(site.http()).await;
            assert_eq!(reply.refusal(), expected, "{step}: {}", reply.text());
        }
        // Paths and methods come before all of it.
        let nothing = Ask::post_bytes("/nothing", "{").send(site.http()).await;
        assert_eq!(nothing.refusal(), (404, "not_found"));
        let other = Ask::new(http::Method::DELETE, "/accounting").send(site.http()).await;
        assert_eq!(other.refusal(), (405, "method_not_allowed"));
    });
}
