//! POST /accounting/{id}/reverse, and dry runs.

use futures_util::future::join_all;
use sageapi_server::domain::booking::{Action, Request, Reverse};
use sageapi_server::model::{CustomerId, Mode, Money, RecordId, Transno};
use serde_json::{Value, json};

use crate::raw::{Ask, Reply};
use crate::site::{Customer, Site, on_every_database};

async fn book(site: &Site, c: &Customer, body: Value) -> Reply {
    let mut body = body;
    body["customer_id"] = json!(c.id);
    let booked = site.post(&site.platform, "/accounting", &body).await;
    assert_eq!(booked.status, 201, "{}", booked.text());
    booked
}

fn reverse(record: &Reply) -> String {
    format!("/accounting/{}/reverse", record.data()["id"].as_str().unwrap())
}

#[test]
fn a_charge_is_taken_back_whole_by_a_record_of_its_own() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let charge = json!({"transno": "t", "amount": "2.5", "user_id": "u", "llmid": "l", "model": "m", "request_id": "q"});
        let charged = book(&site, &c, charge).await;
        let body = json!({"transno": "r", "note": "余额"});
        let reversed = site.post(&c.key, &reverse(&charged), &body).await;
        assert_eq!(reversed.status, 201, "{}", reversed.text());
        for (member, value) in [("kind", "reversal"), ("amount", "2.5"), ("balance", "10"), ("transno", "r")]
        {
            assert_eq!(reversed.data()[member], value, "{member}");
        }
        let record = site.send(Ask::raw(http::Method::GET, reversed.header("location")), &c.key).await;
        for (member, value) in [
            ("reverses", charged.data()["id"].clone()),
            ("delta", json!("2.5")),
            ("user_id", json!("u")),
            ("llmid", json!("l")),
            ("model_name", json!("m")),
            ("request_id", json!("q")),
            ("note", json!("余额")),
        ] {
            assert_eq!(record.data()[member], value, "{member}");
        }
        let original = site.send(Ask::raw(http::Method::GET, charged.header("location")), &c.key).await;
        assert_eq!(
            (&original.data()["status"], &original.data()["reversed_amount"], &original.data()["version"]),
            (&json!("reversed"), &json!("2.5"), &json!(2))
        );
        let again = site.post(&c.key, &reverse(&charged), &body).await;
        assert_eq!((again.status, again.header("idempotency-replayed")), (200, "true"));
        assert_eq!(again.data()["id"], reversed.data()["id"]);
        let more = site.post(&c.key, &reverse(&charged), &json!({"transno": "r2"})).await;
        assert_eq!(more.refusal(), (422, "reversal_exceeds"));
        let of_reversal = site.post(&c.key, &reverse(&reversed), &json!({"transno": "r3"})).await;
        assert_eq!(of_reversal.refusal(), (422, "reversal_exceeds"));
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_charge_is_taken_back_in_a_thousand_parts_at_most_and_the_rest_at_once() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let charged = book(&site, &c, json!({"transno": "t", "amount": "5"})).await;
        let record = RecordId::parse(charged.data()["id"].as_str().unwrap()).unwrap();
        let part = |n: usize| Request {
            customer_id: CustomerId::parse(&c.id).unwrap(),
            body_hash: [9; 32],
            nonce: None,
            action: Action::Reverse(Reverse {
                transno: Transno::parse(&format!("r-{n}")).unwrap(),
                record,
                amount: Some(Money::parse("0.000000001").unwrap()),
                of_any_kind: false,
                note: None,
            }),
        };
        let parts = site.app.env.bookings().submit_bulk((0..1000).map(part).collect()).await.unwrap();
        assert!(parts.iter().all(Result::is_ok));
        let more = json!({"transno": "more", "amount": "1"});
        let refused = site.post(&c.key, &reverse(&charged), &more).await;
        assert_eq!(refused.refusal(), (422, "reversal_exceeds"));
        assert!(refused.json["detail"].as_str().unwrap().contains("1000 parts"), "{}", refused.text());
        let again = site.app.env.bookings().submit_bulk(vec![part(0)]).await.unwrap().remove(0);
        assert!(again.unwrap().into_booked().unwrap().replayed, "a part is repeated all the same");
        let rest = site.post(&c.key, &reverse(&charged), &json!({"transno": "rest"})).await;
        assert_eq!((rest.status, &rest.data()["amount"]), (201, &json!("4.999999")));
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_charge_is_taken_back_in_parts_and_never_beyond() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let charged = book(&site, &c, json!({"transno": "t", "amount": "5"})).await;
        let part = |transno: &str, amount: &str| json!({"transno": transno, "amount": amount});
        let first = site.post(&c.key, &reverse(&charged), &part("r1", "2")).await;
        assert_eq!((first.status, &first.data()["balance"]), (201, &json!("7")));
        let beyond = site.post(&c.key, &reverse(&charged), &part("r2", "3.000000001")).await;
        assert_eq!(beyond.refusal(), (422, "reversal_exceeds"));
        assert!(beyond.json["detail"].as_str().unwrap().contains("3 of the record is left"));
        let rest = site.post(&c.key, &reverse(&charged), &json!({"transno": "r2"})).await;
        assert_eq!((&rest.data()["amount"], &rest.data()["balance"]), (&json!("3"), &json!("10")));
        // A repetition without an amount is what was taken back then, not what is left now.
        let again = site.post(&c.key, &reverse(&charged), &json!({"transno": "r2"})).await;
        assert_eq!((again.status, &again.data()["amount"]), (200, &json!("3")));
        for other in [
            part("r1", "2.1"),
            json!({"transno": "r1"}),
            json!({"transno": "r1", "amount": "2", "note": "n"}),
        ] {
            let refused = site.post(&c.key, &reverse(&charged), &other).await;
            assert_eq!(refused.refusal(), (422, "transno_conflict"));
        }
        let list = site.get(&c.key, "/accounting?status=reversed").await;
        assert_eq!(list.rows().len(), 1);
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn what_only_the_platform_books_only_the_platform_takes_back() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let fine = json!({"transno": "fine", "kind": "adjustment", "amount": "-4"});
        let fine = book(&site, &c, fine).await;
        let refused = site.post(&c.key, &reverse(&fine), &json!({"transno": "r"})).await;
        assert_eq!(refused.refusal(), (403, "kind_forbidden"));
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "6");
        let done = site.post(&site.platform, &reverse(&fine), &json!({"transno": "r"})).await;
        assert_eq!((done.status, &done.data()["balance"]), (201, &json!("10")));
    });
}

#[test]
fn what_many_take_back_at_once_is_never_more_than_was_booked() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let charged = book(&site, &c, json!({"transno": "t", "amount": "10"})).await;
        let path = reverse(&charged);
        let bodies: Vec<_> = (0..16).map(|n| json!({"transno": format!("r-{n}"), "amount": "3"})).collect();
        let replies = join_all(bodies.iter().map(|body| site.post(&c.key, &path, body))).await;
        let count = |status: u16| replies.iter().filter(|reply| reply.status == status).count();
        assert_eq!((count(201), count(422)), (3, 13));
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "9");
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn taking_a_credit_back_needs_the_money_and_an_adjustment_goes_the_other_way() {
    on_every_database(async |site| {
        let c = site.customer("0").await;
        let credit = book(&site, &c, json!({"transno": "k", "kind": "credit", "amount": "5"})).await;
        book(&site, &c, json!({"transno": "t", "amount": "3"})).await;
        let whole = site.post(&site.platform, &reverse(&credit), &json!({"transno": "r"})).await;
        assert_eq!(whole.refusal(), (402, "insufficient_balance"));
        assert_eq!((&whole.json["available"], &whole.json["required"]), (&json!("2"), &json!("5")));
        let part =
            site.post(&site.platform, &reverse(&credit), &json!({"transno": "r", "amount": "2"})).await;
        assert_eq!((part.status, &part.data()["balance"]), (201, &json!("0")));
        let store = site.env().store();
        store.set_customer_mode(&c.customer_id(), Some(Mode::AllowNegative)).await.unwrap();
        let rest = site.post(&site.platform, &reverse(&credit), &json!({"transno": "r2"})).await;
        assert_eq!((&rest.data()["amount"], &rest.data()["balance"]), (&json!("3"), &json!("-3")));
        let down = book(&site, &c, json!({"transno": "a", "kind": "adjustment", "amount": "-1"})).await;
        let up = site.post(&site.platform, &reverse(&down), &json!({"transno": "ra"})).await;
        assert_eq!((&up.data()["amount"], &up.data()["balance"]), (&json!("1"), &json!("-3")));
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_record_of_another_customer_is_not_there_to_be_taken_back() {
    on_every_database(async |site| {
        let (c, other) = (site.customer("10").await, site.customer("10").await);
        let charged = book(&site, &c, json!({"transno": "t", "amount": "1"})).await;
        for path in [reverse(&charged), "/accounting/01890a5d-ac96-774b-bcce-b302099a8057/reverse".to_owned()]
        {
            let refused = site.post(&other.key, &path, &json!({"transno": "r"})).await;
            assert_eq!(refused.refusal(), (404, "not_found"));
        }
        for (body, refusal) in [
            (json!({}), (400, "invalid_request")),
            (json!({"transno": "r", "amount": 1}), (400, "amount_not_string")),
            (json!({"transno": "r", "amount": "0"}), (400, "amount_invalid")),
            (json!({"transno": "r", "customer_id": c.id}), (400, "unknown_field")),
            (json!({"transno": "t"}), (422, "transno_conflict")),
        ] {
            assert_eq!(site.post(&c.key, &reverse(&charged), &body).await.refusal(), refusal, "{body}");
        }
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "9");
    });
}

#[test]
fn a_booking_that_is_tried_out_is_decided_and_not_booked() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let dry = async |body: &Value| site.post(&c.key, "/accounting?dry_run=true", body).await;
        let charge = json!({"transno": "t", "amount": "4"});
        let told = dry(&charge).await;
        assert_eq!((told.status, told.header("location")), (200, ""));
        assert_eq!(
            *told.data(),
            json!({
                "dry_run": true, "transno": "t", "customer_id": c.id, "kind": "charge", "amount": "4",
                "currency": "CNY", "balance": "6", "held": "0", "available": "6", "replayed": false,
            })
        );
        assert_eq!(
            dry(&json!({"transno": "t", "amount": "11"})).await.refusal(),
            (402, "insufficient_balance")
        );
        let dollars = json!({"transno": "t", "amount": "1", "currency": "USD"});
        assert_eq!(dry(&dollars).await.refusal(), (422, "currency_mismatch"));
        assert_eq!(site.get(&c.key, "/balance").await.data()["seq"], 1);
        assert_eq!(site.get(&c.key, "/accounting").await.rows().len(), 1);
        assert_eq!(site.post(&c.key, "/accounting", &charge).await.status, 201, "the transno is free");
        let told = dry(&charge).await;
        assert_eq!((&told.data()["replayed"], &told.data()["balance"]), (&json!(true), &json!("6")));
        assert_eq!(dry(&json!({"transno": "t", "amount": "5"})).await.refusal(), (422, "transno_conflict"));
        let ask = Ask::post("/accounting?dry_run=true", &charge).signed(&c.key, site.now_s());
        assert_eq!(ask.send(site.http()).await.status, 200);
        assert_eq!(ask.send(site.http()).await.refusal(), (401, "auth_replay"), "its nonce is spent");
        let sure = Ask::post("/accounting?dry_run=perhaps", &charge);
        assert_eq!(site.send(sure, &c.key).await.refusal(), (400, "invalid_request"));
        site.suspend(&c).await;
        let new = json!({"transno": "u", "amount": "1"});
        assert_eq!(dry(&new).await.refusal(), (403, "customer_suspended"));
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}
