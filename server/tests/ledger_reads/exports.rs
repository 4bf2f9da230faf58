use std::sync::atomic::{AtomicBool, Ordering};

use http::Method;
use sageapi_server::domain::accounts::{AccountingQuery, EXPORT_PAGE, Export};
use sageapi_server::model::{Kind as RecordKind, Reach};
use sageapi_test_support::app::customer_id;
use sageapi_test_support::client::{Answer, Client};
use serde_json::Value;

use crate::ledger::{exported, fill, on_every_database, reverse, walk};

async fn export(client: &Client, query: &str, accept: &str) -> Answer {
    client.call(Method::GET, &format!("/accounting/export{query}")).header("accept", accept).send().await
}

/// Splits CSV into records and cells, as RFC 4180 says.
fn parse_csv(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell) = (Vec::new(), Vec::new(), String::new());
    let (mut quoted, mut chars) = (false, text.chars().peekable());
    while let Some(c) = chars.next() {
        match (c, quoted) {
            ('"', true) if chars.peek() == Some(&'"') => {
                chars.next();
                cell.push('"');
            }
            ('"', _) => quoted = !quoted,
            (',', false) => row.push(std::mem::take(&mut cell)),
            ('\r', false) => {
                assert_eq!(chars.next(), Some('\n'));
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            (c, _) => cell.push(c),
        }
    }
    assert!(cell.is_empty() && row.is_empty() && !quoted, "it ends with a line");
    rows
}

fn check_csv(text: &str, records: &[Value]) {
    let mut rows = parse_csv(text);
    assert_eq!(rows.pop().unwrap(), ["#end".to_owned(), records.len().to_string()]);
    let names = rows.remove(0);
    assert_eq!(rows.len(), records.len());
    for (cells, record) in rows.iter().zip(records) {
        let members = record.as_object().unwrap();
        assert!(names.iter().eq(members.keys()), "{names:?}");
        for (cell, (name, value)) in cells.iter().zip(members) {
            match value {
                Value::Null => assert_eq!(cell, "", "{name}"),
                Value::String(text) => assert_eq!(cell.strip_prefix('\'').unwrap_or(cell), text, "{name}"),
                other => assert_eq!(*cell, other.to_string(), "{name}"),
            }
        }
    }
}

#[test]
fn an_export_is_the_whole_list_however_long() {
    on_every_database(async |app| {
        let key = app.customer("org-e", "0").await;
        let mut there = 0;
        for count in [0, 1, 99, 100, 101, 1000, 1001, 20_000] {
            fill(&app.env, "org-e", there, count - there).await;
            there = count;
            let list = walk(&key, "/accounting?order=asc&limit=1000", async || ()).await;
            assert_eq!(list.len(), count);
            assert_eq!(exported(&export(&key, "", "*/*").await.text()), list);
            check_csv(&export(&key, "", "text/csv").await.text(), &list);
            if count == 1001 {
                let everywhere = walk(&app.platform, "/accounting?order=asc&limit=1000", async || ()).await;
                assert_eq!(exported(&export(&app.platform, "", "").await.text()), everywhere);
            }
        }
    });
}

#[test]
fn an_export_has_one_page_in_memory_at_a_time() {
    on_every_database(async |app| {
        app.customer("org-e", "0").await;
        let page = usize::from(EXPORT_PAGE);
        let all = 5 * page + 1;
        fill(&app.env, "org-e", 0, all).await;
        for customer_id in [Some(customer_id("org-e")), None] {
            let query = AccountingQuery { customer_id, ..AccountingQuery::default() };
            let mut export = Export::start(app.env.store().clone(), &Reach::Everything, query).await.unwrap();
            let mut pages = Vec::new();
            loop {
                let rows = export.next_page().await.unwrap().len();
                if rows == 0 {
                    break;
                }
                pages.push(rows);
            }
            assert_eq!(pages, [page, page, page, page, page, 1]);
        }
    });
}

#[test]
fn an_export_takes_the_filters_of_the_list() {
    on_every_database(async |app| {
        app.customer("org-e", "0").await;
        app.customer("org-f", "0").await;
        fill(&app.env, "org-e", 0, 1500).await;
        fill(&app.env, "org-f", 0, 1300).await;
        let first = app.platform.get("/accounting?customer_id=org-f&order=asc&limit=2").await;
        reverse(&app.env, "org-f", first.rows()[1]["id"].as_str().unwrap(), None).await;
        for query in [
            "?kind=charge",
            "?customer_id=org-f",
            "?customer_id=org-f&user_id=u-1&model=model-2",
            "?status=reversed",
            "?status=accounted&customer_id=org-f",
            "?status=pending",
            "?transno=t-7",
            "?from=2001-01-01T00:00:00Z&to=9999-01-01T00:00:00Z",
            "?customer_id=org-f&from=2001-01-01T00:00:00Z&to=2001-01-01T00:00:00Z",
            "?customer_id=nobody",
        ] {
            let list =
                walk(&app.platform, &format!("/accounting{query}&order=asc&limit=1000"), async || ()).await;
            let answer = export(&app.platform, query, "application/x-ndjson").await;
            assert_eq!(exported(&answer.text()), list, "{query}");
        }
        for (query, code) in [
            ("?limit=5", "unknown_parameter"),
            ("?cursor=x", "unknown_parameter"),
            ("?status=gone", "invalid_request"),
            ("?kind=gone", "invalid_request"),
        ] {
            assert_eq!(export(&app.platform, query, "*/*").await.problem(), (400, code), "{query}");
        }
    });
}

#[test]
fn an_export_says_what_it_is_and_has_no_entity_tag() {
    on_every_database(async |app| {
        let key = app.customer("org-e", "5").await;
        for (accept, content_type, name) in [
            ("*/*", "application/x-ndjson", "accounting.ndjson"),
            ("text/csv", "text/csv; charset=utf-8; header=present", "accounting.csv"),
            ("text/html,*/*;q=0.1", "application/x-ndjson", "accounting.ndjson"),
        ] {
            for method in [Method::GET, Method::HEAD] {
                let call = key.call(method.clone(), "/accounting/export").header("accept", accept);
                let answer = call.header("if-none-match", "*").send().await;
                assert_eq!(answer.status, 200, "{accept}");
                assert_eq!(answer.header("content-type"), content_type);
                assert_eq!(answer.header("content-disposition"), format!("attachment; filename=\"{name}\""));
                assert_eq!((answer.header("etag"), answer.header("content-length")), ("", ""), "{method}");
                assert_eq!(answer.bytes.is_empty(), method == Method::HEAD);
            }
        }
        let refused = export(&key, "", "application/json").await;
        assert_eq!(
            (refused.problem(), &refused.body["errors"][0]["field"]),
            ((400, "invalid_request"), &"accept".into())
        );
        assert_eq!(export(&key, "?customer_id=org-x", "*/*").await.problem(), (403, "customer_forbidden"));
        let unsigned = key.call(Method::GET, "/accounting/export").unsigned().send().await;
        assert_eq!(unsigned.problem(), (401, "auth_missing"));
    });
}

#[test]
fn an_export_is_of_one_moment_while_others_book() {
    on_every_database(async |app| {
        let key = app.customer("org-e", "0").await;
        fill(&app.env, "org-e", 0, 3000).await;
        let done = AtomicBool::new(false);
        let book = async {
            while !done.load(Ordering::Relaxed) {
                app.book("org-e", RecordKind::Credit, "1").await;
            }
        };
        let read = async {
            for _ in 0..3 {
                let before = key.get("/balance").await.data()["seq"].as_i64().unwrap();
                let rows = exported(&export(&key, "", "*/*").await.text());
                let after =
                    app.env.balances().get(&customer_id("org-e"), true).await.unwrap().customer.last_seq;
                let seqs: Vec<_> = rows.iter().map(|row| row["seq"].as_i64().unwrap()).collect();
                let last = *seqs.last().unwrap();
                assert!(seqs.iter().copied().eq(1..=last), "a gap or a double");
                assert!((before..=after).contains(&last), "{before} {last} {after}");
            }
            done.store(true, Ordering::Relaxed);
        };
        tokio::join!(book, read);
    });
}
