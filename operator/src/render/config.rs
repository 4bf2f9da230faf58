//! The server's configuration. Only what the specification sets is written: the rest is the server's own default, which
//! may then change with its version.

use sageapi_crds::{
    Accounting, AccountingMode, AuthScheme, Cache, Database, EntitySync, LogLevel, Mysql, SageApiSpec,
    Server, Sync, SyncMode, Upstream, UpstreamAuth,
};
use serde_json::{Map, Value, json};

use crate::validate::{Validated, span_text};

/// The configuration as YAML.
pub fn configuration(validated: &Validated) -> Result<String, serde_yaml::Error> {
    let mut file = Map::new();
    // A new field does not compile until it is considered here.
    let SageApiSpec {
        instances: _,
        image: _,
        database,
        upstream,
        sync,
        accounting,
        cache,
        server,
        resources: _,
        service: _,
        network_policy: _,
        disruption_budget: _,
        node_selector: _,
        tolerations: _,
        pod_annotations: _,
        extra_env: _,
        paused: _,
    } = &validated.spec;

    // Of the database only this is written here: what is secret goes to files, the migration to its Job.
    let Database { mysql, migration: _ } = database;
    let Mysql { url_secret_ref: _, max_connections, tls: _ } = mysql;
    section(&mut file, "server", server_section(server.as_ref(), validated));
    section(&mut file, "database", vec![("max_connections", max_connections.map(Value::from))]);
    section(&mut file, "upstream", upstream.as_ref().map(upstream_section).unwrap_or_default());
    section(&mut file, "sync", sync.as_ref().map(sync_section).unwrap_or_default());
    section(
        &mut file,
        "cache",
        cache.as_ref().map(|cache| cache_section(cache, validated)).unwrap_or_default(),
    );
    section(&mut file, "accounting", accounting.as_ref().map(accounting_section).unwrap_or_default());
    let level = server.as_ref().and_then(|server| server.log_level).map(log_level);
    section(&mut file, "log", vec![("level", level.map(Value::from))]);
    serde_yaml::to_string(&file)
}

type Entries = Vec<(&'static str, Option<Value>)>;

fn section(file: &mut Map<String, Value>, name: &str, entries: Entries) {
    let entries = object(entries);
    if !entries.is_empty() {
        file.insert(name.to_owned(), Value::Object(entries));
    }
}

fn object(entries: Entries) -> Map<String, Value> {
    entries.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

fn text(value: Option<&String>) -> Option<Value> {
    value.map(|value| Value::from(value.as_str()))
}

fn server_section(server: Option<&Server>, validated: &Validated) -> Entries {
    let mut entries = vec![("shutdown_grace", Some(span_text(validated.shutdown_grace).into()))];
    if let Some(Server { log_level: _, request_timeout, max_body_bytes, trusted_proxies, public_url }) =
        server
    {
        entries.extend([
            ("request_timeout", text(request_timeout.as_ref())),
            ("max_body_bytes", max_body_bytes.map(Value::from)),
            ("trusted_proxies", (!trusted_proxies.is_empty()).then(|| json!(trusted_proxies))),
            ("public_url", text(public_url.as_ref())),
        ]);
    }
    entries
}

fn upstream_section(upstream: &Upstream) -> Entries {
    let Upstream { url, auth, events: _, ca_secret_ref: _, timeout } = upstream;
    let UpstreamAuth { scheme, secret_ref: _ } = auth;
    let scheme = match scheme.unwrap_or_default() {
        AuthScheme::Signed => "signed",
        AuthScheme::Bearer => "bearer",
    };
    vec![
        ("url", Some(url.as_str().into())),
        ("auth", Some(scheme.into())),
        ("timeout", text(timeout.as_ref())),
    ]
}

fn sync_section(sync: &Sync) -> Entries {
    let Sync { time_zone, max_delete_ratio, users, pricing, llmage, uapi } = sync;
    let entity = |entity: &Option<EntitySync>| {
        let entries = entity.as_ref().map(entity_section).unwrap_or_default();
        (!entries.is_empty()).then_some(Value::Object(entries))
    };
    vec![
        ("timezone", text(time_zone.as_ref())),
        ("max_delete_ratio", max_delete_ratio.map(Value::from)),
        ("users", entity(users)),
        ("pricing", entity(pricing)),
        ("llmage", entity(llmage)),
        ("uapi", entity(uapi)),
    ]
}

fn entity_section(entity: &EntitySync) -> Map<String, Value> {
    let EntitySync { enabled, every, schedule, time_zone, mode, batch_size, full_every } = entity;
    let mode = mode.map(|mode| match mode {
        SyncMode::Incremental => "incremental",
        SyncMode::Full => "full",
    });
    object(vec![
        ("enabled", enabled.map(Value::from)),
        ("every", text(every.as_ref())),
        ("schedule", text(schedule.as_ref())),
        ("time_zone", text(time_zone.as_ref())),
        ("mode", mode.map(Value::from)),
        ("batch_size", batch_size.map(Value::from)),
        ("full_every", text(full_every.as_ref())),
    ])
}

fn cache_section(cache: &Cache, validated: &Validated) -> Entries {
    let Cache { max_bytes: _, ttl, negative_ttl } = cache;
    vec![
        ("max_bytes", validated.cache_bytes.map(Value::from)),
        ("ttl", text(ttl.as_ref())),
        ("negative_ttl", text(negative_ttl.as_ref())),
    ]
}

fn accounting_section(accounting: &Accounting) -> Entries {
    let Accounting { mode, currency, scale } = accounting;
    let mode = mode.map(|mode| match mode {
        AccountingMode::Strict => "strict",
        AccountingMode::AllowNegative => "allow_negative",
    });
    vec![
        ("mode", mode.map(Value::from)),
        ("currency", text(currency.as_ref())),
        ("scale", scale.map(Value::from)),
    ]
}

fn log_level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Trace => "trace",
        LogLevel::Debug => "debug",
        LogLevel::Info => "info",
        LogLevel::Warn => "warn",
        LogLevel::Error => "error",
    }
}
