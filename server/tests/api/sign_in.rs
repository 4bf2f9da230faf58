//! Signing in and out: who gets in, what the tokens say, and how access ends.

use std::time::Duration;

use argon2::password_hash::PasswordHasher as _;
use argon2::password_hash::phc::PasswordHash;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD as BASE64;
use futures_util::StreamExt as _;
use futures_util::future::join_all;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http::Method;
use sageapi_server::domain::admin::users::{UserRequest, UserSettings};
use sageapi_server::domain::principal::Principal;
use sageapi_server::model::{Actor, Secret, UserRole, Username};
use sageapi_test_support::app::App;
use sageapi_test_support::database::Kind;
use serde_json::{Value, json};

use crate::people::{JWT_SECRET, PASSWORD, Tokens, new_address, post_from, signing_in};
use crate::raw::{Ask, Credentials, Reply};
use crate::site::{Site, on, on_every_database, on_every_database_with, until};

const NEW_PASSWORD: &str = "another horse battery";

async fn change_password(site: &Site, access: &str, current: &str, new: &str) -> Reply {
    Ask::post("/auth/password", &json!({"current": current, "new": new}))
        .bearer(access)
        .send(site.http())
        .await
}

/// A problem without what differs from one request to the next.
fn shown(reply: &Reply) -> Value {
    let mut problem = reply.json.clone();
    problem.as_object_mut().unwrap().retain(|name, _| name != "request_id");
    problem
}

#[test]
fn a_user_signs_in_sees_who_it_is_and_signs_out() {
    on_every_database_with(signing_in, async |site| {
        let c = site.customer("1").await;
        let person = site.person(Some(&c.id), UserRole::User).await;
        let mut body = person.credentials(PASSWORD);
        // Names that differ by case alone are one name.
        body["username"] = Value::from(person.name.to_uppercase());
        body["device_name"] = Value::from("laptop");
        let reply = post_from("192.0.2.7", "/auth/login", &body).send(site.http()).await;
        let tokens = Tokens::of(&reply);
        let data = reply.data();
        assert_eq!((&data["token_type"], &data["expires_in"]), (&json!("Bearer"), &json!(900)));
        assert_eq!(data["user"]["id"], person.id.as_str());
        assert_eq!(data["user"]["customer_id"], c.id);
        assert!(reply.header("cache-control").contains("no-store"), "{:?}", reply.headers);

        let me = site.as_user(&tokens.access, "/auth/me").await;
        assert_eq!(me.data()["username"], person.name);
        assert_eq!(me.data()["role"], "user");
        assert_eq!(me.data()["scopes"], json!(["usage:read", "quota:read"]));
        assert!(me.data()["last_login_at"].is_string());
        let sessions = site.as_user(&tokens.access, "/auth/sessions").await;
        let [session] = &sessions.rows()[..] else { panic!("{}", sessions.text()) };
        assert_eq!((&session["device_name"], &session["address"]), (&json!("laptop"), &json!("192.0.2.7")));
        assert_eq!((&session["id"], &session["current"]), (&me.data()["session_id"], &json!(true)));

        let logout =
            async || Ask::new(Method::POST, "/auth/logout").bearer(&tokens.access).send(site.http()).await;
        let reply = logout().await;
        assert_eq!((reply.status, reply.bytes.len()), (204, 0));
        assert!(!site.has_access(&tokens.access).await);
        assert_eq!(logout().await.refusal(), (401, "token_expired"));
        assert_eq!(site.refresh(&tokens.refresh).await.refusal(), (401, "token_expired"));
        // No secret and no token is stored, nor is one in the log of changes.
        let stored = "SELECT password_hash FROM users";
        assert!(
            site.database()
                .texts(stored)
                .await
                .iter()
                .all(|hash| hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"))
        );
        let diffs = site.database().texts("SELECT diff FROM audit_log").await.concat();
        assert!(!diffs.contains("argon2") && !diffs.contains(PASSWORD), "{diffs}");
    });
}

/// Behaviour 7: one answer for an unknown user and a wrong password; a disabled account shows after a right one alone.
#[test]
fn an_unknown_user_and_a_wrong_password_get_one_answer() {
    on_every_database_with(signing_in, async |site| {
        let c = site.customer("1").await;
        let person = site.person(Some(&c.id), UserRole::User).await;
        let login = async |customer: Value, name: &str, password: &str| {
            let body = json!({"customer_id": customer, "username": name, "password": password});
            post_from(&new_address(), "/auth/login", &body).send(site.http()).await
        };
        let wrong = login(json!(c.id), &person.name, "wrong horse battery").await;
        assert_eq!(wrong.refusal(), (401, "login_failed"));
        for (customer, name) in [
            (json!(c.id), "nobody"),
            (json!("org-unknown"), person.name.as_str()),
            (Value::Null, person.name.as_str()),
            (json!(c.id), "a b"),
            (json!(c.id), &"x".repeat(5000)),
            (json!(c.id), "nul\0"),
        ] {
            let reply = login(customer, name, PASSWORD).await;
            assert_eq!(shown(&reply), shown(&wrong), "{name}");
        }
        site.set_active(&person, false).await;
        assert_eq!(shown(&login(json!(c.id), &person.name, "wrong horse battery").await), shown(&wrong));
        assert_eq!(login(json!(c.id), &person.name, PASSWORD).await.refusal(), (403, "user_disabled"));
        site.set_active(&person, true).await;
        assert_eq!(login(json!(c.id), &person.name, PASSWORD).await.status, 200);
        // A user without a password cannot sign in.
        let without = format!("UPDATE users SET password_hash = NULL WHERE id = '{}'", person.id);
        assert_eq!(site.database().execute(&without).await, 1);
        assert_eq!(shown(&login(json!(c.id), &person.name, PASSWORD).await), shown(&wrong));
    });
}

#[test]
fn passwords_and_bodies_that_are_none_get_a_documented_answer() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let long = "x".repeat(1 << 20);
        for password in [long.as_str(), "", "short", "with a nul \0 inside", &"\u{1f600}".repeat(40)] {
            let reply = site.login_from(&new_address(), &person, password).await;
            let expected =
                if password.len() == 1 << 20 { (413, "body_too_large") } else { (401, "login_failed") };
            assert_eq!(reply.refusal(), expected, "{}", password.len());
        }
        let raw = async |body: Vec<u8>| Ask::post_bytes("/auth/login", body).send(site.http()).await;
        let mut invalid = br#"{"username":"a","password":"12345678"#.to_vec();
        invalid.extend([0xff, 0xfe, b'"', b'}']);
        assert_eq!(raw(invalid).await.refusal(), (400, "body_malformed"));
        assert_eq!(raw(b"{".to_vec()).await.refusal(), (400, "body_malformed"));
        assert_eq!(raw(Vec::new()).await.status, 400);
        for (body, code) in [
            (json!({}), "invalid_request"),
            (json!({"username": "a"}), "invalid_request"),
            (json!({"username": 1, "password": PASSWORD}), "invalid_request"),
            (json!({"username": "a", "password": null}), "invalid_request"),
            (json!({"username": "a", "password": {"$ne": ""}}), "invalid_request"),
            (json!({"username": "a", "password": PASSWORD, "customer_id": "a b"}), "invalid_request"),
            (
                json!({"username": "a", "password": PASSWORD, "device_name": "x".repeat(129)}),
                "invalid_request",
            ),
            (json!({"username": "a", "password": PASSWORD, "role": "admin"}), "unknown_field"),
        ] {
            let reply = Ask::post("/auth/login", &body).send(site.http()).await;
            assert_eq!(reply.refusal(), (400, code), "{body}");
        }
        for device in
            ["", "dt_", "dt_x.y.z", &"d".repeat(100_000), "dt_00000000000000000000000000000000.1.AA"]
        {
            let mut body = person.credentials(PASSWORD);
            body["device_token"] = Value::from(device);
            let reply = post_from(&new_address(), "/auth/login", &body).send(site.http()).await;
            assert_eq!(reply.status, 200, "{}", reply.text());
        }
        let access = site.login(&person).await.access;
        for (new, field) in
            [("short", "new"), ("fourteen bytes", "new"), ("passwordpassword", "new"), (long.as_str(), "new")]
        {
            let reply = change_password(&site, &access, PASSWORD, new).await;
            if new.len() == 1 << 20 {
                assert_eq!(reply.refusal(), (413, "body_too_large"));
            } else {
                assert_eq!(reply.refusal(), (400, "invalid_request"));
                assert_eq!(reply.json["errors"][0]["field"], field);
            }
        }
        assert!(site.has_access(&access).await);
    });
}

#[test]
fn a_new_password_ends_all_other_sessions_and_gives_this_one_new_tokens() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let (own, other) = (site.login(&person).await, site.login(&person).await);
        let refused = change_password(&site, &own.access, "wrong horse battery", NEW_PASSWORD).await;
        assert_eq!(refused.refusal(), (401, "login_failed"));
        let renewed = Tokens::of(&change_password(&site, &own.access, PASSWORD, NEW_PASSWORD).await);
        assert!(site.has_access(&renewed.access).await);
        assert!(!site.has_access(&own.access).await && !site.has_access(&other.access).await);
        assert_eq!(site.refresh(&other.refresh).await.refusal(), (401, "token_expired"));
        assert_eq!(site.refresh(&renewed.refresh).await.status, 200);
        let login = async |password| site.login_from(&new_address(), &person, password).await;
        assert_eq!(login(PASSWORD).await.refusal(), (401, "login_failed"));
        assert_eq!(login(NEW_PASSWORD).await.status, 200);
        let audited = site.database().texts("SELECT action FROM audit_log WHERE actor_kind = 'user'").await;
        assert_eq!(audited, ["set_password"]);
    });
}

#[test]
fn a_copy_of_a_session_is_of_no_use_after_a_new_password() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let stolen = site.login(&person).await;
        let changed = change_password(&site, &stolen.access, PASSWORD, "another horse battery").await;
        let tokens = Tokens::of(&changed);
        assert!(!site.has_access(&stolen.access).await);
        assert!(site.has_access(&tokens.access).await);
        assert_eq!(site.refresh(&stolen.refresh).await.refusal(), (401, "token_reused"));
        assert!(!site.has_access(&tokens.access).await, "somebody has a copy: the session ends");
    });
}

#[test]
fn a_session_that_has_ended_changes_no_password() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let tokens = site.login(&person).await;
        assert!(site.has_access(&tokens.access).await);
        // Behind the back of this instance's cache.
        assert!(site.database().execute("UPDATE sessions SET revoked_at = 1").await > 0);
        let refused = change_password(&site, &tokens.access, PASSWORD, "another horse battery").await;
        assert_eq!(refused.refusal(), (409, "conflict"), "{}", refused.text());
        assert_eq!(site.login_from(&new_address(), &person, PASSWORD).await.status, 200);
    });
}

#[test]
fn a_user_who_gets_the_id_of_a_deleted_one_gets_none_of_its_access() {
    on_every_database_with(signing_in, async |site| {
        let c = site.customer("1").await;
        let person = site.person(Some(&c.id), UserRole::User).await;
        let before = site.login(&person).await;
        assert!(site.has_access(&before.access).await);
        let by = (Principal::command_line(), Actor::command_line());
        site.env().admin_users().delete(&by.0, &by.1, &person.id, None).await.unwrap();
        let settings = UserSettings {
            username: Username::parse(&person.name).unwrap(),
            role: UserRole::Admin,
            is_active: true,
            group_id: None,
        };
        let password = Some(Secret::new("another horse battery"));
        let request = UserRequest { id: Some(person.id.clone()), customer_id: None, settings, password };
        site.env().admin_users().create(&by.0, &by.1, request).await.unwrap();
        assert!(!site.has_access(&before.access).await);
        assert_eq!(site.refresh(&before.refresh).await.refusal(), (401, "token_expired"));
    });
}

#[test]
fn a_password_hashed_by_other_parameters_is_hashed_again_at_the_next_login() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        // `PASSWORD` by argon2id with m=64, t=1, p=1.
        let weak = argon2::Argon2::new(
            argon2::Algorithm::Argon2id,
            argon2::Version::V0x13,
            argon2::Params::new(64, 1, 1, None).unwrap(),
        );
        let weak: PasswordHash =
            weak.hash_password_with_salt(PASSWORD.as_bytes(), b"sixteen bytes ..").unwrap();
        let set = format!("UPDATE users SET password_hash = '{weak}' WHERE id = '{}'", person.id);
        assert_eq!(site.database().execute(&set).await, 1);
        let today = format!(
            "SELECT COUNT(*) FROM users WHERE id = '{}' AND password_hash LIKE '%m=19456,t=2,p=1$%'",
            person.id
        );
        assert_eq!(site.login_from(&new_address(), &person, "wrong horse battery").await.status, 401);
        assert_eq!(site.database().int(&today).await, 0);
        for _ in 0..2 {
            let tokens = site.login(&person).await;
            assert!(site.has_access(&tokens.access).await);
            assert_eq!(site.database().int(&today).await, 1);
        }
        // A hash that is none, or too expensive to check, is no password of anybody's.
        for unusable in
            ["x", "$argon2id$v=19$m=4194304,t=2,p=1$c29tZXNhbHRzb21lc2FsdA$AAAAAAAAAAAAAAAAAAAAAA"]
        {
            let set = format!("UPDATE users SET password_hash = '{unusable}' WHERE id = '{}'", person.id);
            assert_eq!(site.database().execute(&set).await, 1);
            let refused = site.login_from(&new_address(), &person, PASSWORD).await;
            assert_eq!(refused.refusal(), (401, "login_failed"), "{unusable}");
        }
    });
}

/// A JWT of any header and claims, signed with this secret.
fn jwt(secret: &str, head: &str, claims: &str) -> String {
    let signed = format!("{}.{}", BASE64.encode(head), BASE64.encode(claims));
    let mut mac = Hmac::<sha2::Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(signed.as_bytes());
    format!("{signed}.{}", BASE64.encode(mac.finalize().into_bytes()))
}

#[test]
fn tokens_that_were_altered_or_made_elsewhere_are_invalid() {
    on_every_database_with(signing_in, async |site| {
        let (person, victim) =
            (site.person(None, UserRole::Admin).await, site.person(None, UserRole::Admin).await);
        let (own, others) = (site.login(&person).await.access, site.login(&victim).await.access);
        let part = |token: &str, n: usize| token.split('.').nth(n).unwrap().to_owned();
        let text = |part: &str| String::from_utf8(BASE64.decode(part).unwrap()).unwrap();
        let (head, claims) = (text(&part(&own, 0)), text(&part(&own, 1)));
        assert_eq!(jwt(JWT_SECRET, &head, &claims), own, "any library makes and checks the same");
        let parsed: Value = serde_json::from_str(&claims).unwrap();
        for name in ["aud", "sub", "customer", "role", "family", "gen", "security_version", "iat", "exp"] {
            assert!(!parsed[name].is_null(), "{name}: {claims}");
        }
        let far = claims.replace(&parsed["exp"].to_string(), "9999999999");
        let (mac, kid) = (part(&own, 2), serde_json::from_str::<Value>(&head).unwrap()["kid"].clone());
        let kid = kid.as_str().unwrap();
        let headed = |alg: &str| head.replace("HS256", alg);
        let encoded = |text: &str| BASE64.encode(text);
        let bad = [
            format!("{}.{}.{}", part(&own, 0), part(&others, 1), mac),
            format!("{}.{}.{}", part(&own, 0), part(&own, 1), part(&others, 2)),
            format!("{}.{}.{}", part(&own, 0), encoded(&far), mac),
            format!("{}.{}.", encoded(&headed("none")), encoded(&claims)),
            format!("{}.{}.", part(&own, 0), encoded(&claims)),
            jwt(JWT_SECRET, &headed("none"), &claims),
            jwt(JWT_SECRET, &headed("HS512"), &claims),
            jwt(JWT_SECRET, &headed("RS256"), &claims),
            jwt(JWT_SECRET, &head.replace(kid, "00000000"), &claims),
            jwt(JWT_SECRET, &head.replace(kid, "' OR 1=1 --"), &claims),
            jwt(JWT_SECRET, "{}", &claims),
            jwt(JWT_SECRET, &head, "{}"),
            jwt(JWT_SECRET, &head, "null"),
            jwt(JWT_SECRET, &head, &claims.replace("\"aud\":\"sageapi\"", "\"aud\":\"elsewhere\"")),
            jwt("the secret of another installation, as long", &head, &far),
            jwt("", &head, &claims),
            own[..own.len() - 1].to_owned(),
            format!("{own}A"),
            format!("{own}="),
            "..".to_owned(),
            format!("a.{}.b", "x".repeat(100_000).get(..6000).unwrap()),
        ];
        for token in &bad {
            assert_eq!(site.as_user(token, "/auth/me").await.refusal(), (401, "token_invalid"), "{token}");
        }
        // What is none of the form of a JWT counts as the secret of a key.
        for token in ["x", "a.b", "a.b.c.d", &own.replace('.', "_")] {
            assert_eq!(site.as_user(token, "/auth/me").await.refusal(), (401, "auth_failed"), "{token}");
        }
        let expired = claims.replace(&parsed["exp"].to_string(), "1780000000");
        let expired = jwt(JWT_SECRET, &head, &expired);
        assert_eq!(site.as_user(&expired, "/auth/me").await.refusal(), (401, "token_expired"));
        let unknown =
            claims.replace(parsed["family"].as_str().unwrap(), "01890a5d-ac96-774b-bcce-b302099a8057");
        let unknown = jwt(JWT_SECRET, &head, &unknown);
        assert_eq!(site.as_user(&unknown, "/auth/me").await.refusal(), (401, "token_expired"));
        let twice = Ask::get("/auth/me").bearer(&own).bearer(&own).send(site.http()).await;
        assert_eq!(twice.refusal(), (401, "auth_malformed"));
        let signed_too = site.send(Ask::get("/auth/me").bearer(&own), &site.platform).await;
        assert_eq!(signed_too.refusal(), (401, "auth_malformed"));
        assert!(site.has_access(&own).await);
    });
}

#[test]
fn a_key_is_no_user_and_a_user_is_no_key() {
    on_every_database_with(signing_in, async |site| {
        let c = site.customer("5").await;
        for path in ["/auth/me", "/auth/sessions"] {
            assert_eq!(site.get(&site.platform, path).await.refusal(), (403, "session_required"));
        }
        let logout = site.send(Ask::new(Method::POST, "/auth/logout"), &site.platform).await;
        assert_eq!(logout.refusal(), (403, "session_required"));
        let other = site.customer("7").await;
        let role_of = async |customer: Option<&str>, role| {
            let person = site.person(customer, role).await;
            site.login(&person).await.access
        };
        let user = role_of(Some(&c.id), UserRole::User).await;
        let admin = role_of(Some(&c.id), UserRole::Admin).await;
        let platform = role_of(None, UserRole::Admin).await;
        let stranger = role_of(None, UserRole::User).await;
        assert_eq!(site.as_user(&user, "/balance").await.refusal(), (403, "scope_missing"));
        assert_eq!(site.as_user(&admin, "/balance").await.data()["balance"], "5");
        let foreign = format!("/balance?customer_id={}", other.id);
        assert_eq!(site.as_user(&admin, &foreign).await.refusal(), (403, "customer_forbidden"));
        assert_eq!(site.as_user(&platform, &foreign).await.data()["balance"], "7");
        assert_eq!(site.as_user(&stranger, &foreign).await.refusal(), (403, "scope_missing"));
        // A write with a token needs no signature.
        let charge = json!({"transno": "by-token", "customer_id": other.id, "amount": "1"});
        let booked = Ask::post("/accounting", &charge).bearer(&platform).send(site.http()).await;
        assert_eq!(booked.status, 201, "{}", booked.text());
        let booked = Ask::post("/accounting", &charge).bearer(&admin).send(site.http()).await;
        assert_eq!(booked.refusal(), (403, "scope_missing"));
    });
}

#[test]
fn administrators_see_and_end_the_sessions_that_they_reach() {
    on_every_database_with(signing_in, async |site| {
        let (c, other) = (site.customer("1").await, site.customer("1").await);
        let manager = Credentials::from(&site.app.key(Some(&c.id), "manage").await);
        let (own, foreign) = (
            site.person(Some(&c.id), UserRole::User).await,
            site.person(Some(&other.id), UserRole::User).await,
        );
        let (first, second, theirs) =
            (site.login(&own).await, site.login(&own).await, site.login(&foreign).await);
        let list =
            async |key: &Credentials, query: &str| site.get(key, &format!("/admin/sessions{query}")).await;
        let ids = |reply: &Reply| -> Vec<String> {
            reply.rows().iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
        };
        let mine = ids(&list(&manager, "").await);
        assert_eq!(mine.len(), 2);
        assert_eq!(ids(&list(&site.platform, "").await).len(), 3);
        assert_eq!(ids(&list(&site.platform, &format!("?customer_id={}", c.id)).await), mine);
        assert_eq!(ids(&list(&site.platform, &format!("?user_id={}&kind=api", own.id)).await), mine);
        assert_eq!(ids(&list(&site.platform, "?kind=console").await).len(), 0);
        let page = list(&manager, "?limit=1").await;
        let cursor = page.data()["next_cursor"].as_str().unwrap().to_owned();
        assert_eq!(ids(&list(&manager, &format!("?limit=1&cursor={cursor}")).await), mine[1..]);
        let refused = list(&manager, &format!("?customer_id={}", other.id)).await;
        assert_eq!(refused.refusal(), (403, "customer_forbidden"));
        assert_eq!(list(&c.key, "").await.refusal(), (403, "scope_missing"));
        assert_eq!(list(&site.platform, "?kind=x").await.refusal(), (400, "invalid_request"));

        let [theirs_id] = &ids(&list(&site.platform, &format!("?user_id={}", foreign.id)).await)[..] else {
            panic!()
        };
        let delete = async |key: &Credentials, id: &str| {
            site.send(Ask::new(Method::DELETE, &format!("/admin/sessions/{id}")), key).await
        };
        for id in [theirs_id.as_str(), "01890a5d-ac96-774b-bcce-b302099a8057", "x"] {
            assert_eq!(delete(&manager, id).await.refusal(), (404, "not_found"), "{id}");
        }
        // The newest comes first.
        assert_eq!(delete(&manager, &mine[0]).await.status, 204);
        assert_eq!(delete(&manager, &mine[0]).await.status, 204, "it was ended before");
        assert!(!site.has_access(&second.access).await && site.has_access(&first.access).await);
        let revoke = async |key: &Credentials, user: &str| {
            site.post(key, "/admin/sessions/revoke", &json!({"user_id": user})).await
        };
        assert_eq!(revoke(&manager, foreign.id.as_str()).await.refusal(), (404, "not_found"));
        assert_eq!(revoke(&manager, "nobody").await.refusal(), (404, "not_found"));
        assert_eq!(revoke(&manager, own.id.as_str()).await.status, 204);
        assert!(!site.has_access(&first.access).await);
        assert_eq!(site.refresh(&first.refresh).await.refusal(), (401, "token_expired"));
        assert!(site.has_access(&theirs.access).await);
        let audited = site
            .database()
            .texts("SELECT object_kind FROM audit_log WHERE action = 'revoke' ORDER BY id")
            .await;
        assert_eq!(audited, ["session", "user"]);
    });
}

#[test]
fn a_user_ends_a_session_of_its_own_and_no_other() {
    on_every_database_with(signing_in, async |site| {
        let (person, other) =
            (site.person(None, UserRole::Admin).await, site.person(None, UserRole::Admin).await);
        let (one, two, theirs) =
            (site.login(&person).await, site.login(&person).await, site.login(&other).await);
        let session_of = async |tokens: &Tokens| {
            site.as_user(&tokens.access, "/auth/me").await.data()["session_id"].as_str().unwrap().to_owned()
        };
        let end = async |id: &str| {
            Ask::new(Method::DELETE, &format!("/auth/sessions/{id}"))
                .bearer(&one.access)
                .send(site.http())
                .await
        };
        assert_eq!(end(&session_of(&theirs).await).await.refusal(), (404, "not_found"));
        assert_eq!(end(&session_of(&two).await).await.status, 204);
        assert!(!site.has_access(&two.access).await && site.has_access(&theirs.access).await);
        assert_eq!(site.as_user(&one.access, "/auth/sessions").await.rows().len(), 1);
    });
}

/// Behaviour 7: what ends access ends it on every instance, within a second.
#[test]
fn access_ends_within_a_second_on_every_instance() {
    on(Kind::MySql, async || {
        let one = Site::new(signing_in(App::builder(Kind::MySql)).start().await);
        let sites = [one.second_signing_in().await, one.second_signing_in().await];
        let by = (Principal::command_line(), Actor::command_line());
        let users = one.env().admin_users();
        let mut took = Vec::new();
        for what in ["disable", "role", "password", "own password", "logout", "revoke", "revoke all"] {
            let person = one.person(None, UserRole::Admin).await;
            let tokens = one.login(&person).await;
            for site in &sites {
                assert!(site.has_access(&tokens.access).await, "{what}");
            }
            match what {
                "disable" => one.set_active(&person, false).await,
                "role" => {
                    let role = |user: &mut UserSettings| user.role = UserRole::User;
                    users.update(&by.0, &by.1, &person.id, None, role).await.map(drop).unwrap();
                }
                "password" => {
                    let new = Secret::new(NEW_PASSWORD);
                    users.set_password(&by.0, &by.1, &person.id, new).await.map(drop).unwrap();
                }
                "own password" => {
                    assert_eq!(
                        change_password(&one, &tokens.access, PASSWORD, NEW_PASSWORD).await.status,
                        200
                    );
                }
                "logout" => {
                    let logout = Ask::new(Method::POST, "/auth/logout").bearer(&tokens.access);
                    assert_eq!(logout.send(one.http()).await.status, 204);
                }
                "revoke" => {
                    let me = one.as_user(&tokens.access, "/auth/me").await;
                    let path = format!("/admin/sessions/{}", me.data()["session_id"].as_str().unwrap());
                    assert_eq!(one.send(Ask::new(Method::DELETE, &path), &one.platform).await.status, 204);
                }
                _ => {
                    let body = json!({"user_id": person.id});
                    assert_eq!(one.post(&one.platform, "/admin/sessions/revoke", &body).await.status, 204);
                }
            }
            assert!(!one.has_access(&tokens.access).await, "{what}: at once where it was done");
            for site in &sites {
                took.push(until(what, async || !site.has_access(&tokens.access).await).await);
            }
        }
        took.sort_unstable();
        eprintln!("access ended elsewhere after {took:?}");
        assert!(took[took.len() / 2] < Duration::from_secs(1), "{took:?}");
    });
}

#[test]
fn new_tokens_work_at_once_on_instances_that_know_the_old_ones() {
    on(Kind::MySql, async || {
        let one = Site::new(signing_in(App::builder(Kind::MySql)).start().await);
        let two = one.second_signing_in().await;
        for _ in 0..5 {
            let person = one.person(None, UserRole::Admin).await;
            let first = one.login(&person).await;
            assert!(two.has_access(&first.access).await);
            let second = Tokens::of(&one.refresh(&first.refresh).await);
            assert!(two.has_access(&second.access).await);
            let third = Tokens::of(&change_password(&one, &second.access, PASSWORD, NEW_PASSWORD).await);
            assert!(two.has_access(&third.access).await);
            assert!(!two.has_access(&second.access).await, "what is newer shows that this has ended");
        }
    });
}

#[test]
fn without_a_secret_nobody_signs_in_and_sqlite_makes_one() {
    on_every_database(async |site| {
        let login = Ask::post("/auth/login", &json!({"username": "a", "password": PASSWORD}));
        match site.database().kind() {
            Kind::MySql => {
                assert_eq!(login.send(site.http()).await.refusal(), (404, "not_found"));
                for path in ["/auth/me", "/auth/sessions"] {
                    assert_eq!(site.get(&site.platform, path).await.refusal(), (404, "not_found"));
                    assert_eq!(Ask::get(path).send(site.http()).await.refusal(), (404, "not_found"));
                }
            }
            Kind::Sqlite => {
                use std::os::unix::fs::PermissionsExt as _;
                assert_eq!(login.send(site.http()).await.refusal(), (401, "login_failed"));
                let person = site.person(None, UserRole::Admin).await;
                let tokens = Tokens::of(&site.login_from("127.0.0.1", &person, PASSWORD).await);
                let files = std::fs::read_dir(site.database().folder()).unwrap().map(|file| file.unwrap());
                let made = files.filter(|file| file.path().extension().is_some_and(|end| end == "jwt"));
                let modes: Vec<_> =
                    made.map(|file| file.metadata().unwrap().permissions().mode() & 0o777).collect();
                assert_eq!(modes, [0o600]);
                let site = site.restarted(|_| ()).await;
                assert!(site.has_access(&tokens.access).await, "the secret is kept");
            }
        }
    });
}

/// Every answer to a flood is a documented one, and the server serves on.
#[test]
fn a_flood_of_logins_gets_documented_answers_and_the_server_serves_on() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let tokens = site.login(&person).await;
        let tries = (0..500).map(|_| async { site.login_from(&new_address(), &person, PASSWORD).await });
        let mut counts = std::collections::BTreeMap::new();
        for reply in join_all(tries).await {
            if reply.status != 200 {
                let code = reply.code().to_owned();
                assert!(
                    matches!(
                        (reply.status, &*code),
                        (429, "rate_limited") | (503, "overloaded" | "store_unavailable")
                    ),
                    "{code}"
                );
            }
            *counts.entry(reply.status).or_insert(0) += 1;
        }
        eprintln!("500 logins at once: {counts:?}");
        assert!(counts.contains_key(&200), "{counts:?}");
        // Ten thousand, as many at a time as there are descriptors for.
        let many = futures_util::stream::iter(0..10_000)
            .map(|_| async { site.login_from(&new_address(), &person, PASSWORD).await.status })
            .buffer_unordered(400);
        let statuses: Vec<_> = many.collect().await;
        assert!(statuses.iter().all(|status| matches!(status, 200 | 429 | 503)), "{statuses:?}");
        assert!(site.has_access(&tokens.access).await);
        // Callers that hang up leave no permit behind.
        for _ in 0..20 {
            let address = new_address();
            let login = site.login_from(&address, &person, PASSWORD);
            let _ = tokio::time::timeout(Duration::from_millis(3), login).await;
        }
        site.database().execute("DELETE FROM login_throttle").await;
        until("somebody can sign in", async || {
            site.login_from(&new_address(), &person, PASSWORD).await.status == 200
        })
        .await;
    });
}
