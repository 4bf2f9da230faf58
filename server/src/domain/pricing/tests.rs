//! Price lists as the platform writes them, and what they cost.

pub(in crate::domain) mod properties;
pub(in crate::domain) mod reference;

use super::*;
use crate::model::Decimal;

fn program(yaml: &str) -> Program {
    Program::compile(yaml).unwrap_or_else(|error| panic!("{error}\n{yaml}"))
}

fn usage<'a>(quantities: &[(&'a str, &str)], attributes: &[(&'a str, &'a str)]) -> Usage<'a> {
    let mut usage = Usage::new();
    for (factor, quantity) in quantities {
        usage.quantity(factor, quantity).unwrap();
    }
    for (field, text) in attributes {
        usage.attribute(field, text);
    }
    usage
}

fn amount(program: &Program, usage: &Usage) -> String {
    program
        .price(usage, None, 6)
        .map_or_else(|error| format!("{error:?}"), |priced| priced.amount.to_string())
}

fn refusal(yaml: &str) -> (String, String) {
    match Program::compile(yaml) {
        Err(PricingDataError::Value { path, reason }) => (path, reason),
        other => panic!("{other:?}\n{yaml}"),
    }
}

const TOKENS: &str = "
unit_values:
  百万: 1000000
fields:
  prompt_tokens: {type: int, role: factor, label: 输入}
pricings:
- price_factors: prompt_tokens
  unit_prices: 2.10
  unit: 百万
  filters:
  - prompt_tokens: '<= 32000'
- price_factors: completion_tokens
  unit_prices: 8.4
  unit: 百万
  filters:
  - prompt_tokens: '<= 32000'
- price_factors: [prompt_tokens, completion_tokens]
  unit_prices: [4.2, 16.8]
  unit: 百万
  filters:
  - prompt_tokens: '> 32000'
- price_factors: cached_tokens
  unit_prices: 0.42
  unit: 百万
";

#[test]
fn tokens_cost_by_the_tier_of_the_prompt() {
    let program = program(TOKENS);
    let mut small = Usage::new();
    small.tokens(Some(32_000), Some(1_000)).unwrap();
    assert_eq!(amount(&program, &small), "0.0756");
    let mut large = Usage::new();
    large.tokens(Some(32_001), Some(1_000)).unwrap();
    assert_eq!(amount(&program, &large), "0.151204");
    large.quantity("cached_tokens", "1000000").unwrap();
    assert_eq!(amount(&program, &large), "0.571204");
}

#[test]
fn an_answer_shows_its_arithmetic() {
    let mut used = usage(&[("cached_tokens", "7")], &[]);
    used.tokens(Some(123), Some(45)).unwrap();
    let discount = Decimal::parse("0.85").unwrap();
    let priced = program(TOKENS).price(&used, Some(&discount), 6).unwrap();
    // (123 x 2.1 + 45 x 8.4 + 7 x 0.42) / 1000000 x 0.85
    assert_eq!((priced.amount.to_string().as_str(), priced.unrounded.as_str()), ("0.000543", "0.000543354"));
    let lines: Vec<_> = priced
        .lines
        .iter()
        .map(|l| (l.rule, &*l.factor, &*l.quantity, &*l.unit_value, &*l.unit_price, &*l.subtotal))
        .collect();
    assert_eq!(
        lines,
        [
            (0, "prompt_tokens", "123", "1000000", "2.1", "0.0002583"),
            (1, "completion_tokens", "45", "1000000", "8.4", "0.000378"),
            (3, "cached_tokens", "7", "1000000", "0.42", "0.00000294"),
        ]
    );
}

#[test]
fn filters_ask_for_texts_and_numbers() {
    // Descriptive fields need not name the factors, and a size may be a number.
    let program = program(
        "unit_values:\n  秒: 1\nfields:\n  unit_prices:\n    type: float\n    role: factor\npricings:\n\
         - {price_factors: duration, unit_prices: 0.3, unit: 秒, filters: [{SR: 720}, {audio: true}]}\n\
         - {price_factors: duration, unit_prices: 0.15, unit: 秒, filters: {SR: 720, audio: false}}\n\
         - {price_factors: duration, unit_prices: 1.0, unit: 秒, filters: [{SR: [1080, 2160], audio: {in: [true]}}]}\n",
    );
    for (sr, audio, wanted) in
        [("720", "true", "3"), ("720", "false", "1.5"), ("2160", "true", "10"), ("1080", "false", "none")]
    {
        let as_text = usage(&[("duration", "10")], &[("SR", sr), ("audio", audio)]);
        let as_number = usage(&[("duration", "10"), ("SR", sr)], &[("audio", audio)]);
        for used in [as_text, as_number] {
            match program.price(&used, None, 6) {
                Ok(priced) => assert_eq!(priced.amount.to_string(), wanted),
                Err(error) => {
                    assert_eq!((wanted, matches!(error, PriceError::NoRule { .. })), ("none", true));
                }
            }
        }
    }
}

#[test]
fn a_flat_price_counts_once_and_has_no_unit() {
    let program = program(
        "unit_values: {万字符: 10000}\npricings:\n- {price_factors: characters, unit_prices: 2, unit: 万字符}\n\
         - {price_factors: flat, unit_prices: 0.05, unit: 万字符, filters: [{model: tts}]}\n",
    );
    assert_eq!(amount(&program, &usage(&[("characters", "25000")], &[])), "5");
    assert_eq!(amount(&program, &usage(&[("characters", "25000")], &[("model", "tts")])), "5.05");
    let priced = program.price(&usage(&[("flat", "9")], &[("model", "tts")]), None, 6).unwrap();
    assert_eq!(priced.amount.to_string(), "0.05");
    assert_eq!((&*priced.lines[0].quantity, &*priced.lines[0].unit_value), ("1", "1"));
}

#[test]
fn a_rule_without_unit_prices_single_things() {
    let program = program("pricings: [{price_factors: images, unit_prices: '0.25', unit: ~}]");
    assert_eq!(amount(&program, &usage(&[("images", "3")], &[])), "0.75");
}

#[test]
fn what_nobody_set_a_price_for_is_not_free() {
    for (yaml, quantities) in [
        ("pricings: []", &[("images", "3")][..]),
        ("pricings: [{price_factors: images, unit_prices: 1}]", &[("characters", "3")][..]),
        (
            "pricings: [{price_factors: images, unit_prices: 1, filters: [{size: big}]}]",
            &[("images", "3")][..],
        ),
        ("pricings: [{price_factors: images, unit_prices: 1}]", &[][..]),
    ] {
        let used = usage(quantities, &[("model", "m1")]);
        match program(yaml).price(&used, None, 6) {
            Err(error @ PriceError::NoRule { .. }) => {
                let text = error.to_string();
                assert!(quantities.iter().all(|(name, n)| text.contains(&format!("{name}={n}"))), "{text}");
                assert!(text.contains("model=\"m1\""), "{text}");
            }
            other => panic!("{other:?}"),
        }
    }
    // A count of zero or a price of zero is different.
    let images = program("pricings: [{price_factors: images, unit_prices: 1}]");
    assert_eq!(amount(&images, &usage(&[("images", "0")], &[])), "0");
    let free = program("pricings: [{price_factors: images, unit_prices: 0}]");
    assert_eq!(amount(&free, &usage(&[("images", "5")], &[])), "0");
}

#[test]
fn rounding_happens_once_at_the_end() {
    let program = program(
        "pricings:\n- {price_factors: [a, b], unit_prices: [0.0000004, 0.0000004]}\n\
         - {price_factors: c, unit_prices: 0.0000003}\n",
    );
    // Each part alone is below half of a millionth.
    assert_eq!(amount(&program, &usage(&[("a", "1"), ("b", "1"), ("c", "1")], &[])), "0.000001");
    assert_eq!(amount(&program, &usage(&[("a", "1")], &[])), "0");
    let half = Decimal::parse("0.5").unwrap();
    let priced = program.price(&usage(&[("a", "1"), ("b", "1"), ("c", "1")], &[]), Some(&half), 6).unwrap();
    assert_eq!((priced.amount.to_string().as_str(), priced.unrounded.as_str()), ("0.000001", "0.00000055"));
}

#[test]
fn thirds_are_exact_until_they_are_rounded() {
    let program = program(
        "unit_values: {分: 60, 周: 7}\npricings:\n- {price_factors: s, unit_prices: 1, unit: 分}\n\
         - {price_factors: d, unit_prices: 1, unit: 周}\n",
    );
    let priced = program.price(&usage(&[("s", "20"), ("d", "1")], &[]), None, 9).unwrap();
    assert_eq!((priced.amount.to_string().as_str(), priced.unrounded.as_str()), ("0.476190476", "10/21"));
    assert_eq!(priced.lines[0].subtotal, "1/3");
}

#[test]
fn a_huge_quantity_never_becomes_a_small_charge_or_a_credit() {
    for (quantity, price, discount) in [
        ("1000000000000", "100000000000000000", None),
        ("1000000000000", "999999999999999", None),
        ("1000000000000", "9007199.25474099", None),
        ("9000000001", "1", None),
        ("9000000000", "1.000000001", None),
        ("1000000000000", "999999999999999", Some("999999999999999")),
        ("9000000000", "1", Some("1.00000001")),
    ] {
        let program = program(&format!("pricings: [{{price_factors: n, unit_prices: {price}}}]"));
        let discount = discount.map(|text| Decimal::parse(text).unwrap());
        let priced = program.price(&usage(&[("n", quantity)], &[]), discount.as_ref(), 6);
        assert_eq!(priced, Err(PriceError::OutOfRange), "{quantity} x {price}");
    }
    let rules = "- {price_factors: n, unit_prices: 9000000000}\n".repeat(MAX_LINES);
    let many = program(&format!("pricings:\n{rules}"));
    assert_eq!(many.price(&usage(&[("n", "1")], &[]), None, 6), Err(PriceError::OutOfRange));
    // The discount comes before the verdict.
    let discount = Decimal::parse("0.001").unwrap();
    let priced = many.price(&usage(&[("n", "1")], &[]), Some(&discount), 6).unwrap();
    assert_eq!(priced.amount.to_string(), "900000000");
}

#[test]
fn a_negative_discount_is_refused() {
    let program = program("pricings: [{price_factors: n, unit_prices: 1}]");
    let used = usage(&[("n", "1")], &[]);
    let discount = |text| Decimal::parse(text).unwrap();
    assert_eq!(program.price(&used, Some(&discount("-0.5")), 6), Err(PriceError::NegativeDiscount));
    assert_eq!(program.price(&used, Some(&discount("0")), 6).unwrap().amount.to_string(), "0");
    assert_eq!(program.price(&used, Some(&discount("1.2")), 6).unwrap().amount.to_string(), "1.2");
}

#[test]
fn no_digit_of_a_list_is_read_as_a_float() {
    for (price, wanted) in [
        ("0.1", "0.1"),
        ("1.1", "1.1"),
        ("0.000000001", "0.000000001"),
        ("123456.789012345", "123456.789012345"),
        ("0.30000000000000004", "0.3"),
        ("12345678.123456789", "12345678.123456789"),
    ] {
        let program = program(&format!("pricings: [{{price_factors: n, unit_prices: {price}}}]"));
        assert_eq!(program.price(&usage(&[("n", "1")], &[]), None, 9).unwrap().amount.to_string(), wanted);
    }
    // As a float this is 0.1, and nobody would have noticed.
    let (path, reason) = refusal("pricings: [{price_factors: n, unit_prices: 0.10000000000000000001}]");
    assert_eq!(path, "pricings[0].unit_prices");
    assert!(reason.contains("17 significant digits"), "{reason}");
}

#[test]
fn a_wrong_list_is_refused_by_the_path_of_what_is_wrong() {
    let rule = |members: &str| {
        format!("unit_values: {{k: 1000}}\npricings: [{{price_factors: n, unit_prices: 1}}, {{{members}}}]")
    };
    let prices = "price_factors: n, unit_prices: 1";
    for (yaml, path) in [
        ("[]".to_owned(), "pricing_data"),
        (String::new(), "pricing_data"),
        ("unit_values: {}".to_owned(), "pricings"),
        ("pricings: {}".to_owned(), "pricings"),
        ("pricings: [], ".replace(", ", "\nfields: 1"), "fields"),
        ("unit_values: [1]\npricings: []".to_owned(), "unit_values"),
        ("unit_values: {百万: 0}\npricings: []".to_owned(), "unit_values.百万"),
        ("unit_values: {百万: -1}\npricings: []".to_owned(), "unit_values.百万"),
        ("unit_values: {百万: many}\npricings: []".to_owned(), "unit_values.百万"),
        ("unit_values: {百万: ~}\npricings: []".to_owned(), "unit_values.百万"),
        ("pricings: [1]".to_owned(), "pricings[0]"),
        (rule("unit_prices: 1"), "pricings[1].price_factors"),
        (rule("price_factors: n"), "pricings[1].unit_prices"),
        (rule("price_factors: [], unit_prices: []"), "pricings[1].price_factors"),
        (rule("price_factors: [a, b], unit_prices: [1]"), "pricings[1].unit_prices"),
        (rule("price_factors: [a, b], unit_prices: 1"), "pricings[1].unit_prices"),
        (rule("price_factors: [a, [b]], unit_prices: [1, 2]"), "pricings[1].price_factors[1]"),
        (rule("price_factors: [a, b], unit_prices: [1, x]"), "pricings[1].unit_prices[1]"),
        (rule("price_factors: n, unit_prices: -1"), "pricings[1].unit_prices"),
        (rule("price_factors: n, unit_prices: 1_000"), "pricings[1].unit_prices"),
        (rule("price_factors: n, unit_prices: 0x10"), "pricings[1].unit_prices"),
        (rule("price_factors: n, unit_prices: 010"), "pricings[1].unit_prices"),
        (rule(&format!("{prices}, unit: 百万")), "pricings[1].unit"),
        (rule(&format!("{prices}, unit: 1000")), "pricings[1].unit"),
        (rule(&format!("{prices}, unit: [k]")), "pricings[1].unit"),
        (rule(&format!("{prices}, filter: [{{n: 1}}]")), "pricings[1].filter"),
        (rule(&format!("{prices}, formula: n * 2")), "pricings[1].formula"),
        (rule(&format!("{prices}, filters: n")), "pricings[1].filters"),
        (rule(&format!("{prices}, filters: [n]")), "pricings[1].filters[0]"),
        (rule(&format!("{prices}, filters: [{{m: 1}}, {{n: '< x'}}]")), "pricings[1].filters[1].n"),
        (rule(&format!("{prices}, filters: {{n: {{between: [2, 1]}}}}")), "pricings[1].filters.n.between"),
    ] {
        assert_eq!(refusal(&yaml).0, path, "{yaml}");
    }
    let named =
        Program::compile(&rule(&format!("{prices}, unit: 百万"))).map(|_| ()).unwrap_err().to_string();
    assert_eq!(named, "pricings[1].unit: must be a name of unit_values; add it there or correct it");
    let long = refusal(&format!("unit_values:\n  {}: x\npricings: []", "单".repeat(300))).0;
    assert!(long.chars().count() < 100, "{long}");
}

#[test]
fn the_size_of_a_list_is_bounded() {
    let rules = |n: usize| format!("pricings:\n{}", "- {price_factors: n, unit_prices: 1}\n".repeat(n));
    assert!(Program::compile(&rules(MAX_RULES)).is_ok());
    assert_eq!(refusal(&rules(MAX_RULES + 1)).0, "pricings");
    let wide = |n: usize| {
        format!("pricings: [{{price_factors: [{0}], unit_prices: [{0}]}}]", vec!["1"; n].join(", "))
    };
    assert!(Program::compile(&wide(MAX_RULES)).is_ok());
    assert_eq!(refusal(&wide(MAX_RULES + 1)).0, "pricings");
    let units = |n: usize| {
        let units: String = (0..n).map(|i| format!("  u{i}: 1\n")).collect();
        format!("unit_values:\n{units}pricings: []")
    };
    assert!(Program::compile(&units(MAX_UNITS)).is_ok());
    assert_eq!(refusal(&units(MAX_UNITS + 1)).0, "unit_values");
}

#[test]
fn the_prices_that_one_usage_meets_are_bounded() {
    let program =
        |n: usize| program(&format!("pricings:\n{}", "- {price_factors: n, unit_prices: 1}\n".repeat(n)));
    let used = usage(&[("n", "1")], &[]);
    assert_eq!(amount(&program(MAX_LINES), &used), MAX_LINES.to_string());
    assert_eq!(program(MAX_LINES + 1).price(&used, None, 6), Err(PriceError::TooManyLines));
}

#[test]
fn anchors_and_merges_of_a_list_are_followed() {
    let program = program(
        "base: &base {unit_prices: 0.30, unit: 秒}\nunit_values: {秒: 1}\npricings:\n\
         - {<<: *base, price_factors: duration}\n- {<<: *base, price_factors: pauses, unit_prices: 0.1}\n",
    );
    assert_eq!(amount(&program, &usage(&[("duration", "10"), ("pauses", "1")], &[])), "3.1");
}
