//! The SageApi resource as the controller sees it: what is observed around one, and who plans.

mod health;
mod metrics;
mod observe;
mod probe;
mod progress;
mod reconciler;

pub use self::metrics::{Conditions, InstallationMetrics, MIGRATION_RESULTS, ROLLOUT_TRIGGERS};
pub use self::reconciler::SageApiReconciler;
