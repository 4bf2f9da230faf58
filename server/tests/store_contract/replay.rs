use std::time::Duration;

use sageapi_server::store::{Error, NonceUse, ReplayTable, Store};

use crate::contract;

async fn insert(store: &Store, nonces: Vec<NonceUse>) -> Result<Vec<bool>, Error> {
    let nonces = std::sync::Arc::new(nonces);
    store
        .write("test.nonces", move |tx| {
            let nonces = nonces.clone();
            Box::pin(async move { tx.insert_nonces(&nonces).await })
        })
        .await
}

contract! {
    async fn a_value_is_new_once_within_its_scope(db: ready) {
        let until = db.store.now().await.unwrap().plus(Duration::from_mins(11));
        for table in [ReplayTable::Nonces, ReplayTable::WebhookIds] {
            let used = NonceUse::new("ak_1", "nonce", until);
            assert!(db.store.first_use(table, used).await.unwrap());
            assert!(!db.store.first_use(table, used).await.unwrap());
            assert!(!db.another().first_use(table, used).await.unwrap(), "another instance knows it too");
            assert!(db.store.first_use(table, NonceUse::new("ak_2", "nonce", until)).await.unwrap());
            assert!(db.store.first_use(table, NonceUse::new("ak_1", "nonce2", until)).await.unwrap());
        }
    }

    async fn a_batch_tells_for_each_value_whether_it_was_new(db: ready) {
        let until = db.store.now().await.unwrap().plus(Duration::from_mins(11));
        let nonce = |n: u32| NonceUse::new("ak_1", &format!("nonce {n}"), until);
        assert_eq!(insert(&db.store, vec![]).await.unwrap(), Vec::<bool>::new());
        assert_eq!(insert(&db.store, vec![nonce(1), nonce(2)]).await.unwrap(), [true, true]);
        let mixed = vec![nonce(2), nonce(3), nonce(3), nonce(4), nonce(1), nonce(4)];
        assert_eq!(insert(&db.store, mixed).await.unwrap(), [false, true, false, true, false, false]);
        assert_eq!(insert(&db.store, vec![nonce(3), nonce(4)]).await.unwrap(), [false, false]);
        let many: Vec<_> = (100..200).map(nonce).collect();
        assert!(insert(&db.store, many).await.unwrap().into_iter().all(|fresh| fresh));
    }

    async fn a_nonce_of_a_transaction_that_is_undone_is_new_again(db: ready) {
        let until = db.store.now().await.unwrap().plus(Duration::from_mins(11));
        let nonce = NonceUse::new("ak_1", "nonce", until);
        let mut writer = db.store.writer();
        let (mut tx, _) = writer.begin(&[]).await.unwrap();
        assert_eq!(tx.insert_nonces(&[nonce]).await.unwrap(), [true]);
        writer.rollback(tx).await;
        assert_eq!(insert(&db.store, vec![nonce]).await.unwrap(), [true]);
    }

    async fn of_many_uses_at_once_exactly_one_is_the_first(db: ready) {
        const TASKS: u32 = 8;
        const VALUES: u32 = 40;
        let until = db.store.now().await.unwrap().plus(Duration::from_mins(11));
        // Each task takes every value, in an order and in batches of its own.
        let tasks: Vec<_> = (0..TASKS).map(|task| {
            let store = db.another();
            tokio::spawn(async move {
                let mut values: Vec<_> = (0..VALUES).map(|n| (n * 7 + task * 13) % VALUES).collect();
                let mut first = Vec::new();
                while !values.is_empty() {
                    let size = (1 + (usize::try_from(task).unwrap() + first.len()) % 5).min(values.len());
                    let batch: Vec<_> = values.drain(..size).collect();
                    let uses = batch.iter().map(|n| NonceUse::new("ak_1", &format!("nonce {n}"), until)).collect();
                    let fresh = insert(&store, uses).await.unwrap_or_else(|e| panic!("task {task}, {batch:?}: {e}"));
                    first.extend(batch.into_iter().zip(fresh).filter(|(_, fresh)| *fresh).map(|(n, _)| n));
                }
                first
            })
        }).collect();
        let mut first = Vec::new();
        for task in tasks {
            first.extend(task.await.unwrap());
        }
        first.sort_unstable();
        assert_eq!(first, (0..VALUES).collect::<Vec<_>>());
    }

    async fn only_what_has_expired_is_forgotten(db: ready) {
        let now = db.store.now().await.unwrap();
        for table in [ReplayTable::Nonces, ReplayTable::WebhookIds] {
            for n in 0..5_u32 {
                let expired = NonceUse::new("ak_1", &format!("old {n}"), now.minus(Duration::from_secs(1)));
                assert!(db.store.first_use(table, expired).await.unwrap());
            }
            let live = NonceUse::new("ak_1", "live", now.plus(Duration::from_hours(1)));
            assert!(db.store.first_use(table, live).await.unwrap());
            assert_eq!(db.store.purge_uses(table, 3).await.unwrap(), 3);
            assert_eq!(db.store.purge_uses(table, 3).await.unwrap(), 2);
            assert_eq!(db.store.purge_uses(table, 3).await.unwrap(), 0);
            assert!(!db.store.first_use(table, live).await.unwrap());
        }
    }
}
