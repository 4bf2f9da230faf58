use sageapi_server::domain::pricing::{Arithmetic, Program, Usage};
use sageapi_server::model::Decimal;

/// Pricing data: a list that compiles gives an amount that the arithmetic beside it gives again, or a reason.
pub fn pricing_data(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    // After a NUL stands the quantity that is priced.
    let (yaml, quantity) = text.split_once('\0').unwrap_or((text, "1000"));
    let Ok(program) = Program::compile(yaml) else { return };
    let mut usage = Usage::new();
    for factor in ["input_tokens", "output_tokens", "total_tokens", "images", "seconds"] {
        // Out of range, it is not counted.
        let _refused = usage.quantity(factor, quantity);
    }
    usage.attribute("resolution", "720p");
    let discount = Decimal::parse("0.85").ok();
    if let Ok(priced) = program.price(&usage, discount.as_ref(), 6) {
        let arithmetic = Arithmetic {
            row: "row".to_owned(),
            date: "2026-01-01".to_owned(),
            discount: Some("0.85".to_owned()),
            scale: 6,
            lines: priced.lines,
        };
        let again = Arithmetic::parse(&arithmetic.to_json()).and_then(|kept| kept.recompute());
        assert_eq!(again, Some((priced.amount, priced.unrounded)), "{yaml}");
    }
}
