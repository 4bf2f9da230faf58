//! Signed requests: what a signature must be, and the checks before and after it.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};

use crate::raw::{Ask, Credentials, Reply, nonce};
use crate::site::{Site, on_every_database, on_every_database_with, on_every_database_with_a_clock};

#[test]
fn time_is_checked_to_the_second_by_the_servers_clock() {
    on_every_database_with_a_clock(async |site, clock| {
        let c = site.customer("1").await;
        let at = async |offset: i64| {
            Ask::get("/balance").signed_at(&c.key, site.now_s() + offset, None).send(site.http()).await
        };
        for within in [-300, -1, 0, 1, 300] {
            assert_eq!(at(within).await.status, 200, "{within}");
        }
        for beyond in [-301, 301, -100_000, 100_000] {
            let reply = at(beyond).await;
            assert_eq!(reply.refusal(), (401, "auth_expired"), "{beyond}");
            let told = reply.json["server_time"].as_str().unwrap();
            assert_eq!(
                told,
                sageapi_server::model::Clock::now(&*clock).to_string(),
                "the client can correct its clock"
            );
        }
        let ask = Ask::get("/balance").signed(&c.key, site.now_s());
        assert_eq!(ask.send(site.http()).await.status, 200);
        clock.advance(Duration::from_secs(301));
        assert_eq!(ask.send(site.http()).await.refusal(), (401, "auth_expired"));
    });
}

#[test]
fn a_request_without_or_with_two_credentials_is_refused() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let none = Ask::get("/balance").send(site.http()).await;
        assert_eq!(none.refusal(), (401, "auth_missing"));
        assert!(none.header("www-authenticate").contains("Signature"), "{}", none.header("www-authenticate"));
        let signed = || Ask::get("/balance").signed(&c.key, site.now_s());
        for two in [
            signed().bearer("sk_x"),
            signed().header("x-api-key", "sk_x"),
            Ask::get("/balance").bearer("sk_x").header("x-api-key", "sk_x"),
            Ask::get("/balance").bearer("sk_x").bearer("sk_x"),
            Ask::get("/balance").header("x-api-key", "a").header("x-api-key", "a"),
        ] {
            assert_eq!(two.send(site.http()).await.refusal(), (401, "auth_malformed"), "{:?}", two.headers);
        }
        for half in ["signature", "signature-input"] {
            assert_eq!(
                signed().without(half).send(site.http()).await.refusal(),
                (401, "auth_malformed"),
                "{half}"
            );
        }
    });
}

#[test]
fn what_must_be_covered_is_named_when_it_is_not() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let params = || format!(r#"created={};nonce="{}";keyid="{}""#, site.now_s(), nonce(), c.key.key_id);
        let get = |path: &str, parts: &str| {
            Ask::get(path).signed_as(&c.key.secret, &format!("({parts});{}", params()))
        };
        for (ask, missing) in [
            (get("/balance", r#""@path""#), "@method"),
            (get("/balance", r#""@method""#), "@path"),
            (get("/balance?customer_id=x", r#""@method" "@path""#), "@query"),
            (get("/balance?", r#""@method" "@path""#), "@query"),
            (
                Ask::get("/balance")
                    .header("idempotency-key", "k")
                    .signed_as(&c.key.secret, &format!(r#"("@method" "@path");{}"#, params())),
                "idempotency-key",
            ),
        ] {
            let reply = ask.send(site.http()).await;
            assert_eq!(reply.refusal(), (401, "auth_uncovered"), "{missing}");
            assert!(reply.json["detail"].as_str().unwrap().contains(missing), "{missing}: {}", reply.text());
        }
        for enough in [
            r#""@method" "@path""#,
            r#""@path" "@method""#,
            r#""@method" "@request-target""#,
            r#""@method" "@target-uri""#,
            r#""@method" "@path" "@query" "@authority" "@scheme" "host""#,
        ] {
            let reply = get("/balance", enough).send(site.http()).await;
            assert_eq!(reply.status, 200, "{enough}: {}", reply.text());
        }
    });
}

#[test]
fn a_target_sent_as_a_whole_uri_is_signed_as_it_is_sent() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let signed = |target: &str, host: &str, parts: &str| {
            let params = format!(r#"created={};keyid="{}""#, site.now_s(), c.key.key_id);
            let ask = Ask { host: host.to_owned(), ..Ask::raw(Method::GET, target) };
            ask.signed_as(&c.key.secret, &format!("({parts});{params}"))
        };
        let whole = format!("http://Sageapi.Test:80/api/v1/balance?customer_id={}", c.id);
        let parts = [
            r#""@method" "@request-target""#,
            r#""@method" "@target-uri""#,
            r#""@method" "@path" "@query""#,
            r#""@method" "@path" "@query" "@authority" "@scheme""#,
            r#""@method" "@request-target" "@target-uri" "@authority" "host""#,
        ];
        for parts in parts {
            // The target decides, not a Host field that differs (RFC 9112 section 3.2.2).
            for host in ["sageapi.test", "elsewhere.test"] {
                let reply = signed(&whole, host, parts).send(site.http()).await;
                assert_eq!(reply.status, 200, "{parts} {host}: {}", reply.text());
            }
        }
        let moved = |parts: &str, from: &str, to: &str| {
            let mut ask = signed(from, "sageapi.test", parts);
            ask.target = to.to_owned();
            ask
        };
        let short = whole.trim_start_matches("http://Sageapi.Test:80");
        let elsewhere = whole.replace("Sageapi.Test", "elsewhere.test");
        for (ask, status) in [
            (moved(parts[0], &whole, short), 401),
            (moved(parts[0], short, &whole), 401),
            (moved(parts[0], &whole, &elsewhere), 401),
            (moved(parts[1], &whole, &elsewhere), 401),
            (moved(parts[3], &whole, &elsewhere), 401),
            (moved(parts[1], &whole, short), 200),
            (moved(parts[3], short, &whole), 200),
        ] {
            let reply = ask.send(site.http()).await;
            assert_eq!(reply.status, status, "{ask:?}: {}", reply.text());
        }
        let user = whole.replace("Sageapi", "user:password@Sageapi");
        let refused = signed(&user, "sageapi.test", parts[0]).send(site.http()).await;
        assert_eq!(refused.refusal(), (400, "invalid_request"));
    });
}

#[test]
fn the_operator_may_demand_that_more_is_covered() {
    let demand = |builder: sageapi_test_support::app::AppBuilder| {
        builder.set("SAGEAPI_AUTH_REQUIRED_COMPONENTS", "@authority,date")
    };
    on_every_database_with(demand, async |site| {
        let c = site.customer("1").await;
        let get = |parts: &str, rest: &str| {
            let params = format!(r#"created={};keyid="{}""#, site.now_s(), c.key.key_id);
            let ask = Ask::get("/balance").header("date", "Sun, 22 Nov 2026 00:00:00 GMT");
            ask.signed_as(&c.key.secret, &format!(r#"("@method" "@path"{parts});{params}{rest}"#))
        };
        for (parts, verdict) in
            [(r#" "@authority" "date""#, 200), (r#" "@authority""#, 401), (r#" "date""#, 401), ("", 401)]
        {
            let reply = get(parts, "").send(site.http()).await;
            assert_eq!(reply.status, verdict, "{parts}: {}", reply.text());
            if verdict == 401 {
                assert_eq!(reply.code(), "auth_uncovered");
            }
        }
    });
}

#[test]
fn a_signature_that_breaks_the_profile_is_malformed() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let now = site.now_s();
        let good = format!(r#"created={now};keyid="{}""#, c.key.key_id);
        for input in [
            format!(r#"("@method" "@path");{good};tag="another""#),
            format!(r#"("@method" "@path" "@status");{good}"#),
            format!(r#"("@method" "@path" "@signature-params");{good}"#),
            format!(r#"("@method" "@path" "x-absent");{good}"#),
            format!(r#"("@method" "@path" "Host");{good}"#),
            format!(r#"("@method" "@path" "host";sf);{good}"#),
            format!(r#"("@method" "@path" "host";bs);{good}"#),
            format!(r#"("@method" "@path" "host";key="a");{good}"#),
            format!(r#"("@method" "@path";req);{good}"#),
            format!(r#"("@method" "@path" "host";tr);{good}"#),
            format!(r#"("@method" "@path" "@query-param");{good}"#),
            format!(r#"("@method" "@path");{good};created={now}"#),
            format!(r#"("@method" "@path");{good};nonce="short""#),
            format!(r#"("@method" "@path");{good};nonce=17"#),
            format!(r#"("@method" "@path");created="{now}";keyid="k""#),
            format!(r#"("@method" "@path");created={now}.0;keyid="k""#),
            format!(r#""@method";{good}"#),
            r#"("@method" "@path""#.to_owned(),
            "?1".to_owned(),
            String::new(),
        ] {
            let reply = Ask::get("/balance").signed_as(&c.key.secret, &input).send(site.http()).await;
            assert_eq!(reply.refusal(), (401, "auth_malformed"), "{input}: {}", reply.text());
        }
        // A key id of any shape but ours is simply unknown.
        for odd in ["x", "ak_", "ak_!", "' OR 1=1 --", &"k".repeat(500)] {
            let input = format!(r#"("@method" "@path");created={now};keyid="{odd}""#);
            let reply = Ask::get("/balance").signed_as(&c.key.secret, &input).send(site.http()).await;
            assert_eq!(reply.refusal(), (401, "auth_failed"), "{odd}");
        }
    });
}

#[test]
fn the_signature_tagged_for_us_counts_among_several() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let ask = Ask::get("/balance").signed(&c.key, site.now_s());
        let other = ask
            .clone()
            .header("signature-input", r#"other=("@method");created=1;keyid="x";tag="them", third=()"#)
            .header("signature", "other=:AAAA:");
        assert_eq!(other.send(site.http()).await.status, 200);
        let input = ask.headers.iter().find(|(name, _)| name == "signature-input").unwrap().1.clone();
        let signature = ask.headers.iter().find(|(name, _)| name == "signature").unwrap().1.clone();
        let twice = ask
            .header("signature-input", &input.replacen("sig1", "sig2", 1))
            .header("signature", &signature.replacen("sig1", "sig2", 1));
        assert_eq!(twice.send(site.http()).await.refusal(), (401, "auth_malformed"));
    });
}

#[test]
fn a_nonce_of_a_write_is_spent_once_whatever_became_of_the_booking() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let book = async |site: &Site, nonce: &str, transno: &str, amount: &str| -> Reply {
            let body = json!({"transno": transno, "amount": amount});
            Ask::post("/accounting", &body)
                .signed_at(&c.key, site.now_s(), Some(nonce))
                .send(site.http())
                .await
        };
        let (booked, poor, conflict, malformed) = (nonce(), nonce(), nonce(), nonce());
        assert_eq!(book(&site, &booked, "t-1", "0.1").await.status, 201);
        assert_eq!(book(&site, &poor, "t-2", "100").await.refusal(), (402, "insufficient_balance"));
        assert_eq!(book(&site, &conflict, "t-1", "0.2").await.refusal(), (422, "transno_conflict"));
        for spent in [&booked, &poor, &conflict] {
            assert_eq!(book(&site, spent, "t-3", "0.1").await.refusal(), (401, "auth_replay"));
        }
        // What was refused by its form never got as far as the ledger.
        assert_eq!(book(&site, &malformed, "t-4", "x").await.refusal(), (400, "amount_invalid"));
        assert_eq!(book(&site, &malformed, "t-4", "0.1").await.status, 201);

        // A nonce belongs to its key, and it is the database that remembers it.
        let other = site.customer("1").await;
        let body = json!({"transno": "t", "amount": "0.1"});
        let same = Ask::post("/accounting", &body).signed_at(&other.key, site.now_s(), Some(&booked));
        assert_eq!(same.send(site.http()).await.status, 201);
        let site = site.restarted(|_| ()).await;
        for spent in [&booked, &poor, &conflict, &malformed] {
            assert_eq!(book(&site, spent, "t-5", "0.1").await.refusal(), (401, "auth_replay"), "{spent}");
        }
        assert_eq!(site.get(&c.key, "/accounting?transno=t-5").await.rows().len(), 0);
    });
}

#[test]
fn the_very_same_request_sent_twice_is_a_replay_and_a_read_is_not() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let write =
            Ask::post("/accounting", &json!({"transno": "t", "amount": "0.1"})).signed(&c.key, site.now_s());
        assert_eq!(write.send(site.http()).await.status, 201);
        for _ in 0..3 {
            assert_eq!(write.send(site.http()).await.refusal(), (401, "auth_replay"));
        }
        let read = Ask::get("/balance").signed_at(&c.key, site.now_s(), Some("a-nonce-of-a-read"));
        for _ in 0..3 {
            assert_eq!(read.send(site.http()).await.status, 200);
        }
        // Many at once: one of them is the first.
        let write =
            Ask::post("/accounting", &json!({"transno": "u", "amount": "0.1"})).signed(&c.key, site.now_s());
        let replies = futures_util::future::join_all((0..20).map(|_| write.send(site.http()))).await;
        assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
        for reply in replies.iter().filter(|reply| reply.status != 201) {
            assert_eq!(reply.refusal(), (401, "auth_replay"));
        }
    });
}

/// Every operation that reads, with the scope that openapi.json says it needs.
fn reads() -> Vec<(String, Method, String)> {
    let document: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
    let read = |(path, item): (&String, &Value)| {
        let scope = item["get"]["description"].as_str()?.split("Needs the scope ").nth(1)?;
        let scope = scope.split_once('.').unwrap().0.to_owned();
        let path = path.strip_prefix("/api/v1").unwrap();
        let (before, id) = path.split_once('{').map_or((path, ""), |(before, _)| (before, ID));
        let query = if path.ends_with("/summary") { "?group_by=day" } else { "" };
        Some((scope, Method::GET, format!("{before}{id}{query}")))
    };
    let reads: Vec<_> = document["paths"].as_object().unwrap().iter().filter_map(read).collect();
    assert!(reads.len() >= 14, "{reads:?}");
    reads
}

/// Nothing has it.
const ID: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

#[test]
fn a_scope_is_asked_for_by_each_operation() {
    on_every_database(async |site| {
        let mut operations = reads();
        operations.push(("accounting:write".to_owned(), Method::POST, "/accounting".to_owned()));
        let c = site.customer("10").await;
        let scopes = [
            "balance:read",
            "accounting:read",
            "accounting:write",
            "users:read",
            "pricing:read",
            "usage:write",
        ];
        for scope in scopes {
            let key = Credentials::from(&site.app.key(Some(&c.id), scope).await);
            for (needed, method, path) in &operations {
                let ask = match *method {
                    Method::POST => Ask::post(path, &json!({"transno": nonce(), "amount": "0.01"})),
                    _ => Ask::get(path),
                };
                let reply = site.send(ask, &key).await;
                if needed == scope {
                    assert!(matches!(reply.status, 200 | 201 | 404), "{scope} {path}: {}", reply.text());
                } else {
                    assert_eq!(reply.refusal(), (403, "scope_missing"), "{scope} {path}");
                    assert!(reply.json["detail"].as_str().unwrap().contains(needed), "{}", reply.text());
                }
            }
            let me = site.get(&key, "/whoami").await;
            assert_eq!(me.data()["scopes"], json!([scope]));
        }
    });
}

#[test]
fn whoami_tells_the_key_and_nothing_secret() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let me = site.get(&c.key, "/whoami").await;
        assert_eq!(me.data()["key_id"], c.key.key_id);
        assert_eq!(me.data()["customer_id"], c.id);
        assert_eq!(me.data()["auth_mode"], "signed");
        assert!(me.data()["expires_at"].is_null());
        assert!(!me.text().contains(&c.key.secret), "{}", me.text());
        let platform = site.get(&site.platform, "/whoami").await;
        assert!(platform.data()["customer_id"].is_null());
    });
}

#[test]
fn failures_to_authenticate_are_counted_by_code() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        assert_eq!(Ask::get("/balance").send(site.http()).await.status, 401);
        let wrong = Credentials { secret: "no".into(), ..c.key.clone() };
        for _ in 0..2 {
            assert_eq!(site.get(&wrong, "/balance").await.refusal(), (401, "auth_failed"));
        }
        let metrics = Ask::raw(Method::GET, "/metrics").send(site.app.admin).await.text();
        assert!(metrics.contains("sageapi_auth_failures_total{code=\"auth_missing\"} 1\n"), "{metrics}");
        assert!(metrics.contains("sageapi_auth_failures_total{code=\"auth_failed\"} 2\n"), "{metrics}");
    });
}
