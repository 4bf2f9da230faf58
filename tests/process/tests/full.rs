//! A database on a full disk: what /health says, and that it goes over by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::time::Duration;

use sageapi_process_tests::Installation;
use sageapi_process_tests::disk::Disk;
use sageapi_process_tests::waiting::until;
use sageapi_test_support::client::Client;
use sageapi_test_support::database::{Kind, TestDatabase, wanted};
use serde_json::json;

const SOON: Duration = Duration::from_secs(30);
const CUSTOMER: &str = "org_full";

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_health_says_full_until_there_is_room_again() {
    if !wanted(Kind::Sqlite) {
        return;
    }
    let Some(disk) = Disk::mount(64) else { return };
    let installation = Installation::on(TestDatabase::sqlite_in(disk.folder())).await;
    let key = installation.seed(&[CUSTOMER.to_owned()], "10").await;
    let server = installation.server().start().await;
    let (client, probe) = (key.client(&server.http()), Client::new("", "", ""));
    let health = async || {
        let health = probe.fetch(&format!("{}/api/v1/health", server.http())).await;
        (health.status.as_u16(), health.data()["status"].clone(), health.data()["database"]["status"].clone())
    };
    let metric = async || {
        let metrics = probe.fetch(&format!("{}/metrics", server.admin())).await.text();
        metrics.lines().find(|line| line.starts_with("sageapi_store_full ")).unwrap().to_owned()
    };
    assert_eq!(health().await, (200, json!("ok"), json!("ok")));
    assert_eq!(metric().await, "sageapi_store_full 0");

    disk.fill();
    let mut number = 0;
    let mut refused = async || {
        // The log may have some room left within its file.
        number += 1;
        let charge = json!({"transno": format!("T-{number}"), "customer_id": CUSTOMER, "kind": "charge", "amount": "0.001"});
        (client.post("/accounting", &charge).await.status == 503).then_some(())
    };
    let mut attempts = 0;
    while refused().await.is_none() {
        attempts += 1;
        assert!(attempts < 5000, "the disk never gets full");
    }
    assert_eq!(health().await, (200, json!("degraded"), json!("full")));
    assert_eq!(metric().await, "sageapi_store_full 1");
    let balance = client.get(&format!("/balance?customer_id={CUSTOMER}")).await;
    assert_eq!(balance.status, 200, "reads go on");
    assert_eq!(probe.fetch(&format!("{}/readyz", server.admin())).await.status, 200);

    disk.free();
    // Nobody books anything meanwhile.
    let well = || async { (health().await.1 == "ok").then_some(()) };
    until("it is ok again", SOON, well).await;
    assert_eq!(metric().await, "sageapi_store_full 0");
    assert!(refused().await.is_none(), "it books again");
    installation.verify().await;
}
