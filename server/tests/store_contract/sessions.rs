use std::time::Duration;

use futures_util::future::join_all;
use sageapi_server::model::{
    Actor, Owner, RecordId, RevokedReason, Secret, Session, SessionKind, Timestamp, User, UserRole, Username,
};
use sageapi_server::store::{Bucket, BucketRule, NewUser, NextGeneration};

use crate::{Db, contract, random_bytes};

impl Db {
    async fn user(&self, name: &str) -> User {
        let new = NewUser {
            id: None,
            owner: Owner::Platform,
            username: Username::parse(name).unwrap(),
            role: UserRole::Admin,
            password_hash: Some(Secret::new("hash")),
            is_active: true,
            group_id: None,
        };
        self.store.create_user(new, &Actor::server()).await.unwrap()
    }
}

fn session(user: &User, now: Timestamp) -> Session {
    let day = Duration::from_hours(24);
    Session {
        id: RecordId(uuid::Uuid::from_bytes(random_bytes())),
        kind: SessionKind::Api,
        user_id: user.id.clone(),
        owner: user.owner.clone(),
        generation: 1,
        generation_seen: 0,
        kid: "k".to_owned(),
        rotated_at: now,
        idle_until: now.plus(day),
        expires_at: now.plus(day * 3),
        last_seen: Some(now),
        reauthenticated_at: now,
        revoked_at: None,
        revoked_reason: None,
        device_name: Some("laptop \u{1f4bb}".to_owned()),
        address: Some("::1".to_owned()),
        version: 1,
        created_at: now,
    }
}

fn next(session: &Session, after: i64, idle_until: Timestamp) -> NextGeneration {
    let now = session.rotated_at.plus(Duration::from_secs(60));
    NextGeneration { session: session.id, after, kid: "other".to_owned(), now, idle_until }
}

contract! {
    async fn a_session_begins_only_for_a_user_as_it_was_when_its_password_was_checked(db: ready) {
        let (user, now) = (db.user("ann").await, db.store.now().await.unwrap());
        let first = session(&user, now);
        assert!(db.store.create_session(first.clone(), user.security_version).await.unwrap());
        assert_eq!(db.store.session(first.id).await.unwrap(), Some(first));
        let signed_in = db.store.user(&user.id).await.unwrap().unwrap();
        assert_eq!((signed_in.last_login_at, signed_in.version), (Some(now), 1), "no change of the user");
        let disable = |user: &mut User| { user.is_active = false; Ok::<_, ()>(()) };
        let by = Actor::server();
        let disabled = db.store.change_user(&user.id, None, "update", &by, disable).await.unwrap();
        for version in [user.security_version, disabled.security_version] {
            assert!(!db.store.create_session(session(&user, now), version).await.unwrap());
        }
        let enable = |user: &mut User| { user.is_active = true; Ok::<_, ()>(()) };
        db.store.change_user(&user.id, None, "update", &by, enable).await.unwrap();
        assert!(!db.store.create_session(session(&user, now), user.security_version).await.unwrap());
        assert!(db.store.create_session(session(&user, now), disabled.security_version).await.unwrap());
    }

    async fn of_many_rotations_at_once_one_succeeds(db: ready) {
        let (user, now) = (db.user("ann").await, db.store.now().await.unwrap());
        let first = session(&user, now);
        db.store.create_session(first.clone(), user.security_version).await.unwrap();
        let stores: Vec<_> = (0..10).map(|_| db.another()).collect();
        let late = first.expires_at.plus(Duration::from_secs(1));
        let rotated = join_all(stores.iter().map(|store| store.rotate_session(next(&first, 1, late)))).await;
        assert_eq!(rotated.iter().filter(|rotated| *rotated.as_ref().unwrap()).count(), 1);
        let row = db.store.session(first.id).await.unwrap().unwrap();
        assert_eq!((row.generation, row.kid.as_str(), row.version), (2, "other", 1));
        assert_eq!(row.idle_until, first.expires_at, "it never idles beyond its end");
        assert!(db.store.revoke_session(first.id, RevokedReason::Logout, &Actor::server()).await.unwrap());
        assert!(!db.store.revoke_session(first.id, RevokedReason::Revoked, &Actor::server()).await.unwrap());
        assert!(!db.store.rotate_session(next(&first, 2, late)).await.unwrap());
        let row = db.store.session(first.id).await.unwrap().unwrap();
        assert_eq!((row.revoked_reason, row.version), (Some(RevokedReason::Logout), 2));
    }

    async fn a_generation_is_seen_once_and_announced_to_nobody(db: ready) {
        let (user, now) = (db.user("ann").await, db.store.now().await.unwrap());
        let first = session(&user, now);
        db.store.create_session(first.clone(), user.security_version).await.unwrap();
        let events = "SELECT COUNT(*) FROM cache_events";
        let before = db.database.int(events).await;
        for (generation, expected) in [(1, 1), (3, 3), (2, 3)] {
            db.store.note_generation_seen(first.id, generation, now).await.unwrap();
            let row = db.store.session(first.id).await.unwrap().unwrap();
            assert_eq!((row.generation_seen, row.version), (expected, 1));
        }
        assert_eq!(db.database.int(events).await, before);
    }

    async fn a_bucket_gives_exactly_what_it_holds_to_many_at_once(db: ready) {
        let stores: Vec<_> = (0..4).map(|_| db.another()).collect();
        for (n, rule) in [
            BucketRule::Refill { capacity: 5, every: Duration::from_mins(10) },
            BucketRule::Lock { attempts: 5 },
        ].into_iter().enumerate() {
            let bucket = Bucket { id: [u8::try_from(n).unwrap(); 32], rule };
            let takes = (0..40).map(|n| stores[n % 4].take_tokens(vec![bucket]));
            let taken = join_all(takes).await;
            assert_eq!(taken.iter().filter(|taken| taken.as_ref().unwrap().is_ok()).count(), 5, "{rule:?}");
            let wait = taken.iter().find_map(|taken| taken.as_ref().unwrap().err()).unwrap();
            assert!(wait > Duration::from_mins(4) && wait <= Duration::from_mins(10), "{wait:?}");
            stores[0].untake_tokens(vec![bucket]).await.unwrap();
            assert!(stores[1].take_tokens(vec![bucket]).await.unwrap().is_ok(), "one was given back");
            assert!(stores[2].take_tokens(vec![bucket]).await.unwrap().is_err());
        }
        // Of several, all or none.
        let full = Bucket { id: [9; 32], rule: BucketRule::Refill { capacity: 1, every: Duration::from_mins(1) } };
        let empty = Bucket { id: [1; 32], rule: BucketRule::Lock { attempts: 5 } };
        assert!(db.store.take_tokens(vec![empty, full]).await.unwrap().is_err());
        assert!(db.store.take_tokens(vec![full]).await.unwrap().is_ok());
    }

    async fn locks_double_up_to_an_hour_and_a_right_password_ends_them(db: ready) {
        let bucket = Bucket { id: [7; 32], rule: BucketRule::Lock { attempts: 2 } };
        for seconds in [300, 600, 1200, 2400, 3600, 3600] {
            for _ in 0..2 {
                assert!(db.store.take_tokens(vec![bucket]).await.unwrap().is_ok(), "{seconds}");
            }
            let wait = db.store.take_tokens(vec![bucket]).await.unwrap().unwrap_err();
            assert!(wait <= Duration::from_secs(seconds) && wait > Duration::from_secs(seconds - 60), "{wait:?}");
            db.database.execute("UPDATE login_throttle SET locked_until = 1").await;
        }
        db.store.give_tokens_back(vec![bucket]).await.unwrap();
        assert_eq!(db.database.int("SELECT COUNT(*) FROM login_throttle").await, 0);
    }
}
