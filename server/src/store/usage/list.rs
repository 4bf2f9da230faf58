//! Lists of usage records.

use std::borrow::Cow;

use super::super::Store;
use super::super::columns::{Column as _, TableRow as _};
use super::super::dialect::Dialect;
use super::super::error::Error;
use super::super::list::{Conditions, Filter, Place, Window};
use super::super::sql::{Row, Sql};
use crate::model::{CustomerId, Timestamp, UsageRecord};

/// The place of a usage record in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UsagePosition {
    /// Within a customer.
    Useq(i64),
    /// Among all customers.
    Received(Timestamp, CustomerId, i64),
}

impl Place for UsagePosition {
    fn push<'a>(&'a self, sql: &mut Sql<'a>, compare: &str, order: &[&str], dialect: Dialect) {
        match self {
            Self::Useq(useq) => drop(sql.push(&format!(" AND useq {compare} ?")).add(*useq)),
            Self::Received(time, customer, useq) => {
                dialect.push_key(sql, order, compare, &[(*time).into(), customer.arg(), (*useq).into()]);
            }
        }
    }
}

/// Which usage records to list: within a customer by `useq`, else by when they were received.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct UsageFilter {
    /// Whose.
    pub customer_id: Option<CustomerId>,
    /// The person who used it.
    pub user_id: Option<String>,
    /// The group whose limits counted.
    pub group_id: Option<String>,
    /// The model that counts: the one that answered, else the one asked for.
    pub model: Option<String>,
    /// The status of the answer.
    pub status_code: Option<i64>,
    /// Whether the request failed.
    pub failed: Option<bool>,
    /// The edge that reported it.
    pub source_node: Option<String>,
    /// The caller's name for the request.
    pub request_id: Option<String>,
    /// Received at or after.
    pub from: Option<Timestamp>,
    /// Received before.
    pub to: Option<Timestamp>,
    /// Happened at or after.
    pub event_from: Option<Timestamp>,
    /// Happened before.
    pub event_to: Option<Timestamp>,
    /// No earlier place in the list than this one.
    pub since: Option<UsagePosition>,
    /// No later place in the list than this one.
    pub until: Option<UsagePosition>,
}

impl Filter for UsageFilter {
    type Row = UsageRecord;
    type Place = UsagePosition;

    fn name(&self) -> &'static str {
        "usage"
    }

    fn place(&self, row: &UsageRecord) -> UsagePosition {
        match self.customer_id {
            Some(_) => UsagePosition::Useq(row.useq),
            None => UsagePosition::Received(row.received_at, row.customer_id.clone(), row.useq),
        }
    }

    fn declare<'a>(&'a self, conditions: &mut Conditions<'a>) {
        conditions.equal("customer_id", self.customer_id.as_ref().map(CustomerId::as_str));
        conditions.equal("user_id", self.user_id.as_deref());
        conditions.equal("group_id", self.group_id.as_deref());
        let model = self.model.as_deref();
        conditions.special("model", model, || {
            Sql::new(" AND COALESCE(actual_model, model) = ?").bind(model.unwrap_or_default())
        });
        conditions.compare("status_code", "status_code", "=", self.status_code);
        let status = self.failed.map(|failed| if failed { "error" } else { "ok" });
        conditions.special("status", status, || {
            // Without a status it is no error, here as in the sums.
            let compare = if self.failed == Some(true) { ">=" } else { "<" };
            Sql::new(format!(" AND COALESCE(status_code, 0) {compare} 400"))
        });
        conditions.equal("source_node", self.source_node.as_deref());
        conditions.equal("request_id", self.request_id.as_deref());
        conditions.begins_with("received_at", self.from, self.to);
        conditions.compare("event_from", "event_time", ">=", self.event_from);
        conditions.compare("event_to", "event_time", "<", self.event_to);
        conditions.place(">=", self.since.as_ref());
        conditions.place("<=", self.until.as_ref());
    }

    fn order(&self) -> &'static [&'static str] {
        if self.customer_id.is_some() { &["useq"] } else { &["received_at", "customer_id", "useq"] }
    }

    /// The most selective filter first.
    fn index(&self) -> Option<Cow<'static, str>> {
        let within = self.customer_id.is_some();
        Some(Cow::Borrowed(match self {
            Self { request_id: Some(_), .. } if within => "usage_logs_request",
            Self { user_id: Some(_), .. } if within => "usage_logs_user",
            _ if within => "PRIMARY",
            _ => "usage_logs_received",
        }))
    }

    /// Turns times into places of a customer's list: within a customer the time of receipt never goes back.
    async fn resolve(&self, store: &Store) -> Result<Option<Self>, Error> {
        let mut resolved = self.clone();
        let Some(customer) = &self.customer_id else { return Ok(Some(resolved)) };
        let (from, to) = (resolved.from.take(), resolved.to.take());
        if from.is_none() && to.is_none() {
            return Ok(Some(resolved));
        }
        let Some(ends) = store.usage_ends(customer).await? else { return Ok(None) };
        let (mut first, mut last) = ends;
        if let Some(from) = from {
            first = store.useq_at(customer, from, ends).await?;
            if let Some(UsagePosition::Useq(since)) = self.since {
                first = first.max(since);
            }
            resolved.since = Some(UsagePosition::Useq(first));
        }
        if let Some(to) = to {
            last = store.useq_at(customer, to, ends).await? - 1;
            if let Some(UsagePosition::Useq(until)) = self.until {
                last = last.min(until);
            }
            resolved.until = Some(UsagePosition::Useq(last));
        }
        Ok((first <= last).then_some(resolved))
    }
}

impl UsageFilter {
    /// The part of it that its index serves.
    fn served(&self) -> Self {
        let within = self.customer_id.is_some();
        Self {
            customer_id: self.customer_id.clone(),
            user_id: self.user_id.clone().filter(|_| within),
            request_id: self.request_id.clone().filter(|_| within),
            from: self.from,
            to: self.to,
            since: self.since.clone(),
            until: self.until.clone(),
            ..Self::default()
        }
    }

    /// The part of the list up to this place of it, in an order. What bounds the list on that side is left out: SQLite might
    /// go on to that.
    #[must_use]
    pub fn up_to(&self, place: Option<UsagePosition>, ascending: bool) -> Self {
        match (place, ascending) {
            (None, _) => self.clone(),
            (until, true) => Self { until, to: None, ..self.clone() },
            (since, false) => Self { since, from: None, ..self.clone() },
        }
    }
}

impl Store {
    /// Where a look at so many rows ends that begins with a window, if rows of the list follow. `None` too where the index
    /// finds what passes alone. The filter must be resolved.
    pub async fn usage_looked_at(
        &self,
        filter: &UsageFilter,
        window: &Window<UsagePosition>,
        most: i64,
    ) -> Result<Option<UsagePosition>, Error> {
        let served = filter.served();
        if served == *filter {
            return Ok(None);
        }
        let mut places = self.usage_places(&served, &Window { limit: most + 1, ..window.clone() }).await?;
        let followed = usize::try_from(most).is_ok_and(|most| places.len() > most);
        places.pop();
        Ok(if followed { places.pop() } else { None })
    }

    /// The last place in the list of a customer, or of all; `None` while there is no record.
    pub async fn newest_usage(&self, customer: Option<&CustomerId>) -> Result<Option<UsagePosition>, Error> {
        let filter = UsageFilter { customer_id: customer.cloned(), ..UsageFilter::default() };
        Ok(self.usage_places(&filter, &Window::newest(1)).await?.pop())
    }

    /// The places of a list, which its index has.
    async fn usage_places(
        &self,
        filter: &UsageFilter,
        window: &Window<UsagePosition>,
    ) -> Result<Vec<UsagePosition>, Error> {
        let rows = self.select_list(filter, &filter.order().join(", "), window).await?;
        let place = |row: &Row| {
            if filter.customer_id.is_some() {
                return Ok(UsagePosition::Useq(row.int(0)?));
            }
            let customer = CustomerId::read(row, 1)
                .map_err(|error| error.of_row(UsageRecord::TABLE, || "customer_id".to_owned()))?;
            Ok(UsagePosition::Received(row.time(0)?, customer, row.int(2)?))
        };
        rows.iter().map(place).collect()
    }

    /// The first and the last `useq` that a customer has.
    async fn usage_ends(&self, customer: &CustomerId) -> Result<Option<(i64, i64)>, Error> {
        let index = self.dialect().walking("PRIMARY");
        let mut ends = Vec::with_capacity(2);
        for direction in ["ASC", "DESC"] {
            let sql = Sql::new(format!(
                "SELECT useq FROM usage_logs{index} WHERE customer_id = ? ORDER BY useq {direction} LIMIT 1"
            ));
            let row = self.fetch_optional(sql.bind(customer.as_str())).await?;
            ends.extend(row.map(|row| row.int(0)).transpose()?);
        }
        Ok(if let [first, last] = *ends { Some((first, last)) } else { None })
    }

    /// Halves what is between the ends until it has found the first record that was received at that time or later; one
    /// beyond the last if none was.
    async fn useq_at(
        &self,
        customer: &CustomerId,
        at: Timestamp,
        (mut low, last): (i64, i64),
    ) -> Result<i64, Error> {
        let mut high = last + 1;
        while low < high {
            let middle = low + (high - low) / 2;
            match self.usage_from(customer, middle).await? {
                Some((useq, received_at)) if received_at < at => low = useq + 1,
                _ => high = middle,
            }
        }
        Ok(low)
    }

    /// The first record of a customer with this `useq` or a later one, and when it was received.
    async fn usage_from(&self, customer: &CustomerId, useq: i64) -> Result<Option<(i64, Timestamp)>, Error> {
        let index = self.dialect().walking("PRIMARY");
        let sql = Sql::new(format!(
            "SELECT useq, received_at FROM usage_logs{index} WHERE customer_id = ? AND useq >= ? ORDER BY useq LIMIT 1"
        ));
        let row = self.fetch_optional(sql.bind(customer.as_str()).bind(useq)).await?;
        row.map(|row| Ok((row.int(0)?, row.time(1)?))).transpose()
    }
}
