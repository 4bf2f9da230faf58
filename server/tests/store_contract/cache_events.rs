use std::collections::BTreeSet;
use std::time::Duration;

use sageapi_server::model::{CustomerStatus, Entity, Money};
use sageapi_server::store::{Changed, Dialect, LedgerChanges, NewCustomer, Page, Store};

use crate::mirror::user;
use crate::{cny, contract, customer, money};

/// What `store` hears of others, sorted by what it says: events of one tick of the clock have no order among themselves.
async fn heard(store: &Store) -> Vec<Changed> {
    let since = store.now().await.unwrap().minus(Duration::from_hours(1));
    let events = store.cache_events(since, |_| false).await.unwrap();
    let mut heard: Vec<_> = events.into_iter().map(|event| event.changed).collect();
    heard.sort_by_key(|changed| serde_json::to_string(changed).unwrap());
    heard
}

contract! {
    async fn a_change_is_heard_by_others_and_not_by_its_own_instance(db: ready) {
        let other = db.another();
        let id = db.customer("org_a").await;
        db.store.set_credit_limit(&id, money("1")).await.unwrap();
        db.store.apply_page(Entity::Users, None, Page { changes: vec![user("u1", 1, "org_a")], ..Page::default() })
            .await
            .unwrap();
        let expected =
            [Changed::balance(&id), Changed::balance(&id), Changed::mirrored(Entity::Users, vec!["u1".into()])];
        assert_eq!(heard(&other).await, expected);
        assert_eq!(heard(&db.store).await, []);
        other.set_customer_status(&id, CustomerStatus::Suspended).await.unwrap();
        assert_eq!(heard(&db.store).await, [Changed::balance(&id)]);
    }

    async fn a_change_that_is_undone_is_not_heard(db: ready) {
        let mut writer = db.store.writer();
        let (mut tx, _) = writer.begin(&[]).await.unwrap();
        assert!(db.store.announce(&mut tx, &Changed::balance(&customer("org_a"))).await.unwrap());
        writer.rollback(tx).await;
        assert_eq!(heard(&db.another()).await, []);
        let (tx, _) = writer.begin(&[]).await.unwrap();
        writer.commit(tx, &LedgerChanges::default()).await.unwrap();
        assert_eq!(heard(&db.another()).await, []);
    }

    async fn the_one_instance_with_a_cache_tells_nobody(db: ready) {
        if db.store.dialect() == Dialect::Sqlite {
            let alone = db.alone();
            let new = NewCustomer { id: customer("org_a"), currency: cny(), credit_limit: Money::ZERO };
            alone.create_customer(new).await.unwrap();
            assert_eq!(heard(&db.store).await, []);
            db.customer("org_b").await;
            assert_eq!(heard(&alone).await, [Changed::balance(&customer("org_b"))], "but hears what commands change");
        }
    }

    async fn a_page_of_many_rows_names_the_entity_alone(db: ready) {
        let changes = (0..200).map(|n| user(&format!("u{n}"), 1, "org_a")).collect();
        db.store.apply_page(Entity::Users, None, Page { changes, ..Page::default() }).await.unwrap();
        assert_eq!(heard(&db.another()).await, [Changed::whole(Entity::Users)]);
    }

    async fn every_event_is_heard_once_by_who_looks_back_and_skips_what_it_saw(db: ready) {
        const EACH: usize = 25;
        let id = db.customer("org_a").await;
        let reader = db.another();
        let start = reader.now().await.unwrap().minus(Duration::from_secs(10));
        let writers: Vec<_> = (0..4).map(|writer| {
            let (store, id) = (db.another(), id.clone());
            tokio::spawn(async move {
                for n in 0..EACH {
                    // Another limit each time: what changes nothing is no event.
                    let limit = money(&(1 + writer * EACH + n).to_string());
                    store.set_credit_limit(&id, limit).await.unwrap();
                }
            })
        }).collect();
        let mut seen = BTreeSet::new();
        // Ids are made before their commit and so become visible out of order; looking back finds all.
        loop {
            let done = writers.iter().all(tokio::task::JoinHandle::is_finished);
            for event in reader.cache_events(start, |id| seen.contains(id)).await.unwrap() {
                assert!(seen.insert(event.id), "what is known is not told again");
            }
            if done {
                break;
            }
            tokio::task::yield_now().await;
        }
        assert_eq!(seen.len(), 4 * EACH + 1, "the customer's creation was heard too");
        for writer in writers {
            writer.await.unwrap();
        }
    }

    async fn old_events_are_forgotten_in_slices(db: ready) {
        for n in 0..5 {
            db.customer(&format!("org_{n}")).await;
        }
        let now = db.store.now().await.unwrap();
        assert_eq!(db.store.purge_cache_events(now.minus(Duration::from_hours(1)), 3).await.unwrap(), 0);
        let later = now.plus(Duration::from_secs(1));
        for expected in [3, 2, 0] {
            assert_eq!(db.store.purge_cache_events(later, 3).await.unwrap(), expected);
        }
    }
}
