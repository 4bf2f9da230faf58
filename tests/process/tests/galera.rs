//! Three servers, each on a node of its own of one Galera cluster: nothing acknowledged is lost, on any node, and nothing
//! is booked twice, while nodes and servers are killed and cut off.
//!
//! Runs where SAGEAPI_TEST_GALERA=1 is set: `make test-galera` does each trouble once, `make chaos` many rounds.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use sageapi_process_tests::load::Load;
use sageapi_process_tests::waiting::until;
use sageapi_process_tests::{Installation, setting};
use sageapi_test_support::Galera;
use sageapi_test_support::client::Client;
use sageapi_test_support::database::TestDatabase;
use sageapi_test_support::server::ServerProcess;

const NODES: usize = 3;
const SOON: Duration = Duration::from_secs(60);

/// What happens to the running cluster.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// Nothing but three writing nodes: their transactions abort each other.
    None,
    /// kill -9 of a server, and a new one.
    KillServer,
    /// kill -9 of a node, which then comes back with all data copied to it.
    KillNode,
    /// A node loses the others for a while, and refuses everything.
    IsolateNode,
}

const ALL: &[Trouble] = &[Trouble::None, Trouble::KillServer, Trouble::KillNode, Trouble::IsolateNode];

/// A cluster, and a server for each node that goes to the next node when its own is away.
struct Stage {
    cluster: Galera,
    installation: Installation,
    servers: Vec<ServerProcess>,
}

fn wanted() -> bool {
    std::env::var("SAGEAPI_TEST_GALERA").is_ok_and(|wanted| wanted == "1")
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.unwrap()
}

impl Stage {
    async fn new() -> Self {
        let cluster = blocking(|| Galera::start(NODES)).await.unwrap();
        let installation = Installation::on(TestDatabase::on_server(&cluster.url(0)).await).await;
        let mut servers = Vec::new();
        for first in 0..NODES {
            let hosts =
                (0..NODES).map(|n| cluster.address((first + n) % NODES)).collect::<Vec<_>>().join(",");
            let url = installation.database.url().replace(&cluster.address(0), &hosts);
            servers.push(installation.server().env("SAGEAPI_DATABASE_URL", &url).start().await);
        }
        Self { cluster, installation, servers }
    }

    async fn happen(&mut self, trouble: Trouble, load: &Load, rng: &mut StdRng) {
        let which = rng.random_range(0..NODES);
        match trouble {
            Trouble::None => tokio::time::sleep(Duration::from_secs(10)).await,
            Trouble::KillServer => {
                self.servers[which].kill9();
                self.servers[which] = self.servers[which].again().start().await;
            }
            Trouble::KillNode => {
                self.cluster.kill(which).unwrap();
                load.flows().await;
                tokio::task::block_in_place(|| self.cluster.bring_back(which)).unwrap();
            }
            Trouble::IsolateNode => {
                tokio::task::block_in_place(|| self.cluster.isolate(which, true)).unwrap();
                load.flows().await;
                tokio::task::block_in_place(|| {
                    self.cluster.isolate(which, false)?;
                    self.cluster.await_joined(which)
                })
                .unwrap();
            }
        }
    }

    /// Every node has the same records, and on each the ledger adds up.
    async fn nodes_agree(&self) {
        let mut seen = Vec::new();
        for node in 0..NODES {
            let url = self.installation.database.url();
            let url = url.replace(&self.cluster.address(0), &self.cluster.address(node));
            seen.push(self.installation.verify_at(&url).await);
        }
        assert!(seen.iter().all(|records| *records == seen[0]), "records by node: {seen:?}");
    }
}

/// So many rounds, or as many as are asked for, of these troubles in turn.
async fn trouble(customers: usize, rounds: u64, troubles: &[Trouble]) {
    if !wanted() {
        return;
    }
    let rounds = setting("SAGEAPI_TEST_GALERA_ROUNDS", rounds);
    let seed = setting("SAGEAPI_TEST_CHAOS_SEED", 1);
    let mut rng = StdRng::seed_from_u64(seed);
    let mut stage = Stage::new().await;
    let key = Load::key(&stage.installation, customers).await;
    let load = Load::start(&stage.servers, key, customers, &mut rng);
    for round in 0..rounds {
        load.flows().await;
        let trouble = troubles[usize::try_from(round).unwrap() % troubles.len()];
        stage.happen(trouble, &load, &mut rng).await;
    }
    load.flows().await;
    let what = format!("Galera, {NODES} nodes, {customers} customers, {rounds} of {troubles:?}, seed {seed}");
    load.settle(&stage.installation, &stage.servers, &what).await;
    stage.nodes_agree().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_customer_booked_on_three_nodes_at_once_keeps_every_acknowledged_booking() {
    trouble(1, 1, ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hundred_customers_booked_on_three_nodes_at_once_keep_every_acknowledged_booking() {
    trouble(100, 1, ALL).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_and_servers_that_are_killed_or_cut_off_lose_and_double_nothing() {
    trouble(8, 3, &ALL[1..]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_leaves_a_node_that_lost_the_others_and_says_so() {
    if !wanted() {
        return;
    }
    let stage = Stage::new().await;
    let key = Load::key(&stage.installation, 1).await;
    let client: Client = key.client(&stage.servers[0].http());
    let charge = async |transno: &str| {
        let body = serde_json::json!({"transno": transno, "customer_id": Load::customer(0), "amount": "1"});
        client.post("/accounting", &body).await
    };
    assert_eq!(charge("before").await.status, 201);
    tokio::task::block_in_place(|| stage.cluster.isolate(0, true)).unwrap();
    let booked = || async {
        let answer = charge("during").await;
        assert!(matches!(answer.status.as_u16(), 200 | 201 | 503), "{answer}");
        (answer.status != 503).then_some(())
    };
    until("another node is written to", SOON, booked).await;
    tokio::task::block_in_place(|| stage.cluster.isolate(0, false)).unwrap();
}
