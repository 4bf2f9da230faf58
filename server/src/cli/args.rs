pub mod people;
pub mod usage;

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

/// SageAPI's server and its tools.
///
/// Configuration comes from one YAML file and from SAGEAPI_* variables; `config print` shows the
/// result. Exit codes: 0 done, 64 usage or configuration, 65 verify found a difference, 69 a needed
/// service is unavailable, 70 internal, 75 try again.
#[derive(Debug, Parser)]
#[command(name = "sageapi-server", version, max_term_width = 100)]
pub struct Args {
    /// The configuration file [default: SAGEAPI_CONFIG, else conf/config.yaml if there is one]
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Format of results
    #[arg(long, global = true, value_enum, default_value_t = Format::Text, value_name = "FORMAT")]
    pub output: Format,
    /// Hide the progress of long work
    #[arg(short, long, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// One JSON value
    Json,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the REST API and mirror the upstream platform
    ///
    /// An embedded SQLite database is migrated at start; a MySQL database is not: run `migrate` first.
    /// SIGTERM finishes requests in progress, within server.shutdown_grace.
    Serve,
    /// Bring the database's schema up to date, or show what that would do
    Migrate(Migrate),
    /// Mirror the upstream platform once, now
    Sync(Sync),
    /// Load initial data: customers, keys, mirrored rows (see init/data.json); can be repeated
    Seed {
        /// A JSON file
        file: PathBuf,
    },
    /// Create and change customers, book credits
    #[command(subcommand)]
    Customer(Customer),
    /// Create, list, rotate and revoke keys
    #[command(subcommand)]
    Key(Key),
    /// Create and change people who can sign in
    #[command(subcommand)]
    User(people::User),
    /// Create and change groups of users, and their limits
    #[command(subcommand)]
    Group(people::Group),
    /// List and end the sessions of users
    #[command(subcommand)]
    Session(people::Session),
    /// Read the audit log
    #[command(subcommand)]
    Audit(people::Audit),
    /// Delete old usage records
    #[command(subcommand)]
    Usage(usage::Usage),
    /// Recompute every balance and every sum of usage from the records; can run beside a live server
    Verify,
    /// Check, print and document the configuration
    #[command(subcommand)]
    Config(Config),
    /// Print the OpenAPI document
    Openapi,
    /// Print a signed curl command
    ///
    /// Example: sageapi-server sign --key-id ak_... --secret-file key.secret
    /// 'http://127.0.0.1:8080/api/v1/balance'
    Sign(Sign),
    /// Print completions for a shell
    ///
    /// bash: source <(sageapi-server completion bash)
    /// zsh: sageapi-server completion zsh >"${fpath[1]}/_sageapi-server"
    /// fish: sageapi-server completion fish >~/.config/fish/completions/sageapi-server.fish
    #[command(verbatim_doc_comment)]
    Completion {
        /// The shell
        shell: Shell,
    },
    /// Print the version
    Version,
}

#[derive(Debug, Clone, ClapArgs)]
pub struct Migrate {
    /// Only print the verdict; change nothing
    #[arg(long)]
    pub plan: bool,
    /// Only show the schema's state; change nothing
    #[arg(long, conflicts_with = "plan")]
    pub status: bool,
    /// The owner to record in the database; a database with another owner is refused
    #[arg(long, value_name = "ID")]
    pub owner: Option<String>,
    /// Also write the result to this file
    #[arg(long, value_name = "FILE")]
    pub result_file: Option<PathBuf>,
    /// Replace another owner
    #[arg(long)]
    pub take_over: bool,
}

#[derive(Debug, ClapArgs)]
pub struct Sync {
    /// Run once and exit (required: `serve` mirrors continuously)
    #[arg(long, required = true)]
    pub once: bool,
    /// users, pricing, llmage or uapi [default: all of them]
    pub entity: Option<String>,
}

#[derive(Debug, Subcommand)]
pub enum Customer {
    /// Create a customer
    Create {
        /// Its id: an organization id of the platform
        id: String,
        /// Its currency, which cannot be changed later [default: accounting.currency]
        #[arg(long, value_name = "CODE")]
        currency: Option<String>,
    },
    /// Book a credit
    Credit {
        /// The customer
        id: String,
        /// How much, such as 100 or 0.5
        amount: String,
        /// Identifies the booking; a repetition is not booked again
        #[arg(long)]
        transno: String,
    },
    /// Choose whether charges may take the balance below zero
    SetMode {
        /// The customer
        id: String,
        /// strict, allow_negative, or default for accounting.mode
        mode: String,
    },
    /// Set how far below zero the available balance may go
    SetLimit {
        /// The customer
        id: String,
        /// How much, such as 100
        limit: String,
    },
    /// Refuse charges and holds from now on
    Suspend {
        /// The customer
        id: String,
    },
    /// Accept charges and holds again
    Resume {
        /// The customer
        id: String,
    },
    /// Show a customer and its balance
    Show {
        /// The customer
        id: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum Key {
    /// Create a key; its secret is shown only once
    Create {
        /// The customer that it belongs to
        #[arg(long, value_name = "ID", required_unless_present = "platform", conflicts_with = "platform")]
        customer: Option<String>,
        /// Create a platform key, which may act for any customer
        #[arg(long)]
        platform: bool,
        /// Its scopes, such as balance:read,accounting:write
        #[arg(long, value_name = "A,B")]
        scopes: String,
        /// signed or bearer
        #[arg(long, default_value = "signed", value_name = "MODE")]
        auth_mode: String,
        /// A unique name
        #[arg(long)]
        name: Option<String>,
        /// When it expires, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// Networks that it may be used from, such as 10.0.0.0/8,192.0.2.7/32
        #[arg(long, value_name = "NET,NET")]
        cidrs: Option<String>,
    },
    /// List keys, without secrets
    List,
    /// Give a key a new secret beside the current one
    Rotate {
        /// The key
        key_id: String,
        /// How many hours the current secret stays valid, at most 168
        #[arg(long, default_value_t = 24)]
        overlap_hours: u16,
    },
    /// Disable a key permanently
    Revoke {
        /// The key
        key_id: String,
    },
    /// Re-encrypt every stored secret with auth.encryption_key
    Reencrypt,
}

#[derive(Debug, Subcommand)]
pub enum Config {
    /// Check the configuration and report every error
    Check,
    /// Print the effective configuration and the origin of each value
    Print,
    /// Print the configuration's JSON schema
    Schema,
    /// Print the configuration reference in Markdown
    Docs,
}

#[derive(Debug, ClapArgs)]
pub struct Sign {
    /// The key
    #[arg(long, value_name = "ID")]
    pub key_id: String,
    /// A file that holds the key's secret
    #[arg(long, value_name = "FILE")]
    pub secret_file: PathBuf,
    /// The method [default: GET, or POST with a body]
    #[arg(short = 'X', long = "request", value_name = "METHOD")]
    pub method: Option<String>,
    /// The body
    #[arg(short = 'd', long = "data", value_name = "BODY")]
    pub body: Option<String>,
    /// The address to request
    pub url: String,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Args::command().debug_assert();
    }

    #[test]
    fn the_configuration_file_may_stand_before_or_after_the_command() {
        for line in [["p", "--config", "f", "verify"], ["p", "verify", "--config", "f"]] {
            assert_eq!(Args::try_parse_from(line).unwrap().config, Some(PathBuf::from("f")));
        }
    }
}
