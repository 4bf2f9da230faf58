//! Usage: what users consumed, priced, given to the booking engine, and read again.

mod export;
mod list;
mod metrics;
mod platform;
mod retention;
mod stats;
mod writer;

use std::sync::Arc;

use serde_json::{Map, Value};

pub use export::UsageExport;
pub use list::UsageQuery;
pub use metrics::UsageMetrics;
pub use platform::renew_platform_day;
pub use retention::{BEHIND_FLOOR, FLOOR_KNOWN_AFTER, MIN_AGE, Purge, PurgeMode, SLICE_PAUSE, watch_floor};
pub use stats::{DEFAULT_GROUPS, MAX_GROUPS, StatsQuery, UsageStats};
pub use writer::{CostFn, NotTaken, UsageWriter, WriterCounts};

use super::Error;
use super::booking::{Action, Amount, Booking, Outcome, Request, Usage, Used};
use super::prices::{NoPrice, PriceRequest, Prices, Quote};
use super::principal::Principal;
use super::quota::{Refusals, Subjects, zone_of};
use crate::config::LiveConfig;
use crate::model::{Clock, Reach, RecordId, UsageDetails, UsageRecord, UserId};
use crate::store::Store;

/// What recording and reading usage needs.
pub struct UsageParts {
    /// The running engine.
    pub engine: Booking,
    /// Reads records again.
    pub store: Store,
    /// Prices usage.
    pub prices: Arc<Prices>,
    /// Whose limits count for a user.
    pub subjects: Subjects,
    /// Forgets a refusal once something is settled.
    pub refusals: Refusals,
    /// Counts.
    pub metrics: UsageMetrics,
    /// Its sections `usage` and `quota`.
    pub config: LiveConfig,
    /// Dates prices of usage that does not say when it happened.
    pub clock: Arc<dyn Clock>,
}

/// Records usage, and reads it.
pub struct UsageLog {
    engine: Booking,
    store: Store,
    prices: Arc<Prices>,
    subjects: Subjects,
    refusals: Refusals,
    metrics: UsageMetrics,
    config: LiveConfig,
    clock: Arc<dyn Clock>,
}

impl UsageLog {
    /// Over a running engine.
    pub fn new(parts: UsageParts) -> Self {
        let UsageParts { engine, store, prices, subjects, refusals, metrics, config, clock } = parts;
        Self { engine, store, prices, subjects, refusals, metrics, config, clock }
    }

    /// Usage with its price, if it has one, by the programs within reach, and the group of its user. Asked before the queue,
    /// so that a writer waits for neither.
    ///
    /// # Errors
    /// [`Error::Invalid`] where its quantities are none.
    pub async fn prepare(&self, request: Request, reach: &Reach) -> Result<Request, Error> {
        let mut request = self.with_group(request).await?;
        let Action::Usage(usage) = &mut request.action else { return Ok(request) };
        // In a box: asking for prices takes far more room than the rest.
        usage.price = match Box::pin(self.quote(usage, reach.is_published_only())).await? {
            Ok(quote) => {
                usage.details.pricing_id = Some(quote.pricing_id.clone());
                Amount::Quoted(Box::new(quote))
            }
            Err(no_price) => Amount::Unquoted(no_price),
        };
        Ok(request)
    }

    /// Usage with the group of its user and the time zone of that.
    async fn with_group(&self, mut request: Request) -> Result<Request, Error> {
        let customer = request.customer_id.clone();
        let Action::Usage(usage) = &mut request.action else { return Ok(request) };
        if let Some(user) = usage.details.user_id.as_deref().and_then(|id| UserId::parse(id).ok()) {
            let subject = self.subjects.of(&customer, &user).await?;
            let default = self.config.read(|config| config.quota.zone.clone());
            let group = subject.group.as_ref();
            usage.group_id = group.map(|group| group.id.clone());
            usage.quota_zone = zone_of(group.and_then(|group| group.time_zone.as_ref()), &default);
        }
        Ok(request)
    }

    /// The price by what is named: a program or a model's id; else by the model that answered, else by the one asked for.
    async fn quote(&self, usage: &Usage, published_only: bool) -> Result<Result<Quote, NoPrice>, Error> {
        let details = &usage.details;
        let names = [details.actual_model.as_ref(), details.model.as_ref()];
        let request = PriceRequest {
            pricing_id: details.pricing_id.clone(),
            llmid: details.llmid.clone(),
            model: names.into_iter().flatten().next().cloned(),
            input_tokens: count_beside(details.input_tokens, details, &["input_tokens", "prompt_tokens"]),
            output_tokens: count_beside(
                details.output_tokens,
                details,
                &["output_tokens", "completion_tokens"],
            ),
            usage: details.usage.clone(),
            at: usage.event_time.unwrap_or_else(|| self.clock.now()),
            published_only,
            offered_as: None,
        };
        if request.pricing_id.is_some() || request.llmid.is_some() {
            return self.prices.quote(&request).await;
        }
        let mut refused = None;
        for name in names.into_iter().flatten() {
            let request =
                PriceRequest { model: Some(name.clone()), offered_as: Some(name.clone()), ..request.clone() };
            match self.prices.quote(&request).await? {
                Ok(quote) => return Ok(Ok(quote)),
                Err(no_price) => refused = refused.or(Some(no_price)),
            }
        }
        Ok(Err(refused.unwrap_or_else(|| NoPrice::NotFound("the usage names no model".to_owned()))))
    }

    /// A record by its id. One out of reach is [`Error::NotFound`], as if it did not exist.
    pub async fn get(&self, principal: &Principal, id: RecordId) -> Result<UsageRecord, Error> {
        let usage = self.store.usage(id).await?;
        let own = principal.own_rows_of().map(UserId::as_str);
        let visible = |usage: &UsageRecord| {
            let theirs = own.is_none_or(|user| usage.details.user_id.as_deref() == Some(user));
            principal.reach.includes(&usage.customer_id) && theirs
        };
        let usage = usage.filter(visible).ok_or(Error::NotFound("usage record"))?;
        Ok(self.with_arithmetic(Used { usage, replayed: true }).await?.usage)
    }

    /// Records usage that was prepared; returns once it is durable.
    pub async fn record(&self, request: Request) -> Result<Used, Error> {
        self.may_write()?;
        let verdict = self.engine.submit(request).await.and_then(Outcome::into_used);
        self.metrics.decided(&verdict);
        let used = verdict?;
        self.settled(&used);
        self.with_arithmetic(used).await
    }

    /// Records many, each decided for itself; the verdicts are in the order of the requests.
    pub async fn record_each(&self, requests: Vec<Request>) -> Result<Vec<Result<Used, Error>>, Error> {
        self.may_write()?;
        let outcomes = self.engine.submit_bulk(requests).await?;
        let mut verdicts = Vec::with_capacity(outcomes.len());
        for outcome in outcomes {
            let verdict = outcome.and_then(Outcome::into_used);
            self.metrics.decided(&verdict);
            verdicts.push(match verdict {
                Ok(used) => {
                    self.settled(&used);
                    self.with_arithmetic(used).await
                }
                Err(error) => Err(error),
            });
        }
        Ok(verdicts)
    }

    /// How the cost came about stands in the ledger, where it was charged. An answer that repeats an earlier one reads it
    /// there.
    async fn with_arithmetic(&self, mut used: Used) -> Result<Used, Error> {
        let usage = &mut used.usage;
        if let (Some(record), None) = (usage.record_id, &usage.arithmetic) {
            let charge = self.store.record(record).await?;
            if let Some(charge) = charge {
                usage.arithmetic = charge.arithmetic;
            }
        }
        Ok(used)
    }

    /// What was reserved may be free now: a refusal of the user counts no longer.
    fn settled(&self, used: &Used) {
        if let (Some(user), Some(_)) = (&used.usage.details.user_id, used.usage.reservation_id) {
            self.refusals.forget(&used.usage.customer_id, user);
        }
    }

    fn may_write(&self) -> Result<(), Error> {
        if self.config.read(|config| config.server.read_only) { Err(Error::ReadOnly) } else { Ok(()) }
    }
}

/// A count as a price list is asked with it: none where only the quantities have it, under one of these names.
fn count_beside(count: i64, details: &UsageDetails, names: &[&str]) -> Option<i64> {
    let quantities = details.usage.as_deref().filter(|_| count == 0);
    let quantities = quantities.and_then(|text| serde_json::from_str::<Map<String, Value>>(text).ok());
    let told = quantities.is_some_and(|known| names.iter().any(|name| known.contains_key(*name)));
    (!told).then_some(count)
}
