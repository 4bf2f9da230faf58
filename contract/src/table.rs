use crate::key::{Key, Kind};

/// A top-level section of the configuration file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Section {
    /// Its name in the file.
    pub name: &'static str,
    /// What it is about.
    pub doc: &'static str,
    /// Its keys in the order of the documentation. Keys of one entity of `sync` form a group.
    pub groups: &'static [&'static [Key]],
}

/// Every section in the order of the documentation: the one table of configuration keys.
pub static SECTIONS: &[Section] = &[
    Section { name: "server", doc: "The REST listener.", groups: &[SERVER] },
    Section {
        name: "admin",
        doc: "The listener for probes, metrics and health. Do not expose it outside the network.",
        groups: &[ADMIN],
    },
    Section {
        name: "database",
        doc: "Either `url`, or the parts `kind`, `host`, `port`, `user`, `password` and `name`.",
        groups: &[DATABASE],
    },
    Section {
        name: "upstream",
        doc: "The Sage platform that data is mirrored from. Optional as a whole; without `url` nothing is pulled.",
        groups: &[UPSTREAM],
    },
    Section {
        name: "sync",
        doc: "How the mirror is kept. Each entity runs by `every` or by `schedule`, not by both.",
        groups: &[SYNC, SYNC_USERS, SYNC_PRICING, SYNC_LLMAGE, SYNC_UAPI, SYNC_BALANCES],
    },
    Section { name: "cache", doc: "Answers kept in memory.", groups: &[CACHE] },
    Section { name: "auth", doc: "Keys, secrets and signatures.", groups: &[AUTH] },
    Section { name: "accounting", doc: "How charges and credits are booked.", groups: &[ACCOUNTING] },
    Section { name: "usage", doc: "Records of what users consume.", groups: &[USAGE] },
    Section { name: "audit", doc: "The log of what administrators change.", groups: &[AUDIT] },
    Section { name: "quota", doc: "Limits on what users consume.", groups: &[QUOTA] },
    Section { name: "cluster", doc: "Primary and edge servers.", groups: &[CLUSTER] },
    Section { name: "telemetry", doc: "Where traces go.", groups: &[TELEMETRY] },
    Section { name: "log", doc: "What is logged to standard error.", groups: &[LOG] },
];

/// Every key, in the order of [`SECTIONS`].
pub fn keys() -> impl Iterator<Item = &'static Key> {
    SECTIONS.iter().flat_map(|section| section.groups).copied().flatten()
}

/// The key of this path.
pub fn find(path: &str) -> Option<&'static Key> {
    keys().find(|key| key.path == path)
}

const MI: u64 = 1 << 20;
const GI: u64 = 1 << 30;

static SERVER: &[Key] = &[
    Key::new("server.listen", Kind::Address, "Address of the REST listener.").or("0.0.0.0:8080"),
    Key::new(
        "server.public_url",
        Kind::Origin,
        "The scheme and authority by which clients call this server, and which they sign. Unset: taken from the Host header and the socket.",
    ),
    Key::new("server.request_timeout", Kind::Time("10ms", "1h"), "Timeout of one request.")
        .or("30s")
        .reloadable(),
    Key::new("server.max_body_bytes", Kind::Size(1, GI), "Maximum size of a request body.").or("1048576").reloadable(),
    Key::new("server.max_batch_bytes", Kind::Size(1, GI), "Maximum size of a batch body.")
        .or("8388608")
        .reloadable(),
    Key::new("server.trusted_proxies", Kind::Networks, "Proxies whose X-Forwarded-* headers are trusted.")
        .or("")
        .reloadable(),
    Key::new(
        "server.read_only",
        Kind::Flag,
        "Answer writes with 503 read_only and do not close due holds; events are still accepted.",
    )
    .or("false")
    .reloadable(),
    Key::new(
        "server.shutdown_grace",
        Kind::Time("0s", "1h"),
        "How long accepted requests may take to finish after SIGTERM; it should exceed request_timeout.",
    )
    .or("35s"),
    Key::new(
        "server.idle_timeout",
        Kind::Time("10s", "1d"),
        "How long an idle connection is kept, plus at most 10 s; it should exceed the idle timeout of a load balancer in front.",
    )
    .or("90s"),
    Key::new("server.tls.cert_file", Kind::File, "Certificate chain as PEM; with key_file.").planned(),
    Key::new("server.tls.key_file", Kind::File, "Private key as PEM; with cert_file.").planned(),
];

static ADMIN: &[Key] = &[Key::new(
    "admin.listen",
    Kind::Address,
    "Address of /livez, /readyz, /startupz, /metrics and /health.",
)
.or("0.0.0.0:9090")];

static DATABASE: &[Key] = &[
    Key::new(
        "database.url",
        Kind::Database,
        "The database: sqlite:PATH or mysql://USER:PASSWORD@HOST:PORT/NAME, where HOST:PORT,HOST:PORT lists up to 16 hosts that are tried in order; sqlite:data/sageapi.db when neither url nor parts are set. Percent-encode reserved characters in user and password.",
    )
    .secret(),
    Key::new("database.kind", Kind::Choice(&["sqlite", "mysql"]), "Kind of database; mysql when a host is set."),
    Key::new("database.host", Kind::Host, "Host of the MySQL server."),
    Key::new("database.port", Kind::Integer(1, 65_535), "Port of the MySQL server; 3306 when unset."),
    Key::new("database.user", Kind::Text(1), "User of the MySQL server."),
    Key::new("database.password", Kind::Text(1), "Password of the user; unset: none.").secret(),
    Key::new("database.name", Kind::Text(1), "Name of the database; for sqlite the path of the file."),
    Key::new(
        "database.max_connections",
        Kind::Integer(1, 1_000),
        "Maximum number of connections; with MySQL at least accounting.writers and 4.",
    )
    .or("20"),
    Key::new("database.tls_ca_file", Kind::File, "CA that the MySQL server's certificate must chain to, as PEM."),
];

static UPSTREAM: &[Key] = &[
    Key::new("upstream.url", Kind::Url, "Base URL of the platform."),
    Key::new(
        "upstream.auth",
        Kind::Choice(&["signed", "bearer", "deerer"]),
        "How pulls are authenticated: signed takes dapi_key and dapi_secret, bearer takes dapi_secret, deerer takes all three.",
    )
    .or("signed"),
    Key::new("upstream.dapi_key", Kind::Text(1), "Key id, or the Deerer application id.").secret().reloadable(),
    Key::new("upstream.dapi_secret", Kind::Text(1), "Secret of the key, or the bearer token.").secret().reloadable(),
    Key::new("upstream.dapi_apikey", Kind::Text(1), "Deerer API key.").secret().reloadable().planned(),
    Key::new("upstream.uapi_secret", Kind::WebhookSecrets, "Secrets that sign the events of the platform.")
        .secret()
        .reloadable(),
    Key::new("upstream.timeout", Kind::Time("10ms", "10m"), "Timeout of one pull.").or("10s").reloadable(),
    Key::new("upstream.ca_file", Kind::File, "CA that the platform's certificate must chain to, as PEM; unset: those of the system."),
    Key::new("upstream.proxy", Kind::Proxy, "Proxy for pulls.").secret(),
];

static SYNC: &[Key] = &[
    Key::new(
        "sync.source",
        Kind::Choice(&["api", "database"]),
        "Pull from the platform's API or read its database.",
    )
    .or("api"),
    Key::new("sync.database_url", Kind::Mysql, "The platform's database; with source: database.")
        .secret()
        .planned(),
    Key::new(
        "sync.timezone",
        Kind::TimeZone,
        "Time zone of the platform's dates and of schedules without time_zone; UTC when unset.",
    ),
    Key::new(
        "sync.max_delete_ratio",
        Kind::Ratio,
        "A sweep that would delete more than this share of an entity is refused.",
    )
    .or("0.3")
    .reloadable(),
];

/// The keys of one mirrored entity.
macro_rules! entity {
    ($name:literal, $what:literal, every: $every:literal, enabled: $enabled:expr, $built:ident) => {
        &[
            Key {
                default: $enabled,
                ..Key::new(
                    concat!("sync.", $name, ".enabled"),
                    Kind::Flag,
                    concat!("Mirror ", $what, ". Unset: if a source is configured."),
                )
                .reloadable()
                .$built()
            },
            Key::new(concat!("sync.", $name, ".every"), Kind::Time("100ms", "30d"), "Time between two runs.")
                .or($every)
                .reloadable()
                .$built(),
            Key::new(
                concat!("sync.", $name, ".schedule"),
                Kind::Cron,
                "When to run, instead of every: minute, hour, day of month, month, day of week.",
            )
            .reloadable()
            .$built(),
            Key::new(concat!("sync.", $name, ".time_zone"), Kind::TimeZone, "Time zone of schedule.")
                .reloadable()
                .$built(),
            Key::new(
                concat!("sync.", $name, ".mode"),
                Kind::Choice(&["incremental", "full"]),
                "Pull changes only, or a full snapshot each time.",
            )
            .or("incremental")
            .reloadable()
            .$built(),
            Key::new(concat!("sync.", $name, ".batch_size"), Kind::Integer(1, 1_000), "Rows in a page.")
                .or("500")
                .reloadable()
                .$built(),
            Key::new(
                concat!("sync.", $name, ".full_every"),
                Kind::Time("1s", "365d"),
                "Time between two snapshots in incremental mode; unset: only when the platform asks.",
            )
            .reloadable()
            .$built(),
        ]
    };
}

impl Key {
    /// The opposite of [`Key::planned`], so that [`entity!`] can name either.
    const fn built(self) -> Self {
        Self { built: true, ..self }
    }
}

static SYNC_USERS: &[Key] = entity!("users", "users", every: "30s", enabled: None, built);
static SYNC_PRICING: &[Key] = entity!("pricing", "pricing programs", every: "5m", enabled: None, built);
static SYNC_LLMAGE: &[Key] = entity!("llmage", "models", every: "60s", enabled: None, built);
static SYNC_UAPI: &[Key] = entity!("uapi", "upstream APIs", every: "5m", enabled: None, built);
static SYNC_BALANCES: &[Key] = entity!("balances", "balances", every: "5m", enabled: Some("false"), planned);

static CACHE: &[Key] = &[
    Key::new("cache.max_bytes", Kind::Size(MI, 1 << 40), "Memory for cached answers.")
        .or("64Mi")
        .reloadable(),
    Key::new("cache.ttl", Kind::Time("1ms", "1d"), "How long an answer may be reused.")
        .or("60s")
        .reloadable(),
    Key::new("cache.negative_ttl", Kind::Time("1ms", "1d"), "How long a \"not found\" answer may be reused.")
        .or("5s")
        .reloadable(),
];

static AUTH: &[Key] = &[
    Key::new(
        "auth.encryption_key",
        Kind::EncryptionKey,
        "Encrypts stored secrets. Required with MySQL; SQLite without one creates <database file>.key.",
    )
    .secret()
    .reloadable(),
    Key::new(
        "auth.previous_encryption_keys",
        Kind::EncryptionKeys,
        "Previous keys, used only for decryption.",
    )
    .or("")
    .secret()
    .reloadable(),
    Key::new(
        "auth.token_pepper",
        Kind::Text(16),
        "Pepper of stored bearer tokens; unset: bearer tokens cannot be created.",
    )
    .secret()
    .reloadable(),
    Key::new(
        "auth.jwt_secret",
        Kind::Text(32),
        "Signs the tokens of users who sign in. Unset: signing in is off, but SQLite creates <database file>.jwt.",
    )
    .secret()
    .reloadable(),
    Key::new(
        "auth.previous_jwt_secrets",
        Kind::Texts(32),
        "Other secrets whose tokens are accepted: previous ones, and one that is about to be used.",
    )
    .or("")
    .secret()
    .reloadable(),
    Key::new(
        "auth.clock_skew",
        Kind::Time("1s", "1h"),
        "Accepted difference between a signature's time and the server's.",
    )
    .or("300s")
    .reloadable(),
    Key::new(
        "auth.required_components",
        Kind::Components,
        "Components that signatures must cover in addition to the required ones.",
    )
    .or("")
    .reloadable(),
    Key::new(
        "auth.bootstrap_admin.username",
        Kind::Text(1),
        "The first administrator of the platform, created where there is none; with password or password_file.",
    ),
    Key::new("auth.bootstrap_admin.password", Kind::Text(15), "Its password; with username.")
        .secret()
        .with_file_key(),
    Key::new(
        "auth.bootstrap_admin.password_file",
        Kind::File,
        "A file whose first line is its password; instead of password.",
    ),
];

static ACCOUNTING: &[Key] = &[
    Key::new(
        "accounting.mode",
        Kind::Choice(&["strict", "allow_negative"]),
        "Whether a charge beyond the available funds is refused; a customer may have its own mode.",
    )
    .or("strict")
    .reloadable(),
    Key::new("accounting.currency", Kind::Currency, "Currency of customers created without one.").or("CNY"),
    Key::new("accounting.scale", Kind::Integer(0, 9), "Decimal places that computed amounts are rounded to.")
        .or("6"),
    Key::new(
        "accounting.timezone",
        Kind::TimeZone,
        "Time zone of an event's date; unset: sync.timezone, else UTC.",
    ),
    Key::new("accounting.batch_max", Kind::Integer(1, 1_000), "Maximum number of bookings in one commit.").or("64"),
    Key::new(
        "accounting.batch_delay",
        Kind::Time("0ms", "1s"),
        "How long a writer waits for a full batch when its last commit was full.",
    )
    .or("2ms"),
    Key::new(
        "accounting.queue",
        // A fifth of it is one customer's, and must hold a whole batch.
        Kind::Integer(5_000, 1_000_000),
        "Maximum number of waiting bookings, of which one customer may have a fifth; more are answered with 503. \
         Batches may take three quarters of either.",
    )
    .or("10000"),
    Key::new("accounting.writers", Kind::Integer(1, 64), "Number of writers; SQLite always has one.").or("4"),
];

static AUDIT: &[Key] = &[Key::new(
    "audit.retention",
    Kind::Time("1d", "36500d"),
    "How long entries of the audit log are kept; unset: for ever.",
)
.reloadable()];

static USAGE: &[Key] = &[
    Key::new(
        "usage.retention",
        Kind::Time("0s", "36500d"),
        "How long usage records are kept; the sums over them stay. 0: for ever.",
    )
    .or("400d")
    .reloadable(),
    Key::new(
        "usage.timezone",
        Kind::TimeZone,
        "Time zone of the days of usage; fixed once there are usage records.",
    )
    .or("UTC"),
];

static QUOTA: &[Key] = &[
    Key::new(
        "quota.unknown_user",
        Kind::Choice(&["deny", "allow"]),
        "What a user may do that neither signs in here nor is mirrored: allow means as one without a group.",
    )
    .or("deny")
    .reloadable(),
    Key::new("quota.timezone", Kind::TimeZone, "Time zone of days and months.").or("UTC").reloadable(),
];

static CLUSTER: &[Key] = &[
    Key::new("cluster.role", Kind::Choice(&["primary", "edge"]), "What this server is.")
        .or("primary")
        .planned(),
    Key::new("cluster.node_id", Kind::Text(1), "Name of this server among its peers.").planned(),
    Key::new("cluster.advertise_url", Kind::Url, "Where peers reach this server.").planned(),
    Key::new("cluster.primary_url", Kind::Url, "Where an edge reaches the primary.").planned(),
    Key::new("cluster.node_key", Kind::Text(1), "Key id of an edge at the primary.").planned(),
    Key::new("cluster.node_secret", Kind::Text(1), "Secret of that key.").secret().planned(),
];

static TELEMETRY: &[Key] = &[
    Key::new(
        "telemetry.otlp_endpoint",
        Kind::Url,
        "Collector for traces, OTLP over HTTP, like http://otel:4318.",
    ),
    Key::new("telemetry.sampling_ratio", Kind::Ratio, "Share of traces that are recorded.").or("1"),
];

static LOG: &[Key] = &[
    Key::new(
        "log.level",
        Kind::Choice(&["trace", "debug", "info", "warn", "error"]),
        "Lowest severity that is logged.",
    )
    .or("info")
    .reloadable(),
    Key::new("log.format", Kind::Choice(&["json", "text"]), "One JSON object per line, or text for people.")
        .or("json"),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_key_stands_in_its_section() {
        for section in SECTIONS {
            for key in section.groups.iter().copied().flatten() {
                assert_eq!(key.path.split('.').next(), Some(section.name), "{}", key.path);
            }
        }
    }

    #[test]
    fn no_two_variables_have_the_same_name() {
        let mut seen = BTreeSet::new();
        for key in keys() {
            for variable in [Some(key.variable()), key.file_variable()].into_iter().flatten() {
                assert!(seen.insert(variable.clone()), "{variable} names two keys");
            }
        }
    }

    #[test]
    fn no_key_is_a_section_too() {
        for key in keys() {
            let section = format!("{}.", key.path);
            assert!(!keys().any(|other| other.path.starts_with(&section)), "{} is both", key.path);
        }
    }

    #[test]
    fn only_lists_are_empty_by_default() {
        for key in keys().filter(|key| key.default == Some("")) {
            assert!(key.kind.is_list(), "{}", key.path);
        }
        for key in keys().filter(|key| key.kind.is_list()) {
            assert_eq!(key.default, Some(""), "{}", key.path);
        }
    }

    #[test]
    fn every_key_is_documented_in_one_sentence_or_more() {
        for key in keys() {
            assert!(key.doc.ends_with('.') && !key.doc.contains('\n'), "{}", key.path);
        }
    }
}
