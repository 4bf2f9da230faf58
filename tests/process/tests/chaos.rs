//! Everything that can go wrong under load, again and again: nothing acknowledged is lost, nothing is booked twice.
//!
//! Each trouble once in `make test`; `make chaos` does SAGEAPI_TEST_CHAOS_ROUNDS=100 of them; other moments:
//! SAGEAPI_TEST_CHAOS_SEED=7. Narrowed to SAGEAPI_TEST_DATABASES=mysql it is Oracle MySQL that two servers share.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sageapi_process_tests::disk::Disk;
use sageapi_process_tests::load::{CUSTOMERS, Load};
use sageapi_process_tests::proxy::{Proxy, Wire};
use sageapi_process_tests::waiting::until;
use sageapi_process_tests::{Installation, setting};
use sageapi_test_support::database::{self, Kind, TestDatabase, wanted};
use sageapi_test_support::server::ServerProcess;
use sageapi_test_support::{Mysqld, Vendor};
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(60);
/// Of the disk that is filled up, in MiB: many rounds of records, and the log beside them.
const DISK: usize = 256;

/// What happens to a running installation.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// kill -9 of a server, and a new one.
    KillServer,
    /// SIGTERM of a server under load, and a new one.
    TermServer,
    /// kill -9 of the database.
    KillDatabase,
    /// The wires to the database are cut for a moment.
    CutWires,
    /// COMMITs arrive, their answers do not.
    LoseCommits,
    /// The disk is full for a while.
    FillDisk,
}

/// What there is to do it to.
struct Stage {
    servers: Vec<ServerProcess>,
    database: Option<Mysqld>,
    wires: Vec<Proxy>,
    disk: Option<Disk>,
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_on_sqlite_loses_and_doubles_nothing_whatever_happens() {
    if !wanted(Kind::Sqlite) {
        return;
    }
    let disk = Disk::mount(DISK);
    let mut troubles = vec![Trouble::KillServer, Trouble::TermServer];
    troubles.extend(disk.is_some().then_some(Trouble::FillDisk));
    let folder = disk.as_ref().map_or_else(|| TempDir::new().unwrap(), Disk::folder);
    let installation = Installation::on(TestDatabase::sqlite_in(folder)).await;
    let servers = vec![installation.server().start().await];
    let stage = Stage { servers, database: None, wires: Vec::new(), disk };
    chaos(&installation, stage, &troubles, "SQLite").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_on_one_database_lose_and_double_nothing_whatever_happens() {
    if !wanted(Kind::MySql) {
        return;
    }
    let mut troubles =
        vec![Trouble::KillServer, Trouble::TermServer, Trouble::KillDatabase, Trouble::CutWires];
    let (vendor, on) = match std::env::var(database::DATABASES).as_deref() {
        Ok("mysql") => (Vendor::MySql, "Oracle MySQL, 2 servers"),
        _ => (Vendor::MariaDb, "MariaDB, 2 servers"),
    };
    if vendor == Vendor::MariaDb {
        // Oracle MySQL encrypts its wires by itself: nobody on the way sees a COMMIT there.
        troubles.push(Trouble::LoseCommits);
    }
    // A database of its own, on disk, because it is killed.
    let database = tokio::task::spawn_blocking(move || Mysqld::start(vendor)).await.unwrap().unwrap();
    let installation = Installation::on(TestDatabase::on_server(database.url()).await).await;
    let (mut servers, mut wires) = (Vec::new(), Vec::new());
    for _ in 0..2 {
        let address = database.address();
        let wire = Proxy::to(address.parse().unwrap()).await;
        let url = installation.database.url().replace(&address, &wire.address().to_string());
        servers.push(installation.server().env("SAGEAPI_DATABASE_URL", &url).start().await);
        wires.push(wire);
    }
    let stage = Stage { servers, database: Some(database), wires, disk: None };
    chaos(&installation, stage, &troubles, on).await;
}

async fn chaos(installation: &Installation, mut stage: Stage, troubles: &[Trouble], on: &str) {
    let rounds = setting("SAGEAPI_TEST_CHAOS_ROUNDS", troubles.len() as u64);
    let seed = setting("SAGEAPI_TEST_CHAOS_SEED", 1);
    let mut rng = StdRng::seed_from_u64(seed);
    let key = Load::key(installation, CUSTOMERS).await;
    let load = Load::start(&stage.servers, key, CUSTOMERS, &mut rng);
    for round in 0..rounds {
        load.flows().await;
        tokio::time::sleep(Duration::from_millis(rng.random_range(0..300))).await;
        let trouble = troubles[usize::try_from(round).unwrap() % troubles.len()];
        stage = happen(stage, trouble, &load, &mut rng).await;
    }
    load.flows().await;
    load.settle(installation, &stage.servers, &format!("{on}, {rounds} rounds of {troubles:?}, seed {seed}"))
        .await;
}

async fn happen(mut stage: Stage, trouble: Trouble, load: &Load, rng: &mut StdRng) -> Stage {
    let which = rng.random_range(0..stage.servers.len());
    match trouble {
        Trouble::KillServer => {
            stage.servers[which].kill9();
            stage.servers[which] = stage.servers[which].again().start().await;
        }
        Trouble::TermServer => {
            stage.servers[which].sigterm();
            let ended = stage.servers[which].wait().await;
            assert!(ended.success(), "SIGTERM under load ends in {ended}");
            stage.servers[which] = stage.servers[which].again().start().await;
        }
        Trouble::KillDatabase => {
            let mut database = stage.database.take().expect("a database of our own");
            stage.database = Some(
                tokio::task::spawn_blocking(move || {
                    database.crash().unwrap();
                    database
                })
                .await
                .unwrap(),
            );
        }
        Trouble::CutWires => {
            for wire in &stage.wires {
                wire.set(Wire::Cut);
            }
            tokio::time::sleep(Duration::from_millis(rng.random_range(0..500))).await;
            for wire in &stage.wires {
                wire.set(Wire::Open);
            }
        }
        Trouble::LoseCommits => {
            let wire = &stage.wires[which];
            let before = wire.swallowed();
            wire.swallow_commits(2);
            let lost = || async { (wire.swallowed() >= before + 3).then_some(()) };
            until("COMMITs lose their answers", SOON, lost).await;
            wire.swallow_commits(0);
        }
        Trouble::FillDisk => {
            let disk = stage.disk.as_ref().expect("a disk of our own");
            let before = load.refusals();
            disk.fill();
            let refused = || async { (load.refusals() > before).then_some(()) };
            until("the server says that it cannot book", SOON, refused).await;
            disk.free();
        }
    }
    stage
}
