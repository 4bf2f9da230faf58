//! Sections from values, and what concerns several keys. Every section is read even when an earlier one is
//! wrong, so that all errors come at once; `None` means that an error was recorded.

use std::time::Duration;

use jiff::tz::TimeZone;
use sageapi_contract::DEFAULT_DATABASE_URL;

use crate::model::Secret;

use super::database::{self, DatabaseHost, DatabaseTarget};
use super::schedule::Schedule;
use super::types::{
    Accounting, Admin, Audit, Auth, BootstrapAdmin, BootstrapPassword, Cache, Cluster, Config, Database,
    EntitySync, Log, Quota, Server, Sync, SyncSource, Telemetry, TlsFiles, Upstream, UpstreamAuth, Usage,
};
use super::value::{Reader, WebhookSecrets};

/// Connections that are left for everything but the writers.
const SPARE_CONNECTIONS: u32 = 4;

pub(super) fn config(r: &mut Reader) -> Option<Config> {
    let (server, admin) = (server(r), admin(r));
    if let (Some(server), Some(admin)) = (&server, &admin)
        && server.listen == admin.listen
        && admin.listen.port() != 0
    {
        let found = format!("{:?}", admin.listen.to_string());
        let path = if r.is_set("admin.listen") { "admin.listen" } else { "server.listen" };
        r.refuse(path, found, "server.listen and admin.listen are the same");
    }
    let mut database = database(r);
    let (upstream, upstream_events) = (upstream(r), events(r));
    let sync = sync(r);
    let cache = Cache {
        max_bytes: r.value("cache.max_bytes"),
        ttl: r.value("cache.ttl"),
        negative_ttl: r.value("cache.negative_ttl"),
    };
    let mysql =
        database.as_ref().is_some_and(|database| matches!(database.target, DatabaseTarget::Mysql { .. }));
    let auth = auth(r, mysql);
    let accounting = accounting(r, &sync.zone);
    if let (true, Some(database), Some(accounting)) = (mysql, &mut database, &accounting) {
        spare_connections(r, database, accounting);
    }
    let usage = usage(r);
    let audit = Audit { retention: r.optional("audit.retention") };
    let timezone: String = r.value("quota.timezone");
    let quota = Quota {
        unknown_user: r.value("quota.unknown_user"),
        zone: zone(Some(&timezone)).unwrap_or(TimeZone::UTC),
        timezone,
    };
    let cluster = Cluster {
        role: r.value("cluster.role"),
        node_id: r.optional("cluster.node_id"),
        advertise_url: r.optional("cluster.advertise_url"),
        primary_url: r.optional("cluster.primary_url"),
        node_key: r.optional("cluster.node_key"),
        node_secret: r.optional("cluster.node_secret"),
    };
    let telemetry = Telemetry {
        otlp_endpoint: r.optional("telemetry.otlp_endpoint"),
        sampling_ratio: r.value("telemetry.sampling_ratio"),
    };
    let log = Log { level: r.value("log.level"), format: r.value("log.format") };
    Some(Config {
        server: server?,
        admin: admin?,
        database: database?,
        upstream,
        upstream_events,
        sync,
        cache,
        auth,
        accounting: accounting?,
        usage,
        audit,
        quota,
        cluster,
        telemetry,
        log,
    })
}

fn server(r: &mut Reader) -> Option<Server> {
    let listen = r.optional("server.listen");
    let (cert_file, key_file) = (r.optional("server.tls.cert_file"), r.optional("server.tls.key_file"));
    pair(r, "server.tls.cert_file", "server.tls.key_file");
    let rest = |listen| Server {
        listen,
        public_url: r.optional("server.public_url"),
        request_timeout: r.value("server.request_timeout"),
        max_body_bytes: r.value("server.max_body_bytes"),
        max_batch_bytes: r.value("server.max_batch_bytes"),
        trusted_proxies: r.list("server.trusted_proxies"),
        read_only: r.value("server.read_only"),
        shutdown_grace: r.value("server.shutdown_grace"),
        idle_timeout: r.value("server.idle_timeout"),
        tls: cert_file.zip(key_file).map(|(cert_file, key_file)| TlsFiles { cert_file, key_file }),
    };
    listen.map(rest)
}

fn admin(r: &mut Reader) -> Option<Admin> {
    Some(Admin { listen: r.optional("admin.listen")? })
}

/// Two keys that make sense together only.
fn pair(r: &mut Reader, first: &'static str, second: &'static str) {
    if r.is_set(first) || r.is_set(second) {
        r.require(&[first, second], "because the other half of the pair is set");
    }
}

fn database(r: &mut Reader) -> Option<Database> {
    const PARTS: [&str; 6] = [
        "database.kind",
        "database.host",
        "database.port",
        "database.user",
        "database.password",
        "database.name",
    ];
    let max_connections = r.value("database.max_connections");
    let ca_file = r.optional("database.tls_ca_file");
    let url = r.optional::<DatabaseTarget>("database.url");
    let from_parts = PARTS.iter().any(|part| r.is_set(part));
    let parts = if from_parts { database_parts(r) } else { None };
    if r.is_set("database.url") {
        for part in PARTS {
            r.exclude("database.url", part);
        }
    }
    let target = match (url, from_parts) {
        (Some(url), _) => Some(url),
        (None, true) => parts,
        (None, false) if r.is_set("database.url") => None,
        (None, false) => database::parse(DEFAULT_DATABASE_URL).ok(),
    };
    let target = match target? {
        DatabaseTarget::Mysql { hosts, user, password, name, tls_ca_file: _ } => {
            DatabaseTarget::Mysql { hosts, user, password, name, tls_ca_file: ca_file }
        }
        sqlite @ DatabaseTarget::Sqlite { .. } => {
            if ca_file.is_some() {
                r.warn("database.tls_ca_file has no effect with SQLite".to_owned());
            }
            sqlite
        }
    };
    Some(Database { target, max_connections })
}

/// Writers keep a connection each; all else must not wait for what they never give back.
fn spare_connections(r: &mut Reader, database: &mut Database, accounting: &Accounting) {
    let least = u32::try_from(accounting.writers).unwrap_or(u32::MAX).saturating_add(SPARE_CONNECTIONS);
    if database.max_connections < least {
        r.warn(format!(
            "database.max_connections: {} is raised to {least}: each of accounting.writers keeps a connection, and \
             everything else needs {SPARE_CONNECTIONS}",
            database.max_connections
        ));
        database.max_connections = least;
    }
}

fn database_parts(r: &mut Reader) -> Option<DatabaseTarget> {
    let kind: Option<String> = r.optional("database.kind");
    let host: Option<String> = r.optional("database.host");
    let port = r.optional("database.port");
    let user = r.optional("database.user");
    let password: Option<Secret> = r.optional("database.password");
    let name: Option<String> = r.optional("database.name");
    let sqlite =
        kind.as_deref() == Some("sqlite") || (!r.is_set("database.kind") && !r.is_set("database.host"));
    if !sqlite {
        r.require(&["database.host", "database.user", "database.name"], "to reach a MySQL server");
        return Some(DatabaseTarget::Mysql {
            hosts: vec![DatabaseHost { name: host?, port: port.unwrap_or(database::MYSQL_PORT) }],
            user: user?,
            password: password.unwrap_or_default(),
            name: name?,
            tls_ca_file: None,
        });
    }
    // Without kind and host, a lone name or user may mean either.
    r.require(&["database.kind"], "to tell what the other parts of database are parts of");
    for part in ["database.host", "database.port", "database.user", "database.password"] {
        if kind.is_some() {
            r.forbid(part, "with database.kind: sqlite");
        }
    }
    r.require(&["database.name"], "as the path of the SQLite file");
    name.map(|path| DatabaseTarget::Sqlite { path: path.into() })
}

fn upstream(r: &mut Reader) -> Option<Upstream> {
    let url = r.optional("upstream.url");
    let scheme: Option<String> = r.optional("upstream.auth");
    let key = r.optional::<Secret>("upstream.dapi_key").map(|key| key.expose().to_owned());
    let secret = r.optional("upstream.dapi_secret");
    let api_key = r.optional("upstream.dapi_apikey");
    let timeout = r.value("upstream.timeout");
    let ca_file = r.optional("upstream.ca_file");
    let proxy = r.optional("upstream.proxy");
    if !r.is_set("upstream.url") {
        for path in ["upstream.dapi_key", "upstream.dapi_secret"] {
            if r.is_set(path) {
                r.warn(format!("{path} has no effect without upstream.url"));
            }
        }
        return None;
    }
    let auth = match scheme?.as_str() {
        "bearer" => {
            r.require(&["upstream.dapi_secret"], "as the token of upstream.auth: bearer");
            UpstreamAuth::Bearer { token: secret? }
        }
        "deerer" => {
            r.warn("upstream.auth: deerer is accepted but not implemented yet: nothing is pulled".to_owned());
            r.require(
                &["upstream.dapi_key", "upstream.dapi_apikey", "upstream.dapi_secret"],
                "by upstream.auth: deerer",
            );
            UpstreamAuth::Deerer { app_id: key?, api_key: api_key?, secret: secret? }
        }
        _ => {
            r.require(&["upstream.dapi_key", "upstream.dapi_secret"], "by upstream.auth: signed");
            UpstreamAuth::Signed { key_id: key?, secret: secret? }
        }
    };
    Some(Upstream { url: url?, auth, timeout, ca_file, proxy })
}

fn events(r: &mut Reader) -> Vec<Secret> {
    r.optional("upstream.uapi_secret").map(|WebhookSecrets(secrets)| secrets).unwrap_or_default()
}

fn sync(r: &mut Reader) -> Sync {
    let source = r.value("sync.source");
    let source_database = r.optional("sync.database_url");
    let needed = match source {
        SyncSource::Api => "upstream.url",
        SyncSource::Database => {
            r.warn("sync.source: database is accepted but not implemented yet: nothing is pulled".to_owned());
            r.require(&["sync.database_url"], "by sync.source: database");
            "sync.database_url"
        }
    };
    let timezone: Option<String> = r.optional("sync.timezone");
    let mut entity = |keys: &EntityKeys| entity(r, keys, needed, timezone.as_deref());
    let [users, pricing, llmage, uapi, balances] = ENTITIES.each_ref().map(&mut entity);
    let max_delete_ratio = r.value("sync.max_delete_ratio");
    let zone = zone(timezone.as_deref()).unwrap_or(TimeZone::UTC);
    Sync { source, source_database, zone, max_delete_ratio, users, pricing, llmage, uapi, balances }
}

/// Paths of one entity's keys.
struct EntityKeys {
    enabled: &'static str,
    every: &'static str,
    schedule: &'static str,
    time_zone: &'static str,
    mode: &'static str,
    batch_size: &'static str,
    full_every: &'static str,
}

macro_rules! entity_keys {
    ($name:literal) => {
        EntityKeys {
            enabled: concat!("sync.", $name, ".enabled"),
            every: concat!("sync.", $name, ".every"),
            schedule: concat!("sync.", $name, ".schedule"),
            time_zone: concat!("sync.", $name, ".time_zone"),
            mode: concat!("sync.", $name, ".mode"),
            batch_size: concat!("sync.", $name, ".batch_size"),
            full_every: concat!("sync.", $name, ".full_every"),
        }
    };
}

static ENTITIES: [EntityKeys; 5] = [
    entity_keys!("users"),
    entity_keys!("pricing"),
    entity_keys!("llmage"),
    entity_keys!("uapi"),
    entity_keys!("balances"),
];

fn entity(r: &mut Reader, keys: &EntityKeys, needed: &'static str, timezone: Option<&str>) -> EntitySync {
    let enabled: Option<bool> = r.optional(keys.enabled);
    if enabled == Some(true) {
        r.require(&[needed], "to mirror an entity that is enabled");
    }
    r.exclude(keys.every, keys.schedule);
    let every = r.value(keys.every);
    let expression: Option<String> = r.optional(keys.schedule);
    let own_zone: Option<String> = r.optional(keys.time_zone);
    if own_zone.is_some() && !r.is_set(keys.schedule) {
        r.warn(format!("{} has no effect without {}", keys.time_zone, keys.schedule));
    }
    let time_zone = own_zone.or(timezone.map(str::to_owned)).unwrap_or_else(|| "UTC".to_owned());
    EntitySync {
        enabled: enabled.unwrap_or_else(|| r.is_set(needed)),
        schedule: match expression {
            Some(expression) => Schedule::Cron { expression, time_zone },
            None => Schedule::Every(every),
        },
        mode: r.value(keys.mode),
        batch_size: r.value(keys.batch_size),
        full_every: r.optional(keys.full_every),
    }
}

fn auth(r: &mut Reader, mysql: bool) -> Auth {
    if mysql {
        r.require(&["auth.encryption_key"], "with MySQL, whose instances share stored secrets");
    }
    let bootstrap_admin = bootstrap_admin(r);
    Auth {
        encryption_key: r.optional("auth.encryption_key"),
        previous_encryption_keys: r.list("auth.previous_encryption_keys"),
        token_pepper: r.optional("auth.token_pepper"),
        jwt_secret: r.optional("auth.jwt_secret"),
        previous_jwt_secrets: r.list("auth.previous_jwt_secrets"),
        clock_skew: r.value("auth.clock_skew"),
        required_components: r.list("auth.required_components"),
        bootstrap_admin,
    }
}

fn bootstrap_admin(r: &mut Reader) -> Option<BootstrapAdmin> {
    const USERNAME: &str = "auth.bootstrap_admin.username";
    const PASSWORD: &str = "auth.bootstrap_admin.password";
    const PASSWORD_FILE: &str = "auth.bootstrap_admin.password_file";
    if r.is_set(PASSWORD_FILE) {
        pair(r, USERNAME, PASSWORD_FILE);
        if r.is_set(PASSWORD) {
            r.warn(format!("{PASSWORD} has no effect beside {PASSWORD_FILE}"));
        }
    } else {
        pair(r, USERNAME, PASSWORD);
    }
    let (username, password, file): (Option<String>, _, _) =
        (r.optional(USERNAME), r.optional(PASSWORD), r.optional(PASSWORD_FILE));
    let password = file.map(BootstrapPassword::File).or(password.map(BootstrapPassword::Given));
    username.zip(password).map(|(username, password)| BootstrapAdmin { username, password })
}

fn accounting(r: &mut Reader, default_zone: &TimeZone) -> Option<Accounting> {
    let (mode, currency) = (r.optional("accounting.mode"), r.optional("accounting.currency"));
    let (scale, timezone): (_, Option<String>) =
        (r.value("accounting.scale"), r.optional("accounting.timezone"));
    let (batch_max, batch_delay) = (r.value("accounting.batch_max"), r.value("accounting.batch_delay"));
    let (queue, writers) = (r.value("accounting.queue"), r.value("accounting.writers"));
    Some(Accounting {
        mode: mode?,
        currency: currency?,
        scale,
        zone: zone(timezone.as_deref()).unwrap_or_else(|| default_zone.clone()),
        batch_max,
        batch_delay,
        queue,
        writers,
    })
}

/// A zone that the table of keys has checked.
fn usage(r: &mut Reader) -> Usage {
    let (retention, timezone): (Duration, String) = (r.value("usage.retention"), r.value("usage.timezone"));
    let zone = zone(Some(&timezone)).unwrap_or(TimeZone::UTC);
    Usage { retention: (!retention.is_zero()).then_some(retention), timezone, zone }
}

fn zone(name: Option<&str>) -> Option<TimeZone> {
    name.and_then(|name| TimeZone::get(name).ok())
}
