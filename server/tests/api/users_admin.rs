//! Administration of users: who may change whom, against which version, and what is left of it in the audit log.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use http::Method;
use sageapi_server::domain::keys::KeyRequest;
use sageapi_server::model::AuthMode;
use sageapi_test_support::app::{App, AppBuilder, request};
use sageapi_test_support::database::Kind;
use serde_json::{Value, json};

use crate::raw::{Ask, Credentials, Reply};
use crate::site::{Customer, Site, new_id, on, on_every_database, on_every_database_with, until};

const PASSWORD: &str = "correct horse battery staple";
const UNKNOWN: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A customer, and a key by which its users and groups are administered.
pub async fn administered(site: &Site) -> (Customer, Credentials) {
    let c = site.customer("1").await;
    let key = Credentials::from(&site.app.key(Some(&c.id), "manage").await);
    (c, key)
}

/// A request that changes something, perhaps against a version.
pub fn change(method: Method, path: &str, if_match: Option<&str>, body: Option<&Value>) -> Ask {
    let mut ask = Ask::new(method, path);
    if let Some(body) = body {
        ask.body = body.to_string().into_bytes();
        ask = ask.header("content-type", "application/json");
    }
    if_match.into_iter().fold(ask, |ask, tag| ask.header("if-match", tag))
}

pub async fn patch(site: &Site, key: &Credentials, path: &str, if_match: &str, body: &Value) -> Reply {
    site.send(change(Method::PATCH, path, Some(if_match), Some(body)), key).await
}

pub async fn delete(site: &Site, key: &Credentials, path: &str) -> Reply {
    site.send(change(Method::DELETE, path, None, None), key).await
}

pub async fn create(site: &Site, key: &Credentials, body: &Value) -> Reply {
    let made = site.post(key, "/admin/users", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made
}

/// The path of what was created, without /api/v1.
pub fn path(made: &Reply) -> String {
    made.header("location").strip_prefix("/api/v1").unwrap().to_owned()
}

/// How many changes of users and groups are in the audit log.
pub async fn audited(site: &Site) -> i64 {
    let count = "SELECT COUNT(*) FROM audit_log WHERE object_kind IN ('user', 'group')";
    site.database().int(count).await
}

pub fn field(refused: &Reply) -> &str {
    refused.json["errors"][0]["field"].as_str().unwrap_or_default()
}

fn with_login(builder: AppBuilder) -> AppBuilder {
    builder.set("SAGEAPI_AUTH_JWT_SECRET", "a secret of tokens that only tests know")
}

async fn login(site: &Site, customer: Option<&str>, name: &str, password: &str) -> Reply {
    let mut body = json!({"username": name, "password": password});
    if let Some(customer) = customer {
        body["customer_id"] = customer.into();
    }
    Ask::post("/auth/login", &body).send(site.http()).await
}

#[test]
fn a_user_is_created_with_what_is_given_and_else_with_defaults() {
    on_every_database(async |site| {
        let (c, key) = administered(&site).await;
        let made = create(&site, &key, &json!({"username": "Ann"})).await;
        let id = made.data()["id"].as_str().unwrap();
        assert_eq!(made.header("location"), format!("/api/v1/admin/users/{id}"));
        assert_eq!((id.len(), made.header("etag")), (36, "W/\"1\""));
        for (name, value) in [
            ("customer_id", json!(c.id)),
            ("username", json!("ann")),
            ("role", json!("user")),
            ("is_active", json!(true)),
            ("has_password", json!(false)),
            ("group_id", Value::Null),
            ("last_login_at", Value::Null),
            ("version", json!(1)),
        ] {
            assert_eq!(made.data()[name], value, "{name}");
        }
        let body = json!({
            "id": "a/b?c", "customer_id": c.id, "username": "bea", "role": "admin", "is_active": false,
            "password": PASSWORD,
        });
        let made = create(&site, &key, &body).await;
        assert_eq!(made.header("location"), "/api/v1/admin/users/a%2Fb%3Fc");
        let shown = site.get(&key, &path(&made)).await;
        assert_eq!(shown.data(), made.data());
        assert_eq!(
            (&shown.data()["is_active"], &shown.data()["role"], &shown.data()["has_password"]),
            (&json!(false), &json!("admin"), &json!(true)),
            "who is created disabled stays disabled"
        );
        for reply in [&made, &shown, &site.get(&key, "/admin/users").await] {
            assert!(!reply.text().contains("argon2") && !reply.text().contains("password_hash"));
        }
        let of_platform = create(&site, &site.platform, &json!({"username": "ann"})).await;
        assert_eq!(of_platform.data()["customer_id"], Value::Null);
        let nobody = json!({"username": "cid", "customer_id": "nobody"});
        assert_eq!(site.post(&site.platform, "/admin/users", &nobody).await.refusal(), (404, "not_found"));
    });
}

#[test]
fn a_user_that_is_wrong_is_refused_by_the_field() {
    on_every_database(async |site| {
        let (_, key) = administered(&site).await;
        for (body, code, named) in [
            (json!({}), "invalid_request", "username"),
            (json!({"username": null}), "invalid_request", "username"),
            (json!({"username": "a b"}), "invalid_request", "username"),
            (json!({"username": "x".repeat(65)}), "invalid_request", "username"),
            (json!({"username": "a", "role": "root"}), "invalid_request", "role"),
            (json!({"username": "a", "is_active": "yes"}), "invalid_request", "is_active"),
            (json!({"username": "a", "id": "a b"}), "invalid_request", "id"),
            (json!({"username": "a", "password": "short"}), "invalid_request", "password"),
            (json!({"username": "a", "password": 12_345_678}), "invalid_request", "password"),
            (json!({"username": "a", "password": "password123"}), "invalid_request", "password"),
            (
                json!({"username": "a", "role": "admin", "password": "only-12-long"}),
                "invalid_request",
                "password",
            ),
            (json!({"username": "a", "password_hash": "x"}), "unknown_field", "password_hash"),
            (json!({"username": "a", "security_version": 1}), "unknown_field", "security_version"),
        ] {
            let refused = site.post(&key, "/admin/users", &body).await;
            assert_eq!((refused.refusal(), field(&refused)), ((400, code), named), "{body}");
            assert!(!refused.text().contains("12345678") && !refused.text().contains("only-12-long"));
        }
        assert_eq!(audited(&site).await, 0);
    });
}

#[test]
fn a_name_that_differs_by_case_width_or_composition_alone_is_taken() {
    on_every_database(async |site| {
        let (_, key) = administered(&site).await;
        create(&site, &key, &json!({"id": "u-1", "username": "Jos\u{e9}"})).await;
        for name in ["jos\u{e9}", "JOS\u{c9}", "Jose\u{301}", "\u{ff2a}os\u{e9}"] {
            let refused = site.post(&key, "/admin/users", &json!({"username": name})).await;
            assert_eq!((refused.refusal(), field(&refused)), ((409, "conflict"), "username"), "{name}");
            let query: String = name.bytes().map(|byte| format!("%{byte:02x}")).collect();
            let found = site.get(&key, &format!("/admin/users?username={query}")).await;
            assert_eq!(found.rows().len(), 1, "{name}");
        }
        let refused = site.post(&key, "/admin/users", &json!({"id": "u-1", "username": "other"})).await;
        assert_eq!((refused.refusal(), field(&refused)), ((409, "conflict"), "id"));
        let other = create(&site, &key, &json!({"username": "other"})).await;
        let refused = patch(&site, &key, &path(&other), "\"1\"", &json!({"username": "JOS\u{c9}"})).await;
        assert_eq!((refused.refusal(), field(&refused)), ((409, "conflict"), "username"));
        let (_, elsewhere) = administered(&site).await;
        create(&site, &elsewhere, &json!({"username": "jos\u{e9}"})).await;
    });
}

#[test]
fn of_ten_users_created_at_once_exactly_one_wins() {
    on_every_database(async |site| {
        let (_, key) = administered(&site).await;
        let bodies: Vec<_> =
            (0..10).map(|n| json!({"username": if n % 2 == 0 { "ann" } else { "ANN" }})).collect();
        let replies = join_all(bodies.iter().map(|body| site.post(&key, "/admin/users", body))).await;
        assert_eq!(replies.iter().filter(|reply| reply.status == 201).count(), 1);
        for refused in replies.iter().filter(|reply| reply.status != 201) {
            assert_eq!((refused.refusal(), field(refused)), ((409, "conflict"), "username"));
        }
        assert_eq!(audited(&site).await, 1);
    });
}

#[test]
fn a_change_names_the_version_that_it_is_based_on_and_leaves_out_what_stays() {
    on_every_database(async |site| {
        let (_, key) = administered(&site).await;
        let made = create(&site, &key, &json!({"username": "ann", "role": "admin"})).await;
        let user = path(&made);
        let body = json!({"username": "bea"});
        let unconditional = site.send(change(Method::PATCH, &user, None, Some(&body)), &key).await;
        assert_eq!(unconditional.refusal(), (428, "precondition_required"));
        for stale in ["\"2\"", "W/\"0\"", "\"x\"", "1"] {
            let refused = patch(&site, &key, &user, stale, &body).await;
            assert_eq!(refused.refusal(), (412, "precondition_failed"), "{stale}");
        }
        let changed = patch(&site, &key, &user, made.header("etag"), &body).await;
        assert_eq!((changed.status, changed.header("etag")), (200, "W/\"2\""), "{}", changed.text());
        assert_eq!(
            (&changed.data()["username"], &changed.data()["role"], &changed.data()["version"]),
            (&json!("bea"), &json!("admin"), &json!(2))
        );
        assert_eq!(site.get(&key, &user).await.data(), changed.data());
        let before = audited(&site).await;
        for body in [json!({}), json!({"username": "BEA"}), json!({"role": "admin", "group_id": null})] {
            let same = patch(&site, &key, &user, "W/\"2\"", &body).await;
            assert_eq!((same.status, same.header("etag")), (200, "W/\"2\""), "{body}");
        }
        assert_eq!(audited(&site).await, before, "what changes nothing leaves no entry");
        for (body, named) in [
            (json!({"username": null}), "username"),
            (json!({"role": null}), "role"),
            (json!({"is_active": null}), "is_active"),
            (json!({"group_id": 5}), "group_id"),
        ] {
            let refused = patch(&site, &key, &user, "*", &body).await;
            assert_eq!((refused.refusal(), field(&refused)), ((400, "invalid_request"), named));
        }
        for body in [json!({"customer_id": "x"}), json!({"id": "x"}), json!({"password": PASSWORD})] {
            assert_eq!(patch(&site, &key, &user, "*", &body).await.refusal(), (400, "unknown_field"));
        }
        let stale = site.send(change(Method::DELETE, &user, Some("\"1\""), None), &key).await;
        assert_eq!(stale.refusal(), (412, "precondition_failed"));
        assert_eq!(delete(&site, &key, &user).await.status, 204);
        assert_eq!(site.get(&key, &user).await.refusal(), (404, "not_found"));
    });
}

#[test]
fn an_unknown_user_is_not_found_whatever_is_asked() {
    on_every_database(async |site| {
        let (_, key) = administered(&site).await;
        for id in [UNKNOWN, "%00", "x", "..%2f"] {
            let user = format!("/admin/users/{id}");
            let password = json!({"password": PASSWORD});
            for reply in [
                site.get(&key, &user).await,
                patch(&site, &key, &user, "*", &json!({"username": "a"})).await,
                delete(&site, &key, &user).await,
                site.post(&key, &format!("{user}/password"), &password).await,
                site.post(&key, &format!("{user}/revoke"), &json!({})).await,
            ] {
                assert_eq!(reply.refusal(), (404, "not_found"), "{id}");
            }
        }
        assert_eq!(audited(&site).await, 0);
    });
}

#[test]
fn an_administrator_of_a_customer_reaches_its_own_users_alone() {
    on_every_database(async |site| {
        let ((c, key), (other, other_key)) = (administered(&site).await, administered(&site).await);
        let own = create(&site, &key, &json!({"username": "own"})).await;
        let theirs = create(&site, &other_key, &json!({"username": "theirs"})).await;
        let of_platform = create(&site, &site.platform, &json!({"username": "ours"})).await;
        let before = audited(&site).await;
        for foreign in [&theirs, &of_platform] {
            let user = path(foreign);
            let password = json!({"password": PASSWORD});
            for reply in [
                site.get(&key, &user).await,
                patch(&site, &key, &user, "*", &json!({"username": "mine"})).await,
                delete(&site, &key, &user).await,
                site.post(&key, &format!("{user}/password"), &password).await,
                site.post(&key, &format!("{user}/revoke"), &json!({})).await,
            ] {
                assert_eq!(reply.refusal(), (404, "not_found"));
            }
            assert_eq!(site.get(&site.platform, &user).await.data(), foreign.data());
        }
        let named = json!({"username": "a", "customer_id": other.id});
        assert_eq!(site.post(&key, "/admin/users", &named).await.refusal(), (403, "customer_forbidden"));
        let list = format!("/admin/users?customer_id={}", other.id);
        assert_eq!(site.get(&key, &list).await.refusal(), (403, "customer_forbidden"));
        assert_eq!(audited(&site).await, before);
        let ids = async |key: &Credentials, query: &str| -> BTreeSet<String> {
            let list = site.get(key, &format!("/admin/users{query}")).await;
            list.rows().iter().map(|row| row["username"].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(ids(&key, "").await, ["own".to_owned()].into());
        assert_eq!(ids(&key, &format!("?customer_id={}", c.id)).await, ["own".to_owned()].into());
        assert_eq!(ids(&site.platform, "").await.len(), 3);
        assert_eq!(
            ids(&site.platform, &format!("?customer_id={}", other.id)).await,
            ["theirs".to_owned()].into()
        );
        for without in [&c.key, &Credentials::from(&site.app.key(None, "users:read,accounting:write").await)]
        {
            assert_eq!(site.get(without, "/admin/users").await.refusal(), (403, "scope_missing"));
            let refused = site.post(without, "/admin/users", &json!({"username": "a"})).await;
            assert_eq!(refused.refusal(), (403, "scope_missing"));
            assert_eq!(delete(&site, without, &path(&own)).await.refusal(), (403, "scope_missing"));
        }
    });
}

#[test]
fn users_are_listed_by_every_filter_page_by_page() {
    on_every_database(async |site| {
        let (_, key) = administered(&site).await;
        let group = site.post(&key, "/admin/groups", &json!({"name": "g"})).await;
        for n in 0..5 {
            let mut body = json!({
                "username": format!("name-{n}"), "role": if n == 0 { "admin" } else { "user" }, "is_active": n != 1,
            });
            if n > 2 {
                body["group_id"] = group.data()["id"].clone();
            }
            create(&site, &key, &body).await;
        }
        let names = async |query: &str| -> Vec<String> {
            let list = site.get(&key, &format!("/admin/users?{query}")).await;
            list.rows().iter().map(|row| row["username"].as_str().unwrap()[5..].to_owned()).collect()
        };
        let in_group = format!("group_id={}", group.data()["id"].as_str().unwrap());
        for (query, expected) in [
            ("", vec!["4", "3", "2", "1", "0"]),
            ("order=asc", vec!["0", "1", "2", "3", "4"]),
            ("role=admin", vec!["0"]),
            ("is_active=false", vec!["1"]),
            ("username=NAME-2", vec!["2"]),
            (&in_group, vec!["4", "3"]),
            (&format!("{in_group}&username=name-3"), vec!["3"]),
            (&format!("{in_group}&role=admin"), vec![]),
            ("group_id=unknown", vec![]),
            ("to=2001-01-01T00:00:00Z", vec![]),
        ] {
            assert_eq!(names(query).await, expected, "{query}");
        }
        let (mut walked, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = site.get(&key, &format!("/admin/users?limit=2&count=true{cursor}")).await;
            assert_eq!(page.data()["total"], 5);
            walked.extend(page.rows().iter().map(|row| row["username"].as_str().unwrap()[5..].to_owned()));
            let Some(next) = page.data()["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(walked, ["4", "3", "2", "1", "0"]);
        let foreign = site.get(&key, &format!("/admin/groups?limit=2{cursor}")).await;
        assert_eq!(foreign.refusal(), (400, "invalid_cursor"));
        for query in ["role=root", "is_active=1", "username=", "username=a%20b", "group_id=%00"] {
            assert_eq!(
                site.get(&key, &format!("/admin/users?{query}")).await.refusal(),
                (400, "invalid_request")
            );
        }
    });
}

#[test]
fn every_change_has_one_entry_of_the_audit_log_that_names_the_actor_and_no_secret() {
    on_every_database(async |site| {
        let (c, key) = administered(&site).await;
        let made = create(&site, &key, &json!({"username": "ann", "password": PASSWORD})).await;
        let user = path(&made);
        patch(&site, &key, &user, "*", &json!({"is_active": false})).await;
        let password = json!({"password": "another battery staple"});
        assert_eq!(site.post(&key, &format!("{user}/password"), &password).await.status, 204);
        let revoked = Ask::new(Method::POST, &format!("{user}/revoke"));
        let revoked = site.send(revoked, &key).await;
        assert_eq!((revoked.status, revoked.bytes.len()), (204, 0), "{}", revoked.text());
        assert_eq!(delete(&site, &key, &user).await.status, 204);
        let texts = async |column: &str| {
            let of_users = "FROM audit_log WHERE object_kind = 'user' ORDER BY created_at, id";
            site.database().texts(&format!("SELECT {column} {of_users}")).await
        };
        assert_eq!(texts("action").await, ["create", "update", "set_password", "revoke", "delete"]);
        for (column, expected) in [
            ("object_kind", "user"),
            ("object_id", made.data()["id"].as_str().unwrap()),
            ("customer_id", c.id.as_str()),
            ("actor_kind", "key"),
            ("actor_id", key.key_id.as_str()),
        ] {
            assert_eq!(texts(column).await, [expected; 5], "{column}");
        }
        assert_eq!(texts("request_id").await[3], revoked.header("x-request-id"));
        let diffs = texts("diff").await;
        let diff: Value = serde_json::from_str(&diffs[1]).unwrap();
        let (before, after) = (&diff["before"], &diff["after"]);
        assert_eq!((&before["is_active"], &after["is_active"]), (&json!(true), &json!(false)));
        let version = |fields: &Value| fields["security_version"].as_i64().unwrap();
        assert_eq!(version(after), version(before) + 1, "{diff}");
        assert_eq!((before.as_object().unwrap().len(), after.as_object().unwrap().len()), (2, 2));
        let all = diffs.concat();
        assert!(!all.contains("argon2") && !all.contains("staple"), "{all}");
    });
}

#[test]
fn what_ends_a_users_access_ends_it_and_its_sessions() {
    on_every_database_with(with_login, async |site| {
        let (c, key) = administered(&site).await;
        let body = json!({"username": "ann", "role": "admin", "password": PASSWORD});
        let user = path(&create(&site, &key, &body).await);
        let sign_in = async |password: &str| {
            let reply = login(&site, Some(&c.id), "ANN", password).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
            let text = |name: &str| reply.data()[name].as_str().unwrap().to_owned();
            (text("access_token"), text("refresh_token"))
        };
        let status =
            async |token: &str| Ask::get("/admin/users").bearer(token).send(site.http()).await.status;
        let refresh = async |token: &str| {
            let reply = Ask::post("/auth/refresh", &json!({"refresh_token": token})).send(site.http()).await;
            reply.status
        };
        let set = async |body: Value| patch(&site, &key, &user, "*", &body).await;
        let (access, token) = sign_in(PASSWORD).await;
        assert_eq!(status(&access).await, 200, "an administrator of the customer manages its users");
        set(json!({"role": "user"})).await;
        assert_eq!((status(&access).await, refresh(&token).await), (401, 200), "a new role ends no session");
        let (access, token) = sign_in(PASSWORD).await;
        assert_eq!(status(&access).await, 403, "a user manages nothing");
        set(json!({"is_active": false})).await;
        set(json!({"is_active": true})).await;
        assert_eq!((status(&access).await, refresh(&token).await), (401, 401), "disabled");
        let (access, token) = sign_in(PASSWORD).await;
        let password = json!({"password": "another battery staple"});
        assert_eq!(site.post(&key, &format!("{user}/password"), &password).await.status, 204);
        assert_eq!((status(&access).await, refresh(&token).await), (401, 401), "another password");
        assert_eq!(login(&site, Some(&c.id), "ann", PASSWORD).await.refusal(), (401, "login_failed"));
        let (access, token) = sign_in("another battery staple").await;
        assert_eq!(site.post(&key, &format!("{user}/revoke"), &json!({})).await.status, 204);
        assert_eq!((status(&access).await, refresh(&token).await), (401, 401), "revoked");
        let (access, token) = sign_in("another battery staple").await;
        assert_eq!(delete(&site, &key, &user).await.status, 204);
        assert_eq!((status(&access).await, refresh(&token).await), (401, 401), "deleted");
        assert_eq!(site.database().int("SELECT COUNT(*) FROM sessions").await, 0);
    });
}

#[test]
fn a_user_disabled_at_one_instance_has_no_access_at_the_other_within_a_second() {
    on(Kind::MySql, async || {
        let one = Site::new(with_login(App::builder(Kind::MySql)).start().await);
        let two = Site::new(with_login(one.app.second()).start().await);
        let body = json!({"username": "ann", "role": "admin", "password": PASSWORD});
        let user = path(&create(&one, &one.platform, &body).await);
        let reply = login(&one, None, "ann", PASSWORD).await;
        let access = reply.data()["access_token"].as_str().unwrap().to_owned();
        let status = async || Ask::get("/admin/users").bearer(&access).send(two.http()).await.status;
        assert_eq!((status().await, status().await), (200, 200));
        let clock = one.app.clock();
        let disabled = clock.monotonic();
        assert_eq!(patch(&one, &one.platform, &user, "*", &json!({"is_active": false})).await.status, 200);
        until("the other instance knows", async || status().await != 200).await;
        let took = clock.monotonic() - disabled;
        assert!(took.as_millis() < 2000, "{took:?}");
        assert_eq!(status().await, 401);
    });
}

#[test]
fn a_bearer_key_administers_like_a_signed_one() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let bearer = KeyRequest { auth_mode: AuthMode::Bearer, ..request(Some(&c.id), "manage") };
        let bearer = site.app.make_key(bearer).await;
        let name = new_id("name");
        let ask = Ask::post("/admin/users", &json!({"username": name})).bearer(&bearer.secret);
        let made = ask.send(site.http()).await;
        assert_eq!((made.status, &made.data()["customer_id"]), (201, &json!(c.id)));
    });
}
