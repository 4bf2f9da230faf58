//! GET /usage/stats: sums over usage, exact, by whatever they are grouped.

use std::collections::BTreeMap;

use sageapi_server::model::Timestamp;
use serde_json::{Value, json};

use crate::lists::walk;
use crate::raw::Credentials;
use crate::site::{Site, on_every_database, on_every_database_with};
use crate::usage::{record, stocked};

const DAY: i64 = 86_400;

/// The day so many days ago, in UTC, and its first instant.
fn day(site: &Site, ago: i64) -> (String, String) {
    let at = Timestamp::from_seconds((site.now_s() / DAY - ago) * DAY).to_string();
    (at[..10].to_owned(), at)
}

/// Usage of several users and models in the last days: priced in two currencies, not priced, and failed.
async fn used(site: &Site, key: &Credentials) {
    let items: Vec<_> = (0..48)
        .map(|n| {
            let mut item = json!({
                "request_id": format!("r-{n}"), "model": (["large", "small", "dollar", "unknown"][n % 4]),
                "input_tokens": 7 * n + 1, "output_tokens": n, "event_time": day(site, (n % 5) as i64).1,
                "status_code": if n % 6 == 0 { 429 } else { 200 },
            });
            if n % 3 > 0 {
                item["user_id"] = json!(format!("u-{}", n % 3));
            }
            if n % 8 == 1 {
                item["actual_model"] = json!("large");
            }
            item
        })
        .collect();
    let answer = site.post(key, "/usage/batch", &json!(items)).await;
    assert_eq!(answer.data()["rejected"], 0, "{}", answer.text());
}

/// A decimal in 10^-9 units.
fn nanos(text: &str) -> i128 {
    let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
    whole.parse::<i128>().unwrap() * 1_000_000_000 + format!("{rest:0<9}").parse::<i128>().unwrap()
}

fn number(row: &Value, member: &str) -> i128 {
    i128::from(row[member].as_i64().unwrap())
}

/// requests, errors, tokens in, out and in all, cost, and how many have no price.
type Sums = [i128; 7];

/// What the rows of a list come to, by what `key` says of each and its currency.
fn summed(rows: &[Value], key: impl Fn(&Value) -> Vec<Value>) -> BTreeMap<String, Sums> {
    let mut sums: BTreeMap<String, Sums> = BTreeMap::new();
    for row in rows {
        let mut key = key(row);
        key.push(row["currency"].clone());
        let of_row = [
            1,
            i128::from(row["status_code"].as_i64().unwrap() >= 400),
            number(row, "input_tokens"),
            number(row, "output_tokens"),
            number(row, "total_tokens"),
            row["cost"].as_str().map_or(0, nanos),
            i128::from(row["cost"].is_null()),
        ];
        let sum = sums.entry(json!(key).to_string()).or_default();
        sum.iter_mut().zip(of_row).for_each(|(sum, of_row)| *sum += of_row);
    }
    sums
}

/// The same as the server tells it.
fn told(rows: &[Value], members: &[&str]) -> BTreeMap<String, Sums> {
    let each = rows.iter().map(|row| {
        let key: Vec<_> = members.iter().chain(&["currency"]).map(|member| row[*member].clone()).collect();
        let n = |member: &str| number(row, member);
        let sums = [
            n("requests"),
            n("errors"),
            n("input_tokens"),
            n("output_tokens"),
            n("total_tokens"),
            nanos(row["cost"].as_str().unwrap()),
            n("unpriced"),
        ];
        (json!(key).to_string(), sums)
    });
    let told: BTreeMap<_, _> = each.collect();
    assert_eq!(told.len(), rows.len(), "one row for each group and currency");
    told
}

fn part(row: &Value, name: &str) -> Value {
    match name {
        "day" => json!(&row["event_time"].as_str().unwrap()[..10]),
        "model" if row["actual_model"].is_string() => row["actual_model"].clone(),
        "model" => row["model"].clone(),
        "customer" => row["customer_id"].clone(),
        name => row[format!("{name}_id")].clone(),
    }
}

fn member(name: &str) -> String {
    if ["day", "model"].contains(&name) { name.to_owned() } else { format!("{name}_id") }
}

#[test]
fn sums_are_those_of_the_rows_to_the_last_digit() {
    on_every_database(async |site| {
        let (c, key) = stocked(&site).await;
        let (_, other) = stocked(&site).await;
        used(&site, &key).await;
        used(&site, &other).await;
        let sql =
            format!("UPDATE {{}} SET group_id = 'g-1' WHERE user_id = 'u-1' AND customer_id = '{}'", c.id);
        for table in ["usage_logs", "usage_daily"] {
            assert!(site.database().execute(&sql.replace("{}", table)).await > 0);
        }
        let rows = walk(&site, &key, "/usage").await;
        let total = summed(&rows, |_| Vec::new());
        assert_eq!(total.len(), 2, "two currencies");
        for names in [
            &[][..],
            &["user"],
            &["group"],
            &["model"],
            &["day"],
            &["customer"],
            &["customer", "day"],
            &["user", "model"],
            &["model", "day", "user"],
            &["customer", "day", "user", "group", "model"],
        ] {
            let members: Vec<_> = names.iter().map(|name| member(name)).collect();
            let members: Vec<_> = members.iter().map(String::as_str).collect();
            let expected = summed(&rows, |row| names.iter().map(|name| part(row, name)).collect());
            let by = if names.is_empty() { String::new() } else { format!("group_by={}", names.join(",")) };
            for order in ["", "&order=tokens", "&order=cost", "&order=requests"] {
                let stats = site.get(&key, &format!("/usage/stats?{by}{order}")).await;
                assert_eq!(told(stats.rows(), &members), expected, "{by}{order}");
                assert_eq!(told(stats.data()["totals"].as_array().unwrap(), &[]), total, "{by}{order}");
                assert_eq!(stats.data()["more"], false);
                assert_eq!(stats.rows()[0].as_object().unwrap().len(), members.len() + 8);
            }
        }
        for (filter, passes) in [
            ("user_id=u-1", &(|row: &Value| row["user_id"] == "u-1") as &dyn Fn(&Value) -> bool),
            ("group_id=g-1", &|row| row["group_id"] == "g-1"),
            ("model=large", &|row| part(row, "model") == "large"),
            ("model=large&user_id=u-2", &|row| part(row, "model") == "large" && row["user_id"] == "u-2"),
        ] {
            let passing: Vec<_> = rows.iter().filter(|row| passes(row)).cloned().collect();
            let stats = site.get(&key, &format!("/usage/stats?group_by=day&{filter}")).await;
            assert_eq!(
                told(stats.rows(), &["day"]),
                summed(&passing, |row| vec![part(row, "day")]),
                "{filter}"
            );
        }
        let of_platform = site.get(&site.platform, "/usage/stats?group_by=customer").await;
        let own: Vec<_> =
            of_platform.rows().iter().filter(|row| row["customer_id"] == c.id).cloned().collect();
        assert_eq!(told(&own, &[]), total);
        let named = format!("/usage/stats?customer_id={}&group_by=model", c.id);
        let named = site.get(&site.platform, &named).await;
        assert_eq!(named.rows(), site.get(&key, "/usage/stats?group_by=model").await.rows());
    });
}

#[test]
fn days_are_half_open_and_an_empty_range_gives_zeros() {
    on_every_database(async |site| {
        let (_, key) = stocked(&site).await;
        used(&site, &key).await;
        let rows = walk(&site, &key, "/usage").await;
        for (from, to) in [(4, 0), (3, 1), (1, -1), (2, 2), (0, 3), (300, 200)] {
            let (first, end) = (day(&site, from).0, day(&site, to).0);
            let within: Vec<_> = rows
                .iter()
                .filter(|row| (first.as_str()..end.as_str()).contains(&part(row, "day").as_str().unwrap()))
                .cloned()
                .collect();
            let stats = site.get(&key, &format!("/usage/stats?group_by=day&from={first}&to={end}")).await;
            assert_eq!(told(stats.rows(), &["day"]), summed(&within, |row| vec![part(row, "day")]));
            assert_eq!((&stats.data()["from"], &stats.data()["to"]), (&json!(first), &json!(end)));
            assert_eq!(stats.data()["time_zone"], "UTC");
            if within.is_empty() {
                let zero = json!([{
                    "currency": "CNY", "requests": 0, "errors": 0, "input_tokens": 0, "output_tokens": 0,
                    "total_tokens": 0, "cost": "0", "unpriced": 0,
                }]);
                assert_eq!((stats.rows().len(), &stats.data()["totals"]), (0, &zero), "{from} to {to}");
            }
        }
        // What is not asked for are the last thirty days, today among them.
        let (_, before) = day(&site, 40);
        record(&site, &key, &json!({"request_id": "old", "event_time": before})).await;
        let stats = site.get(&key, "/usage/stats").await;
        let requests: i64 = stats.rows().iter().map(|row| row["requests"].as_i64().unwrap()).sum();
        assert_eq!((requests, &stats.data()["from"]), (48, &json!(day(&site, 29).0)));
        assert_eq!(stats.data()["to"], Value::Null);
        let dollars = site.customer_in("0", "USD").await;
        let reading = Credentials::from(&site.app.key(Some(&dollars.id), "usage:read").await);
        let nothing = site.get(&reading, "/usage/stats?group_by=user").await;
        assert_eq!((nothing.rows().len(), &nothing.data()["totals"][0]["currency"]), (0, &json!("USD")));
    });
}

#[test]
fn the_largest_groups_come_first_as_many_as_asked_for() {
    on_every_database(async |site| {
        let (_, key) = stocked(&site).await;
        used(&site, &key).await;
        for (order, size) in [
            ("tokens", &(|row: &Value| number(row, "total_tokens")) as &dyn Fn(&Value) -> i128),
            ("requests", &|row| number(row, "requests")),
            ("cost", &|row| nanos(row["cost"].as_str().unwrap())),
        ] {
            let path = format!("/usage/stats?group_by=model,user,day&order={order}");
            let all = site.get(&key, &path).await.rows().clone();
            let key_of = |row: &Value| {
                let text = |member: &str| row[member].as_str().unwrap_or_default().to_owned();
                [text("day"), text("user_id"), text("model"), text("currency")]
            };
            let place = |row: &Value| (std::cmp::Reverse(size(row)), key_of(row));
            assert!(all.iter().map(place).is_sorted(), "{order}");
            for limit in [1, 2, all.len() - 1, all.len()] {
                let some = site.get(&key, &format!("{path}&limit={limit}")).await;
                assert_eq!(some.rows()[..], all[..limit], "{order}");
                assert_eq!(some.data()["more"], limit < all.len());
                let totals = told(some.data()["totals"].as_array().unwrap(), &[]);
                assert_eq!(
                    totals.values().map(|sums| sums[0]).sum::<i128>(),
                    48,
                    "those left out are counted"
                );
            }
        }
        let by_key = site.get(&key, "/usage/stats?group_by=model,day").await.rows().clone();
        let days: Vec<_> = by_key.iter().map(|row| row["day"].as_str().unwrap()).collect();
        assert!(days.is_sorted() && days.len() > 5);
    });
}

#[test]
fn sums_beyond_sixty_four_bits_are_exact() {
    on_every_database(async |site| {
        let (c, key) = stocked(&site).await;
        used(&site, &key).await;
        let most = i64::MAX;
        for table in ["usage_daily", "usage_totals"] {
            let sql = format!(
                "UPDATE {table} SET cost = {most}, input_tokens = {most}, output_tokens = {most} - 1 \
                 WHERE customer_id = '{}' AND currency = 'CNY'",
                c.id
            );
            assert!(site.database().execute(&sql).await >= 5);
        }
        let days = site.get(&key, "/usage/stats?group_by=day").await;
        let cny: Vec<_> = days.rows().iter().filter(|row| row["currency"] == "CNY").collect();
        assert_eq!((cny.len(), &cny[0]["cost"]), (5, &json!("9223372036.854775807")));
        assert_eq!(days.data()["totals"][0]["cost"], "46116860184.273879035");
        assert_eq!(site.get(&key, "/usage/stats").await.rows()[0]["cost"], "46116860184.273879035");
        for order in ["tokens", "cost"] {
            let users = site.get(&key, &format!("/usage/stats?group_by=user&order={order}")).await;
            for row in users.rows().iter().filter(|row| row["currency"] == "CNY") {
                let sql = format!(
                    "SELECT COUNT(*) FROM usage_daily WHERE customer_id = '{}' AND currency = 'CNY' AND user_id = '{}'",
                    c.id,
                    row["user_id"].as_str().unwrap_or_default()
                );
                let rows = i128::from(site.database().int(&sql).await);
                assert_eq!(nanos(row["cost"].as_str().unwrap()), rows * i128::from(most));
                // Read as text: the number is too long for what JSON is read into here.
                let tokens = format!("\"input_tokens\":{},", rows * i128::from(most));
                assert!(users.text().contains(&tokens), "{tokens} {}", users.text());
            }
        }
    });
}

#[test]
fn too_much_at_once_is_refused_by_name() {
    on_every_database(async |site| {
        let (c, key) = stocked(&site).await;
        let ago = |days: i64| day(&site, days).0;
        for (who, query, field) in [
            (&key, format!("from={}", ago(366)), "from"),
            (&key, "from=2020-01-01&to=2021-01-02".to_owned(), "from"),
            (&site.platform, format!("from={}", ago(31)), "from"),
            (&site.platform, "group_by=user".to_owned(), "customer_id"),
            (&site.platform, "group_by=day,model".to_owned(), "customer_id"),
            (&site.platform, "group_by=day&user_id=u-1".to_owned(), "customer_id"),
            (&key, "group_by=week".to_owned(), "group_by"),
            (&key, "group_by=day,day".to_owned(), "group_by"),
            (&key, "from=2026-01-01T00:00:00Z".to_owned(), "from"),
            (&key, "to=2026-02-30".to_owned(), "to"),
            (&key, "order=errors".to_owned(), "order"),
            (&key, "limit=10001".to_owned(), "limit"),
            (&key, "limit=0".to_owned(), "limit"),
        ] {
            let refused = site.get(who, &format!("/usage/stats?{query}")).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{query}");
            assert_eq!(refused.json["errors"][0]["field"], field, "{query}");
        }
        for (who, query) in [
            (&key, format!("from={}", ago(365))),
            (&key, "from=2020-01-01&to=2021-01-01".to_owned()),
            (&site.platform, format!("from={}", ago(30))),
            (&site.platform, format!("customer_id={}&from={}&group_by=user", c.id, ago(365))),
            (&key, "limit=10000".to_owned()),
        ] {
            let answer = site.get(who, &format!("/usage/stats?{query}")).await;
            assert_eq!(answer.status, 200, "{query}: {}", answer.text());
        }
        let (other, _) = stocked(&site).await;
        for foreign in [other.id.as_str(), "nobody"] {
            let refused = site.get(&key, &format!("/usage/stats?customer_id={foreign}")).await;
            assert_eq!(refused.refusal(), (403, "customer_forbidden"));
        }
    });
}

#[test]
fn days_are_those_of_the_configured_zone() {
    let configure = |builder: sageapi_test_support::app::AppBuilder| {
        builder.set("SAGEAPI_USAGE_TIMEZONE", "Asia/Shanghai")
    };
    on_every_database_with(configure, async |site| {
        let (_, key) = stocked(&site).await;
        let (today, _) = day(&site, 0);
        let (yesterday, _) = day(&site, 1);
        let (before, _) = day(&site, 2);
        // Midnight is at 16:00 UTC, whatever the offset that an event's time is told with.
        for (n, at) in [
            format!("{before}T15:59:59.999999Z"),
            format!("{before}T16:00:00Z"),
            format!("{yesterday}T23:59:59+08:00"),
            format!("{yesterday}T16:00:00Z"),
        ]
        .into_iter()
        .enumerate()
        {
            let body = json!({"request_id": format!("r-{n}"), "model": "small", "event_time": at});
            record(&site, &key, &body).await;
        }
        let stats = site.get(&key, "/usage/stats?group_by=day").await;
        let told: Vec<_> = stats
            .rows()
            .iter()
            .map(|row| (row["day"].as_str().unwrap(), row["requests"].as_i64().unwrap()))
            .collect();
        assert_eq!(told, [(before.as_str(), 1), (&yesterday, 2), (&today, 1)]);
        assert_eq!(stats.data()["time_zone"], "Asia/Shanghai");
    });
}
