//! Customers and their balances.

use super::Store;
use super::cache_events::Changed;
use super::dialect::Dialect;
use super::error::Error;
use super::sql::{Row, Sql};
use crate::model::{Currency, Customer, CustomerId, CustomerStatus, Mode, Money, UsageBilling};

const TABLE: &str = "customer_balance";
pub(super) const CUSTOMER_COLUMNS: &str = "customer_id, balance, held, holds_made, currency, credit_limit, status, mode, \
     usage_billing, last_seq, last_hash, version, last_recharge, last_consumption, created_at, updated_at";
pub(super) const CUSTOMER_WIDTH: usize = 16;
/// What a booking changes of a customer.
const BOOKED_COLUMNS: &[&str] = &[
    "balance",
    "held",
    "holds_made",
    "last_seq",
    "last_hash",
    "version",
    "last_recharge",
    "last_consumption",
    "updated_at",
];

fn bind_customer<'a>(sql: &mut Sql<'a>, c: &'a Customer) {
    sql.add(c.id.as_str())
        .add(c.balance)
        .add(c.held)
        .add(c.holds_made)
        .add(c.currency.as_str())
        .add(c.credit_limit);
    sql.add(c.status.as_str()).add(c.mode.map(Mode::as_str)).add(c.usage_billing.as_str());
    sql.add(c.last_seq).add(&c.last_hash).add(c.version).add(c.last_recharge).add(c.last_consumption);
    sql.add(c.created_at).add(c.updated_at);
}

/// Writes customers back that a booking has changed.
pub(super) fn upsert(rows: &[Customer], dialect: Dialect) -> Sql<'_> {
    let mut sql = Sql::new(format!("INSERT INTO customer_balance ({CUSTOMER_COLUMNS}) VALUES "));
    sql.push_rows(rows.len(), CUSTOMER_WIDTH);
    for customer in rows {
        bind_customer(&mut sql, customer);
    }
    sql.push(&dialect.on_conflict("customer_id"));
    for (i, column) in BOOKED_COLUMNS.iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        sql.push(&format!("{comma}{column} = {}", dialect.incoming(column)));
    }
    sql
}

pub(super) fn read_customer(row: &Row) -> Result<Customer, Error> {
    let id = row.str(0)?;
    let bad = |what: &str| Error::inconsistent(TABLE, id, what);
    let money = |i: usize, what: &str| Money::from_nanos(row.int(i)?).ok_or_else(|| bad(what));
    Ok(Customer {
        id: CustomerId::parse(id).map_err(|e| bad(&e.to_string()))?,
        balance: money(1, "balance out of range")?,
        held: money(2, "held out of range")?,
        holds_made: row.int(3)?,
        currency: Currency::parse(row.str(4)?).ok_or_else(|| bad("unknown currency"))?,
        credit_limit: money(5, "credit_limit out of range")?,
        status: CustomerStatus::parse(row.str(6)?).ok_or_else(|| bad("unknown status"))?,
        mode: match row.opt_text(7)? {
            Some(text) => Some(Mode::parse(&text).ok_or_else(|| bad("unknown mode"))?),
            None => None,
        },
        usage_billing: UsageBilling::parse(row.str(8)?).ok_or_else(|| bad("unknown usage_billing"))?,
        last_seq: row.int(9)?,
        last_hash: row.bytes(10)?.try_into().map_err(|_| bad("last_hash is not 32 bytes"))?,
        version: row.int(11)?,
        last_recharge: row.opt_time(12)?,
        last_consumption: row.opt_time(13)?,
        created_at: row.time(14)?,
        updated_at: row.time(15)?,
    })
}

/// A customer to be created.
#[derive(Debug, Clone)]
pub struct NewCustomer {
    /// Its id.
    pub id: CustomerId,
    /// Its currency, fixed from now on.
    pub currency: Currency,
    /// How far below zero it may go; not negative.
    pub credit_limit: Money,
}

impl Store {
    /// A customer, or `None`.
    pub async fn customer(&self, id: &CustomerId) -> Result<Option<Customer>, Error> {
        let sql = Sql::new(format!("SELECT {CUSTOMER_COLUMNS} FROM {TABLE} WHERE customer_id = ?"));
        self.fetch_optional(sql.bind(id.as_str())).await?.as_ref().map(read_customer).transpose()
    }

    /// Creates a customer unless it is there; whether it was created. An existing one stays as it is.
    pub async fn create_customer(&self, new: NewCustomer) -> Result<bool, Error> {
        let store = self.clone();
        self.write("customer.create", move |tx| {
            let (store, new) = (store.clone(), new.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                let customer = Customer {
                    id: new.id.clone(),
                    balance: Money::ZERO,
                    held: Money::ZERO,
                    holds_made: 0,
                    currency: new.currency,
                    credit_limit: new.credit_limit,
                    status: CustomerStatus::Active,
                    mode: None,
                    usage_billing: UsageBilling::Log,
                    last_seq: 0,
                    last_hash: [0; 32],
                    version: 1,
                    last_recharge: None,
                    last_consumption: None,
                    created_at: now,
                    updated_at: now,
                };
                let mut sql = Sql::new(format!(
                    "{} {TABLE} ({CUSTOMER_COLUMNS}) VALUES ",
                    tx.dialect().insert_ignore()
                ));
                sql.push_placeholders(CUSTOMER_WIDTH);
                bind_customer(&mut sql, &customer);
                let created = tx.conn.execute(sql).await? > 0;
                if created {
                    store.announce(tx, &Changed::balance(&new.id)).await?;
                }
                Ok(created)
            })
        })
        .await
    }

    /// Sets the status; `false` if there is no such customer.
    pub async fn set_customer_status(&self, id: &CustomerId, status: CustomerStatus) -> Result<bool, Error> {
        self.change_customer(id, "status = ?", Some(status.as_str().to_owned())).await
    }

    /// Sets the customer's own mode, `None` for the configured one; `false` if there is no such customer.
    pub async fn set_customer_mode(&self, id: &CustomerId, mode: Option<Mode>) -> Result<bool, Error> {
        self.change_customer(id, "mode = ?", mode.map(|m| m.as_str().to_owned())).await
    }

    /// Sets the credit limit; `false` if there is no such customer.
    pub async fn set_credit_limit(&self, id: &CustomerId, limit: Money) -> Result<bool, Error> {
        self.change_customer(id, "credit_limit = ?", limit.nanos()).await
    }

    async fn change_customer(
        &self,
        id: &CustomerId,
        assignment: &'static str,
        value: impl Into<super::sql::Arg<'static>>,
    ) -> Result<bool, Error> {
        let (store, id, value) = (self.clone(), id.clone(), value.into());
        self.write("customer.change", move |tx| {
            let (store, id, value) = (store.clone(), id.clone(), value.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                // The clock was read before the row was locked, and may have been set back: time of a customer
                // never goes back.
                let sql = Sql::new(format!(
                    "UPDATE {TABLE} SET {assignment}, version = version + 1, \
                     updated_at = CASE WHEN updated_at > ? THEN updated_at ELSE ? END WHERE customer_id = ?"
                ));
                let sql = sql.bind(value).bind(now).bind(now).bind(id.as_str());
                let found = tx.conn.execute(sql).await? > 0;
                if found {
                    store.announce(tx, &Changed::balance(&id)).await?;
                }
                Ok(found)
            })
        })
        .await
    }
}
