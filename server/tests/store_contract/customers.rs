use sageapi_server::model::{Actor, Customer, CustomerStatus, Mode, Money};
use sageapi_server::store::{NewCustomer, NotChanged};

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

    async fn a_change_raises_the_version_of_the_settings_and_is_audited_and_one_that_alters_nothing_is_none(db: ready) {
        let id = db.customer("org_a").await;
        let versions = async || {
            let customer = db.store.customer(&id).await.unwrap().unwrap();
            (customer.version, customer.settings_version)
        };
        assert_eq!(versions().await, (1, 1));
        for _ in 0..2 {
            assert!(db.store.set_customer_status(&id, CustomerStatus::Suspended).await.unwrap());
            assert_eq!(versions().await, (2, 2));
        }
        let by_command = "SELECT COUNT(*) FROM audit_log WHERE actor_kind = 'command_line' AND object_id = 'org_a'";
        assert_eq!(db.database.int(by_command).await, 2, "the creation and one change");
        let diff = "SELECT COUNT(*) FROM audit_log WHERE action = 'update' AND customer_id = 'org_a' AND \
                    diff = '{\"before\":{\"status\":\"active\"},\"after\":{\"status\":\"suspended\"}}'";
        assert_eq!(db.database.int(diff).await, 1);
    }

    async fn a_change_based_on_an_older_version_is_refused(db: ready) {
        let id = db.customer("org_a").await;
        let by = Actor::command_line();
        let limit = |limit: &str| {
            let limit = money(limit);
            move |customer: &mut Customer| customer.credit_limit = limit
        };
        let changed = db.store.change_customer(&id, Some(1), &by, limit("1")).await.unwrap();
        assert_eq!((changed.credit_limit, changed.settings_version), (money("1"), 2));
        let stale = db.store.change_customer(&id, Some(1), &by, limit("2")).await;
        assert!(matches!(stale, Err(NotChanged::Stale)));
        let unknown = db.store.change_customer(&customer("org_b"), Some(1), &by, limit("2")).await;
        assert!(matches!(unknown, Err(NotChanged::NotFound)));
        assert_eq!(db.store.customer(&id).await.unwrap().unwrap().credit_limit, money("1"));
    }

    async fn of_changes_at_once_that_are_based_on_one_version_one_is_made(db: ready) {
        let id = db.customer("org_a").await;
        let tasks: Vec<_> = (1..=8).map(|n| {
            let (store, id) = (db.another(), id.clone());
            tokio::spawn(async move {
                let limit = money(&n.to_string());
                let set = move |customer: &mut Customer| customer.credit_limit = limit;
                store.change_customer(&id, Some(1), &Actor::command_line(), set).await.is_ok()
            })
        }).collect();
        let mut made = 0;
        for task in tasks {
            made += usize::from(task.await.unwrap());
        }
        assert_eq!((made, db.store.customer(&id).await.unwrap().unwrap().settings_version), (1, 2));
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
        db.store.set_customer_mode(&id, Some(Mode::Strict)).await.unwrap();
        let changed = db.store.customer(&id).await.unwrap().unwrap();
        assert!(changed.updated_at >= made.updated_at, "otherwise it is the time of the change");
    }
}
