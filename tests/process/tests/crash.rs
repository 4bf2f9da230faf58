//! kill -9 under load, again and again: nothing acknowledged is lost, nothing is booked twice.
//!
//! Longer: SAGEAPI_TEST_CRASH_ROUNDS=200; other moments: SAGEAPI_TEST_CRASH_SEED=7.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sageapi_process_tests::load::{CUSTOMERS, Load};
use sageapi_process_tests::{Installation, setting};
use sageapi_test_support::database::{Kind, wanted};

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_sqlite_that_is_killed_under_load_loses_and_doubles_nothing() {
    if wanted(Kind::Sqlite) {
        crash(Kind::Sqlite, 1).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_that_are_killed_under_load_lose_and_double_nothing() {
    if wanted(Kind::MySql) {
        crash(Kind::MySql, 2).await;
    }
}

async fn crash(kind: Kind, servers: usize) {
    let (rounds, seed) = (setting("SAGEAPI_TEST_CRASH_ROUNDS", 5), setting("SAGEAPI_TEST_CRASH_SEED", 1));
    let mut rng = StdRng::seed_from_u64(seed);
    let installation = Installation::new(kind).await;
    let key = Load::key(&installation, CUSTOMERS).await;
    let mut running = Vec::new();
    for _ in 0..servers {
        running.push(installation.server().start().await);
    }
    let load = Load::start(&running, key, CUSTOMERS, &mut rng);
    for _ in 0..rounds {
        // Every server's clients are at work again, then a moment of its own.
        load.flows().await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..400))).await;
        // Now one of them, now all of them.
        let victims = if rng.random_bool(0.3) {
            0..servers
        } else {
            let one = rng.random_range(0..servers);
            one..one + 1
        };
        for server in &mut running[victims.clone()] {
            server.kill9();
        }
        for server in &mut running[victims] {
            let again = server.again().start().await;
            *server = again;
        }
    }
    let what = format!("{kind}, {servers} server(s), {rounds} rounds, seed {seed}");
    load.settle(&installation, &running, &what).await;
}
