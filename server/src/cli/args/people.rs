use std::path::PathBuf;

use clap::{Args, Subcommand};

/// A user, by its name and its customer.
#[derive(Debug, Clone, Args)]
pub struct Named {
    /// Its username
    #[arg(value_name = "USERNAME")]
    pub username: String,
    /// Its customer [default: a user of the platform]
    #[arg(long, value_name = "ID")]
    pub customer: Option<String>,
}

/// Where a password comes from. Never an argument: those are seen by everyone on the host.
#[derive(Debug, Clone, Args)]
pub struct PasswordSource {
    /// A file whose first line is the password [default: asked for without echo, or read from standard input]
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
pub enum User {
    /// Create a user
    ///
    /// The password has 8 to 128 bytes, that of an administrator 15 or more. An empty one creates a user who cannot sign
    /// in yet.
    Create {
        #[command(flatten)]
        user: Named,
        /// What it may do: user or admin
        #[arg(long, default_value = "user", value_name = "ROLE")]
        role: String,
        /// The name of its group
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
        /// Create it disabled
        #[arg(long)]
        disabled: bool,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// List users
    List {
        /// Only those of this customer
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        /// Only those in this group of the customer, by its name
        #[arg(long, value_name = "GROUP")]
        group: Option<String>,
    },
    /// Show a user with its group
    Show {
        #[command(flatten)]
        user: Named,
    },
    /// Set a password; ends all sessions of the user
    SetPassword {
        #[command(flatten)]
        user: Named,
        #[command(flatten)]
        password: PasswordSource,
    },
    /// Let a user sign in again
    Enable {
        #[command(flatten)]
        user: Named,
    },
    /// Disable a user; its access ends within a second
    Disable {
        #[command(flatten)]
        user: Named,
    },
    /// Move a user into a group
    SetGroup {
        #[command(flatten)]
        user: Named,
        /// The name of the group, or none for the default group
        #[arg(value_name = "GROUP")]
        group: String,
    },
    /// End all sessions of a user
    Revoke {
        #[command(flatten)]
        user: Named,
    },
    /// Delete a user; its usage and the audit log stay
    Delete {
        #[command(flatten)]
        user: Named,
    },
}

/// A group, by its name and its customer.
#[derive(Debug, Clone, Args)]
pub struct NamedGroup {
    /// Its name
    #[arg(value_name = "NAME")]
    pub name: String,
    /// Its customer [default: a group for users of all customers]
    #[arg(long, value_name = "ID")]
    pub customer: Option<String>,
}

/// The limits of a group. What is not given stays as it is.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// Tokens of a user in a day; 0 blocks, none means no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub daily_tokens: Option<String>,
    /// Tokens of a user in a month; 0 blocks, none means no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub monthly_tokens: Option<String>,
    /// Requests of a user in any 60 seconds; 0 blocks, none means no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub requests_per_minute: Option<String>,
    /// Tokens of one request; 0 blocks, none means no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub max_tokens_per_request: Option<String>,
    /// Requests of a user at the same time; 0 blocks, none means no limit
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub concurrent_requests: Option<String>,
    /// Tokens reserved for a request that does not say how many it needs; none to reserve one
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub default_reservation: Option<String>,
    /// The zone of days and months, such as Asia/Shanghai; none for that of quota.timezone
    #[arg(long, value_name = "ZONE")]
    pub time_zone: Option<String>,
    /// What happens while the database is away: deny or allow
    #[arg(long, value_name = "WHAT")]
    pub on_store_failure: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Group {
    /// Create a group
    Create {
        #[command(flatten)]
        group: NamedGroup,
        #[command(flatten)]
        limits: Limits,
        /// The group of users who are in none
        #[arg(long)]
        default: bool,
    },
    /// Change limits of a group
    Set {
        #[command(flatten)]
        group: NamedGroup,
        #[command(flatten)]
        limits: Limits,
        /// Whether it is the group of users who are in none
        #[arg(long, value_name = "BOOL")]
        default: Option<bool>,
    },
    /// List groups
    List {
        /// Only those of this customer
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
    },
    /// Show a group
    Show {
        #[command(flatten)]
        group: NamedGroup,
    },
    /// Delete a group
    Delete {
        #[command(flatten)]
        group: NamedGroup,
        /// Also if it has members, who are then in none
        #[arg(long)]
        force: bool,
    },
}

#[derive(Debug, Subcommand)]
pub enum Session {
    /// List sessions, newest first
    List {
        /// Only those of this user, by its id
        #[arg(long, value_name = "ID")]
        user_id: Option<String>,
        /// Only those of users of this customer
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
    },
    /// End a session; its access ends within a second
    Revoke {
        /// The session
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// List entries of the audit log, newest first
    List {
        /// Only changes by this key id or user id
        #[arg(long, value_name = "ID")]
        actor: Option<String>,
        /// Only this action, such as create, update, delete
        #[arg(long)]
        action: Option<String>,
        /// Only changes of this object: a kind such as group, or a kind and an id such as user:01890a5d-...
        #[arg(long, value_name = "KIND[:ID]")]
        object: Option<String>,
        /// Only what belongs to this customer
        #[arg(long, value_name = "ID")]
        customer: Option<String>,
        /// At or after this time, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        from: Option<String>,
        /// Before this time
        #[arg(long, value_name = "TIME")]
        to: Option<String>,
        /// How many entries at most
        #[arg(long, default_value_t = 100, value_name = "N")]
        limit: u32,
    },
}
