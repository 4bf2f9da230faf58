//! The controller: resources that are due are reconciled, a few at a time, never two reconciles of one resource at once.
//! It is generic over the resource: a [`Reconciler`](crate::reconciler::Reconciler) observes and decides.

mod apply;
mod context;
mod leader;
pub(crate) mod live;
mod metrics;
mod queue;
mod reconcile;
mod refused;
mod status;
#[cfg(test)]
mod tests;
mod written;

pub use self::context::Context;
pub use self::leader::Controller;
pub use self::metrics::{ControllerMetrics, RECONCILE_RESULTS};
pub use self::queue::jittered;
