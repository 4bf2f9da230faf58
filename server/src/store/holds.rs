//! Holds.

use std::borrow::Cow;
use std::time::Duration;

use super::columns::{self, FromRow, TableRow as _, columns, first, select, select_with};
use super::dialect::Dialect;
use super::error::Error;
use super::list::{Conditions, Filter, ListRow};
use super::sql::{Row, Sql};
use super::{Store, Tx};
use crate::model::{CustomerId, Hold, HoldState, RecordId, Timestamp, Transno};

/// The index of open holds by the end of their time. To a database that does not know how few are due, any other index
/// that has the state is as good.
const DUE: &str = "holds_due";

columns!(Hold in "holds":
    id; customer_id, transno, amount, captured, currency, state, expires_at, user_id, note, body_hash, balance_after,
    held_after, available_after, created_at, updated_at,
);

/// Which holds to list, by creation.
#[derive(Debug, Clone, Default)]
pub struct HoldFilter {
    /// Whose.
    pub customer_id: Option<CustomerId>,
    /// For which person.
    pub user_id: Option<String>,
    /// In which state, at the time of the query.
    pub state: Option<HoldState>,
    /// By its transno.
    pub transno: Option<String>,
    /// Made at or after.
    pub from: Option<Timestamp>,
    /// Made before.
    pub to: Option<Timestamp>,
}

/// A hold, and the database's clock.
impl ListRow<HoldFilter> for (Hold, Timestamp) {
    fn table(_filter: &HoldFilter) -> &'static str {
        Hold::TABLE
    }

    fn columns(_filter: &HoldFilter, dialect: Dialect) -> String {
        format!("{}, {}", Hold::COLUMNS, dialect.now())
    }

    fn read(_filter: &HoldFilter, row: &Row) -> Result<Self, Error> {
        FromRow::from_row(row)
    }
}

impl Filter for HoldFilter {
    type Row = (Hold, Timestamp);
    type Place = (Timestamp, RecordId);

    fn name(&self) -> &'static str {
        "holds"
    }

    fn place(&self, (hold, _): &Self::Row) -> Self::Place {
        (hold.created_at, hold.id)
    }

    fn declare<'a>(&'a self, conditions: &mut Conditions<'a>) {
        let now = conditions.dialect().now();
        conditions.equal("customer_id", self.customer_id.as_ref().map(CustomerId::as_str));
        conditions.equal("user_id", self.user_id.as_deref());
        conditions.special("state", self.state.map(HoldState::as_str), || match self.state {
            Some(HoldState::Open) => Sql::new(format!(" AND state = 'open' AND expires_at > {now}")),
            Some(HoldState::Expired) => {
                Sql::new(format!(" AND (state = 'expired' OR (state = 'open' AND expires_at <= {now}))"))
            }
            state => Sql::new(" AND state = ?").bind(state.map(HoldState::as_str)),
        });
        conditions.equal("transno", self.transno.as_deref());
        conditions.created(self.from, self.to);
    }

    /// That of the most selective filter. What has expired is of two states, and is looked for along the list.
    fn index(&self) -> Option<Cow<'static, str>> {
        let by_state =
            matches!(self.state, Some(HoldState::Open | HoldState::Captured | HoldState::Released));
        Some(Cow::Borrowed(match (&self.customer_id, &self.user_id) {
            _ if self.transno.is_some() => "holds_transno",
            (Some(_), Some(_)) => "holds_user",
            (Some(_), None) if by_state => "holds_state",
            (Some(_), None) => "holds_customer",
            (None, _) if by_state => "holds_state_created",
            (None, _) => "holds_created",
        }))
    }
}

impl Store {
    /// A hold, and the database's clock.
    pub async fn hold(&self, id: RecordId) -> Result<Option<(Hold, Timestamp)>, Error> {
        let sql = select_with::<Hold>(self.dialect().now(), " WHERE id = ?");
        self.row(sql.bind(id.as_bytes())).await
    }

    /// Open holds of a customer whose time has run out at `now`, `limit` of them at most.
    pub async fn due_holds(
        &self,
        customer: &CustomerId,
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Hold>, Error> {
        self.rows(due(std::slice::from_ref(customer), now, limit, self.dialect())).await
    }

    /// A customer's holds that were open at an instant, in the order of creation, after a place. None lasts longer than
    /// `longest`, so that nothing older is looked at.
    pub async fn holds_open_at(
        &self,
        customer: &CustomerId,
        at: Timestamp,
        longest: Duration,
        after: Option<(Timestamp, RecordId)>,
        limit: i64,
    ) -> Result<Vec<Hold>, Error> {
        let index = self.dialect().walking("holds_customer");
        let mut sql = select::<Hold>(format_args!(
            "{index} WHERE customer_id = ? AND created_at <= ? AND expires_at > ? \
             AND (state = 'open' OR updated_at > ?)"
        ));
        sql.add(customer.as_str()).add(at).add(at).add(at);
        match after {
            Some((time, id)) => {
                self.dialect().push_place(&mut sql, ">", (time, "id"), id.as_bytes().to_vec());
            }
            None => drop(sql.push(" AND created_at >= ?").add(at.minus(longest))),
        }
        sql.push(" ORDER BY created_at, id LIMIT ?").add(limit);
        self.rows(sql).await
    }

    /// Whose the open holds are whose time has run out, the longest due first: a customer for each hold, and none of
    /// `but`.
    pub async fn customers_with_due_holds(
        &self,
        but: impl ExactSizeIterator<Item = &CustomerId>,
        limit: i64,
    ) -> Result<Vec<CustomerId>, Error> {
        let (index, now) = (self.dialect().walking(DUE), self.dialect().now());
        let mut sql = Sql::new(format!(
            "SELECT customer_id FROM holds{index} WHERE state = 'open' AND expires_at <= {now}"
        ));
        if but.len() > 0 {
            sql.push(" AND customer_id NOT IN ").push_in(but.map(CustomerId::as_str));
        }
        sql.push(" ORDER BY expires_at LIMIT ?").add(limit);
        self.fetch_all(sql).await?.iter().map(|row| first("holds", row)).collect()
    }
}

/// Open holds of these customers whose time has run out at `now`.
fn due(customers: &[CustomerId], now: Timestamp, limit: usize, dialect: Dialect) -> Sql<'_> {
    let index = dialect.walking("holds_expiring");
    let mut sql = select::<Hold>(format_args!("{index} WHERE customer_id IN "));
    sql.push_in(customers.iter().map(CustomerId::as_str));
    sql.push(" AND state = 'open' AND expires_at <= ?").add(now);
    sql.push(" LIMIT ?").add(i64::try_from(limit).unwrap_or(i64::MAX));
    sql
}

impl Tx {
    /// Open holds of these customers whose time has run out at `now`, `limit` of them at most.
    pub async fn due_holds(
        &mut self,
        customers: &[CustomerId],
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<Hold>, Error> {
        let sql = due(customers, now, limit, self.dialect());
        self.conn.rows(sql).await
    }

    /// The holds that some of these transnos made.
    pub async fn find_holds<'a>(
        &mut self,
        named: impl ExactSizeIterator<Item = (&'a CustomerId, &'a Transno)>,
    ) -> Result<Vec<Hold>, Error> {
        let index = self.dialect().by_index("holds_transno");
        let select = select::<Hold>(format_args!("{index} WHERE "));
        let names = named.map(|(customer, transno)| (customer, transno.as_str()));
        let Some(sql) = super::pairs::with_pairs(select, "customer_id = ? AND transno = ?", names) else {
            return Ok(Vec::new());
        };
        self.conn.rows(sql).await
    }

    /// Holds by their ids.
    pub async fn holds_by_id(&mut self, ids: &[RecordId]) -> Result<Vec<Hold>, Error> {
        let mut sql = select::<Hold>(" WHERE id IN ");
        sql.push_in(ids.iter().map(RecordId::as_bytes));
        self.conn.rows(sql).await
    }
}

/// Writes new holds, and what became of known ones.
pub(super) fn upsert(rows: &[Hold], dialect: Dialect) -> Sql<'_> {
    columns::upsert(rows, dialect, "id", &["captured", "state", "updated_at"])
}
