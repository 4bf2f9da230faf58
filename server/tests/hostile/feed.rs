//! A platform that answers nonsense: every way the simulator knows, then pages made by hand.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use sageapi_server::model::Entity;
use sageapi_server::sync::{RunReport, SyncError};
use sageapi_test_support::app::App;
use sageapi_test_support::client::Client;
use sageapi_test_support::database::Kind;
use sageapi_test_support::server::ServerBuilder;
use sageapi_upstream_sim::fault::{BadRow, Fault, Mode};
use sageapi_upstream_sim::world::Counts;
use sageapi_upstream_sim::{DEMO_KEY, DEMO_SECRET, Entity as Feed, Options, Rows, Sim};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use crate::victim::{Victim, on_every_database};

const USERS: u64 = 120;

/// As long as a busy machine may take to read a page; only who waits for it to pass takes less.
pub const TIMEOUT: &str = "20s";

pub async fn mirroring(kind: Kind, url: &str, timeout: &str) -> App {
    App::builder(kind)
        .set("SAGEAPI_UPSTREAM_URL", url)
        .set("SAGEAPI_UPSTREAM_DAPI_KEY", DEMO_KEY)
        .set("SAGEAPI_UPSTREAM_DAPI_SECRET", DEMO_SECRET)
        .set("SAGEAPI_UPSTREAM_TIMEOUT", timeout)
        .set("SAGEAPI_SYNC_USERS_BATCH_SIZE", "50")
        // Runs are asked for one by one.
        .without_background()
        .start()
        .await
}

pub async fn pull(app: &App, entity: Entity) -> Result<RunReport, SyncError> {
    app.env.sync().run_once(entity, &|_| ()).await
}

async fn users(client: &Client) -> u64 {
    client.get("/users?count=true&limit=1").await.data()["total"].as_u64().unwrap()
}

#[test]
fn whatever_the_platform_does_the_data_is_kept_and_the_cause_is_told() {
    on_every_database(async |kind| {
        let faults = [
            (Mode::Down, "broken"),
            (Mode::Status, "status_5xx"),
            (Mode::Truncated, "malformed"),
            (Mode::Cut, "broken"),
            (Mode::WrongContent, "wrong_content"),
            (Mode::Huge, "too_large"),
            (Mode::Redirect, "redirect"),
            (Mode::Garbage, "malformed"),
        ];
        outlives(kind, TIMEOUT, &faults).await;
        outlives(kind, "2s", &[(Mode::Slow, "timeout"), (Mode::Stall, "timeout")]).await;
    });
}

async fn outlives(kind: Kind, timeout: &str, faults: &[(Mode, &str)]) {
    let sim = Sim::start(Options { counts: small(), ..Options::default() }).await.unwrap();
    let app = mirroring(kind, &sim.feed_url(), timeout).await;
    for entity in Entity::ALL {
        pull(&app, entity).await.unwrap();
    }
    assert_eq!(users(&app.platform).await, USERS);
    let listed = async || app.platform.get("/users?limit=1000").await.text();
    for &(mode, class) in faults {
        let before = listed().await;
        // Something to pull, so that the answer matters.
        sim.control.change(Feed::Users, &Rows::Count(1), None).unwrap();
        let delay_ms = matches!(mode, Mode::Slow | Mode::Stall).then_some(10_000);
        sim.control.fault(Fault { delay_ms, ..Fault::new(mode) });
        for entity in [Entity::Users, Entity::Pricing] {
            let failed = pull(&app, entity).await.unwrap_err();
            assert_eq!(failed.class(), class, "{mode:?} {entity}: {failed}");
            let text = failed.to_string();
            assert!(!text.contains(DEMO_SECRET) && text.len() < 2000, "{text}");
        }
        let health = app.platform.get("/health").await;
        assert_eq!(health.status, 200, "stale data is served");
        assert_eq!(health.data()["sync"]["users"]["error_class"], class, "{health}");
        assert!(!health.text().contains("127.0.0.1"), "only the class is told: {health}");
        assert_eq!(listed().await, before, "{mode:?} changed the data");
        sim.control.fault(Fault::new(Mode::None));
        assert!(pull(&app, Entity::Users).await.unwrap().upserts >= 1, "{mode:?} lost the place");
        assert_ne!(listed().await, before);
    }
    assert_eq!(sim.control.state_report().redirects_followed, 0);
    assert_eq!(users(&app.platform).await, USERS);
    sim.stop().await;
    app.stop().await;
}

#[test]
fn a_bad_row_is_set_aside_and_its_neighbours_arrive() {
    on_every_database(async |kind| {
        let sim = Sim::start(Options { counts: small(), ..Options::default() }).await.unwrap();
        let app = mirroring(kind, &sim.feed_url(), TIMEOUT).await;
        for what in [BadRow::Data, BadRow::NoData, BadRow::Version, BadRow::Op, BadRow::Id, BadRow::Null] {
            sim.control.change(Feed::Users, &Rows::Count(10), None).unwrap();
            sim.control.fault(Fault { what: Some(what), ..Fault::new(Mode::BadRow) }.times(1));
            let report = pull(&app, Entity::Users).await.unwrap();
            assert_eq!(report.quarantined, 1, "{what:?}");
            assert!(report.upserts >= 9, "{what:?}: {report:?}");
        }
        sim.stop().await;
        app.stop().await;
    });
}

fn small() -> Counts {
    Counts { users: USERS, customers: 4, models: 8, apis: 4, programs: 5, ..Counts::default() }
}

/// A platform that answers every pull with the same bytes.
pub struct Liar {
    pub url: String,
    says: Arc<Mutex<Vec<u8>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Liar {
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let says = Arc::new(Mutex::new(Vec::new()));
        let saying = Arc::clone(&says);
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let body = saying.lock().unwrap().clone();
                let mut head = [0; 16 * 1024];
                // One read has the whole of a GET; if it had not, the answer would come early, which is as well.
                let _ = stream.read(&mut head).await;
                let answer = format!(
                    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n",
                    body.len()
                );
                let _ = stream.write_all(&[answer.into_bytes(), body].concat()).await;
                let _ = stream.shutdown().await;
            }
        });
        Self { url, says, task }
    }

    pub fn says(&self, body: impl Into<Vec<u8>>) {
        *self.says.lock().unwrap() = body.into();
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.task.abort();
    }
}

#[test]
fn a_page_that_is_none_changes_nothing() {
    on_every_database(async |kind| {
        let liar = Liar::start().await;
        let app = mirroring(kind, &liar.url, TIMEOUT).await;
        liar.says(r#"{"status":"ok","data":{"rows":[{"id":"u-1","op":"upsert","version":1,"data":{"username":"ann"}}],"next":"c-1","has_more":false}}"#);
        pull(&app, Entity::Users).await.unwrap();
        let row = r#"{"id":"u-2","op":"upsert","version":1,"data":{"username":"x"}}"#;
        let many = vec![row; 10_001].join(",");
        let pages = [
            ("nothing", String::new()),
            ("null", "null".into()),
            ("a list", "[]".into()),
            ("an empty object", "{}".into()),
            ("an error", r#"{"status":"error","message":"x"}"#.into()),
            ("no data", r#"{"status":"ok"}"#.into()),
            ("null data", r#"{"status":"ok","data":null}"#.into()),
            ("no rows", r#"{"status":"ok","data":{"next":"x","has_more":false}}"#.into()),
            ("rows that are an object", r#"{"status":"ok","data":{"rows":{},"has_more":false}}"#.into()),
            ("rows that are a text", r#"{"status":"ok","data":{"rows":"x"}}"#.into()),
            ("data twice", format!(r#"{{"status":"ok","data":{{"rows":[]}},"data":{{"rows":[{row}]}}}}"#)),
            ("a next that is a number", format!(r#"{{"status":"ok","data":{{"rows":[{row}],"next":5}}}}"#)),
            (
                "a next of 2,000",
                format!(r#"{{"status":"ok","data":{{"rows":[{row}],"next":"{}"}}}}"#, "n".repeat(2000)),
            ),
            ("a next with a NUL", format!(r#"{{"status":"ok","data":{{"rows":[{row}],"next":"a\u0000"}}}}"#)),
            ("more, but no next", format!(r#"{{"status":"ok","data":{{"rows":[{row}],"has_more":true}}}}"#)),
            (
                "more, but nothing now",
                r#"{"status":"ok","data":{"rows":[],"next":"z","has_more":true}}"#.into(),
            ),
            (
                "more, and standing still",
                format!(r#"{{"status":"ok","data":{{"rows":[{row}],"next":"c-1","has_more":true}}}}"#),
            ),
            ("too many rows", format!(r#"{{"status":"ok","data":{{"rows":[{many}],"next":"z"}}}}"#)),
            ("depth 100,000", format!(r#"{{"status":"ok","data":{{"rows":[{}"#, "[".repeat(100_000))),
            (
                "objects of depth 100,000",
                format!(r#"{{"status":"ok","data":{{"rows":[{}"#, r#"{"a":"#.repeat(100_000)),
            ),
            ("a tail", format!(r#"{{"status":"ok","data":{{"rows":[{row}]}}}} x"#)),
            ("HTML", "<html><body>502</body></html>".into()),
        ];
        for (what, page) in pages {
            liar.says(page);
            let failed =
                pull(&app, Entity::Users).await.map(|report| format!("{what}: {report:?}")).unwrap_err();
            assert_eq!(failed.class(), "malformed", "{what}: {failed}");
            assert!(failed.to_string().len() < 2000, "{what}");
        }
        liar.says(b"{\"status\":\"ok\",\"data\":{\"rows\":[\xff]}}".to_vec());
        assert_eq!(pull(&app, Entity::Users).await.unwrap_err().class(), "malformed");
        assert_eq!(users(&app.platform).await, 1);
        assert_eq!(app.platform.get("/users/u-1").await.data()["username"], "ann");
        app.stop().await;
    });
}

/// Rows that are wrong in one thing, by what their entity has.
fn bad_rows(entity: Entity) -> Vec<String> {
    let row = |id: &str, op: &str, version: &str, data: &str| {
        format!(r#"{{"id":{id},"op":{op},"version":{version},"data":{data}}}"#)
    };
    let mut rows: Vec<String> =
        ["null", "5", "\"x\"", "[]", "{}", "true", "[[[[]]]]"].map(str::to_owned).into();
    for id in [
        "null",
        "\"\"",
        "\" \"",
        "\"a b\"",
        "\"a\\u0000\"",
        "\"ü\"",
        "[]",
        "{}",
        "true",
        &format!("\"{}\"", "i".repeat(65)),
    ] {
        rows.push(row(id, "\"upsert\"", "1", "{}"));
    }
    for op in ["null", "\"UPSERT\"", "\"drop\"", "1", "[]"] {
        rows.push(row("\"bad\"", op, "1", "{}"));
    }
    for version in
        ["null", "-1", "1.5", "1e3", "\"1\"", "9223372036854775808", "99999999999999999999999999", "[]"]
    {
        rows.push(row("\"bad\"", "\"upsert\"", version, "{}"));
    }
    for data in ["null", "5", "[]", "\"x\""] {
        rows.push(row("\"bad\"", "\"upsert\"", "1", data));
    }
    for column in entity.columns() {
        for value in [
            "{}",
            "[1]",
            "true",
            "1e400",
            "\"a\\u0000b\"",
            "\"\\ud83d\\ude00\"",
            "\"'; DROP TABLE users; --\"",
            "\"\"",
            "-1",
            "1.5",
            "99999999999999999999",
            "\"2026-13-45\"",
            "\"-0001-01-01\"",
            "\"NaN\"",
            "\"1e9\"",
            "\"a: [\"",
            "\"&a [*a]\"",
            "\"a: 1\\na: 2\"",
        ] {
            rows.push(row("\"odd\"", "\"upsert\"", "1", &format!(r#"{{"{}":{value}}}"#, column.name)));
        }
        rows.push(row(
            "\"odd\"",
            "\"upsert\"",
            "1",
            &format!(r#"{{"{}":"{}"}}"#, column.name, "x".repeat(200_000)),
        ));
        rows.push(row(
            "\"odd\"",
            "\"upsert\"",
            "1",
            &format!(r#"{{"{}":"{}"}}"#, column.name, "😀".repeat(5000)),
        ));
        let deep = format!("{}{}", "[".repeat(120), "]".repeat(120));
        rows.push(row("\"odd\"", "\"upsert\"", "1", &format!(r#"{{"{}":{deep}}}"#, column.name)));
        let bomb: String = (0..12)
            .map(|n| match n {
                0 => "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\\n".to_owned(),
                _ => format!("a{n}: &a{n} [{}]\\n", vec![format!("*a{}", n - 1); 10].join(", ")),
            })
            .collect();
        rows.push(row("\"odd\"", "\"upsert\"", "1", &format!(r#"{{"{}":"{bomb}"}}"#, column.name)));
        rows.push(row("\"bad\"", "\"upsert\"", "1", &format!(r#"{{"{0}":"a","{0}":"b"}}"#, column.name)));
    }
    rows.push(row("\"odd\"", "\"upsert\"", "9223372036854775807", "{}"));
    rows
}

#[test]
fn whatever_stands_in_a_row_the_page_is_applied_and_can_be_read() {
    on_every_database(async |kind| {
        let liar = Liar::start().await;
        let app = mirroring(kind, &liar.url, TIMEOUT).await;
        for (entity, list) in [
            (Entity::Users, "/users"),
            (Entity::Pricing, "/pricing"),
            (Entity::Llmage, "/models"),
            (Entity::Uapi, "/uapis"),
        ] {
            let (mut aside, mut taken) = (0, 0);
            let bad = bad_rows(entity);
            for (n, bad) in bad.iter().enumerate() {
                // A row of its own beside it shows that the page arrived.
                let good = format!(r#"{{"id":"good","op":"upsert","version":{},"data":{{}}}}"#, n + 1);
                let odd = bad.replace("\"version\":1,", &format!("\"version\":{},", n + 1));
                liar.says(format!(
                    r#"{{"status":"ok","data":{{"rows":[{odd},{good}],"next":"c-{n}","has_more":false}}}}"#
                ));
                let shown: String = bad.chars().take(120).collect();
                let report = pull(&app, entity).await.unwrap_or_else(|e| panic!("{entity} {shown}: {e}"));
                aside += report.quarantined;
                taken += report.upserts + report.deletes;
                assert_eq!(
                    report.quarantined + report.upserts + report.deletes,
                    2,
                    "{entity} {shown}: {report:?}"
                );
                let rows = app.platform.get(list).await;
                assert_eq!(rows.status, 200, "{entity} {shown}: {rows}");
                let good = rows.rows().iter().find(|row| row["id"] == "good").unwrap();
                assert_eq!(good["version"], n + 1, "{entity} {shown}");
            }
            eprintln!(
                "{entity}: of {} odd rows {aside} were set aside and {} taken",
                bad.len(),
                usize::try_from(taken).unwrap() - bad.len()
            );
        }
        for path in [
            "/pricing?status=current",
            "/pricing?llmid=x",
            "/models/odd",
            "/users/odd",
            "/users?q=x",
            "/health",
        ] {
            let reply = app.platform.get(path).await;
            assert!(matches!(reply.status.as_u16(), 200 | 404), "{path}: {reply}");
        }
        app.stop().await;
    });
}

#[test]
fn a_huge_answer_costs_the_server_little_memory() {
    on_every_database(async |kind| {
        let sim = Sim::start(Options { counts: small(), ..Options::default() }).await.unwrap();
        let url = sim.feed_url();
        let every = |builder: ServerBuilder| {
            let builder = builder.upstream(&url, DEMO_KEY, DEMO_SECRET).env("SAGEAPI_SYNC_USERS_EVERY", "1s");
            ["PRICING", "LLMAGE", "UAPI"]
                .iter()
                .fold(builder, |b, name| b.env(&format!("SAGEAPI_SYNC_{name}_EVERY"), "1h"))
        };
        let mut victim = Victim::start_with(kind, every).await;
        until("the first pull", async || sim.control.state_report().entities["users"].rows_served >= USERS)
            .await;
        let before = victim.server.process().resident_bytes();
        sim.control.fault(Fault { bytes: Some(1 << 30), ..Fault::new(Mode::Huge) }.on(Feed::Users).times(2));
        until("two huge answers", async || sim.control.state_report().entities["users"].faulted >= 2).await;
        let requests = sim.control.state_report().entities["users"].requests;
        until("a pull after them", async || sim.control.state_report().entities["users"].requests > requests)
            .await;
        let after = victim.server.process().resident_bytes();
        eprintln!("two answers of 1 GiB on {kind}: {} MiB before, {} MiB after", before >> 20, after >> 20);
        // An answer may have 32 MiB before it counts as too large.
        assert!(after.saturating_sub(before) <= 72 << 20, "{} MiB", (after - before) >> 20);
        victim.assert_unharmed().await;
        sim.stop().await;
    });
}

async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waiting = async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(60), waiting).await.is_ok(), "{what}: not in time");
}
