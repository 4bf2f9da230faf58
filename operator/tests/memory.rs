//! What the operator's start costs in memory: in clusters of many resources, and of many Secrets that are none of its
//! business. The API server is simulated, so that the cluster can be of any size.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is code of tests")]

#[path = "memory/api_server.rs"]
mod api_server;
#[path = "memory/objects.rs"]
mod objects;

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use api_server::{ApiServer, Size};

/// Never reached by a test that passes.
const LONG: Duration = Duration::from_secs(300);
const MIB: u64 = 1 << 20;

/// An operator that has just filled its caches.
struct Filled {
    /// Most memory that it ever had resident, its program included.
    peak: u64,
    /// What it has now.
    resident: u64,
}

/// Starts an operator beside a cluster of this size, and ends it once it is ready.
async fn fill(size: Size) -> (Filled, ApiServer) {
    let server = ApiServer::start(size).await;
    let folder = tempfile::tempdir().unwrap();
    let kubeconfig = folder.path().join("kubeconfig");
    std::fs::write(&kubeconfig, server.kubeconfig()).unwrap();
    let admin = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let operator = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_sageapi-operator")])
        .args(["run", "--cluster", "test", "--namespace", "system", "--log-level", "error"])
        .arg(format!("--admin-listen={admin}"))
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("KUBECONFIG", &kubeconfig)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let operator = Ended(operator);
    let ready = async {
        while !api_server::answers(admin, "/readyz").await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(LONG, ready).await.expect("the operator fills its caches");
    let status = std::fs::read_to_string(format!("/proc/{}/status", operator.0.id())).unwrap();
    let of = |name: &str| -> u64 {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim_matches([':', '\t', ' ', 'k', 'B']).parse::<u64>().unwrap() * 1024
    };
    (Filled { peak: of("VmHWM"), resident: of("VmRSS") }, server)
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn from_environment(name: &str, usual: usize) -> usize {
    std::env::var(name).map_or(usual, |value| value.parse().unwrap())
}

/// `SAGEAPI_TEST_MEMORY_RESOURCES` and `SAGEAPI_TEST_MEMORY_SECRETS` give the cluster another size.
#[tokio::test(flavor = "multi_thread")]
async fn the_start_in_a_large_cluster_takes_little_more_memory_than_the_cluster_itself() {
    let resources = from_environment("SAGEAPI_TEST_MEMORY_RESOURCES", 500);
    let foreign = from_environment("SAGEAPI_TEST_MEMORY_SECRETS", 5000);
    let (nothing, _) = fill(Size { resources: 0, foreign: 0 }).await;
    let (alone, _) = fill(Size { resources, foreign: 0 }).await;
    let (whole, server) = fill(Size { resources, foreign }).await;

    let shown =
        |filled: &Filled| format!("peak {} MiB, then {} MiB", filled.peak / MIB, filled.resident / MIB);
    eprintln!("no resources: {}", shown(&nothing));
    eprintln!("{resources} resources, {} children: {}", resources * objects::CHILDREN, shown(&alone));
    eprintln!("and {foreign} foreign Secrets: {}", shown(&whole));

    // 80 MiB with 1,000 resources, the program's own share left out: it is a debug build's.
    let most = 10 * MIB + 60 * MIB * u64::try_from(resources).unwrap() / 1000;
    let grown = alone.peak.saturating_sub(nothing.peak);
    assert!(grown < most, "{} MiB more than with none", grown / MIB);
    let for_foreign = whole.peak.saturating_sub(alone.peak);
    assert!(for_foreign < 10 * MIB, "foreign Secrets cost {} MiB", for_foreign / MIB);

    let seen = server.seen();
    assert!(seen.largest_page <= 50, "a page of {} objects", seen.largest_page);
    assert!(seen.most_at_once <= 2, "{} lists at a time", seen.most_at_once);
    let listed = objects::CHILDREN + 1 + objects::SECRETS;
    assert_eq!(
        seen.objects,
        resources * listed + foreign,
        "each is listed once, our own Secrets by metadata too"
    );
}
