use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use jiff::tz::TimeZone;
pub use sageapi_runtime::telemetry::LogFormat;

use crate::model::{Currency, Mode, Secret};

use super::database::DatabaseTarget;
use super::schedule::Schedule;

/// A validated configuration. `Debug` shows secrets as `***`.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// The REST listener.
    pub server: Server,
    /// The listener for probes and metrics.
    pub admin: Admin,
    /// The database.
    pub database: Database,
    /// The platform to pull from; `None`: nothing is pulled.
    pub upstream: Option<Upstream>,
    /// `whsec_` secrets of the events that the platform sends; empty: none is accepted. They work without
    /// `upstream`.
    pub upstream_events: Vec<Secret>,
    /// The mirror.
    pub sync: Sync,
    /// Answers kept in memory.
    pub cache: Cache,
    /// Keys, secrets and signatures.
    pub auth: Auth,
    /// Booking.
    pub accounting: Accounting,
    /// Usage records.
    pub usage: Usage,
    /// The audit log.
    pub audit: Audit,
    /// Limits on what users consume.
    pub quota: Quota,
    /// Primary and edges; not implemented yet.
    pub cluster: Cluster,
    /// Traces.
    pub telemetry: Telemetry,
    /// Logs.
    pub log: Log,
}

/// Section `server`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    /// Address of the REST listener.
    pub listen: SocketAddr,
    /// What clients call this server.
    pub public_url: Option<PublicUrl>,
    /// How long one request may take.
    pub request_timeout: Duration,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Largest body of a batch.
    pub max_batch_bytes: usize,
    /// Proxies whose `X-Forwarded-*` headers are trusted.
    pub trusted_proxies: Vec<IpNet>,
    /// Answer writes of keys with 503 `read_only` and let due holds be; events are still taken.
    pub read_only: bool,
    /// How long accepted requests may finish after SIGTERM.
    pub shutdown_grace: Duration,
    /// How long a connection without a request is kept.
    pub idle_timeout: Duration,
    /// Certificate and key; not implemented yet.
    pub tls: Option<TlsFiles>,
}

/// Scheme and authority that clients sign.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublicUrl {
    /// `http` or `https`.
    pub scheme: String,
    /// Host and perhaps port, in lower case.
    pub authority: String,
}

/// PEM files of a TLS listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate chain.
    pub cert_file: PathBuf,
    /// The private key.
    pub key_file: PathBuf,
}

/// Section `admin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Where probes, metrics and health are served.
    pub listen: SocketAddr,
}

/// Section `database`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// Which database.
    pub target: DatabaseTarget,
    /// Most connections at a time.
    pub max_connections: u32,
}

/// Section `upstream`, given a `url`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Base URL without a trailing slash.
    pub url: String,
    /// How pulls are authenticated.
    pub auth: UpstreamAuth,
    /// How long one pull may take.
    pub timeout: Duration,
    /// CA of the platform as PEM; `None`: those of the system.
    pub ca_file: Option<PathBuf>,
    /// Proxy URL; it may hold credentials.
    pub proxy: Option<Secret>,
}

/// How pulls are authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum UpstreamAuth {
    /// Signatures of RFC 9421.
    Signed {
        /// Key id.
        key_id: String,
        /// Secret of the key.
        secret: Secret,
    },
    /// `Authorization: Bearer`.
    Bearer {
        /// The token.
        token: Secret,
    },
    /// The platform's older scheme; not implemented yet.
    Deerer {
        /// Application id.
        app_id: String,
        /// API key.
        api_key: Secret,
        /// Secret of the application.
        secret: Secret,
    },
}

/// Section `sync`.
#[derive(Debug, Clone, PartialEq)]
pub struct Sync {
    /// What is read.
    pub source: SyncSource,
    /// The platform's database, with [`SyncSource::Database`]; not implemented yet.
    pub source_database: Option<DatabaseTarget>,
    /// Zone of the platform's dates: `sync.timezone`, else UTC.
    pub zone: TimeZone,
    /// A sweep that would delete more than this share of an entity is refused.
    pub max_delete_ratio: f64,
    /// Users.
    pub users: EntitySync,
    /// Pricing programs.
    pub pricing: EntitySync,
    /// Models.
    pub llmage: EntitySync,
    /// Upstream APIs.
    pub uapi: EntitySync,
    /// Balances; not implemented yet.
    pub balances: EntitySync,
}

/// What the mirror reads.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SyncSource {
    /// The platform's feed.
    #[default]
    Api,
    /// The platform's tables; not implemented yet.
    Database,
}

/// How one entity is mirrored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntitySync {
    /// Whether it is.
    pub enabled: bool,
    /// When it runs.
    pub schedule: Schedule,
    /// What a run pulls.
    pub mode: SyncMode,
    /// Rows in a page, 1 to 1000.
    pub batch_size: u32,
    /// Time between two snapshots in incremental mode; `None`: only when the platform asks.
    pub full_every: Option<Duration>,
}

/// What a run pulls.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SyncMode {
    /// What changed since the run before.
    #[default]
    Incremental,
    /// A snapshot.
    Full,
}

/// Section `cache`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Memory for cached answers.
    pub max_bytes: u64,
    /// How long an answer may be reused.
    pub ttl: Duration,
    /// How long the absence of something may be reused.
    pub negative_ttl: Duration,
}

/// Section `auth`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Auth {
    /// Base64 of 32 bytes, checked; `None` only with SQLite, which then keeps a key beside its file.
    pub encryption_key: Option<Secret>,
    /// Former keys in the same form.
    pub previous_encryption_keys: Vec<Secret>,
    /// Pepper of stored bearer tokens; `None`: bearer tokens cannot be created.
    pub token_pepper: Option<Secret>,
    /// Signs the tokens of users; `None`: signing in is off, except with SQLite, which makes one.
    pub jwt_secret: Option<Secret>,
    /// Others whose tokens are accepted.
    pub previous_jwt_secrets: Vec<Secret>,
    /// How far a signature's time may be from ours.
    pub clock_skew: Duration,
    /// Components that signatures must cover in addition to the required ones.
    pub required_components: Vec<String>,
    /// The first administrator.
    pub bootstrap_admin: Option<BootstrapAdmin>,
}

/// The administrator of the platform that is created where there is none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BootstrapAdmin {
    /// Its username.
    pub username: String,
    /// Its password.
    pub password: BootstrapPassword,
}

/// Where the password of the first administrator is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BootstrapPassword {
    /// Here.
    Given(Secret),
    /// On the first line of this file, which is read when it is needed.
    File(PathBuf),
}

/// Section `accounting`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Accounting {
    /// Whether a charge may go below zero, for customers without a mode of their own.
    pub mode: Mode,
    /// Currency of customers created without one.
    pub currency: Currency,
    /// Decimals that computed amounts are rounded to, 0 to 9.
    pub scale: u8,
    /// Zone that an event's date is taken in: `accounting.timezone`, else `sync.timezone`, else UTC.
    pub zone: TimeZone,
    /// Maximum number of bookings in one commit, 1 to 1000.
    pub batch_max: usize,
    /// How long a writer waits for a full batch when its last commit was full.
    pub batch_delay: Duration,
    /// Maximum number of waiting bookings, over all writers.
    pub queue: usize,
    /// Writers; SQLite always has one.
    pub writers: usize,
}

/// Section `usage`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Usage {
    /// How long records are kept; `None`: for ever.
    pub retention: Option<Duration>,
    /// The time zone of the days of usage, by its name.
    pub timezone: String,
    /// The same.
    pub zone: TimeZone,
}

/// Section `audit`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// How long entries are kept; `None`: for ever.
    pub retention: Option<Duration>,
}

/// Section `quota`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// What a user without a group may do.
    pub unknown_user: UnknownUser,
    /// Zone of days and months, by its name.
    pub timezone: String,
    /// The same.
    pub zone: TimeZone,
}

/// What a user without a group may do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownUser {
    /// Nothing.
    #[default]
    Deny,
    /// Anything.
    Allow,
}

/// Section `cluster`; not implemented yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cluster {
    /// What this server is.
    pub role: ClusterRole,
    /// Name of this server among its peers.
    pub node_id: Option<String>,
    /// Where peers reach this server.
    pub advertise_url: Option<String>,
    /// Where an edge reaches the primary.
    pub primary_url: Option<String>,
    /// Key id of an edge at the primary.
    pub node_key: Option<String>,
    /// Secret of that key.
    pub node_secret: Option<Secret>,
}

/// What a server is among its peers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum ClusterRole {
    /// It owns the ledger, alone or with others on one database.
    #[default]
    Primary,
    /// It reports to a primary.
    Edge,
}

/// Section `telemetry`.
#[derive(Debug, Clone, PartialEq)]
pub struct Telemetry {
    /// Base URL of a collector, OTLP over HTTP, without a trailing slash; `None`: no traces.
    pub otlp_endpoint: Option<String>,
    /// Share of traces that are kept, 0 to 1.
    pub sampling_ratio: f64,
}

/// Section `log`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// `trace`, `debug`, `info`, `warn` or `error`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}
