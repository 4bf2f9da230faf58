//! How often a sign-in may be tried, and by whom.

use futures_util::future::join_all;
use sageapi_server::model::{Timestamp, UserRole};
use sageapi_test_support::app::App;
use sageapi_test_support::database::Kind;
use serde_json::{Value, json};

use crate::people::{PASSWORD, Person, Tokens, new_address, post_from, signing_in};
use crate::raw::Reply;
use crate::site::{Site, new_id, on, on_every_database_with};

const WRONG: &str = "wrong horse battery";

#[track_caller]
fn wait_of(reply: &Reply) -> u64 {
    assert_eq!(reply.refusal(), (429, "rate_limited"));
    reply.header("retry-after").parse().unwrap()
}

/// Signs in with a device token.
async fn login_with(site: &Site, person: &Person, password: &str, device: &str) -> Reply {
    let mut body = person.credentials(password);
    body["device_token"] = Value::from(device);
    post_from(&new_address(), "/auth/login", &body).send(site.http()).await
}

/// Behaviour 7: a lock after five failures for an account and an address, whether the account exists or not.
#[test]
fn after_five_failures_an_account_is_locked_for_an_address() {
    on_every_database_with(signing_in, async |site| {
        let real = site.person(None, UserRole::Admin).await;
        let nobody = Person { name: new_id("nobody"), ..real.clone() };
        for person in [&real, &nobody] {
            let address = new_address();
            for _ in 0..5 {
                let reply = site.login_from(&address, person, WRONG).await;
                assert_eq!(reply.refusal(), (401, "login_failed"));
            }
            for password in [WRONG, PASSWORD] {
                let wait = wait_of(&site.login_from(&address, person, password).await);
                assert!((295..=301).contains(&wait), "{wait}");
            }
        }
        // Another address of the same account is no worse off.
        assert_eq!(site.login_from(&new_address(), &real, PASSWORD).await.status, 200);
        // The next lock is twice as long.
        let address = new_address();
        for _ in 0..5 {
            site.login_from(&address, &real, WRONG).await;
        }
        let later = "UPDATE login_throttle SET locked_until = 1 WHERE locked_until > 1";
        site.database().execute(later).await;
        site.database().execute("UPDATE login_throttle SET full_at = 1 WHERE attempts = 0").await;
        for _ in 0..5 {
            assert_eq!(site.login_from(&address, &real, WRONG).await.refusal(), (401, "login_failed"));
        }
        let wait = wait_of(&site.login_from(&address, &real, PASSWORD).await);
        assert!((595..=601).contains(&wait), "{wait}");
    });
}

#[test]
fn strangers_do_not_lock_out_a_known_device_however_many_there_are() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let device = site.login(&person).await.device;
        let tries = (0..100).map(|_| async { site.login_from(&new_address(), &person, WRONG).await.status });
        let statuses = join_all(tries).await;
        assert!(statuses.iter().filter(|status| **status == 401).count() <= 10, "{statuses:?}");
        assert!(statuses.iter().all(|status| matches!(status, 401 | 429 | 503)), "{statuses:?}");
        // What found no permit to hash has given its token back.
        while site.login_from(&new_address(), &person, WRONG).await.status != 429 {}
        let wait = wait_of(&site.login_from(&new_address(), &person, PASSWORD).await);
        assert!(wait <= 61, "an unknown device waits a minute: {wait}");
        assert_eq!(login_with(&site, &person, PASSWORD, &device).await.status, 200);
    });
}

#[test]
fn a_known_device_has_five_tries_and_a_right_one_among_four_wrong_ones_passes() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let device = site.login(&person).await.device;
        let passwords = [WRONG, WRONG, PASSWORD, WRONG, WRONG];
        let replies = join_all(passwords.map(|password| login_with(&site, &person, password, &device))).await;
        let statuses: Vec<_> = replies.iter().map(|reply| reply.status).collect();
        assert_eq!(statuses, [401, 401, 200, 401, 401]);
        // The right one gave its token back.
        assert_eq!(login_with(&site, &person, WRONG, &device).await.status, 401);
        let wait = wait_of(&login_with(&site, &person, PASSWORD, &device).await);
        assert!((1..=31).contains(&wait), "{wait}");
        // Without its token, or with one that is altered, it is a stranger.
        assert_eq!(login_with(&site, &person, PASSWORD, &format!("{device}A")).await.status, 200);
    });
}

#[test]
fn a_device_is_a_stranger_again_after_a_new_password() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let tokens = site.login(&person).await;
        let body = json!({"current": PASSWORD, "new": "another horse battery"});
        let reply =
            crate::raw::Ask::post("/auth/password", &body).bearer(&tokens.access).send(site.http()).await;
        let renewed = Tokens::of(&reply);
        for _ in 0..5 {
            assert_eq!(login_with(&site, &person, WRONG, &tokens.device).await.status, 401);
        }
        // Those were tries of a stranger, so the new token has all of its own.
        for _ in 0..5 {
            assert_eq!(login_with(&site, &person, WRONG, &renewed.device).await.status, 401);
        }
        wait_of(&login_with(&site, &person, WRONG, &renewed.device).await);
    });
}

#[test]
fn an_address_has_twenty_tries_over_all_accounts_and_a_network_of_ipv6_is_one() {
    on_every_database_with(signing_in, async |site| {
        let nobody = || Person {
            id: sageapi_server::model::UserId::parse("nobody").unwrap(),
            name: new_id("nobody"),
            customer: None,
        };
        for n in 0..20 {
            let reply = site.login_from(&format!("2001:db8::{n:x}"), &nobody(), WRONG).await;
            assert_eq!(reply.refusal(), (401, "login_failed"), "{n}");
        }
        let wait = wait_of(&site.login_from("2001:db8::ffff", &nobody(), WRONG).await);
        assert!((1..=7).contains(&wait), "{wait}");
        assert_eq!(site.login_from("2001:db8:0:1::1", &nobody(), WRONG).await.status, 401);
    });
}

#[test]
fn instances_share_the_throttle_and_a_restart_does_not_forget_it() {
    on(Kind::MySql, async || {
        let one = Site::new(signing_in(App::builder(Kind::MySql)).start().await);
        let two = one.second_signing_in().await;
        let person = one.person(None, UserRole::Admin).await;
        let address = new_address();
        for n in 0..5 {
            let site = if n % 2 == 0 { &one } else { &two };
            assert_eq!(site.login_from(&address, &person, WRONG).await.status, 401);
        }
        wait_of(&one.login_from(&address, &person, PASSWORD).await);
        wait_of(&two.login_from(&address, &person, PASSWORD).await);
        two.app.stop().await;
        let three = one.second_signing_in().await;
        wait_of(&three.login_from(&address, &person, PASSWORD).await);
    });
}

#[test]
fn buckets_that_are_full_again_are_deleted() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        assert_eq!(site.login_from(&new_address(), &person, WRONG).await.status, 401);
        let count = "SELECT COUNT(*) FROM login_throttle";
        assert_eq!(site.database().int(count).await, 3);
        let (store, now) = (site.env().store(), site.env().store().now().await.unwrap());
        assert_eq!(store.purge_throttle(now, 500).await.unwrap(), 0);
        let later = Timestamp::from_micros(now.micros() + 3 * 3_600_000_000);
        assert_eq!(store.purge_throttle(later, 500).await.unwrap(), 3);
        assert_eq!(site.database().int(count).await, 0);
    });
}
