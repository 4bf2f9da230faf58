use sageapi_server::model::{CustomerStatus, Mode, Money};
use sageapi_server::store::NewCustomer;

use crate::{cny, contract, customer, money};

contract! {
    async fn a_customer_begins_with_nothing_and_is_created_once(db: ready) {
        let id = customer("org_a");
        assert_eq!(db.store.customer(&id).await.unwrap(), None);
        let new = NewCustomer { id: id.clone(), currency: cny(), credit_limit: money("5.5") };
        assert!(db.store.create_customer(new.clone()).await.unwrap());
        let made = db.store.customer(&id).await.unwrap().unwrap();
        assert_eq!((made.balance, made.held, made.last_seq, made.version), (Money::ZERO, Money::ZERO, 0, 1));
        assert_eq!((made.credit_limit, made.currency, made.status), (money("5.5"), cny(), CustomerStatus::Active));
        let other = NewCustomer { credit_limit: Money::ZERO, ..new };
        assert!(!db.store.create_customer(other).await.unwrap());
        assert_eq!(db.store.customer(&id).await.unwrap(), Some(made), "an existing customer stays as it is");
    }

    async fn a_customer_created_by_many_at_once_is_created_by_one(db: ready) {
        let tasks: Vec<_> = (0..8).map(|_| {
            let store = db.another();
            tokio::spawn(async move {
                let new = NewCustomer { id: customer("org_a"), currency: cny(), credit_limit: Money::ZERO };
                store.create_customer(new).await.unwrap()
            })
        }).collect();
        let mut created = 0;
        for task in tasks {
            created += usize::from(task.await.unwrap());
        }
        assert_eq!(created, 1);
    }

    async fn every_change_of_a_customer_raises_its_version(db: ready) {
        let id = db.customer("org_a").await;
        assert!(db.store.set_customer_status(&id, CustomerStatus::Suspended).await.unwrap());
        assert!(db.store.set_customer_mode(&id, Some(Mode::AllowNegative)).await.unwrap());
        assert!(db.store.set_credit_limit(&id, money("12.000000001")).await.unwrap());
        let changed = db.store.customer(&id).await.unwrap().unwrap();
        assert_eq!(
            (changed.status, changed.mode, changed.credit_limit, changed.version),
            (CustomerStatus::Suspended, Some(Mode::AllowNegative), money("12.000000001"), 4)
        );
        assert!(db.store.set_customer_mode(&id, None).await.unwrap());
        assert_eq!(db.store.customer(&id).await.unwrap().unwrap().mode, None);
        assert!(!db.store.set_customer_status(&customer("org_b"), CustomerStatus::Active).await.unwrap());
    }

    async fn ids_differ_in_case_and_may_hold_any_printable_character(db: ready) {
        let ids = ["org_a", "ORG_A", "org_a!", "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~", &"x".repeat(64)];
        for id in ids {
            db.customer(id).await;
        }
        for id in ids {
            assert_eq!(db.store.customer(&customer(id)).await.unwrap().unwrap().id.as_str(), id);
        }
    }

    async fn customers_are_walked_in_the_order_of_their_ids(db: ready) {
        for id in ["c", "a", "B", "b", "_"] {
            db.customer(id).await;
        }
        let mut tx = db.store.snapshot().await.unwrap();
        let mut seen: Vec<String> = Vec::new();
        loop {
            let after = seen.last().cloned().unwrap_or_default();
            let page = tx.customers_after(&after, 2).await.unwrap();
            if page.is_empty() {
                break;
            }
            seen.extend(page.into_iter().map(|row| row.unwrap().id.to_string()));
        }
        db.store.end_snapshot(tx).await;
        assert_eq!(seen, ["B", "_", "a", "b", "c"]);
    }

    async fn a_snapshot_does_not_see_what_is_committed_later(db: ready) {
        let id = db.customer("org_a").await;
        let mut tx = db.store.snapshot().await.unwrap();
        assert_eq!(tx.customers_after("", 10).await.unwrap()[0].as_ref().unwrap().version, 1);
        db.another().set_credit_limit(&id, money("1")).await.unwrap();
        db.customer("org_b").await;
        let seen = tx.customers_after("", 10).await.unwrap();
        assert_eq!((seen.len(), seen[0].as_ref().unwrap().version), (1, 1));
        db.store.end_snapshot(tx).await;
        assert_eq!(db.store.customer(&id).await.unwrap().unwrap().version, 2);
    }

    async fn a_change_never_sets_a_customers_time_back(db: ready) {
        let id = db.customer("org_a").await;
        let made = db.store.customer(&id).await.unwrap().unwrap();
        // As if the database's clock had been an hour ahead when something was booked.
        let ahead = made.updated_at.plus(std::time::Duration::from_hours(1));
        let set = format!("UPDATE customer_balance SET updated_at = {}", ahead.micros());
        assert_eq!(db.database.execute(&set).await, 1);
        db.store.set_credit_limit(&id, money("1")).await.unwrap();
        db.store.set_customer_status(&id, CustomerStatus::Suspended).await.unwrap();
        let changed = db.store.customer(&id).await.unwrap().unwrap();
        assert_eq!((changed.updated_at, changed.version), (ahead, made.version + 2));
        let set = format!("UPDATE customer_balance SET updated_at = {}", made.updated_at.micros() - 1);
        assert_eq!(db.database.execute(&set).await, 1);
        db.store.set_customer_mode(&id, None).await.unwrap();
        let changed = db.store.customer(&id).await.unwrap().unwrap();
        assert!(changed.updated_at >= made.updated_at, "otherwise it is the time of the change");
    }
}
