use sageapi_server::model::{Decimal, Money};

/// Decimals: what is read is written so that it is read as the same again, and no sum is off.
pub fn decimals(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    if let Ok(money) = Money::parse(text) {
        assert_eq!(Money::parse(&money.to_string()), Ok(money), "{text}");
        assert_eq!(Money::parse_signed(text), Ok(money), "{text}");
    }
    if let Ok(money) = Money::parse_signed(text) {
        assert_eq!(Money::parse_signed(&money.to_string()), Ok(money), "{text}");
        assert_eq!(money.checked_sub(money), Some(Money::ZERO), "{text}");
    }
    if let Ok(number) = Decimal::parse(text) {
        assert_eq!(Decimal::parse(&number.to_string()), Ok(number), "{text}");
    }
}
