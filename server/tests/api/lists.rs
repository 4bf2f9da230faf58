//! What all lists have in common, shown on accounting records: pages, order, filters, cursors.

use std::collections::BTreeSet;

use sageapi_server::model::{Kind as RecordKind, Timestamp};
use serde_json::{Value, json};

use crate::raw::Credentials;
use crate::site::{Customer, Row, Site, on_every_database};

/// Walks a list to its end; the rows in the order they came.
pub async fn walk(site: &Site, key: &Credentials, path: &str) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    for _ in 0..1000 {
        let joint = if path.contains('?') { '&' } else { '?' };
        let page = if cursor.is_empty() { path.to_owned() } else { format!("{path}{joint}cursor={cursor}") };
        let page = site.get(key, &page).await;
        rows.extend(page.rows().iter().cloned());
        match &page.data()["next_cursor"] {
            Value::Null => return rows,
            next => next.as_str().unwrap().clone_into(&mut cursor),
        }
    }
    panic!("{path} has no end");
}

fn seqs(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["seq"].as_i64().unwrap()).collect()
}

/// A customer with `count` charges of 1 after its credit.
async fn charged(site: &Site, count: usize) -> Customer {
    let c = site.customer("1000").await;
    for n in 0..count {
        let body = json!({
            "transno": format!("t-{n}"), "amount": "1", "user_id": format!("u-{}", n % 3), "llmid": format!("l-{}", n % 2),
            "model": format!("m-{}", n % 4), "request_id": format!("r-{}", n % 5),
            "event_time": format!("2026-01-01T00:00:{:02}Z", n % 60),
        });
        assert_eq!(site.post(&c.key, "/accounting", &body).await.status, 201);
    }
    c
}

#[test]
fn a_list_is_walked_without_gap_or_double_in_both_orders() {
    on_every_database(async |site| {
        let c = charged(&site, 24).await;
        let newest_first: Vec<i64> = (1..=25).rev().collect();
        let oldest_first: Vec<i64> = (1..=25).collect();
        for limit in [1, 7, 24, 25, 26, 1000] {
            assert_eq!(seqs(&walk(&site, &c.key, &format!("/accounting?limit={limit}")).await), newest_first);
            let oldest = format!("/accounting?order=asc&limit={limit}");
            assert_eq!(seqs(&walk(&site, &c.key, &oldest).await), oldest_first);
        }
        let named = format!("/accounting?customer_id={}&limit=6&order=desc", c.id);
        assert_eq!(seqs(&walk(&site, &c.key, &named).await), newest_first);
        assert_eq!(seqs(&walk(&site, &site.platform, &named).await), newest_first);
        let whole = site.get(&c.key, "/accounting?limit=25").await;
        assert!(whole.data()["next_cursor"].is_null() && whole.data().get("total").is_none());
    });
}

#[test]
fn a_walk_is_stable_while_records_are_added() {
    on_every_database(async |site| {
        let c = charged(&site, 9).await;
        let (mut newest, mut oldest, mut down, mut up) =
            (String::new(), String::new(), Vec::new(), Vec::new());
        for _ in 0..5 {
            let page = site.get(&c.key, &format!("/accounting?limit=2{newest}")).await;
            down.extend(seqs(page.rows()));
            newest = format!("&cursor={}", page.data()["next_cursor"].as_str().unwrap_or_default());
            let page = site.get(&c.key, &format!("/accounting?limit=2&order=asc{oldest}")).await;
            up.extend(seqs(page.rows()));
            oldest = format!("&cursor={}", page.data()["next_cursor"].as_str().unwrap_or_default());
            site.app.book(&c.id, RecordKind::Charge, "1").await;
        }
        assert_eq!(down, (1..=10).rev().collect::<Vec<i64>>());
        assert_eq!(up, (1..=10).collect::<Vec<i64>>());
    });
}

#[test]
fn the_platform_lists_all_customers_by_time() {
    on_every_database(async |site| {
        let customers = [charged(&site, 5).await, charged(&site, 4).await, site.customer("1").await];
        let all = walk(&site, &site.platform, "/accounting?limit=3").await;
        assert_eq!(all.len(), 12);
        let times: Vec<_> = all.iter().map(|row| row["created_at"].as_str().unwrap()).collect();
        assert!(times.is_sorted_by(|a, b| a >= b), "{times:?}");
        let ids: BTreeSet<_> = all.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!(ids.len(), 12);
        let mut oldest = walk(&site, &site.platform, "/accounting?limit=5&order=asc").await;
        oldest.reverse();
        assert_eq!(oldest, all);
        for c in &customers {
            assert!(all.iter().any(|row| row["customer_id"] == c.id));
            let own = walk(&site, &c.key, "/accounting").await;
            assert!(own.iter().all(|row| row["customer_id"] == c.id), "a customer sees its own alone");
        }
        let foreign =
            site.get(&customers[0].key, &format!("/accounting?customer_id={}", customers[1].id)).await;
        assert_eq!(foreign.refusal(), (403, "customer_forbidden"));
    });
}

#[test]
fn filters_narrow_the_list_together() {
    on_every_database(async |site| {
        let c = charged(&site, 12).await;
        for (filter, count) in [
            ("kind=charge", 12),
            ("kind=credit", 1),
            ("kind=adjustment", 0),
            ("kind=opening", 0),
            ("user_id=u-1", 4),
            ("llmid=l-1", 6),
            ("model=m-3", 3),
            ("request_id=r-0", 3),
            ("transno=t-7", 1),
            ("transno=T-7", 0),
            ("user_id=u-1&llmid=l-1", 2),
            ("user_id=u-1&llmid=l-1&model=m-3", 1),
            ("status=accounted", 13),
            ("status=reversed", 0),
            ("status=pending", 0),
            ("status=failed", 0),
            ("event_from=2026-01-01T00:00:03Z&event_to=2026-01-01T00:00:05Z", 2),
            ("event_from=2026-01-01T00%3A00%3A11Z&event_to=2026-01-02T00:00:00Z", 1),
            ("event_to=2026-01-01T00:00:00Z", 0),
            ("to=2001-01-01T00:00:00Z", 0),
            ("from=2001-01-01T00:00:00Z", 13),
            ("from=9999-01-01T00:00:00Z", 0),
            ("user_id=nobody", 0),
        ] {
            let list = site.get(&c.key, &format!("/accounting?count=true&limit=2&{filter}")).await;
            assert_eq!(list.data()["total"], count, "{filter}");
            assert_eq!(
                walk(&site, &c.key, &format!("/accounting?limit=2&{filter}")).await.len(),
                count,
                "{filter}"
            );
            let by_platform = format!("/accounting?customer_id={}&limit=1000&{filter}", c.id);
            assert_eq!(site.get(&site.platform, &by_platform).await.rows().len(), count, "{filter}");
        }
        let everywhere = site.get(&site.platform, "/accounting?transno=t-7").await;
        assert!(everywhere.rows().iter().any(|row| row["customer_id"] == c.id));
    });
}

#[test]
fn times_of_creation_are_half_open() {
    on_every_database(async |site| {
        let c = charged(&site, 6).await;
        let rows = walk(&site, &c.key, "/accounting?order=asc").await;
        let at = |n: usize| rows[n]["created_at"].as_str().unwrap().to_owned();
        let expected = |from: usize, to: usize| {
            let inside = |row: &&Value| {
                let time = Timestamp::parse(row["created_at"].as_str().unwrap()).unwrap();
                Timestamp::parse(&at(from)).unwrap() <= time && time < Timestamp::parse(&at(to)).unwrap()
            };
            rows.iter().filter(inside).count()
        };
        for (from, to) in [(1, 4), (0, 6), (3, 3)] {
            let path = format!("/accounting?from={}&to={}", at(from), at(to));
            assert_eq!(site.get(&c.key, &path).await.rows().len(), expected(from, to), "{path}");
            assert_eq!(walk(&site, &c.key, &format!("{path}&limit=1")).await.len(), expected(from, to));
        }
    });
}

#[test]
fn a_cursor_belongs_to_its_list() {
    on_every_database(async |site| {
        let (c, other) = (charged(&site, 6).await, charged(&site, 6).await);
        let first = site.get(&c.key, "/accounting?limit=2&kind=charge").await;
        let cursor = first.data()["next_cursor"].as_str().unwrap().to_owned();
        // The same list, however it is written and however long its pages.
        for same in [
            format!("/accounting?kind=charge&cursor={cursor}"),
            format!("/accounting?cursor={cursor}&limit=1&kind=charge&order=desc&count=true"),
            format!("/accounting?kind=charge&cursor={cursor}&customer_id={}", c.id),
        ] {
            let page = site.get(&c.key, &same).await;
            assert_eq!(page.rows()[0]["seq"], 5, "{same}");
        }
        let flipped = format!("{}{}", if cursor.starts_with('A') { 'B' } else { 'A' }, &cursor[1..]);
        for foreign in [
            format!("/accounting?cursor={cursor}"),
            format!("/accounting?kind=credit&cursor={cursor}"),
            format!("/accounting?kind=charge&order=asc&cursor={cursor}"),
            format!("/accounting?kind=charge&user_id=u-1&cursor={cursor}"),
            format!("/accounting?kind=charge&from=2001-01-01T00:00:00Z&cursor={cursor}"),
            format!("/accounting?kind=charge&cursor={flipped}"),
            format!("/accounting?kind=charge&cursor={}", &cursor[..cursor.len() - 1]),
            format!("/accounting?kind=charge&cursor={cursor}A"),
            "/accounting?kind=charge&cursor=".to_owned(),
            "/accounting?kind=charge&cursor=AAAA".to_owned(),
            "/accounting?kind=charge&cursor=%00%ff".replace("%ff", ""),
            format!("/accounting?kind=charge&cursor={}", "A".repeat(5000)),
            format!("/users?cursor={cursor}"),
            format!("/pricing?cursor={cursor}"),
            format!("/models?cursor={cursor}"),
            format!("/uapis?cursor={cursor}"),
        ] {
            let reply = site.get(&c.key, &foreign).await;
            assert_eq!(reply.refusal(), (400, "invalid_cursor"), "{foreign}");
        }
        let stolen = site.get(&other.key, &format!("/accounting?kind=charge&cursor={cursor}")).await;
        assert_eq!(stolen.refusal(), (400, "invalid_cursor"), "another customer's list is another list");
        let wide = site.get(&site.platform, &format!("/accounting?kind=charge&cursor={cursor}")).await;
        assert_eq!(wide.refusal(), (400, "invalid_cursor"));
    });
}

#[test]
fn limits_have_bounds_and_parameters_names() {
    on_every_database(async |site| {
        let c = charged(&site, 1).await;
        for path in ["/accounting", "/users", "/pricing", "/models", "/uapis"] {
            for good in [
                "limit=1",
                "limit=1000",
                "limit=100&order=asc&count=true",
                "count=false&order=desc",
                "",
                "&&",
            ] {
                assert_eq!(site.get(&c.key, &format!("{path}?{good}")).await.status, 200, "{path}?{good}");
            }
            for (wrong, field) in [
                ("limit=0", "limit"),
                ("limit=1001", "limit"),
                ("limit=-1", "limit"),
                ("limit=%2B1", "limit"),
                ("limit=1.0", "limit"),
                ("limit=", "limit"),
                ("limit=99999999999999999999", "limit"),
                ("order=newest", "order"),
                ("order=", "order"),
                ("count=1", "count"),
                ("from=2026-01-01", "from"),
                ("to=yesterday", "to"),
                ("from=1969-12-31T23:59:59Z", "from"),
                ("limit=5&limit=5", "limit"),
                ("limit=5&%6Cimit=6", "limit"),
                ("order=%ff", "order"),
            ] {
                let reply = site.get(&c.key, &format!("{path}?{wrong}")).await;
                assert_eq!(reply.refusal(), (400, "invalid_request"), "{path}?{wrong}");
                assert_eq!(reply.json["errors"][0]["field"], field, "{path}?{wrong}");
            }
            for (unknown, name) in
                [("nope=1", "nope"), ("Limit=1", "Limit"), ("limit=1&x%20y=2", "x y"), ("=1", "")]
            {
                let reply = site.get(&c.key, &format!("{path}?{unknown}")).await;
                assert_eq!(reply.refusal(), (400, "unknown_parameter"), "{path}?{unknown}");
                if name != "x y" {
                    assert_eq!(reply.json["errors"][0]["field"], name, "{path}?{unknown}");
                }
            }
        }
        for path in [
            "/balance?limit=1",
            "/whoami?a=b",
            "/health?a=b",
            "/openapi.json?a",
            "/users/u?at=x",
            "/models/m?limit=1",
        ] {
            assert_eq!(site.get(&c.key, path).await.refusal(), (400, "unknown_parameter"), "{path}");
        }
    });
}

#[test]
fn a_total_is_counted_no_further_than_ten_thousand() {
    on_every_database(async |site| {
        use sageapi_server::model::Entity;
        let ids: Vec<String> = (0..10_001).map(|n| format!("u-{n:05}")).collect();
        for slice in ids.chunks(500) {
            let rows: Vec<_> =
                slice.iter().map(|id| Row::new(id, &[("username", "u"), ("orgid", "org-many")])).collect();
            site.mirror(Entity::Users, &rows).await;
        }
        let page = site.get(&site.platform, "/users?count=true&limit=1&customer_id=org-many").await;
        assert_eq!(page.data()["total"], 10_000);
        // Rows of one and the same time are walked by their ids.
        let all = walk(&site, &site.platform, "/users?customer_id=org-many&limit=1000").await;
        let got: BTreeSet<_> = all.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!((all.len(), got.len()), (10_001, 10_001));
    });
}
