//! A booking engine on the store, and what is asked of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use jiff::tz::TimeZone;
use sageapi_server::config::{self, LiveConfig};
use sageapi_server::domain::Error;
use sageapi_server::domain::balances::BalanceCache;
use sageapi_server::domain::booking::{
    Action, Amount, Booking, BookingMetrics, BookingParts, Capture, Entry, Outcome, Request, Reserve,
    Reverse, Usage, UsageFloor, usage_transno,
};
use sageapi_server::domain::caches::Caches;
use sageapi_server::domain::prices::{NoPrice, Quote};
use sageapi_server::domain::pricing::{Arithmetic, PricedLine};
use sageapi_server::model::{
    BookingDetails, Clock, Currency, CustomerId, Hold, Kind, Mode, Money, Record, RecordId, SystemClock,
    SystemEntropy, Transno, UsageDetails,
};
use sageapi_server::store::Store;
use sageapi_server::telemetry::metrics::Metrics;

use crate::model::usage::{USERS, Use, When};

const DAY: Duration = Duration::from_hours(24);

/// An engine as an instance has it.
pub fn start(store: &Store) -> Booking {
    let clock: Arc<dyn Clock> = SystemClock::new();
    let metrics = Metrics::new("test");
    let nothing = |_: &std::path::Path| Err(std::io::ErrorKind::NotFound.into());
    let mut config = config::load(None, &BTreeMap::new(), &nothing).unwrap().config;
    config.accounting = config::Accounting {
        mode: Mode::Strict,
        batch_max: 8,
        batch_delay: Duration::from_micros(200),
        queue: 10_000,
        writers: 2,
        ..config.accounting
    };
    let config = LiveConfig::new(config);
    let caches = Caches::new(&config, &clock, &metrics);
    let parts = BookingParts {
        usage_floor: UsageFloor::default(),
        balances: BalanceCache::new(&caches),
        nonces: Arc::default(),
        metrics: BookingMetrics::register(&metrics),
        clock,
        entropy: SystemEntropy::new(),
        config,
        runtime: tokio::runtime::Handle::current(),
    };
    Booking::start(store, parts)
}

pub fn request(customer: &CustomerId, body: u8, action: Action) -> Request {
    Request { customer_id: customer.clone(), body_hash: [body; 32], nonce: None, action }
}

fn transno(name: &str) -> Transno {
    Transno::parse(name).unwrap()
}

pub fn book(name: &str, kind: Kind, amount: Money) -> Action {
    let (transno, amount) = (transno(name), Amount::Given(amount));
    let details =
        BookingDetails { input_tokens: Some(3), output_tokens: Some(4), ..BookingDetails::default() };
    Action::Book(Entry { transno, kind, amount, currency: None, event_time: None, details })
}

pub fn hold(name: &str, amount: Money, ttl: Duration) -> Action {
    let transno = transno(name);
    Action::Hold(Reserve { transno, amount, currency: None, ttl, user_id: None, note: None })
}

pub fn capture(name: &str, hold: RecordId, amount: Option<Money>) -> Action {
    Action::Capture(Capture { transno: transno(name), hold, amount })
}

pub fn reverse(name: &str, record: RecordId, amount: Option<Money>) -> Action {
    Action::Reverse(Reverse { transno: transno(name), record, amount, of_any_kind: true, note: None })
}

/// Usage, as priced.
pub fn consume(name: &str, usage: &Use, zone: &TimeZone) -> Action {
    let (request_id, now) = (transno(name), SystemClock::new().now());
    let event_time = match usage.when {
        When::Now => None,
        When::LongAgo => Some(now.minus(40 * DAY)),
        When::TooLongAgo => Some(now.minus(1000 * DAY)),
        When::Later => Some(now.plus(DAY)),
    };
    let currency = Currency::parse(if usage.foreign { "USD" } else { "CNY" }).unwrap();
    let price = match usage.cost {
        Some(nanos) => Amount::Quoted(Box::new(quote(Money::from_nanos(nanos).unwrap(), currency))),
        None => Amount::Unquoted(NoPrice::OutOfRange),
    };
    Action::Usage(Box::new(Usage {
        transno: usage_transno(&request_id).unwrap(),
        request_id,
        details: UsageDetails {
            user_id: usage.user.map(|user| USERS[user].to_owned()),
            input_tokens: usage.tokens / 2,
            output_tokens: usage.tokens - usage.tokens / 2,
            ..UsageDetails::default()
        },
        group_id: None,
        source_node: None,
        event_time,
        hold: usage.hold,
        reservation: usage.reservation,
        quota_zone: zone.clone(),
        price,
    }))
}

/// What a program says that charges so much for each request.
fn quote(price: Money, currency: Currency) -> Quote {
    let line = PricedLine {
        rule: 0,
        factor: "requests".to_owned(),
        quantity: "1".to_owned(),
        unit_value: "1".to_owned(),
        unit_price: price.to_string(),
        subtotal: price.to_string(),
    };
    let (row, date) = ("p".to_owned(), "2026-05-28".to_owned());
    let arithmetic = Arithmetic { row, date, discount: None, scale: 9, lines: vec![line] };
    let (amount, unrounded) = arithmetic.recompute().unwrap();
    let (pricing_id, arithmetic) = ("p".to_owned(), arithmetic.to_json());
    Quote { amount, currency, pricing_id, version: 1, unrounded, arithmetic, model: None }
}

/// A customer's requests, each of which must pass.
pub struct Teller<'e> {
    pub engine: &'e Booking,
    pub customer: CustomerId,
}

impl Teller<'_> {
    pub async fn record(&self, action: Action) -> Record {
        self.done(action).await.and_then(Outcome::into_booked).unwrap().record
    }

    pub async fn hold(&self, action: Action) -> Hold {
        self.done(action).await.and_then(Outcome::into_reserved).unwrap().hold
    }

    async fn done(&self, action: Action) -> Result<Outcome, Error> {
        self.engine.submit(request(&self.customer, 0, action)).await
    }
}
