//! GET /usage and /usage/export: lists of usage records, page by page, and all of them at once.

use std::collections::BTreeSet;

use http::header::ACCEPT;
use sageapi_server::model::{Timestamp, UserRole};
use serde_json::{Value, json};

use crate::lists::walk;
use crate::people::signing_in;
use crate::raw::{Ask, Credentials, Reply};
use crate::site::{Customer, Site, on_every_database, on_every_database_with};
use crate::usage::{record, stocked};

/// Records `count` more requests in batches. Users, models and statuses come in turns.
pub async fn used(site: &Site, key: &Credentials, from: usize, count: usize) {
    let item = |n: usize| {
        let mut item = json!({
            "request_id": format!("r-{n}"), "user_id": format!("u-{}", n % 3), "model": (["large", "small"][n % 2]),
            "input_tokens": n, "output_tokens": 1, "event_time": format!("2026-01-01T00:{:02}:00Z", n % 60),
        });
        item["status_code"] = [json!(200), json!(500), Value::Null][n % 3].clone();
        if n % 4 == 3 {
            item["actual_model"] = json!("large");
        }
        item
    };
    let items: Vec<_> = (from..from + count).map(item).collect();
    for items in items.chunks(500) {
        let answer = site.post(key, "/usage/batch", &json!(items)).await;
        assert_eq!(answer.data()["rejected"], 0, "{}", answer.text());
    }
}

fn useqs(rows: &[Value]) -> Vec<i64> {
    rows.iter().map(|row| row["useq"].as_i64().unwrap()).collect()
}

/// The events of these tests are of a fixed day, however long ago that is.
fn keeping(builder: sageapi_test_support::app::AppBuilder) -> sageapi_test_support::app::AppBuilder {
    builder.set("SAGEAPI_USAGE_RETENTION", "0s")
}

async fn export(site: &Site, key: &Credentials, query: &str, accept: &str) -> Reply {
    let ask = Ask::get(&format!("/usage/export{query}")).header(ACCEPT.as_str(), accept);
    let reply = site.send(ask, key).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    reply
}

/// The records of an export as NDJSON, which is complete.
fn exported(reply: &Reply) -> Vec<Value> {
    let mut lines: Vec<Value> =
        reply.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.pop().unwrap();
    assert_eq!(end, json!({"_end": true, "count": lines.len()}));
    lines
}

#[test]
fn usage_is_listed_newest_first_without_gap_or_double() {
    on_every_database_with(keeping, async |site| {
        let (c, key) = stocked(&site).await;
        used(&site, &key, 0, 25).await;
        let newest_first: Vec<i64> = (1..=25).rev().collect();
        for limit in [1, 7, 24, 25, 26, 1000] {
            assert_eq!(useqs(&walk(&site, &key, &format!("/usage?limit={limit}")).await), newest_first);
            let mut oldest = walk(&site, &key, &format!("/usage?order=asc&limit={limit}")).await;
            oldest.reverse();
            assert_eq!(useqs(&oldest), newest_first);
        }
        let named = format!("/usage?customer_id={}&limit=6", c.id);
        let rows = walk(&site, &site.platform, &named).await;
        assert_eq!(useqs(&rows), newest_first);
        // A row of a list is the record as it is read alone.
        let alone = site.get(&key, &format!("/usage/{}", rows[3]["id"].as_str().unwrap())).await;
        assert_eq!(*alone.data(), rows[3]);
        for (wrong, field) in [
            ("limit=0", "limit"),
            ("limit=1001", "limit"),
            ("status=failed", "status"),
            ("status_code=99", "status_code"),
            ("from=2026-01-01", "from"),
        ] {
            let refused = site.get(&key, &format!("/usage?{wrong}")).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{wrong}");
            assert_eq!(refused.json["errors"][0]["field"], field);
        }
        let unknown = site.get(&key, "/usage?kind=charge").await;
        assert_eq!(unknown.refusal(), (400, "unknown_parameter"));
    });
}

#[test]
fn a_walk_through_usage_is_stable_while_more_is_recorded() {
    on_every_database_with(keeping, async |site| {
        let (_, key) = stocked(&site).await;
        used(&site, &key, 0, 10).await;
        let (mut newest, mut oldest, mut all) = (String::new(), String::new(), String::new());
        let (mut down, mut up, mut by_platform) = (Vec::new(), Vec::new(), Vec::new());
        for n in 0..5 {
            for (who, path, rows, cursor) in [
                (&key, "/usage?limit=2&status=ok", &mut down, &mut newest),
                (&key, "/usage?limit=2&order=asc", &mut up, &mut oldest),
                (&site.platform, "/usage?limit=2", &mut by_platform, &mut all),
            ] {
                let page = site.get(who, &format!("{path}{cursor}")).await;
                rows.extend(useqs(page.rows()));
                *cursor = format!("&cursor={}", page.data()["next_cursor"].as_str().unwrap_or_default());
            }
            used(&site, &key, 100 + n, 1).await;
            if newest.ends_with('=') {
                break;
            }
        }
        // Every third has failed.
        assert_eq!(down, [10, 9, 7, 6, 4, 3, 1]);
        assert_eq!(up, (1..=8).collect::<Vec<_>>());
        assert_eq!(by_platform, [10, 9, 8, 7, 6, 5, 4, 3]);
    });
}

#[test]
fn the_platform_lists_usage_of_all_customers_by_time() {
    on_every_database_with(keeping, async |site| {
        let (first, other) = (stocked(&site).await, stocked(&site).await);
        for n in 0..4 {
            used(&site, &first.1, 5 * n, 5).await;
            used(&site, &other.1, 5 * n, 5).await;
        }
        let all = walk(&site, &site.platform, "/usage?limit=7").await;
        let ids: BTreeSet<_> = all.iter().map(|row| row["id"].as_str().unwrap()).collect();
        assert_eq!((all.len(), ids.len()), (40, 40));
        let place = |row: &Value| {
            let text = |member: &str| row[member].as_str().unwrap().to_owned();
            (text("received_at"), text("customer_id"), row["useq"].as_i64().unwrap())
        };
        assert!(all.iter().map(place).is_sorted_by(|a, b| a > b));
        let mut oldest = walk(&site, &site.platform, "/usage?limit=11&order=asc").await;
        oldest.reverse();
        assert_eq!(oldest, all);
        for filter in ["user_id=u-1", "request_id=r-7", "status=error", "model=small&limit=3"] {
            let found = walk(&site, &site.platform, &format!("/usage?{filter}")).await;
            let mut own = walk(&site, &first.1, &format!("/usage?{filter}")).await;
            assert_eq!(found.len(), 2 * own.len(), "{filter}");
            own.retain(|row| !found.contains(row));
            assert!(own.is_empty(), "{filter}");
        }
        let (from, to) = (all[30]["received_at"].as_str().unwrap(), all[10]["received_at"].as_str().unwrap());
        let path = format!("/usage?limit=3&from={from}&to={to}");
        let within: Vec<_> = all
            .iter()
            .filter(|row| (from..to).contains(&row["received_at"].as_str().unwrap()))
            .cloned()
            .collect();
        assert_eq!(walk(&site, &site.platform, &path).await, within);
        let foreign = format!("/usage?customer_id={}", other.0.id);
        for path in [&foreign, "/usage?customer_id=nobody"] {
            assert_eq!(site.get(&first.1, path).await.refusal(), (403, "customer_forbidden"));
        }
        let exporting = foreign.replace("/usage?", "/usage/export?");
        assert_eq!(site.get(&first.1, &exporting).await.refusal(), (403, "customer_forbidden"));
    });
}

#[test]
fn filters_narrow_the_list_of_usage_together() {
    on_every_database_with(keeping, async |site| {
        let (c, key) = stocked(&site).await;
        used(&site, &key, 0, 24).await;
        let sql = format!(
            "UPDATE usage_logs SET group_id = 'g-1', source_node = 'n-1' WHERE customer_id = '{}' AND useq <= 5",
            c.id
        );
        assert_eq!(site.database().execute(&sql).await, 5);
        for (filter, count) in [
            ("user_id=u-1", 8),
            ("user_id=nobody", 0),
            ("group_id=g-1", 5),
            ("source_node=n-1", 5),
            ("source_node=n-2", 0),
            // Half asked for it, and half of the others were answered by it.
            ("model=large", 18),
            ("model=small", 6),
            ("status=error", 8),
            ("status=ok", 16),
            ("status_code=500", 8),
            ("status_code=200", 8),
            ("status_code=200&status=error", 0),
            ("request_id=r-7", 1),
            ("request_id=R-7", 0),
            ("request_id=r-7&user_id=u-0", 0),
            ("user_id=u-1&status=error&model=small", 2),
            ("user_id=u-1&group_id=g-1", 2),
            ("event_from=2026-01-01T00:03:00Z&event_to=2026-01-01T00:05:00Z", 2),
            ("event_to=2026-01-01T00:00:00Z", 0),
            ("from=2001-01-01T00:00:00Z", 24),
            ("to=2001-01-01T00:00:00Z", 0),
            ("from=9999-01-01T00:00:00Z", 0),
            ("", 24),
        ] {
            let list = site.get(&key, &format!("/usage?count=true&limit=2&{filter}")).await;
            assert_eq!(list.data()["total"], count, "{filter}");
            for order in ["asc", "desc"] {
                let rows = walk(&site, &key, &format!("/usage?limit=2&order={order}&{filter}")).await;
                assert_eq!(rows.len(), count, "{filter}");
            }
            let all = export(&site, &key, &format!("?{filter}"), "*/*").await;
            assert_eq!(exported(&all).len(), count, "{filter}");
            let by_platform = format!("/usage?customer_id={}&limit=1000&{filter}", c.id);
            assert_eq!(site.get(&site.platform, &by_platform).await.rows().len(), count, "{filter}");
        }
    });
}

#[test]
fn times_of_receipt_are_half_open_and_found_wherever_they_are() {
    on_every_database_with(keeping, async |site| {
        let (c, key) = stocked(&site).await;
        used(&site, &key, 0, 40).await;
        // Several have one time; the first ones are deleted.
        let sql = format!(
            "UPDATE usage_logs SET received_at = 1780000000000000 + (useq - useq % 3) * 1000000 WHERE customer_id = '{}'",
            c.id
        );
        assert_eq!(site.database().execute(&sql).await, 40);
        let sql = format!("DELETE FROM usage_logs WHERE customer_id = '{}' AND useq < 8", c.id);
        assert_eq!(site.database().execute(&sql).await, 7);
        let at = |n: i64| Timestamp::from_seconds(1_780_000_000 + n).to_string();
        for (from, to) in
            [(0, 100), (6, 39), (9, 12), (10, 11), (12, 13), (0, 6), (39, 40), (40, 100), (20, 10)]
        {
            let expected: Vec<_> =
                (8..=40).rev().filter(|useq| (from..to).contains(&(useq - useq % 3))).collect();
            let range = format!("from={}&to={}", at(from), at(to));
            let rows = walk(&site, &key, &format!("/usage?limit=4&{range}")).await;
            assert_eq!(useqs(&rows), expected, "{from} to {to}");
            let total = site.get(&key, &format!("/usage?limit=1&count=true&{range}")).await;
            assert_eq!(total.data()["total"], expected.len(), "{from} to {to}");
            let mut all = useqs(&exported(&export(&site, &key, &format!("?{range}"), "*/*").await));
            all.reverse();
            assert_eq!(all, expected, "{from} to {to}");
        }
    });
}

#[test]
fn a_cursor_belongs_to_its_list_of_usage() {
    on_every_database_with(keeping, async |site| {
        let ((c, key), (_, other)) = (stocked(&site).await, stocked(&site).await);
        used(&site, &key, 0, 9).await;
        used(&site, &other, 0, 9).await;
        let first = site.get(&key, "/usage?limit=2&user_id=u-1").await;
        let cursor = first.data()["next_cursor"].as_str().unwrap().to_owned();
        for same in [
            format!("/usage?user_id=u-1&cursor={cursor}"),
            format!("/usage?limit=1&order=desc&user_id=u-1&count=true&customer_id={}&cursor={cursor}", c.id),
        ] {
            assert_eq!(useqs(site.get(&key, &same).await.rows()), [2], "{same}");
        }
        for (who, foreign) in [
            (&key, "/usage?".to_owned()),
            (&key, "/usage?user_id=u-2".to_owned()),
            (&key, "/usage?user_id=u-1&order=asc".to_owned()),
            (&key, "/usage?user_id=u-1&status=ok".to_owned()),
            (&key, "/usage?user_id=u-1&from=2001-01-01T00:00:00Z".to_owned()),
            (&key, "/accounting?user_id=u-1".to_owned()),
            (&other, "/usage?user_id=u-1".to_owned()),
            (&site.platform, "/usage?user_id=u-1".to_owned()),
        ] {
            let refused = site.get(who, &format!("{foreign}&cursor={cursor}")).await;
            assert_eq!(refused.refusal(), (400, "invalid_cursor"), "{foreign}");
        }
    });
}

/// Writes many rows of usage at once: all of one model but for those named.
async fn many(site: &Site, c: &Customer, count: i64, rare: &[i64]) {
    let rows: Vec<_> = (1..=count).collect();
    for slice in rows.chunks(1000) {
        let row = |useq: &i64| {
            let model = if rare.contains(useq) { "rare" } else { "common" };
            let user = if useq % 2 == 0 { "even" } else { "odd" };
            format!(
                "('{}', {useq}, x'{useq:032x}', 'm-{useq}', '{user}', '{model}', 1, 1, 2, 'CNY', 'log', x'{useq:064x}', \
                 {useq}, {useq})",
                c.id
            )
        };
        let sql = format!(
            "INSERT INTO usage_logs (customer_id, useq, id, request_id, user_id, model, input_tokens, output_tokens, \
             total_tokens, currency, billing, body_hash, event_time, received_at) VALUES {}",
            slice.iter().map(row).collect::<Vec<_>>().join(",")
        );
        site.database().execute(&sql).await;
    }
}

#[test]
fn a_page_looks_at_twenty_thousand_rows_and_goes_on_after_them() {
    on_every_database_with(keeping, async |site| {
        let (c, key) = stocked(&site).await;
        let rare = [5, 20_990, 41_000];
        many(&site, &c, 41_000, &rare).await;
        for (who, whose) in [
            (&key, String::new()),
            (&site.platform, format!("&customer_id={}", c.id)),
            (&site.platform, String::new()),
        ] {
            let mut cursor = String::new();
            let mut pages = Vec::new();
            loop {
                let page = site.get(who, &format!("/usage?model=rare{whose}{cursor}")).await;
                pages.push(useqs(page.rows()));
                match page.data()["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            assert_eq!(pages, [vec![41_000], vec![20_990], vec![5]], "{whose}");
        }
        // Of one user there are half as many to look at.
        let page = site.get(&key, "/usage?model=rare&user_id=even&order=asc").await;
        assert_eq!(useqs(page.rows()), [20_990]);
        let next = page.data()["next_cursor"].as_str().unwrap();
        let page = site.get(&key, &format!("/usage?model=rare&user_id=even&order=asc&cursor={next}")).await;
        assert_eq!((useqs(page.rows()), &page.data()["next_cursor"]), (vec![41_000], &Value::Null));
        // A full page is no shorter for it, and its cursor goes on in the middle.
        assert_eq!(site.get(&key, "/usage?model=common&limit=1000").await.rows().len(), 1000);
        let all = exported(&export(&site, &key, "?model=rare", "*/*").await);
        assert_eq!(useqs(&all), rare);
        // What passes alone is found by an index; of the others, no more rows are counted than looked at.
        for (filter, total) in [
            ("", json!(10_000)),
            ("&user_id=even", json!(10_000)),
            ("&model=common", json!(10_000)),
            ("&model=rare", Value::Null),
            ("&model=rare&from=1970-01-01T00:00:00.030000Z", json!(1)),
            ("&request_id=m-7", json!(1)),
        ] {
            let page = site.get(&key, &format!("/usage?limit=1&count=true{filter}")).await;
            assert_eq!(page.data()["total"], total, "{filter}");
        }
    });
}

#[test]
fn an_export_of_usage_is_the_whole_list_however_long() {
    on_every_database_with(keeping, async |site| {
        let (c, key) = stocked(&site).await;
        let mut there = 0;
        for count in [0, 1, 499, 500, 501] {
            used(&site, &key, there, count - there).await;
            there = count;
            let list = walk(&site, &key, "/usage?order=asc&limit=1000").await;
            assert_eq!(list.len(), count);
            assert_eq!(exported(&export(&site, &key, "", "application/x-ndjson").await), list);
            let csv = export(&site, &key, "", "text/csv").await.text();
            let lines: Vec<_> = csv.split("\r\n").collect();
            assert_eq!(lines.len(), count + 3);
            assert_eq!(lines[count + 1..], [format!("#end,{count}").as_str(), ""]);
            for (line, row) in lines[1..].iter().zip(&list) {
                let begins = format!("{},{},", row["id"].as_str().unwrap(), row["useq"]);
                assert!(line.starts_with(&begins), "{line}");
            }
        }
        let named =
            export(&site, &site.platform, &format!("?customer_id={}&status=error", c.id), "*/*").await;
        assert_eq!(exported(&named).len(), 167);
        let everywhere = walk(&site, &site.platform, "/usage?order=asc&limit=1000").await;
        assert_eq!(exported(&export(&site, &site.platform, "", "*/*").await), everywhere);
        for (accept, content_type, name) in [
            ("*/*", "application/x-ndjson", "usage.ndjson"),
            ("text/csv", "text/csv; charset=utf-8; header=present", "usage.csv"),
        ] {
            let reply = export(&site, &key, "?request_id=r-1", accept).await;
            assert_eq!(reply.header("content-type"), content_type);
            assert_eq!(reply.header("content-disposition"), format!("attachment; filename=\"{name}\""));
            assert_eq!(reply.header("etag"), "");
        }
        for refused in ["?limit=5", "?cursor=x"] {
            let reply = site.get(&key, &format!("/usage/export{refused}")).await;
            assert_eq!(reply.refusal(), (400, "unknown_parameter"));
        }
    });
}

#[test]
fn no_cell_of_an_export_of_usage_begins_a_formula() {
    on_every_database(async |site| {
        let (_, key) = stocked(&site).await;
        for (n, sign) in ["=", "+", "-", "@"].into_iter().enumerate() {
            let body = json!({
                "request_id": format!("{sign}r{n}"), "user_id": format!("{sign}u"), "model": format!("{sign}m"),
                "actual_model": format!("{sign}a"), "upstream_url": format!(" {sign}x,\"y\""),
            });
            record(&site, &key, &body).await;
        }
        let csv = export(&site, &key, "", "text/csv").await.text();
        for (n, sign) in ["=", "+", "-", "@"].into_iter().enumerate() {
            assert!(csv.contains(&format!(",'{sign}r{n},")), "{csv}");
            assert!(csv.contains(&format!(",'{sign}u,,'{sign}m,'{sign}a,,")), "{csv}");
            assert!(csv.contains(&format!(",\"' {sign}x,\"\"y\"\"\",")), "{csv}");
        }
        let lines = exported(&export(&site, &key, "", "*/*").await);
        assert_eq!(lines[0]["user_id"], "=u", "JSON keeps it");
    });
}

#[test]
fn an_export_of_usage_that_breaks_off_has_no_last_line() {
    on_every_database_with(keeping, async |site| {
        let (c, key) = stocked(&site).await;
        used(&site, &key, 0, 500).await;
        // What cannot be read stands for every failure of the database.
        let sql =
            format!("UPDATE usage_logs SET billing = 'broken' WHERE customer_id = '{}' AND useq = 450", c.id);
        assert_eq!(site.database().execute(&sql).await, 1);
        let ask = Ask::get("/usage/export").signed(&key, site.now_s());
        let mut connection = crate::raw::Connection::open(site.http()).await;
        connection.write(&ask.bytes()).await.unwrap();
        let bytes = connection.rest().await.unwrap();
        let text = String::from_utf8_lossy(&bytes);
        assert!(text.starts_with("HTTP/1.1 200") && text.contains("\"useq\":400,"), "{}", text.len());
        assert!(
            !text.contains("_end") && !text.ends_with("0\r\n\r\n"),
            "it does not end as if it were whole"
        );
    });
}

#[test]
fn a_user_lists_its_own_usage_alone() {
    on_every_database_with(
        |builder| keeping(signing_in(builder)),
        async |site| {
            let (c, key) = stocked(&site).await;
            let (user, admin) = (
                site.person(Some(&c.id), UserRole::User).await,
                site.person(Some(&c.id), UserRole::Admin).await,
            );
            let platform_user = site.person(None, UserRole::User).await;
            used(&site, &key, 0, 5).await;
            for n in 0..3 {
                let body =
                    json!({"request_id": format!("own-{n}"), "user_id": user.id.as_str(), "model": "small"});
                record(&site, &key, &body).await;
            }
            let access = site.login(&user).await.access;
            let own = site.as_user(&access, "/usage").await;
            assert_eq!(useqs(own.rows()), [8, 7, 6]);
            assert_eq!(site.as_user(&access, &format!("/usage?user_id={}", user.id)).await.rows().len(), 3);
            assert_eq!(site.as_user(&access, "/usage?request_id=r-1").await.rows().len(), 0);
            assert_eq!(exported(&site.as_user(&access, "/usage/export").await).len(), 3);
            let sums = site.as_user(&access, "/usage/stats?group_by=user").await;
            assert_eq!(sums.rows().len(), 1);
            assert_eq!(sums.rows()[0]["user_id"], user.id.as_str());
            assert_eq!(sums.data()["totals"][0]["requests"], 3);
            for path in ["/usage?user_id=u-1", "/usage/export?user_id=u-1", "/usage/stats?user_id=u-1"] {
                let refused = site.as_user(&access, path).await;
                assert_eq!(refused.refusal(), (403, "customer_forbidden"), "{path}");
            }
            let access = site.login(&admin).await.access;
            assert_eq!(site.as_user(&access, "/usage").await.rows().len(), 8);
            assert_eq!(site.as_user(&access, "/usage?user_id=u-1").await.rows().len(), 2);
            let access = site.login(&platform_user).await.access;
            for path in ["/usage", "/usage/stats", "/usage/export"] {
                assert_eq!(site.as_user(&access, path).await.status, 403, "{path}");
            }
        },
    );
}
