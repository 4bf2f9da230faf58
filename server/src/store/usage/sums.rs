//! Sums over usage, by what they are grouped.

use super::super::Store;
use super::super::columns::{Column as _, TableRow as _};
use super::super::dialect::Dialect;
use super::super::error::Error;
use super::super::sql::{Row, Sql};
use crate::model::{Currency, CustomerId, UsageDay, UsageTotal};

/// A sum is made in two parts, of what is above and below this: neither leaves 64 bits, in which SQLite adds.
const PART: i128 = 1_000_000_000;

/// Which usage to sum up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumsFilter {
    /// Whose; `None`: of all customers. Then only whole days can be told, not users, groups and models.
    pub customer_id: Option<CustomerId>,
    /// Of this user.
    pub user_id: Option<String>,
    /// Of users that were in this group.
    pub group_id: Option<String>,
    /// Of this model.
    pub model: Option<String>,
    /// The first day.
    pub from: String,
    /// The day after the last one.
    pub to: Option<String>,
}

/// By what sums are grouped. The currency always divides them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SumsBy {
    /// By customer.
    pub customer: bool,
    /// By the day of the event.
    pub day: bool,
    /// By user.
    pub user: bool,
    /// By the user's group at that moment.
    pub group: bool,
    /// By the model that counts.
    pub model: bool,
}

impl SumsBy {
    /// The columns that tell groups apart, and whether they do.
    fn columns(self) -> [(&'static str, bool); 5] {
        let Self { customer, day, user, group, model } = self;
        [("customer_id", customer), ("day", day), ("user_id", user), ("group_id", group), ("model", model)]
    }

    /// Whether customers and days are not enough.
    pub fn is_fine(self) -> bool {
        self.user || self.group || self.model
    }
}

impl SumsFilter {
    /// Whether customers and days are not enough.
    pub fn is_fine(&self) -> bool {
        self.user_id.is_some() || self.group_id.is_some() || self.model.is_some()
    }
}

/// Which groups come first. Equal ones are in the order of what they are grouped by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SumsOrder {
    /// In the order of what they are grouped by.
    #[default]
    Keys,
    /// Those with the most tokens.
    Tokens,
    /// Those with the highest cost, whatever its currency.
    Cost,
    /// Those with the most requests.
    Requests,
}

/// What a group comes to. What it is not grouped by is `None`; what its usage does not name is empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SumsRow {
    /// The customer.
    pub customer_id: Option<String>,
    /// The day.
    pub day: Option<String>,
    /// The user.
    pub user_id: Option<String>,
    /// The group.
    pub group_id: Option<String>,
    /// The model.
    pub model: Option<String>,
    /// The currency of the cost.
    pub currency: Currency,
    /// How many requests there are.
    pub requests: i64,
    /// How many of them failed.
    pub errors: i64,
    /// Tokens in.
    pub input_tokens: i128,
    /// Tokens out.
    pub output_tokens: i128,
    /// What they cost, in 10^-9 units.
    pub cost: i128,
    /// How many of them have no price.
    pub unpriced: i64,
}

impl SumsRow {
    /// Nothing, in a currency.
    pub fn zero(currency: Currency) -> Self {
        Self {
            customer_id: None,
            day: None,
            user_id: None,
            group_id: None,
            model: None,
            currency,
            requests: 0,
            errors: 0,
            input_tokens: 0,
            output_tokens: 0,
            cost: 0,
            unpriced: 0,
        }
    }

    /// Reads what [`statement`] selects.
    fn read(row: &Row, by: SumsBy) -> Result<Self, Error> {
        let mut at = 0;
        let mut next = || {
            at += 1;
            at - 1
        };
        let mut keys = [const { None }; 5];
        for (key, (_, chosen)) in keys.iter_mut().zip(by.columns()) {
            if chosen {
                *key = Some(row.text(next())?);
            }
        }
        let [customer_id, day, user_id, group_id, model] = keys;
        let currency = Currency::read(row, next())
            .map_err(|error| error.of_row(UsageDay::TABLE, || "currency".to_owned()))?;
        let (requests, errors, unpriced) = (row.int(next())?, row.int(next())?, row.int(next())?);
        let mut whole = || Ok::<_, Error>(i128::from(row.int(next())?) * PART + i128::from(row.int(next())?));
        let (input_tokens, output_tokens, cost) = (whole()?, whole()?, whole()?);
        Ok(Self {
            customer_id,
            day,
            user_id,
            group_id,
            model,
            currency,
            requests,
            errors,
            input_tokens,
            output_tokens,
            cost,
            unpriced,
        })
    }
}

impl Store {
    /// Sums over usage by day, in so many groups at most.
    pub async fn usage_sums(
        &self,
        filter: &SumsFilter,
        by: SumsBy,
        order: SumsOrder,
        limit: i64,
    ) -> Result<Vec<SumsRow>, Error> {
        let sql = statement(filter, by, order, limit, self.dialect());
        self.fetch_all(sql).await?.iter().map(|row| SumsRow::read(row, by)).collect()
    }
}

fn statement(filter: &SumsFilter, by: SumsBy, order: SumsOrder, limit: i64, dialect: Dialect) -> Sql<'_> {
    let fine = by.is_fine() || filter.is_fine();
    let table = if fine { UsageDay::TABLE } else { UsageTotal::TABLE };
    let index = if filter.customer_id.is_some() || fine { "PRIMARY" } else { "usage_totals_day" };
    let keys: Vec<_> = by.columns().iter().filter(|(_, chosen)| *chosen).map(|(column, _)| *column).collect();
    let keys = keys.into_iter().chain(["currency"]).collect::<Vec<_>>().join(", ");
    let divided = dialect.whole_division();
    let high = |column: &str| dialect.integer(&format!("SUM({column} {divided} {PART})"));
    let low = |column: &str| dialect.integer(&format!("SUM({column} % {PART})"));
    let mut sql = Sql::new(format!("SELECT {keys}"));
    for column in ["requests", "errors", "unpriced"] {
        sql.push(&format!(", {}", dialect.integer(&format!("SUM({column})"))));
    }
    for column in ["input_tokens", "output_tokens", "cost"] {
        sql.push(&format!(", {}, {}", high(column), low(column)));
    }
    sql.push(&format!(" FROM {table}{} WHERE day >= ?", dialect.walking(index))).add(filter.from.as_str());
    let customer = filter.customer_id.as_ref().map(CustomerId::as_str);
    for (condition, value) in [
        ("day <", filter.to.as_deref()),
        ("customer_id =", customer),
        ("user_id =", filter.user_id.as_deref()),
        ("group_id =", filter.group_id.as_deref()),
        ("model =", filter.model.as_deref()),
    ] {
        if let Some(value) = value {
            sql.push(&format!(" AND {condition} ?")).add(value);
        }
    }
    sql.push(&format!(" GROUP BY {keys} ORDER BY "));
    // The parts of a sum are put together as far as 64 bits go.
    let largest = |columns: &[&str]| {
        let sum = |of: &dyn Fn(&str) -> String| {
            columns.iter().map(|column| of(column)).collect::<Vec<_>>().join(" + ")
        };
        let (high, low) = (sum(&high), sum(&low));
        format!("{high} + ({low}) {divided} {PART} DESC, ({low}) % {PART} DESC, ")
    };
    sql.push(&match order {
        SumsOrder::Keys => String::new(),
        SumsOrder::Requests => "SUM(requests) DESC, ".to_owned(),
        SumsOrder::Cost => largest(&["cost"]),
        SumsOrder::Tokens => largest(&["input_tokens", "output_tokens"]),
    });
    sql.push(&format!("{keys} LIMIT ?")).add(limit);
    sql
}
