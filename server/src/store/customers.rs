//! Customers: their balances, and their settings.

use std::borrow::Cow;
use std::convert::Infallible;

use super::Store;
use super::administer::{Administered, NotChanged};
use super::cache_events::Changed;
use super::columns::{self, columns, select};
use super::dialect::Dialect;
use super::error::Error;
use super::list::{Conditions, Filter};
use super::sql::{Arg, Sql};
use crate::model::{
    Actor, AuditFields, Currency, Customer, CustomerId, CustomerStatus, Mode, Money, ObjectKind, Owner,
    Timestamp, UsageBilling,
};

columns!(Customer in "customer_balance":
    id = "customer_id"; balance, held, holds_made, currency, credit_limit, status, mode, usage_billing, last_seq,
    last_useq, last_usage_at, last_hash, version, settings_version, last_recharge, last_consumption, created_at, updated_at,
);

/// What a booking changes of a customer.
const BOOKED_COLUMNS: &[&str] = &[
    "balance",
    "held",
    "holds_made",
    "last_seq",
    "last_useq",
    "last_usage_at",
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

/// A customer's settings. Bookings write the rest of its row.
impl Administered for Customer {
    const KIND: ObjectKind = ObjectKind::Customer;
    const KEY: &'static str = "customer_id";
    const VERSION: &'static str = "settings_version";
    const CHANGED: &'static [&'static str] =
        &["credit_limit", "status", "mode", "usage_billing", "version", "settings_version", "updated_at"];

    fn key(&self) -> &str {
        self.id.as_str()
    }

    fn owner(&self) -> Owner {
        Owner::Customer(self.id.clone())
    }

    #[expect(clippy::misnamed_getters, reason = "the version of what administrators change")]
    fn version(&self) -> i64 {
        self.settings_version
    }

    fn stamp(&mut self, now: Timestamp) {
        self.version += 1;
        self.settings_version += 1;
        // The clock was read before the row was locked, and may have been set back: time of a customer never goes back.
        self.updated_at = self.updated_at.max(now);
    }

    fn fields(&self) -> AuditFields {
        let fields = serde_json::json!({
            "currency": self.currency,
            "credit_limit": self.credit_limit,
            "status": self.status,
            "mode": self.mode,
            "usage_billing": self.usage_billing,
        });
        fields.as_object().cloned().unwrap_or_default()
    }

    fn changed(before: Option<&Self>, after: Option<&Self>) -> Changed {
        after.or(before).map_or_else(Changed::default, |customer| Changed::balance(&customer.id))
    }

    fn value(&self, column: &str) -> Arg<'_> {
        match column {
            "credit_limit" => self.credit_limit.into(),
            "status" => self.status.as_str().into(),
            "mode" => self.mode.map(Mode::as_str).into(),
            "usage_billing" => self.usage_billing.as_str().into(),
            "version" => self.version.into(),
            "settings_version" => self.settings_version.into(),
            "updated_at" => self.updated_at.into(),
            _ => Arg::Null,
        }
    }
}

/// Which customers to list, by creation.
#[derive(Debug, Clone, Default)]
pub struct CustomerFilter {
    /// With this status.
    pub status: Option<CustomerStatus>,
}

impl Filter for CustomerFilter {
    type Row = Customer;
    type Place = (Timestamp, CustomerId);

    fn name(&self) -> &'static str {
        "customers"
    }

    fn place(&self, customer: &Customer) -> Self::Place {
        (customer.created_at, customer.id.clone())
    }

    fn declare<'a>(&'a self, conditions: &mut Conditions<'a>) {
        conditions.equal("status", self.status.map(CustomerStatus::as_str));
    }

    fn order(&self) -> &'static [&'static str] {
        &["created_at", "customer_id"]
    }

    fn index(&self) -> Option<Cow<'static, str>> {
        let by_status = self.status.is_some();
        Some(Cow::Borrowed(if by_status { "customer_balance_status" } else { "customer_balance_created" }))
    }
}

impl Store {
    /// A customer, or `None`.
    pub async fn customer(&self, id: &CustomerId) -> Result<Option<Customer>, Error> {
        self.row(select::<Customer>(" WHERE customer_id = ?").bind(id.as_str())).await
    }

    /// Creates a customer by a command, unless it is there; whether it was created. An existing one stays as it is.
    pub async fn create_customer(&self, new: NewCustomer) -> Result<bool, Error> {
        match self.add_customer(new, |_| {}, &Actor::command_line()).await {
            Ok(_) => Ok(true),
            Err(Error::Duplicate(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Creates a customer, with other settings than those of [`NewCustomer`] if `set` makes some; [`Error::Duplicate`] if it
    /// is there.
    pub async fn add_customer(
        &self,
        new: NewCustomer,
        set: impl Fn(&mut Customer) + Send + Sync + 'static,
        by: &Actor,
    ) -> Result<Customer, Error> {
        self.create_row(by, move |now| {
            let mut customer = Customer {
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
                last_useq: 0,
                last_usage_at: Timestamp::default(),
                last_hash: [0; 32],
                version: 1,
                settings_version: 1,
                last_recharge: None,
                last_consumption: None,
                created_at: now,
                updated_at: now,
            };
            set(&mut customer);
            customer
        })
        .await
    }

    /// Changes a customer's settings; `expected` is the settings version that the change is based on. Returns the customer
    /// as it is then.
    pub async fn change_customer(
        &self,
        id: &CustomerId,
        expected: Option<i64>,
        by: &Actor,
        set: impl Fn(&mut Customer) + Send + Sync + 'static,
    ) -> Result<Customer, NotChanged<Infallible>> {
        let change = move |customer: &mut Customer, _| {
            set(customer);
            Ok(())
        };
        self.change_row(id.as_str(), expected, "update", by, change).await
    }

    /// Sets the status by a command; `false` if there is no such customer.
    pub async fn set_customer_status(&self, id: &CustomerId, status: CustomerStatus) -> Result<bool, Error> {
        self.set_customer(id, move |customer| customer.status = status).await
    }

    /// Sets the customer's own mode by a command, `None` for the configured one; `false` if there is no such customer.
    pub async fn set_customer_mode(&self, id: &CustomerId, mode: Option<Mode>) -> Result<bool, Error> {
        self.set_customer(id, move |customer| customer.mode = mode).await
    }

    /// Sets the credit limit by a command; `false` if there is no such customer.
    pub async fn set_credit_limit(&self, id: &CustomerId, limit: Money) -> Result<bool, Error> {
        self.set_customer(id, move |customer| customer.credit_limit = limit).await
    }

    async fn set_customer(
        &self,
        id: &CustomerId,
        set: impl Fn(&mut Customer) + Send + Sync + 'static,
    ) -> Result<bool, Error> {
        match self.change_customer(id, None, &Actor::command_line(), set).await {
            Ok(_) => Ok(true),
            Err(NotChanged::Store(error)) => Err(error),
            Err(NotChanged::NotFound | NotChanged::Stale) => Ok(false),
            Err(NotChanged::Refused(never)) => match never {},
        }
    }
}
