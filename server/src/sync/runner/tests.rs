mod platform;
mod usage;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;
use std::time::Duration;

use tempfile::TempDir;
use uuid::Uuid;

use self::platform::{Fault, Platform};
use super::*;
use crate::config::LiveConfig;
use crate::config::{self, Config};
use crate::model::{Secret, SeededEntropy, SystemClock, TextId};
use crate::store::{Change, Context, Keyring, Migrate, MirrorFilter, Op, Store, SyncState, Window};
use crate::sync::timer::Step;
use crate::sync::{SyncMetrics, SyncService};
use crate::telemetry::metrics::Metrics;

const USERS: Entity = Entity::Users;

/// Instances on one database, in front of one platform.
struct World {
    directory: TempDir,
    platform: Arc<Platform>,
    settings: &'static str,
}

impl World {
    fn new(settings: &'static str) -> Self {
        Self { directory: TempDir::new().unwrap(), platform: Arc::default(), settings }
    }

    fn config(&self) -> Config {
        let path = self.directory.path().join("sage.db");
        let mut yaml = format!("database: {{url: \"sqlite://{}\"}}\n", path.display());
        if !self.settings.is_empty() {
            yaml += "upstream: {url: \"http://sage.test\", dapi_key: k, dapi_secret: s}\n";
            let others = "pricing: {enabled: false}, llmage: {enabled: false}, uapi: {enabled: false}";
            writeln!(yaml, "sync: {{{}, {others}}}", self.settings).unwrap();
        }
        let read = move |_: &std::path::Path| Ok(yaml.clone().into_bytes());
        config::load(Some("test.yaml".as_ref()), &BTreeMap::new(), &read).unwrap().config
    }

    async fn instance(&self, number: u128) -> SyncService {
        let config = self.config();
        let (clock, entropy) = (SystemClock::new(), SeededEntropy::new(1));
        let key = Secret::new("AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=");
        let context = Context {
            instance: Uuid::from_u128(number),
            keyring: Keyring::new(&key, &[]).unwrap(),
            clock: clock.clone(),
            entropy: entropy.clone(),
            sole_cache: false,
        };
        let store = Store::open(&config.database.target, 5, 1, context).unwrap();
        store.migrate(&Migrate::default()).await.unwrap();
        let source: Arc<dyn Source> = self.platform.clone();
        let metrics = SyncMetrics::register(&Metrics::new("test"));
        let config = LiveConfig::new(config);
        SyncService::with_source(store, config, Ok(source), clock, entropy, metrics).unwrap()
    }
}

async fn run(service: &SyncService) -> Result<RunReport, SyncError> {
    service.run_once(USERS, &|_| {}).await
}

async fn state(service: &SyncService) -> SyncState {
    service.inner.store.sync_state(USERS).await.unwrap().unwrap()
}

/// Names of the rows that are there, by id.
async fn names(service: &SyncService) -> BTreeMap<String, String> {
    let rows = service.inner.store.list(&MirrorFilter::of(USERS), &Window::newest(10_000)).await.unwrap();
    rows.iter().map(|row| (row.id.to_string(), row.text(USERS, "username").unwrap().to_owned())).collect()
}

async fn count(service: &SyncService) -> usize {
    names(service).await.len()
}

fn cursors(asked: &[Position]) -> Vec<Option<&str>> {
    asked.iter().map(|position| position.cursor.as_deref()).collect()
}

#[tokio::test]
async fn the_first_run_takes_a_snapshot_and_the_next_only_what_changed() {
    let world = World::new("users: {batch_size: 4}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..10, "old");
    let reports = Mutex::new(Vec::new());
    let report = service.run_once(USERS, &|r| reports.lock().unwrap().push(r.upserts)).await.unwrap();
    assert_eq!((report.snapshot, report.pages, report.upserts, report.rows()), (true, 3, 10, 10));
    assert_eq!(*reports.lock().unwrap(), [4, 8, 10]);
    assert_eq!(cursors(&world.platform.asked()), [None, Some("0:4"), Some("0:8")]);

    world.platform.put(USERS, [3], "new");
    world.platform.delete(5);
    let report = run(&service).await.unwrap();
    assert_eq!((report.snapshot, report.pages, report.upserts, report.deletes), (false, 1, 1, 1));
    let asked = world.platform.asked();
    assert_eq!((cursors(&asked), asked[0].snapshot), (vec![Some("0:10")], false));
    let names = names(&service).await;
    assert_eq!((names.len(), names["row00003"].as_str(), names.get("row00005")), (9, "new", None));

    let state = state(&service).await;
    assert_eq!(
        (state.status.as_str(), state.cursor.as_deref(), state.snapshot),
        ("success", Some("0:12"), false)
    );
    assert_eq!(state.lease_owner, None);
    let freshness = &service.freshness()[0].1;
    assert!(freshness.status == "success" && freshness.age_s.is_some(), "{freshness:?}");
}

#[tokio::test]
async fn an_expired_cursor_leads_to_a_snapshot_that_sweeps_what_is_gone() {
    let world = World::new("users: {batch_size: 4}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..10, "old");
    run(&service).await.unwrap();
    world.platform.lose(7);
    world.platform.expire_cursors();
    let report = run(&service).await.unwrap();
    assert_eq!((report.snapshot, report.swept), (true, 1));
    assert!(!names(&service).await.contains_key("row00007"));
    assert!(!state(&service).await.snapshot);
}

#[tokio::test]
async fn a_failed_run_keeps_what_it_has_and_the_next_goes_on_from_there() {
    let world = World::new("users: {batch_size: 4}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..10, "old");
    run(&service).await.unwrap();
    world.platform.expire_cursors();
    world.platform.lose(1);
    // The expired cursor, one good page of the snapshot, and then nothing.
    world.platform.meet([None, None, Some(Fault::Fail(Failure::Timeout))]);
    let error = run(&service).await.unwrap_err();
    assert_eq!(error.class(), "timeout");
    assert_eq!(count(&service).await, 10);
    let failed = state(&service).await;
    assert_eq!(
        (failed.status.as_str(), failed.error_class.as_deref(), failed.retry_count),
        ("failed", Some("timeout"), 1)
    );
    assert!(failed.snapshot && failed.cursor.is_some());
    assert_eq!(service.freshness()[0].1.error_class.as_deref(), Some("timeout"));

    world.platform.asked();
    let report = run(&service).await.unwrap();
    assert_eq!(cursors(&world.platform.asked())[0], failed.cursor.as_deref());
    assert_eq!((report.swept, count(&service).await), (1, 9));
    let state = state(&service).await;
    assert_eq!((state.status.as_str(), state.error_class, state.retry_count), ("success", None, 0));
}

#[tokio::test]
async fn a_sweep_beyond_the_ratio_is_refused_and_heals_when_the_platform_does() {
    let world = World::new("max_delete_ratio: 0.3, users: {mode: full}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..10, "old");
    run(&service).await.unwrap();
    let nothing = || Some(Fault::Answer(FeedPage { next: Some("0:10".to_owned()), ..FeedPage::default() }));
    world.platform.meet([nothing(), nothing()]);
    for _ in 0..2 {
        assert_eq!(run(&service).await.unwrap_err().class(), "sweep_refused");
        assert_eq!(count(&service).await, 10);
    }
    world.platform.asked();
    run(&service).await.unwrap();
    assert_eq!(cursors(&world.platform.asked()), [None]);
    assert_eq!((count(&service).await, state(&service).await.status.as_str()), (10, "success"));
}

#[tokio::test]
async fn a_row_that_cannot_be_read_is_set_aside_and_its_old_state_survives_a_snapshot() {
    let world = World::new("users: {mode: full, batch_size: 4}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..10, "old");
    run(&service).await.unwrap();
    world.platform.put(USERS, 0..11, "new");
    world.platform.spoil(3);
    let report = run(&service).await.unwrap();
    assert_eq!((report.upserts, report.deletes, report.quarantined, report.swept), (10, 0, 1, 0));
    assert_eq!(names(&service).await["row00003"], "old");
    // One that was never read is not there, until it can be.
    world.platform.spoil(10);
    world.platform.put(USERS, [3, 10], "newer");
    run(&service).await.unwrap();
    assert_eq!(names(&service).await["row00003"], "newer");
}

#[tokio::test]
async fn mode_full_takes_a_snapshot_every_time_and_full_every_when_it_is_due() {
    for (settings, snapshots) in [
        ("users: {mode: full}", [true, true]),
        ("users: {full_every: 30d}", [true, false]),
        ("users: {}", [true, false]),
    ] {
        let world = World::new(settings);
        let service = world.instance(1).await;
        world.platform.put(USERS, 0..3, "old");
        for expected in snapshots {
            assert_eq!(run(&service).await.unwrap().snapshot, expected, "{settings}");
        }
    }
}

#[tokio::test]
async fn a_page_larger_than_a_statement_is_written_in_portions() {
    let world = World::new("users: {}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..2500, "old");
    let whole = Position { cursor: None, snapshot: true, limit: 10_000 };
    let page = world.platform.changes(USERS, &whole).await.unwrap();
    world.platform.meet([Some(Fault::Answer(page))]);
    let report = run(&service).await.unwrap();
    assert_eq!((report.pages, report.upserts, count(&service).await), (1, 2500, 2500));
    assert_eq!(state(&service).await.cursor.as_deref(), Some("0:2500"));
}

#[tokio::test]
async fn a_feed_that_does_not_lead_on_is_malformed() {
    let world = World::new("users: {}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..3, "old");
    run(&service).await.unwrap();
    let stuck = |next: Option<&str>| {
        let row = Change { id: TextId::parse("x").unwrap(), version: 9, op: Op::Delete };
        FeedPage { changes: vec![row], next: next.map(str::to_owned), has_more: true, ..FeedPage::default() }
    };
    let empty = FeedPage { changes: vec![], ..stuck(Some("0:99")) };
    for page in [stuck(None), stuck(Some("0:3")), empty] {
        world.platform.meet([Some(Fault::Answer(page))]);
        assert_eq!(run(&service).await.unwrap_err().class(), "malformed");
    }
}

#[tokio::test]
async fn cursors_that_expire_at_once_do_not_make_a_run_go_round() {
    let world = World::new("users: {batch_size: 2}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..6, "old");
    let expired = || Some(Fault::Fail(Failure::CursorExpired));
    // At the cursor and at the beginning; at the cursor and within the snapshot.
    for faults in [vec![expired(), expired()], vec![expired(), None, expired()]] {
        run(&service).await.unwrap();
        world.platform.meet(faults);
        assert_eq!(run(&service).await.unwrap_err().class(), "cursor_expired");
    }
    assert_eq!((run(&service).await.unwrap().swept, count(&service).await), (0, 6));
}

#[tokio::test]
async fn a_snapshot_that_was_broken_off_is_finished_before_another_begins() {
    let world = World::new("users: {mode: full, batch_size: 2}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..6, "old");
    run(&service).await.unwrap();
    world.platform.meet([None, Some(Fault::Fail(Failure::Timeout))]);
    run(&service).await.unwrap_err();
    world.platform.asked();
    run(&service).await.unwrap();
    assert_eq!(cursors(&world.platform.asked())[0], Some("0:2"));
}

#[tokio::test]
async fn while_one_instance_runs_the_others_stay_out() {
    let world = World::new("users: {}");
    let (first, second) = (world.instance(1).await, world.instance(2).await);
    world.platform.put(USERS, 0..3, "old");
    world.platform.meet([Some(Fault::Wait)]);
    let running = tokio::spawn({
        let first = first.clone();
        async move { run(&first).await }
    });
    world.platform.reached().await;
    assert!(matches!(run(&second).await, Err(SyncError::Held(USERS))));
    assert!(matches!(run(&first).await, Err(SyncError::Overlap(USERS))));
    assert_eq!(world.platform.asked().len(), 1);
    world.platform.go_on();
    assert_eq!(running.await.unwrap().unwrap().upserts, 3);
    // What it mirrored is there for all, and the next run may be anyone's.
    assert_eq!(count(&second).await, 3);
    assert_eq!(run(&second).await.unwrap().upserts, 0);
}

#[tokio::test]
async fn a_runner_that_was_taken_over_writes_nothing_more() {
    let world = World::new("users: {batch_size: 2}");
    let (first, second) = (world.instance(1).await, world.instance(2).await);
    world.platform.put(USERS, 0..4, "old");
    world.platform.meet([Some(Fault::Wait)]);
    let running = tokio::spawn({
        let first = first.clone();
        async move { run(&first).await }
    });
    world.platform.reached().await;
    // The first one's lease runs out while it waits: its time is cut to nothing.
    expire_lease(&first).await;
    assert_eq!(run(&second).await.unwrap().upserts, 4);
    let before = state(&second).await;
    world.platform.put(USERS, 0..4, "new");
    world.platform.go_on();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, SyncError::Store(store::Error::LeaseLost)), "{error}");
    assert_eq!(state(&second).await, before);
    assert!(names(&second).await.values().all(|name| name == "old"));
}

/// Lets the lease that an instance holds end now.
async fn expire_lease(service: &SyncService) {
    // Taking it again with no time left raises the token as a take-over does.
    service.inner.store.acquire_lease(USERS.as_str(), Duration::ZERO).await.unwrap().unwrap();
    let lease = service.inner.store.acquire_lease(USERS.as_str(), Duration::ZERO).await.unwrap().unwrap();
    service.inner.store.release_lease(lease).await.unwrap();
}

#[tokio::test]
async fn a_stopped_run_leaves_its_place_to_the_next() {
    let world = World::new("users: {batch_size: 2}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..4, "old");
    world.platform.meet([None, Some(Fault::Wait)]);
    let stop = CancellationToken::new();
    let running = tokio::spawn({
        let (inner, stop) = (service.inner.clone(), stop.clone());
        async move { inner.run(USERS, &stop, &|_| {}).await }
    });
    world.platform.reached().await;
    stop.cancel();
    assert!(matches!(running.await.unwrap(), Err(SyncError::Stopped)));
    let state = state(&service).await;
    assert_eq!((state.status.as_str(), state.lease_owner), ("pending", None));
    run(&service).await.unwrap();
    assert_eq!(count(&service).await, 4);
}

#[tokio::test]
async fn an_event_pulls_the_ids_it_names_and_moves_no_cursor() {
    let world = World::new("users: {every: 1d}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..5, "old");
    run(&service).await.unwrap();
    let before = state(&service).await;
    let (told, mut changes) = tokio::sync::mpsc::unbounded_channel();
    service.on_change(move |changed| told.send(changed.clone()).unwrap());

    world.platform.put(USERS, 0..3, "new");
    world.platform.lose(4);
    let (tasks, stop) = (tokio_util::task::TaskTracker::new(), CancellationToken::new());
    service.start(&tasks, &stop);
    let ids = ["row00001", "row00004", "no id"].map(str::to_owned).to_vec();
    assert!(service.pull(USERS, ids));
    assert!(!service.pull(Entity::Uapi, vec!["a".to_owned()]));
    let changed = changes.recv().await.unwrap();
    assert_eq!(changed, Changed::mirrored(USERS, vec!["row00001".to_owned(), "row00004".to_owned()]));
    let names = names(&service).await;
    assert_eq!(names.values().map(String::as_str).collect::<Vec<_>>(), ["old", "new", "old", "old"]);
    assert_eq!(state(&service).await.cursor, before.cursor);
    tasks.close();
    stop.cancel();
    tasks.wait().await;
}

#[tokio::test]
async fn the_timer_mirrors_by_itself_and_again_after_a_failure() {
    let world = World::new("users: {every: 100ms}");
    let service = world.instance(1).await;
    world.platform.put(USERS, 0..5, "old");
    world.platform.meet([Some(Fault::Fail(Failure::Connect)), None, Some(Fault::Wait)]);
    let (tasks, stop) = (tokio_util::task::TaskTracker::new(), CancellationToken::new());
    service.start(&tasks, &stop);
    // The third request, a run of its own, is only made if the two before came to their ends.
    world.platform.reached().await;
    assert_eq!(count(&service).await, 5);
    tasks.close();
    stop.cancel();
    tasks.wait().await;
    assert_eq!(state(&service).await.lease_owner, None);
}

#[tokio::test]
async fn a_run_of_another_instance_counts_as_ones_own() {
    let world = World::new("users: {every: 1h}");
    let (first, second) = (world.instance(1).await, world.instance(2).await);
    world.platform.put(USERS, 0..3, "old");
    let stop = CancellationToken::new();
    assert!(matches!(first.inner.step(USERS, 0.0, &stop).await, Ok(Step::Ran)));
    for service in [&first, &second] {
        let Ok(Step::Wait(left)) = service.inner.step(USERS, 0.0, &stop).await else { panic!("it ran") };
        assert!(left > Duration::from_mins(30) && left <= Duration::from_hours(1), "{left:?}");
    }
    assert_eq!(world.platform.asked().len(), 1);
}

#[tokio::test]
async fn a_long_run_renews_its_lease_between_pages() {
    let world = World::new("users: {batch_size: 2}");
    let mut service = world.instance(1).await;
    Arc::get_mut(&mut service.inner).unwrap().lease_ttl = |_| Duration::ZERO;
    world.platform.put(USERS, 0..6, "old");
    assert_eq!(run(&service).await.unwrap().pages, 3);
    // Once to begin, after each page but the last, and before the sweep.
    assert_eq!(state(&service).await.fencing_token, 4);
}

#[tokio::test]
async fn maintenance_is_one_instances_work() {
    let world = World::new("users: {}");
    let (first, second) = (world.instance(1).await, world.instance(2).await);
    let (mut mine, mut theirs) = (None, None);
    let past = crate::store::NonceUse::new("k", "n", crate::model::Timestamp::from_seconds(1));
    first.inner.store.first_use(crate::store::ReplayTable::Nonces, past).await.unwrap();
    assert_eq!(first.inner.clean_up(&mut mine).await.unwrap(), 1);
    assert_eq!(second.inner.clean_up(&mut theirs).await.unwrap(), 0);
    assert!(mine.is_some() && theirs.is_none());
    if let Some(held) = mine.take() {
        held.give_back().await;
    }
    second.inner.clean_up(&mut theirs).await.unwrap();
    assert!(theirs.is_some());
}

/// Behaviour 6: expired sessions are really deleted, by the schedule, and counted.
#[tokio::test]
async fn expired_sessions_and_full_buckets_are_deleted_in_a_round_and_counted() {
    let world = World::new("");
    let service = world.instance(1).await;
    let (inner, store) = (&service.inner, &service.inner.store);
    let now = store.now().await.unwrap();
    let user = crate::store::NewUser {
        id: None,
        owner: crate::model::Owner::Platform,
        username: crate::model::Username::parse("ann").unwrap(),
        role: crate::model::UserRole::Admin,
        password_hash: None,
        is_active: true,
        group_id: None,
    };
    let user = store.create_user(user, &crate::model::Actor::server()).await.unwrap();
    for (n, ends) in [(1, now.minus(Duration::from_secs(1))), (2, now.plus(Duration::from_hours(1)))] {
        let session = crate::model::Session {
            id: crate::model::RecordId(uuid::Uuid::from_u128(n)),
            kind: crate::model::SessionKind::Api,
            user_id: user.id.clone(),
            owner: user.owner.clone(),
            generation: 1,
            generation_seen: 0,
            kid: "k".to_owned(),
            rotated_at: now,
            idle_until: ends,
            expires_at: now.plus(Duration::from_hours(2)),
            last_seen: None,
            reauthenticated_at: now,
            revoked_at: None,
            revoked_reason: None,
            device_name: None,
            address: None,
            version: 1,
            created_at: now,
        };
        assert!(store.create_session(session, user.security_version).await.unwrap());
    }
    let rule = crate::store::BucketRule::Refill { capacity: 1, every: Duration::from_millis(1) };
    let bucket = crate::store::Bucket { id: [1; 32], rule };
    store.take_tokens(vec![bucket]).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    let mut held = None;
    assert_eq!(inner.clean_up(&mut held).await.unwrap(), 2);
    assert_eq!(inner.clean_up(&mut held).await.unwrap(), 0);
    let left = store.list(&crate::store::SessionFilter::default(), &crate::store::Window::newest(9)).await;
    assert_eq!(left.unwrap().len(), 1);
}

#[tokio::test]
async fn without_an_upstream_nothing_is_pulled_and_everything_says_so() {
    let world = World::new("");
    let config = world.config();
    let service = world.instance(1).await;
    let inner = &service.inner;
    let service = SyncService::new(
        inner.store.clone(),
        LiveConfig::new(config),
        inner.clock.clone(),
        inner.entropy.clone(),
        inner.metrics.clone(),
    )
    .unwrap();
    assert!(matches!(run(&service).await, Err(SyncError::Unconfigured(_))));
    assert!(!service.pull(USERS, vec!["a".to_owned()]));
    assert!(service.freshness().iter().all(|(_, freshness)| freshness.status == "disabled"));
}
