//! Quotas: how many tokens and requests a user may use.
//!
//! A check is a hold in tokens. What decides is pure (`decide`, `counters`, `ring`, `window`): what was counted and the time go in, what is decided and
//! what is counted now come out. The caller holds the lock of the customer's row while it decides, takes the time from
//! the database, and writes what changed in the same transaction.
//!
//! Tokens are counted in windows, the days and months of a time zone. A new window is a new row, and nothing is ever reset.

pub mod counters;
pub mod decide;
mod metrics;
mod refusals;
pub mod ring;
mod service;
mod subjects;
pub mod window;

pub use counters::{Counted, Counters, Reservation, release, settle, use_without_reservation};
pub use decide::{Check, Decision, LimitState, check, states};
pub use metrics::QuotaMetrics;
pub use refusals::Refusals;
pub use ring::{MAX_RING_BYTES, Ring};
pub use service::{CheckAnswer, CheckRequest, QuotaService, RefusedBy};
pub use subjects::{Standing, Subject, Subjects};
pub use window::{next_window, window_at, zone_of};
