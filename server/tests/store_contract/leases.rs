use std::time::Duration;

use sageapi_server::model::Entity;
use sageapi_server::store::{Error, Lease, Page, Store, SyncOutcome};

use crate::mirror::user;
use crate::{Db, contract};

const LONG: Duration = Duration::from_hours(1);
const NAMES: [&str; 2] = ["users", "housekeeping"];

/// Waits for the lease, whose time is about to run out.
async fn take_over(store: &Store, name: &str) -> Lease {
    for _ in 0..500 {
        if let Some(lease) = store.acquire_lease(name, LONG).await.unwrap() {
            return lease;
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    panic!("the lease of {name} did not run out");
}

contract! {
    async fn a_lease_has_one_owner_until_it_is_given_back(db: ready) {
        let other = db.another();
        for name in NAMES {
            let lease = db.store.acquire_lease(name, LONG).await.unwrap().unwrap();
            assert_eq!(other.acquire_lease(name, LONG).await.unwrap(), None);
            let again = db.store.acquire_lease(name, LONG).await.unwrap().unwrap();
            assert!(again.token > lease.token, "the owner renews it");
            db.store.release_lease(lease).await.unwrap();
            assert_eq!(other.acquire_lease(name, LONG).await.unwrap(), None, "what was renewed is not given back");
            db.store.release_lease(again.clone()).await.unwrap();
            let theirs = other.acquire_lease(name, LONG).await.unwrap().unwrap();
            assert!(theirs.token > again.token);
            assert_eq!(db.store.acquire_lease(name, LONG).await.unwrap(), None);
        }
    }

    async fn leases_of_different_names_do_not_touch_each_other(db: ready) {
        let other = db.another();
        for name in ["users", "pricing", "llmage", "uapi", "housekeeping", "more"] {
            let (one, two) = if name.len() % 2 == 0 { (&db.store, &other) } else { (&other, &db.store) };
            assert!(one.acquire_lease(name, LONG).await.unwrap().is_some());
            assert!(two.acquire_lease(name, LONG).await.unwrap().is_none());
        }
    }

    async fn a_lease_that_ran_out_goes_to_the_next(db: ready) {
        let other = db.another();
        for name in NAMES {
            let lost = db.store.acquire_lease(name, Duration::from_millis(1)).await.unwrap().unwrap();
            let taken = take_over(&other, name).await;
            assert!(taken.token > lost.token);
            db.store.release_lease(lost).await.unwrap();
            assert_eq!(db.store.acquire_lease(name, LONG).await.unwrap(), None, "a lost lease cannot be given back");
        }
    }

    async fn of_many_who_want_a_lease_at_once_one_gets_it(db: ready) {
        for name in NAMES {
            let tasks: Vec<_> = (0..8).map(|_| {
                let store = db.another();
                tokio::spawn(async move { store.acquire_lease(name, LONG).await.unwrap() })
            }).collect();
            let mut got = 0;
            for task in tasks {
                got += usize::from(task.await.unwrap().is_some());
            }
            assert_eq!(got, 1, "{name}");
        }
    }

    async fn nothing_can_be_written_under_a_lost_lease(db: ready) {
        let other = db.another();
        let lost = db.store.acquire_lease("users", Duration::from_millis(1)).await.unwrap().unwrap();
        let taken = take_over(&other, "users").await;
        let lost_it = |result: Result<(), Error>| assert!(matches!(result, Err(Error::LeaseLost)), "{result:?}");
        let page = |cursor: &str, version| Page {
            changes: vec![user("u1", version, "org_a")],
            cursor: Some(cursor.to_owned()),
            ..Page::default()
        };
        lost_it(db.store.apply_page(Entity::Users, Some(&lost), page("stale", 9)).await.map(drop));
        lost_it(db.store.start_snapshot(&lost).await);
        lost_it(db.store.finish_snapshot(Entity::Users, &lost, 1.0).await.map(drop));
        lost_it(db.store.finish_run(&lost, SyncOutcome::Success).await);
        assert_eq!(db.store.mirror_row(Entity::Users, "u1").await.unwrap(), None, "no row without its cursor");
        other.apply_page(Entity::Users, Some(&taken), page("good", 1)).await.unwrap();
        let state = other.sync_state(Entity::Users).await.unwrap().unwrap();
        assert_eq!((state.cursor.as_deref(), state.status.as_str()), (Some("good"), "pending"));
        assert_eq!(state.fencing_token, taken.token);
        assert_eq!(state.lease_owner, Some(other.instance().hyphenated().to_string()));
    }
}

impl Db {
    /// A lease for as long as a test takes.
    pub(crate) async fn lease(&self, entity: Entity) -> Lease {
        self.store.acquire_lease(entity.as_str(), LONG).await.unwrap().unwrap()
    }
}
