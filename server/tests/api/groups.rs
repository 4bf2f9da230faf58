//! Groups of users: limits, members, and whom they can belong to.

use futures_util::future::join_all;
use http::Method;
use sageapi_server::model::Entity;
use serde_json::{Value, json};

use crate::raw::{Credentials, Reply};
use crate::site::{Row, Site, on_every_database};
use crate::users_admin::{administered, audited, change, create, delete, field, patch, path};

const LIMITS: [&str; 6] = [
    "daily_tokens",
    "monthly_tokens",
    "requests_per_minute",
    "max_tokens_per_request",
    "concurrent_requests",
    "default_reservation",
];

async fn group(site: &Site, key: &Credentials, body: &Value) -> Reply {
    let made = site.post(key, "/admin/groups", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made
}

fn member(group: &Reply, user: &str) -> String {
    format!("{}/members/{user}", path(group))
}

async fn put(site: &Site, key: &Credentials, path: &str) -> Reply {
    site.send(change(Method::PUT, path, None, None), key).await
}

/// The group of a user, as it is shown.
async fn group_of(site: &Site, user: &str) -> Value {
    site.get(&site.platform, &format!("/admin/users/{user}")).await.data()["group_id"].clone()
}

#[test]
fn a_group_has_the_limits_that_are_given_and_no_others() {
    on_every_database(async |site| {
        let (c, key) = administered(&site).await;
        let made = group(&site, &key, &json!({"name": "basic"})).await;
        assert_eq!(made.header("etag"), "W/\"1\"");
        for limit in LIMITS {
            assert_eq!(made.data()[limit], Value::Null, "{limit}");
        }
        for (name, value) in [
            ("customer_id", json!(c.id)),
            ("name", json!("basic")),
            ("time_zone", Value::Null),
            ("on_store_failure", json!("deny")),
            ("is_default", json!(false)),
        ] {
            assert_eq!(made.data()[name], value, "{name}");
        }
        let mut body = json!({
            "id": "g-1", "name": "gold", "time_zone": "Asia/Shanghai", "on_store_failure": "allow", "is_default": true,
        });
        for (n, limit) in LIMITS.into_iter().enumerate() {
            body[limit] = n.into();
        }
        let made = group(&site, &key, &body).await;
        for (name, value) in body.as_object().unwrap() {
            assert_eq!(made.data()[name], *value, "{name}");
        }
        let shown = site.get(&key, "/admin/groups/g-1").await;
        assert_eq!((shown.data(), shown.header("etag")), (made.data(), "W/\"1\""));
        let of_platform = group(&site, &site.platform, &json!({"name": "basic"})).await;
        assert_eq!(of_platform.data()["customer_id"], Value::Null);
    });
}

#[test]
fn null_lifts_a_limit_and_one_that_is_left_out_stays() {
    on_every_database(async |site| {
        let (_, key) = administered(&site).await;
        let body = json!({"name": "g", "daily_tokens": 100, "monthly_tokens": 0, "time_zone": "UTC"});
        let g = path(&group(&site, &key, &body).await);
        let changed =
            patch(&site, &key, &g, "\"1\"", &json!({"daily_tokens": null, "requests_per_minute": 5})).await;
        assert_eq!((changed.status, changed.header("etag")), (200, "W/\"2\""));
        let shown = |reply: &Reply| LIMITS.map(|limit| reply.data()[limit].as_i64());
        assert_eq!(shown(&changed), [None, Some(0), Some(5), None, None, None]);
        assert_eq!(changed.data()["time_zone"], "UTC");
        assert_eq!(patch(&site, &key, &g, "\"1\"", &json!({})).await.refusal(), (412, "precondition_failed"));
        let unconditional = site.send(change(Method::PATCH, &g, None, Some(&json!({}))), &key).await;
        assert_eq!(unconditional.refusal(), (428, "precondition_required"));
        let before = audited(&site).await;
        let same = patch(&site, &key, &g, "\"2\"", &json!({"name": "g", "daily_tokens": null})).await;
        assert_eq!((same.status, same.header("etag"), audited(&site).await), (200, "W/\"2\"", before));
        for (body, named) in [
            (json!({"name": null}), "name"),
            (json!({"name": " "}), "name"),
            (json!({"daily_tokens": -1}), "daily_tokens"),
            (json!({"daily_tokens": 1.5}), "daily_tokens"),
            (json!({"daily_tokens": 1_000_000_000_000_001_i64}), "daily_tokens"),
            (json!({"daily_tokens": "5"}), "daily_tokens"),
            (json!({"time_zone": "Mars/Olympus"}), "time_zone"),
            (json!({"on_store_failure": "ask"}), "on_store_failure"),
            (json!({"is_default": null}), "is_default"),
        ] {
            let refused = patch(&site, &key, &g, "*", &body).await;
            assert_eq!((refused.refusal(), field(&refused)), ((400, "invalid_request"), named), "{body}");
        }
        let foreign = json!({"customer_id": "x"});
        assert_eq!(patch(&site, &key, &g, "*", &foreign).await.refusal(), (400, "unknown_field"));
    });
}

#[test]
fn a_name_is_taken_once_by_an_owner_and_so_is_being_the_default() {
    on_every_database(async |site| {
        let (_, key) = administered(&site).await;
        let bodies: Vec<_> = (0..10).map(|_| json!({"name": "g", "is_default": true})).collect();
        let replies = join_all(bodies.iter().map(|body| site.post(&key, "/admin/groups", body))).await;
        assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
        for refused in replies.iter().filter(|reply| reply.status != 201) {
            assert_eq!((refused.refusal(), field(refused)), ((409, "conflict"), "name"));
        }
        let second = site.post(&key, "/admin/groups", &json!({"name": "h", "is_default": true})).await;
        assert_eq!((second.refusal(), field(&second)), ((409, "conflict"), "is_default"));
        let h = path(&group(&site, &key, &json!({"id": "h", "name": "h"})).await);
        let refused = patch(&site, &key, &h, "*", &json!({"name": "g"})).await;
        assert_eq!((refused.refusal(), field(&refused)), ((409, "conflict"), "name"));
        let refused = patch(&site, &key, &h, "*", &json!({"is_default": true})).await;
        assert_eq!((refused.refusal(), field(&refused)), ((409, "conflict"), "is_default"));
        let refused = site.post(&key, "/admin/groups", &json!({"id": "h", "name": "i"})).await;
        assert_eq!((refused.refusal(), field(&refused)), ((409, "conflict"), "id"));
        for (name, status) in [("1", 201), ("2", 409)] {
            let body = json!({"name": name, "is_default": true});
            let made = site.post(&site.platform, "/admin/groups", &body).await;
            assert_eq!(made.status, status, "the platform has one too");
        }
    });
}

#[test]
fn a_group_with_members_is_deleted_only_by_force_and_frees_them() {
    on_every_database(async |site| {
        let (c, key) = administered(&site).await;
        let g = group(&site, &key, &json!({"name": "g"})).await;
        let id = g.data()["id"].clone();
        let user = create(&site, &key, &json!({"id": "u-1", "username": "ann", "group_id": id})).await;
        assert_eq!(user.data()["group_id"], id);
        site.mirror(Entity::Users, &[Row::new("m-1", &[("orgid", &c.id)])]).await;
        assert_eq!(put(&site, &key, &member(&g, "m-1")).await.status, 204);
        let before = audited(&site).await;
        for refused in [
            delete(&site, &key, &path(&g)).await,
            delete(&site, &key, &format!("{}?force=false", path(&g))).await,
        ] {
            assert_eq!(refused.refusal(), (409, "conflict"));
        }
        assert_eq!((group_of(&site, "u-1").await, audited(&site).await), (id, before));
        let forced = format!("{}?force=true", path(&g));
        let stale = site.send(change(Method::DELETE, &forced, Some("\"9\""), None), &key).await;
        assert_eq!(stale.refusal(), (412, "precondition_failed"));
        assert_eq!(delete(&site, &key, &forced).await.status, 204);
        assert_eq!(group_of(&site, "u-1").await, Value::Null);
        let freed = site.get(&key, "/admin/users/u-1").await;
        assert_eq!(freed.header("etag"), "W/\"2\"", "the user is another one without its group");
        assert_eq!(audited(&site).await, before + 1);
        let diff = site.database().texts("SELECT diff FROM audit_log WHERE action = 'delete'").await;
        assert!(diff[0].contains(r#""members":["m-1","u-1"]"#), "{}", diff[0]);
        assert_eq!(delete(&site, &key, &forced).await.refusal(), (404, "not_found"));
        assert_eq!(site.get(&key, &path(&g)).await.refusal(), (404, "not_found"));
    });
}

#[test]
fn a_user_belongs_to_the_last_group_that_it_was_put_into() {
    on_every_database(async |site| {
        let (c, key) = administered(&site).await;
        let (g, h) = (
            group(&site, &key, &json!({"id": "g", "name": "g"})).await,
            group(&site, &key, &json!({"id": "h", "name": "h"})).await,
        );
        create(&site, &key, &json!({"id": "u-1", "username": "ann"})).await;
        site.mirror(Entity::Users, &[Row::new("m-1", &[("orgid", &c.id)])]).await;
        for user in ["u-1", "m-1"] {
            let before = audited(&site).await;
            for place in [&g, &g, &h] {
                assert_eq!(put(&site, &key, &member(place, user)).await.status, 204, "{user}");
            }
            assert_eq!(audited(&site).await, before + 2, "{user}: the second time was no change");
            assert_eq!(delete(&site, &key, &member(&g, user)).await.refusal(), (404, "not_found"), "{user}");
            assert_eq!(delete(&site, &key, &member(&h, user)).await.status, 204, "{user}");
            assert_eq!(delete(&site, &key, &member(&h, user)).await.refusal(), (404, "not_found"), "{user}");
            assert_eq!(audited(&site).await, before + 3, "{user}");
        }
        let user = "/admin/users/u-1";
        let shown = site.get(&key, user).await;
        assert_eq!((shown.header("etag"), &shown.data()["group_id"]), ("W/\"4\"", &Value::Null));
        for (group, shown) in [(json!("g"), json!("g")), (json!("h"), json!("h")), (Value::Null, Value::Null)]
        {
            let changed = patch(&site, &key, user, "*", &json!({"group_id": group})).await;
            assert_eq!((changed.status, &changed.data()["group_id"]), (200, &shown));
        }
        let diff = site
            .database()
            .texts("SELECT diff FROM audit_log WHERE object_id = 'u-1' ORDER BY created_at DESC, id DESC")
            .await;
        assert_eq!(diff[0], r#"{"before":{"group_id":"h"},"after":{"group_id":null}}"#);
        for unknown in ["u-2", "%00", "m-2"] {
            assert_eq!(
                put(&site, &key, &member(&g, unknown)).await.refusal(),
                (404, "not_found"),
                "{unknown}"
            );
        }
        let refused = patch(&site, &key, user, "*", &json!({"group_id": "unknown"})).await;
        assert_eq!(refused.refusal(), (404, "not_found"));
        assert_eq!(put(&site, &key, "/admin/groups/unknown/members/u-1").await.refusal(), (404, "not_found"));
    });
}

#[test]
fn an_administrator_of_a_customer_reaches_its_own_groups_alone() {
    on_every_database(async |site| {
        let ((c, key), (other, other_key)) = (administered(&site).await, administered(&site).await);
        let own = group(&site, &key, &json!({"id": "own", "name": "g"})).await;
        let theirs = group(&site, &other_key, &json!({"id": "theirs", "name": "g"})).await;
        let ours = group(&site, &site.platform, &json!({"id": "ours", "name": "g"})).await;
        create(&site, &key, &json!({"id": "u-1", "username": "ann"})).await;
        create(&site, &other_key, &json!({"id": "u-2", "username": "ann"})).await;
        site.mirror(
            Entity::Users,
            &[Row::new("m-1", &[("orgid", &c.id)]), Row::new("m-2", &[("orgid", &other.id)])],
        )
        .await;
        let before = audited(&site).await;
        for foreign in [&theirs, &ours] {
            for reply in [
                site.get(&key, &path(foreign)).await,
                patch(&site, &key, &path(foreign), "*", &json!({"daily_tokens": 1})).await,
                delete(&site, &key, &path(foreign)).await,
                delete(&site, &key, &format!("{}?force=true", path(foreign))).await,
                put(&site, &key, &member(foreign, "u-1")).await,
                put(&site, &key, &member(foreign, "m-1")).await,
                delete(&site, &key, &member(foreign, "u-1")).await,
                patch(&site, &key, "/admin/users/u-1", "*", &json!({"group_id": foreign.data()["id"]})).await,
            ] {
                assert_eq!(reply.refusal(), (404, "not_found"), "{}", reply.text());
            }
        }
        for user in ["u-2", "m-2"] {
            assert_eq!(put(&site, &key, &member(&own, user)).await.refusal(), (404, "not_found"), "{user}");
            let by_platform = put(&site, &site.platform, &member(&own, user)).await;
            assert_eq!(by_platform.refusal(), (404, "not_found"), "{user} is of another customer");
        }
        let mixed = patch(&site, &site.platform, "/admin/users/u-2", "*", &json!({"group_id": "own"})).await;
        assert_eq!((mixed.refusal(), field(&mixed)), ((400, "invalid_request"), "group_id"));
        let named = json!({"name": "a", "customer_id": other.id});
        assert_eq!(site.post(&key, "/admin/groups", &named).await.refusal(), (403, "customer_forbidden"));
        assert_eq!(audited(&site).await, before);
        let listed = site.get(&key, "/admin/groups?name=g").await;
        assert_eq!(listed.rows().iter().map(|row| &row["id"]).collect::<Vec<_>>(), ["own"]);
        assert_eq!(site.get(&site.platform, "/admin/groups?name=g").await.rows().len(), 3);
        let other = format!("/admin/groups?customer_id={}", other.id);
        assert_eq!(site.get(&key, &other).await.refusal(), (403, "customer_forbidden"));
        assert_eq!(site.get(&c.key, "/admin/groups").await.refusal(), (403, "scope_missing"));
    });
}

#[test]
fn only_the_platform_takes_a_user_out_of_a_group_of_the_platform() {
    on_every_database(async |site| {
        let (c, key) = administered(&site).await;
        let own = group(&site, &key, &json!({"id": "own", "name": "g"})).await;
        let ours = group(&site, &site.platform, &json!({"id": "ours", "name": "g"})).await;
        create(&site, &key, &json!({"id": "u-1", "username": "ann"})).await;
        site.mirror(Entity::Users, &[Row::new("m-1", &[("orgid", &c.id)])]).await;
        for user in ["u-1", "m-1"] {
            assert_eq!(put(&site, &site.platform, &member(&ours, user)).await.status, 204);
        }
        let before = audited(&site).await;
        for refused in [
            patch(&site, &key, "/admin/users/u-1", "*", &json!({"group_id": null})).await,
            patch(&site, &key, "/admin/users/u-1", "*", &json!({"group_id": "own"})).await,
            put(&site, &key, &member(&own, "u-1")).await,
            put(&site, &key, &member(&own, "m-1")).await,
            delete(&site, &key, &member(&ours, "u-1")).await,
            delete(&site, &key, &member(&ours, "m-1")).await,
        ] {
            assert_eq!(refused.refusal(), (403, "customer_forbidden"), "{}", refused.text());
        }
        // Deleted and created again, it would have left the group; so would a mirrored user who gets a name to sign in.
        assert_eq!(delete(&site, &key, "/admin/users/u-1").await.refusal(), (403, "customer_forbidden"));
        let taken_over = json!({"id": "m-1", "username": "mia", "group_id": "own"});
        assert_eq!(site.post(&key, "/admin/users", &taken_over).await.refusal(), (409, "conflict"));
        assert_eq!((group_of(&site, "u-1").await, audited(&site).await), (json!("ours"), before));
        let named = create(&site, &key, &json!({"id": "m-1", "username": "mia"})).await;
        assert_eq!(named.data()["group_id"], "ours");
        assert_eq!(delete(&site, &key, "/admin/users/m-1").await.refusal(), (403, "customer_forbidden"));
        let renamed = patch(&site, &key, "/admin/users/u-1", "*", &json!({"username": "bea"})).await;
        assert_eq!(
            (renamed.status, &renamed.data()["group_id"]),
            (200, &json!("ours")),
            "all else it may change"
        );
        for user in ["u-1", "m-1"] {
            assert_eq!(delete(&site, &site.platform, &member(&ours, user)).await.status, 204);
            assert_eq!(put(&site, &key, &member(&own, user)).await.status, 204);
        }
        assert_eq!(group_of(&site, "u-1").await, "own");
    });
}

#[test]
fn a_mirrored_user_who_is_gone_can_be_taken_out_of_its_group() {
    on_every_database(async |site| {
        let (c, key) = administered(&site).await;
        let (own, ours) = (json!({"id": "own", "name": "g"}), json!({"id": "ours", "name": "g"}));
        let (own, ours) = (group(&site, &key, &own).await, group(&site, &site.platform, &ours).await);
        let theirs = [("orgid", c.id.as_str())];
        site.mirror(Entity::Users, &["m-1", "m-2"].map(|id| Row::new(id, &theirs))).await;
        assert_eq!(put(&site, &key, &member(&own, "m-1")).await.status, 204);
        assert_eq!(put(&site, &site.platform, &member(&ours, "m-2")).await.status, 204);
        assert!(site.database().execute("DELETE FROM users_cache").await > 0);
        let (other, stranger) = administered(&site).await;
        assert_ne!(other.id, c.id);
        for (path, error) in [(member(&own, "m-1"), "group"), (member(&ours, "m-2"), "member")] {
            let refused = delete(&site, &stranger, &path).await;
            assert_eq!(refused.refusal(), (404, "not_found"));
            assert!(refused.text().contains(error), "{}", refused.text());
        }
        assert_eq!(delete(&site, &key, &member(&ours, "m-2")).await.refusal(), (403, "customer_forbidden"));
        assert_eq!(delete(&site, &key, &member(&own, "m-1")).await.status, 204);
        assert_eq!(delete(&site, &key, &member(&own, "m-1")).await.refusal(), (404, "not_found"));
        assert_eq!(delete(&site, &site.platform, &member(&ours, "m-2")).await.status, 204);
        assert_eq!(delete(&site, &key, "/admin/groups/own").await.status, 204);
    });
}
