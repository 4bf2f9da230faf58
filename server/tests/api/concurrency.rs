//! Many clients at once on one customer: exactly once, and never more than the balance.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use serde_json::json;

use crate::site::on_every_database;

#[test]
fn fifty_equal_requests_at_once_book_one_record_and_get_one_answer() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let body = json!({"transno": "t", "amount": "1", "note": "once"});
        let replies = join_all((0..50).map(|_| site.post(&c.key, "/accounting", &body))).await;
        let created = replies.iter().filter(|reply| reply.status == 201).count();
        let again = replies.iter().filter(|reply| reply.status == 200).count();
        assert_eq!((created, again), (1, 49));
        let answers: BTreeSet<_> = replies
            .iter()
            .map(|reply| {
                assert_eq!(reply.data()["replayed"], reply.status == 200);
                assert_eq!(reply.header("idempotency-replayed") == "true", reply.status == 200);
                let mut data = reply.data().clone();
                data["replayed"] = json!(null);
                data.to_string()
            })
            .collect();
        assert_eq!(answers.len(), 1, "{answers:?}");
        assert_eq!(site.get(&c.key, "/accounting?transno=t&count=true").await.data()["total"], 1);
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "9");
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn of_sixty_four_clients_exactly_those_are_served_whose_money_is_there() {
    const FUNDED: usize = 23;
    on_every_database(async |site| {
        // 23 times 0.3 and a remainder that is not enough for one more.
        let c = site.customer("7.199999999").await;
        let charge = |n: usize| json!({"transno": format!("t-{n}"), "amount": "0.3"});
        let bodies: Vec<_> = (0..64).map(charge).collect();
        let replies = join_all(bodies.iter().map(|body| site.post(&c.key, "/accounting", body))).await;
        let booked: Vec<_> = replies.iter().filter(|reply| reply.status == 201).collect();
        assert_eq!(booked.len(), FUNDED);
        for reply in replies.iter().filter(|reply| reply.status != 201) {
            assert_eq!(reply.refusal(), (402, "insufficient_balance"));
            assert_eq!(reply.json["required"], "0.3");
        }
        let seqs: BTreeSet<_> = booked.iter().map(|reply| reply.data()["seq"].as_u64().unwrap()).collect();
        assert_eq!(seqs, (2..2 + FUNDED as u64).collect());
        let balance = site.get(&c.key, "/balance").await;
        assert_eq!(
            (&balance.data()["balance"], &balance.data()["seq"]),
            (&json!("0.299999999"), &json!(1 + FUNDED))
        );
        // What was refused may be asked again, and is refused again.
        let again = join_all(bodies.iter().map(|body| site.post(&c.key, "/accounting", body))).await;
        assert_eq!(again.iter().filter(|reply| reply.status == 200).count(), FUNDED);
        assert_eq!(again.iter().filter(|reply| reply.status == 402).count(), 64 - FUNDED);
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn charges_and_credits_of_many_customers_at_once_add_up() {
    on_every_database(async |site| {
        let customers = join_all((0..8).map(|_| site.customer("5"))).await;
        let asks = customers.iter().flat_map(|c| {
            (0..12).map(move |n| {
                let credit = n % 3 == 0;
                let kind = if credit { "credit" } else { "charge" };
                json!({"transno": format!("t-{n}"), "customer_id": c.id, "kind": kind, "amount": "1"})
            })
        });
        let bodies: Vec<_> = asks.collect();
        let replies =
            join_all(bodies.iter().map(|body| site.post(&site.platform, "/accounting", body))).await;
        for c in &customers {
            let mine = || replies.iter().filter(|r| r.status == 201 && r.data()["customer_id"] == c.id);
            let charged = mine().filter(|r| r.data()["kind"] == "charge").count();
            let credited = mine().filter(|r| r.data()["kind"] == "credit").count();
            assert_eq!(credited, 4);
            let balance = site.get(&c.key, "/balance").await.data()["balance"].as_str().unwrap().to_owned();
            assert_eq!(balance, (5 + credited - charged).to_string());
        }
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_caller_that_hangs_up_cancels_nothing() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let ask = crate::raw::Ask::post("/accounting", &json!({"transno": "t", "amount": "1"}))
            .signed(&c.key, site.now_s());
        let mut connection = crate::raw::Connection::open(site.http()).await;
        connection.write(&ask.bytes()).await.unwrap();
        drop(connection);
        // A retry is answered once the first request is decided, and books at most once.
        let again = site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "1"})).await;
        assert!(matches!(again.status, 200 | 201), "{}", again.text());
        site.until("the abandoned booking is decided", async || {
            let again = site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "1"})).await;
            again.status == 200
        })
        .await;
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "9");
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}
