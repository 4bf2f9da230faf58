//! How sums of records are shown.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::accounts::SummaryRow;
use crate::http::schema::{CurrencyText, DayText, KindText, SumText};
use crate::model::{Currency, Kind, write_decimal};

/// The sums of a group of records.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Summary")]
pub struct SummaryBody<'a> {
    /// The UTC day of booking; only when grouped by day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DayText")]
    day: Option<String>,
    #[expect(clippy::option_option, reason = "absent when not grouped by, null when grouped and nameless")]
    /// The model's name, null for records without one; only when grouped by model.
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<Option<&'a str>>,
    /// Only when grouped by kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "KindText")]
    kind: Option<Kind>,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    /// The number of records.
    #[schemars(with = "i64")]
    count: u64,
    /// The sum taken from balances.
    #[schemars(with = "SumText")]
    charged: Sum,
    /// The sum added to balances.
    #[schemars(with = "SumText")]
    credited: Sum,
    /// credited - charged.
    #[schemars(with = "SumText")]
    net: Sum,
    #[schemars(with = "i64")]
    input_tokens: i128,
    #[schemars(with = "i64")]
    output_tokens: i128,
}

/// A sum of money in 10^-9 units; it may leave the range of one amount.
#[derive(Debug)]
pub struct Sum(pub i128);

impl Serialize for Sum {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl std::fmt::Display for Sum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_decimal(self.0, f)
    }
}

impl<'a> SummaryBody<'a> {
    /// Of a group.
    pub fn of(row: &'a SummaryRow) -> Self {
        // RFC 3339 begins with the day.
        let day = row.day.map(|day| day.to_string().chars().take(10).collect());
        Self {
            day,
            model: row.model.as_ref().map(Option::as_deref),
            kind: row.kind,
            currency: row.currency,
            count: row.count,
            charged: Sum(row.charged),
            credited: Sum(row.credited),
            net: Sum(row.net()),
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn what_is_not_grouped_by_is_left_out_and_sums_are_decimal_strings() {
        let mut row = SummaryRow {
            day: None,
            model: None,
            kind: None,
            currency: Currency::parse("CNY").unwrap(),
            count: 3,
            charged: 100 * 9_000_000_000_000_000_000,
            credited: 500_000_000,
            input_tokens: 1,
            output_tokens: 0,
        };
        let json = |row: &SummaryRow| serde_json::to_string(&SummaryBody::of(row)).unwrap();
        let sums = r#""currency":"CNY","count":3,"charged":"900000000000","credited":"0.5","net":"-899999999999.5","input_tokens":1,"output_tokens":0}"#;
        assert_eq!(json(&row), format!("{{{sums}"));
        (row.day, row.model, row.kind) =
            (Some(Timestamp::from_seconds(86_400)), Some(None), Some(Kind::Charge));
        assert_eq!(json(&row), format!(r#"{{"day":"1970-01-02","model":null,"kind":"charge",{sums}"#));
    }
}
