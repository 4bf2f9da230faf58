//! The same transno twice: the first answer again, or a conflict.

use serde_json::{Value, json};

use crate::raw::{Ask, Reply};
use crate::site::on_every_database;

#[test]
fn the_same_request_gets_the_first_answer_again() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let first = site
            .post(&c.key, "/accounting", &json!({"transno": "t", "amount": "1.50", "user_id": "u"}))
            .await;
        assert_eq!(first.status, 201);
        // Something else happens in between: the balance in the answer stays that of the first.
        site.post(&c.key, "/accounting", &json!({"transno": "other", "amount": "1"})).await;
        let spellings = [
            json!({"transno": "t", "amount": "1.50", "user_id": "u"}),
            json!({"user_id": "u", "amount": "1.5", "transno": "t"}),
            json!({"transno": "t", "amount": "1.500000000", "user_id": "u", "customer_id": c.id, "kind": "charge", "note": null}),
        ];
        for body in spellings {
            let again = site.post(&c.key, "/accounting", &body).await;
            assert_eq!(
                (again.status, again.header("idempotency-replayed")),
                (200, "true"),
                "{}",
                again.text()
            );
            assert_eq!(again.header("location"), first.header("location"));
            assert_eq!(without_replayed(&again), (without_replayed(&first).0, true));
        }
        let by_platform = json!({"transno": "t", "amount": "1.5", "user_id": "u", "customer_id": c.id});
        assert_eq!(site.post(&site.platform, "/accounting", &by_platform).await.status, 200);
        assert_eq!(site.get(&c.key, "/balance").await.data()["seq"], 3);
    });
}

/// The answer less `replayed`, and that.
#[track_caller]
fn without_replayed(reply: &Reply) -> (Value, bool) {
    let mut data = reply.data().clone();
    let replayed = data.as_object_mut().unwrap().remove("replayed").unwrap().as_bool().unwrap();
    (data, replayed)
}

#[test]
fn another_request_with_the_same_transno_is_a_conflict() {
    on_every_database(async |site| {
        let (c, other) = (site.customer("10").await, site.customer("10").await);
        let first = json!({"transno": "t", "amount": "1", "user_id": "u", "note": "n"});
        assert_eq!(site.post(&c.key, "/accounting", &first).await.status, 201);
        for (member, value) in [
            ("amount", json!("1.000000001")),
            ("user_id", json!("v")),
            ("user_id", Value::Null),
            ("note", json!("m")),
            ("note", json!("")),
            ("currency", json!("CNY")),
            ("llmid", json!("l")),
            ("model", json!("l")),
            ("pricing_id", json!("l")),
            ("input_tokens", json!(0)),
            ("output_tokens", json!(0)),
            ("usage", json!({})),
            ("request_id", json!("r")),
            ("event_time", json!("2026-05-28T20:26:40Z")),
        ] {
            let mut body = first.clone();
            body[member] = value;
            let refused = site.post(&c.key, "/accounting", &body).await;
            assert_eq!(refused.refusal(), (422, "transno_conflict"), "{member}");
        }
        let credit = json!({"transno": "t", "amount": "1", "user_id": "u", "note": "n", "kind": "credit", "customer_id": c.id});
        assert_eq!(
            site.post(&site.platform, "/accounting", &credit).await.refusal(),
            (422, "transno_conflict")
        );
        // A transno belongs to its customer.
        assert_eq!(site.post(&other.key, "/accounting", &first).await.status, 201);
        assert_eq!(site.get(&c.key, "/balance").await.data()["seq"], 2);
    });
}

#[test]
fn a_conflict_is_reported_before_funds_and_status() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let charge = |amount: &str| json!({"transno": "t", "amount": amount});
        assert_eq!(site.post(&c.key, "/accounting", &charge("1")).await.status, 201);
        assert_eq!(
            site.post(&c.key, "/accounting", &charge("100")).await.refusal(),
            (422, "transno_conflict")
        );
        site.suspend(&c).await;
        assert_eq!(
            site.post(&c.key, "/accounting", &charge("1")).await.status,
            200,
            "a retry is not a new charge"
        );
    });
}

#[test]
fn the_header_names_the_transno_as_well_as_the_body() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let ask = |transno: Value, keys: &[&str]| {
            let body = json!({"transno": transno, "amount": "1"});
            keys.iter().fold(Ask::post("/accounting", &body), |ask, key| ask.header("idempotency-key", key))
        };
        let first = site.send(ask(Value::Null, &["t"]), &c.key).await;
        assert_eq!((first.status, &first.data()["transno"]), (201, &json!("t")));
        for same in [ask(json!("t"), &["t"]), ask(json!("t"), &[]), ask(Value::Null, &["t"])] {
            assert_eq!(site.send(same, &c.key).await.status, 200);
        }
        for (wrong, field) in [
            (ask(json!("t"), &["u"]), "transno"),
            (ask(Value::Null, &["a b"]), "idempotency-key"),
            (ask(Value::Null, &[""]), "idempotency-key"),
            (ask(Value::Null, &[&"k".repeat(129)]), "idempotency-key"),
            (ask(Value::Null, &["t", "t"]), "idempotency-key"),
            (ask(Value::Null, &["\"t"]), "idempotency-key"),
            (ask(json!("t"), &["\"u\""]), "transno"),
            (ask(Value::Null, &[]), "transno"),
        ] {
            let refused = site.send(wrong, &c.key).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{}", refused.text());
            assert_eq!(refused.json["errors"][0]["field"], field);
        }
        // Unsigned it could be swapped for another.
        let added = ask(json!("v"), &[]).signed(&c.key, site.now_s()).header("idempotency-key", "v");
        assert_eq!(added.send(site.http()).await.refusal(), (401, "auth_uncovered"));
    });
}

#[test]
fn a_key_in_quotes_is_the_same_key() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let ask = |path: &str, body: Value, key: &str| {
            let ask = Ask::post(path, &body);
            if key.is_empty() { ask } else { ask.header("idempotency-key", key) }
        };
        let record = site.post(&c.key, "/accounting", &json!({"transno": "first", "amount": "5"})).await;
        let reverse = format!("/accounting/{}/reverse", record.data()["id"].as_str().unwrap());
        for (path, transno) in [("/accounting", "a"), ("/holds", "h"), (reverse.as_str(), "r")] {
            let body = |named: Value| json!({"transno": named, "amount": "1"});
            let first = site.send(ask(path, body(Value::Null), transno), &c.key).await;
            assert_eq!((first.status, &first.data()["transno"]), (201, &json!(transno)), "{path}");
            let quoted = format!("\"{transno}\"");
            for same in [
                ask(path, body(Value::Null), &quoted),
                ask(path, body(json!(transno)), &quoted),
                ask(path, body(json!(transno)), ""),
            ] {
                let again = site.send(same, &c.key).await;
                assert_eq!((again.status, &again.data()["id"]), (200, &first.data()["id"]), "{path}");
                assert_eq!(again.data()["replayed"], true, "{path}");
            }
        }
    });
}
