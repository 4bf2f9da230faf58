//! POST /accounting: bookings, and the codes of refusals.

use sageapi_server::model::{CustomerStatus, Mode, Money};
use serde_json::{Value, json};

use crate::raw::Ask;
use crate::site::on_every_database;

#[test]
fn a_charge_is_answered_with_its_record_and_what_is_left() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let body = json!({
            "transno": "t-1", "amount": "0.0125", "currency": "CNY", "user_id": "u-1", "llmid": "l-1", "model": "m-1",
            "pricing_id": "p-1", "input_tokens": 11, "output_tokens": 4, "usage": {"tokens": 1.50}, "request_id": "r-1",
            "event_time": "2026-05-28T22:26:40+02:00", "note": "余额",
        });
        let booked = site.post(&c.key, "/accounting", &body).await;
        assert_eq!(booked.status, 201, "{}", booked.text());
        assert_eq!(booked.header("idempotency-replayed"), "");
        let answer = booked.data().clone();
        for (member, value) in [
            ("transno", json!("t-1")),
            ("customer_id", json!(c.id)),
            ("kind", json!("charge")),
            ("amount", json!("0.0125")),
            ("currency", json!("CNY")),
            ("balance", json!("9.9875")),
            ("held", json!("0")),
            ("available", json!("9.9875")),
            ("status", json!("accounted")),
            ("replayed", json!(false)),
            ("seq", json!(2)),
        ] {
            assert_eq!(answer[member], value, "{member}");
        }
        let id = answer["id"].as_str().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "7"), "a UUID of version 7: {id}");
        assert!(is_time(&answer["created_at"]), "{answer}");
        assert_eq!(booked.header("location"), format!("/api/v1/accounting/{id}"));

        let record = site.send(Ask::raw(http::Method::GET, booked.header("location")), &c.key).await;
        assert_eq!(record.status, 200);
        for (member, value) in [
            ("id", json!(id)),
            ("seq", json!(2)),
            ("delta", json!("-0.0125")),
            ("amount", json!("0.0125")),
            ("user_id", json!("u-1")),
            ("llmid", json!("l-1")),
            ("model_name", json!("m-1")),
            ("pricing_id", json!("p-1")),
            ("input_tokens", json!(11)),
            ("output_tokens", json!(4)),
            ("total_tokens", json!(15)),
            ("quantity", json!({"tokens": 1.5})),
            ("request_id", json!("r-1")),
            ("event_time", json!("2026-05-28T20:26:40.000000Z")),
            ("note", json!("余额")),
            ("balance_after", json!("9.9875")),
            ("held_after", json!("0")),
            ("available_after", json!("9.9875")),
            ("reverses", Value::Null),
            ("hold_id", Value::Null),
            ("status", json!("accounted")),
            ("reversed_amount", json!("0")),
            ("created_at", answer["created_at"].clone()),
        ] {
            assert_eq!(record.data()[member], value, "{member}");
        }
        for hidden in ["hash", "prev_hash", "body_hash"] {
            assert!(record.data().get(hidden).is_none(), "{hidden}");
        }
    });
}

fn is_time(value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    text.len() == 27 && text.ends_with('Z') && text.as_bytes()[19] == b'.'
}

#[test]
fn each_kind_moves_the_balance_in_its_direction() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        for (seq, (kind, amount, delta, balance)) in [
            ("credit", "5", "5", "15"),
            ("charge", "2.5", "-2.5", "12.5"),
            ("adjustment", "1", "1", "13.5"),
            ("adjustment", "-3", "-3", "10.5"),
        ]
        .into_iter()
        .enumerate()
        {
            let body =
                json!({"transno": format!("t-{seq}"), "customer_id": c.id, "kind": kind, "amount": amount});
            let booked = site.post(&site.platform, "/accounting", &body).await;
            assert_eq!(booked.status, 201, "{}", booked.text());
            let answer = booked.data();
            assert_eq!(
                (&answer["kind"], &answer["amount"], &answer["balance"]),
                (&json!(kind), &json!(amount), &json!(balance))
            );
            assert_eq!(answer["seq"], seq + 2);
            let record = site.get(&c.key, &format!("/accounting/{}", answer["id"].as_str().unwrap())).await;
            assert_eq!(record.data()["delta"], delta);
        }
        let default = site.post(&c.key, "/accounting", &json!({"transno": "d", "amount": "0.5"})).await;
        assert_eq!((&default.data()["kind"], &default.data()["balance"]), (&json!("charge"), &json!("10")));
    });
}

#[test]
fn amounts_are_decimal_strings_within_bounds() {
    on_every_database(async |site| {
        let c = site.customer("0").await;
        site.env().store().set_customer_mode(&c.customer_id(), Some(Mode::AllowNegative)).await.unwrap();
        let mut count = 0;
        let mut book = async |kind: &str, amount: Value| {
            count += 1;
            let body =
                json!({"transno": format!("t-{count}"), "customer_id": c.id, "kind": kind, "amount": amount});
            site.post(&site.platform, "/accounting", &body).await
        };
        for (sent, shown) in [
            ("0.000000001", "0.000000001"),
            ("1", "1"),
            ("1.500", "1.5"),
            ("0.10", "0.1"),
            ("1234567890.123456789", "1234567890.123456789"),
        ] {
            for kind in ["charge", "credit", "adjustment"] {
                let booked = book(kind, json!(sent)).await;
                assert_eq!(booked.status, 201, "{kind} {sent}: {}", booked.text());
                assert_eq!(booked.data()["amount"], shown);
            }
        }
        assert_eq!(book("adjustment", json!("-1.50")).await.data()["amount"], "-1.5");
        for wrong in [
            "",
            " ",
            "-1",
            "+1",
            "01",
            "00",
            "1.",
            ".5",
            "1e3",
            "1E3",
            "1,5",
            " 1",
            "1 ",
            "0.0000000001",
            "12345678901",
            "１",
            "0",
            "0.0",
            "0.000000000",
            "NaN",
            "inf",
            "0x1",
            "--1",
            "1.2.3",
            "1_000",
            "1\n",
            "null",
        ] {
            for kind in ["charge", "credit"] {
                let refused = book(kind, json!(wrong)).await;
                assert_eq!(refused.refusal(), (400, "amount_invalid"), "{kind} {wrong:?}");
                assert_eq!(refused.json["errors"][0]["field"], "amount");
            }
        }
        for wrong in ["-0", "--1", "-", "-01", "+1", "-1e3"] {
            assert_eq!(
                book("adjustment", json!(wrong)).await.refusal(),
                (400, "amount_invalid"),
                "{wrong:?}"
            );
        }
        for wrong in
            [json!(1), json!(1.5), json!(-1), json!(true), json!(["1"]), json!({"a": "1"}), json!(1e300)]
        {
            let refused = book("charge", wrong.clone()).await;
            assert_eq!(refused.refusal(), (400, "amount_not_string"), "{wrong}");
        }
        assert_eq!(book("charge", Value::Null).await.refusal(), (400, "invalid_request"));
        for beyond in ["9000000000.000000001", "9999999999", "9999999999.999999999"] {
            assert_eq!(
                book("charge", json!(beyond)).await.refusal(),
                (422, "amount_out_of_range"),
                "{beyond}"
            );
        }
    });
}

#[test]
fn a_balance_never_leaves_its_range() {
    on_every_database(async |site| {
        let c = site.customer("9000000000").await;
        let credit =
            |amount: &str| json!({"transno": "t", "customer_id": c.id, "kind": "credit", "amount": amount});
        let beyond = site.post(&site.platform, "/accounting", &credit("0.000000001")).await;
        assert_eq!(beyond.refusal(), (422, "amount_out_of_range"));
        let charge = json!({"transno": "c", "amount": "9000000000"});
        assert_eq!(site.post(&c.key, "/accounting", &charge).await.data()["balance"], "0");
        site.env().store().set_customer_mode(&c.customer_id(), Some(Mode::AllowNegative)).await.unwrap();
        let charge = json!({"transno": "d", "amount": "9000000000"});
        assert_eq!(site.post(&c.key, "/accounting", &charge).await.data()["balance"], "-9000000000");
        let charge = json!({"transno": "e", "amount": "0.000000001"});
        assert_eq!(site.post(&c.key, "/accounting", &charge).await.refusal(), (422, "amount_out_of_range"));
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "-9000000000");
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn money_that_is_not_there_cannot_be_spent_and_leaves_nothing() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let charge = json!({"transno": "t", "amount": "1.000000001"});
        let refused = site.post(&c.key, "/accounting", &charge).await;
        assert_eq!(refused.refusal(), (402, "insufficient_balance"));
        assert_eq!(
            (&refused.json["available"], &refused.json["required"]),
            (&json!("1"), &json!("1.000000001"))
        );
        assert_eq!(site.get(&c.key, "/accounting?transno=t").await.rows().len(), 0);
        assert_eq!(site.get(&c.key, "/balance").await.data()["seq"], 1);

        // Only success is remembered: with money there, the same transno succeeds, with another body too.
        let credit = json!({"transno": "more", "customer_id": c.id, "kind": "credit", "amount": "1"});
        assert_eq!(site.post(&site.platform, "/accounting", &credit).await.status, 201);
        let booked = site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "1.5"})).await;
        assert_eq!((booked.status, &booked.data()["balance"]), (201, &json!("0.5")));
        let too_much = json!({"transno": "a", "customer_id": c.id, "kind": "adjustment", "amount": "-0.6"});
        assert_eq!(
            site.post(&site.platform, "/accounting", &too_much).await.refusal(),
            (402, "insufficient_balance")
        );
    });
}

#[test]
fn credit_limits_and_modes_say_how_far_below_zero_a_charge_may_go() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let store = site.env().store();
        store.set_credit_limit(&c.customer_id(), Money::parse("2").unwrap()).await.unwrap();
        let charge = |transno: &str, amount: &str| json!({"transno": transno, "amount": amount});
        let booked = site.post(&c.key, "/accounting", &charge("t-1", "3")).await;
        assert_eq!((&booked.data()["balance"], &booked.data()["available"]), (&json!("-2"), &json!("0")));
        let refused = site.post(&c.key, "/accounting", &charge("t-2", "0.000000001")).await;
        assert_eq!(refused.refusal(), (402, "insufficient_balance"));
        store.set_customer_mode(&c.customer_id(), Some(Mode::AllowNegative)).await.unwrap();
        let booked = site.post(&c.key, "/accounting", &charge("t-2", "10")).await;
        assert_eq!((&booked.data()["balance"], &booked.data()["available"]), (&json!("-12"), &json!("-10")));
        let fresh = site.send(Ask::get("/balance").header("cache-control", "no-cache"), &c.key).await;
        assert_eq!((&fresh.data()["arrears"], &fresh.data()["credit_limit"]), (&json!(true), &json!("2")));
    });
}

#[test]
fn customers_without_a_mode_of_their_own_go_by_the_configured_one() {
    use sageapi_server::model::Mode::{AllowNegative, Strict};
    crate::site::on_every_database_with(
        |builder| builder.config(|config| config.accounting.mode = AllowNegative),
        async |site| {
            let c = site.customer("1").await;
            let charge = |transno: &str| json!({"transno": transno, "amount": "3"});
            let booked = site.post(&c.key, "/accounting", &charge("t-1")).await;
            assert_eq!((booked.status, &booked.data()["available"]), (201, &json!("-2")));
            let store = site.env().store();
            store.set_customer_mode(&c.customer_id(), Some(Strict)).await.unwrap();
            let refused = site.post(&c.key, "/accounting", &charge("t-2")).await;
            assert_eq!(
                (refused.refusal(), &refused.json["available"]),
                ((402, "insufficient_balance"), &json!("-2"))
            );
            store.set_customer_mode(&c.customer_id(), None).await.unwrap();
            assert_eq!(site.post(&c.key, "/accounting", &charge("t-2")).await.data()["balance"], "-5");
        },
    );
}

#[test]
fn a_suspended_customer_may_be_credited_and_read_but_not_charged() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let store = site.env().store();
        store.set_customer_status(&c.customer_id(), CustomerStatus::Suspended).await.unwrap();
        let charge = json!({"transno": "t", "amount": "1"});
        assert_eq!(site.post(&c.key, "/accounting", &charge).await.refusal(), (403, "customer_suspended"));
        assert_eq!(
            site.post(
                &site.platform,
                "/accounting",
                &json!({"transno": "t", "customer_id": c.id, "amount": "1"})
            )
            .await
            .refusal(),
            (403, "customer_suspended")
        );
        let credit = json!({"transno": "more", "customer_id": c.id, "kind": "credit", "amount": "1"});
        assert_eq!(site.post(&site.platform, "/accounting", &credit).await.status, 201);
        let read = site.send(Ask::get("/balance").header("cache-control", "no-cache"), &c.key).await;
        assert_eq!((&read.data()["status"], &read.data()["balance"]), (&json!("suspended"), &json!("11")));
        assert_eq!(site.get(&c.key, "/accounting").await.rows().len(), 2);
        store.set_customer_status(&c.customer_id(), CustomerStatus::Active).await.unwrap();
        assert_eq!(site.post(&c.key, "/accounting", &charge).await.status, 201);
    });
}

#[test]
fn currencies_do_not_mix() {
    on_every_database(async |site| {
        let c = site.customer_in("10", "USD").await;
        let charge = |currency: Value| json!({"transno": "t", "amount": "1", "currency": currency});
        assert_eq!(
            site.post(&c.key, "/accounting", &charge(json!("CNY"))).await.refusal(),
            (422, "currency_mismatch")
        );
        for wrong in [json!("usd"), json!("US"), json!(""), json!("USDUSDUSD"), json!("U$D"), json!(1)] {
            let refused = site.post(&c.key, "/accounting", &charge(wrong.clone())).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{wrong}");
            assert_eq!(refused.json["errors"][0]["field"], "currency");
        }
        assert_eq!(site.post(&c.key, "/accounting", &charge(Value::Null)).await.data()["currency"], "USD");
    });
}

#[test]
fn only_the_platform_books_credits_and_adjustments() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        for kind in ["credit", "adjustment"] {
            let body = json!({"transno": "t", "kind": kind, "amount": "1"});
            assert_eq!(
                site.post(&c.key, "/accounting", &body).await.refusal(),
                (403, "kind_forbidden"),
                "{kind}"
            );
        }
        for kind in ["opening", "reversal", "capture", "sync", "Charge", ""] {
            let body = json!({"transno": "t", "customer_id": c.id, "kind": kind, "amount": "1"});
            let refused = site.post(&site.platform, "/accounting", &body).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{kind}");
        }
        assert_eq!(site.get(&c.key, "/balance").await.data()["seq"], 1);
    });
}

#[test]
fn a_key_books_for_its_own_customer_and_the_platform_for_any_that_it_names() {
    on_every_database(async |site| {
        let (mine, other) = (site.customer("10").await, site.customer("10").await);
        let body = |customer: &str| json!({"transno": "t", "customer_id": customer, "amount": "1"});
        let foreign = site.post(&mine.key, "/accounting", &body(&other.id)).await;
        assert_eq!(foreign.refusal(), (403, "customer_forbidden"));
        let nobody = site.post(&mine.key, "/accounting", &body("nobody")).await;
        assert_eq!(nobody.refusal(), (403, "customer_forbidden"));
        assert_eq!(foreign.json["detail"], nobody.json["detail"], "the answer tells nothing about existence");
        assert_eq!(site.post(&mine.key, "/accounting", &body(&mine.id)).await.status, 201);

        let unnamed = site.post(&site.platform, "/accounting", &json!({"transno": "t", "amount": "1"})).await;
        assert_eq!(unnamed.refusal(), (400, "invalid_request"));
        assert_eq!(unnamed.json["errors"][0]["field"], "customer_id");
        assert_eq!(
            site.post(&site.platform, "/accounting", &body("nobody")).await.refusal(),
            (404, "not_found")
        );
        let booked = site.post(&site.platform, "/accounting", &body(&other.id)).await;
        assert_eq!((booked.status, &booked.data()["customer_id"]), (201, &json!(other.id)));

        // A key may be made before its customer is.
        let early = site.customer_key("not-created-yet").await;
        let charge = json!({"transno": "t", "amount": "1"});
        assert_eq!(site.post(&early, "/accounting", &charge).await.refusal(), (404, "not_found"));
    });
}

#[test]
fn ids_and_transnos_have_their_lengths_and_prefixes() {
    on_every_database(async |site| {
        let c = site.customer("1000").await;
        let longest = "t".repeat(128);
        for transno in ["!", "~", longest.as_str(), "seeds", "Seed:1", "a/b?c=d&e%20'\"\\;--"] {
            let booked = site.post(&c.key, "/accounting", &json!({"transno": transno, "amount": "1"})).await;
            assert_eq!(booked.status, 201, "{transno}: {}", booked.text());
            assert_eq!(booked.data()["transno"], transno);
        }
        for transno in ["", "a b", " a", "a ", "ü", "\u{0}", "a\n", &"t".repeat(129)] {
            let refused = site.post(&c.key, "/accounting", &json!({"transno": transno, "amount": "1"})).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{transno:?}");
            assert_eq!(refused.json["errors"][0]["field"], "transno");
        }
        for prefix in ["sync:", "usage:", "hold:", "seed:"] {
            let transno = format!("{prefix}1");
            let refused = site.post(&c.key, "/accounting", &json!({"transno": transno, "amount": "1"})).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{transno}");
            let by_header =
                Ask::post("/accounting", &json!({"amount": "1"})).header("idempotency-key", &transno);
            assert_eq!(site.send(by_header, &c.key).await.refusal(), (400, "invalid_request"), "{transno}");
        }
        // The customer's case and everything else of an id matter, on every database.
        let upper = json!({"transno": "T-CASE", "amount": "1"});
        let lower = json!({"transno": "t-case", "amount": "2"});
        assert_eq!(site.post(&c.key, "/accounting", &upper).await.status, 201);
        assert_eq!(site.post(&c.key, "/accounting", &lower).await.status, 201);
    });
}

#[test]
fn all_invalid_fields_of_a_body_are_reported_at_once_and_unknown_ones_by_name() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let wrong =
            json!({"transno": "a b", "currency": 5, "input_tokens": -1, "note": "a\u{7}", "amount": "1"});
        let refused = site.post(&c.key, "/accounting", &wrong).await;
        assert_eq!(refused.refusal(), (400, "invalid_request"));
        let mut named: Vec<_> =
            refused.json["errors"].as_array().unwrap().iter().map(|e| e["field"].as_str().unwrap()).collect();
        named.sort_unstable();
        assert_eq!(named, ["currency", "input_tokens", "note", "transno"]);
        let unknown = json!({"transno": "t", "amount": "1", "ammount": "2", "dry_run": true});
        let refused = site.post(&c.key, "/accounting", &unknown).await;
        assert_eq!(refused.refusal(), (400, "unknown_field"));
        assert!(
            refused.text().contains("ammount") && refused.text().contains("dry_run"),
            "{}",
            refused.text()
        );
        let unknown =
            site.post(&c.key, "/accounting?simulate=true", &json!({"transno": "t", "amount": "1"})).await;
        assert_eq!(unknown.refusal(), (400, "unknown_parameter"));
        let twice = Ask::post_bytes("/accounting", r#"{"transno":"t","amount":"1","amount":"2"}"#);
        assert_eq!(site.send(twice, &c.key).await.refusal(), (400, "body_malformed"));
        let unpriced = json!({"transno": "t", "llmid": "l", "input_tokens": 5});
        assert_eq!(site.post(&c.key, "/accounting", &unpriced).await.refusal(), (422, "price_not_found"));
        assert_eq!(site.get(&c.key, "/balance").await.data()["seq"], 1);
    });
}

#[test]
fn a_body_is_json_uncoded_and_not_too_large() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let charge = json!({"transno": "t", "amount": "1"}).to_string();
        for kind in [
            "text/plain",
            "application/jsonp",
            "application/x-www-form-urlencoded",
            "application/problem+json",
            "",
        ] {
            let ask =
                Ask::post_bytes("/accounting", &*charge).without("content-type").header("content-type", kind);
            assert_eq!(site.send(ask, &c.key).await.refusal(), (415, "unsupported_media_type"), "{kind}");
        }
        let bare = Ask::post_bytes("/accounting", &*charge).without("content-type");
        assert_eq!(site.send(bare, &c.key).await.refusal(), (415, "unsupported_media_type"));
        for coding in ["gzip", "identity, gzip", "br"] {
            let ask = Ask::post_bytes("/accounting", &*charge).header("content-encoding", coding);
            assert_eq!(
                site.send(ask.clone(), &c.key).await.refusal(),
                (415, "unsupported_media_type"),
                "{coding}"
            );
            assert_eq!(ask.send(site.http()).await.refusal(), (401, "auth_missing"), "{coding}");
        }
        let uncoded = json!({"transno": "uncoded", "amount": "1"}).to_string();
        let uncoded = Ask::post_bytes("/accounting", uncoded).header("content-encoding", "identity");
        assert_eq!(site.send(uncoded, &c.key).await.status, 201);
        let huge = format!(r#"{{"transno":"t","amount":"1","note":"{}"}}"#, "x".repeat(1 << 20));
        let ask = Ask::post_bytes("/accounting", huge);
        assert_eq!(site.send(ask.clone(), &c.key).await.refusal(), (413, "body_too_large"));
        assert_eq!(
            ask.send(site.http()).await.refusal(),
            (401, "auth_missing"),
            "nothing is read for a stranger"
        );
        let with_parameter = Ask::post_bytes("/accounting", &*charge)
            .without("content-type")
            .header("content-type", "Application/JSON; charset=utf-8");
        assert_eq!(site.send(with_parameter, &c.key).await.status, 201);
    });
}

#[test]
fn a_read_only_server_answers_reads_alone() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let site = site.restarted(|config| config.server.read_only = true).await;
        let refused = site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "1"})).await;
        assert_eq!(refused.refusal(), (503, "read_only"));
        assert!(!refused.header("retry-after").is_empty());
        let stranger = Ask::post("/accounting", &json!({})).send(site.http()).await;
        assert_eq!(stranger.refusal(), (401, "auth_missing"));
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "10");
        assert_eq!(site.get(&c.key, "/accounting").await.rows().len(), 1);
        // An event is not a client's write: it is verified and answered as usual.
        let forged = Ask::post_bytes("/events", "{}").send(site.http()).await;
        assert_eq!(forged.refusal(), (401, "auth_missing"));
        assert_eq!(site.tell(b"{}").await.status, 202);
    });
}

#[test]
fn a_record_is_found_by_its_owner_and_the_platform_alone() {
    on_every_database(async |site| {
        let (mine, other) = (site.customer("10").await, site.customer("10").await);
        let booked = site.post(&mine.key, "/accounting", &json!({"transno": "t", "amount": "1"})).await;
        let path = format!("/accounting/{}", booked.data()["id"].as_str().unwrap());
        assert_eq!(site.get(&mine.key, &path).await.data()["transno"], "t");
        assert_eq!(site.get(&site.platform, &path).await.data()["transno"], "t");
        let foreign = site.get(&other.key, &path).await;
        assert_eq!(foreign.refusal(), (404, "not_found"));
        let absent = site.get(&other.key, "/accounting/01890a5d-ac96-774b-bcce-b302099a8057").await;
        assert_eq!(absent.refusal(), (404, "not_found"));
        assert_eq!(foreign.json["detail"], absent.json["detail"]);
        for odd in [
            "x",
            "1",
            "01890A5D-AC96-774B-BCCE-B302099A8057",
            "01890a5dac96774bbcceb302099a8057",
            "%00",
            "..%2f",
        ] {
            let reply = site.get(&mine.key, &format!("/accounting/{odd}")).await;
            assert_eq!(reply.refusal(), (404, "not_found"), "{odd}");
        }
    });
}
