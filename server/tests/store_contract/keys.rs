use std::time::Duration;

use sageapi_server::model::{Actor, AuthMode, KeyId, Reach, Scopes, Secret, Timestamp};
use sageapi_server::store::{Error, NewKey, NotChanged, StoredKey};
use sageapi_test_support::app::ENCRYPTION_KEY;

use crate::{contract, customer};

const NEXT_KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn by() -> Actor {
    Actor::command_line()
}

fn id(n: u8) -> KeyId {
    KeyId::parse(&format!("ak_{n:016}")).unwrap()
}

fn new(n: u8, secret: StoredKey) -> NewKey {
    NewKey {
        key_id: id(n),
        name: Some(format!("key {n}")),
        reach: Reach::Customer(customer("org_a")),
        scopes: Scopes::parse("balance:read,users:read").unwrap(),
        enabled: true,
        auth_mode: AuthMode::Signed,
        secret,
        expires_at: Some(Timestamp::from_micros(1_900_000_000_000_000)),
        allowed_cidrs: ["10.0.0.0/8", "::1/128"].map(|network| network.parse().unwrap()).into(),
    }
}

fn secret(text: &str) -> StoredKey {
    StoredKey::Secret(Secret::new(text))
}

contract! {
    async fn a_key_is_read_as_it_was_made(db: ready) {
        db.store.create_key(new(1, secret("hush")), &by()).await.unwrap();
        let key = db.another().key(&id(1)).await.unwrap().unwrap();
        assert_eq!(key.secret, Some(Secret::new("hush")));
        assert_eq!((key.name.as_deref(), key.reach), (Some("key 1"), Reach::Customer(customer("org_a"))));
        assert_eq!((key.scopes.to_string().as_str(), key.auth_mode), ("balance:read,users:read", AuthMode::Signed));
        assert_eq!((key.enabled, key.version, key.previous_secret), (true, 1, None));
        assert_eq!(key.expires_at, Some(Timestamp::from_micros(1_900_000_000_000_000)));
        let cidrs: Vec<_> = key.allowed_cidrs.iter().map(ToString::to_string).collect();
        assert_eq!(cidrs, ["10.0.0.0/8", "::1/128"]);
        assert_eq!(db.store.key_by_name("key 1").await.unwrap().unwrap().key_id, id(1));
        assert!(db.store.key_by_name("KEY 1").await.unwrap().is_none());
        assert!(db.store.key(&id(2)).await.unwrap().is_none());
    }

    async fn secrets_are_not_in_the_database(db: ready) {
        db.store.create_key(new(1, secret("a secret that is long enough to be looked for")), &by()).await.unwrap();
        let found = "SELECT COUNT(*) FROM dapi_keys WHERE INSTR(HEX(secret), HEX('looked for')) > 0";
        assert_eq!(db.database.int(found).await, 0);
        assert_eq!(db.database.int("SELECT COUNT(*) FROM dapi_keys WHERE LENGTH(secret) > 40").await, 1);
    }

    async fn a_sealed_secret_opens_in_its_own_row_only(db: ready) {
        db.store.create_key(new(1, secret("one")), &by()).await.unwrap();
        db.store.create_key(new(2, secret("two")), &by()).await.unwrap();
        let swap = "UPDATE dapi_keys SET secret = (SELECT s FROM (SELECT secret AS s FROM dapi_keys \
                    WHERE key_id = 'ak_0000000000000001') x) WHERE key_id = 'ak_0000000000000002'";
        db.database.execute(swap).await;
        assert!(matches!(db.store.key(&id(2)).await, Err(Error::Sealed("dapi_keys"))));
        assert!(db.store.key(&id(1)).await.unwrap().is_some());
    }

    async fn an_id_or_a_name_that_is_taken_is_a_duplicate(db: ready) {
        db.store.create_key(new(1, secret("one")), &by()).await.unwrap();
        assert!(matches!(db.store.create_key(new(1, secret("two")), &by()).await, Err(Error::Duplicate(_))));
        let named = NewKey { key_id: id(2), ..new(1, secret("two")) };
        assert!(matches!(db.store.create_key(named, &by()).await, Err(Error::Duplicate(_))));
        for n in [3, 4] {
            db.store.create_key(NewKey { name: None, ..new(n, secret("x")) }, &by()).await.unwrap();
        }
    }

    async fn a_rotation_keeps_the_secret_before_until_its_time(db: ready) {
        db.store.create_key(new(1, secret("old")), &by()).await.unwrap();
        let until = Timestamp::from_micros(1_850_000_000_000_000);
        db.store.rotate_key(&id(1), None, secret("new"), until, &by()).await.unwrap();
        let key = db.store.key(&id(1)).await.unwrap().unwrap();
        assert_eq!((key.secret, key.previous_secret), (Some(Secret::new("new")), Some(Secret::new("old"))));
        assert_eq!((key.previous_until, key.version), (Some(until), 2));
        assert!(matches!(db.store.rotate_key(&id(2), None, secret("new"), until, &by()).await, Err(NotChanged::NotFound)));
    }

    async fn changes_of_keys_are_audited_without_a_secret(db: ready) {
        db.store.create_key(new(1, secret("hush hush")), &by()).await.unwrap();
        db.store.rotate_key(&id(1), None, secret("psst psst"), Timestamp::from_micros(1), &by()).await.unwrap();
        for enabled in [false, false, true] {
            assert!(db.store.set_key_enabled(&id(1), enabled).await.unwrap());
        }
        for (action, count) in [("create", 1), ("rotate", 1), ("revoke", 1), ("update", 1)] {
            let audited = format!(
                "SELECT COUNT(*) FROM audit_log WHERE object_kind = 'key' AND object_id = '{}' AND customer_id = 'org_a' \
                 AND action = '{action}'", id(1)
            );
            assert_eq!(db.database.int(&audited).await, count, "{action}");
        }
        let secrets = "SELECT COUNT(*) FROM audit_log WHERE diff LIKE '%hush%' OR diff LIKE '%psst%' OR diff LIKE '%\"secret%'";
        assert_eq!(db.database.int(secrets).await, 0);
    }

    async fn of_two_rotations_at_once_none_is_lost_unnoticed(db: ready) {
        db.store.create_key(new(1, secret("old")), &by()).await.unwrap();
        let until = Timestamp::from_micros(1_850_000_000_000_000);
        let tasks: Vec<_> = (0..6).map(|n| {
            let store = db.another();
            tokio::spawn(async move { store.rotate_key(&id(1), None, secret(&format!("new {n}")), until, &by()).await.is_ok() })
        }).collect();
        let mut done = 0;
        for task in tasks {
            done += i64::from(task.await.unwrap());
        }
        assert!(done >= 1);
        assert_eq!(db.store.key(&id(1)).await.unwrap().unwrap().version, 1 + done);
    }

    async fn bearer_keys_are_found_by_either_live_token(db: ready) {
        let now = db.store.now().await.unwrap();
        db.store.create_key(new(1, StoredKey::TokenHash([1; 32])), &by()).await.unwrap();
        let (found, previous) = db.store.key_by_token(&[1; 32]).await.unwrap().unwrap();
        assert_eq!((found.key_id, found.secret, previous), (id(1), None, false));
        let until = now.plus(Duration::from_hours(1));
        let next = StoredKey::TokenHash([2; 32]);
        db.store.rotate_key(&id(1), Some(1), next.clone(), until, &by()).await.unwrap();
        for (token, previous) in [([1; 32], true), ([2; 32], false)] {
            let (found, by_previous) = db.store.key_by_token(&token).await.unwrap().unwrap();
            assert_eq!((found.key_id, found.previous_until, by_previous), (id(1), Some(until), previous));
        }
        let stale = db.store.rotate_key(&id(1), Some(1), next, until, &by()).await;
        assert!(matches!(stale, Err(NotChanged::Stale)), "{stale:?}");
        assert!(db.store.key_by_token(&[3; 32]).await.unwrap().is_none());
        db.store.rotate_key(&id(1), None, StoredKey::TokenHash([4; 32]), until, &by()).await.unwrap();
        for (token, known) in [([1; 32], false), ([2; 32], true), ([4; 32], true)] {
            assert_eq!(db.store.key_by_token(&token).await.unwrap().is_some(), known, "{token:?}");
        }
    }

    async fn a_key_is_switched_off_and_on(db: ready) {
        db.store.create_key(new(1, secret("hush")), &by()).await.unwrap();
        for (enabled, version) in [(false, 2), (true, 3)] {
            assert!(db.store.set_key_enabled(&id(1), enabled).await.unwrap());
            let key = db.store.key(&id(1)).await.unwrap().unwrap();
            assert_eq!((key.enabled, key.version), (enabled, version));
        }
        assert!(!db.store.set_key_enabled(&id(2), false).await.unwrap());
    }

    async fn keys_are_resealed_under_a_new_encryption_key(db: ready) {
        for n in 1..=3 {
            db.store.create_key(new(n, secret(&format!("secret {n}"))), &by()).await.unwrap();
        }
        db.store.rotate_key(&id(2), None, secret("second"), Timestamp::from_micros(1), &by()).await.unwrap();
        assert!(matches!(db.keyed(NEXT_KEY, &[]).key(&id(1)).await, Err(Error::UnknownKey(_))));
        let both = db.keyed(NEXT_KEY, &[ENCRYPTION_KEY]);
        for key in both.keys("", 10).await.unwrap() {
            assert!(both.reseal_key(&key).await.unwrap());
            assert!(!both.reseal_key(&key).await.unwrap(), "it changed since it was read");
        }
        let only_new = db.keyed(NEXT_KEY, &[]);
        let key = only_new.key(&id(2)).await.unwrap().unwrap();
        assert_eq!((key.secret, key.previous_secret), (Some(Secret::new("second")), Some(Secret::new("secret 2"))));
        assert_eq!(only_new.key(&id(3)).await.unwrap().unwrap().secret, Some(Secret::new("secret 3")));
        assert!(matches!(db.store.key(&id(1)).await, Err(Error::UnknownKey(_))));
    }

    async fn keys_are_listed_in_pages(db: ready) {
        for n in 1..=5 {
            db.store.create_key(new(n, secret("x")), &by()).await.unwrap();
        }
        let page = db.store.keys("ak_0000000000000002", 2).await.unwrap();
        assert_eq!(page.iter().map(|k| k.key_id.as_str()).collect::<Vec<_>>(), [id(3).as_str(), id(4).as_str()]);
        assert!(db.store.keys(id(5).as_str(), 2).await.unwrap().is_empty());
    }
}
