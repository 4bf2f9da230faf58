//! Refreshing tokens: one line of generations, whatever gets lost, doubled or stolen.

use futures_util::future::join_all;
use sageapi_server::model::{Secret, Timestamp, UserRole};
use sageapi_test_support::app::App;
use sageapi_test_support::database::Kind;
use serde_json::json;

use crate::people::{JWT_SECRET, Tokens, signing_in};
use crate::raw::Ask;
use crate::site::{Site, on, on_every_database_with, until};

/// The last, and the last but one, byte of a token differ.
fn altered(token: &str) -> Vec<String> {
    let (front, mac) = token.rsplit_once('.').unwrap();
    let (family, generation) = front.rsplit_once('.').unwrap();
    let mut flipped = mac.to_owned().into_bytes();
    flipped[3] = if flipped[3] == b'A' { b'B' } else { b'A' };
    let flipped = String::from_utf8(flipped).unwrap();
    vec![
        format!("{front}.{flipped}"),
        format!("{family}.2.{mac}"),
        format!("{family}.0{generation}.{mac}"),
        front.to_owned(),
        token[..token.len() - 1].to_owned(),
        format!("{token}A"),
        format!("{token}.{mac}"),
        token.replace("rt_", "dt_"),
        format!("rt_01890a5d-ac96-774b-bcce-b302099a8057.1.{mac}"),
        "rt_".to_owned(),
        String::new(),
    ]
}

#[test]
fn fifty_refreshes_of_one_token_at_once_give_one_successor() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let first = site.login(&person).await;
        let replies = join_all((0..50).map(|_| site.refresh(&first.refresh))).await;
        let successors: std::collections::BTreeSet<_> =
            replies.iter().map(|reply| Tokens::of(reply).refresh).collect();
        assert_eq!(successors.len(), 1, "{successors:?}");
        assert_eq!(replies.iter().filter(|reply| reply.data()["replayed"] == false).count(), 1);
        assert_eq!(site.database().int("SELECT MAX(generation) FROM sessions").await, 2);
        assert_eq!(site.database().int("SELECT COUNT(*) FROM sessions").await, 1);
        for reply in &replies {
            assert!(site.has_access(&Tokens::of(reply).access).await);
        }
        assert!(site.has_access(&first.access).await, "until it expires");
    });
}

#[test]
fn a_refresh_whose_answer_was_lost_can_be_repeated_until_the_answer_was_used() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let first = site.login(&person).await;
        let lost = Tokens::of(&site.refresh(&first.refresh).await);
        site.age_sessions(20 * 3600).await;
        let again = site.refresh(&first.refresh).await;
        assert_eq!(again.data()["replayed"], true);
        assert_eq!(Tokens::of(&again).refresh, lost.refresh);
        // From its first use on, a client that sends the token before has a copy.
        assert!(site.has_access(&Tokens::of(&again).access).await);
        let database = site.database();
        until("the use is noted", async || {
            database.int("SELECT MAX(generation_seen) FROM sessions").await == 2
        })
        .await;
        assert_eq!(
            site.database().int("SELECT MAX(version) FROM sessions").await,
            1,
            "nothing cached changed"
        );
        site.age_sessions(31).await;
        assert_eq!(site.refresh(&first.refresh).await.refusal(), (401, "token_reused"));
        assert_eq!(site.refresh(&lost.refresh).await.refusal(), (401, "token_expired"));
    });
}

#[test]
fn two_tabs_that_refresh_twenty_seconds_apart_both_stay_signed_in() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let first = site.login(&person).await;
        let one = Tokens::of(&site.refresh(&first.refresh).await);
        assert!(site.has_access(&one.access).await);
        let database = site.database();
        until("the use is noted", async || {
            database.int("SELECT MAX(generation_seen) FROM sessions").await == 2
        })
        .await;
        site.age_sessions(20).await;
        let two = site.refresh(&first.refresh).await;
        assert_eq!(two.data()["replayed"], true);
        let two = Tokens::of(&two);
        assert_eq!(two.refresh, one.refresh);
        assert!(site.has_access(&one.access).await && site.has_access(&two.access).await);
        site.age_sessions(600).await;
        assert_eq!(site.refresh(&two.refresh).await.data()["replayed"], false);
    });
}

/// Behaviour 6: reuse revokes the family, and nothing else.
#[test]
fn a_token_two_generations_old_ends_its_session_and_no_other() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let (first, other) = (site.login(&person).await, site.login(&person).await);
        let second = Tokens::of(&site.refresh(&first.refresh).await);
        let third = Tokens::of(&site.refresh(&second.refresh).await);
        assert!(site.has_access(&third.access).await);
        assert_eq!(site.refresh(&first.refresh).await.refusal(), (401, "token_reused"));
        for tokens in [&first, &second, &third] {
            assert!(!site.has_access(&tokens.access).await);
            assert_eq!(site.refresh(&tokens.refresh).await.refusal(), (401, "token_expired"));
        }
        assert!(site.has_access(&other.access).await);
        assert_eq!(site.refresh(&other.refresh).await.status, 200);
        let audited = "SELECT diff FROM audit_log WHERE object_kind = 'session' AND action = 'revoke'";
        let audited = site.database().texts(audited).await;
        assert_eq!(audited.len(), 1);
        assert!(audited[0].contains("token_reused"), "{audited:?}");
    });
}

#[test]
fn an_altered_refresh_token_is_invalid_and_harms_nobody() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let first = site.login(&person).await;
        for token in altered(&first.refresh) {
            assert_eq!(site.refresh(&token).await.refusal(), (401, "token_invalid"), "{token}");
        }
        assert_eq!(site.refresh(&first.access).await.refusal(), (401, "token_invalid"));
        assert_eq!(site.as_user(&first.refresh, "/auth/me").await.status, 401);
        for body in [
            json!({}),
            json!({"refresh_token": 5}),
            json!({"refresh_token": null}),
            json!([]),
            json!({"token": "x"}),
        ] {
            let reply = Ask::post("/auth/refresh", &body).send(site.http()).await;
            assert_eq!(reply.status, 400, "{body} {}", reply.text());
        }
        assert_eq!(site.refresh(&first.refresh).await.status, 200);
    });
}

/// Behaviour 6: deleting expired sessions is strict and counts; its schedule is tested where all of it is.
#[test]
fn a_session_ends_when_it_is_idle_and_is_then_deleted() {
    on_every_database_with(signing_in, async |site| {
        let person = site.person(None, UserRole::Admin).await;
        let (idle, _kept) = (site.login(&person).await, site.login(&person).await);
        let oldest = site.database().int("SELECT MIN(created_at) FROM sessions").await;
        let sql = format!("UPDATE sessions SET idle_until = 5000000 WHERE created_at = {oldest}");
        assert_eq!(site.database().execute(&sql).await, 1);
        assert_eq!(site.refresh(&idle.refresh).await.refusal(), (401, "token_expired"));
        let store = site.env().store();
        assert_eq!(
            store.purge_sessions(Timestamp::from_seconds(5), 500).await.unwrap(),
            0,
            "strictly before"
        );
        assert_eq!(store.purge_sessions(Timestamp::from_micros(5_000_001), 500).await.unwrap(), 1);
        assert_eq!(site.refresh(&idle.refresh).await.refusal(), (401, "token_expired"));
        assert_eq!(site.database().int("SELECT COUNT(*) FROM sessions").await, 1);
    });
}

fn with_secrets(config: &mut sageapi_server::config::Config, current: &str, previous: &[&str]) {
    config.auth.jwt_secret = Some(Secret::new(current));
    config.auth.previous_jwt_secrets = previous.iter().map(|text| Secret::new(*text)).collect();
}

#[test]
fn a_secret_is_rotated_in_two_steps_without_signing_anyone_out() {
    const NEXT: &str = "the next secret of tests, which is long enough too";
    on(Kind::MySql, async || {
        let one = Site::new(signing_in(App::builder(Kind::MySql)).start().await);
        let person = one.person(None, UserRole::Admin).await;
        // Each step reaches one instance before the other.
        let second = async |current: &'static str, previous: &'static [&'static str]| {
            let builder = one.app.second().config(move |config| with_secrets(config, current, previous));
            Site::new(builder.start().await)
        };
        let accepting = second(JWT_SECRET, &[NEXT]).await;
        let using = second(NEXT, &[JWT_SECRET]).await;
        let finished = second(NEXT, &[]).await;
        for (before, after) in [(&one, &accepting), (&accepting, &using)] {
            for (from, to) in [(before, after), (after, before)] {
                let tokens = from.login(&person).await;
                assert!(to.has_access(&tokens.access).await);
                let next = Tokens::of(&to.refresh(&tokens.refresh).await);
                let replay = from.refresh(&tokens.refresh).await;
                assert_eq!(Tokens::of(&replay).refresh, next.refresh, "the same successor everywhere");
                assert!(from.has_access(&next.access).await);
                assert_eq!(from.refresh(&next.refresh).await.status, 200);
            }
        }
        // In one step, instances do not know each other's tokens: that is our fault, not the client's.
        let tokens = one.login(&person).await;
        assert_eq!(finished.refresh(&tokens.refresh).await.status, 503);
        assert_eq!(one.refresh(&tokens.refresh).await.status, 200);
    });
}
