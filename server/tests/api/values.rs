//! Numbers and times as clients in other languages write them.

use serde_json::{Value, json};

use sageapi_server::model::Entity;

use crate::raw::{Ask, Credentials, Reply};
use crate::site::{Row, Site, clock_at, on_every_database, on_every_database_with};

/// Sends a body as it is written here: a JSON library would write numbers in its own way.
async fn send(site: &Site, key: &Credentials, path: &str, body: &str) -> Reply {
    site.send(Ask::post_bytes(path, body), key).await
}

fn message(reply: &Reply) -> String {
    let errors = reply.json["errors"].as_array().unwrap();
    errors.iter().map(|error| format!("{}: {}\n", error["field"], error["message"])).collect()
}

const LIST: &str = "pricings: [{price_factors: input_tokens, unit_prices: 0.001}, \
                    {price_factors: duration, unit_prices: 0.30000000000000004}]";

async fn stock(site: &Site) {
    let columns = [("ppid", "pp-1"), ("pricing_data", LIST), ("discount", "0.85000000000000009")];
    site.mirror(Entity::Pricing, &[Row::new("pp-1-now", &columns)]).await;
    let model = [("llmid", "llm-1"), ("model", "one"), ("ppid", "pp-1"), ("status", "published")];
    site.mirror(Entity::Llmage, &[Row::new("m-1", &model)]).await;
}

#[test]
fn an_integer_may_be_written_as_a_float_wherever_one_is_taken() {
    on_every_database(async |site| {
        stock(&site).await;
        let c = site.customer("100").await;
        let booking = |tokens: &str| {
            format!(r#"{{"transno":"t-1","pricing_id":"pp-1","input_tokens":{tokens},"output_tokens":0.0}}"#)
        };
        let first = send(&site, &c.key, "/accounting", &booking("1200.0")).await;
        assert_eq!(first.status, 201, "{first:?}");
        for tokens in ["1200", "1.2e3", "12000e-1"] {
            let again = send(&site, &c.key, "/accounting", &booking(tokens)).await;
            assert_eq!((again.status, &again.data()["replayed"]), (200, &json!(true)), "{tokens}");
        }
        for (path, body) in [
            ("/pricing/quote", booking("1.2e3").replace(r#""transno":"t-1","#, "")),
            ("/accounting/batch", format!("[{}]", booking("1200.0"))),
        ] {
            let reply = send(&site, &c.key, path, &body).await;
            assert_eq!(reply.status, 200, "{path}: {reply:?}");
        }
        let group = r#"{"name":"g","daily_tokens":1.2e3,"concurrent_requests":2.0}"#;
        let group = send(&site, &site.platform, "/admin/groups", group).await;
        assert_eq!((group.status, &group.data()["daily_tokens"]), (201, &json!(1200)));
        let hold = send(&site, &c.key, "/holds", r#"{"transno":"h-1","amount":"1","ttl_s":1.0}"#).await;
        assert_eq!(hold.status, 201, "{hold:?}");
        for (path, body, field, arrived) in [
            ("/accounting", booking("1200.5"), "input_tokens", "not 1200.5"),
            ("/accounting", booking("\"1200\""), "input_tokens", "not \\\"1200\\\""),
            ("/holds", r#"{"transno":"h-2","amount":"1","ttl_s":1.5}"#.to_owned(), "ttl_s", "not 1.5"),
        ] {
            let reply = send(&site, &c.key, path, &body).await;
            assert_eq!(reply.refusal(), (400, "invalid_request"), "{body}");
            let message = message(&reply);
            assert!(message.contains(field) && message.contains(arrived), "{message}");
        }
    });
}

#[test]
fn a_number_of_seventeen_digits_is_the_decimal_that_it_is_written_as() {
    on_every_database(async |site| {
        stock(&site).await;
        let c = site.customer("100").await;
        let quote = async |usage: &str| {
            let body = format!(r#"{{"pricing_id":"pp-1","usage":{{"duration":{usage}}}}}"#);
            send(&site, &c.key, "/pricing/quote", &body).await
        };
        for (duration, quantity, amount) in [
            ("3.2158629894256592", "3.2158629894256592", "0.820045"),
            ("0.30000000000000004", "0.30000000000000004", "0.0765"),
            ("5.551115123125783e-17", "0.00000000000000005551115123125783", "0"),
        ] {
            let reply = quote(duration).await;
            assert_eq!(reply.status, 200, "{reply:?}");
            let line = &reply.data()["pricing"]["arithmetic"]["lines"][0];
            assert_eq!(line["quantity"], quantity);
            assert_eq!(line["unit_price"], "0.30000000000000004");
            assert_eq!(reply.data()["amount"], amount, "{duration}");
        }
        let reply = quote("3.21586298942565923").await;
        assert_eq!(reply.refusal(), (400, "invalid_request"));
        assert!(message(&reply).contains("not 3.21586298942565923"), "{reply:?}");
        let booking = r#"{"transno":"t-1","pricing_id":"pp-1","usage":{"duration":3.2158629894256592}}"#;
        assert_eq!(send(&site, &c.key, "/accounting", booking).await.status, 201);
        assert_eq!(site.verify().await, [""; 0]);
    });
}

#[test]
fn the_last_second_of_the_calendar_is_a_time_wherever_one_is_taken() {
    on_every_database_with(
        |builder| builder.clock(clock_at(1_780_000_000)),
        async |site| {
            stock(&site).await;
            let c = site.customer("100").await;
            let last = "9999-12-31T23:59:59Z";
            for path in [
                format!("/accounting?to={last}"),
                format!("/accounting?event_to={last}&from=1970-01-01T00:00:00Z"),
                format!("/accounting/summary?group_by=day&to={last}"),
                format!("/holds?to={last}"),
                format!("/users?to={last}"),
                format!("/models?to={last}"),
                format!("/uapis?to={last}"),
                format!("/pricing?to={last}&at={last}"),
                format!("/pricing/pp-1?at={last}"),
                format!("/balance?at={last}"),
            ] {
                let reply = site.get(&c.key, &path).await;
                assert_eq!(reply.status, 200, "{path}: {reply:?}");
            }
            for path in ["/admin/users", "/admin/groups"] {
                let reply = site.get(&site.platform, &format!("{path}?to={last}")).await;
                assert_eq!(reply.status, 200, "{path}: {reply:?}");
            }
            let export = Ask::get(&format!("/accounting/export?to={last}"));
            assert_eq!(site.send(export, &c.key).await.status, 200);
            let quote = json!({"pricing_id": "pp-1", "input_tokens": 1, "event_time": last});
            assert_eq!(site.post(&c.key, "/pricing/quote", &quote).await.status, 200);
            let booking =
                json!({"transno": "t-1", "amount": "1", "event_time": "9999-12-31T23:59:59.999999Z"});
            assert_eq!(site.post(&c.key, "/accounting", &booking).await.status, 201);
            let shown = site.get(&c.key, "/accounting?transno=t-1").await;
            assert_eq!(shown.rows()[0]["event_time"], "9999-12-31T23:59:59.999999Z");
        },
    );
}

#[test]
fn a_time_of_another_form_is_refused_by_name_and_shown() {
    on_every_database(async |site| {
        let c = site.customer("100").await;
        for time in [
            "2026-01-01T00:00:00%2B0800",
            "2026-01-01T00:00:00%2B08",
            "2026-01-01T00:00:60Z",
            "2026-06-30T23:59:60Z",
            "2026-01-01T00:00:00",
            "2026-02-29T00:00:00Z",
        ] {
            let reply = site.get(&c.key, &format!("/accounting?from={time}")).await;
            assert_eq!(reply.refusal(), (400, "invalid_request"), "{time}");
            let said = message(&reply);
            let arrived = format!("not \\\"{}\\\"", time.replace("%2B", "+"));
            assert!(said.contains("from") && said.contains(&arrived), "{said}");
        }
        let plus = site.get(&c.key, "/accounting?from=2026-01-01T00:00:00+08:00").await;
        assert_eq!(plus.refusal(), (400, "invalid_request"));
        assert!(message(&plus).contains("written %2B"), "{plus:?}");
        assert_eq!(site.get(&c.key, "/accounting?from=2026-01-01T00:00:00%2B08:00").await.status, 200);
        let booking = |time: &str| json!({"transno": "t-1", "amount": "1", "event_time": time});
        let wrong = site.post(&c.key, "/accounting", &booking("2026-06-30T12:00:60Z")).await;
        assert_eq!(wrong.refusal(), (400, "invalid_request"));
        assert!(message(&wrong).contains("event_time"), "{wrong:?}");
        // Ten decimals are cut, a leap second is the end of its day.
        let fine = site.post(&c.key, "/accounting", &booking("2016-12-31T23:59:60.1234567891Z")).await;
        assert_eq!(fine.status, 201, "{fine:?}");
        let shown = site.get(&c.key, "/accounting?transno=t-1").await;
        assert_eq!(shown.rows()[0]["event_time"], Value::from("2016-12-31T23:59:59.999999Z"));
    });
}
