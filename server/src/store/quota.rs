//! What is counted of users, and what their requests reserve.

mod purge;

use std::collections::{BTreeSet, HashSet};

use super::columns::{self, FromRow as _, TableRow as _, columns, first, select};
use super::dialect::Dialect;
use super::error::Error;
use super::pairs::with_pairs;
use super::sql::{Row, Sql};
use super::{Store, Tx};
use crate::model::{CustomerId, QuotaCounter, QuotaReservation, RecordId, Timestamp, Transno};

columns!(QuotaCounter in "quota_counters":
    customer_id, user_id; kind, window_start, window_end, used, reserved, ring,
);

columns!(QuotaReservation in "quota_reservations":
    id; customer_id, user_id, request_id, open_request_id, declared, day_start, month_start, state, expires_at, created_at,
    updated_at,
);

/// Windows that ended longer ago say nothing about the current one, whatever time zone that is of: in microseconds.
const CONTINUED: i64 = 48 * 3600 * 1_000_000;

/// Writes counters of locked customers.
pub(super) fn upsert_counters(rows: &[QuotaCounter], dialect: Dialect) -> Sql<'_> {
    let key = "customer_id, user_id, kind, window_start";
    columns::upsert(rows, dialect, key, &["window_end", "used", "reserved", "ring"])
}

/// Writes reservations of locked customers.
pub(super) fn upsert_reservations(rows: &[QuotaReservation], dialect: Dialect) -> Sql<'_> {
    columns::upsert(rows, dialect, "id", &["open_request_id", "state", "expires_at", "updated_at"])
}

/// Finds a reservation as it was written: whether the transaction that wrote it was committed.
pub(super) fn existence(reservation: &QuotaReservation) -> Sql<'_> {
    let sql = Sql::new(
        "SELECT 1 FROM quota_reservations WHERE id = ? AND state = ? AND expires_at = ? AND updated_at = ?",
    );
    let sql = sql.bind(reservation.id.as_bytes()).bind(reservation.state.as_str());
    sql.bind(reservation.expires_at).bind(reservation.updated_at)
}

/// Pairs, or ids, of one statement.
const LOOKED_UP: usize = 64;

/// Due reservations of users that one statement reads at most; what is left is closed by a later transaction.
const DUE: i64 = 4096;

/// What a transaction needs to know of users' quotas.
#[derive(Debug, Default)]
pub struct QuotaQuery {
    /// The users whose counters, and reservations that are due, are read.
    pub users: BTreeSet<(CustomerId, String)>,
    /// Names under which users may have open reservations: customer, user and name.
    pub names: BTreeSet<(CustomerId, String, Transno)>,
    /// Reservations that are named by id, of whomever they are.
    pub reservations: Vec<RecordId>,
}

/// What a transaction read of users' quotas.
#[derive(Debug, Default, Clone)]
pub struct QuotaRows {
    /// Counters of the users: what counts now, and what counted shortly before.
    pub counters: Vec<QuotaCounter>,
    /// Their reservations that are due, and those that were named.
    pub reservations: Vec<QuotaReservation>,
}

impl QuotaQuery {
    fn is_empty(&self) -> bool {
        self.users.is_empty() && self.reservations.is_empty()
    }

    /// The statements that read it: first of counters, which they lock, so that what is read of reservations after that is
    /// not changed by another node of Galera any more.
    pub(super) fn statements(&self, dialect: Dialect) -> Vec<Sql<'_>> {
        if self.is_empty() {
            return Vec::new();
        }
        let users: Vec<_> = self.users.iter().map(|(customer, user)| (customer, user.as_str())).collect();
        let mut statements: Vec<_> =
            users.chunks(LOOKED_UP).filter_map(|users| counted(users, dialect)).collect();
        statements.extend(self.reservations.chunks(LOOKED_UP).map(by_id));
        let names: Vec<_> = self.names.iter().collect();
        statements.extend(names.chunks(LOOKED_UP).map(by_name));
        statements.extend(users.chunks(LOOKED_UP).filter_map(|users| due(users, dialect)));
        statements
    }

    /// Reads what the statements gave.
    pub(super) fn read(&self, fetched: &[Vec<Row>]) -> Result<QuotaRows, Error> {
        let counters = self.users.len().div_ceil(LOOKED_UP).min(fetched.len());
        let (counters, reservations) = fetched.split_at(counters);
        let mut known = HashSet::new();
        let mut rows = QuotaRows::default();
        for row in reservations.iter().flatten() {
            let reservation = QuotaReservation::from_row(row)?;
            if known.insert(reservation.id) {
                rows.reservations.push(reservation);
            }
        }
        rows.counters = counters.iter().flatten().map(QuotaCounter::from_row).collect::<Result<_, _>>()?;
        Ok(rows)
    }
}

fn by_id(ids: &[RecordId]) -> Sql<'_> {
    let mut sql = select::<QuotaReservation>(" WHERE id IN ");
    sql.push_in(ids.iter().map(RecordId::as_bytes));
    sql
}

/// The open reservations of these names.
fn by_name<'a>(names: &[&'a (CustomerId, String, Transno)]) -> Sql<'a> {
    let mut sql = select::<QuotaReservation>(" WHERE ");
    for (n, (customer, user, name)) in names.iter().enumerate() {
        sql.push(if n == 0 { "" } else { " OR " });
        sql.push("(customer_id = ? AND user_id = ? AND open_request_id = ?)");
        sql.add(customer.as_str()).add(user.as_str()).add(name.as_str());
    }
    sql
}

/// Open reservations of these users whose time has run out.
fn due<'a>(users: &[(&'a CustomerId, &'a str)], dialect: Dialect) -> Option<Sql<'a>> {
    let index = dialect.by_index("quota_reservations_subject");
    let select = select::<QuotaReservation>(format_args!("{index} WHERE "));
    let now = dialect.now();
    let due = format!("customer_id = ? AND user_id = ? AND state = 'open' AND expires_at <= {now}");
    let mut sql = with_pairs(select, &due, users.iter().copied())?;
    sql.push(" LIMIT ?").add(DUE);
    Some(sql)
}

/// What counts of these users now, and what counted shortly before. Locked: on Galera another node may commit between this
/// and the write, and is refused or refuses only if it meets a lock. A commit of quotas does not touch the customer's row.
fn counted<'a>(users: &[(&'a CustomerId, &'a str)], dialect: Dialect) -> Option<Sql<'a>> {
    let select = select::<QuotaCounter>(" WHERE (");
    let mut sql = with_pairs(select, "customer_id = ? AND user_id = ?", users.iter().copied())?;
    sql.push(&format!(") AND window_end > {} - {CONTINUED}", dialect.now())).push(dialect.for_update());
    Some(sql)
}

impl Tx {
    /// What else is to be known of users' quotas.
    pub async fn quotas(&mut self, query: &QuotaQuery) -> Result<QuotaRows, Error> {
        let mut fetched = Vec::new();
        for sql in query.statements(self.dialect()) {
            fetched.push(self.conn.fetch_all(sql).await?);
        }
        query.read(&fetched)
    }

    /// Open reservations of customers whose time has run out at `now`, `limit` of them at most.
    pub async fn due_reservations(
        &mut self,
        customers: &[CustomerId],
        now: Timestamp,
        limit: usize,
    ) -> Result<Vec<QuotaReservation>, Error> {
        let index = self.dialect().by_index("quota_reservations_due");
        let sql = select::<QuotaReservation>(format_args!(
            "{index} WHERE state = 'open' AND expires_at <= ? AND customer_id IN "
        ));
        let mut sql = sql.bind(now);
        sql.push_in(customers.iter().map(CustomerId::as_str));
        sql.push(" ORDER BY expires_at LIMIT ?").add(i64::try_from(limit).unwrap_or(i64::MAX));
        self.conn.rows(sql).await
    }
}

impl Store {
    /// What counts of a user at `now`, not locked.
    pub async fn quota_counters_of(
        &self,
        customer: &CustomerId,
        user: &str,
        now: Timestamp,
    ) -> Result<Vec<QuotaCounter>, Error> {
        let sql = select::<QuotaCounter>(" WHERE customer_id = ? AND user_id = ? AND window_end > ?");
        let since = Timestamp::from_micros(now.micros().saturating_sub(CONTINUED));
        self.rows(sql.bind(customer.as_str()).bind(user).bind(since)).await
    }

    /// Whose reservation it is.
    pub async fn customer_of_reservation(&self, id: RecordId) -> Result<Option<CustomerId>, Error> {
        let table = QuotaReservation::TABLE;
        let sql = Sql::new(format!("SELECT customer_id FROM {table} WHERE id = ?")).bind(id.as_bytes());
        self.fetch_optional(sql).await?.map(|row| first(table, &row)).transpose()
    }

    /// Whose the open reservations are whose time has run out, the longest due first: a customer for each reservation, and
    /// none of `but`.
    pub async fn customers_with_due_reservations(
        &self,
        but: impl ExactSizeIterator<Item = &CustomerId>,
        limit: i64,
    ) -> Result<Vec<CustomerId>, Error> {
        let (index, now) = (self.dialect().walking("quota_reservations_due"), self.dialect().now());
        let mut sql = Sql::new(format!(
            "SELECT customer_id FROM quota_reservations{index} WHERE state = 'open' AND expires_at <= {now}"
        ));
        if but.len() > 0 {
            sql.push(" AND customer_id NOT IN ").push_in(but.map(CustomerId::as_str));
        }
        sql.push(" ORDER BY expires_at LIMIT ?").add(limit);
        let rows = self.fetch_all(sql).await?;
        rows.iter().map(|row| first(QuotaReservation::TABLE, row)).collect()
    }

    /// Whether a user has an open reservation of this name.
    pub async fn has_open_reservation(
        &self,
        customer: &CustomerId,
        user: &str,
        request_id: &Transno,
    ) -> Result<bool, Error> {
        let sql = Sql::new(
            "SELECT 1 FROM quota_reservations WHERE customer_id = ? AND user_id = ? AND open_request_id = ?",
        );
        let sql = sql.bind(customer.as_str()).bind(user).bind(request_id.as_str());
        Ok(self.fetch_optional(sql).await?.is_some())
    }
}
