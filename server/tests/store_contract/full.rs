use std::time::Duration;

use sageapi_server::store::{NonceUse, ReplayTable};
use sageapi_test_support::database::{Kind, wanted};

use crate::Db;

/// On SQLite it takes a full disk: see the tests with processes.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_table_is_noted_until_writes_have_succeeded_for_some_seconds() {
    if !wanted(Kind::MySql) {
        return;
    }
    let db = Db::ready(Kind::MySql).await;
    let mut own = db.database.mysql().await;
    for sql in ["SET SESSION max_heap_table_size = 16384", "ALTER TABLE webhook_ids ENGINE = MEMORY"] {
        sqlx::raw_sql(sql).execute(&mut own).await.unwrap();
    }
    let now = db.store.now().await.unwrap();
    let mut number = 0;
    let error = loop {
        let entry = NonceUse::new("filling", &number.to_string(), now);
        match db.store.first_use(ReplayTable::WebhookIds, entry).await {
            Ok(_) => assert!(!db.store.is_full()),
            Err(error) => break error,
        }
        number += 1;
        assert!(number < 10_000, "it never fills");
    };
    assert!(error.is_unavailable() && db.store.is_full(), "{error}");
    db.store.now().await.unwrap();
    assert!(db.store.is_full(), "a read says nothing about room");
    assert!(db.store.try_room().await.is_err() && db.store.is_full());
    db.database.execute("DELETE FROM webhook_ids").await;
    db.store.try_room().await.unwrap();
    assert!(db.store.is_full(), "a table was full a moment ago, and this write may have been to another one");
    let clears = async {
        while db.store.is_full() {
            tokio::time::sleep(Duration::from_millis(200)).await;
            db.store.try_room().await.unwrap();
        }
    };
    tokio::time::timeout(Duration::from_mins(1), clears).await.expect("it clears by itself");
}
