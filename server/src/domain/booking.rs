//! Booking: the one way in which money moves.
//!
//! A [`Request`] becomes a command, waits in the queue of its customer's shard, and is decided
//! together with its neighbours in one transaction of that shard's writer.

mod admission;
mod backend;
mod command;
mod commit;
mod decide;
mod engine;
mod metrics;
mod outcome;
mod parked;
mod preview;
mod price;
mod queue;
mod request;
mod rules;
mod service;
mod sweep;
mod writer;

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;

pub use engine::BookingParts;
pub use metrics::BookingMetrics;
pub use outcome::{Booked, Checked, Kept, Outcome, Reserved, Used};
pub use request::{
    Action, Amount, Capture, Entry, MAX_HOLD, QuotaCheck, Request, Reserve, Reverse, Usage, usage_transno,
};
pub use rules::{Rules, UsageFloor};
pub use service::Bookings;
pub use sweep::sweep_due;
pub use writer::Booking;
