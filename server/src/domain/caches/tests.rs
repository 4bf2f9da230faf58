use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use tokio::sync::Notify;

use super::super::Error;
use super::Invalidated;
use super::metrics::CacheMetrics;
use super::versioned::{Bounds, Entry, Versioned};
use crate::config::{self, LiveConfig};
use crate::model::{ManualClock, Timestamp};
use crate::telemetry::metrics::Metrics;

const TTL: Duration = Duration::from_secs(60);
const NEGATIVE: Duration = Duration::from_secs(5);
const LIMIT: Duration = Duration::from_secs(300);
const KEY: &str = "k";

struct Fixture {
    cache: Versioned<&'static str, i64>,
    clock: Arc<ManualClock>,
    loads: AtomicUsize,
}

impl Fixture {
    fn new() -> Arc<Self> {
        let clock = ManualClock::new(Timestamp::from_seconds(1_000_000));
        let mut config = config::defaults();
        config.cache = config::Cache { ttl: TTL, negative_ttl: NEGATIVE, ..config.cache };
        let bounds = Bounds { bytes: 1 << 20, stale_limit: LIMIT, config: LiveConfig::new(config) };
        let cache = Versioned::new(
            bounds,
            |_| 100,
            |_| Invalidated::Nothing,
            clock.clone(),
            CacheMetrics::register(&Metrics::new("0")).cache("keys"),
        );
        Arc::new(Self { cache, clock, loads: AtomicUsize::new(0) })
    }

    /// Gets the entry of a database that has this: a value and its version.
    async fn get(&self, there: Option<(i64, i64)>) -> Entry<i64> {
        let load = || async {
            self.loads.fetch_add(1, Ordering::SeqCst);
            Ok(there)
        };
        self.cache.get(&KEY, load).await.unwrap()
    }

    /// Gets it while the database is away.
    async fn get_without(&self) -> Result<Entry<i64>, Error> {
        self.cache.get(&KEY, || async { Err(Error::StoreUnavailable("refused".to_owned())) }).await
    }

    /// Gets it while the database does not answer.
    async fn get_hanging(&self) -> Result<Entry<i64>, Error> {
        self.cache.get(&KEY, std::future::pending::<Result<Option<(i64, i64)>, Error>>).await
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::SeqCst)
    }
}

fn value(entry: &Entry<i64>) -> Option<i64> {
    entry.value.as_deref().copied()
}

#[tokio::test]
async fn a_value_is_loaded_once_in_its_time_and_anew_after_it() {
    let f = Fixture::new();
    assert_eq!(value(&f.get(Some((7, 1))).await), Some(7));
    f.clock.advance(TTL * 9 / 10 - Duration::from_secs(1));
    assert_eq!(value(&f.get(Some((8, 2))).await), Some(7));
    f.clock.advance(TTL);
    assert_eq!(value(&f.get(Some((8, 2))).await), Some(8));
    assert_eq!(f.loads(), 2);
}

#[tokio::test]
async fn that_there_is_nothing_is_known_for_a_shorter_time() {
    let f = Fixture::new();
    assert_eq!(value(&f.get(None).await), None);
    assert_eq!(value(&f.get(Some((7, 1))).await), None);
    f.clock.advance(NEGATIVE);
    assert_eq!(value(&f.get(Some((7, 1))).await), Some(7));
}

#[tokio::test]
async fn what_is_gone_from_the_database_is_gone_here_after_its_time() {
    let f = Fixture::new();
    f.get(Some((7, 9))).await;
    f.clock.advance(TTL);
    assert_eq!(value(&f.get(None).await), None);
    // A database restored from a backup counts from where it was.
    f.clock.advance(NEGATIVE);
    assert_eq!(value(&f.get(Some((5, 2))).await), Some(5));
}

/// Starts a load that waits for its gate, and gives what it found at its start.
fn slow_load(f: &Arc<Fixture>, there: (i64, i64)) -> (Arc<Notify>, tokio::task::JoinHandle<Entry<i64>>) {
    let gate = Arc::new(Notify::new());
    let (f, wait) = (f.clone(), gate.clone());
    let task = tokio::spawn(async move {
        let load = || async {
            f.loads.fetch_add(1, Ordering::SeqCst);
            wait.notified().await;
            Ok(Some(there))
        };
        f.cache.get(&KEY, load).await.unwrap()
    });
    (gate, task)
}

async fn until_loads(f: &Fixture, count: usize) {
    while f.loads() < count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_who_ask_at_once_cost_one_load() {
    let f = Fixture::new();
    let (gate, first) = slow_load(&f, (7, 1));
    until_loads(&f, 1).await;
    let others: Vec<_> = (0..20).map(|_| slow_load(&f, (8, 2)).1).collect();
    // They all sit down before the first one lands.
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    gate.notify_one();
    assert_eq!(value(&first.await.unwrap()), Some(7));
    for other in others {
        assert_eq!(value(&other.await.unwrap()), Some(7));
    }
    assert_eq!(f.loads(), 1);
}

#[tokio::test]
async fn one_who_leaves_does_not_end_the_load_for_the_others() {
    let f = Fixture::new();
    let (_, first) = slow_load(&f, (7, 1));
    until_loads(&f, 1).await;
    let (gate, second) = slow_load(&f, (8, 2));
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    first.abort();
    until_loads(&f, 2).await;
    gate.notify_one();
    assert_eq!(value(&second.await.unwrap()), Some(8));
}

#[tokio::test]
async fn a_load_never_replaces_what_was_committed_meanwhile() {
    let f = Fixture::new();
    let (gate, reader) = slow_load(&f, (1000, 1));
    until_loads(&f, 1).await;
    f.cache.put(&KEY, 999, 2);
    gate.notify_one();
    assert_eq!(value(&reader.await.unwrap()), Some(999), "what is newer is also what is answered");
    assert_eq!(value(&f.get(Some((0, 0))).await), Some(999));
}

#[tokio::test]
async fn an_older_commit_that_comes_late_replaces_nothing() {
    let f = Fixture::new();
    f.cache.put(&KEY, 998, 3);
    f.clock.advance(Duration::from_secs(1));
    f.cache.put(&KEY, 999, 2);
    assert_eq!(value(&f.get(None).await), Some(998));
}

#[tokio::test]
async fn what_is_dropped_during_a_load_is_not_kept() {
    let f = Fixture::new();
    let (gate, reader) = slow_load(&f, (7, 1));
    until_loads(&f, 1).await;
    f.cache.drop_one(&KEY);
    gate.notify_one();
    reader.await.unwrap();
    assert_eq!(value(&f.get(Some((8, 1))).await), Some(8));
}

#[tokio::test]
async fn without_the_database_a_value_is_served_stale_until_its_limit() {
    let f = Fixture::new();
    let loaded = f.get(Some((7, 1))).await.loaded;
    f.clock.advance(TTL);
    for _ in 0..3 {
        let entry = f.get_without().await.unwrap();
        assert_eq!((value(&entry), entry.stale, entry.loaded), (Some(7), true, loaded));
        f.clock.advance(Duration::from_secs(2));
    }
    // Back again: fresh, and no longer marked.
    let entry = f.get(Some((8, 2))).await;
    assert_eq!((value(&entry), entry.stale), (Some(8), false));
    f.clock.advance(TTL + LIMIT);
    assert!(matches!(f.get_without().await, Err(Error::StoreUnavailable(_))));
}

#[tokio::test]
async fn without_the_database_nothing_is_made_up() {
    let f = Fixture::new();
    assert!(matches!(f.get_without().await, Err(Error::StoreUnavailable(_))));
    f.get(None).await;
    f.clock.advance(NEGATIVE);
    assert!(matches!(f.get_without().await, Err(Error::StoreUnavailable(_))));
}

#[tokio::test]
async fn a_database_that_hangs_is_not_waited_for_while_there_is_something_to_serve() {
    let f = Fixture::new();
    f.get(Some((7, 1))).await;
    f.clock.advance(TTL);
    // One of them hangs up at once, which takes nothing from the others.
    assert!(f.get_hanging().now_or_never().is_none());
    let (a, b) = tokio::join!(f.get_hanging(), f.get_hanging());
    for entry in [a.unwrap(), b.unwrap()] {
        assert_eq!((value(&entry), entry.stale), (Some(7), true));
    }
    // For a moment nobody asks it again.
    assert!(f.get(Some((8, 2))).await.stale);
    f.clock.advance(Duration::from_secs(2));
    assert_eq!(value(&f.get(Some((8, 2))).await), Some(8));
}
