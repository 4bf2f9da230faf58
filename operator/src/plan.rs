//! From observation to plan: pure, and the only place that decides.
//!
//! A plan has the steps up to the first closed gate. What a gate waits for is observed again by the next reconcile, so
//! that nothing is remembered but what the status says.

mod assessment;
mod attempt;
mod children;
mod conditions;
mod database;
mod decide;
mod events;
mod follow_up;
mod garbage;
mod migration;
mod refusal;
mod status;
mod sync;
#[cfg(test)]
mod tests;
mod withdrawn;
mod workload;

pub use follow_up::{Ask, FollowUp, MetricUpdate};
pub use status::{Plan, plan};
