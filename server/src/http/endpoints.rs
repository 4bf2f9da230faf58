//! The endpoints, one file for each family: its routes, handlers and wire types, and their tests.

mod accounting;
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
mod reversals;
mod transno;
mod uapis;
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
    events::ROUTES,
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

/// A group of endpoints in `openapi.json`, of which generators make a class or a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Bookings, and the records they leave.
    Accounting,
    /// Balances.
    Balance,
    /// Holds.
    Holds,
    /// Price lists and prices.
    Pricing,
    /// Models and upstream APIs.
    Models,
    /// Users.
    Users,
    /// Keys.
    Keys,
    /// Events of the platform.
    Events,
    /// The server and its description.
    Service,
}

impl Tag {
    /// Every group, in the order in which they are shown.
    pub const ALL: [Self; 9] = [
        Self::Accounting,
        Self::Balance,
        Self::Holds,
        Self::Pricing,
        Self::Models,
        Self::Users,
        Self::Keys,
        Self::Events,
        Self::Service,
    ];

    /// Its name and what belongs to it.
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Accounting => ("accounting", "Bookings, and the records that they leave."),
            Self::Balance => ("balance", "Customers' balances."),
            Self::Holds => ("holds", "Reserving money, and settling what was reserved."),
            Self::Pricing => ("pricing", "Price lists, and prices by them."),
            Self::Models => ("models", "Models and upstream APIs of the platform."),
            Self::Users => ("users", "Users of the platform."),
            Self::Keys => ("keys", "The caller's key."),
            Self::Events => ("events", "Events that the platform sends."),
            Self::Service => ("service", "The server itself, and this description."),
        }
    }
}
