//! /admin/keys, and a key's own rotation.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use http::Method;
use serde_json::{Value, json};

use crate::authorization::{signed_in, with_login};
use crate::customers::audit_of;
use crate::raw::{Ask, Credentials, Reply};
use crate::site::{Site, on_every_database, on_every_database_with};
use crate::users_admin::{change, patch};

async fn create(site: &Site, body: &Value) -> Reply {
    site.post(&site.platform, "/admin/keys", body).await
}

fn credentials(made: &Reply) -> Credentials {
    let text = |name: &str| made.data()[name].as_str().unwrap().to_owned();
    Credentials { key_id: text("key_id"), secret: text("secret") }
}

#[test]
fn a_key_is_created_and_its_secret_is_shown_once() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let body = json!({
            "customer_id": c.id, "name": "reporting", "scopes": ["balance:read", "users:read"],
            "allowed_cidrs": ["127.0.0.0/8", "::1"], "expires_at": "2099-01-01T00:00:00Z",
        });
        let made = create(&site, &body).await;
        assert_eq!((made.status, made.header("etag")), (201, "W/\"1\""), "{}", made.text());
        assert_eq!(made.header("cache-control"), "no-store");
        let key = credentials(&made);
        assert!(key.secret.starts_with("sk_"));
        assert_eq!(site.get(&key, "/balance").await.status, 200);
        let path = format!("/admin/keys/{}", key.key_id);
        assert_eq!(made.header("location"), format!("/api/v1{path}"));
        let got = site.get(&site.platform, &path).await;
        assert_eq!(got.data()["allowed_cidrs"], json!(["127.0.0.0/8", "::1/128"]));
        assert_eq!(got.data().get("secret"), None);
        for path in [path.as_str(), "/admin/keys", "/admin/keys?name=reporting", "/admin/audit"] {
            assert!(!site.get(&site.platform, path).await.text().contains(&key.secret), "{path}");
        }
        let platform =
            create(&site, &json!({"platform": true, "scopes": ["admin"], "auth_mode": "signed"})).await;
        assert_eq!(platform.data()["customer_id"], Value::Null);
        assert_eq!(site.get(&credentials(&platform), "/admin/keys").await.status, 200);
        let taken = create(&site, &json!({"platform": true, "name": "reporting", "scopes": ["admin"]})).await;
        assert_eq!((taken.refusal(), &taken.json["errors"][0]["field"]), ((409, "conflict"), &json!("name")));
        let unknown = create(&site, &json!({"customer_id": "none", "scopes": ["users:read"]})).await;
        assert_eq!(unknown.refusal(), (404, "not_found"));
    });
}

#[test]
fn a_key_that_makes_no_sense_is_refused_by_field() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        for (body, field) in [
            (json!({"scopes": ["users:read"]}), "customer_id"),
            (json!({"customer_id": c.id, "platform": true, "scopes": ["users:read"]}), "customer_id"),
            (json!({"customer_id": c.id}), "scopes"),
            (json!({"customer_id": c.id, "scopes": []}), "scopes"),
            (json!({"customer_id": c.id, "scopes": ["admin"]}), "scopes"),
            (json!({"customer_id": c.id, "scopes": ["users:write"]}), "scopes"),
            (json!({"customer_id": c.id, "scopes": ["users:read", "users:read"]}), "scopes"),
            (json!({"customer_id": c.id, "scopes": "users:read"}), "scopes"),
            (json!({"platform": true, "scopes": ["manage"]}), "scopes"),
            (json!({"platform": 1, "scopes": ["admin"]}), "platform"),
            (json!({"platform": true, "scopes": ["admin"], "name": ""}), "name"),
            (json!({"platform": true, "scopes": ["admin"], "name": "a\u{0}"}), "name"),
            (json!({"platform": true, "scopes": ["admin"], "name": "x".repeat(129)}), "name"),
            (json!({"platform": true, "scopes": ["admin"], "auth_mode": "deerer"}), "auth_mode"),
            (
                json!({"platform": true, "scopes": ["admin"], "allowed_cidrs": ["10.0.0.0/33"]}),
                "allowed_cidrs",
            ),
            (json!({"platform": true, "scopes": ["admin"], "allowed_cidrs": [1]}), "allowed_cidrs"),
            (json!({"platform": true, "scopes": ["admin"], "expires_at": "tomorrow"}), "expires_at"),
        ] {
            let refused = create(&site, &body).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{body}");
            assert_eq!(refused.json["errors"][0]["field"], field, "{body}");
        }
        assert_eq!(create(&site, &json!({"secret": "sk_x"})).await.refusal(), (400, "unknown_field"));
    });
}

#[test]
fn of_ten_keys_of_one_name_created_at_once_exactly_one_wins() {
    on_every_database(async |site| {
        let body = json!({"platform": true, "name": "only", "scopes": ["admin"]});
        let replies = join_all((0..10).map(|_| create(&site, &body))).await;
        assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
        assert_eq!(replies.iter().filter(|reply| reply.status == 409).count(), 9);
    });
}

#[test]
fn a_key_changes_against_its_version_and_at_once() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let made =
            create(&site, &json!({"customer_id": c.id, "name": "n", "scopes": ["balance:read"]})).await;
        let key = credentials(&made);
        let path = format!("/admin/keys/{}", key.key_id);
        assert_eq!(site.get(&key, "/users").await.refusal(), (403, "scope_missing"));
        let without = change(Method::PATCH, &path, None, Some(&json!({"scopes": ["users:read"]})));
        assert_eq!(site.send(without, &site.platform).await.refusal(), (428, "precondition_required"));
        let changed =
            patch(&site, &site.platform, &path, "W/\"1\"", &json!({"scopes": ["users:read"], "name": null}))
                .await;
        assert_eq!((changed.status, changed.header("etag")), (200, "W/\"2\""), "{}", changed.text());
        assert_eq!(changed.data()["name"], Value::Null);
        assert_eq!(site.get(&key, "/users").await.status, 200);
        assert_eq!(site.get(&key, "/balance").await.refusal(), (403, "scope_missing"));
        let stale = patch(&site, &site.platform, &path, "\"1\"", &json!({})).await;
        assert_eq!(stale.refusal(), (412, "precondition_failed"));
        let object = format!("key:{}", key.key_id);
        let before = audit_of(&site, &object).await.len();
        for same in [json!({}), json!({"enabled": true, "expires_at": null})] {
            assert_eq!(patch(&site, &site.platform, &path, "*", &same).await.header("etag"), "W/\"2\"");
        }
        assert_eq!(audit_of(&site, &object).await.len(), before);
        for (body, field) in [
            (json!({"scopes": ["admin"]}), "scopes"),
            (json!({"scopes": null}), "scopes"),
            (json!({"enabled": null}), "enabled"),
            (json!({"enabled": "yes"}), "enabled"),
        ] {
            let refused = patch(&site, &site.platform, &path, "*", &body).await;
            assert_eq!(
                (refused.refusal(), &refused.json["errors"][0]["field"]),
                ((400, "invalid_request"), &json!(field))
            );
        }
        let cleared = patch(&site, &site.platform, &path, "*", &json!({"allowed_cidrs": null})).await;
        assert_eq!((cleared.status, &cleared.data()["allowed_cidrs"]), (200, &json!([])));
        for body in [json!({"customer_id": c.id}), json!({"secret": "x"}), json!({"auth_mode": "bearer"})] {
            assert_eq!(
                patch(&site, &site.platform, &path, "*", &body).await.refusal(),
                (400, "unknown_field")
            );
        }
        let delete = |tag: Option<&str>| change(Method::DELETE, &path, tag, None);
        assert_eq!(
            site.send(delete(Some("\"1\"")), &site.platform).await.refusal(),
            (412, "precondition_failed")
        );
        for _ in 0..2 {
            let gone = site.send(delete(None), &site.platform).await;
            assert_eq!((gone.status, gone.bytes.len(), gone.header("content-type")), (204, 0, ""));
        }
        assert_eq!(site.get(&key, "/users").await.refusal(), (403, "key_disabled"));
        assert_eq!(patch(&site, &site.platform, &path, "*", &json!({"enabled": true})).await.status, 200);
        assert_eq!(site.get(&key, "/users").await.status, 200);
        let actions: Vec<_> =
            audit_of(&site, &object).await.iter().map(|entry| entry["action"].clone()).collect();
        assert_eq!(actions, ["update", "revoke", "update", "create"]);
        for (method, path) in
            [(Method::PATCH, "/admin/keys/ak_none"), (Method::DELETE, "/admin/keys/ak_none")]
        {
            let ask = change(method, path, Some("*"), Some(&json!({})));
            assert_eq!(site.send(ask, &site.platform).await.refusal(), (404, "not_found"));
        }
    });
}

#[test]
fn a_rotated_secret_is_shown_once_and_the_one_before_overlaps() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let path = format!("/admin/keys/{}/rotate", c.key.key_id);
        let rotated = site.post(&site.platform, &path, &json!({"overlap_s": 3600})).await;
        assert_eq!(
            (rotated.status, rotated.header("cache-control")),
            (200, "no-store"),
            "{}",
            rotated.text()
        );
        let next = credentials(&rotated);
        for key in [&c.key, &next] {
            assert_eq!(site.get(key, "/balance").await.status, 200);
        }
        // Whoever has the old secret, and a retry after a lost answer, changes nothing.
        let refused = site.post(&c.key, "/keys/rotate", &json!({"overlap_s": 0})).await;
        assert_eq!(refused.refusal(), (409, "conflict"), "{}", refused.text());
        for key in [&c.key, &next] {
            assert_eq!(site.get(key, "/balance").await.status, 200);
        }
        // A key rotates itself too, and ends its former secrets if it likes.
        let own = site.post(&next, "/keys/rotate", &json!({"overlap_s": 0})).await;
        assert_eq!(own.status, 200, "{}", own.text());
        let last = credentials(&own);
        assert_eq!(site.get(&last, "/balance").await.status, 200);
        for ended in [&c.key, &next] {
            assert_eq!(site.get(ended, "/balance").await.refusal(), (401, "auth_failed"));
        }
        let entries = audit_of(&site, &format!("key:{}", c.key.key_id)).await;
        let actors: BTreeSet<_> =
            entries[..2].iter().map(|entry| entry["actor_id"].as_str().unwrap()).collect();
        assert_eq!(actors, BTreeSet::from([site.platform.key_id.as_str(), c.key.key_id.as_str()]));
        assert!(entries[..2].iter().all(|entry| entry["action"] == "rotate"));
        let log = site.get(&site.platform, "/admin/audit").await.text();
        for secret in [&c.key.secret, &next.secret, &last.secret] {
            assert!(!log.contains(secret));
        }
        for overlap in [json!(-1), json!(604_801), json!("1"), json!(1.5)] {
            let refused = site.post(&last, "/keys/rotate", &json!({"overlap_s": overlap})).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{overlap}");
        }
        let without_body = change(Method::POST, "/keys/rotate", None, None);
        assert_eq!(site.send(without_body, &last).await.status, 200);
        let unknown = site.post(&site.platform, "/admin/keys/ak_none/rotate", &json!({})).await;
        assert_eq!(unknown.refusal(), (404, "not_found"));
    });
}

#[test]
fn a_user_has_no_key_to_rotate() {
    on_every_database_with(with_login, async |site| {
        let (_, token) = signed_in(&site, None, "ann", "admin").await;
        let refused = Ask::post("/keys/rotate", &json!({})).bearer(&token).send(site.http()).await;
        assert_eq!(refused.refusal(), (403, "key_required"));
    });
}

#[test]
fn keys_are_listed_by_customer_state_and_name() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        for n in 0..4 {
            let body = json!({"customer_id": c.id, "name": format!("key {n}"), "scopes": ["users:read"]});
            assert_eq!(create(&site, &body).await.status, 201);
        }
        let rows =
            async |query: &str| site.get(&site.platform, &format!("/admin/keys{query}")).await.rows().clone();
        let of_customer = format!("?customer_id={}", c.id);
        assert_eq!(rows(&of_customer).await.len(), 5);
        assert_eq!(rows("?name=key%202").await.len(), 1);
        assert!(rows(&format!("{of_customer}&enabled=false")).await.is_empty());
        let id = rows("?name=key%202").await[0]["key_id"].as_str().unwrap().to_owned();
        site.send(change(Method::DELETE, &format!("/admin/keys/{id}"), None, None), &site.platform).await;
        assert_eq!(rows(&format!("{of_customer}&enabled=false")).await[0]["key_id"], id);
        assert_eq!(rows(&format!("{of_customer}&enabled=true")).await.len(), 4);
        let (mut seen, mut cursor) = (BTreeSet::new(), String::new());
        loop {
            let page = site.get(&site.platform, &format!("/admin/keys?limit=2{cursor}")).await;
            seen.extend(page.rows().iter().map(|row| row["key_id"].as_str().unwrap().to_owned()));
            match page.data()["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen.len(), rows("").await.len());
    });
}
