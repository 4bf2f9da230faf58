//! How operations are grouped in `openapi.json`; generators make a class or a module of each group.

use super::routes::Operation;

/// A group of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Bookings and what was booked.
    Accounting,
    /// Balances.
    Balance,
    /// Reservations.
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

    /// Its name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Accounting => "accounting",
            Self::Balance => "balance",
            Self::Holds => "holds",
            Self::Pricing => "pricing",
            Self::Models => "models",
            Self::Users => "users",
            Self::Keys => "keys",
            Self::Events => "events",
            Self::Service => "service",
        }
    }

    /// What belongs to it.
    pub const fn description(self) -> &'static str {
        match self {
            Self::Accounting => "Bookings, and the records that they leave.",
            Self::Balance => "Customers' balances.",
            Self::Holds => "Reserving money, and settling what was reserved.",
            Self::Pricing => "Price lists, and what a usage costs by them.",
            Self::Models => "Models and upstream APIs of the platform.",
            Self::Users => "Users of the platform.",
            Self::Keys => "The caller's key.",
            Self::Events => "What the platform tells.",
            Self::Service => "The server itself, and this description.",
        }
    }
}

impl Operation {
    /// The group that the operation belongs to.
    pub const fn tag(self) -> Tag {
        match self {
            Self::Health | Self::OpenApi | Self::Docs => Tag::Service,
            Self::WhoAmI => Tag::Keys,
            Self::GetBalance => Tag::Balance,
            Self::ListUsers | Self::GetUser => Tag::Users,
            Self::ListPricing | Self::GetPricing | Self::QuotePrice => Tag::Pricing,
            Self::ListModels | Self::GetModel | Self::ListUapis => Tag::Models,
            Self::ListAccounting
            | Self::SummarizeAccounting
            | Self::ExportAccounting
            | Self::GetAccounting
            | Self::CreateAccounting
            | Self::CreateBatch
            | Self::ReverseAccounting => Tag::Accounting,
            Self::ListHolds | Self::GetHold | Self::CreateHold | Self::CaptureHold | Self::ReleaseHold => {
                Tag::Holds
            }
            Self::ReceiveEvent => Tag::Events,
        }
    }
}
