//! Each child object, from what was validated and resolved. Pure: the same input gives the same bytes, or
//! pods would roll without need.

mod config;
mod config_map;
mod context;
mod deployment;
mod disruption_budget;
mod job;
mod network_policy;
mod pod;
mod secret;
mod service;
mod service_account;
#[cfg(test)]
mod tests;

pub use config::configuration;
pub use config_map::config_map;
pub use context::{Context, REVISION};
pub use deployment::deployment;
pub use disruption_budget::disruption_budget;
pub use job::{CONTAINER as MIGRATE_CONTAINER, migration_job};
pub use network_policy::network_policy;
pub use pod::environment;
pub use secret::{Keys, keys_secret, secrets};
pub use service::{service, url};
pub use service_account::service_account;

use crate::object::Object;
use crate::observed::Settings;

/// The objects that serve and those that belong to them, as they should be once the schema fits.
pub fn serving(context: &Context<'_>, settings: &Settings) -> Vec<Object> {
    let policy = network_policy(context, settings);
    [service(context), deployment(context), disruption_budget(context)].into_iter().chain(policy).collect()
}
