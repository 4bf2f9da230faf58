//! Customers and their balances.

use super::Store;
use super::cache_events::Changed;
use super::columns::{self, columns, select};
use super::dialect::Dialect;
use super::error::Error;
use super::sql::Sql;
use crate::model::{Currency, Customer, CustomerId, CustomerStatus, Mode, Money, UsageBilling};

columns!(Customer in "customer_balance":
    id = "customer_id"; balance, held, holds_made, currency, credit_limit, status, mode, usage_billing, last_seq,
    last_hash, version, last_recharge, last_consumption, created_at, updated_at,
);

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

/// Writes customers back that a booking has changed.
pub(super) fn upsert(rows: &[Customer], dialect: Dialect) -> Sql<'_> {
    columns::upsert(rows, dialect, "customer_id", BOOKED_COLUMNS)
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
        self.row(select::<Customer>(" WHERE customer_id = ?").bind(id.as_str())).await
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
                let sql = columns::insert(tx.dialect().insert_ignore(), std::slice::from_ref(&customer));
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
                    "UPDATE customer_balance SET {assignment}, version = version + 1, \
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
