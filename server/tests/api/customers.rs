//! /admin/customers.

use futures_util::future::join_all;
use http::Method;
use sageapi_server::model::Kind as RecordKind;
use sageapi_test_support::database::Kind;
use serde_json::{Value, json};

use crate::raw::{Ask, Credentials, Reply, nonce};
use crate::site::{Site, new_id, on, on_every_database, until};
use crate::users_admin::{change, patch};

/// The entries of the audit log about an object, newest first.
pub async fn audit_of(site: &Site, object: &str) -> Vec<Value> {
    site.get(&site.platform, &format!("/admin/audit?object={object}")).await.rows().clone()
}

async fn create(site: &Site, body: &Value) -> Reply {
    site.post(&site.platform, "/admin/customers", body).await
}

#[test]
fn a_customer_is_created_with_what_is_given_or_the_defaults() {
    on_every_database(async |site| {
        let (plain, full) = (new_id("cust"), new_id("cust"));
        let made = create(&site, &json!({"id": plain})).await;
        assert_eq!((made.status, made.header("etag")), (201, "W/\"1\""), "{}", made.text());
        assert_eq!(made.header("location"), format!("/api/v1/admin/customers/{plain}"));
        let data = made.data();
        assert_eq!(
            (
                &data["currency"],
                &data["mode"],
                &data["credit_limit"],
                &data["usage_billing"],
                &data["status"]
            ),
            (&json!("CNY"), &Value::Null, &json!("0"), &json!("log"), &json!("active"))
        );
        let body = json!({
            "id": full, "currency": "USD", "mode": "allow_negative", "credit_limit": "12.5", "usage_billing": "book",
            "status": "suspended",
        });
        let made = create(&site, &body).await;
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(&made.data()[name], value, "{name}");
        }
        let got = site.get(&site.platform, &format!("/admin/customers/{full}")).await;
        assert_eq!((got.data(), got.header("etag")), (made.data(), "W/\"1\""));
        let entries = audit_of(&site, &format!("customer:{full}")).await;
        let [entry] = &entries[..] else { panic!("{entries:?}") };
        assert_eq!((&entry["action"], &entry["actor_kind"]), (&json!("create"), &json!("key")));
        assert_eq!(entry["actor_id"], site.platform.key_id);
        assert_eq!(entry["request_id"], made.header("x-request-id"));
        assert_eq!(entry["diff"]["after"]["credit_limit"], "12.5");
        assert_eq!(entry["address"], "127.0.0.1");
        let again = create(&site, &json!({"id": full})).await;
        assert_eq!((again.refusal(), &again.json["errors"][0]["field"]), ((409, "conflict"), &json!("id")));
        for (body, field) in [
            (json!({}), "id"),
            (json!({"id": "a b"}), "id"),
            (json!({"id": "x", "currency": "cny"}), "currency"),
            (json!({"id": "x", "mode": "loose"}), "mode"),
            (json!({"id": "x", "status": 1}), "status"),
            (json!({"id": "x", "usage_billing": ["log"]}), "usage_billing"),
        ] {
            let refused = create(&site, &body).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{body}");
            assert_eq!(refused.json["errors"][0]["field"], field, "{body}");
        }
        assert_eq!(
            create(&site, &json!({"id": "x", "credit_limit": 1})).await.refusal(),
            (400, "amount_not_string")
        );
        assert_eq!(
            create(&site, &json!({"id": "x", "credit_limit": "-1"})).await.refusal(),
            (400, "amount_invalid")
        );
        assert_eq!(
            create(&site, &json!({"id": "x", "balance": "1"})).await.refusal(),
            (400, "unknown_field")
        );
    });
}

#[test]
fn of_ten_customers_created_at_once_exactly_one_wins() {
    on_every_database(async |site| {
        let body = json!({"id": new_id("cust")});
        let replies = join_all((0..10).map(|_| create(&site, &body))).await;
        assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
        for refused in replies.iter().filter(|reply| reply.status != 201) {
            assert_eq!(refused.refusal(), (409, "conflict"));
        }
        let object = format!("customer:{}", body["id"].as_str().unwrap());
        assert_eq!(audit_of(&site, &object).await.len(), 1);
    });
}

#[test]
fn settings_change_against_the_version_of_settings_which_bookings_leave() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let path = format!("/admin/customers/{}", c.id);
        let body = json!({"credit_limit": "5"});
        let unconditional = change(Method::PATCH, &path, None, Some(&body));
        assert_eq!(site.send(unconditional, &site.platform).await.refusal(), (428, "precondition_required"));
        let tag = site.get(&site.platform, &path).await.header("etag").to_owned();
        site.app.book(&c.id, RecordKind::Charge, "1").await;
        let changed = patch(&site, &site.platform, &path, &tag, &body).await;
        assert_eq!((changed.status, changed.header("etag")), (200, "W/\"2\""), "{}", changed.text());
        assert_eq!(
            (&changed.data()["credit_limit"], &changed.data()["status"]),
            (&json!("5"), &json!("active"))
        );
        for stale in
            [tag.as_str(), "\"1\"", "\"02\"", "2", "\"x\"", "W/\"99999999999999999999\"", "\"1\", \"2\""]
        {
            let refused = patch(&site, &site.platform, &path, stale, &json!({"credit_limit": "6"})).await;
            assert_eq!(refused.refusal(), (412, "precondition_failed"), "{stale}");
        }
        let entries = audit_of(&site, &format!("customer:{}", c.id)).await.len();
        for same in [json!({}), body.clone(), json!({"mode": null, "status": "active"})] {
            let kept = patch(&site, &site.platform, &path, "W/\"2\"", &same).await;
            assert_eq!((kept.status, kept.header("etag")), (200, "W/\"2\""), "{same}");
        }
        assert_eq!(audit_of(&site, &format!("customer:{}", c.id)).await.len(), entries);
        let moded = patch(&site, &site.platform, &path, "*", &json!({"mode": "allow_negative"})).await;
        assert_eq!(moded.data()["mode"], "allow_negative");
        let cleared = patch(&site, &site.platform, &path, "\"3\"", &json!({"mode": null})).await;
        assert_eq!((&cleared.data()["mode"], cleared.header("etag")), (&Value::Null, "W/\"4\""));
        for name in ["credit_limit", "status", "usage_billing"] {
            let refused = patch(&site, &site.platform, &path, "*", &json!({ name: null })).await;
            assert_eq!(
                (refused.refusal(), &refused.json["errors"][0]["field"]),
                ((400, "invalid_request"), &json!(name))
            );
        }
        for body in [json!({"currency": "USD"}), json!({"id": "x"}), json!({"version": 1})] {
            assert_eq!(
                patch(&site, &site.platform, &path, "*", &body).await.refusal(),
                (400, "unknown_field")
            );
        }
        let merge = change(Method::PATCH, &path, Some("*"), Some(&json!({"credit_limit": "7"})));
        let merge = merge.without("content-type").header("content-type", "application/merge-patch+json");
        assert_eq!(site.send(merge, &site.platform).await.status, 200);
        let other = change(Method::PATCH, &path, Some("*"), Some(&json!({})));
        let other = other.without("content-type").header("content-type", "application/json-patch+json");
        assert_eq!(site.send(other, &site.platform).await.refusal(), (415, "unsupported_media_type"));
        // The change counts at once for who books and reads here.
        assert_eq!(site.get(&c.key, "/balance").await.data()["credit_limit"], "7");
        assert_eq!(
            patch(&site, &site.platform, &path, "*", &json!({"status": "suspended"})).await.status,
            200
        );
        let charge = site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "1"})).await;
        assert_eq!(charge.refusal(), (403, "customer_suspended"));
        let unknown = patch(&site, &site.platform, "/admin/customers/none", "*", &json!({})).await;
        assert_eq!(unknown.refusal(), (404, "not_found"));
        assert_eq!(site.verify().await, [""; 0]);
    });
}

#[test]
fn a_change_is_made_once_for_each_nonce() {
    on_every_database(async |site| {
        let spent = nonce();
        let body = json!({"id": new_id("cust")});
        let ask = Ask::post("/admin/customers", &body).signed_at(&site.platform, site.now_s(), Some(&spent));
        assert_eq!(ask.clone().send(site.http()).await.status, 201);
        assert_eq!(ask.send(site.http()).await.refusal(), (401, "auth_replay"));
    });
}

#[test]
fn a_credit_is_booked_and_audited_once() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let path = format!("/admin/customers/{}/credit", c.id);
        let body = json!({"transno": "top-up", "amount": "2.5", "note": "goodwill"});
        let replies = join_all((0..5).map(|_| site.post(&site.platform, &path, &body))).await;
        assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
        assert_eq!(replies.iter().filter(|reply| reply.status == 200).count(), 4);
        let entries = audit_of(&site, &format!("customer:{}", c.id)).await;
        let credits: Vec<_> = entries.iter().filter(|entry| entry["action"] == "credit").collect();
        let [entry] = credits[..] else { panic!("{credits:?}") };
        assert_eq!(entry["diff"]["before"], json!({"balance": "10"}));
        assert_eq!(
            entry["diff"]["after"],
            json!({"balance": "12.5", "transno": "top-up", "amount": "2.5", "currency": "CNY", "note": "goodwill"})
        );
        assert_eq!(
            (&entry["id"], &entry["actor_id"]),
            (&replies[0].data()["id"], &json!(site.platform.key_id))
        );
        let other = json!({"transno": "top-up", "amount": "3"});
        assert_eq!(site.post(&site.platform, &path, &other).await.refusal(), (422, "transno_conflict"));
        for (body, code) in [
            (json!({"transno": "t"}), "invalid_request"),
            (json!({"amount": "1"}), "invalid_request"),
            (json!({"transno": "t", "amount": "0"}), "amount_invalid"),
            (json!({"transno": "t", "amount": "-1"}), "amount_invalid"),
            (json!({"transno": "t", "amount": 1}), "amount_not_string"),
            (json!({"transno": "seed:t", "amount": "1"}), "invalid_request"),
            (json!({"transno": "t", "amount": "1", "kind": "charge"}), "unknown_field"),
        ] {
            assert_eq!(site.post(&site.platform, &path, &body).await.refusal(), (400, code), "{body}");
        }
        let unknown = site.post(&site.platform, "/admin/customers/none/credit", &body).await;
        assert_eq!(unknown.refusal(), (404, "not_found"));
        let after = audit_of(&site, &format!("customer:{}", c.id)).await;
        assert_eq!(after.len(), entries.len(), "what is refused is not audited");
        assert_eq!(site.verify().await, [""; 0]);
    });
}

#[test]
fn customers_are_listed_page_by_page_and_by_status() {
    on_every_database(async |site| {
        let mut ids = Vec::new();
        for n in 0..5 {
            let status = if n % 2 == 0 { "active" } else { "suspended" };
            let body = json!({"id": new_id("cust"), "status": status});
            assert_eq!(create(&site, &body).await.status, 201);
            ids.push(body["id"].as_str().unwrap().to_owned());
        }
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = site
                .get(&site.platform, &format!("/admin/customers?order=asc&limit=2&count=true{cursor}"))
                .await;
            assert_eq!(page.data()["total"], 5);
            seen.extend(page.rows().iter().map(|row| row["id"].as_str().unwrap().to_owned()));
            match page.data()["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(seen, ids);
        let suspended = site.get(&site.platform, "/admin/customers?status=suspended").await;
        assert_eq!(suspended.rows().len(), 2);
        assert_eq!(
            site.get(&site.platform, "/admin/customers?status=gone").await.refusal(),
            (400, "invalid_request")
        );
        let other_list = format!("/admin/customers?status=active{cursor}");
        assert_eq!(site.get(&site.platform, &other_list).await.refusal(), (400, "invalid_cursor"));
    });
}

#[test]
fn settings_changed_by_one_instance_are_known_to_the_other() {
    on(Kind::MySql, async || {
        let one = Site::new(sageapi_test_support::app::App::start(Kind::MySql).await);
        let two = one.second().await;
        let c = one.customer("1").await;
        until("the balance is cached", async || {
            two.get(&c.key, "/balance").await.data()["source"] == "cache"
        })
        .await;
        let path = format!("/admin/customers/{}", c.id);
        assert_eq!(patch(&one, &one.platform, &path, "*", &json!({"credit_limit": "9"})).await.status, 200);
        until("the limit is known", async || two.get(&c.key, "/balance").await.data()["credit_limit"] == "9")
            .await;
        let key = Credentials::from(&one.app.key(Some(&c.id), "balance:read").await);
        assert_eq!(two.get(&key, "/balance").await.status, 200);
        let revoke = change(Method::DELETE, &format!("/admin/keys/{}", key.key_id), None, None);
        assert_eq!(one.send(revoke, &one.platform).await.status, 204);
        until("the key is revoked", async || two.get(&key, "/balance").await.status == 403).await;
    });
}
