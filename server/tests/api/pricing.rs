//! POST /pricing/quote, and charges that are priced by price lists.

use sageapi_server::domain::booking::{Action, Amount, Entry, Request};
use sageapi_server::domain::prices::Quote;
use sageapi_server::model::{Currency, Entity, Kind, Mode, Money, TextId, Transno};
use sageapi_server::store::{Change, Op, Page};
use serde_json::{Value, json};

use crate::raw::{Ask, Reply};
use crate::site::{Customer, Row, Site, clock_at, on_every_database, on_every_database_with};

/// 2026-05-28T20:26:40Z; in Shanghai it is the next day already.
const NOW: i64 = 1_780_000_000;

const LIST: &str = "unit_values: {百万: 1000000}\npricings:\n\
    - {price_factors: prompt_tokens, unit_prices: 2.10, unit: 百万, filters: [{prompt_tokens: '<= 32000'}]}\n\
    - {price_factors: completion_tokens, unit_prices: 8.4, unit: 百万}\n\
    - {price_factors: images, unit_prices: 0.25, filters: [{size: 720P}, {model: one}]}\n";
/// What comes into force on 2026-05-29.
const NEXT: &str = "pricings: [{price_factors: prompt_tokens, unit_prices: 1}]";

async fn stock(site: &Site) {
    let programs: &[(&str, &[(&str, &str)])] = &[
        (
            "pp-1-now",
            &[
                ("ppid", "pp-1"),
                ("currency", "CNY"),
                ("discount", "0.85"),
                ("pricing_data", LIST),
                ("enabled_date", "2026-01-01"),
                ("expired_date", "2026-05-29"),
            ],
        ),
        (
            "pp-1-next",
            &[
                ("ppid", "pp-1"),
                ("pricing_data", NEXT),
                ("enabled_date", "2026-05-29"),
                ("expired_date", "9999-12-31"),
            ],
        ),
        ("pp-2-now", &[("ppid", "pp-2"), ("pricing_data", NEXT), ("pricing_belong", "provider")]),
        ("pp-3-now", &[("ppid", "pp-3"), ("pricing_data", NEXT), ("currency", "USD")]),
        ("pp-4-now", &[("ppid", "pp-4"), ("pricing_data", "pricings: [{price_factors: flat}]")]),
    ];
    let models: &[(&str, &[(&str, &str)])] = &[
        ("m-1", &[("llmid", "llm-1"), ("model", "one"), ("ppid", "pp-1"), ("status", "published")]),
        ("m-2", &[("llmid", "llm-1"), ("model", "one"), ("ppid", "pp-2"), ("status", "published")]),
        ("m-3", &[("llmid", "llm-3"), ("model", "three"), ("ppid", "pp-3"), ("status", "draft")]),
        ("m-4", &[("llmid", "llm-4"), ("model", "four"), ("ppid", "pp-4"), ("status", "published")]),
    ];
    let rows = |rows: &'static [(&'static str, &'static [(&'static str, &'static str)])]| {
        rows.iter().map(|(id, columns)| Row::new(id, columns)).collect::<Vec<_>>()
    };
    site.mirror(Entity::Pricing, &rows(programs)).await;
    site.mirror(Entity::Llmage, &rows(models)).await;
}

/// A stocked instance and a customer with 10 CNY, on that day.
fn on_that_day(test: impl AsyncFn(Site, Customer)) {
    on_every_database_with(
        |builder| builder.clock(clock_at(NOW)),
        async |site| {
            stock(&site).await;
            let c = site.customer("10").await;
            test(site, c).await;
        },
    );
}

/// What 123 tokens in and 45 out cost: (123 x 2.1 + 45 x 8.4) / 10^6 x 0.85.
fn arithmetic() -> Value {
    json!({
        "row": "pp-1-now", "date": "2026-05-28", "discount": "0.85", "scale": 6,
        "lines": [
            {"rule": 0, "factor": "prompt_tokens", "quantity": "123", "unit_value": "1000000",
             "unit_price": "2.1", "subtotal": "0.0002583"},
            {"rule": 1, "factor": "completion_tokens", "quantity": "45", "unit_value": "1000000",
             "unit_price": "8.4", "subtotal": "0.000378"},
        ],
    })
}

fn pricing() -> Value {
    json!({"pricing_id": "pp-1", "version": 1, "unrounded": "0.000540855", "arithmetic": arithmetic()})
}

fn tokens(transno: &str) -> Value {
    json!({"transno": transno, "llmid": "llm-1", "input_tokens": 123, "output_tokens": 45})
}

#[test]
fn a_quote_shows_the_program_its_version_and_the_arithmetic() {
    on_that_day(async |site, c| {
        let used = json!({"llmid": "llm-1", "input_tokens": 123, "output_tokens": 45});
        for key in [&c.key, &site.platform] {
            let quote = site.post(key, "/pricing/quote", &used).await;
            assert_eq!((quote.status, quote.header("etag")), (200, ""));
            let expected =
                json!({"amount": "0.000541", "currency": "CNY", "model": "one", "pricing": pricing()});
            assert_eq!(*quote.data(), expected);
        }
        let images = json!({"pricing_id": "pp-1", "model": "one", "usage": {"images": 3, "size": "720P"}});
        let quote = site.post(&c.key, "/pricing/quote", &images).await;
        assert_eq!((&quote.data()["amount"], &quote.data()["model"]), (&json!("0.6375"), &json!("one")));
        assert_eq!(site.get(&c.key, "/balance").await.data()["seq"], 1, "nothing was booked");
    });
}

#[test]
fn the_day_of_the_event_is_that_of_the_configured_zone() {
    on_that_day(async |site, c| {
        let at = |time: &str| json!({"pricing_id": "pp-1", "input_tokens": 7, "event_time": time});
        let amount = async |site: &Site, body: &Value| -> Value {
            site.post(&c.key, "/pricing/quote", body).await.data()["amount"].clone()
        };
        let now = json!({"pricing_id": "pp-1", "input_tokens": 7});
        assert_eq!(amount(&site, &at("2026-05-28T23:59:59.999999Z")).await, "0.000012");
        assert_eq!(amount(&site, &at("2026-05-29T00:00:00Z")).await, "7");
        assert_eq!(amount(&site, &at("9999-12-30T00:00:00Z")).await, "7");
        assert_eq!(amount(&site, &now).await, "0.000012");
        let early = site.post(&c.key, "/pricing/quote", &at("2025-12-31T23:59:59Z")).await;
        assert_eq!(early.refusal(), (422, "price_not_found"));

        let site = site
            .restarted(|config| config.accounting.zone = jiff::tz::TimeZone::get("Asia/Shanghai").unwrap())
            .await;
        assert_eq!(amount(&site, &at("2026-05-28T15:59:59.999999Z")).await, "0.000012");
        assert_eq!(amount(&site, &at("2026-05-28T16:00:00Z")).await, "7");
        assert_eq!(amount(&site, &now).await, "7");
    });
}

#[test]
fn what_has_no_price_is_refused_with_the_program_and_the_usage() {
    on_that_day(async |site, c| {
        for (body, program, usage) in [
            (json!({"pricing_id": "pp-9", "input_tokens": 1}), "program pp-9", "input_tokens=1"),
            (json!({"llmid": "llm-9", "usage": {"images": 2}}), "model llm-9", "images=2"),
            (
                json!({"pricing_id": "pp-1", "usage": {"images": 2, "size": "4K"}}),
                "program pp-1",
                "size=\"4K\"",
            ),
            (json!({"pricing_id": "pp-1", "usage": {}}), "program pp-1", "that is empty"),
            (json!({"pricing_id": "pp-4", "usage": {}}), "program pp-4", "pricings[0].unit_prices"),
            // A customer may neither see nor pay by these.
            (json!({"pricing_id": "pp-2", "input_tokens": 1}), "program pp-2", "input_tokens=1"),
            (json!({"pricing_id": "pp-3", "input_tokens": 1}), "program pp-3", "input_tokens=1"),
            (json!({"llmid": "llm-3", "input_tokens": 1}), "model llm-3", "input_tokens=1"),
        ] {
            let mut booking = body.clone();
            booking["transno"] = json!("t");
            for (path, body) in
                [("/pricing/quote", &body), ("/accounting", &booking), ("/accounting?dry_run=true", &booking)]
            {
                let refused = site.post(&c.key, path, body).await;
                assert_eq!(refused.refusal(), (422, "price_not_found"), "{body}");
                let detail = refused.json["detail"].as_str().unwrap();
                assert!(detail.contains(program) && detail.contains(usage), "{detail}");
            }
        }
        for body in [
            json!({"pricing_id": "pp-2", "input_tokens": 1}),
            json!({"pricing_id": "pp-3", "input_tokens": 1}),
            json!({"llmid": "llm-3", "input_tokens": 1}),
        ] {
            let quote = site.post(&site.platform, "/pricing/quote", &body).await;
            assert_eq!(quote.data()["amount"], "1", "{body}");
        }
        let by_model = json!({"llmid": "llm-1", "input_tokens": 1});
        let quote = site.post(&site.platform, "/pricing/quote", &by_model).await;
        assert_eq!(quote.data()["pricing"]["pricing_id"], "pp-1", "a provider's cost is not a price");
        assert_eq!(site.get(&c.key, "/balance").await.data()["seq"], 1);
    });
}

#[test]
fn a_huge_usage_is_refused_and_never_wraps() {
    on_that_day(async |site, c| {
        let most = 1_000_000_000_000_i64;
        let used = json!({"pricing_id": "pp-3", "usage": {"prompt_tokens": most}, "transno": "t"});
        let mut quote = used.clone();
        quote.as_object_mut().unwrap().remove("transno");
        let refused = site.post(&site.platform, "/pricing/quote", &quote).await;
        assert_eq!(refused.refusal(), (422, "amount_out_of_range"));
        let mut booking = used.clone();
        booking["customer_id"] = json!(c.id);
        let refused = site.post(&site.platform, "/accounting", &booking).await;
        assert_eq!(refused.refusal(), (422, "amount_out_of_range"));
        for beyond in [json!(most + 1), json!(-1), json!(1e300), json!(true)] {
            quote["usage"]["prompt_tokens"] = beyond.clone();
            let refused = site.post(&site.platform, "/pricing/quote", &quote).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"), "{beyond}");
            assert_eq!(refused.json["errors"][0]["field"], "usage.prompt_tokens");
        }
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "10");
    });
}

#[test]
fn a_quote_needs_its_scope_its_nonce_and_all_that_it_is_made_of() {
    on_that_day(async |site, c| {
        let used = json!({"llmid": "llm-1", "input_tokens": 1});
        let ask = Ask::post("/pricing/quote", &used);
        assert_eq!(ask.send(site.http()).await.refusal(), (401, "auth_missing"));
        let signed = ask.clone().signed(&c.key, site.now_s());
        assert_eq!(signed.send(site.http()).await.status, 200);
        assert_eq!(signed.send(site.http()).await.refusal(), (401, "auth_replay"));
        let other = site.app.key(Some(&c.id), "accounting:write").await;
        assert_eq!(site.send(ask, &(&other).into()).await.refusal(), (403, "scope_missing"));
        assert_eq!(site.get(&c.key, "/pricing/quote").await.refusal(), (405, "method_not_allowed"));
        for (body, fields) in [
            (json!({}), &["llmid", "usage"][..]),
            (json!({"llmid": "llm-1"}), &["usage"]),
            (json!({"model": "one", "input_tokens": 1}), &["llmid"]),
            (
                json!({"llmid": "a b", "input_tokens": -1, "event_time": "now"}),
                &["llmid", "input_tokens", "event_time"],
            ),
        ] {
            let refused = site.post(&c.key, "/pricing/quote", &body).await;
            assert_eq!(refused.refusal(), (400, "invalid_request"));
            let errors = refused.json["errors"].as_array().unwrap();
            assert_eq!(errors.iter().map(|e| e["field"].as_str().unwrap()).collect::<Vec<_>>(), fields);
        }
        for unknown in ["customer_id", "amount", "transno"] {
            let mut body = used.clone();
            body[unknown] = json!("1");
            let refused = site.post(&c.key, "/pricing/quote", &body).await;
            assert_eq!(refused.refusal(), (400, "unknown_field"), "{unknown}");
        }
        let refused = site.post(&c.key, "/pricing/quote?at=2026-01-01T00:00:00Z", &used).await;
        assert_eq!(refused.refusal(), (400, "unknown_parameter"));
    });
}

fn without_replayed(reply: &Reply) -> Value {
    let mut data = reply.data().clone();
    data.as_object_mut().unwrap().remove("replayed");
    data
}

#[test]
fn a_charge_without_an_amount_is_priced_and_can_be_recomputed_from_its_record() {
    on_that_day(async |site, c| {
        let dry = site.post(&c.key, "/accounting?dry_run=true", &tokens("t")).await;
        assert_eq!(
            (dry.status, &dry.data()["amount"], &dry.data()["balance"]),
            (200, &json!("0.000541"), &json!("9.999459"))
        );
        assert_eq!(dry.data()["pricing"], pricing());
        let booked = site.post(&c.key, "/accounting", &tokens("t")).await;
        assert_eq!(booked.status, 201, "{}", booked.text());
        for (member, value) in [
            ("kind", json!("charge")),
            ("amount", json!("0.000541")),
            ("currency", json!("CNY")),
            ("balance", json!("9.999459")),
            ("pricing", pricing()),
        ] {
            assert_eq!(booked.data()[member], value, "{member}");
        }
        let record =
            site.get(&c.key, &format!("/accounting/{}", booked.data()["id"].as_str().unwrap())).await;
        for (member, value) in [
            ("delta", json!("-0.000541")),
            ("llmid", json!("llm-1")),
            ("model_name", json!("one")),
            ("pricing_id", json!("pp-1")),
            ("pricing_version", json!(1)),
            ("input_tokens", json!(123)),
            ("output_tokens", json!(45)),
            ("unrounded", json!("0.000540855")),
            ("arithmetic", arithmetic()),
            ("event_time", json!("2026-05-28T20:26:40.000000Z")),
        ] {
            assert_eq!(record.data()[member], value, "{member}");
        }
        let texts = json!({"transno": "i", "pricing_id": "pp-1", "model": "one", "usage": {"size": "720P", "images": 3.0}});
        let booked = site.post(&c.key, "/accounting", &texts).await;
        assert_eq!(booked.data()["amount"], "0.6375");
        let record =
            site.get(&c.key, &format!("/accounting/{}", booked.data()["id"].as_str().unwrap())).await;
        assert_eq!(record.data()["quantity"], json!({"images": 3, "size": "720P"}));
        // Both forms of an export carry the arithmetic too.
        let lines = site
            .send(Ask::get("/accounting/export?transno=t").header("accept", "application/x-ndjson"), &c.key)
            .await;
        let first: Value = serde_json::from_str(lines.text().lines().next().unwrap()).unwrap();
        assert_eq!(first["arithmetic"], arithmetic());
        let csv =
            site.send(Ask::get("/accounting/export?transno=t").header("accept", "text/csv"), &c.key).await;
        assert!(csv.text().contains(r#","{""row"":""pp-1-now"",""date"":"#), "{}", csv.text());
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn an_amount_that_is_given_goes_before_any_price() {
    on_that_day(async |site, c| {
        let mut body = tokens("t");
        body["amount"] = json!("2.000000001");
        let booked = site.post(&c.key, "/accounting", &body).await;
        assert_eq!(booked.data()["amount"], "2.000000001");
        assert!(booked.data().get("pricing").is_none());
        let credit = json!({"transno": "u", "customer_id": c.id, "kind": "credit", "llmid": "llm-1", "input_tokens": 1});
        let refused = site.post(&site.platform, "/accounting", &credit).await;
        assert_eq!(refused.refusal(), (400, "invalid_request"));
        assert_eq!(refused.json["errors"][0]["field"], "amount");
    });
}

#[test]
fn a_usage_that_costs_nothing_is_a_record_all_the_same() {
    on_that_day(async |site, c| {
        let broke = site.customer("0").await;
        for (customer, balance) in [(&c, "10"), (&broke, "0")] {
            let free = json!({"transno": "t", "llmid": "llm-1", "input_tokens": 0});
            let booked = site.post(&customer.key, "/accounting", &free).await;
            assert_eq!((booked.status, &booked.data()["amount"]), (201, &json!("0")));
            assert_eq!(
                (&booked.data()["balance"], &booked.data()["pricing"]["unrounded"]),
                (&json!(balance), &json!("0"))
            );
            let id = booked.data()["id"].as_str().unwrap();
            let reversed = site
                .post(&customer.key, &format!("/accounting/{id}/reverse"), &json!({"transno": "r"}))
                .await;
            assert_eq!(reversed.refusal(), (422, "reversal_exceeds"));
        }
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn who_has_spent_more_than_there_is_is_charged_nothing_neither() {
    on_that_day(async |site, c| {
        let mode = async |mode| site.env().store().set_customer_mode(&c.customer_id(), mode).await.unwrap();
        mode(Some(Mode::AllowNegative)).await;
        assert_eq!(
            site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "11"})).await.status,
            201
        );
        mode(None).await;
        let free = json!({"transno": "free", "llmid": "llm-1", "input_tokens": 0});
        let refused = site.post(&c.key, "/accounting", &free).await;
        assert_eq!(refused.refusal(), (402, "insufficient_balance"));
        assert_eq!((&refused.json["available"], &refused.json["required"]), (&json!("-1"), &json!("0")));
        mode(Some(Mode::AllowNegative)).await;
        assert_eq!(site.post(&c.key, "/accounting", &free).await.status, 201);
    });
}

#[test]
fn a_repetition_gets_the_first_answer_whatever_became_of_the_price() {
    on_that_day(async |site, c| {
        let first = site.post(&c.key, "/accounting", &tokens("t")).await;
        assert_eq!(first.status, 201);
        let row = |version, columns| Row { version, ..Row::new("pp-1-now", columns) };
        let dearer = [("ppid", "pp-1"), ("pricing_data", NEXT)];
        // Once with another price, once with a list that nobody can read, once with none at all.
        for (version, columns) in
            [(2, &dearer[..]), (3, &[("ppid", "pp-1"), ("pricing_data", "]")]), (4, &[])]
        {
            site.mirror(Entity::Pricing, &[row(version, columns)]).await;
        }
        let site = site.restarted(|_| ()).await;
        let new = site.post(&c.key, "/accounting", &tokens("u")).await;
        assert_eq!(new.refusal(), (422, "price_not_found"));
        for _ in 0..2 {
            let again = site.post(&c.key, "/accounting", &tokens("t")).await;
            assert_eq!(
                (again.status, again.header("idempotency-replayed")),
                (200, "true"),
                "{}",
                again.text()
            );
            assert_eq!(without_replayed(&again), without_replayed(&first));
        }
        let mut other = tokens("t");
        other["input_tokens"] = json!(124);
        assert_eq!(site.post(&c.key, "/accounting", &other).await.refusal(), (422, "transno_conflict"));
        other = tokens("t");
        other["amount"] = first.data()["amount"].clone();
        assert_eq!(
            site.post(&c.key, "/accounting", &other).await.refusal(),
            (422, "transno_conflict"),
            "an amount that was given is another request than one that was computed"
        );
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_price_in_another_currency_is_no_price_of_the_customers() {
    on_that_day(async |site, c| {
        let body = json!({"transno": "t", "customer_id": c.id, "pricing_id": "pp-3", "input_tokens": 1});
        let refused = site.post(&site.platform, "/accounting", &body).await;
        assert_eq!(refused.refusal(), (422, "currency_mismatch"));
        let dollars = site.customer_in("10", "USD").await;
        // A program that names no currency is in accounting.currency.
        let body =
            json!({"transno": "t", "customer_id": dollars.id, "pricing_id": "pp-1", "input_tokens": 1});
        let refused = site.post(&site.platform, "/accounting", &body).await;
        assert_eq!(refused.refusal(), (422, "currency_mismatch"), "{}", refused.text());
        let body =
            json!({"transno": "t", "customer_id": dollars.id, "pricing_id": "pp-3", "input_tokens": 1});
        assert_eq!(site.post(&site.platform, "/accounting", &body).await.data()["balance"], "9");
        assert_eq!(
            site.post(&dollars.key, "/accounting", &tokens("u")).await.refusal(),
            (422, "currency_mismatch")
        );
    });
}

#[test]
fn a_priced_charge_passes_the_same_checks_as_any_other() {
    on_that_day(async |site, c| {
        let poor = site.customer("0.00054").await;
        let refused = site.post(&poor.key, "/accounting", &tokens("t")).await;
        assert_eq!(refused.refusal(), (402, "insufficient_balance"));
        assert_eq!(refused.json["required"], "0.000541");
        site.suspend(&c).await;
        assert_eq!(
            site.post(&c.key, "/accounting", &tokens("t")).await.refusal(),
            (403, "customer_suspended")
        );
        let mut unknown = tokens("t");
        unknown["customer_id"] = json!("nobody");
        assert_eq!(site.post(&site.platform, "/accounting", &unknown).await.refusal(), (404, "not_found"));
    });
}

#[test]
fn a_batch_prices_each_item_for_itself() {
    on_that_day(async |site, c| {
        let none = json!({"transno": "b", "llmid": "llm-9", "input_tokens": 1});
        let items = json!([tokens("a"), none, {"transno": "c", "amount": "1"}, tokens("d")]);
        let done = site.post(&c.key, "/accounting/batch", &items).await;
        let rows = done.rows();
        let statuses: Vec<_> = rows.iter().map(|row| row["status"].as_u64().unwrap()).collect();
        assert_eq!(statuses, [201, 422, 201, 201]);
        assert_eq!((&rows[0]["data"]["pricing"], &rows[3]["data"]["pricing"]), (&pricing(), &pricing()));
        assert_eq!(rows[1]["error"]["code"], "price_not_found");
        assert!(rows[2]["data"].get("pricing").is_none());
        let atomic = site.post(&c.key, "/accounting/batch?atomic=true", &json!([tokens("e"), none])).await;
        assert_eq!(atomic.refusal(), (422, "price_not_found"));
        assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "8.998918", "all or none");
        assert_eq!(site.verify().await, Vec::<String>::new());
    });
}

#[test]
fn a_price_that_changes_elsewhere_is_charged_here_soon() {
    on_every_database(async |site| {
        stock(&site).await;
        let used = json!({"pricing_id": "pp-3", "input_tokens": 2});
        let amount =
            async || site.post(&site.platform, "/pricing/quote", &used).await.data()["amount"].clone();
        assert_eq!(amount().await, "2");
        let elsewhere = site.command().await;
        let list = "pricings: [{price_factors: input_tokens, unit_prices: 0.5}]";
        let columns = Entity::Pricing.columns().iter().map(|column| match column.name {
            "ppid" => sageapi_server::model::Cell::Text("pp-3".into()),
            "pricing_data" => sageapi_server::model::Cell::Text(list.into()),
            _ => sageapi_server::model::Cell::Null,
        });
        let op = Op::Upsert { created_at: None, cells: columns.collect() };
        let changes = vec![Change { id: TextId::parse("pp-3-now").unwrap(), version: 2, op }];
        let page = Page { changes, ..Page::default() };
        elsewhere.env.store().apply_page(Entity::Pricing, None, page).await.unwrap();
        site.until("the new price", async || amount().await == "1").await;
        elsewhere.stop().await;
    });
}

#[test]
fn an_amount_that_its_arithmetic_does_not_come_to_is_named_by_verify() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        let quote = |arithmetic: &str| Quote {
            amount: Money::parse("2").unwrap(),
            currency: Currency::parse("CNY").unwrap(),
            pricing_id: "p".to_owned(),
            version: 1,
            unrounded: "2".to_owned(),
            arithmetic: arithmetic.to_owned(),
            model: None,
        };
        let line = |price: &str| {
            json!({"row": "r", "date": "2026-05-28", "discount": null, "scale": 6, "lines": [
                {"rule": 0, "factor": "n", "quantity": "2", "unit_value": "1", "unit_price": price, "subtotal": "2"}
            ]})
            .to_string()
        };
        let book = async |transno: &str, quote: Quote| {
            let entry = Entry {
                transno: Transno::parse(transno).unwrap(),
                kind: Kind::Charge,
                amount: Amount::Quoted(Box::new(quote)),
                currency: None,
                event_time: None,
                details: sageapi_server::model::BookingDetails {
                    pricing_id: Some("p".to_owned()),
                    ..Default::default()
                },
            };
            let (customer_id, action) = (c.customer_id(), Action::Book(entry));
            site.env()
                .bookings()
                .submit(Request { customer_id, body_hash: [0; 32], nonce: None, action })
                .await
                .unwrap();
        };
        book("right", quote(&line("1"))).await;
        assert_eq!(site.verify().await, Vec::<String>::new());
        book("wrong", quote(&line("1.5"))).await;
        let named = format!("{}, record 3 (wrong): its arithmetic does not come to 2", c.id);
        assert_eq!(site.verify().await, [named]);
    });
}
