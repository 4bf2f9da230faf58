//! POST /accounting/batch: many bookings in one request.

use futures_util::future::join_all;
use sageapi_server::domain::booking::{Action, Request};
use sageapi_server::model::CustomerId;
use serde_json::{Value, json};

use crate::raw::{Ask, Credentials, Reply};
use crate::site::{Site, on_every_database, on_every_database_with};

fn charge(transno: impl Into<String>, amount: &str) -> Value {
    json!({"transno": transno.into(), "amount": amount})
}

fn ndjson(lines: &[String]) -> Ask {
    Ask::post_bytes("/accounting/batch", lines.join("\n"))
        .without("content-type")
        .header("content-type", "application/x-ndjson")
}

async fn send(site: &Site, key: &Credentials, items: &[Value]) -> Reply {
    site.post(key, "/accounting/batch", &json!(items)).await
}

#[track_caller]
fn statuses(rows: &[Value]) -> Vec<u64> {
    for (place, row) in rows.iter().enumerate() {
        assert_eq!(row["index"], place, "in the order of the request");
        assert_eq!(row["status"].as_u64().unwrap() < 300, row.get("error").is_none());
    }
    rows.iter().map(|row| row["status"].as_u64().unwrap()).collect()
}

#[test]
fn each_item_gets_a_verdict_of_its_own_in_the_order_of_the_request() {
    on_every_database(async |site| {
        let (c, other) = (site.customer("10").await, site.customer("10").await);
        let items = [
            charge("a", "4"),
            charge("b", "7"),
            charge("a", "4"),
            charge("a", "5"),
            json!({"transno": "c", "amount": 1}),
            json!({"transno": "d", "amount": "1", "more": 1}),
            json!([]),
            json!({"transno": "e", "amount": "1", "customer_id": other.id}),
            json!({"transno": "f", "amount": "1", "kind": "credit"}),
            charge("g", "6"),
            charge("h", "0.000000001"),
        ];
        let done = send(&site, &c.key, &items).await;
        assert_eq!((done.status, done.header("content-type")), (200, "application/json"));
        let rows = done.rows();
        assert_eq!(statuses(rows), [201, 402, 200, 422, 400, 400, 400, 403, 403, 201, 402]);
        assert_eq!((&done.data()["accepted"], &done.data()["rejected"]), (&json!(3), &json!(8)));
        let codes: Vec<_> = rows.iter().filter_map(|row| row["error"]["code"].as_str()).collect();
        let expected = [
            "insufficient_balance",
            "transno_conflict",
            "amount_not_string",
            "unknown_field",
            "body_malformed",
            "customer_forbidden",
            "kind_forbidden",
            "insufficient_balance",
        ];
        assert_eq!(codes, expected);
        assert_eq!(
            (&rows[1]["error"]["available"], &rows[1]["error"]["required"]),
            (&json!("6"), &json!("7"))
        );
        assert_eq!((&rows[0]["data"]["balance"], &rows[9]["data"]["balance"]), (&json!("6"), &json!("0")));
        assert_eq!(
            (&rows[2]["data"]["id"], &rows[2]["data"]["replayed"]),
            (&rows[0]["data"]["id"], &json!(true))
        );
        assert_eq!(rows[0]["data"]["seq"], 2);
        assert_eq!(rows[9]["data"]["seq"], 3);
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn lines_in_are_lines_out_and_the_last_one_counts() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let lines = [
            charge("a", "4").to_string(),
            String::new(),
            "not json".to_owned(),
            charge("b", "4").to_string(),
            charge("c", "4").to_string(),
        ];
        for round in 0..2 {
            let done = site.send(ndjson(&lines), &c.key).await;
            assert_eq!((done.status, done.header("content-type")), (200, "application/x-ndjson"));
            let text = done.text();
            let mut answers: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(answers.pop().unwrap(), json!({"_end": true, "accepted": 2, "rejected": 2}));
            let booked = if round == 0 { 201 } else { 200 };
            assert_eq!(statuses(&answers), [booked, 400, booked, 402]);
            assert_eq!(answers[0]["data"]["replayed"], round == 1);
        }
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "2");
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn an_atomic_batch_is_booked_whole_or_not_at_all() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let atomic = async |items: &Value| site.post(&c.key, "/accounting/batch?atomic=true", items).await;
        for (items, refusal) in [
            (json!([charge("a", "6"), charge("b", "6")]), (402, "insufficient_balance")),
            (json!([charge("a", "6"), charge("a", "5")]), (422, "transno_conflict")),
            (json!([charge("a", "6"), json!({"transno": "b"})]), (400, "invalid_request")),
            (
                json!([charge("a", "6"), json!({"transno": "b", "amount": "1", "currency": "USD"})]),
                (422, "currency_mismatch"),
            ),
        ] {
            let refused = atomic(&items).await;
            assert_eq!(refused.refusal(), refusal, "{items}");
            assert_eq!(refused.json["index"], 1, "which item it is: {}", refused.text());
            assert_eq!(site.get(&c.key, "/balance").await.data()["seq"], 1);
        }
        let items = json!([charge("a", "6"), charge("b", "4")]);
        let done = atomic(&items).await;
        assert_eq!(statuses(done.rows()), [201, 201]);
        let again = atomic(&items).await;
        assert_eq!(statuses(again.rows()), [200, 200]);
        assert_eq!(again.rows()[1]["data"]["id"], done.rows()[1]["data"]["id"]);
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "0");
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn an_atomic_batch_over_many_customers_takes_from_all_or_none() {
    on_every_database(async |site| {
        let customers = join_all((0..6).map(|_| site.customer("1"))).await;
        let items = |amount: &str| -> Vec<Value> {
            let item = |(n, c): (usize, &crate::site::Customer)| json!({"transno": format!("{amount}-{n}"), "customer_id": c.id, "amount": amount});
            customers.iter().enumerate().map(item).collect()
        };
        let poor = &customers[3];
        assert_eq!(site.post(&poor.key, "/accounting", &charge("x", "0.5")).await.status, 201);
        let all = async |items: &[Value]| {
            site.post(&site.platform, "/accounting/batch?atomic=true", &json!(items)).await
        };
        assert_eq!(all(&items("0.6")).await.refusal(), (402, "insufficient_balance"));
        assert_eq!(statuses(all(&items("0.5")).await.rows()), [201; 6]);
        for c in &customers {
            let balance = site.get(&c.key, "/balance").await;
            assert_eq!(balance.data()["balance"], if c.id == poor.id { "0" } else { "0.5" });
        }
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_batch_has_one_to_a_thousand_items() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let items =
            |count: usize| -> Vec<Value> { (0..count).map(|n| charge(format!("t-{n}"), "0.001")).collect() };
        for wrong in [json!([]), json!(items(1001))] {
            let refused = site.post(&c.key, "/accounting/batch", &wrong).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"));
            assert_eq!(refused.json["errors"][0]["field"], "body");
        }
        for wrong in ["", "{}", "null", "[", "[1", "[{}] x", "\u{feff}[]"] {
            let refused = site.send(Ask::post_bytes("/accounting/batch", wrong), &c.key).await;
            assert_eq!(refused.status, 400, "{wrong}");
        }
        assert_eq!(site.send(ndjson(&[String::new()]), &c.key).await.refusal(), (400, "invalid_request"));
        let done = send(&site, &c.key, &items(1000)).await;
        assert_eq!((&done.data()["accepted"], &done.data()["rejected"]), (&json!(1000), &json!(0)));
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "0");
        let keyed = Ask::post("/accounting/batch", &json!(items(1))).header("idempotency-key", "k");
        assert_eq!(site.send(keyed, &c.key).await.refusal(), (400, "invalid_request"));
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_batch_that_finds_no_room_is_refused_whole() {
    on_every_database_with(
        // One customer may have a fifth of the queue.
        |builder| builder.config(|config| config.accounting.queue = 50),
        async |site| {
            let c = site.customer("10").await;
            let items = |count: usize| -> Vec<Value> {
                (0..count).map(|n| charge(format!("t-{n}"), "0.1")).collect()
            };
            for path in ["/accounting/batch", "/accounting/batch?atomic=true"] {
                let refused = site.post(&c.key, path, &json!(items(11))).await;
                assert_eq!(refused.refusal(), (503, "overloaded"));
                assert!(!refused.header("retry-after").is_empty());
            }
            assert_eq!(site.get(&c.key, "/balance").await.data()["seq"], 1);
            assert_eq!(statuses(send(&site, &c.key, &items(10)).await.rows()), [201; 10]);
        },
    );
}

#[test]
fn a_batch_that_is_sent_again_with_its_nonce_is_a_replay() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        for (path, first) in [("/accounting/batch", "a"), ("/accounting/batch?atomic=true", "b")] {
            for items in [json!([charge(first, "1")]), json!([charge("x", "100")])] {
                let ask = Ask::post(path, &items).signed(&c.key, site.now_s());
                assert!(matches!(ask.send(site.http()).await.status, 200 | 402));
                assert_eq!(ask.send(site.http()).await.refusal(), (401, "auth_replay"), "{path}");
            }
        }
    });
}

#[test]
fn batches_at_once_spend_what_is_there_and_no_more() {
    on_every_database(async |site| {
        let c = site.customer("5").await;
        let items = |batch: usize| -> Vec<Value> {
            (0..20).map(|n| charge(format!("t-{batch}-{n}"), "0.1")).collect()
        };
        let batches: Vec<_> = (0..8).map(items).collect();
        let done = join_all(batches.iter().map(|items| send(&site, &c.key, items))).await;
        let accepted: u64 = done.iter().map(|reply| reply.data()["accepted"].as_u64().unwrap()).sum();
        assert_eq!(accepted, 50);
        let balance = site.get(&c.key, "/balance").await;
        assert_eq!((&balance.data()["balance"], &balance.data()["seq"]), (&json!("0"), &json!(51)));
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn what_became_of_bookings_is_counted_for_groups_as_for_others() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let counted = |result: &str| -> u64 {
            let line = format!("sageapi_bookings_total{{result=\"{result}\"}} ");
            let text = site.env().metrics().encode();
            text.lines().find_map(|l| l.strip_prefix(&line)).map_or(0, |count| count.parse().unwrap())
        };
        let booked = counted("booked");
        let atomic =
            async |items: &Value| site.post(&c.key, "/accounting/batch?atomic=true", items).await.status;
        assert_eq!(atomic(&json!([charge("a", "6"), charge("b", "6")])).await, 402);
        assert_eq!((counted("insufficient_balance"), counted("booked")), (2, booked));
        let items = json!([charge("a", "6"), charge("b", "4")]);
        assert_eq!(atomic(&items).await, 200);
        assert_eq!((counted("booked"), counted("replayed")), (booked + 2, 0));
        assert_eq!(atomic(&items).await, 200);
        assert_eq!((counted("booked"), counted("replayed"), counted("refused")), (booked + 2, 2, 0));
        site.env().bookings().submit_bulk(vec![expiry(&c.id)]).await.unwrap().remove(0).unwrap();
        assert_eq!((counted("booked"), counted("expired")), (booked + 2, 1));
    });
}

/// What a sweep asks for.
fn expiry(customer: &str) -> Request {
    let customer_id = CustomerId::parse(customer).unwrap();
    Request { customer_id, body_hash: [0; 32], nonce: None, action: Action::Expire }
}
