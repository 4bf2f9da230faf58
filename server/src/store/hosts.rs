//! The hosts of a MySQL-compatible database: which of them is used, and when it is left for another.
//!
//! One task looks at the host in use. All connections of an instance are to one host; when it is left they all end, what
//! runs on them included, and new ones are made to the next host that can be written to.

mod look;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::{BoxFuture, join, join_all};
use sqlx::mysql::{MySqlConnectOptions, MySqlPoolOptions};
use sqlx::pool::PoolConnection;
use sqlx::{MySql, MySqlPool};
use tokio::sync::{Notify, watch};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use self::look::{Look, Lookout};
use super::ACQUIRE_TIMEOUT;
use super::error::Error;

/// How often the host in use is looked at, and the others while none can be used.
const CHECK_INTERVAL: Duration = Duration::from_secs(1);
/// The same while an instance starts, or after a failure that somebody met.
const CHECK_INTERVAL_STARTING: Duration = Duration::from_millis(100);
/// So many looks while an instance starts, and the database is away: shorter than one waits for a connection.
const STARTING_LOOKS: u32 = 30;
/// So many looks that are refused (password, number of connections), and another host is used if it can be.
const MAX_REFUSING_LOOKS: u32 = 3;
/// So many looks without an answer, of [`look::TIMEOUT`] each, and the host is left: within ten seconds of its last sign.
const MAX_SILENT_LOOKS: u32 = 3;

/// A host and how to connect to it.
#[derive(Debug, Clone)]
pub(super) struct Host {
    /// For people.
    pub name: String,
    pub options: MySqlConnectOptions,
}

/// Connections of a pool, at most.
#[derive(Debug, Clone, Copy)]
pub(super) struct PoolSizes {
    pub readers: u32,
    pub writers: u32,
}

/// The host in use, until it is left.
pub(super) struct Node {
    host: usize,
    name: String,
    pub options: MySqlConnectOptions,
    /// Writers have a pool of their own: a connection belongs to the threads that it was made on, and theirs are not
    /// those of requests.
    pub readers: MySqlPool,
    pub writers: MySqlPool,
    left: CancellationToken,
}

impl Node {
    /// Whether the host was left.
    pub fn is_left(&self) -> bool {
        self.left.is_cancelled()
    }

    /// Waits for an answer of the host until it is left.
    pub fn answer<'a, T: 'a>(
        &'a self,
        asked: impl Future<Output = T> + Send + 'a,
    ) -> impl Future<Output = Result<T, Error>> + Send + 'a {
        // In a box: what asks the database makes deep and large futures of all that is around it.
        let asked: BoxFuture<'a, T> = Box::pin(asked);
        async move {
            match self.left.run_until_cancelled(asked).await {
                Some(answer) => Ok(answer),
                None => Err(Error::away(&format!("{} was left while it was to answer", self.name))),
            }
        }
    }

    async fn close(self: Arc<Self>) {
        self.left.cancel();
        // A writer gives its connection back with its next booking only.
        join(self.writers.close(), self.readers.close()).await;
    }
}

#[derive(Clone)]
enum State {
    /// Not known yet, or on the way from one host to another.
    Choosing,
    Using(Arc<Node>),
    /// No host can be used: why not.
    Away(Arc<str>),
}

/// Which of a node's pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pool {
    Readers,
    Writers,
}

struct Shared {
    hosts: Vec<Host>,
    sizes: PoolSizes,
    state: watch::Sender<State>,
    /// The host in use did not answer the last look.
    doubtful: AtomicBool,
    /// Somebody met a failure: look now.
    failed: Notify,
    /// The look-out, and pools on their way to be closed.
    tasks: TaskTracker,
    stop: CancellationToken,
}

/// The hosts, and the task that chooses among them; it ends with this.
pub(super) struct Hosts {
    shared: Arc<Shared>,
    _stop: DropGuard,
}

impl Hosts {
    /// Begins to look for a host that can be used. Must be called within a Tokio runtime.
    pub fn start(hosts: Vec<Host>, sizes: PoolSizes) -> Self {
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared {
            hosts,
            sizes,
            state: watch::Sender::new(State::Choosing),
            doubtful: AtomicBool::new(false),
            failed: Notify::new(),
            tasks: TaskTracker::new(),
            stop: stop.clone(),
        });
        shared.tasks.spawn(shared.clone().watch());
        Self { shared, _stop: stop.drop_guard() }
    }

    /// The host in use. While one is being chosen, waits for as long as for a connection.
    pub async fn node(&self) -> Result<Arc<Node>, Error> {
        let mut state = self.shared.state.subscribe();
        let chosen = state.wait_for(|state| !matches!(state, State::Choosing));
        match tokio::time::timeout(ACQUIRE_TIMEOUT, chosen).await {
            Ok(Ok(state)) => match &*state {
                State::Using(node) => Ok(node.clone()),
                State::Away(why) => Err(Error::away(why)),
                State::Choosing => Err(Error::away("no host was chosen yet")),
            },
            Ok(Err(_)) | Err(_) => Err(Error::away("no host could be chosen in time")),
        }
    }

    /// A connection to the host in use.
    pub async fn acquire(&self, pool: Pool) -> Result<(PoolConnection<MySql>, Arc<Node>), Error> {
        let node = self.node().await?;
        let acquired = node.answer(async {
            match pool {
                Pool::Readers => node.readers.acquire().await,
                Pool::Writers => node.writers.acquire().await,
            }
        });
        match acquired.await? {
            Ok(conn) => Ok((conn, node)),
            Err(error) => {
                self.look_now();
                Err(error.into())
            }
        }
    }

    /// Has the host in use looked at: an operation on it failed.
    pub fn look_now(&self) {
        self.shared.failed.notify_one();
    }

    /// Whether no host can be used, or the one in use did not answer the last look or refused it.
    pub fn is_away(&self) -> bool {
        match &*self.shared.state.borrow() {
            State::Choosing | State::Using(_) => self.shared.doubtful.load(Ordering::Relaxed),
            State::Away(_) => true,
        }
    }

    /// All connections and those that wait to be used.
    pub fn connections(&self) -> (u32, usize) {
        match &*self.shared.state.borrow() {
            State::Using(node) => {
                (node.readers.size() + node.writers.size(), node.readers.num_idle() + node.writers.num_idle())
            }
            State::Choosing | State::Away(_) => (0, 0),
        }
    }

    /// Ends the look-out and closes the connections.
    pub async fn close(&self) {
        self.shared.stop.cancel();
        self.shared.tasks.close();
        self.shared.tasks.wait().await;
        let last = self.shared.state.send_replace(State::Away("the store is closed".into()));
        if let State::Using(node) = last {
            node.close().await;
        }
    }
}

impl Shared {
    async fn watch(self: Arc<Self>) {
        let mut watched = Watched::default();
        loop {
            let pause = tokio::select! {
                () = self.stop.cancelled() => return,
                pause = self.step(&mut watched) => pause,
            };
            tokio::select! {
                () = self.stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
                // However many fail, the host is not looked at all the time.
                () = async {
                    self.failed.notified().await;
                    tokio::time::sleep(CHECK_INTERVAL_STARTING).await;
                } => {}
            }
        }
    }

    /// Looks once; how long to wait before the next look.
    async fn step(&self, watched: &mut Watched) -> Duration {
        let state = self.state.borrow().clone();
        let State::Using(node) = state else { return self.choose(watched, None).await };
        let look = watched.lookout.look(&self.hosts[node.host].options).await;
        self.doubtful.store(matches!(look, Look::Silent | Look::Refusing(_)), Ordering::Relaxed);
        match look {
            Look::Writable => (watched.silent, watched.refusing) = (0, 0),
            // Connections that are open may go on; where another host is better, it is left all the same.
            Look::Refusing(why) => {
                watched.silent = 0;
                watched.refusing += 1;
                if watched.refusing >= MAX_REFUSING_LOOKS {
                    self.leave_for_better(&node, &why, watched).await;
                }
            }
            // Where none is better, this one still answers reads.
            Look::ReadOnly(why) => {
                watched.silent = 0;
                self.leave_for_better(&node, why, watched).await;
            }
            Look::Silent if watched.silent + 1 < MAX_SILENT_LOOKS => {
                watched.silent += 1;
                return Duration::ZERO;
            }
            Look::Silent => {
                self.leave(&node, "it does not answer");
                return self.choose(watched, Some(node.host)).await;
            }
            Look::Away(why) => {
                self.leave(&node, &why);
                return self.choose(watched, Some(node.host)).await;
            }
        }
        CHECK_INTERVAL
    }

    /// Ends everything that runs on this host.
    fn leave(&self, node: &Arc<Node>, why: &str) {
        tracing::warn!(host = node.name, why, "the database host is left");
        // Until another one is taken.
        self.doubtful.store(true, Ordering::Relaxed);
        self.state.send_replace(State::Choosing);
        self.tasks.spawn(node.clone().close());
    }

    /// Takes the first host that can be written to, else the first that answers at all; the one that was left comes last.
    async fn choose(&self, watched: &mut Watched, left: Option<usize>) -> Duration {
        let mut order: Vec<_> = (0..self.hosts.len()).filter(|host| Some(*host) != left).collect();
        order.extend(left);
        let (mut reserve, mut final_reason, mut reasons) = (None, false, Vec::new());
        for (host, look) in self.look_at(order).await {
            let name = &self.hosts[host].name;
            match look {
                Look::Writable => {
                    self.take(host, watched);
                    return CHECK_INTERVAL;
                }
                Look::ReadOnly(_) => reserve = reserve.or(Some(host)),
                Look::Away(why) => reasons.push(format!("{name}: {why}")),
                Look::Refusing(why) => {
                    final_reason = true;
                    reasons.push(format!("{name}: {why}"));
                }
                Look::Silent => {
                    final_reason = true;
                    reasons.push(format!("{name}: no answer within {:?}", look::TIMEOUT));
                }
            }
        }
        if let Some(host) = reserve {
            self.take(host, watched);
            return CHECK_INTERVAL;
        }
        // A database that is started together with its servers may listen a little later.
        watched.starting += 1;
        if !watched.chosen && watched.starting < STARTING_LOOKS && !final_reason {
            return CHECK_INTERVAL_STARTING;
        }
        let why = reasons.join("; ");
        if !matches!(&*self.state.borrow(), State::Away(before) if **before == *why) {
            tracing::warn!(why, "no database host can be used");
        }
        watched.chosen = true;
        self.state.send_replace(State::Away(why.into()));
        CHECK_INTERVAL
    }

    /// Goes to the first other host that can be written to, if there is one.
    async fn leave_for_better(&self, node: &Arc<Node>, why: &str, watched: &mut Watched) {
        let others = (0..self.hosts.len()).filter(|host| *host != node.host).collect();
        let seen = self.look_at(others).await;
        if let Some((better, _)) = seen.into_iter().find(|(_, look)| *look == Look::Writable) {
            self.leave(node, why);
            self.take(better, watched);
        }
    }

    /// Looks at hosts, at all of them at once: one that is silent holds up no other.
    async fn look_at(&self, hosts: Vec<usize>) -> Vec<(usize, Look)> {
        let look = async |host: usize| (host, Lookout::default().look(&self.hosts[host].options).await);
        join_all(hosts.into_iter().map(look)).await
    }

    fn take(&self, host: usize, watched: &mut Watched) {
        let Host { name, options } = &self.hosts[host];
        if self.hosts.len() > 1 || watched.chosen {
            tracing::info!(host = name, "the database host is used");
        }
        *watched = Watched { chosen: true, ..Watched::default() };
        self.doubtful.store(false, Ordering::Relaxed);
        let pool = |connections: u32| {
            MySqlPoolOptions::new()
                .max_connections(connections)
                .acquire_timeout(ACQUIRE_TIMEOUT)
                // One round trip for every use of a connection is too dear; a stale one shows itself at its first
                // statement, and reads are then run again.
                .test_before_acquire(false)
                .after_connect(|conn, _| Box::pin(super::set_session(conn)))
                .connect_lazy_with(options.clone())
        };
        let node = Node {
            host,
            name: name.clone(),
            options: options.clone(),
            readers: pool(self.sizes.readers),
            writers: pool(self.sizes.writers),
            left: CancellationToken::new(),
        };
        self.state.send_replace(State::Using(Arc::new(node)));
    }
}

/// What the look-out knows of the host in use.
#[derive(Default)]
struct Watched {
    lookout: Lookout,
    /// Looks without an answer, one after another.
    silent: u32,
    /// Looks that were refused, one after another.
    refusing: u32,
    /// Whether any host was ever chosen, or known to be away.
    chosen: bool,
    /// Looks while starting.
    starting: u32,
}
