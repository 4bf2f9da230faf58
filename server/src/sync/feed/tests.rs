use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;

const NOW: &str = "2026-05-28T20:26:40Z";

fn page(entity: Entity, rows: &Value) -> FeedPage {
    let body =
        json!({"status": "ok", "data": {"rows": rows, "next": "c1", "has_more": false, "server_time": NOW}});
    parse(entity, body.to_string().as_bytes(), &TimeZone::UTC).unwrap()
}

fn upsert(data: &Value) -> Value {
    json!({"id": "a", "op": "upsert", "version": 7, "updated_at": NOW, "data": data})
}

/// The cell of a column, from a page with one good row.
fn cell(entity: Entity, column: &str, value: &Value) -> Cell {
    let page = page(entity, &json!([upsert(&json!({column: value}))]));
    assert_eq!(page.quarantined, []);
    let Op::Upsert { cells, .. } = &page.changes[0].op else { panic!("{:?}", page.changes) };
    let index = entity.columns().iter().position(|c| c.name == column).unwrap();
    cells[index].clone()
}

/// Why a row with this value is set aside.
fn refusal(entity: Entity, column: &str, value: &Value) -> String {
    let page = page(entity, &json!([upsert(&json!({column: value}))]));
    assert_eq!(page.changes, []);
    page.quarantined[0].error.clone()
}

fn text(text: &str) -> Cell {
    Cell::Text(text.into())
}

#[test]
fn a_row_is_read_by_its_columns_and_the_rest_is_ignored() {
    let rows = json!([
        upsert(&json!({"username": "ann", "orgid": "org1", "mobile": null, "password": "x", "created_at": NOW})),
        {"id": "b", "op": "delete", "version": 8, "updated_at": NOW, "data": null},
    ]);
    let page = page(Entity::Users, &rows);
    assert_eq!((page.next.as_deref(), page.has_more), (Some("c1"), false));
    let Op::Upsert { created_at, cells } = &page.changes[0].op else { panic!() };
    assert_eq!(*created_at, Timestamp::parse(NOW).ok());
    let mut expected = vec![Cell::Null; 8];
    (expected[0], expected[4]) = (text("ann"), text("org1"));
    assert_eq!(*cells, expected);
    assert_eq!(page.changes[1].op, Op::Delete);
    assert_eq!((page.changes[1].id.as_str(), page.changes[1].version), ("b", 8));
}

#[test]
fn values_are_read_by_the_kind_of_their_column() {
    use Entity::{Llmage, Pricing, Uapi, Users};
    let long = "长".repeat(255);
    for (entity, column, value, expected) in [
        (Users, "username", json!("a\n\"b\" 晨"), text("a\n\"b\" 晨")),
        (Users, "username", json!(""), text("")),
        (Users, "username", json!(long), text(&long)),
        (Users, "user_status", json!(0), text("0")),
        (Users, "orgid", json!(""), Cell::Null),
        (Users, "orgid", json!("~!"), text("~!")),
        (Uapi, "stream", json!(-1.5), text("-1.5")),
        (Llmage, "min_balance", json!("10.5"), Cell::Int(10_500_000_000)),
        (Llmage, "min_balance", json!(-3), Cell::Int(-3_000_000_000)),
        (Llmage, "min_balance", json!(0.25), Cell::Int(250_000_000)),
        (Llmage, "enabled_date", json!("2024-02-29"), text("2024-02-29")),
        (Llmage, "expired_date", json!("9999-12-31"), text("9999-12-31")),
        (Llmage, "expired_date", json!(""), Cell::Null),
        (Pricing, "discount", json!(0.85), text("0.85")),
        (Pricing, "discount", json!("-0.123456789012345"), text("-0.123456789012345")),
        (Pricing, "discount", json!(0.850_000_000_000_000_1), text("0.8500000000000001")),
        (Pricing, "discount", json!("0.8500"), text("0.8500")),
        (Pricing, "discount", json!(1e-7), text("0.0000001")),
        (Llmage, "min_balance", json!(1e-7), Cell::Int(100)),
        (Pricing, "pricing_data", json!("pricings: []\n"), text("pricings: []\n")),
        (Pricing, "pricing_data", json!(null), Cell::Null),
    ] {
        assert_eq!(cell(entity, column, &value), expected, "{column} {value}");
    }
}

#[test]
fn a_value_that_does_not_fit_its_column_sets_the_row_aside() {
    use Entity::{Llmage, Pricing, Users};
    for (entity, column, value, reason) in [
        (Users, "username", json!(true), "must be text"),
        (Users, "username", json!(["a"]), "must be text"),
        (Users, "username", json!({"a": 1}), "must be text"),
        (Users, "username", json!("a\0b"), "U+0000"),
        (Users, "username", json!("长".repeat(256)), "at most 255 characters"),
        (Users, "orgid", json!("a b"), "printable ASCII"),
        (Users, "orgid", json!("x".repeat(65)), "1 to 64"),
        (Llmage, "min_balance", json!("1e-10"), "decimal string"),
        (Llmage, "min_balance", json!("99999999999"), "decimal string"),
        (Llmage, "min_balance", json!("9000000001"), "9000000000"),
        (Llmage, "min_balance", json!(false), "must be text"),
        (Llmage, "enabled_date", json!("2023-02-29"), "YYYY-MM-DD"),
        (Llmage, "enabled_date", json!("2023-1-01"), "YYYY-MM-DD"),
        (Llmage, "enabled_date", json!("2023-01-01T00:00:00+0800"), "YYYY-MM-DD"),
        (Llmage, "enabled_date", json!("2023-01-01 24:00:00"), "YYYY-MM-DD"),
        (Llmage, "enabled_date", json!("2023-01-01T"), "YYYY-MM-DD"),
        (Llmage, "enabled_date", json!("2023-01-01 soon"), "YYYY-MM-DD"),
        (Llmage, "enabled_date", json!("2023-02-29 00:00:00"), "YYYY-MM-DD"),
        (Llmage, "enabled_date", json!("2023-00-00"), "YYYY-MM-DD"),
        (Llmage, "enabled_date", json!(20_230_101), "not \"20230101\""),
        (Llmage, "enabled_date", json!("２０２３-01"), "YYYY-MM-DD"),
        (Pricing, "discount", json!("1.23456789012345678"), "17 significant"),
        (Pricing, "discount", json!("0,9"), "not \"0,9\""),
        (Pricing, "discount", json!("."), "17 significant"),
        (Pricing, "discount", json!(format!("0.{}1", "0".repeat(70))), "17 significant"),
        (Pricing, "discount", json!(format!("0.9{}", "0".repeat(70))), "64 characters"),
    ] {
        let error = refusal(entity, column, &value);
        assert!(error.starts_with(column) && error.contains(reason), "{column} {value}: {error}");
    }
}

#[test]
fn a_time_without_an_offset_is_local_in_the_platforms_zone() {
    let zone = TimeZone::get("Asia/Shanghai").unwrap();
    let read = |value: &str| {
        let raw = serde_json::value::to_raw_value(value).unwrap();
        read_created_at(&raw, &zone).map(|time| time.to_string())
    };
    assert_eq!(read("2026-05-29 04:26:40.5").as_deref(), Some("2026-05-28T20:26:40.500000Z"));
    assert_eq!(read("2026-05-29T04:26:40").as_deref(), Some("2026-05-28T20:26:40.000000Z"));
    assert_eq!(read("2026-05-29T04:26:40Z").as_deref(), Some("2026-05-29T04:26:40.000000Z"));
    assert_eq!(read(""), None);
}

#[test]
fn a_time_of_creation_that_is_none_is_unknown_and_sets_nothing_aside() {
    for value in [
        json!("0000-00-00 00:00:00"),
        json!("yesterday"),
        json!("1969-12-31 23:59:59"),
        json!("2026-05-29 04:26:60"),
        json!(1_780_000_000),
        json!(1_780_000_000_000.5),
        json!(null),
        json!(""),
        json!([]),
        json!({}),
        json!(true),
    ] {
        let page = page(Entity::Users, &json!([upsert(&json!({"username": "ann", "created_at": value}))]));
        let [Change { op: Op::Upsert { created_at, .. }, .. }] = &page.changes[..] else { panic!("{value}") };
        assert_eq!(*created_at, None, "{value}");
    }
}

#[test]
fn a_datetime_is_its_day_and_the_zero_date_is_none() {
    let dates = Entity::ALL.into_iter().flat_map(|entity| {
        let dates = entity.columns().iter().filter(|column| column.kind == crate::model::ColumnKind::Date);
        dates.map(move |column| (entity, column.name))
    });
    let dates: Vec<_> = dates.collect();
    assert_eq!(dates.len(), 4);
    for (entity, column) in dates {
        for (value, day) in [
            ("2026-12-01 00:00:00", Some("2026-12-01")),
            ("2026-12-01T23:59:59.999999", Some("2026-12-01")),
            ("2026-12-01T12:00:00Z", Some("2026-12-01")),
            ("2026-12-01T12:00:00+08:00", Some("2026-12-01")),
            ("2026-12-01T04:00:00+08:00", Some("2026-11-30")),
            ("9999-12-31 23:59:59", Some("9999-12-31")),
            ("9999-12-31T23:59:59Z", Some("9999-12-31")),
            ("0000-00-00", None),
            ("0000-00-00 00:00:00", None),
            ("0000-00-00 00:00:00.000000", None),
            ("0000-00-00T00:00:00", None),
            ("", None),
        ] {
            assert_eq!(cell(entity, column, &json!(value)), day.map_or(Cell::Null, text), "{column} {value}");
        }
    }
    let body = json!({"status": "ok", "data": {"rows": [
        upsert(&json!({"enabled_date": "2026-11-30T16:00:00.000Z"})),
    ], "has_more": false}});
    let shanghai = TimeZone::get("Asia/Shanghai").unwrap();
    let page = parse(Entity::Llmage, body.to_string().as_bytes(), &shanghai).unwrap();
    let Op::Upsert { cells, .. } = &page.changes[0].op else { panic!() };
    assert!(
        cells.contains(&text("2026-12-01")),
        "an instant is read as the day of the platform's zone: {cells:?}"
    );
}

#[test]
fn what_can_be_read_of_a_bad_row_is_told_too() {
    let data = json!({"discount": "?", "ppid": "pp-1", "name": [], "expired_date": "2026-12-01 00:00:00"});
    let page = page(Entity::Pricing, &json!([upsert(&data)]));
    assert_eq!((page.changes.len(), page.quarantined[0].version), (0, 7));
    let error = &page.quarantined[0].error;
    assert!(error.starts_with("name: must be text; discount: must be a decimal number"), "{error}");
    assert!(error.ends_with("not \"?\""), "{error}");
    let [partial] = &page.partial[..] else { panic!("{page:?}") };
    assert_eq!((partial.id.as_str(), partial.version), ("a", 7));
    for (column, cell) in Entity::Pricing.columns().iter().zip(&partial.cells) {
        let expected = match column.name {
            "discount" | "name" => None,
            "ppid" => Some(text("pp-1")),
            "expired_date" => Some(text("2026-12-01")),
            _ => Some(Cell::Null),
        };
        assert_eq!(*cell, expected, "{}", column.name);
    }
}

#[test]
fn a_version_may_be_written_as_a_float() {
    for (version, read) in [(json!(7.0), 7), (json!(1e3), 1000)] {
        let page = page(Entity::Users, &json!([{"id": "b", "op": "delete", "version": version}]));
        assert_eq!(page.changes[0].version, read);
    }
}

#[test]
fn a_price_list_that_no_charge_can_be_priced_by_is_told_at_once() {
    let good = "pricings: [{price_factors: n, unit_prices: 0.30000000000000004}]";
    let flaw = |data: &Value| {
        let page = page(Entity::Pricing, &json!([upsert(data)]));
        assert_eq!(page.quarantined, [], "it can be read");
        page.flaws.first().map(|flaw| format!("{} {}: {}", flaw.id, flaw.version, flaw.reason))
    };
    assert_eq!(flaw(&json!({"pricing_data": good, "discount": "0.9", "currency": "CNY"})), None);
    for (data, reason) in [
        (
            json!({"pricing_data": "pricings: [{price_factors: n, unit_prices: -1}]"}),
            "pricings[0].unit_prices: must not be negative",
        ),
        (
            json!({"pricing_data": "pricings: [{price_factors: n, unit_prices: 1_000}]"}),
            "pricings[0].unit_prices: must be a decimal number",
        ),
        (json!({"pricing_data": "pricings: []"}), "pricings: must have at least one rule"),
        (json!({}), "pricing_data: must be a mapping"),
        (json!({"pricing_data": good, "discount": "-0.1"}), "discount: must not be negative"),
        (json!({"pricing_data": good, "currency": "yuan"}), "currency: must be a currency code"),
    ] {
        let told = flaw(&data).unwrap();
        assert!(told.starts_with(&format!("a 7: {reason}")), "{told}");
    }
    let users = page(Entity::Users, &json!([upsert(&json!({}))]));
    assert_eq!(users.flaws, []);
}

#[test]
fn pricing_data_must_be_one_bounded_mapping() {
    let mut bomb = "a: &a [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
    for (alias, name) in ('a'..'j').zip('b'..'k') {
        let list = vec![format!("*{alias}"); 9].join(", ");
        writeln!(bomb, "{name}: &{name} [{list}]").unwrap();
    }
    let deep = format!("a: {}{}", "[".repeat(5000), "]".repeat(5000));
    let long = format!("a: {}", "x".repeat(1 << 20));
    for (yaml, reason) in [
        ("just text", "must be a YAML mapping"),
        ("- a\n- b", "must be a YAML mapping"),
        ("a: [1, 2", "must be YAML"),
        ("a: 1\na: 2", "must be YAML"),
        ("1: a\n\"1\": b", "twice"),
        ("? [a]\n: 1", "must be a word"),
        ("a: !env SECRET", "tag"),
        ("a: .nan", "finite"),
        ("a: 1\n---\nb: 2", "must be YAML"),
        (&bomb, "must be YAML"),
        (&deep, "must be YAML"),
        (&long, "1 MiB"),
    ] {
        let error = refusal(Entity::Pricing, "pricing_data", &json!(yaml));
        assert!(error.contains(reason), "{}: {error}", cut(yaml, 40));
    }
    let good = "unit_values:\n  百万: 1000000\npricings:\n- unit_prices: 1.25\n  filters:\n  - model: &m x\n  - model: *m\n";
    assert_eq!(cell(Entity::Pricing, "pricing_data", &json!(good)), text(good));
}

#[test]
fn a_bad_row_is_set_aside_under_its_id_and_its_neighbours_stay() {
    let good = upsert(&json!({"username": "ann"}));
    for (row, id, version, reason) in [
        (json!(null), "row 2", 0, "row: "),
        (json!("text"), "row 2", 0, "row: "),
        (json!([1]), "row 2", 0, "row: "),
        (json!({}), "row 2", 0, "id: "),
        (json!({"id": "x".repeat(65), "op": "delete", "version": 1}), "row 2", 1, "id: must be 1 to 64"),
        (json!({"id": ["b"], "op": "delete", "version": 1}), "row 2", 1, "id: must be text"),
        (json!({"id": "b", "op": "delete"}), "b", 0, "version: "),
        (json!({"id": "b", "op": "delete", "version": "7"}), "b", 0, "version: "),
        (json!({"id": "b", "op": "delete", "version": -1}), "b", 0, "version: "),
        (json!({"id": "b", "op": "delete", "version": 1.5}), "b", 0, "version: "),
        (json!({"id": "b", "op": "delete", "version": 1u64 << 63}), "b", 0, "version: "),
        (json!({"id": "b", "op": "replace", "version": 3}), "b", 3, "op: "),
        (json!({"id": "b", "op": 5, "version": 3}), "b", 3, "op: "),
        (json!({"id": "b", "version": 3}), "b", 3, "op: "),
        (json!({"id": "b", "op": "upsert", "version": 3}), "b", 3, "data: must be an object"),
        (json!({"id": "b", "op": "upsert", "version": 3, "data": "x"}), "b", 3, "data: "),
        (
            json!({"id": "b", "op": "upsert", "version": 3, "data": {"username": []}}),
            "b",
            3,
            "username: must be text",
        ),
    ] {
        let page = page(Entity::Users, &json!([good, row, good]));
        assert_eq!(page.changes.len(), 2, "{row}");
        let [bad] = &page.quarantined[..] else { panic!("{row}") };
        assert_eq!((bad.id.as_str(), bad.version), (id, version), "{row}");
        assert!(bad.error.starts_with(reason), "{row}: {}", bad.error);
        assert_eq!(serde_json::from_str::<Value>(&bad.text).unwrap(), row);
    }
}

#[test]
fn a_column_twice_in_one_row_sets_the_row_aside() {
    let body = r#"{"status":"ok","data":{"rows":[{"id":"b","op":"upsert","version":1,"data":{"username":"a","username":"b"}}],"has_more":false}}"#;
    let page = parse(Entity::Users, body.as_bytes(), &TimeZone::UTC).unwrap();
    assert!(page.quarantined[0].error.contains("username stands there twice"), "{:?}", page.quarantined);
    assert_eq!(page.quarantined[0].id, "b");
}

#[test]
fn a_hostile_row_costs_nothing_but_itself() {
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let number = "9".repeat(100_000);
    let surrogate = r#""\ud800""#;
    for value in [deep.as_str(), &number, surrogate, r#"{"a":{"a":{}}}"#] {
        let body = format!(
            r#"{{"status":"ok","data":{{"rows":[
                {{"id":"a","op":"upsert","version":1,"data":{{"unknown":{deep},"username":"ann"}}}},
                {{"id":"b","op":"upsert","version":1,"data":{{"username":{value}}}}},
                {{"id":"c","op":"upsert","version":{number},"data":{{}}}}
            ],"next":null,"has_more":false}}}}"#
        );
        let page = parse(Entity::Users, body.as_bytes(), &TimeZone::UTC).unwrap();
        assert_eq!(page.changes.len(), 1);
        assert_eq!(page.quarantined.iter().map(|q| q.id.as_str()).collect::<Vec<_>>(), ["b", "c"]);
        assert!(page.quarantined.iter().all(|q| q.text.len() <= MAX_KEPT && q.error.len() < 1024));
    }
}

#[test]
fn a_page_that_is_none_is_malformed_as_a_whole() {
    let many =
        format!(r#"{{"status":"ok","data":{{"rows":[{}0],"has_more":false}}}}"#, "0,".repeat(MAX_ROWS));
    let long =
        format!(r#"{{"status":"ok","data":{{"rows":[],"next":"{}","has_more":true}}}}"#, "x".repeat(1025));
    for body in [
        "",
        "null",
        "[]",
        "<!doctype html>",
        r#"{"status":"ok"}"#,
        r#"{"status":"ok","data":null}"#,
        r#"{"status":"ok","data":{}}"#,
        r#"{"status":"ok","data":{"rows":null}}"#,
        r#"{"status":"ok","data":{"rows":{}}}"#,
        r#"{"status":"ok","data":{"rows":[],"has_more":"yes"}}"#,
        r#"{"status":"ok","data":{"rows":[],"next":5}}"#,
        r#"{"status":"ok","data":{"rows":[],"rows":[]}}"#,
        r#"{"status":"ok","data":{"rows":[{"id":"a""#,
        r#"{"status":"ok","data":{"rows":[]}} trailing"#,
        r#"{"status":"error","data":{"rows":[]}}"#,
        &many,
        &long,
    ] {
        let error = parse(Entity::Users, body.as_bytes(), &TimeZone::UTC).unwrap_err();
        assert_eq!(error.class, Failure::Malformed, "{}", cut(body, 80));
        assert!(error.message.len() < 300, "{error}");
    }
    assert!(parse(Entity::Users, b"{\"status\":\"ok\xff\"}", &TimeZone::UTC).is_err());
    let deep = "[".repeat(1_000_000);
    assert!(parse(Entity::Users, deep.as_bytes(), &TimeZone::UTC).is_err());
}

#[test]
fn an_empty_next_is_no_place_to_go_on_from() {
    let body = br#"{"status":"ok","data":{"rows":[],"next":"","has_more":false}}"#;
    assert_eq!(parse(Entity::Users, body, &TimeZone::UTC).unwrap().next, None);
}

#[test]
fn a_seeded_row_is_older_than_whatever_the_platform_says() {
    let rows = [r#"{"id":"a","username":"ann"}"#, r#"{"username":"bob"}"#, r#"{"id":"c","username":[]}"#];
    let rows = rows.map(|row| RawValue::from_string(row.to_owned()).unwrap());
    let page = parse_seed(Entity::Users, &rows.each_ref().map(|row| &**row), &TimeZone::UTC);
    let [change] = &page.changes[..] else { panic!("{page:?}") };
    assert_eq!((change.id.as_str(), change.version), ("a", 0));
    assert_eq!(page.quarantined.iter().map(|q| q.id.as_str()).collect::<Vec<_>>(), ["row 2", "c"]);
    assert_eq!(page.cursor, None);
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(body in prop::collection::vec(any::<u8>(), 0..256)) {
        let _ = parse(Entity::Pricing, &body, &TimeZone::UTC);
    }

    #[test]
    fn no_value_makes_a_cell_panic(value in ".*", entity in 0usize..4) {
        let entity = Entity::ALL[entity];
        for column in entity.columns() {
            let page = page(entity, &json!([upsert(&json!({column.name: value, "created_at": value}))]));
            prop_assert_eq!(page.changes.len() + page.quarantined.len(), 1);
        }
    }
}
