//! Customers' balances.

use http::HeaderMap;
use http::header::{CACHE_CONTROL, HeaderName, PRAGMA};
use schemars::JsonSchema;
use serde::Serialize;

use crate::domain::Error;
use crate::domain::balances::BalanceView;
use crate::http::call::Call;
use crate::http::problem::Code;
use crate::http::respond::{Answer, EntityTag};
use crate::http::routes::parameters::{CUSTOMER, Parameter, ParameterKind};
use crate::http::routes::{Access, Payload, Route, Verb};
use crate::http::schema::{self, CurrencyText, IdText, MoneyText, TimeText};
use crate::http::tag::Tag;
use crate::model::{Currency, Customer, CustomerId, CustomerStatus, Money, Scope, Timestamp};

pub const ROUTES: &[Route] = &[Route {
    id: "getBalance",
    path: "/api/v1/balance",
    tag: Tag::Balance,
    access: Access::Scope(Scope::BalanceRead),
    parameters: &[CUSTOMER, &[AT]],
    answer: Payload::One(schema::of::<BalanceBody<'static>>),
    summary: "A customer's balance. With Cache-Control: no-cache, no-store or max-age=0 it is read from the database.",
    problems: &[Code::CustomerForbidden, Code::NotFound],
    ..Route::new(Verb::Get, |call| Box::pin(get(call)))
}];

const AT: Parameter = Parameter::new(
    "at",
    ParameterKind::Time,
    "The balance at this instant: after the last record that was booked until then.",
);

/// A customer's balance.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Balance")]
pub struct BalanceBody<'a> {
    #[schemars(with = "IdText")]
    customer_id: &'a CustomerId,
    #[schemars(with = "MoneyText")]
    balance: Money,
    /// Sum of the open holds; with `at`: of those that were open then.
    #[schemars(with = "MoneyText")]
    held: Money,
    /// balance + credit_limit - held.
    #[schemars(with = "MoneyText")]
    available: Money,
    /// The current value, with `at` too.
    #[schemars(with = "MoneyText")]
    credit_limit: Money,
    #[schemars(with = "CurrencyText")]
    currency: Currency,
    /// The current value, with `at` too.
    #[schemars(with = "schema::StatusText")]
    status: CustomerStatus,
    /// seq of the customer's newest record; with `at`: of the newest one booked until then, 0 if there was none.
    seq: i64,
    /// Rises with every change. The current value, with `at` too.
    version: i64,
    /// When this was read from the database; with `at`: that instant.
    #[schemars(with = "TimeText")]
    as_of: Timestamp,
    /// Where it was read: cache or database; with `at`: ledger.
    source: &'static str,
    /// true when the balance is below zero.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    arrears: bool,
    /// true when the database is not available and this is an older value.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    stale: bool,
}

impl<'a> BalanceBody<'a> {
    /// Of a balance as read.
    pub fn of(view: &'a BalanceView) -> Self {
        Self::of_customer(&view.customer, view)
    }

    /// Of a balance at an instant; `view` is the customer today, `then` the customer as it was.
    pub fn at(view: &'a BalanceView, then: &'a Customer, at: Timestamp) -> Self {
        Self { as_of: at, source: "ledger", ..Self::of_customer(then, view) }
    }

    fn of_customer(customer: &'a Customer, view: &BalanceView) -> Self {
        Self {
            customer_id: &customer.id,
            balance: customer.balance,
            held: customer.held,
            available: customer.available(),
            credit_limit: customer.credit_limit,
            currency: customer.currency,
            status: customer.status,
            seq: customer.last_seq,
            version: customer.version,
            as_of: view.as_of,
            source: view.source,
            arrears: customer.balance.is_negative(),
            stale: view.stale,
        }
    }
}

async fn get(mut call: Call<'_>) -> Result<Answer, Error> {
    let (named, at) = (call.params.customer(), call.params.time("at"));
    call.params.finish()?;
    let customer = call.one_customer(named.as_ref())?;
    let view = call.env.balances().get(&customer, wants_fresh(call.headers)).await?;
    if let Some(at) = at {
        let past = Box::pin(call.env.balances().at(&customer, at)).await?;
        return Answer::ok(&BalanceBody::at(&view, &past.of(&view.customer), past.at));
    }
    Ok(Answer::ok(&BalanceBody::of(&view))?.tagged(EntityTag::Version(view.customer.version)))
}

/// Whether the client asks for what is true now: `Cache-Control` with `no-cache`, `no-store` or `max-age=0`
/// (RFC 9111 section 5.2.1), or without any such header `Pragma: no-cache` (section 5.4).
fn wants_fresh(headers: &HeaderMap) -> bool {
    let asks = |name: HeaderName, fresh: fn(&str, &str) -> bool| {
        let lines = headers.get_all(name).iter().filter_map(|line| line.to_str().ok());
        lines.flat_map(|line| line.split(',')).any(|directive| {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            fresh(&name.trim().to_ascii_lowercase(), value.trim().trim_matches('"'))
        })
    };
    if headers.contains_key(CACHE_CONTROL) {
        return asks(CACHE_CONTROL, |name, value| match name {
            "no-cache" | "no-store" => true,
            "max-age" => value.parse() == Ok(0_u64),
            _ => false,
        });
    }
    asks(PRAGMA, |name, _| name == "no-cache")
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn every_directive_that_forbids_a_stored_answer_is_found_among_others() {
        let line = |line: &str| HeaderValue::from_str(line).unwrap();
        let asked = |given: &str| wants_fresh(&HeaderMap::from_iter([(CACHE_CONTROL, line(given))]));
        for fresh in [
            "no-cache",
            "No-Cache",
            "no-store",
            "max-age=0",
            "MAX-AGE=00",
            "max-age = \"0\"",
            "max-stale=5, max-age=0",
            "no-transform,no-store",
            "no-cache=\"x\"",
        ] {
            assert!(asked(fresh), "{fresh}");
        }
        for any in
            ["", "max-age=60", "max-age=01", "max-age", "max-age=", "max-age=-0", "x-no-cache", "min-fresh=0"]
        {
            assert!(!asked(any), "{any}");
        }
        assert!(!wants_fresh(&HeaderMap::new()));
    }

    #[test]
    fn pragma_counts_where_cache_control_says_nothing() {
        let mut headers = HeaderMap::from_iter([(PRAGMA, HeaderValue::from_static("x=1, No-Cache"))]);
        assert!(wants_fresh(&headers));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=60"));
        assert!(!wants_fresh(&headers));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("max-age=0"));
        assert!(wants_fresh(&headers));
    }
}
