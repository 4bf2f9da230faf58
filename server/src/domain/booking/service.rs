use std::sync::Arc;

use super::outcome::{Booked, Outcome};
use super::preview::preview;
use super::request::Request;
use super::rules::Rules;
use super::writer::Booking;
use crate::config::LiveConfig;
use crate::domain::Error;
use crate::domain::prices::Prices;
use crate::model::{Actor, Clock, CustomerId, Reach, RecordId};
use crate::store::Store;

/// Everything that moves money, for all that may ask for it.
pub struct Bookings {
    engine: Booking,
    store: Store,
    prices: Arc<Prices>,
    config: LiveConfig,
    clock: Arc<dyn Clock>,
}

impl Bookings {
    /// Over a running engine.
    pub fn new(
        engine: Booking,
        store: Store,
        prices: Arc<Prices>,
        config: LiveConfig,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { engine, store, prices, config, clock }
    }

    /// The engine behind it.
    pub fn engine(&self) -> &Booking {
        &self.engine
    }

    /// Books a charge, a credit or an adjustment, priced by any program if its amount comes from the price list; returns
    /// once it is durable.
    pub async fn create(&self, request: Request) -> Result<Booked, Error> {
        let request = self.price(request, &Reach::Everything).await?;
        self.submit(request).await?.into_booked()
    }

    /// A booking with its amount: the one given, or what the price list of its day says, by the programs within reach.
    pub async fn price(&self, request: Request, reach: &Reach) -> Result<Request, Error> {
        request.priced(&self.prices, reach.is_published_only(), self.clock.now()).await
    }

    /// Does what a request asks for, through the one write path; returns once it is durable.
    pub async fn submit(&self, request: Request) -> Result<Outcome, Error> {
        self.may_write()?;
        self.engine.submit(request).await
    }

    /// Books what an administrator asks for, with an entry of the audit log in the same transaction.
    pub async fn book_as(&self, request: Request, actor: Actor) -> Result<Booked, Error> {
        self.may_write()?;
        self.engine.submit_as(request, Some(actor)).await?.into_booked()
    }

    /// Does many things, each decided for itself; the verdicts are in the order of the requests.
    pub async fn submit_bulk(&self, requests: Vec<Request>) -> Result<Vec<Result<Outcome, Error>>, Error> {
        self.may_write()?;
        self.engine.submit_bulk(requests).await
    }

    /// Does all of it in one commit, or nothing: the error is the first refusal.
    pub async fn submit_group(&self, requests: Vec<Request>) -> Result<Vec<Outcome>, Error> {
        self.may_write()?;
        self.engine.submit_group(requests).await
    }

    /// What a booking would come to if it were made now; nothing is booked.
    pub async fn preview(&self, request: Request) -> Result<Booked, Error> {
        preview(&self.store, request, Rules::of(self.config.current().accounting.mode)).await?.into_booked()
    }

    /// The customer of a record.
    pub async fn customer_of_record(&self, reach: &Reach, id: RecordId) -> Result<CustomerId, Error> {
        let customer = self.store.customer_of_record(id).await?;
        customer.filter(|id| reach.includes(id)).ok_or(Error::NotFound("accounting record"))
    }

    /// The customer of a hold.
    pub async fn customer_of_hold(&self, reach: &Reach, id: RecordId) -> Result<CustomerId, Error> {
        let customer = self.store.customer_of_hold(id).await?;
        customer.filter(|id| reach.includes(id)).ok_or(Error::NotFound("hold"))
    }

    fn may_write(&self) -> Result<(), Error> {
        if self.config.read(|config| config.server.read_only) { Err(Error::ReadOnly) } else { Ok(()) }
    }
}
