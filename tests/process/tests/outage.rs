//! A running server whose database goes away: reads go on from the caches, writes are refused, and both come back
//! by themselves.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::time::Duration;

use sageapi_process_tests::Installation;
use sageapi_process_tests::proxy::{Proxy, Wire};
use sageapi_process_tests::waiting::until;
use sageapi_server::config::DatabaseTarget;
use sageapi_test_support::database::{Kind, wanted};
use serde_json::json;

const CUSTOMER: &str = "org_outage";
const SOON: Duration = Duration::from_secs(60);

async fn outage(wire: Wire) {
    if !wanted(Kind::MySql) {
        return;
    }
    let mut installation = Installation::new(Kind::MySql).await;
    installation.set("SAGEAPI_CACHE_TTL", "1s");
    // The key and the balance are each waited for a second, on a machine that may be busy.
    installation.set("SAGEAPI_SERVER_REQUEST_TIMEOUT", "6s");
    let key = installation.seed(&[CUSTOMER.to_owned()], "100").await;
    let DatabaseTarget::Mysql { hosts, .. } = installation.database.target() else { panic!("no MySQL") };
    let host = hosts[0].to_string();
    let proxy = Proxy::to(host.parse().expect("an address of this machine")).await;
    let url = installation.database.url().replace(&host, &proxy.address().to_string());
    let server = installation.server().env("SAGEAPI_DATABASE_URL", &url).start().await;
    let client = key.client(&server.http());
    let charge = |transno: &str| json!({"transno": transno, "customer_id": CUSTOMER, "amount": "1"});
    let balance = || client.get("/balance?customer_id=org_outage");

    assert_eq!(client.post("/accounting", &charge("before")).await.status, 201);
    let before = balance().await;
    assert_eq!((&before.data()["balance"], before.data().get("stale")), (&json!("99"), None));

    proxy.set(wire);
    // Several ask at once, and one of them hangs up: it takes nothing from the others.
    let stale = || async {
        let impatient = tokio::time::timeout(Duration::from_millis(20), balance());
        let (_, one, two) = tokio::join!(impatient, balance(), balance());
        for answer in [&one, &two] {
            assert_eq!((answer.status.as_u16(), &answer.data()["balance"]), (200, &json!("99")), "{answer}");
        }
        [one, two].iter().all(|answer| answer.data()["stale"] == true).then_some(())
    };
    // Over a new wire reads are soon fresh.
    if wire != Wire::Replaced {
        until("balances are served stale", SOON, stale).await;
    }
    let refused = tokio::time::timeout(SOON, client.post("/accounting", &charge("during"))).await;
    let refused = refused.expect("an answer within the request's time");
    assert_eq!(refused.status, 503, "{refused}");

    proxy.set(Wire::Open);
    let booked = || async {
        let answer = client.post("/accounting", &charge("during")).await;
        matches!(answer.status.as_u16(), 200 | 201).then_some(())
    };
    until("bookings go on", SOON, booked).await;
    let fresh = || async {
        let answer = balance().await;
        (answer.data()["balance"] == "98" && answer.data().get("stale").is_none()).then_some(())
    };
    until("the balance is fresh again", SOON, fresh).await;
    // One credit and two charges: what was refused was not booked beside.
    assert_eq!(installation.verify().await, 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_refuses_reads_go_on_and_writes_are_refused() {
    outage(Wire::Cut).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_hangs_reads_go_on_and_writes_are_refused() {
    outage(Wire::Held).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_broke_without_a_sign_are_given_up_and_bookings_go_on_over_new_ones() {
    outage(Wire::Replaced).await;
}
