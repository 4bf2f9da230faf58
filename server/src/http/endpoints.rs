//! The endpoints, one file for each family: its routes, handlers and wire types, and their tests.

mod accounting;
mod admin;
mod auth;
mod balance;
mod batch;
mod bookings;
mod docs;
mod events;
mod health;
mod holds;
mod mirrored;
mod models;
mod pricing;
mod quota;
mod reversals;
mod transno;
mod uapis;
mod usage;
mod users;
mod whoami;

use super::routes::Route;

pub use batch::{BatchForm, MAX_ITEMS, items as batch_items};
pub use bookings::fingerprint;
pub use health::answer as health_answer;

/// Every family, in the order in which `openapi.json` and the README show them.
const FAMILIES: &[&[Route]] = &[
    health::ROUTES,
    docs::ROUTES,
    whoami::ROUTES,
    auth::ROUTES,
    balance::ROUTES,
    users::ROUTES,
    pricing::ROUTES,
    models::ROUTES,
    uapis::ROUTES,
    accounting::ROUTES,
    bookings::ROUTES,
    batch::ROUTES,
    reversals::ROUTES,
    holds::ROUTES,
    usage::ROUTES,
    usage::list::ROUTES,
    usage::stats::ROUTES,
    quota::ROUTES,
    admin::customers::ROUTES,
    admin::users::ROUTES,
    admin::groups::ROUTES,
    admin::members::ROUTES,
    admin::keys::ROUTES,
    admin::audit::ROUTES,
    events::ROUTES,
    admin::sessions::ROUTES,
];

/// Every route.
pub fn routes() -> impl Iterator<Item = &'static Route> {
    FAMILIES.iter().copied().flatten()
}

/// The route of this name.
#[cfg(test)]
pub fn route(id: &str) -> &'static Route {
    routes().find(|route| route.id == id).unwrap()
}
