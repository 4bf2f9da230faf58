mod environment;
mod refused;
mod shown;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use sageapi_contract::{CONFIG_PATH, Key, Kind, SECRET_FILES, keys};

use super::*;
use crate::model::{Mode, Secret};

const KEY: &str = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
const OTHER_KEY: &str = "ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");

fn env(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// Loads `c.yaml` and these variables; other files are those given.
fn load_with(
    yaml: &[u8],
    variables: &[(&str, &str)],
    files: &[(&str, &str)],
) -> Result<Loaded, ConfigErrors> {
    let read = |path: &Path| match files.iter().find(|(name, _)| Path::new(name) == path) {
        _ if path == Path::new("c.yaml") => Ok(yaml.to_vec()),
        Some((_, content)) => Ok(content.as_bytes().to_vec()),
        None => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    load(Some(Path::new("c.yaml")), &env(variables), &read)
}

fn from_yaml(yaml: &str) -> Result<Loaded, ConfigErrors> {
    load_with(yaml.as_bytes(), &[], &[])
}

fn from_variables(variables: &[(&str, &str)]) -> Result<Loaded, ConfigErrors> {
    load_with(b"", variables, &[])
}

fn messages(result: Result<Loaded, ConfigErrors>) -> Vec<String> {
    match result {
        Ok(_) => Vec::new(),
        Err(errors) => errors.0.iter().map(ToString::to_string).collect(),
    }
}

/// A value that the key accepts.
fn sample(key: &Key) -> String {
    match key.kind {
        Kind::Flag => "true",
        Kind::Integer(least, _) | Kind::Size(least, _) => return least.to_string(),
        Kind::Ratio => "0.25",
        Kind::Time(least, _) => least,
        Kind::Choice(words) => words[0],
        Kind::Text(_) => "text-of-thirty-two-characters-0123",
        Kind::Texts(_) => "text-of-thirty-two-characters-0123,text-of-thirty-two-characters-4567",
        Kind::File => "/tmp/some.pem",
        Kind::Address => "127.0.0.1:7070",
        Kind::Host => "db.example.com",
        Kind::Url => "https://example.com/base",
        Kind::Origin => "https://example.com",
        Kind::Proxy => "http://user:password@proxy:3128",
        Kind::Database | Kind::Mysql => "mysql://user:password@host/name",
        Kind::TimeZone => "Asia/Shanghai",
        Kind::Cron => "*/5 * * * *",
        Kind::Currency => "USD",
        Kind::EncryptionKey => KEY,
        Kind::EncryptionKeys => return format!("{KEY},{OTHER_KEY}"),
        Kind::WebhookSecrets => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw whsec_AAEC",
        Kind::Networks => "10.0.0.0/8,::1",
        Kind::Components => "@authority,x-tenant",
        other => panic!("no sample for {other:?}"),
    }
    .to_owned()
}

#[test]
fn without_a_file_the_defaults_hold() {
    let absent = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let loaded = load(None, &BTreeMap::new(), &absent).unwrap();
    let Config { server, admin, database, upstream, upstream_events, sync, cache, auth, accounting, .. } =
        loaded.config.clone();
    assert_eq!(server.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(server.request_timeout, Duration::from_secs(30));
    assert_eq!((server.max_body_bytes, server.max_batch_bytes), (1_048_576, 8_388_608));
    assert_eq!(server.shutdown_grace, Duration::from_secs(35));
    assert_eq!(server.idle_timeout, Duration::from_secs(90));
    assert_eq!(admin.listen.to_string(), "0.0.0.0:9090");
    assert_eq!(database.target.display(), "sqlite:data/sageapi.db");
    assert_eq!(database.max_connections, 20);
    assert_eq!((upstream, upstream_events), (None, Vec::new()));
    assert!((sync.max_delete_ratio - 0.3).abs() < f64::EPSILON);
    let every = |entity: &EntitySync| entity.schedule.clone();
    assert_eq!(every(&sync.users), Schedule::Every(Duration::from_secs(30)));
    assert_eq!(every(&sync.pricing), Schedule::Every(Duration::from_mins(5)));
    assert_eq!(every(&sync.llmage), Schedule::Every(Duration::from_mins(1)));
    assert_eq!(every(&sync.uapi), Schedule::Every(Duration::from_mins(5)));
    assert!(
        [&sync.users, &sync.pricing, &sync.llmage, &sync.uapi, &sync.balances].iter().all(|e| !e.enabled)
    );
    assert_eq!((cache.max_bytes, cache.ttl.as_secs(), cache.negative_ttl.as_secs()), (64 << 20, 60, 5));
    assert_eq!((auth.encryption_key, auth.clock_skew.as_secs()), (None, 300));
    assert_eq!((accounting.mode, accounting.currency.as_str(), accounting.scale), (Mode::Strict, "CNY", 6));
    assert_eq!((accounting.batch_max, accounting.batch_delay.as_millis()), (64, 2));
    assert_eq!((accounting.queue, accounting.writers), (10_000, 4));
    assert_eq!(
        loaded.config.quota,
        Quota { unknown_user: UnknownUser::Deny, timezone: "UTC".to_owned(), zone: jiff::tz::TimeZone::UTC }
    );
    assert_eq!(loaded.config.cluster.role, ClusterRole::Primary);
    assert_eq!(loaded.config.telemetry, Telemetry { otlp_endpoint: None, sampling_ratio: 1.0 });
    assert_eq!(loaded.config.log, Log { level: "info".to_owned(), format: LogFormat::Json });
    assert_eq!((loaded.warnings, loaded.file), (Vec::new(), None));
}

#[test]
fn the_file_is_the_one_named_first() {
    let opened = RefCell::new(Vec::new());
    let read = |path: &Path| {
        opened.borrow_mut().push(path.to_owned());
        Ok(Vec::new())
    };
    let named = env(&[("SAGEAPI_CONFIG", "from-env.yaml")]);
    load(Some(Path::new("from-option.yaml")), &named, &read).unwrap();
    load(None, &named, &read).unwrap();
    let loaded = load(None, &BTreeMap::new(), &read).unwrap();
    assert_eq!(
        *opened.borrow(),
        ["from-option.yaml", "from-env.yaml", "conf/config.yaml"].map(PathBuf::from)
    );
    assert_eq!(loaded.file, Some(PathBuf::from("conf/config.yaml")));
}

#[test]
fn the_variables_of_a_file_stay_text() {
    let loaded =
        load_with(b"upstream: {url: 'http://h', auth: bearer, dapi_secret: '${HOME}'}", &[], &[]).unwrap();
    let token = match loaded.config.upstream.unwrap().auth {
        UpstreamAuth::Bearer { token } => token,
        other => panic!("{other:?}"),
    };
    assert_eq!(token.expose(), "${HOME}");
}

#[test]
fn nothing_after_a_colon_means_the_default() {
    let loaded = from_yaml("server:\nlog:\n  level:\n").unwrap();
    assert_eq!(loaded.config.log.level, "info");
}

#[test]
fn what_is_not_built_is_accepted_with_a_warning() {
    let yaml = "server: {tls: {cert_file: a, key_file: b}}\nsync: {balances: {enabled: false}}\n";
    assert_eq!(
        from_yaml(yaml).unwrap().warnings,
        [
            "c.yaml:1: server.tls.cert_file is accepted but not implemented yet: it has no effect",
            "c.yaml:1: server.tls.key_file is accepted but not implemented yet: it has no effect",
        ]
    );
    let by_value = "upstream: {url: 'http://h', auth: deerer, dapi_key: a, dapi_apikey: b, dapi_secret: c}\n";
    assert!(
        from_yaml(by_value).unwrap().warnings[1]
            .starts_with("upstream.auth: deerer is accepted but not implemented")
    );
    let source = "sync: {source: database, database_url: 'mysql://u@h/n'}\n";
    assert!(
        from_yaml(source).unwrap().warnings[1]
            .starts_with("sync.source: database is accepted but not implemented")
    );
}

#[test]
fn the_writers_leave_connections_for_everything_else() {
    let mysql = "database: {url: 'mysql://u:p@h/d', max_connections: 4}\nauth: {encryption_key: 'AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8='}\n";
    let raised = from_yaml(mysql).unwrap();
    assert_eq!(raised.config.database.max_connections, 8);
    assert_eq!(
        raised.warnings,
        [
            "database.max_connections: 4 is raised to 8: each of accounting.writers keeps a connection, and everything \
          else needs 4"
        ]
    );
    let many =
        from_yaml(&format!("{}accounting: {{writers: 32}}\n", mysql.replace(", max_connections: 4", "")));
    assert_eq!(many.unwrap().config.database.max_connections, 36);
    let enough = from_yaml(&mysql.replace(": 4}", ": 8}")).unwrap();
    assert_eq!((enough.config.database.max_connections, enough.warnings), (8, Vec::new()));
    let sqlite = from_yaml("database: {url: 'sqlite:x.db', max_connections: 1}\n").unwrap();
    assert_eq!((sqlite.config.database.max_connections, sqlite.warnings), (1, Vec::new()));
}

#[test]
fn what_has_no_effect_is_warned_about() {
    let yaml =
        "database: {tls_ca_file: ca.pem}\nupstream: {dapi_secret: x}\nsync: {users: {time_zone: UTC}}\n";
    assert_eq!(
        from_yaml(yaml).unwrap().warnings,
        [
            "database.tls_ca_file has no effect with SQLite",
            "upstream.dapi_secret has no effect without upstream.url",
            "sync.users.time_zone has no effect without sync.users.schedule",
        ]
    );
}

#[test]
fn entities_are_mirrored_once_there_is_an_upstream() {
    let yaml = "upstream: {url: 'https://sage.example.com/base/', dapi_key: k, dapi_secret: s}\n\
                sync:\n  timezone: Asia/Shanghai\n  users: {schedule: '*/5 * * * *'}\n  \
                pricing: {schedule: '0 3 * * *', time_zone: UTC, mode: full}\n  uapi: {enabled: false, full_every: 1d}\n";
    let config = from_yaml(yaml).unwrap().config;
    let upstream = config.upstream.unwrap();
    assert_eq!(upstream.url, "https://sage.example.com/base");
    assert_eq!(upstream.auth, UpstreamAuth::Signed { key_id: "k".to_owned(), secret: "s".into() });
    let cron = |expression: &str, zone: &str| Schedule::Cron {
        expression: expression.to_owned(),
        time_zone: zone.to_owned(),
    };
    assert_eq!(config.sync.users.schedule, cron("*/5 * * * *", "Asia/Shanghai"));
    assert_eq!(config.sync.pricing.schedule, cron("0 3 * * *", "UTC"));
    assert_eq!(config.sync.pricing.mode, SyncMode::Full);
    assert_eq!(config.sync.uapi.full_every, Some(Duration::from_hours(24)));
    let Sync { users, pricing, llmage, uapi, balances, .. } = config.sync;
    assert_eq!(
        [users, pricing, llmage, uapi, balances].map(|entity| entity.enabled),
        [true, true, true, false, false]
    );
}

#[test]
fn sizes_and_times_are_read_in_every_unit() {
    let size =
        |text: &str| from_variables(&[("SAGEAPI_CACHE_MAX_BYTES", text)]).unwrap().config.cache.max_bytes;
    assert_eq!(
        ["2097152", "2000KB", "2Mi", "2MiB", "2MB", "2M", "2048Ki", "1GiB"].map(size),
        [2_097_152, 2_000_000, 2_097_152, 2_097_152, 2_000_000, 2_000_000, 2_097_152, 1 << 30]
    );
    let time =
        |text: &str| from_variables(&[("SAGEAPI_CACHE_TTL", text)]).unwrap().config.cache.ttl.as_millis();
    assert_eq!(["500ms", "30s", "5m", "2h", "1d"].map(time), [500, 30_000, 300_000, 7_200_000, 86_400_000]);
    for bad in
        ["", "s", "-1s", "1.5s", "1 s", "1S", "+1s", "99999999999999999999d", "18446744073709551615d", "2d"]
    {
        assert_eq!(messages(from_variables(&[("SAGEAPI_CACHE_TTL", bad)])).len(), 1, "{bad:?}");
    }
    for bad in ["", "Mi", "-1", "1.5Mi", "2 Mi", "0", "2TiB", "18446744073709551615Gi"] {
        assert_eq!(messages(from_variables(&[("SAGEAPI_CACHE_MAX_BYTES", bad)])).len(), 1, "{bad:?}");
    }
}

#[test]
fn an_encryption_key_is_32_bytes_in_base64() {
    assert_eq!(decode_encryption_key(KEY).unwrap()[..4], [0, 1, 2, 3]);
    let (short, long) = (&KEY[..40], "A".repeat(44));
    for bad in ["", short, &long, &KEY.replace('A', "_"), &format!("{KEY}\n"), KEY.trim_end_matches('=')] {
        assert_eq!(decode_encryption_key(bad), None, "{bad}");
    }
}

#[test]
fn a_configuration_as_an_operator_renders_it_loads() {
    let yaml = "server:\n  listen: 0.0.0.0:8080\n  public_url: https://api.example.com\n  request_timeout: 30s\n  \
                max_body_bytes: 1048576\n  trusted_proxies: []\n  read_only: false\n  shutdown_grace: 35s\n\
                admin: {listen: '0.0.0.0:9090'}\ndatabase: {max_connections: 20}\n\
                upstream: {url: 'https://sage.example.com', auth: signed, timeout: 10s}\n\
                sync:\n  source: api\n  max_delete_ratio: 0.3\n  users: {every: 30s}\n  \
                pricing: {schedule: '*/5 * * * *', time_zone: Asia/Shanghai}\n  balances: {enabled: false}\n\
                cache: {max_bytes: 64Mi, ttl: 60s, negative_ttl: 5s}\n\
                accounting: {mode: strict, currency: CNY, scale: 6}\nquota: {unknown_user: deny, timezone: UTC}\n\
                telemetry: {otlp_endpoint: 'http://otel:4318', sampling_ratio: 0.05}\nlog: {level: info, format: json}\n";
    let content = |name: &str| match name {
        "database_url" => "mysql://sage:pw@prod-db:3306/sage".to_owned(),
        "encryption_key" => KEY.to_owned(),
        "uapi_secret" => "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw".to_owned(),
        _ => "0123456789abcdef0123456789abcdef".to_owned(),
    };
    let mounted = [
        "database_url",
        "database_ca",
        "dapi_key",
        "dapi_secret",
        "uapi_secret",
        "encryption_key",
        "token_pepper",
    ];
    let mounted: Vec<_> = SECRET_FILES.iter().filter(|file| mounted.contains(&file.name)).collect();
    let variables = mounted.iter().map(|file| (file.variable().unwrap(), file.path())).collect();
    let read = |path: &Path| match mounted.iter().find(|file| Path::new(&file.path()) == path) {
        _ if path == Path::new(CONFIG_PATH) => Ok(yaml.as_bytes().to_vec()),
        Some(file) => Ok(content(file.name).into_bytes()),
        None => Err(io::Error::from(io::ErrorKind::NotFound)),
    };
    let loaded = load(Some(Path::new(CONFIG_PATH)), &variables, &read).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    assert_eq!(loaded.config.database.target.display(), "mysql://sage@prod-db:3306/sage");
    assert_eq!(loaded.config.upstream_events.len(), 1);
    match loaded.config.database.target {
        DatabaseTarget::Mysql { tls_ca_file, .. } => {
            assert_eq!(tls_ca_file, Some("/etc/sageapi/secrets/database_ca".into()));
        }
        other @ DatabaseTarget::Sqlite { .. } => panic!("{other:?}"),
    }
}
