//! Sessions, and the throttle of sign-ins.

use std::time::Duration;

use super::super::columns;
use super::super::sessions::revoke_sessions_of;
use super::super::{Bucket, BucketRule, Dialect, NewUser, NextGeneration, SessionFilter};
use super::Bench;
use super::fill::{ROWS, customer, hash, id, time};
use crate::model::{Actor, Owner, RevokedReason, Secret, Session, SessionKind, UserId, UserRole, Username};

fn user(n: i64) -> UserId {
    UserId::parse(&format!("user_{n}")).unwrap()
}

/// Half are of the first customer's users; one in ten was revoked.
fn session(n: i64) -> Session {
    let revoked = n % 10 == 0;
    Session {
        id: id(n),
        kind: if n % 20 == 1 { SessionKind::Console } else { SessionKind::Api },
        user_id: user(n % 200),
        owner: Owner::Customer(customer(if n % 2 == 0 { 0 } else { n % 50 })),
        generation: 1,
        generation_seen: 0,
        kid: "k".to_owned(),
        rotated_at: time(n),
        idle_until: time(n + 100),
        expires_at: time(n + 200),
        last_seen: None,
        reauthenticated_at: time(n),
        revoked_at: revoked.then(|| time(n)),
        revoked_reason: revoked.then_some(RevokedReason::Logout),
        device_name: None,
        address: None,
        version: 1,
        created_at: time(n),
    }
}

impl Bench {
    /// Fills what only these cases need.
    async fn fill_sign_in(&self) {
        let new = NewUser {
            id: Some(user(4)),
            owner: Owner::Customer(customer(0)),
            username: Username::parse("ann").unwrap(),
            role: UserRole::User,
            password_hash: Some(Secret::new("x")),
            is_active: true,
            group_id: None,
        };
        self.store.create_user(new, &Actor::command_line()).await.unwrap();
        let sessions: Vec<_> = (0..ROWS).map(session).collect();
        for sessions in sessions.chunks(500) {
            let sql = columns::insert("INSERT INTO", sessions);
            self.store.writing().await.unwrap().execute(sql).await.unwrap();
        }
        self.insert("login_throttle", "bucket, full_at, attempts, locked_until", ROWS, |n, sql| {
            sql.add(hash(n)).add(time(n)).add(0).add(0);
        })
        .await;
        if self.store.dialect() == Dialect::MySql {
            let mut conn = self.store.writing().await.unwrap();
            conn.run("ANALYZE TABLE sessions").await.unwrap();
            conn.run("ANALYZE TABLE login_throttle").await.unwrap();
        }
    }
}

/// Lists of sessions.
pub(super) async fn lists_of_sessions(bench: &mut Bench) {
    bench.fill_sign_in().await;
    let (from, to) = (Some(time(100)), Some(time(4500)));
    let (customer_id, user_id) = (Some(customer(0)), Some(user(4)));
    for (whose, whole) in [
        ("of all", SessionFilter::default()),
        ("of a customer", SessionFilter { customer_id: customer_id.clone(), ..SessionFilter::default() }),
        ("of a user", SessionFilter { user_id: user_id.clone(), ..SessionFilter::default() }),
        ("of a customer's user", SessionFilter { customer_id, user_id, ..SessionFilter::default() }),
    ] {
        for (by, filter) in [
            ("", whole.clone()),
            (" by kind", SessionFilter { kind: Some(SessionKind::Api), ..whole.clone() }),
            (" of a time", SessionFilter { from, to, ..whole.clone() }),
            (" not revoked", SessionFilter { unrevoked: true, ..whole }),
        ] {
            bench.list(&format!("sessions {whose}{by}"), filter).await;
        }
    }
}

/// What becomes of sessions and buckets, and how the tables are kept small.
pub(super) async fn sessions_and_throttle(bench: &mut Bench) {
    bench.fill_sign_in().await;
    let (store, by) = (bench.store.clone(), Actor::command_line());
    let new = Session { id: id(ROWS + 1), user_id: user(4), ..session(1) };
    let security_version = store.user(&new.user_id).await.unwrap().unwrap().security_version;
    assert!(bench.look("a session begun", store.create_session(new.clone(), security_version)).await);
    assert!(bench.look("a session", store.session(new.id)).await.is_some());
    assert!(bench.look("a session and the time", store.session_and_now(new.id)).await.is_some());
    let next = NextGeneration {
        session: new.id,
        after: 1,
        kid: "k".to_owned(),
        now: time(1),
        idle_until: time(9000),
    };
    assert!(bench.look("a session rotated", store.rotate_session(next)).await);
    bench.look("a generation seen", store.note_generation_seen(new.id, 2, time(1))).await;
    assert!(bench.look("a session revoked", store.revoke_session(new.id, RevokedReason::Logout, &by)).await);
    for keep in [None, Some(new.id)] {
        let revoking = store.write("test.revoke", move |tx| {
            Box::pin(
                async move { revoke_sessions_of(tx, &user(7), RevokedReason::Revoked, time(1), keep).await },
            )
        });
        bench.look("sessions of a user revoked", revoking).await;
    }
    assert_eq!(bench.look("sessions forgotten", store.purge_sessions(time(110), 500)).await, 10);
    let rules =
        [BucketRule::Refill { capacity: 2, every: Duration::from_mins(1) }, BucketRule::Lock { attempts: 2 }];
    for rule in rules {
        let id = hash(7).try_into().unwrap();
        let new = hash(ROWS + 7).try_into().unwrap();
        for bucket in [Bucket { id, rule }, Bucket { id: new, rule }] {
            for _ in 0..3 {
                let _ = bench.look("a token taken", store.take_tokens(vec![bucket])).await;
            }
            bench.look("a token not used", store.untake_tokens(vec![bucket])).await;
            bench.look("a token given back", store.give_tokens_back(vec![bucket])).await;
        }
    }
    assert_eq!(bench.look("buckets forgotten", store.purge_throttle(time(100), 10)).await, 10);
}
