//! A database of several hosts: which one is used, how soon one that fails is left, and what clients hear meanwhile.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::time::Duration;

use sageapi_process_tests::Installation;
use sageapi_process_tests::proxy::{Proxy, Wire};
use sageapi_process_tests::waiting::until;
use sageapi_server::config::DatabaseTarget;
use sageapi_test_support::client::{Answer, Client};
use sageapi_test_support::database::{Kind, TestDatabase, wanted};
use sageapi_test_support::{Mysqld, Vendor};
use serde_json::json;

const CUSTOMER: &str = "org_hosts";
const SOON: Duration = Duration::from_secs(60);

/// A database, and so many wires to it.
async fn wired(wires: usize) -> (Installation, Vec<Proxy>, String) {
    let installation = Installation::new(Kind::MySql).await;
    let DatabaseTarget::Mysql { hosts, .. } = installation.database.target() else { panic!("no MySQL") };
    let host = hosts[0].to_string();
    let mut proxies = Vec::new();
    for _ in 0..wires {
        proxies.push(Proxy::to(host.parse().expect("an address of this machine")).await);
    }
    let names: Vec<_> = proxies.iter().map(|proxy| proxy.address().to_string()).collect();
    let url = installation.database.url().replace(&host, &names.join(","));
    (installation, proxies, url)
}

async fn charge(client: &Client, transno: &str) -> Answer {
    let body = json!({"transno": transno, "customer_id": CUSTOMER, "amount": "1"});
    client.post("/accounting", &body).await
}

async fn database_status(client: &Client) -> String {
    let health = client.get("/health").await;
    health.body["data"]["database"]["status"].as_str().expect("a word").to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_falls_silent_is_left_and_health_says_away_meanwhile() {
    if !wanted(Kind::MySql) {
        return;
    }
    let (installation, wires, url) = wired(2).await;
    let key = installation.seed(&[CUSTOMER.to_owned()], "100").await;
    let server = installation.server().env("SAGEAPI_DATABASE_URL", &url).start().await;
    let client = key.client(&server.http());
    assert_eq!(charge(&client, "before").await.status, 201);

    wires[0].set(Wire::Held);
    let away = || async { (database_status(&client).await == "away").then_some(()) };
    until("health says that the database is away", SOON, away).await;
    let booked = || async {
        let answer = charge(&client, "during").await;
        assert!(matches!(answer.status.as_u16(), 200 | 201 | 503), "{answer}");
        (answer.status != 503).then_some(())
    };
    // Ten seconds are promised.
    until("the other host is used", Duration::from_secs(20), booked).await;
    let ok = || async { (database_status(&client).await == "ok").then_some(()) };
    until("health says that the database is back", SOON, ok).await;
    assert_eq!(installation.verify().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_every_host_refuses_a_booking_is_told_at_once_that_the_database_is_away() {
    if !wanted(Kind::MySql) {
        return;
    }
    let (installation, wires, url) = wired(2).await;
    let key = installation.seed(&[CUSTOMER.to_owned()], "100").await;
    let server = installation.server().env("SAGEAPI_DATABASE_URL", &url).start().await;
    let client = key.client(&server.http());
    assert_eq!(charge(&client, "before").await.status, 201);

    for wire in &wires {
        wire.set(Wire::Cut);
    }
    for transno in ["first", "second"] {
        // Two seconds are promised; the request's own time is thirty.
        let refused = tokio::time::timeout(Duration::from_secs(10), charge(&client, transno)).await;
        let refused = refused.expect("a prompt answer");
        assert_eq!((refused.status.as_u16(), &refused.body["code"]), (503, &json!("store_unavailable")));
    }
    let away = || async { (database_status(&client).await == "away").then_some(()) };
    until("health says that the database is away", SOON, away).await;
    wires[1].set(Wire::Open);
    let booked = || async { (charge(&client, "second").await.status == 201).then_some(()) };
    until("bookings go on over the second host", SOON, booked).await;
    assert_eq!(installation.verify().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_read_only_host_is_passed_over_for_one_that_can_be_written_to() {
    if !wanted(Kind::MySql) || std::env::var("SAGEAPI_TEST_DATABASES").is_ok_and(|kinds| kinds == "mysql") {
        return;
    }
    let start = || tokio::task::spawn_blocking(|| Mysqld::start_in_memory(Vendor::MariaDb).unwrap());
    let (replica, primary) = (start().await.unwrap(), start().await.unwrap());
    let installation = Installation::on(TestDatabase::on_server(primary.url()).await).await;
    let key = installation.seed(&[CUSTOMER.to_owned()], "100").await;
    // The same user and database on both, as replication would have it.
    let DatabaseTarget::Mysql { user, password, name, .. } = installation.database.target() else {
        panic!("no MySQL")
    };
    let copy = TestDatabase::on_server(replica.url()).await;
    copy.execute(&format!("CREATE DATABASE {name}")).await;
    copy.execute(&format!("ALTER USER '{user}'@'127.0.0.1' IDENTIFIED BY '{}'", password.expose())).await;
    let url = format!("{}/{name}", primary.url());
    let hosts = format!("{},{}", replica.address(), primary.address());
    let url = url.replace(&primary.address(), &hosts);
    let replica_url = primary.url().replace(&primary.address(), &replica.address());
    TestDatabase::on_server(&replica_url).await.execute("SET GLOBAL read_only = 1").await;

    let server = installation.server().env("SAGEAPI_DATABASE_URL", &url).start().await;
    let client = key.client(&server.http());
    let booked = || async { (charge(&client, "one").await.status == 201).then_some(()) };
    until("the primary is written to", SOON, booked).await;
    assert_eq!(database_status(&client).await, "ok");
}
