//! /holds: reserving money, and capturing or releasing it.

use futures_util::future::join_all;
use sageapi_server::model::{Mode, Money};
use serde_json::{Value, json};

use crate::raw::{Ask, Reply};
use crate::site::{Customer, Site, on_every_database};

/// A hold made just now.
async fn hold(site: &Site, c: &Customer, transno: &str, amount: &str) -> Reply {
    let made = site.post(&c.key, "/holds", &json!({"transno": transno, "amount": amount})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made
}

fn path(hold: &Reply) -> String {
    format!("/holds/{}", hold.data()["id"].as_str().unwrap())
}

/// balance, held and available as they stand in the database.
async fn funds(site: &Site, c: &Customer) -> [String; 3] {
    let read = site.send(Ask::get("/balance").header("cache-control", "no-cache"), &c.key).await;
    ["balance", "held", "available"].map(|member| read.data()[member].as_str().unwrap().to_owned())
}

#[test]
fn a_hold_reserves_and_says_until_when() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let body = json!({
            "transno": "h", "customer_id": c.id, "amount": "4.50", "currency": "CNY", "ttl_s": 60, "user_id": "u",
            "note": "余额",
        });
        let made = site.post(&c.key, "/holds", &body).await;
        assert_eq!(made.status, 201, "{}", made.text());
        assert_eq!(made.header("location"), format!("/api/v1{}", path(&made)));
        for (member, value) in [
            ("transno", json!("h")),
            ("customer_id", json!(c.id)),
            ("user_id", json!("u")),
            ("amount", json!("4.5")),
            ("captured", json!("0")),
            ("currency", json!("CNY")),
            ("state", json!("open")),
            ("note", json!("余额")),
            ("balance", json!("10")),
            ("held", json!("4.5")),
            ("available", json!("5.5")),
            ("replayed", json!(false)),
        ] {
            assert_eq!(made.data()[member], value, "{member}");
        }
        let time = |member: &str| {
            let text = made.data()[member].as_str().unwrap();
            sageapi_server::model::Timestamp::parse(text).unwrap()
        };
        assert_eq!(time("expires_at").micros() - time("created_at").micros(), 60_000_000);
        assert_eq!(funds(&site, &c).await, ["10", "4.5", "5.5"]);
        let read = site.get(&c.key, &path(&made)).await;
        assert_eq!(
            (&read.data()["state"], &read.data()["expires_at"]),
            (&json!("open"), &made.data()["expires_at"])
        );
        // No record: the money is still the customer's.
        assert_eq!(site.get(&c.key, "/accounting").await.rows().len(), 1);
        let charge = json!({"transno": "t", "amount": "5.500000001"});
        let refused = site.post(&c.key, "/accounting", &charge).await;
        assert_eq!(
            (refused.refusal(), &refused.json["available"]),
            ((402, "insufficient_balance"), &json!("5.5"))
        );
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_capture_books_whole_or_part_and_frees_the_rest() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        for (transno, sent, amount, balance) in
            [("whole", json!({}), "4", "6"), ("part", json!({"amount": "1.25"}), "1.25", "4.75")]
        {
            let made = hold(&site, &c, transno, "4").await;
            let mut body = sent;
            body["transno"] = json!(format!("{transno}-capture"));
            let capture = format!("{}/capture", path(&made));
            let booked = site.post(&c.key, &capture, &body).await;
            assert_eq!(booked.status, 201, "{}", booked.text());
            for (member, value) in [
                ("kind", "capture"),
                ("amount", amount),
                ("balance", balance),
                ("held", "0"),
                ("available", balance),
            ] {
                assert_eq!(booked.data()[member], value, "{member}");
            }
            let record = site.send(Ask::raw(http::Method::GET, booked.header("location")), &c.key).await;
            assert_eq!(record.data()["hold_id"], made.data()["id"]);
            let read = site.get(&c.key, &path(&made)).await;
            assert_eq!(
                (&read.data()["state"], &read.data()["captured"]),
                (&json!("captured"), &json!(amount))
            );

            let again = site.post(&c.key, &capture, &body).await;
            assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"));
            assert_eq!(again.data()["id"], booked.data()["id"]);
            body["amount"] = json!("3.99");
            assert_eq!(site.post(&c.key, &capture, &body).await.refusal(), (422, "transno_conflict"));
            body["transno"] = json!(format!("{transno}-again"));
            assert_eq!(site.post(&c.key, &capture, &body).await.refusal(), (422, "hold_closed"));
            let release = format!("{}/release", path(&made));
            assert_eq!(site.post(&c.key, &release, &json!({})).await.refusal(), (422, "hold_closed"));
        }
        assert_eq!(funds(&site, &c).await, ["4.75", "0", "4.75"]);
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_capture_above_its_hold_takes_what_is_free_and_no_more() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        hold(&site, &c, "other", "3").await;
        let made = hold(&site, &c, "h", "4").await;
        let capture = format!("{}/capture", path(&made));
        let above = json!({"transno": "c", "amount": "7.000000001"});
        let refused = site.post(&c.key, &capture, &above).await;
        assert_eq!(refused.refusal(), (402, "insufficient_balance"));
        assert_eq!(
            (&refused.json["available"], &refused.json["required"]),
            (&json!("7"), &json!("7.000000001"))
        );
        let booked = site.post(&c.key, &capture, &json!({"transno": "c", "amount": "7"})).await;
        assert_eq!((booked.status, &booked.data()["available"]), (201, &json!("0")));
        assert_eq!(funds(&site, &c).await, ["3", "3", "0"]);
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_release_frees_once_and_can_be_repeated() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let made = hold(&site, &c, "h", "4").await;
        let release = format!("{}/release", path(&made));
        let first = site.send(Ask::post_bytes(&release, ""), &c.key).await;
        assert_eq!(
            (first.status, &first.data()["state"], &first.data()["held"]),
            (200, &json!("released"), &json!("0"))
        );
        assert_eq!(first.data()["replayed"], false);
        let version = site.get(&c.key, "/balance").await.data()["version"].clone();
        for body in ["{}", ""] {
            let again = site.send(Ask::post_bytes(&release, body), &c.key).await;
            assert_eq!((again.status, &again.data()["state"]), (200, &json!("released")));
            assert_eq!(again.data()["replayed"], true);
        }
        assert_eq!(site.get(&c.key, "/balance").await.data()["version"], version, "freed once");
        assert_eq!(funds(&site, &c).await, ["10", "0", "10"]);
        let capture = format!("{}/capture", path(&made));
        assert_eq!(
            site.post(&c.key, &capture, &json!({"transno": "c"})).await.refusal(),
            (422, "hold_closed")
        );
    });
}

#[test]
fn a_hold_expires_by_itself_and_once_on_however_many_instances() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let elsewhere = site.command().await;
        elsewhere.env.start_background().await;
        let before = site.get(&c.key, "/balance").await.data()["version"].as_i64().unwrap();
        let body = json!({"transno": "h", "amount": "10", "ttl_s": 1});
        let made = site.post(&c.key, "/holds", &body).await;
        assert_eq!((made.status, &made.data()["available"]), (201, &json!("0")));
        site.until("the hold is due and closed", async || funds(&site, &c).await == ["10", "0", "10"]).await;
        let read = site.get(&c.key, &path(&made)).await;
        assert_eq!((&read.data()["state"], &read.data()["captured"]), (&json!("expired"), &json!("0")));
        for (action, body) in
            [("capture", json!({"transno": "c"})), ("capture", json!({"transno": "c", "amount": "1"}))]
        {
            let refused = site.post(&c.key, &format!("{}/{action}", path(&made)), &body).await;
            assert_eq!(refused.refusal(), (422, "hold_closed"));
        }
        let released = site.post(&c.key, &format!("{}/release", path(&made)), &json!({})).await;
        assert_eq!((released.status, &released.data()["state"]), (200, &json!("expired")));
        let charged = site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "10"})).await;
        assert_eq!(charged.data()["balance"], "0");
        let read = site.send(Ask::get("/balance").header("cache-control", "no-cache"), &c.key).await;
        assert_eq!(read.data()["version"].as_i64().unwrap(), before + 3, "one hold, one expiry, one charge");
        assert_eq!(site.verify().await, Vec::<String>::new());
        elsewhere.stop().await;
    });
}

/// A hold of 10, and the end of its time.
async fn make_due_hold(site: &Site, customer: &Customer) {
    let hold = json!({"transno": "h", "amount": "10", "ttl_s": 1});
    let made = site.post(&customer.key, "/holds", &hold).await;
    assert_eq!(made.status, 201);
    site.until("the hold is due", async || {
        site.get(&customer.key, &path(&made)).await.data()["state"] == "expired"
    })
    .await;
}

#[test]
fn a_due_hold_is_closed_by_the_next_write_without_any_sweep() {
    crate::site::on_every_database_with(AppBuilder::without_background, async |site| {
        let c = site.customer("10").await;
        make_due_hold(&site, &c).await;
        assert_eq!(funds(&site, &c).await, ["10", "10", "0"], "nobody wrote yet");
        let charged = site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "10"})).await;
        assert_eq!((charged.status, &charged.data()["held"]), (201, &json!("0")));
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn what_is_tried_out_counts_no_hold_whose_time_is_over() {
    crate::site::on_every_database_with(AppBuilder::without_background, async |site| {
        let c = site.customer("10").await;
        make_due_hold(&site, &c).await;
        let charge = json!({"transno": "t", "amount": "10"});
        let tried = site.post(&c.key, "/accounting?dry_run=true", &charge).await;
        assert_eq!(tried.status, 200, "{}", tried.text());
        assert_eq!((&tried.data()["balance"], &tried.data()["held"]), (&json!("0"), &json!("0")));
        assert_eq!(funds(&site, &c).await, ["10", "10", "0"], "nothing was done");
        assert_eq!(site.post(&c.key, "/accounting", &charge).await.data()["balance"], "0", "as it said");
    });
}

#[test]
fn a_read_only_instance_lets_due_holds_be() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let made = site.post(&c.key, "/holds", &json!({"transno": "h", "amount": "10", "ttl_s": 5})).await;
        assert_eq!(made.status, 201);
        let site = site.restarted(|config| config.server.read_only = true).await;
        site.until("the hold is due", async || {
            site.get(&c.key, &path(&made)).await.data()["state"] == "expired"
        })
        .await;
        // Long enough for several looks of a sweep.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        assert_eq!(funds(&site, &c).await, ["10", "10", "0"]);
        let site = site.restarted(|config| config.server.read_only = false).await;
        site.until("it is closed", async || funds(&site, &c).await == ["10", "0", "10"]).await;
    });
}

use sageapi_test_support::app::AppBuilder;

#[test]
fn a_repeated_hold_gets_the_first_answer_and_another_body_a_conflict() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let body = json!({"transno": "h", "amount": "4"});
        let made = site.post(&c.key, "/holds", &body).await;
        site.post(&c.key, &format!("{}/release", path(&made)), &json!({})).await;
        let spelled =
            json!({"transno": "h", "amount": "4.000", "ttl_s": 600, "customer_id": c.id, "note": null});
        for again in [&body, &spelled] {
            let again = site.post(&c.key, "/holds", again).await;
            assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"));
            let mut expected = made.data().clone();
            expected["replayed"] = json!(true);
            assert_eq!(*again.data(), expected, "as it was when it was made");
        }
        for (member, value) in [
            ("amount", json!("5")),
            ("ttl_s", json!(601)),
            ("user_id", json!("u")),
            ("note", json!("")),
            ("currency", json!("CNY")),
        ] {
            let mut other = body.clone();
            other[member] = value;
            assert_eq!(
                site.post(&c.key, "/holds", &other).await.refusal(),
                (422, "transno_conflict"),
                "{member}"
            );
        }
        // A transno names one hold or one record.
        let charge = json!({"transno": "h", "amount": "4"});
        assert_eq!(site.post(&c.key, "/accounting", &charge).await.refusal(), (422, "transno_conflict"));
        let dry = site.post(&c.key, "/accounting?dry_run=true", &charge).await;
        assert_eq!(dry.refusal(), (422, "transno_conflict"));
        assert_eq!(
            site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "1"})).await.status,
            201
        );
        let hold = json!({"transno": "t", "amount": "1"});
        assert_eq!(site.post(&c.key, "/holds", &hold).await.refusal(), (422, "transno_conflict"));
    });
}

#[test]
fn many_equal_holds_and_captures_at_once_take_effect_once() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let body = json!({"transno": "h", "amount": "3"});
        let holds = join_all((0..20).map(|_| site.post(&c.key, "/holds", &body))).await;
        assert_eq!(holds.iter().filter(|reply| reply.status == 201).count(), 1);
        let made = |reply: &Reply| {
            let mut made = reply.data().clone();
            assert_eq!(made["replayed"], reply.status == 200);
            made["replayed"].take();
            made
        };
        assert!(holds.iter().all(|reply| made(reply) == made(&holds[0])));
        assert_eq!(funds(&site, &c).await, ["10", "3", "7"]);
        let capture = format!("{}/capture", path(&holds[0]));
        let bodies: Vec<_> = (0..20).map(|n| json!({"transno": format!("c-{}", n % 2)})).collect();
        let captures = join_all(bodies.iter().map(|body| site.post(&c.key, &capture, body))).await;
        let count = |status: u16| captures.iter().filter(|reply| reply.status == status).count();
        assert_eq!((count(201), count(200), count(422)), (1, 9, 10), "one name wins and is repeated");
        assert_eq!(funds(&site, &c).await, ["7", "0", "7"]);
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_hold_passes_the_checks_of_a_charge() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let post = async |body: Value| site.post(&c.key, "/holds", &body).await;
        let with = |member: &str, value: Value| {
            let mut body = json!({"transno": "h", "amount": "1"});
            body[member] = value;
            body
        };
        for (body, field) in [
            (with("transno", Value::Null), "transno"),
            (with("transno", json!("hold:1")), "transno"),
            (with("amount", Value::Null), "amount"),
            (with("ttl_s", json!(0)), "ttl_s"),
            (with("ttl_s", json!(86_401)), "ttl_s"),
            (with("ttl_s", json!(1.5)), "ttl_s"),
            (with("currency", json!("cny")), "currency"),
        ] {
            let refused = post(body).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{field}");
            assert_eq!(refused.json["errors"][0]["field"], field);
        }
        assert_eq!(post(with("amount", json!("-1"))).await.refusal(), (400, "amount_invalid"));
        assert_eq!(post(with("amount", json!("0"))).await.refusal(), (400, "amount_invalid"));
        assert_eq!(post(with("amount", json!(1))).await.refusal(), (400, "amount_not_string"));
        assert_eq!(post(with("amount", json!("9000000000.1"))).await.refusal(), (422, "amount_out_of_range"));
        assert_eq!(post(with("currency", json!("USD"))).await.refusal(), (422, "currency_mismatch"));
        assert_eq!(post(with("llmid", json!("l"))).await.refusal(), (400, "unknown_field"));
        assert_eq!(post(with("customer_id", json!("other"))).await.refusal(), (403, "customer_forbidden"));
        assert_eq!(
            post(with("amount", json!("10.000000001"))).await.refusal(),
            (402, "insufficient_balance")
        );
        let nobody = json!({"transno": "h", "amount": "1", "customer_id": "nobody"});
        assert_eq!(site.post(&site.platform, "/holds", &nobody).await.refusal(), (404, "not_found"));
        let store = site.env().store();
        store.set_credit_limit(&c.customer_id(), Money::parse("5").unwrap()).await.unwrap();
        assert_eq!(post(json!({"transno": "a", "amount": "15"})).await.status, 201);
        assert_eq!(
            post(json!({"transno": "b", "amount": "0.1"})).await.refusal(),
            (402, "insufficient_balance")
        );
        store.set_customer_mode(&c.customer_id(), Some(Mode::AllowNegative)).await.unwrap();
        assert_eq!(post(json!({"transno": "b", "amount": "0.1"})).await.status, 201);
        assert_eq!(funds(&site, &c).await, ["10", "15.1", "-0.1"]);
    });
}

#[test]
fn a_suspended_customer_may_settle_within_a_hold_and_let_it_go_but_not_make_one() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let (one, two) = (hold(&site, &c, "h1", "2").await, hold(&site, &c, "h2", "3").await);
        site.suspend(&c).await;
        let refused = site.post(&c.key, "/holds", &json!({"transno": "h3", "amount": "1"})).await;
        assert_eq!(refused.refusal(), (403, "customer_suspended"));
        let capture = format!("{}/capture", path(&one));
        let above = site.post(&c.key, &capture, &json!({"transno": "c", "amount": "2.1"})).await;
        assert_eq!(above.refusal(), (403, "customer_suspended"));
        assert_eq!(site.post(&c.key, &capture, &json!({"transno": "c"})).await.status, 201);
        assert_eq!(site.post(&c.key, &format!("{}/release", path(&two)), &json!({})).await.status, 200);
        assert_eq!(funds(&site, &c).await, ["8", "0", "8"]);
    });
}

#[test]
fn holds_are_seen_and_settled_by_their_owner_and_the_platform_alone() {
    on_every_database(async |site| {
        let (c, other) = (site.customer("10").await, site.customer("10").await);
        let made = hold(&site, &c, "h", "2").await;
        let id = path(&made);
        for path in [id.as_str(), "/holds/01890a5d-ac96-774b-bcce-b302099a8057", "/holds/x", "/holds/%00"] {
            assert_eq!(site.get(&other.key, path).await.refusal(), (404, "not_found"), "{path}");
            for action in ["capture", "release"] {
                let body = if action == "capture" { json!({"transno": "c"}) } else { json!({}) };
                let refused = site.post(&other.key, &format!("{path}/{action}"), &body).await;
                assert_eq!(refused.refusal(), (404, "not_found"), "{path}/{action}");
            }
        }
        assert_eq!(funds(&site, &c).await, ["10", "2", "8"]);
        let reader = site.app.key(Some(&c.id), "balance:read").await;
        assert_eq!(site.get(&(&reader).into(), &id).await.status, 200);
        let refused = site.post(&(&reader).into(), &format!("{id}/release"), &json!({})).await;
        assert_eq!(refused.refusal(), (403, "scope_missing"));
        let booked = site
            .post(&site.platform, &format!("{id}/capture"), &json!({"transno": "c", "amount": "1"}))
            .await;
        assert_eq!((booked.status, &booked.data()["customer_id"]), (201, &json!(c.id)));
    });
}

#[test]
fn holds_are_listed_by_state_person_and_name_page_by_page() {
    on_every_database(async |site| {
        let (c, other) = (site.customer("10").await, site.customer("10").await);
        hold(&site, &other, "theirs", "1").await;
        let mut made = Vec::new();
        for n in 0..5 {
            let body = json!({"transno": format!("h-{n}"), "amount": "1", "user_id": format!("u-{}", n % 2)});
            made.push(site.post(&c.key, "/holds", &body).await);
        }
        site.post(&c.key, &format!("{}/capture", path(&made[0])), &json!({"transno": "c"})).await;
        site.post(&c.key, &format!("{}/release", path(&made[1])), &json!({})).await;
        let names = async |key, query: &str| -> Vec<String> {
            let list = site.get(key, &format!("/holds{query}")).await;
            list.rows().iter().map(|row| row["transno"].as_str().unwrap().to_owned()).collect()
        };
        for (query, expected) in [
            ("", vec!["h-4", "h-3", "h-2", "h-1", "h-0"]),
            ("?state=open", vec!["h-4", "h-3", "h-2"]),
            ("?state=captured", vec!["h-0"]),
            ("?state=released", vec!["h-1"]),
            ("?state=expired", vec![]),
            ("?user_id=u-1&order=asc", vec!["h-1", "h-3"]),
            ("?transno=h-2", vec!["h-2"]),
            ("?transno=theirs", vec![]),
        ] {
            assert_eq!(names(&c.key, query).await, expected, "{query}");
        }
        assert_eq!(names(&site.platform, "").await.len(), 6);
        assert_eq!(
            site.get(&c.key, &format!("/holds?customer_id={}", other.id)).await.refusal(),
            (403, "customer_forbidden")
        );
        assert_eq!(site.get(&c.key, "/holds?state=gone").await.refusal(), (400, "invalid_request"));
        let (mut walked, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = site.get(&c.key, &format!("/holds?limit=2&order=asc{cursor}")).await;
            walked.extend(page.rows().iter().map(|row| row["transno"].as_str().unwrap().to_owned()));
            let Some(next) = page.data()["next_cursor"].as_str() else { break };
            cursor = format!("&cursor={next}");
        }
        assert_eq!(walked, ["h-0", "h-1", "h-2", "h-3", "h-4"]);
    });
}
