//! Sums over usage.

use std::collections::BTreeMap;

use jiff::ToSpan as _;
use jiff::civil::Date;

use super::UsageLog;
use super::list::seen_of;
use crate::domain::mirror::day_at;
use crate::domain::principal::Principal;
use crate::domain::{Error, FieldError};
use crate::model::{Currency, CustomerId};
use crate::store::{SumsBy, SumsFilter, SumsOrder, SumsRow};

/// The most groups of an answer.
pub const MAX_GROUPS: u16 = 10_000;
/// The groups of an answer to a query that does not say how many.
pub const DEFAULT_GROUPS: u16 = 1000;
/// The days of a query that does not say from when.
const DEFAULT_DAYS: i64 = 30;
/// The most days of a customer.
const MAX_DAYS: i64 = 366;
/// The most days of all customers: each has a row for each day.
const MAX_DAYS_OF_ALL: i64 = 31;
/// Currencies of the totals.
const MAX_CURRENCIES: i64 = 1000;

/// Which usage to sum up, and how. An absent filter lets everything pass.
#[derive(Debug, Clone, Default)]
pub struct StatsQuery {
    /// The customer that the caller names; `None`: all that it reaches.
    pub customer_id: Option<CustomerId>,
    /// Of this user.
    pub user_id: Option<String>,
    /// Of users that were in this group.
    pub group_id: Option<String>,
    /// Of this model.
    pub model: Option<String>,
    /// The first day; else the last 30 days before `to` or up to now.
    pub from: Option<Date>,
    /// The day after the last one.
    pub to: Option<Date>,
    /// What tells groups apart.
    pub by: SumsBy,
    /// Which groups come first.
    pub order: SumsOrder,
    /// How many groups at most: 1 to [`MAX_GROUPS`].
    pub limit: u16,
}

/// Sums over usage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UsageStats {
    /// The first day.
    pub from: Date,
    /// The day after the last one; `None`: no end.
    pub to: Option<Date>,
    /// The time zone of the days.
    pub time_zone: String,
    /// The groups.
    pub rows: Vec<SumsRow>,
    /// Whether there are more groups than were asked for.
    pub more: bool,
    /// The sums over all groups, those left out included: one for each currency, and at least one.
    pub totals: Vec<SumsRow>,
}

impl UsageLog {
    /// Sums over the usage that the principal sees, by days of `usage.timezone`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for too many days, and for users, groups or models of all customers.
    pub async fn stats(&self, principal: &Principal, q: StatsQuery) -> Result<UsageStats, Error> {
        let customer_id = principal.reach.narrowed_to(q.customer_id.as_ref())?.customer().cloned();
        let user_id = seen_of(principal, q.user_id)?;
        let (zone, time_zone) =
            self.config.read(|config| (config.usage.zone.clone(), config.usage.timezone.clone()));
        let today = day_at(self.clock.now(), &zone);
        let today: Date = today.parse().map_err(|_| Error::Internal(format!("{today} is no day")))?;
        let from = first_day(q.from, q.to, today, customer_id.is_some())?;
        let (group_id, model) = (q.group_id, q.model);
        let (first, end) = (from.to_string(), q.to.map(|to| to.to_string()));
        let filter = SumsFilter { customer_id, user_id, group_id, model, from: first, to: end };
        if filter.customer_id.is_none() && (filter.is_fine() || q.by.is_fine()) {
            let message = "is required to group or to filter by user, group or model";
            return Err(Error::Invalid(vec![FieldError::new("customer_id", message)]));
        }
        let limit = q.limit.clamp(1, MAX_GROUPS);
        let mut rows = self.store.usage_sums(&filter, q.by, q.order, i64::from(limit) + 1).await?;
        let more = rows.len() > usize::from(limit);
        rows.truncate(limit.into());
        let mut totals = if more {
            self.store.usage_sums(&filter, SumsBy::default(), SumsOrder::Keys, MAX_CURRENCIES).await?
        } else {
            totals_of(&rows)
        };
        if totals.is_empty() {
            totals.push(SumsRow::zero(self.currency_of(filter.customer_id.as_ref()).await?));
        }
        Ok(UsageStats { from, to: q.to, time_zone, rows, more, totals })
    }

    /// The currency in which a customer, or the platform, has nothing.
    async fn currency_of(&self, customer: Option<&CustomerId>) -> Result<Currency, Error> {
        let known = match customer {
            Some(customer) => self.store.customer(customer).await?,
            None => None,
        };
        Ok(known
            .map_or_else(|| self.config.read(|config| config.accounting.currency), |known| known.currency))
    }
}

/// The first day of a query, if the days are not too many. What happens now may be dated some minutes ahead, so that days
/// without an end go on tomorrow.
fn first_day(from: Option<Date>, to: Option<Date>, today: Date, of_customer: bool) -> Result<Date, Error> {
    let most = if of_customer { MAX_DAYS } else { MAX_DAYS_OF_ALL };
    let end = to.unwrap_or_else(|| today.saturating_add(1.day()));
    let earliest = |days: i64| end.saturating_sub(days.days());
    let from = from.unwrap_or_else(|| earliest(DEFAULT_DAYS));
    if from < earliest(most) {
        let whose = if of_customer { "" } else { " without customer_id" };
        let message = format!("must be at most {most} days before to{whose}; to is tomorrow by default");
        return Err(Error::Invalid(vec![FieldError::new("from", message)]));
    }
    Ok(from)
}

/// The sums over groups, by currency.
fn totals_of(rows: &[SumsRow]) -> Vec<SumsRow> {
    let mut totals = BTreeMap::new();
    for row in rows {
        let total = totals.entry(row.currency.as_str()).or_insert_with(|| SumsRow::zero(row.currency));
        total.requests = total.requests.saturating_add(row.requests);
        total.errors = total.errors.saturating_add(row.errors);
        total.input_tokens += row.input_tokens;
        total.output_tokens += row.output_tokens;
        total.cost += row.cost;
        total.unpriced = total.unpriced.saturating_add(row.unpriced);
    }
    totals.into_values().collect()
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;

    use super::*;

    #[test]
    fn days_are_the_last_thirty_unless_told_and_bounded() {
        let today = date(2026, 5, 28);
        let first = |from, to, of_customer| first_day(from, to, today, of_customer).ok();
        assert_eq!(first(None, None, true), Some(date(2026, 4, 29)));
        assert_eq!(first(None, Some(date(2026, 3, 1)), false), Some(date(2026, 1, 30)));
        assert_eq!(first(Some(date(2025, 5, 28)), None, true), Some(date(2025, 5, 28)));
        assert_eq!(first(Some(date(2025, 5, 27)), None, true), None);
        assert_eq!(first(Some(date(2026, 5, 1)), Some(date(2026, 6, 1)), false), Some(date(2026, 5, 1)));
        assert_eq!(first(Some(date(2026, 5, 1)), Some(date(2026, 6, 2)), false), None);
        assert_eq!(first(Some(date(2026, 5, 1)), Some(date(2026, 4, 1)), true), Some(date(2026, 5, 1)));
        assert_eq!(first(None, Some(Date::MIN), true), Some(Date::MIN));
        assert_eq!(first(Some(Date::MAX), None, true), Some(Date::MAX));
        assert_eq!(first(Some(Date::MIN), Some(Date::MAX), true), None);
    }

    #[test]
    fn totals_are_made_for_each_currency() {
        let row = |currency: &str, cost: i128| SumsRow {
            requests: 2,
            errors: 1,
            input_tokens: i128::from(i64::MAX),
            cost,
            unpriced: 1,
            user_id: Some("u".to_owned()),
            ..SumsRow::zero(Currency::parse(currency).unwrap())
        };
        let most = i128::from(i64::MAX);
        let totals = totals_of(&[row("USD", 5), row("CNY", most), row("CNY", most)]);
        let told: Vec<_> = totals.iter().map(|t| (t.currency.as_str(), t.requests, t.cost)).collect();
        assert_eq!(told, [("CNY", 4, 2 * most), ("USD", 2, 5)]);
        assert_eq!((totals[0].input_tokens, totals[0].user_id.as_ref()), (2 * most, None));
        assert!(totals_of(&[]).is_empty());
    }
}
