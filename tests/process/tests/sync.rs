//! The mirror, between a real platform's process and real servers.
//!
//! SAGEAPI_TEST_LONG=1 also waits for the lease of a killed runner to run out by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::collections::BTreeMap;
use std::time::Duration;

use sageapi_process_tests::installation::MadeKey;
use sageapi_process_tests::waiting::{percentile, until};
use sageapi_process_tests::{Installation, SimProcess, setting};
use sageapi_test_support::app::UAPI_SECRET;
use sageapi_test_support::client::Client;
use sageapi_test_support::database::{Kind, kinds, wanted};
use sageapi_test_support::server::ServerProcess;
use serde_json::{Value, json};

const SOON: Duration = Duration::from_secs(30);
/// Often enough that a test need not wait for a schedule.
const OFTEN: Duration = Duration::from_millis(200);
/// So rarely that whatever is seen within a test did not come by schedule, but for the first run.
const RARELY: Duration = Duration::from_hours(1);
/// A world that fits into one page of any list.
const WORLD: [&str; 10] =
    ["--users", "230", "--customers", "4", "--models", "12", "--apis", "6", "--programs", "10"];
/// Each entity, the path of its list, and the columns that it shows unchanged.
const LISTS: [(&str, &str, &[&str]); 4] = [
    (
        "users",
        "/users",
        &["username", "nick_name", "email", "mobile", "orgid", "orgname", "user_status", "sync_from"],
    ),
    (
        "pricing",
        "/pricing",
        &[
            "ppid",
            "pricing_type",
            "name",
            "ownerid",
            "providerid",
            "pricing_belong",
            "currency",
            "enabled_date",
            "expired_date",
        ],
    ),
    (
        "llmage",
        "/models",
        &[
            "llmid",
            "name",
            "model",
            "llmcatelogid",
            "catelogname",
            "apiname",
            "ppid",
            "status",
            "enabled_date",
            "expired_date",
        ],
    ),
    ("uapi", "/uapis", &["upappname", "name", "path", "httpmethod", "stream"]),
];

async fn installed(kind: Kind) -> (Installation, MadeKey) {
    let installation = Installation::new(kind).await;
    let key = installation.seed(&["org_demo_0001".to_owned()], "1").await;
    (installation, key)
}

/// Every row that a list shows, by id.
async fn shown(client: &Client, path: &str) -> BTreeMap<String, Value> {
    let (mut all, mut cursor) = (BTreeMap::new(), String::new());
    loop {
        let page = client.get(&format!("{path}?limit=100{cursor}")).await;
        all.extend(page.rows().iter().map(|row| (row["id"].as_str().unwrap().to_owned(), row.clone())));
        match page.data()["next_cursor"].as_str() {
            Some(more) => cursor = format!("&cursor={more}"),
            None => return all,
        }
    }
}

/// Waits until a server shows exactly what the platform has, row by row and column by column.
async fn mirrored(sim: &SimProcess, client: &Client, entities: &[&str]) -> Duration {
    let mut longest = Duration::ZERO;
    for (entity, path, columns) in LISTS.iter().filter(|(entity, ..)| entities.contains(entity)) {
        let there = sim.rows(entity).await;
        let same = || async {
            let here = shown(client, path).await;
            let equal = |row: &Value| {
                let Some(mine) = here.get(row["id"].as_str().unwrap()) else { return false };
                mine["version"] == row["version"]
                    && columns.iter().all(|column| mine[column] == row["data"][column])
            };
            (here.len() == there.len() && there.iter().all(equal)).then_some(())
        };
        let ((), took) = until(&format!("{entity} as on the platform"), SOON, same).await;
        longest = longest.max(took);
    }
    longest
}

/// One user as a server shows it; `None` for 404.
async fn user(client: &Client, id: &str) -> Option<Value> {
    let answer = client.get(&format!("/users/{id}")).await;
    (answer.status != 404).then(|| answer.data().clone())
}

/// What /health says of an entity.
async fn standing(server: &ServerProcess, entity: &str) -> (Value, Value) {
    let health = Client::new("", "", "").fetch(&format!("{}/api/v1/health", server.http())).await;
    let status = health.data()["status"].clone();
    (health.data()["sync"][entity].clone(), status)
}

async fn until_class(server: &ServerProcess, entity: &str, class: Option<&str>) -> (Value, Value) {
    let look = || async {
        let (sync, status) = standing(server, entity).await;
        let settled = match class {
            None => sync["status"] == "success" && sync["error_class"].is_null(),
            Some(class) => sync["status"] == "failed" && sync["error_class"] == class,
        };
        settled.then_some((sync, status))
    };
    until(&format!("{entity} with error_class {class:?}"), SOON, look).await.0
}

/// The value of a metric with these labels; 0 if it is not there.
async fn metric(server: &ServerProcess, name: &str, labels: &str) -> f64 {
    let text = Client::new("", "", "").fetch(&format!("{}/metrics", server.admin())).await.text();
    let line = format!("{name}{{{labels}}} ");
    text.lines().find_map(|l| l.strip_prefix(&line)).map_or(0.0, |value| value.parse().unwrap())
}

/// Waits until a counter has got there: a run is counted a moment after its rows can be seen.
async fn until_counted(server: &ServerProcess, name: &str, labels: &str, least: f64) {
    let counted = || async { (metric(server, name, labels).await >= least).then_some(()) };
    until(&format!("{name}{{{labels}}} of {least}"), SOON, counted).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_snapshot_mirrors_everything_and_changes_follow_by_schedule() {
    for kind in kinds() {
        let (installation, key) = installed(kind).await;
        let sim = SimProcess::start(&WORLD).await;
        let server = installation.server().env("SAGEAPI_SYNC_USERS_BATCH_SIZE", "100");
        let server = sim.mirrored_by(server, OFTEN).start().await;
        let client = key.client(&server.http());
        mirrored(&sim, &client, &["users", "pricing", "llmage", "uapi"]).await;
        assert_eq!(shown(&client, "/users").await.len(), 230);

        for (entity, ..) in LISTS {
            sim.command("change", json!({"entity": entity, "count": 3})).await;
            sim.command("delete", json!({"entity": entity, "count": 2})).await;
            sim.command("add", json!({"entity": entity, "count": 2})).await;
        }
        let renamed = json!({"entity": "users", "ids": ["user_demo_0009"], "set": {"nick_name": "改名 ✓"}});
        sim.command("change", renamed).await;
        mirrored(&sim, &client, &["users", "pricing", "llmage", "uapi"]).await;
        assert_eq!(user(&client, "user_demo_0009").await.unwrap()["nick_name"], "改名 ✓");

        for (entity, ..) in LISTS {
            let labels = |label: &str, value: &str| format!("entity=\"{entity}\",{label}=\"{value}\"");
            until_counted(&server, "sageapi_sync_runs_total", &labels("result", "ok"), 2.0).await;
            until_counted(&server, "sageapi_sync_rows_total", &labels("op", "upsert"), 11.0).await;
            until_counted(&server, "sageapi_sync_rows_total", &labels("op", "delete"), 2.0).await;
            let age = metric(&server, "sageapi_sync_age_seconds", &format!("entity=\"{entity}\"")).await;
            let (sync, _) = until_class(&server, entity, None).await;
            let shown = sync["age_s"].as_f64().unwrap();
            assert!((0.0..30.0).contains(&age) && (0.0..30.0).contains(&shown), "{entity}: {age} {shown}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_at_one_instance_is_visible_on_every_instance_within_a_second() {
    let samples = usize::try_from(setting("SAGEAPI_TEST_EVENT_SAMPLES", 100)).unwrap();
    for kind in kinds() {
        let (installation, key) = installed(kind).await;
        let sim = SimProcess::start(&WORLD).await;
        let mut servers = Vec::new();
        for _ in 0..if kind == Kind::MySql { 2 } else { 1 } {
            servers.push(sim.mirrored_by(installation.server(), RARELY).start().await);
        }
        let clients: Vec<_> = servers.iter().map(|server| key.client(&server.http())).collect();
        mirrored(&sim, clients.last().unwrap(), &["users"]).await;
        sim.fault(json!({"mode": "slow", "delay_ms": 50})).await;

        let mut visible = Vec::new();
        for number in 0..samples {
            let id = format!("user_demo_{:04}", number % 10 + 1);
            for client in &clients {
                assert!(user(client, &id).await.is_some(), "now it is cached");
            }
            let name = format!("named by event {number}");
            let sees = |client: &Client| {
                let (client, id, name) = (client.clone(), id.clone(), name.clone());
                async move {
                    let look =
                        || async { user(&client, &id).await.filter(|user| user["nick_name"] == *name) };
                    until("what an event announced", SOON, look).await.1
                }
            };
            sim.command("change", json!({"entity": "users", "ids": [id], "set": {"nick_name": name}})).await;
            // Counted from when the event is accepted.
            assert_eq!(sim.event(&servers[0].http(), UAPI_SECRET, "users", &[&id]).await, 202);
            let waits: Vec<_> = clients.iter().map(|client| tokio::spawn(sees(client))).collect();
            let mut slowest = Duration::ZERO;
            for wait in waits {
                slowest = slowest.max(wait.await.unwrap());
            }
            visible.push(slowest);
        }
        let (half, most) = (percentile(&mut visible, 50), percentile(&mut visible, 99));
        println!(
            "event to visible on {} instance(s), {kind}, upstream 50 ms: p50 {half:?}, p99 {most:?}, max {:?} of {samples}",
            servers.len(),
            visible.last().unwrap(),
        );
        assert!(most < Duration::from_secs(1), "p99 is {most:?}");

        sim.no_fault().await;
        sim.command("delete", json!({"entity": "users", "ids": ["user_demo_0002"]})).await;
        assert_eq!(
            sim.event(&servers[0].http(), UAPI_SECRET, "users", &["user_demo_0002", "never_was"]).await,
            202
        );
        for client in &clients {
            let gone = || async { user(client, "user_demo_0002").await.is_none().then_some(()) };
            until("what an event said is gone", SOON, gone).await;
        }
        assert_eq!(sim.event(&servers[0].http(), "whsec_d3Jvbmc=", "users", &["user_demo_0001"]).await, 401);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_cursor_leads_to_a_snapshot_that_sweeps_what_is_gone() {
    for kind in kinds() {
        let (installation, key) = installed(kind).await;
        let sim = SimProcess::start(&WORLD).await;
        let server = sim.mirrored_by(installation.server(), OFTEN).env("SAGEAPI_SYNC_USERS_BATCH_SIZE", "50");
        let server = server.start().await;
        let client = key.client(&server.http());
        mirrored(&sim, &client, &["users"]).await;
        let snapshots = sim.state("users").await["snapshots"].as_u64().unwrap();

        // No tombstone survives into a snapshot: only the sweep can tell. Stalled meanwhile, lest the
        // server sees the deletions before the cursor expires.
        sim.fault(json!({"mode": "status", "status": 503, "entity": "users"})).await;
        until_class(&server, "users", Some("status_5xx")).await;
        sim.command("delete", json!({"entity": "users", "count": 20})).await;
        sim.command("change", json!({"entity": "users", "count": 5})).await;
        sim.command("expire-cursors", json!({"entity": "users"})).await;
        sim.no_fault().await;
        mirrored(&sim, &client, &["users"]).await;
        assert_eq!(shown(&client, "/users").await.len(), 210);
        assert_eq!(sim.state("users").await["snapshots"], snapshots + 1);
        until_counted(&server, "sageapi_sync_rows_total", "entity=\"users\",op=\"swept\"", 20.0).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_the_platform_does_wrong_the_last_good_data_is_kept_and_health_says_why() {
    let faults = [
        (json!({"mode": "slow", "delay_ms": 20_000}), "timeout"),
        (json!({"mode": "stall"}), "timeout"),
        (json!({"mode": "down"}), "broken"),
        (json!({"mode": "cut"}), "broken"),
        (json!({"mode": "status", "status": 503}), "status_5xx"),
        (json!({"mode": "status", "status": 404}), "status_4xx"),
        (json!({"mode": "status", "status": 403}), "unauthorized"),
        (json!({"mode": "status", "status": 204}), "wrong_content"),
        (json!({"mode": "wrong-content"}), "wrong_content"),
        (json!({"mode": "truncated"}), "malformed"),
        (json!({"mode": "garbage"}), "malformed"),
        (json!({"mode": "redirect"}), "redirect"),
        (json!({"mode": "huge"}), "too_large"),
    ];
    let kind = *kinds().last().unwrap();
    let (installation, key) = installed(kind).await;
    let sim = SimProcess::start(&WORLD).await;
    let server = sim.mirrored_by(installation.server(), OFTEN).env("SAGEAPI_UPSTREAM_TIMEOUT", "2s");
    let mut server = server.start().await;
    let client = key.client(&server.http());
    mirrored(&sim, &client, &["users", "pricing", "llmage", "uapi"]).await;
    until_class(&server, "users", None).await;
    let resident = server.process().resident_bytes();

    for (number, (fault, class)) in faults.iter().enumerate() {
        let mut fault = fault.clone();
        fault["entity"] = json!("users");
        let before = user(&client, "user_demo_0003").await.unwrap();
        sim.fault(fault.clone()).await;
        // Set after the fault: nothing of it may come through.
        let name = format!("set during fault {number}");
        let set = json!({"entity": "users", "ids": ["user_demo_0003"], "set": {"nick_name": name}});
        sim.command("change", set).await;
        let (_, status) = until_class(&server, "users", Some(class)).await;
        assert_eq!(status, "degraded", "{fault}");
        assert_eq!(user(&client, "user_demo_0003").await.unwrap()["version"], before["version"], "{fault}");
        assert_eq!(shown(&client, "/users").await.len(), 230, "{fault}");
        let ready = client.fetch(&format!("{}/readyz", server.admin())).await;
        assert_eq!(ready.status, 200, "{fault}: stale data is no reason to be unready");
        let labels = format!("entity=\"users\",result=\"{class}\"");
        until_counted(&server, "sageapi_sync_runs_total", &labels, 1.0).await;
        assert_eq!(standing(&server, "pricing").await.0["status"], "success", "{fault}: the others go on");

        sim.no_fault().await;
        let (_, status) = until_class(&server, "users", None).await;
        assert_eq!(status, "ok", "{fault}");
        let renamed =
            || async { user(&client, "user_demo_0003").await.filter(|user| user["nick_name"] == *name) };
        until("what changed during the fault", SOON, renamed).await;
    }
    assert_eq!(sim.redirects_followed().await, 0);
    let grown = server.process().resident_bytes().saturating_sub(resident) >> 20;
    println!("memory after every fault, a 100 MiB answer among them: {grown} MiB more");
    assert!(grown < 100, "{grown} MiB");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_row_is_set_aside_and_the_others_arrive() {
    for kind in kinds() {
        let (installation, key) = installed(kind).await;
        let sim = SimProcess::start(&WORLD).await;
        let server = sim.mirrored_by(installation.server(), OFTEN).start().await;
        let client = key.client(&server.http());
        mirrored(&sim, &client, &["users"]).await;
        for what in ["data", "no-data", "version", "op", "id", "null"] {
            sim.fault(json!({"mode": "bad-row", "what": what, "entity": "users"})).await;
            let name = format!("beside a bad row: {what}");
            // Both come in one page. Its first row is broken, the second is not.
            let ids = ["user_demo_0001", "user_demo_0002"];
            sim.command("change", json!({"entity": "users", "ids": ids, "set": {"nick_name": name}})).await;
            let second =
                || async { user(&client, "user_demo_0002").await.filter(|user| user["nick_name"] == *name) };
            until(&format!("the good row beside a bad one ({what})"), SOON, second).await;
            let (sync, _) = standing(&server, "users").await;
            assert_eq!(sync["error_class"], Value::Null, "a bad row is no failure of the run: {what}");
            sim.no_fault().await;
        }
        until_counted(&server, "sageapi_sync_rows_total", "entity=\"users\",op=\"quarantined\"", 6.0).await;
        assert!(installation.database.int("SELECT COUNT(*) FROM sync_quarantine").await >= 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sweep_that_would_delete_too_much_is_refused_until_the_platform_has_its_rows_again() {
    for kind in kinds() {
        let (installation, key) = installed(kind).await;
        let sim = SimProcess::start(&WORLD).await;
        let server = sim.mirrored_by(installation.server(), OFTEN).start().await;
        let client = key.client(&server.http());
        mirrored(&sim, &client, &["users"]).await;

        sim.fault(json!({"mode": "status", "status": 503, "entity": "users"})).await;
        until_class(&server, "users", Some("status_5xx")).await;
        let deleted = sim.command("delete", json!({"entity": "users", "count": 100})).await;
        sim.command("expire-cursors", json!({"entity": "users"})).await;
        sim.no_fault().await;
        let (_, status) = until_class(&server, "users", Some("sweep_refused")).await;
        assert_eq!(status, "degraded");
        assert_eq!(shown(&client, "/users").await.len(), 230, "100 of 230 are more than 30 %");

        let back: Vec<_> = deleted["ids"].as_array().unwrap().iter().take(60).collect();
        sim.command("change", json!({"entity": "users", "ids": back})).await;
        until_class(&server, "users", None).await;
        mirrored(&sim, &client, &["users"]).await;
        assert_eq!(shown(&client, "/users").await.len(), 190);
    }
}

/// Two servers on one database and a platform that takes its time: a snapshot of many pages is under way.
async fn two_at_a_slow_snapshot() -> (Installation, SimProcess, [ServerProcess; 2], [Client; 2], usize) {
    let (installation, key) = installed(Kind::MySql).await;
    let sim = SimProcess::start(&WORLD).await;
    sim.fault(json!({"mode": "slow", "delay_ms": 150, "entity": "users"})).await;
    let mut servers = Vec::new();
    for _ in 0..2 {
        let server = sim.mirrored_by(installation.server(), OFTEN).env("SAGEAPI_SYNC_USERS_BATCH_SIZE", "10");
        servers.push(server.start().await);
    }
    let servers: [ServerProcess; 2] = servers.try_into().unwrap();
    let clients = [0, 1].map(|i: usize| key.client(&servers[i].http()));
    let begun = || async {
        let held = [
            metric(&servers[0], "sageapi_leases_held", "name=\"users\"").await,
            metric(&servers[1], "sageapi_leases_held", "name=\"users\"").await,
        ];
        let served = sim.state("users").await["rows_served"].as_u64().unwrap();
        (held[0] + held[1] > 0.0 && served >= 30).then_some(held)
    };
    let (held, _) = until("a run is under way", SOON, begun).await;
    assert!((held[0] + held[1] - 1.0).abs() < 0.1, "one runner, not both: {held:?}");
    let runner = usize::from(held[1] > held[0]);
    (installation, sim, servers, clients, runner)
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_instances_one_runs_and_both_show_the_rows() {
    if !wanted(Kind::MySql) {
        return;
    }
    let (_installation, sim, _servers, clients, _) = two_at_a_slow_snapshot().await;
    let whole = || async {
        let here = shown(&clients[0], "/users").await.len();
        (here == 230 && shown(&clients[1], "/users").await.len() == 230).then_some(())
    };
    until("both show all rows", SOON, whole).await;
    let state = sim.state("users").await;
    assert_eq!(
        (&state["snapshots"], &state["rows_served"]),
        (&json!(1), &json!(230)),
        "every row was served once"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn when_the_runner_is_killed_the_other_goes_on_from_its_cursor_once_the_lease_has_ended() {
    if !wanted(Kind::MySql) {
        return;
    }
    let (installation, sim, mut servers, clients, runner) = two_at_a_slow_snapshot().await;
    let other = 1 - runner;
    servers[runner].kill9();
    sim.no_fault().await;
    let left = installation.database.int("SELECT lease_until - CAST(UNIX_TIMESTAMP(NOW(6)) * 1000000 AS SIGNED) FROM sync_state WHERE entity_type = 'users'").await;
    assert!((1..=60_000_000).contains(&left), "the lease runs out within a minute: {left} us");
    if setting("SAGEAPI_TEST_LONG", 0) == 0 {
        // The other looks every 200 ms; for as long as the lease is held it leaves the run alone.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let held = metric(&servers[other], "sageapi_leases_held", "name=\"users\"").await;
        assert!(held.abs() < f64::EPSILON, "{held}");
        assert!(shown(&clients[other], "/users").await.len() < 230);
        installation
            .database
            .execute("UPDATE sync_state SET lease_until = 1 WHERE entity_type = 'users'")
            .await;
    }
    let whole = || async { (shown(&clients[other], "/users").await.len() == 230).then_some(()) };
    let ((), took) = until("the other has taken over", Duration::from_secs(90), whole).await;
    let state = sim.state("users").await;
    println!(
        "the other instance was done {took:?} after the runner's death (or its lease's); {} rows served for 230",
        state["rows_served"]
    );
    assert_eq!(state["snapshots"], 1, "it went on from the cursor, not from the beginning");
    assert!(state["rows_served"].as_u64().unwrap() <= 250, "at most the two pages under way again: {state}");
    let labels = "entity=\"users\",result=\"ok\"";
    until_counted(&servers[other], "sageapi_sync_runs_total", labels, 1.0).await;
}
