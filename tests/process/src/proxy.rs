//! A wire between a server and its database that can be cut, held, or cut just after a COMMIT went through.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// How the wire behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    /// Everything passes.
    Open,
    /// Open connections are cut, new ones are closed at once.
    Cut,
    /// Nothing passes, and nothing is closed.
    Held,
    /// As if the way to the database had been replaced: nothing passes ever again over connections that are open, and
    /// nothing is closed; new ones pass.
    Replaced,
}

/// The proxy; gone when dropped.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    wire: watch::Sender<Wire>,
    commits: Arc<Commits>,
    task: JoinHandle<()>,
}

/// Which COMMITs lose their answer: every n-th, 0 for none; and whether their connections stay open.
#[derive(Debug, Default)]
struct Commits {
    every: AtomicU64,
    held: AtomicBool,
    seen: AtomicU64,
    swallowed: AtomicU64,
}

/// What a transaction sends last contains: COMMIT alone in the text protocol, or after other statements.
const COMMITS: [&[u8]; 2] = [b"\x03COMMIT", b";COMMIT;"];
/// The database has answered all of it when it has been silent for so long.
const SILENCE: Duration = Duration::from_millis(50);

impl Proxy {
    /// An open wire to this address.
    pub async fn to(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (wire, state) = watch::channel(Wire::Open);
        let commits = Arc::new(Commits::default());
        let ours = commits.clone();
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                if *state.borrow() != Wire::Cut {
                    tokio::spawn(connection(client, target, state.clone(), ours.clone()));
                }
            }
        });
        Self { address, wire, commits, task }
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Makes the wire behave so from now on.
    pub fn set(&self, wire: Wire) {
        self.wire.send_replace(wire);
    }

    /// From now on every n-th COMMIT reaches the database, but its answer does not come back: the connection is
    /// cut instead. 0 ends that.
    pub fn swallow_commits(&self, every: u64) {
        self.commits.every.store(every, Ordering::Relaxed);
    }

    /// From now on every COMMIT reaches the database, and the sender waits for its answer for ever.
    pub fn hold_commits(&self) {
        self.commits.held.store(true, Ordering::Relaxed);
        self.swallow_commits(1);
    }

    /// COMMITs whose answer did not come back.
    pub fn swallowed(&self) -> u64 {
        self.commits.swallowed.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        // Connections look at this, and end.
        self.wire.send_replace(Wire::Cut);
    }
}

impl Commits {
    /// Whether this packet is a COMMIT whose answer is to be lost.
    fn loses(&self, packet: &[u8]) -> bool {
        let every = self.every.load(Ordering::Relaxed);
        every > 0
            && COMMITS.iter().any(|commit| packet.windows(commit.len()).any(|bytes| bytes == *commit))
            && (self.seen.fetch_add(1, Ordering::Relaxed) + 1).is_multiple_of(every)
    }
}

async fn connection(
    mut client: TcpStream,
    target: SocketAddr,
    mut state: watch::Receiver<Wire>,
    commits: Arc<Commits>,
) {
    let Ok(mut server) = TcpStream::connect(target).await else { return };
    let (mut up, mut down) = (vec![0; 1 << 16], vec![0; 1 << 16]);
    let born = *state.borrow();
    let mut forgotten = false;
    // Once set, what the database answers is thrown away and the connection ends.
    let mut losing = false;
    loop {
        let wire = *state.borrow_and_update();
        if wire == Wire::Cut {
            return;
        }
        forgotten |= wire == Wire::Replaced && born != Wire::Replaced;
        let passes = !forgotten && wire != Wire::Held;
        tokio::select! {
            changed = state.changed() => if changed.is_err() { return },
            () = tokio::time::sleep(SILENCE), if losing => {
                commits.swallowed.fetch_add(1, Ordering::Relaxed);
                if !commits.held.load(Ordering::Relaxed) {
                    return;
                }
                (losing, forgotten) = (false, true);
            }
            read = client.read(&mut up), if passes => {
                let Ok(count @ 1..) = read else { return };
                losing |= commits.loses(&up[..count]);
                if server.write_all(&up[..count]).await.is_err() {
                    return;
                }
            }
            read = server.read(&mut down), if passes => {
                let Ok(count @ 1..) = read else { return };
                if losing {
                    continue;
                }
                if client.write_all(&down[..count]).await.is_err() {
                    return;
                }
            }
        }
    }
}
