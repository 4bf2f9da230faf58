//! Customers and their settings. Their money is the booking engine's.

use crate::domain::page::{ListPage, PageRequest};
use crate::domain::{Error, list};
use crate::model::{Actor, Currency, Customer, CustomerId, CustomerStatus, Mode, Money, Patch, UsageBilling};
use crate::store::{CustomerFilter, NewCustomer, NotChanged, Store};

/// What is set of a customer; what is left out stays.
#[derive(Debug, Clone)]
pub struct CustomerChange {
    /// Its own mode; cleared, the configured one counts.
    pub mode: Patch<Mode>,
    /// How far below zero it may go.
    pub credit_limit: Option<Money>,
    /// What usage records do.
    pub usage_billing: Option<UsageBilling>,
    /// Whether it may spend.
    pub status: Option<CustomerStatus>,
}

impl CustomerChange {
    fn apply(&self, customer: &mut Customer) {
        self.mode.apply(&mut customer.mode);
        customer.credit_limit = self.credit_limit.unwrap_or(customer.credit_limit);
        customer.usage_billing = self.usage_billing.unwrap_or(customer.usage_billing);
        customer.status = self.status.unwrap_or(customer.status);
    }
}

/// A page of customers, by creation.
pub async fn query_customers(
    store: &Store,
    status: Option<CustomerStatus>,
    page: &PageRequest,
) -> Result<ListPage<Customer>, Error> {
    list::page(store, &CustomerFilter { status }, page).await
}

/// A customer.
pub async fn get_customer(store: &Store, id: &CustomerId) -> Result<Customer, Error> {
    store.customer(id).await?.ok_or(Error::NotFound("customer"))
}

/// Creates a customer; [`Error::Taken`] if it is there.
pub async fn create_customer(
    store: &Store,
    id: CustomerId,
    currency: Currency,
    change: CustomerChange,
    by: &Actor,
) -> Result<Customer, Error> {
    let new = NewCustomer { id, currency, credit_limit: Money::ZERO };
    let created = store.add_customer(new, move |customer| change.apply(customer), by).await;
    created.map_err(|error| Error::not_changed(NotChanged::<Error>::from(error), "customer", "id"))
}

/// Changes a customer's settings; `expected` is the settings version that the change is based on.
pub async fn change_customer(
    store: &Store,
    id: &CustomerId,
    expected: Option<i64>,
    change: CustomerChange,
    by: &Actor,
) -> Result<Customer, Error> {
    let changed = store.change_customer(id, expected, by, move |customer| change.apply(customer)).await;
    changed.map_err(|error| Error::not_changed(error, "customer", "id"))
}
