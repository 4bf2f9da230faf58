//! Sums over usage.

use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::Error;
use crate::domain::usage::{DEFAULT_GROUPS, MAX_GROUPS, StatsQuery, UsageStats};
use crate::http::call::Call;
use crate::http::endpoints::accounting::Sum;
use crate::http::problem::Code;
use crate::http::respond::Answer;
use crate::http::routes::parameters::ParameterKind::{AnyOf, Choice, Count, Day, Id};
use crate::http::routes::parameters::{CUSTOMER, Parameter};
use crate::http::routes::{Access, Payload, Route, Verb};
use crate::http::schema::{self, CurrencyText, DayText, IdText, SumText};
use crate::http::tag::Tag;
use crate::model::{Currency, Scope};
use crate::store::{SumsBy, SumsOrder, SumsRow};

pub const ROUTES: &[Route] = &[Route {
    id: "sumUsage",
    path: "/api/v1/usage/stats",
    tag: Tag::Usage,
    access: Access::Scope(Scope::UsageRead),
    parameters: &[CUSTOMER, PARAMETERS],
    answer: Payload::One(schema::of::<StatsBody<'static>>),
    summary: "Sums over usage by day of the event, for each group and currency, and over all groups.",
    problems: &[Code::CustomerForbidden],
    ..Route::new(Verb::Get, |call| Box::pin(stats(call)))
}];

const PARAMETERS: &[Parameter] = &[
    Parameter::new(
        "group_by",
        AnyOf(GROUPS),
        "What tells groups apart; nothing by default. user, group and model need a customer.",
    ),
    Parameter::new("user_id", Id(64), "Of this user."),
    Parameter::new("group_id", Id(64), "Of users that were in this group."),
    Parameter::new("model", Id(64), "Of this model: the one that answered, else the one asked for."),
    Parameter::new(
        "from",
        Day,
        "The first day, of usage.timezone; by default 30 days before to. At most 366 days before it, 31 without a customer.",
    ),
    Parameter::new("to", Day, "The day after the last one; no end by default."),
    Parameter::new(
        "order",
        Choice(&["tokens", "cost", "requests"]),
        "The largest groups first; by default in the order of customer, day, user, group, model and currency.",
    ),
    Parameter::new("limit", Count(MAX_GROUPS, DEFAULT_GROUPS), "Groups at most."),
];

/// The values of `group_by`.
const GROUPS: &[&str] = &["customer", "day", "user", "group", "model"];

/// Sums over usage.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UsageStats")]
pub struct StatsBody<'a> {
    /// The first day.
    #[schemars(with = "DayText")]
    from: String,
    /// The day after the last one; null: no end.
    #[schemars(with = "Option<DayText>")]
    to: Option<String>,
    /// The time zone of the days.
    time_zone: &'a str,
    rows: Vec<SumsBody<'a>>,
    /// Whether there are more groups than limit.
    more: bool,
    /// Over all groups, also those beyond limit: one for each currency, and at least one.
    totals: Vec<SumsBody<'a>>,
}

impl<'a> StatsBody<'a> {
    fn of(stats: &'a UsageStats) -> Self {
        Self {
            from: stats.from.to_string(),
            to: stats.to.map(|to| to.to_string()),
            time_zone: &stats.time_zone,
            rows: stats.rows.iter().map(SumsBody::of).collect(),
            more: stats.more,
            totals: stats.totals.iter().map(SumsBody::of).collect(),
        }
    }
}

/// What a group comes to.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UsageSums")]
pub struct SumsBody<'a> {
    /// Only when grouped by customer.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "IdText")]
    customer_id: Option<&'a str>,
    /// Only when grouped by day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DayText")]
    day: Option<&'a str>,
    /// Only when grouped by user; null for usage of no user.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<IdText>")]
    user_id: Option<Named<'a>>,
    /// Only when grouped by group; null for usage in no group.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<IdText>")]
    group_id: Option<Named<'a>>,
    /// Only when grouped by model; null for usage of no model.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<IdText>")]
    model: Option<Named<'a>>,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    requests: i64,
    /// Those with a status_code of 400 or more.
    errors: i64,
    #[schemars(with = "i64")]
    input_tokens: i128,
    #[schemars(with = "i64")]
    output_tokens: i128,
    #[schemars(with = "i64")]
    total_tokens: i128,
    #[schemars(with = "SumText")]
    cost: Sum,
    /// Those without a price, whose cost is not known.
    unpriced: i64,
}

/// A name, or null for none.
#[derive(Debug)]
struct Named<'a>(&'a str);

impl Serialize for Named<'_> {
    fn serialize<S: serde::Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        if self.0.is_empty() { s.serialize_none() } else { s.serialize_str(self.0) }
    }
}

impl<'a> SumsBody<'a> {
    fn of(row: &'a SumsRow) -> Self {
        Self {
            customer_id: row.customer_id.as_deref(),
            day: row.day.as_deref(),
            user_id: row.user_id.as_deref().map(Named),
            group_id: row.group_id.as_deref().map(Named),
            model: row.model.as_deref().map(Named),
            currency: row.currency,
            requests: row.requests,
            errors: row.errors,
            input_tokens: row.input_tokens,
            output_tokens: row.output_tokens,
            total_tokens: row.input_tokens + row.output_tokens,
            cost: Sum(row.cost),
            unpriced: row.unpriced,
        }
    }
}

async fn stats(mut call: Call<'_>) -> Result<Answer, Error> {
    let params = &mut call.params;
    let chosen = params.several("group_by", GROUPS);
    let by = |name: &str| chosen.contains(&name);
    let order = [("tokens", SumsOrder::Tokens), ("cost", SumsOrder::Cost), ("requests", SumsOrder::Requests)];
    let query = StatsQuery {
        customer_id: params.customer(),
        user_id: params.text_id("user_id"),
        group_id: params.text_id("group_id"),
        model: params.text_id("model"),
        from: params.day("from"),
        to: params.day("to"),
        by: SumsBy {
            customer: by("customer"),
            day: by("day"),
            user: by("user"),
            group: by("group"),
            model: by("model"),
        },
        order: params.choice("order", &order).unwrap_or_default(),
        limit: params.integer("limit", 1, MAX_GROUPS).unwrap_or(DEFAULT_GROUPS),
    };
    params.finish()?;
    let stats = call.env.usage().stats(call.principal()?, query).await?;
    Answer::ok(&StatsBody::of(&stats))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_grouped_by_is_left_out_and_no_name_is_null() {
        let mut row = SumsRow {
            requests: 3,
            input_tokens: 2 * i128::from(i64::MAX),
            cost: 100 * 9_000_000_000_000_000_000,
            ..SumsRow::zero(Currency::parse("CNY").unwrap())
        };
        let json = |row: &SumsRow| serde_json::to_string(&SumsBody::of(row)).unwrap();
        let sums = r#""currency":"CNY","requests":3,"errors":0,"input_tokens":18446744073709551614,"output_tokens":0,"total_tokens":18446744073709551614,"cost":"900000000000","unpriced":0}"#;
        assert_eq!(json(&row), format!("{{{sums}"));
        (row.day, row.user_id) = (Some("2026-05-28".to_owned()), Some(String::new()));
        row.model = Some("m".to_owned());
        assert_eq!(json(&row), format!(r#"{{"day":"2026-05-28","user_id":null,"model":"m",{sums}"#));
    }
}
