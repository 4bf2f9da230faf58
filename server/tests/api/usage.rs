//! /usage: what users consume is recorded once, priced, charged where it is to be, and counted.

use futures_util::future::join_all;
use sageapi_server::model::{Entity, Timestamp, UserRole};
use serde_json::{Value, json};

use crate::people::signing_in;
use crate::raw::{Ask, Credentials, Reply};
use crate::site::{Customer, Row, Site, on_every_database, on_every_database_with};

const SCOPES: &str = "balance:read,accounting:read,accounting:write,usage:read,usage:write";

/// A customer, its key, and models that cost 2 and 1 for a thousand tokens in and 4 for a thousand out.
pub async fn stocked(site: &Site) -> (Customer, Credentials) {
    let list = |price: &str| {
        format!(
            "unit_values: {{k: 1000}}\npricings:\n- {{price_factors: prompt_tokens, unit_prices: {price}, unit: k}}\n\
             - {{price_factors: completion_tokens, unit_prices: 4, unit: k}}\n"
        )
    };
    let (large, small) = (list("2"), list("1"));
    let program = |id: &'static str, list: &str, currency: &'static str| {
        (id, [("ppid", id.to_owned()), ("pricing_data", list.to_owned()), ("currency", currency.to_owned())])
    };
    let programs = [
        program("p-large", &large, "CNY"),
        program("p-small", &small, "CNY"),
        program("p-usd", &large, "USD"),
    ];
    for (id, columns) in &programs {
        let columns: Vec<_> = columns.iter().map(|(name, value)| (*name, value.as_str())).collect();
        site.mirror(Entity::Pricing, &[Row::new(id, &columns)]).await;
    }
    for (id, llmid, model, program) in [
        ("o-1", "llm-large", "large", "p-large"),
        ("o-2", "llm-small", "small", "p-small"),
        ("o-3", "llm-usd", "dollar", "p-usd"),
    ] {
        let columns = [("llmid", llmid), ("model", model), ("ppid", program), ("status", "published")];
        site.mirror(Entity::Llmage, &[Row::new(id, &columns)]).await;
    }
    let c = site.customer("10").await;
    let key = Credentials::from(&site.app.key(Some(&c.id), SCOPES).await);
    (c, key)
}

pub async fn book_usage(site: &Site, c: &Customer) {
    let sql = format!("UPDATE customer_balance SET usage_billing = 'book' WHERE customer_id = '{}'", c.id);
    assert_eq!(site.database().execute(&sql).await, 1);
}

pub async fn record(site: &Site, key: &Credentials, body: &Value) -> Reply {
    let recorded = site.post(key, "/usage", body).await;
    assert_eq!(recorded.status, 201, "{}", recorded.text());
    recorded
}

pub async fn balance(site: &Site, key: &Credentials) -> Value {
    let read = site.send(Ask::get("/balance").header("cache-control", "no-cache"), key).await;
    read.data()["balance"].clone()
}

/// requests, errors, input tokens, output tokens, cost in 10^-9 and unpriced, of a customer's sums.
pub async fn sums(site: &Site, table: &str, c: &Customer) -> Vec<i64> {
    let mut sums = Vec::new();
    for column in ["requests", "errors", "input_tokens", "output_tokens", "cost", "unpriced"] {
        let sql = format!(
            "SELECT COALESCE(CAST(SUM({column}) AS SIGNED), 0) FROM {table} WHERE customer_id = '{}'",
            c.id
        );
        let sql = match site.database().kind() {
            sageapi_test_support::database::Kind::MySql => sql,
            sageapi_test_support::database::Kind::Sqlite => sql.replace("SIGNED", "INTEGER"),
        };
        sums.push(site.database().int(&sql).await);
    }
    sums
}

#[test]
fn usage_is_recorded_once_priced_and_counted_and_moves_no_money() {
    on_every_database(async |site| {
        let (c, key) = stocked(&site).await;
        let version = format!("SELECT version FROM customer_balance WHERE customer_id = '{}'", c.id);
        let before = site.database().int(&version).await;
        let body = json!({
            "request_id": "r-1", "user_id": "u-1", "model": "large", "input_tokens": 1500, "output_tokens": 250,
            "usage": {"seconds": 3}, "is_streaming": true, "upstream_url": "https://upstream.example/v1",
            "status_code": 200, "duration_ms": 1234,
        });
        let first = record(&site, &key, &body).await;
        for (member, value) in [
            ("useq", json!(1)),
            ("request_id", json!("r-1")),
            ("customer_id", json!(c.id)),
            ("user_id", json!("u-1")),
            ("model", json!("large")),
            ("total_tokens", json!(1750)),
            ("usage", json!({"seconds": 3})),
            ("is_streaming", json!(true)),
            ("status_code", json!(200)),
            ("duration_ms", json!(1234)),
            ("cost", json!("4")),
            ("currency", json!("CNY")),
            ("billing", json!("log")),
            ("record_id", Value::Null),
            ("unpriced", Value::Null),
            ("replayed", json!(false)),
        ] {
            assert_eq!(first.data()[member], value, "{member}: {}", first.text());
        }
        assert_eq!(first.data()["pricing"]["pricing_id"], "p-large");
        assert_eq!(first.data()["pricing"]["arithmetic"]["lines"].as_array().unwrap().len(), 2);
        let again = site.post(&key, "/usage", &body).await;
        assert_eq!((again.status, &again.data()["replayed"]), (200, &json!(true)), "{}", again.text());
        for member in ["id", "useq", "cost", "pricing", "event_time", "received_at"] {
            assert_eq!(again.data()[member], first.data()[member], "{member}");
        }
        let mut other = body.clone();
        other["output_tokens"] = json!(251);
        assert_eq!(site.post(&key, "/usage", &other).await.refusal(), (422, "request_conflict"));
        assert_eq!(
            first.header("location"),
            format!("/api/v1/usage/{}", first.data()["id"].as_str().unwrap())
        );
        let read = site.get(&key, first.header("location").strip_prefix("/api/v1").unwrap()).await;
        assert_eq!((&read.data()["cost"], read.data().get("replayed")), (&json!("4"), None));
        // Another customer's request of the same name is another record.
        let (_, stranger) = stocked(&site).await;
        record(&site, &stranger, &other).await;
        let failed = json!({"request_id": "r-2", "user_id": "u-1", "model": "large", "status_code": 503});
        assert_eq!(record(&site, &key, &failed).await.data()["useq"], 2);
        for table in ["usage_daily", "usage_totals"] {
            assert_eq!(sums(&site, table, &c).await, [2, 1, 1500, 250, 4_000_000_000, 0], "{table}");
        }
        assert_eq!(balance(&site, &key).await, "10");
        assert_eq!(site.database().int(&version).await, before, "no cache has to hear of it");
        assert!(site.verify().await.is_empty());
    });
}

#[test]
fn booked_usage_is_charged_in_the_same_commit_whatever_the_balance() {
    on_every_database(async |site| {
        let (c, key) = stocked(&site).await;
        book_usage(&site, &c).await;
        let charged =
            record(&site, &key, &json!({"request_id": "r-1", "llmid": "llm-large", "input_tokens": 4000}))
                .await;
        assert_eq!((&charged.data()["cost"], &charged.data()["billing"]), (&json!("8"), &json!("book")));
        let charge =
            site.get(&key, &format!("/accounting/{}", charged.data()["record_id"].as_str().unwrap())).await;
        assert_eq!((&charge.data()["transno"], &charge.data()["amount"]), (&json!("usage:r-1"), &json!("8")));
        for member in ["pricing_id", "unrounded", "arithmetic"] {
            assert_eq!(charge.data()[member], charged.data()["pricing"][member], "{member}");
        }
        // It has happened: neither lack of funds nor suspension refuses it.
        record(&site, &key, &json!({"request_id": "r-2", "model": "large", "input_tokens": 3000})).await;
        site.suspend(&c).await;
        record(&site, &key, &json!({"request_id": "r-3", "model": "small", "input_tokens": 1000})).await;
        assert_eq!(balance(&site, &key).await, "-5");
        let again = site
            .post(&key, "/usage", &json!({"request_id": "r-1", "llmid": "llm-large", "input_tokens": 4000}))
            .await;
        assert_eq!((again.status, &again.data()["pricing"]), (200, &charged.data()["pricing"]));
        assert_eq!(balance(&site, &key).await, "-5");
        // A record that was deleted is not charged again, nor counted.
        assert!(site.database().execute("DELETE FROM usage_logs WHERE request_id = 'r-2'").await > 0);
        let deleted = site
            .post(&key, "/usage", &json!({"request_id": "r-2", "model": "large", "input_tokens": 3000}))
            .await;
        assert_eq!(
            (deleted.status, &deleted.data()["replayed"], &deleted.data()["cost"]),
            (200, &json!(true), &json!("6"))
        );
        assert_eq!(sums(&site, "usage_totals", &c).await, [3, 0, 8000, 0, 15_000_000_000, 0]);
        // It was deleted by somebody else.
        assert_eq!(site.verify().await, [format!("{}, usage record 3 (r-3): useq 2 is missing", c.id)]);
    });
}

#[test]
fn a_hold_is_settled_by_the_usage_that_names_it() {
    on_every_database(async |site| {
        let (c, key) = stocked(&site).await;
        book_usage(&site, &c).await;
        let hold = async |name: &str| {
            let held = site.post(&key, "/holds", &json!({"transno": name, "amount": "3"})).await;
            assert_eq!(held.status, 201, "{}", held.text());
            held.data()["id"].as_str().unwrap().to_owned()
        };
        let state = async |id: &str| site.get(&key, &format!("/holds/{id}")).await.data()["state"].clone();
        let (captured, released) = (hold("h-1").await, hold("h-2").await);
        let used = record(
            &site,
            &key,
            &json!({
                "request_id": "r-1", "model": "large", "input_tokens": 1000, "hold": captured,
            }),
        )
        .await;
        assert_eq!(
            (&used.data()["hold_use"], state(&captured).await),
            (&json!("captured"), json!("captured"))
        );
        let unpriced =
            record(&site, &key, &json!({"request_id": "r-2", "model": "none", "hold": released})).await;
        assert_eq!(
            (&unpriced.data()["hold_use"], state(&released).await),
            (&json!("released"), json!("released"))
        );
        // A hold that cannot be used leaves an ordinary charge.
        let (_, stranger) = stocked(&site).await;
        let foreign = site.post(&stranger, "/holds", &json!({"transno": "h", "amount": "1"})).await;
        for (n, unusable) in [
            captured.as_str(),
            foreign.data()["id"].as_str().unwrap(),
            "01890a5d-ac96-774b-bcce-b302099a8057",
        ]
        .into_iter()
        .enumerate()
        {
            let used = record(&site, &key, &json!({
                "request_id": format!("r-{}", n + 3), "model": "small", "input_tokens": 1000, "hold": unusable,
            })).await;
            assert_eq!(used.data()["hold_use"], "unusable");
        }
        let funds = site.send(Ask::get("/balance").header("cache-control", "no-cache"), &key).await;
        assert_eq!((&funds.data()["balance"], &funds.data()["held"]), (&json!("5"), &json!("0")));
        assert!(site.verify().await.is_empty());
    });
}

#[test]
fn usage_is_never_refused_for_its_price() {
    on_every_database(async |site| {
        let (c, key) = stocked(&site).await;
        book_usage(&site, &c).await;
        let most = 1_000_000_000_000i64;
        let now = site.env().store().now().await.unwrap();
        let day_before = Timestamp::from_seconds(now.seconds() - 86_400).to_string();
        for (n, model, cost, uncharged) in [
            (1, json!({"model": "unknown"}), Value::Null, json!("no_price")),
            (2, json!({}), Value::Null, json!("no_price")),
            (3, json!({"pricing_id": "p-none"}), Value::Null, json!("no_price")),
            (4, json!({"model": "dollar"}), json!("2"), json!("other_currency")),
            // The model that answered counts; the one asked for, where that has no price.
            (5, json!({"model": "large", "actual_model": "small"}), json!("1"), Value::Null),
            (6, json!({"model": "small", "actual_model": "unknown"}), json!("1"), Value::Null),
            (7, json!({"model": "llm-small"}), json!("1"), Value::Null),
            (
                8,
                json!({"model": "large", "input_tokens": most, "output_tokens": most}),
                json!("6000000000"),
                Value::Null,
            ),
            (
                9,
                json!({"model": "large", "input_tokens": most, "output_tokens": most, "event_time": day_before}),
                json!("6000000000"),
                json!("out_of_range"),
            ),
        ] {
            let mut body = json!({"request_id": format!("r-{n}"), "input_tokens": 1000});
            for (name, value) in model.as_object().unwrap() {
                body[name] = value.clone();
            }
            let used = record(&site, &key, &body).await;
            let data = used.data();
            assert_eq!((&data["cost"], &data["uncharged"]), (&cost, &uncharged), "{n}: {}", used.text());
            assert_eq!(data["unpriced"].is_string(), cost.is_null(), "{}", used.text());
            assert_eq!(data["record_id"].is_string(), uncharged.is_null(), "{}", used.text());
        }
        assert_eq!(balance(&site, &key).await, "-5999999993");
        let unpriced = format!("SELECT MAX(unpriced) FROM usage_totals WHERE customer_id = '{}'", c.id);
        assert_eq!(site.database().int(&unpriced).await, 3);
        assert!(site.verify().await.is_empty());
    });
}

/// The zone is twelve hours ahead of UTC, so that a price of its next day is in force from noon on.
#[test]
fn a_price_that_changes_at_noon_is_that_of_the_event() {
    on_every_database_with(
        |builder| builder.set("SAGEAPI_ACCOUNTING_TIMEZONE", "Etc/GMT-12"),
        async |site| {
            let (_, key) = stocked(&site).await;
            let day = |ago: i64| {
                Timestamp::from_seconds((site.now_s() / 86_400 - ago) * 86_400).to_string()[..10].to_owned()
            };
            let (noon, next) = (day(3), day(2));
            let list =
                |price: u8| format!("pricings: [{{price_factors: prompt_tokens, unit_prices: {price}}}]");
            let (old, new) = (list(2), list(3));
            for (id, list, from, to) in
                [("p-1", &old, "2020-01-01", next.as_str()), ("p-2", &new, &next, "9999-12-31")]
            {
                let columns = [
                    ("ppid", "p-noon"),
                    ("pricing_data", list.as_str()),
                    ("currency", "CNY"),
                    ("enabled_date", from),
                    ("expired_date", to),
                ];
                site.mirror(Entity::Pricing, &[Row::new(id, &columns)]).await;
            }
            let columns =
                [("llmid", "llm-noon"), ("model", "noon"), ("ppid", "p-noon"), ("status", "published")];
            site.mirror(Entity::Llmage, &[Row::new("o-noon", &columns)]).await;
            for (n, at, cost) in [
                (1, format!("{noon}T11:59:59.999999Z"), "10"),
                (2, format!("{noon}T12:00:00Z"), "15"),
                (3, format!("{noon}T12:00:01+01:00"), "10"),
            ] {
                let body = json!({
                    "request_id": format!("r-{n}"), "model": "noon", "input_tokens": 5, "event_time": at,
                });
                assert_eq!(record(&site, &key, &body).await.data()["cost"], cost, "{at}");
            }
        },
    );
}

#[test]
fn counts_that_stand_among_the_quantities_alone_are_priced() {
    on_every_database(async |site| {
        let (_, key) = stocked(&site).await;
        for (n, body, cost) in [
            (1, json!({"usage": {"prompt_tokens": 1000, "completion_tokens": 1000}}), "6"),
            (2, json!({"usage": {"input_tokens": 2000}}), "4"),
            (3, json!({"input_tokens": 1000, "usage": {"output_tokens": 500}}), "4"),
            (4, json!({}), "0"),
        ] {
            let mut body = body;
            body["request_id"] = json!(format!("r-{n}"));
            body["model"] = json!("large");
            assert_eq!(record(&site, &key, &body).await.data()["cost"], cost, "{body}");
        }
    });
}

#[test]
fn usage_is_refused_outside_the_time_in_which_it_can_be_told_apart() {
    on_every_database_with(
        |builder| builder.set("SAGEAPI_USAGE_RETENTION", "35d"),
        async |site| {
            let (c, key) = stocked(&site).await;
            let now = site.env().store().now().await.unwrap();
            let at = |seconds: i64| Timestamp::from_seconds(now.seconds() + seconds).to_string();
            let day = 86_400;
            for (n, seconds, refused) in [
                (1, 280, None),
                (2, 400, Some((422, "event_in_future"))),
                (3, -34 * day, None),
                (4, -36 * day, Some((422, "event_too_old"))),
                (5, 100 * 365 * day, Some((422, "event_in_future"))),
            ] {
                let body =
                    json!({"request_id": format!("r-{n}"), "model": "small", "event_time": at(seconds)});
                let reply = site.post(&key, "/usage", &body).await;
                match refused {
                    Some(refused) => assert_eq!(reply.refusal(), refused, "{n}"),
                    None => assert_eq!(reply.status, 201, "{n}: {}", reply.text()),
                }
            }
            // What was recorded in time is told apart even later.
            let old = format!("UPDATE usage_logs SET event_time = {} WHERE request_id = 'r-3'", 0);
            assert_eq!(site.database().execute(&old).await, 1);
            let body = json!({"request_id": "r-3", "model": "small", "event_time": at(-34 * day)});
            assert_eq!(site.post(&key, "/usage", &body).await.status, 200);
            assert_eq!(sums(&site, "usage_totals", &c).await[0], 2);
        },
    );
}

#[test]
fn items_of_a_batch_stand_each_for_themselves() {
    on_every_database(async |site| {
        let (c, key) = stocked(&site).await;
        let batch = json!([
            {"request_id": "b-1", "model": "large", "input_tokens": 1000},
            {"request_id": "b-2", "input_tokens": -1},
            {"request_id": "b-1", "model": "large", "input_tokens": 1000},
            {"request_id": "b-1", "model": "large", "input_tokens": 1001},
            {"request_id": "b-3", "customer_id": "someone-else"},
            {"request_id": "b-4", "event_time": "2999-01-01T00:00:00Z"},
            {"request_id": "b-5", "model": "small", "input_tokens": 1000, "cost": "1"},
            {"request_id": "b-6", "model": "small", "input_tokens": 1000},
        ]);
        let answer = site.post(&key, "/usage/batch", &batch).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        let statuses: Vec<_> = answer.rows().iter().map(|row| row["status"].as_i64().unwrap()).collect();
        assert_eq!(statuses, [201, 400, 200, 422, 403, 422, 400, 201], "{}", answer.text());
        assert_eq!((&answer.data()["accepted"], &answer.data()["rejected"]), (&json!(3), &json!(5)));
        assert_eq!(answer.rows()[2]["data"]["id"], answer.rows()[0]["data"]["id"]);
        assert_eq!(sums(&site, "usage_daily", &c).await, [2, 0, 2000, 0, 3_000_000_000, 0]);
        let lines = "{\"request_id\":\"n-1\"}\n{\"request_id\":\"n-2\",\"model\":\n{\"request_id\":\"n-3\"}";
        let ask = Ask::post_bytes("/usage/batch", lines).without("content-type");
        let answer = site.send(ask.header("content-type", "application/x-ndjson"), &key).await;
        let lines: Vec<Value> =
            answer.text().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let statuses: Vec<_> = lines.iter().map(|line| line["status"].as_i64().unwrap_or(0)).collect();
        assert_eq!(statuses, [201, 400, 201, 0], "{}", answer.text());
        assert!(site.verify().await.is_empty());
    });
}

#[test]
fn of_fifty_that_record_one_request_at_once_one_does() {
    on_every_database(async |site| {
        let (c, key) = stocked(&site).await;
        book_usage(&site, &c).await;
        let body = json!({"request_id": "r", "user_id": "u", "model": "large", "input_tokens": 1000});
        let replies = join_all((0..50).map(|_| site.post(&key, "/usage", &body))).await;
        let made = replies.iter().filter(|reply| reply.status == 201).count();
        let again = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!((made, again), (1, 49), "{:?}", replies.iter().map(|r| r.status).collect::<Vec<_>>());
        assert_eq!(sums(&site, "usage_daily", &c).await[0], 1);
        assert_eq!(balance(&site, &key).await, "8");
    });
}

#[test]
fn a_user_sees_its_own_usage_and_its_administrator_that_of_all() {
    on_every_database_with(signing_in, async |site| {
        let (c, key) = stocked(&site).await;
        let (user, other) =
            (site.person(Some(&c.id), UserRole::User).await, site.person(Some(&c.id), UserRole::User).await);
        let admin = site.person(Some(&c.id), UserRole::Admin).await;
        let body = json!({"request_id": "r", "user_id": user.id.as_str(), "model": "small"});
        let used = record(&site, &key, &body).await;
        let path = format!("/usage/{}", used.data()["id"].as_str().unwrap());
        for (person, status) in [(&user, 200), (&other, 404), (&admin, 200)] {
            let access = site.login(person).await.access;
            assert_eq!(site.as_user(&access, &path).await.status, status);
            let refused = Ask::post("/usage", &body).bearer(&access).send(site.http()).await;
            assert_eq!(refused.refusal(), (403, "scope_missing"));
        }
        let (_, stranger) = stocked(&site).await;
        assert_eq!(site.get(&stranger, &path).await.refusal(), (404, "not_found"));
        assert_eq!(site.get(&site.platform, &path).await.status, 200);
    });
}
