//! /quota: whether a user may go on, what a check reserves, and what becomes of it.

use futures_util::future::join_all;
use sageapi_server::model::{Clock as _, Entity, SystemClock, UserRole};
use sageapi_test_support::app::App;
use sageapi_test_support::database::Kind;
use serde_json::{Value, json};
use sqlx::Executor as _;

use crate::neighbours::lock;
use crate::people::signing_in;
use crate::raw::{Ask, Credentials, Reply};
use crate::site::{Row, Site, on, on_every_database, on_every_database_with};
use crate::users_admin::patch;

const SCOPES: &str = "usage:read,usage:write,quota:read,manage";
const USER: &str = "u-1";

/// A customer with a user whose group has these limits, and a key for both.
struct Subject {
    customer: String,
    key: Credentials,
    group: String,
}

impl Subject {
    async fn limited(site: &Site, limits: Value) -> Self {
        let customer = site.customer("0").await.id;
        let key = Credentials::from(&site.app.key(Some(&customer), SCOPES).await);
        for user in [USER, "u-2"] {
            let name = format!("{user}-{customer}");
            let made = json!({"id": format!("{user}-{customer}"), "username": name.to_ascii_lowercase()});
            assert_eq!(site.post(&key, "/admin/users", &made).await.status, 201);
        }
        let mut group = json!({"name": "limited", "is_default": true});
        for (limit, value) in limits.as_object().unwrap() {
            group[limit] = value.clone();
        }
        let made = site.post(&key, "/admin/groups", &group).await;
        assert_eq!(made.status, 201, "{}", made.text());
        let group = format!("/admin/groups/{}", made.data()["id"].as_str().unwrap());
        let subject = Self { customer, key, group };
        site.until("the limits count", async || {
            let path = format!("/quota?user_id={}", subject.user());
            let shown = site.get(&subject.key, &path).await;
            shown.data()["limits"].as_array().is_some_and(|shown| shown.len() == counted(&limits))
        })
        .await;
        subject
    }

    fn user(&self) -> String {
        format!("{USER}-{}", self.customer)
    }

    async fn check(&self, site: &Site, more: Value) -> Reply {
        let mut body = json!({"user_id": self.user()});
        for (name, value) in more.as_object().unwrap() {
            body[name] = value.clone();
        }
        let reply = site.post(&self.key, "/quota/check", &body).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply
    }

    /// Checks that are admitted; the reservation.
    async fn admitted(&self, site: &Site, more: Value) -> String {
        let reply = self.check(site, more).await;
        assert_eq!(reply.data()["allowed"], true, "{}", reply.text());
        reply.data()["reservation"].as_str().unwrap().to_owned()
    }

    /// Uses tokens, perhaps with a reservation; what became of it.
    async fn used(&self, site: &Site, name: &str, tokens: i64, reservation: Option<&str>) -> Value {
        let body = json!({
            "request_id": name, "user_id": self.user(), "input_tokens": tokens, "reservation": reservation,
        });
        let reply = site.post(&self.key, "/usage", &body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.data()["reservation_use"].clone()
    }

    /// used, reserved and remaining of a limit.
    async fn counted(&self, site: &Site, kind: &str) -> [i64; 3] {
        let shown = site.get(&self.key, &format!("/quota?user_id={}", self.user())).await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        state(&shown, kind)
    }

    /// Sets limits and waits until they count.
    async fn change(&self, site: &Site, limits: Value) {
        let changed = patch(site, &self.key, &self.group, "*", &limits).await;
        assert_eq!(changed.status, 200, "{}", changed.text());
        let (kind, limit) = limits.as_object().unwrap().iter().next().unwrap();
        site.until("the changed limit counts", async || {
            let shown = site.get(&self.key, &format!("/quota?user_id={}", self.user())).await;
            let limits = shown.data()["limits"].as_array().unwrap();
            limits.iter().any(|state| state["kind"] == *kind && state["limit"] == *limit)
        })
        .await;
    }
}

/// How many limits of a group are of something that is counted.
fn counted(limits: &Value) -> usize {
    let set = limits.as_object().unwrap().iter().filter(|(name, value)| {
        let is_limit = !["default_reservation", "time_zone", "on_store_failure"].contains(&name.as_str());
        is_limit && !value.is_null()
    });
    set.count()
}

fn state(reply: &Reply, kind: &str) -> [i64; 3] {
    let limits = reply.data()["limits"].as_array().unwrap();
    let found = limits.iter().find(|state| state["kind"] == kind);
    let found = found.unwrap_or_else(|| panic!("no {kind}: {}", reply.text()));
    ["used", "reserved", "remaining"].map(|member| found[member].as_i64().unwrap())
}

#[track_caller]
fn assert_refused(reply: &Reply, by: &str) {
    let data = reply.data();
    assert_eq!((&data["allowed"], &data["refused_by"]), (&json!(false), &json!(by)), "{}", reply.text());
    assert_eq!((&data["reservation"], &data["expires_at"]), (&Value::Null, &Value::Null));
}

#[test]
fn a_check_reserves_what_the_usage_record_settles() {
    on_every_database(async |site| {
        let s = Subject::limited(&site, json!({"daily_tokens": 1000, "monthly_tokens": 5000})).await;
        let checked = s.check(&site, json!({"tokens": 300, "model": "m"})).await;
        assert_eq!(state(&checked, "daily_tokens"), [0, 300, 700]);
        assert_eq!(state(&checked, "monthly_tokens"), [0, 300, 4700]);
        assert_eq!(
            checked.header("ratelimit-policy"),
            "\"daily_tokens\";q=1000;w=86400, \"monthly_tokens\";q=5000;w=2592000"
        );
        assert!(
            checked.header("ratelimit").starts_with("\"daily_tokens\";r=700;t="),
            "{}",
            checked.header("ratelimit")
        );
        let reservation = checked.data()["reservation"].as_str().unwrap().to_owned();
        // What was really used counts, also above what was declared; the rest is free again.
        assert_eq!(s.used(&site, "r-1", 120, Some(&reservation)).await, "settled");
        assert_eq!(s.counted(&site, "daily_tokens").await, [120, 0, 880]);
        let another = s.admitted(&site, json!({"tokens": 100})).await;
        assert_eq!(s.used(&site, "r-2", 150, Some(&another)).await, "settled");
        assert_eq!(s.counted(&site, "monthly_tokens").await, [270, 0, 4730]);
        // Settled twice, unknown, or of nobody: it counts as usage without one.
        for (n, reservation) in
            [reservation.as_str(), "01890a5d-ac96-774b-bcce-b302099a8057"].into_iter().enumerate()
        {
            assert_eq!(s.used(&site, &format!("r-{}", n + 3), 10, Some(reservation)).await, "unusable");
        }
        assert_eq!(s.used(&site, "r-5", 10, None).await, Value::Null);
        assert_eq!(s.counted(&site, "daily_tokens").await, [300, 0, 700]);
        // A repetition of the record counts nothing.
        let again =
            json!({"request_id": "r-5", "user_id": s.user(), "input_tokens": 10, "reservation": null});
        assert_eq!(site.post(&s.key, "/usage", &again).await.status, 200);
        assert_eq!(s.counted(&site, "daily_tokens").await, [300, 0, 700]);
        assert!(site.verify().await.is_empty());
    });
}

#[test]
fn each_limit_refuses_by_its_name_and_says_when_to_come_back() {
    on_every_database(async |site| {
        for (limits, first, by, waits) in [
            (json!({"max_tokens_per_request": 10}), None, "max_tokens_per_request", false),
            (json!({"concurrent_requests": 1}), Some(1), "concurrent_requests", true),
            (json!({"requests_per_minute": 1}), Some(1), "requests_per_minute", true),
            (json!({"daily_tokens": 20}), Some(10), "daily_tokens", true),
            (json!({"monthly_tokens": 20}), Some(10), "monthly_tokens", true),
            (
                json!({"daily_tokens": 20, "monthly_tokens": 15, "requests_per_minute": 1}),
                Some(10),
                "requests_per_minute",
                true,
            ),
            (json!({"daily_tokens": 0}), None, "daily_tokens", false),
            (json!({"requests_per_minute": 0}), None, "requests_per_minute", false),
            (json!({"concurrent_requests": 0}), None, "concurrent_requests", false),
        ] {
            let s = Subject::limited(&site, limits.clone()).await;
            if let Some(tokens) = first {
                s.admitted(&site, json!({"tokens": tokens})).await;
            }
            let refused = s.check(&site, json!({"tokens": 11})).await;
            assert_refused(&refused, by);
            let waited = refused.data()["retry_after_s"].as_i64();
            assert_eq!(waited.is_some(), waits, "{limits}: {}", refused.text());
            let header = refused.header("retry-after");
            assert_eq!(header, waited.map(|seconds| seconds.to_string()).unwrap_or_default());
            assert!(waited.is_none_or(|seconds| seconds >= 1), "{}", refused.text());
        }
    });
}

#[test]
fn usage_that_names_a_reservation_and_no_user_settles_it() {
    on_every_database(async |site| {
        let s = Subject::limited(&site, json!({"daily_tokens": 100})).await;
        let id = s.admitted(&site, json!({"tokens": 50})).await;
        let body = json!({"request_id": "r", "input_tokens": 30, "reservation": id});
        let used = site.post(&s.key, "/usage", &body).await;
        assert_eq!(used.data()["reservation_use"], "settled", "{}", used.text());
        assert_eq!(s.counted(&site, "daily_tokens").await, [30, 0, 70]);
        assert!(site.verify().await.is_empty());
    });
}

#[test]
fn without_a_limit_everything_is_allowed() {
    on_every_database(async |site| {
        let s = Subject::limited(&site, json!({"daily_tokens": null})).await;
        let checked = s.check(&site, json!({"tokens": 1_000_000_000})).await;
        assert_eq!((&checked.data()["allowed"], &checked.data()["limits"]), (&json!(true), &json!([])));
        assert_eq!(checked.header("ratelimit-policy"), "");
        assert_eq!(s.used(&site, "r", 5, checked.data()["reservation"].as_str()).await, "settled");
    });
}

#[test]
fn of_parallel_checks_exactly_as_many_are_admitted_as_fit() {
    on_every_database(async |site| {
        for (limits, more) in [
            (json!({"requests_per_minute": 10}), json!({})),
            (json!({"concurrent_requests": 10}), json!({})),
            (json!({"daily_tokens": 1000}), json!({"tokens": 100})),
            (json!({"monthly_tokens": 1099, "default_reservation": 100}), json!({})),
        ] {
            let s = Subject::limited(&site, limits.clone()).await;
            let replies = join_all((0..20).map(|_| s.check(&site, more.clone()))).await;
            let admitted = replies.iter().filter(|reply| reply.data()["allowed"] == true).count();
            assert_eq!(admitted, 10, "{limits}");
        }
        assert!(site.verify().await.is_empty());
    });
}

#[test]
fn the_same_request_has_one_reservation_while_that_is_open() {
    on_every_database(async |site| {
        let s = Subject::limited(&site, json!({"concurrent_requests": 3})).await;
        let named = json!({"request_id": "call-1", "tokens": 5});
        let replies = join_all((0..10).map(|_| s.check(&site, named.clone()))).await;
        let first = replies.iter().find(|reply| reply.data()["replayed"] == false).unwrap();
        assert!(replies.iter().all(|reply| reply.data()["reservation"] == first.data()["reservation"]));
        assert_eq!(s.counted(&site, "concurrent_requests").await, [1, 0, 2]);
        for _ in 0..2 {
            s.admitted(&site, json!({})).await;
        }
        // Others are refused, now from memory; the one that holds a slot is not.
        assert_refused(&s.check(&site, json!({})).await, "concurrent_requests");
        assert_refused(&s.check(&site, json!({"request_id": "call-2"})).await, "concurrent_requests");
        assert_eq!(s.check(&site, named.clone()).await.data()["replayed"], true);
        let released = json!({"reservation": first.data()["reservation"]});
        assert_eq!(site.post(&s.key, "/quota/release", &released).await.status, 200);
        let again = s.check(&site, named).await;
        assert_eq!(again.data()["replayed"], false);
        assert_ne!(again.data()["reservation"], first.data()["reservation"]);
    });
}

#[test]
fn a_released_reservation_gives_everything_back_but_its_request() {
    on_every_database(async |site| {
        let limits = json!({"daily_tokens": 100, "concurrent_requests": 1, "requests_per_minute": 5});
        let s = Subject::limited(&site, limits).await;
        let id = s.admitted(&site, json!({"tokens": 100})).await;
        assert_refused(&s.check(&site, json!({})).await, "concurrent_requests");
        let release = json!({"reservation": id});
        let released = site.post(&s.key, "/quota/release", &release).await;
        assert_eq!(
            (&released.data()["state"], &released.data()["replayed"]),
            (&json!("released"), &json!(false))
        );
        let again = site.post(&s.key, "/quota/release", &release).await;
        assert_eq!((&again.data()["state"], &again.data()["replayed"]), (&json!("released"), &json!(true)));
        for (kind, counted) in [
            ("daily_tokens", [0, 0, 100]),
            ("concurrent_requests", [0, 0, 1]),
            ("requests_per_minute", [1, 0, 4]),
        ] {
            assert_eq!(s.counted(&site, kind).await, counted, "{kind}");
        }
        // The refusal that was remembered is forgotten at once.
        s.admitted(&site, json!({"tokens": 100})).await;
        assert_eq!(s.used(&site, "late", 7, Some(&id)).await, "unusable");
        let extend = json!({"reservation": id, "ttl_s": 5});
        assert_eq!(site.post(&s.key, "/quota/extend", &extend).await.refusal(), (422, "reservation_closed"));
    });
}

#[test]
fn a_reservation_expires_and_one_that_was_extended_does_not() {
    on_every_database(async |site| {
        let s = Subject::limited(&site, json!({"concurrent_requests": 2, "daily_tokens": 100})).await;
        let short = s.admitted(&site, json!({"tokens": 10, "ttl_s": 1})).await;
        let long = s.admitted(&site, json!({"tokens": 10, "ttl_s": 1})).await;
        let extended = site.post(&s.key, "/quota/extend", &json!({"reservation": long, "ttl_s": 3600})).await;
        assert_eq!(
            (extended.status, &extended.data()["state"]),
            (200, &json!("open")),
            "{}",
            extended.text()
        );
        site.until("the sweep closes it", async || {
            s.counted(&site, "concurrent_requests").await == [1, 0, 1]
        })
        .await;
        assert_eq!(s.counted(&site, "daily_tokens").await, [0, 10, 90]);
        // It counts all the same when it is told late, once.
        assert_eq!(s.used(&site, "late", 30, Some(&short)).await, "unusable");
        assert_eq!(s.used(&site, "in-time", 5, Some(&long)).await, "settled");
        assert_eq!(s.counted(&site, "daily_tokens").await, [35, 0, 65]);
        assert_eq!(s.counted(&site, "concurrent_requests").await, [0, 0, 2]);
        let shorter = s.admitted(&site, json!({"ttl_s": 3600})).await;
        let kept = site.post(&s.key, "/quota/extend", &json!({"reservation": shorter, "ttl_s": 1})).await;
        let left = kept.data()["expires_at"].as_str().unwrap().to_owned();
        let again = site.post(&s.key, "/quota/extend", &json!({"reservation": shorter, "ttl_s": 2})).await;
        assert_eq!(again.data()["expires_at"], json!(left), "extending never shortens");
        assert!(site.verify().await.is_empty());
    });
}

#[test]
fn reservations_of_others_are_not_found_and_stay_untouched() {
    on_every_database(async |site| {
        let s = Subject::limited(&site, json!({"concurrent_requests": 5})).await;
        let id = s.admitted(&site, json!({})).await;
        let other = Subject::limited(&site, json!({"concurrent_requests": 5})).await;
        for (path, body) in [
            ("/quota/release", json!({"reservation": id})),
            ("/quota/extend", json!({"reservation": id, "ttl_s": 9})),
        ] {
            assert_eq!(site.post(&other.key, path, &body).await.refusal(), (404, "not_found"));
        }
        assert_eq!(other.used(&site, "r", 5, Some(&id)).await, "unusable");
        // Of another user of the same customer neither.
        let body = json!({"request_id": "r", "user_id": format!("u-2-{}", s.customer), "reservation": id});
        assert_eq!(site.post(&s.key, "/usage", &body).await.data()["reservation_use"], "unusable");
        let foreign = json!({"user_id": s.user(), "customer_id": s.customer});
        assert_eq!(
            site.post(&other.key, "/quota/check", &foreign).await.refusal(),
            (403, "customer_forbidden")
        );
        assert_eq!(s.counted(&site, "concurrent_requests").await, [1, 0, 4]);
        let of_platform = site.post(&site.platform, "/quota/check", &foreign).await;
        assert_eq!(
            (of_platform.status, &of_platform.data()["allowed"]),
            (200, &json!(true)),
            "{}",
            of_platform.text()
        );
        let unnamed = json!({"user_id": s.user()});
        assert_eq!(
            site.post(&site.platform, "/quota/check", &unnamed).await.refusal(),
            (400, "invalid_request")
        );
    });
}

#[test]
fn a_changed_limit_counts_from_the_next_check_on_and_leaves_reservations_alone() {
    on_every_database(async |site| {
        let s = Subject::limited(&site, json!({"daily_tokens": 100})).await;
        let open = s.admitted(&site, json!({"tokens": 80})).await;
        assert_refused(&s.check(&site, json!({"tokens": 30})).await, "daily_tokens");
        s.change(&site, json!({"daily_tokens": 200})).await;
        s.admitted(&site, json!({"tokens": 30})).await;
        s.change(&site, json!({"daily_tokens": 50})).await;
        assert_refused(&s.check(&site, json!({})).await, "daily_tokens");
        assert_eq!(s.counted(&site, "daily_tokens").await, [0, 110, 0]);
        assert_eq!(s.used(&site, "r", 90, Some(&open)).await, "settled");
        assert_eq!(s.counted(&site, "daily_tokens").await, [90, 30, 0]);
    });
}

#[test]
fn unknown_and_disabled_users_are_refused_and_mirrored_ones_are_known() {
    on_every_database(async |site| {
        let s = Subject::limited(&site, json!({"daily_tokens": 100})).await;
        let check = async |user: &str| site.post(&s.key, "/quota/check", &json!({"user_id": user})).await;
        assert_refused(&check("nobody").await, "unknown_user");
        let shown = site.get(&s.key, "/quota?user_id=nobody").await;
        assert_eq!(shown.data()["refused_by"], "unknown_user");
        let mirrored = |id: &'static str, status: &'static str, org: &str| {
            (id, [("orgid", org.to_owned()), ("user_status", status.to_owned())])
        };
        for (id, columns) in [
            mirrored("m-1", "0", &s.customer),
            mirrored("m-2", "1", &s.customer),
            mirrored("m-3", "0", "other"),
        ] {
            let columns: Vec<_> = columns.iter().map(|(name, value)| (*name, value.as_str())).collect();
            site.mirror(Entity::Users, &[Row::new(id, &columns)]).await;
        }
        assert_eq!(check("m-1").await.data()["allowed"], true);
        assert_refused(&check("m-2").await, "user_disabled");
        assert_refused(&check("m-3").await, "unknown_user");
        let path = format!("/admin/users/{}", s.user());
        assert_eq!(check(&s.user()).await.data()["allowed"], true);
        assert_eq!(patch(&site, &s.key, &path, "*", &json!({"is_active": false})).await.status, 200);
        site.until("the user is refused", async || check(&s.user()).await.data()["allowed"] == false).await;
        assert_refused(&check(&s.user()).await, "user_disabled");
        // Usage of either counts all the same: it has happened.
        let body = json!({"request_id": "r", "user_id": "nobody", "input_tokens": 5});
        assert_eq!(site.post(&s.key, "/usage", &body).await.status, 201);
    });
}

#[test]
fn unknown_users_pass_where_the_configuration_says_so() {
    on_every_database_with(
        |builder| builder.set("SAGEAPI_QUOTA_UNKNOWN_USER", "allow"),
        async |site| {
            let s = Subject::limited(&site, json!({"daily_tokens": 100})).await;
            let body = json!({"user_id": "nobody", "tokens": 60});
            let checked = site.post(&s.key, "/quota/check", &body).await;
            assert_eq!(checked.data()["allowed"], true, "{}", checked.text());
            // The customer's default group limits it too.
            assert_refused(&site.post(&s.key, "/quota/check", &body).await, "daily_tokens");
        },
    );
}

#[test]
fn who_may_go_on_without_the_database_does_not_wait_for_one_that_hangs() {
    on(Kind::MySql, async || {
        let site = Site::new(App::start(Kind::MySql).await);
        let s = Subject::limited(&site, json!({"daily_tokens": 100, "on_store_failure": "allow"})).await;
        s.check(&site, json!({"tokens": 1})).await;
        let mut stranger = lock(&site, &s.customer).await;
        let blind = s.check(&site, json!({"tokens": 10, "request_id": "q"})).await;
        assert_eq!((&blind.data()["allowed"], &blind.data()["degraded"]), (&json!(true), &json!(true)));
        assert_eq!(blind.data()["reservation"], Value::Null);
        stranger.execute("ROLLBACK").await.unwrap();
        // The check was decided after all, and nobody knows of its reservation: it is given back.
        site.until("the check is decided, and released", async || {
            let released = format!(
                "SELECT COUNT(*) FROM quota_reservations WHERE customer_id = '{}' AND state = 'released'",
                s.customer
            );
            site.database().int(&released).await == 1
        })
        .await;
        assert_eq!(s.counted(&site, "daily_tokens").await, [0, 1, 99]);
    });
}

#[test]
fn a_user_sees_its_own_quota_and_no_other() {
    on_every_database_with(signing_in, async |site| {
        let s = Subject::limited(&site, json!({"daily_tokens": 100})).await;
        let person = site.person(Some(&s.customer), UserRole::User).await;
        let access = site.login(&person).await.access;
        let shown = site.as_user(&access, "/quota").await;
        assert_eq!(
            (shown.status, &shown.data()["user_id"]),
            (200, &json!(person.id.as_str())),
            "{}",
            shown.text()
        );
        assert_eq!(state(&shown, "daily_tokens"), [0, 0, 100]);
        assert_eq!(site.as_user(&access, &format!("/quota?user_id={}", person.id)).await.status, 200);
        let other = site.as_user(&access, &format!("/quota?user_id={}", s.user())).await;
        assert_eq!(other.refusal(), (403, "customer_forbidden"));
        let check = Ask::post("/quota/check", &json!({"user_id": person.id.as_str()})).bearer(&access);
        assert_eq!(check.send(site.http()).await.refusal(), (403, "scope_missing"));
        let missing = site.get(&s.key, "/quota").await;
        assert_eq!(missing.refusal(), (400, "invalid_request"));
    });
}

#[test]
fn bad_checks_are_refused_with_the_member_that_is_wrong() {
    on_every_database(async |site| {
        let s = Subject::limited(&site, json!({"daily_tokens": 100})).await;
        let user = s.user();
        for (path, body, named) in [
            ("check", json!({}), "user_id"),
            ("check", json!({"user_id": ""}), "user_id"),
            ("check", json!({"user_id": "x".repeat(65)}), "user_id"),
            ("check", json!({"user_id": 7}), "user_id"),
            ("check", json!({"user_id": user, "tokens": -1}), "tokens"),
            ("check", json!({"user_id": user, "tokens": 1.5}), "tokens"),
            ("check", json!({"user_id": user, "tokens": "5"}), "tokens"),
            ("check", json!({"user_id": user, "tokens": 1_000_000_000_001_i64}), "tokens"),
            ("check", json!({"user_id": user, "ttl_s": 0}), "ttl_s"),
            ("check", json!({"user_id": user, "ttl_s": 3601}), "ttl_s"),
            ("check", json!({"user_id": user, "request_id": "\u{0}"}), "request_id"),
            ("release", json!({}), "reservation"),
            ("release", json!({"reservation": "x"}), "reservation"),
            ("extend", json!({"reservation": "01890a5d-ac96-774b-bcce-b302099a8057"}), "ttl_s"),
        ] {
            let reply = site.post(&s.key, &format!("/quota/{path}"), &body).await;
            assert_eq!(reply.refusal(), (400, "invalid_request"), "{body}");
            assert!(reply.text().contains(named), "{body}: {}", reply.text());
        }
        assert_eq!(s.counted(&site, "daily_tokens").await, [0, 0, 100]);
    });
}

#[test]
fn a_remembered_refusal_says_of_a_larger_check_what_is_true_of_it() {
    on_every_database(async |site| {
        let limits = json!({"daily_tokens": 100, "max_tokens_per_request": 150});
        let s = Subject::limited(&site, limits).await;
        s.admitted(&site, json!({"tokens": 90})).await;
        // The first is remembered, the others follow at once.
        for (tokens, by, waits) in [
            (20, "daily_tokens", true),
            (30, "daily_tokens", true),
            (120, "daily_tokens", false),
            (151, "max_tokens_per_request", false),
        ] {
            let refused = s.check(&site, json!({"tokens": tokens})).await;
            assert_refused(&refused, by);
            assert_eq!(refused.data()["retry_after_s"].is_u64(), waits, "{tokens}: {}", refused.text());
        }
    });
}

#[test]
fn a_flood_of_refused_checks_costs_few_commits() {
    on_every_database(async |site| {
        let s = Subject::limited(&site, json!({"daily_tokens": 0})).await;
        let commits = async || {
            let metrics = Ask::raw(http::Method::GET, "/metrics").send(site.app.admin).await.text();
            let line = metrics.lines().find(|line| line.starts_with("sageapi_booking_commit_seconds_count"));
            line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).unwrap_or_default()
        };
        let (clock, before) = (SystemClock::new(), commits().await);
        let started = clock.monotonic();
        for n in 0..200 {
            let more = if n % 2 == 0 { json!({}) } else { json!({"request_id": format!("r-{n}")}) };
            assert_refused(&s.check(&site, more).await, "daily_tokens");
        }
        // One in 250 ms, and some to spare for a slow machine.
        let most = 2.0 + (clock.monotonic() - started).as_secs_f64() / 0.25;
        let made = commits().await - before;
        assert!(made >= 1.0 && made <= most, "{made} commits, {most} at most");
    });
}
