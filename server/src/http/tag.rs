/// A group of endpoints in `openapi.json`, of which generators make a class or a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tag {
    /// Bookings, and the records they leave.
    Accounting,
    /// Balances.
    Balance,
    /// Holds.
    Holds,
    /// What users consume.
    Usage,
    /// Whether users may go on.
    Quota,
    /// Price lists and prices.
    Pricing,
    /// Models and upstream APIs.
    Models,
    /// Users.
    Users,
    /// Keys.
    Keys,
    /// Signing in.
    Auth,
    /// Administration.
    Administration,
    /// Events of the platform.
    Events,
    /// The server and its description.
    Service,
}

impl Tag {
    /// Every group, in the order in which they are shown.
    pub const ALL: [Self; 13] = [
        Self::Accounting,
        Self::Balance,
        Self::Holds,
        Self::Usage,
        Self::Quota,
        Self::Pricing,
        Self::Models,
        Self::Users,
        Self::Keys,
        Self::Auth,
        Self::Administration,
        Self::Events,
        Self::Service,
    ];

    /// Its name and what belongs to it.
    pub const fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Accounting => ("accounting", "Bookings, and the records that they leave."),
            Self::Balance => ("balance", "Customers' balances."),
            Self::Holds => ("holds", "Reserving money, and settling what was reserved."),
            Self::Usage => ("usage", "What users consume."),
            Self::Quota => ("quota", "Whether users may go on."),
            Self::Pricing => ("pricing", "Price lists, and prices by them."),
            Self::Models => ("models", "Models and upstream APIs of the platform."),
            Self::Users => ("users", "Users of the platform."),
            Self::Keys => ("keys", "The caller's key."),
            Self::Auth => ("auth", "Signing in."),
            Self::Administration => ("admin", "Administration."),
            Self::Events => ("events", "Events that the platform sends."),
            Self::Service => ("service", "The server itself, and this description."),
        }
    }
}
