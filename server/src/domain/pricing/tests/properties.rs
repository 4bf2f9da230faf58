use num_bigint::BigInt;
use proptest::prelude::*;
use proptest::sample::select;

use super::reference::{Case, Condition, Num, Rule, at_most, bounds};
use crate::domain::pricing::{Arithmetic, PriceError, Priced, Program, Usage};
use crate::model::Decimal;

const FACTORS: [&str; 4] = ["a", "b", "c", "flat"];
const MODELS: [&str; 3] = ["m1", "m2", "模型"];

fn number(most: u64) -> impl Strategy<Value = Num> {
    // Few digits make halves and bounds that are met exactly; many digits make long fractions.
    prop_oneof![(0..=most.min(1000), 0..=4u32), (0..=most, 0..=9u32)]
        .prop_map(|(digits, decimals)| Num { digits, decimals })
}

fn unit() -> impl Strategy<Value = Num> {
    let usual = select(vec![
        (1, 0),
        (1000, 0),
        (1_000_000, 0),
        (60, 0),
        (7, 0),
        (8, 0),
        (5, 1),
        (999_999_999_999_989, 0),
    ]);
    prop_oneof![usual, (1..100_000u64, 0..6u32)].prop_map(|(digits, decimals)| Num { digits, decimals })
}

fn filter() -> impl Strategy<Value = (&'static str, Condition)> {
    let bound = || number(1000);
    prop_oneof![
        (select(&FACTORS[..3]), bound().prop_map(Condition::AtMost)),
        (select(&FACTORS[..3]), bound().prop_map(Condition::Above)),
        (
            select(&FACTORS[..3]),
            (0..500u64, 0..500u64).prop_map(|(low, more)| {
                let number = |digits| Num { digits, decimals: 1 };
                Condition::Between(number(low), number(low + more))
            })
        ),
        (select(&FACTORS[..3]), prop::collection::vec(bound(), 2..5).prop_map(Condition::OneOf)),
        select(&MODELS[..]).prop_map(|model| ("model", Condition::Text(model))),
    ]
}

pub fn case() -> impl Strategy<Value = Case> {
    prop::collection::vec(unit(), 1..5).prop_flat_map(|units| {
        let rule = (
            prop::collection::vec((select(&FACTORS[..]), number(999_999_999_999_999)), 1..4),
            prop::option::of(0..units.len()),
            prop::collection::vec(filter(), 0..3),
        )
            .prop_map(|(prices, unit, filters)| Rule { prices, unit, filters });
        let quantities =
            prop::collection::vec(prop::option::of(number(999_999_999_999)), 3).prop_map(|quantities| {
                FACTORS
                    .into_iter()
                    .zip(quantities)
                    .filter_map(|(factor, q)| Some((factor, q?)))
                    .collect::<Vec<_>>()
            });
        let rest = (
            prop::collection::vec(rule, 1..8),
            quantities,
            prop::option::of(select(&MODELS[..])),
            prop::option::of(number(2_000)),
            0..=9u8,
        );
        rest.prop_map(move |(rules, quantities, model, discount, scale)| Case {
            units: units.clone(),
            rules,
            quantities,
            model,
            discount,
            scale,
        })
    })
}

/// What is kept of a price, read back from its text.
fn kept(priced: Priced, discount: Option<Decimal>, scale: u8) -> Arithmetic {
    let arithmetic = Arithmetic {
        row: "r".to_owned(),
        date: "2026-05-28".to_owned(),
        discount: discount.map(|discount| discount.to_string()),
        scale,
        lines: priced.lines,
    };
    assert_eq!(Arithmetic::parse(&arithmetic.to_json()), Some(arithmetic.clone()));
    arithmetic
}

fn usage(case: &Case) -> Usage<'static> {
    let mut usage = Usage::new();
    for (factor, quantity) in &case.quantities {
        usage.quantity(factor, &quantity.text()).unwrap();
    }
    if let Some(model) = case.model {
        usage.attribute("model", model);
    }
    usage
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn prices_are_those_of_the_reference(case in case()) {
        let program = Program::compile(&case.yaml()).unwrap();
        let discount = case.discount.map(|discount| Decimal::parse(&discount.text()).unwrap());
        let priced = program.price(&usage(&case), discount.as_ref(), case.scale);
        let most = BigInt::from(9_000_000_000u64) * BigInt::from(1_000_000_000u64);
        match (case.rounded(), priced) {
            (None, priced) => prop_assert!(matches!(priced, Err(PriceError::NoRule { .. })), "{:?}", priced),
            (Some(wanted), Err(error)) => {
                prop_assert_eq!(error, PriceError::OutOfRange);
                prop_assert!(wanted > most);
            }
            (Some(wanted), Ok(priced)) => {
                prop_assert_eq!(BigInt::from(priced.amount.nanos()), wanted);
                prop_assert!(priced.unrounded.len() <= 64, "{}", priced.unrounded);
                let exact = case.exact().unwrap();
                let (low, high) = bounds(&priced.unrounded);
                prop_assert!(at_most(&low, &exact) && at_most(&exact, &high), "{} is not {:?}", priced.unrounded, exact);
                prop_assert!(priced.lines.iter().all(|line| line.subtotal.len() <= 64));
                let (amount, unrounded) = (priced.amount, priced.unrounded.clone());
                let arithmetic = kept(priced, discount, case.scale);
                prop_assert_eq!(arithmetic.recompute(), Some((amount, unrounded)));
            }
        }
    }

    #[test]
    fn arithmetic_that_was_changed_comes_to_something_else(case in case(), pick: prop::sample::Index, member in 0..3usize) {
        let discount = case.discount.map(|discount| Decimal::parse(&discount.text()).unwrap());
        let program = Program::compile(&case.yaml()).unwrap();
        let Ok(priced) = program.price(&usage(&case), discount.as_ref(), case.scale) else { return Ok(()) };
        let mut arithmetic = kept(priced, discount, case.scale);
        let line = pick.get(&arithmetic.lines).clone();
        let at = arithmetic.lines.iter().position(|l| *l == line).unwrap();
        let changed = &mut arithmetic.lines[at];
        let member = [&mut changed.quantity, &mut changed.unit_value, &mut changed.unit_price].into_iter().nth(member).unwrap();
        *member = (member.parse::<f64>().unwrap() + 1.0).to_string();
        // Of a line that comes to nothing not every number matters.
        prop_assume!(line.subtotal != "0");
        prop_assert_eq!(arithmetic.recompute(), None);
    }

    #[test]
    fn a_line_says_what_it_adds(case in case()) {
        let Ok(priced) = Program::compile(&case.yaml()).unwrap().price(&usage(&case), None, 0) else { return Ok(()) };
        for line in &priced.lines {
            // Each line alone is a program of one rule.
            let alone = format!(
                "unit_values: {{u: {}}}\npricings: [{{price_factors: n, unit_prices: {}, unit: u}}]",
                line.unit_value, line.unit_price
            );
            let mut usage = Usage::new();
            usage.quantity("n", &line.quantity).unwrap();
            let alone = Program::compile(&alone).unwrap().price(&usage, None, 0).unwrap();
            prop_assert_eq!(&alone.unrounded, &line.subtotal);
        }
    }

    #[test]
    fn no_text_makes_the_compiler_panic(text in "(?s).{0,200}|[-{}\\[\\]&*!:,'\"|>~ \n\ta0-9.]{0,200}") {
        let _ = Program::compile(&text);
    }

    #[test]
    fn no_damaged_list_makes_anything_panic(case in case(), place in 0..10_000usize, cut in 0..8usize, put in "(?s).{0,4}|[-{}\\[\\]&*!:,'\"|>~0-9. \n]{0,8}") {
        let mut chars: Vec<char> = case.yaml().chars().collect();
        let start = place % chars.len();
        let end = chars.len().min(start + cut);
        chars.splice(start..end, put.chars());
        let yaml: String = chars.into_iter().collect();
        if let Ok(program) = Program::compile(&yaml) {
            let discount = case.discount.map(|discount| Decimal::parse(&discount.text()).unwrap());
            let _ = program.price(&usage(&case), discount.as_ref(), case.scale);
        }
    }

    #[test]
    fn no_usage_makes_anything_panic(name in ".{0,20}", quantity in "[-0-9.eE]{0,20}|.{0,20}", text in ".{0,300}", input: Option<u64>, scale: u8) {
        let program = Program::compile(
            "pricings: [{price_factors: [total_tokens, flat], unit_prices: [1, 2], filters: [{model: ['1', b]}]}, \
             {price_factors: prompt_tokens, unit_prices: 3}]",
        ).unwrap();
        let mut usage = Usage::new();
        let _ = usage.quantity(&name, &quantity);
        let _ = usage.tokens(input, input.map(|n| n / 2));
        usage.attribute("model", &text);
        let _ = program.price(&usage, None, scale);
    }
}
