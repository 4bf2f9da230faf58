use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt::Write;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use sageapi_contract::{CONFIG_PATH, Key, Kind, SECRET_FILES, keys};

use super::*;
use crate::model::Mode;

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
        Kind::KeyId => "ak_0123456789abcdef",
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
    assert_eq!(admin.listen.to_string(), "0.0.0.0:9090");
    assert_eq!(database.target.display(), "sqlite:data/sageapi.db");
    assert_eq!(database.max_connections, 20);
    assert_eq!((upstream, upstream_events), (None, Vec::new()));
    assert!((sync.max_delete_ratio - 0.3).abs() < f64::EPSILON);
    let every = |entity: &EntitySync| entity.schedule.clone();
    assert_eq!(every(&sync.users), Schedule::Every(Duration::from_secs(30)));
    assert_eq!(every(&sync.pricing), Schedule::Every(Duration::from_mins(5)));
    assert_eq!(every(&sync.llmage), Schedule::Every(Duration::from_secs(60)));
    assert_eq!(every(&sync.uapi), Schedule::Every(Duration::from_mins(5)));
    assert!(
        [&sync.users, &sync.pricing, &sync.llmage, &sync.uapi, &sync.balances].iter().all(|e| !e.enabled)
    );
    assert_eq!((cache.max_bytes, cache.ttl.as_secs(), cache.negative_ttl.as_secs()), (64 << 20, 60, 5));
    assert_eq!((auth.encryption_key, auth.clock_skew.as_secs()), (None, 300));
    assert_eq!((accounting.mode, accounting.currency.as_str(), accounting.scale), (Mode::Strict, "CNY", 6));
    assert_eq!((accounting.batch_max, accounting.batch_delay.as_millis()), (64, 2));
    assert_eq!((accounting.queue, accounting.writers), (10_000, 4));
    assert_eq!(loaded.config.quota, Quota { unknown_user: UnknownUser::Deny, timezone: "UTC".to_owned() });
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
fn a_file_that_is_named_and_absent_is_an_error() {
    let absent = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let by_option = load(Some(Path::new("x.yaml")), &BTreeMap::new(), &absent).unwrap_err();
    assert!(by_option.to_string().contains("x.yaml cannot be read: "), "{by_option}");
    let by_variable = load(None, &env(&[("SAGEAPI_CONFIG", "y.yaml")]), &absent).unwrap_err();
    assert!(by_variable.to_string().contains("y.yaml cannot be read: "), "{by_variable}");
}

#[test]
fn a_default_file_that_cannot_be_read_is_an_error() {
    let denied = |_: &Path| Err(io::Error::from(io::ErrorKind::PermissionDenied));
    let error = load(None, &BTreeMap::new(), &denied).unwrap_err();
    assert!(error.to_string().contains("conf/config.yaml cannot be read: permission denied"), "{error}");
}

#[test]
fn a_bad_file_is_refused_with_place_value_and_what_is_accepted() {
    let cases: &[(&str, &[&str])] = &[
        (
            "server:\n  request_timeout: abc\n",
            &[
                "c.yaml:2: server.request_timeout: \"abc\" is not accepted; give a time from 10ms to 1h, like 500ms, 30s, 5m, 2h, 1d",
            ],
        ),
        (
            "server:\n  request_timeout: 30\n",
            &[
                "c.yaml:2: server.request_timeout: \"30\" is not accepted (the unit is missing); give a time from 10ms to 1h, like 500ms, 30s, 5m, 2h, 1d",
            ],
        ),
        (
            "server:\n  requestTimeout: 30s\n",
            &[
                "c.yaml:2: server.requestTimeout: unknown key; did you mean request_timeout?; accepted here: listen, public_url, request_timeout, max_body_bytes, max_batch_bytes, trusted_proxies, read_only, shutdown_grace, tls",
            ],
        ),
        (
            "logs: {level: info}\n",
            &[
                "c.yaml:1: logs: unknown key; did you mean log?; accepted here: server, admin, database, upstream, sync, cache, auth, accounting, quota, cluster, telemetry, log",
            ],
        ),
        (
            "log: debug\n",
            &["c.yaml:1: log: text stands where a mapping belongs; accepted keys: level, format"],
        ),
        (
            "- a\n- b\n",
            &[
                "c.yaml: the file: a list stands where a mapping belongs; accepted keys: server, admin, database, upstream, sync, cache, auth, accounting, quota, cluster, telemetry, log",
            ],
        ),
        (
            "log:\n  level: loud\n",
            &["c.yaml:2: log.level: \"loud\" is not accepted; give trace or debug or info or warn or error"],
        ),
        (
            "accounting: {scale: 10, currency: cny}\n",
            &[
                "c.yaml:1: accounting.currency: \"cny\" is not accepted; give a currency of 3 to 8 capital letters, like CNY",
                "c.yaml:1: accounting.scale: \"10\" is not accepted; give a whole number from 0 to 9",
            ],
        ),
        (
            "cache:\n  max_bytes: 64MX\n",
            &[
                "c.yaml:2: cache.max_bytes: \"64MX\" is not accepted; give a size from 1Mi to 1024Gi in bytes, plain or like 64KB, 512Ki, 64Mi, 1Gi",
            ],
        ),
        (
            "server:\n  read_only: yes\n",
            &["c.yaml:2: server.read_only: \"yes\" is not accepted; give true or false"],
        ),
        (
            "server:\n  listen: localhost:8080\n",
            &[
                "c.yaml:2: server.listen: \"localhost:8080\" is not accepted; give an IP address and a port, like 0.0.0.0:8080 or [::]:8080",
            ],
        ),
        (
            "server:\n  listen: [\"0.0.0.0:1\"]\n",
            &[
                "c.yaml:2: server.listen: a list is not accepted; give an IP address and a port, like 0.0.0.0:8080 or [::]:8080",
            ],
        ),
        (
            "admin:\n  listen: \"0.0.0.0:8080\"\n",
            &[
                "c.yaml:2: admin.listen: \"0.0.0.0:8080\" is not accepted (server.listen and admin.listen are the same); give an IP address and a port, like 0.0.0.0:8080 or [::]:8080",
            ],
        ),
        (
            "server:\n  trusted_proxies:\n    - 10.0.0.0/8\n    - 10.0.0.0/99\n",
            &[
                "c.yaml:3: server.trusted_proxies: \"10.0.0.0/99\" is not accepted; give a list of networks, like 10.0.0.0/8 or ::1",
            ],
        ),
        (
            "server:\n  trusted_proxies: 10.0.0.0/8\n",
            &[
                "c.yaml:2: server.trusted_proxies: text is not accepted; give a list of networks, like 10.0.0.0/8 or ::1",
            ],
        ),
        (
            "server:\n  public_url: https://example.com/api\n",
            &[
                "c.yaml:2: server.public_url: \"https://example.com/api\" is not accepted (it has a path); give an http:// or https:// URL of a host alone, like https://api.example.com",
            ],
        ),
        (
            "server: {tls: {cert_file: a.pem}}\n",
            &[
                "server.tls.key_file: required because the other half of the pair is set; set it in the file or as SAGEAPI_SERVER_TLS_KEY_FILE; give the path of a file",
            ],
        ),
        (
            "database:\n  url: mysql://sage:hunter2@db:3306/sage?ssl-mode=REQUIRED\n",
            &[
                "c.yaml:2: database.url: the value is not accepted (parameters after ? are not accepted; write ? and # in names as %3F and %23); give sqlite:<path> or mysql://user:password@host:3306/name",
            ],
        ),
        (
            "database:\n  url: sqlite:a.db\n  name: b.db\n  kind: sqlite\n",
            &[
                "database.url (c.yaml:2) and database.kind (c.yaml:4) exclude each other; remove one",
                "database.url (c.yaml:2) and database.name (c.yaml:3) exclude each other; remove one",
            ],
        ),
        (
            "database:\n  kind: sqlite\n  name: b.db\n  host: db\n",
            &["c.yaml:4: database.host: not accepted beside database.kind: sqlite; remove it"],
        ),
        (
            "database: {password: hunter2}\n",
            &[
                "database.kind: required to tell what the other parts of database are parts of; set it in the file or as SAGEAPI_DATABASE_KIND; give sqlite or mysql",
                "database.name: required as the path of the SQLite file; set it in the file or as SAGEAPI_DATABASE_NAME; give text",
            ],
        ),
        (
            "database: {host: db, user: sage, name: sage, password: 0x10}\n",
            &[
                "c.yaml:1: database.password: an unquoted number or flag is not accepted (put quotes around it to make it text); give text",
                "auth.encryption_key: required with MySQL, whose instances share stored secrets; set it in the file or as SAGEAPI_AUTH_ENCRYPTION_KEY or SAGEAPI_AUTH_ENCRYPTION_KEY_FILE; give 32 bytes in base64, as made by: openssl rand -base64 32",
            ],
        ),
        (
            "upstream:\n  url: https://sage.example.com?x=1\n",
            &[
                "upstream.dapi_key: required by upstream.auth: signed; set it in the file or as SAGEAPI_UPSTREAM_DAPI_KEY or SAGEAPI_UPSTREAM_DAPI_KEY_FILE; give text",
                "upstream.dapi_secret: required by upstream.auth: signed; set it in the file or as SAGEAPI_UPSTREAM_DAPI_SECRET or SAGEAPI_UPSTREAM_DAPI_SECRET_FILE; give text",
                "c.yaml:2: upstream.url: \"https://sage.example.com?x=1\" is not accepted; give an http:// or https:// URL without credentials, query or fragment",
            ],
        ),
        (
            "upstream:\n  url: ftp://sage\n  auth: bearer\n  dapi_secret: t\n  uapi_secret: whsec_AAEC whsec_*\n",
            &[
                "c.yaml:2: upstream.url: \"ftp://sage\" is not accepted; give an http:// or https:// URL without credentials, query or fragment",
                "c.yaml:5: upstream.uapi_secret: the value is not accepted; give whsec_ and base64; several are separated by spaces",
            ],
        ),
        (
            "sync:\n  users:\n    every: 30s\n    schedule: '* * * * *'\n",
            &[
                "sync.users.every (c.yaml:3) and sync.users.schedule (c.yaml:4) exclude each other; remove one",
            ],
        ),
        (
            "sync:\n  users: {schedule: '* * * * * *'}\n  uapi: {schedule: '0 0 30 2 *'}\n",
            &[
                "c.yaml:2: sync.users.schedule: \"* * * * * *\" is not accepted (it is not a cron expression); give a cron expression of five fields, like \"*/5 * * * *\"",
                "c.yaml:3: sync.uapi.schedule: \"0 0 30 2 *\" is not accepted (no date ever matches it); give a cron expression of five fields, like \"*/5 * * * *\"",
            ],
        ),
        (
            "sync: {users: {enabled: true}}\n",
            &[
                "upstream.url: required to mirror an entity that is enabled; set it in the file or as SAGEAPI_UPSTREAM_URL; give an http:// or https:// URL without credentials, query or fragment",
            ],
        ),
        (
            "sync: {source: database, timezone: Mars/Olympus}\n",
            &[
                "sync.database_url: required by sync.source: database; set it in the file or as SAGEAPI_SYNC_DATABASE_URL or SAGEAPI_SYNC_DATABASE_URL_FILE; give mysql://user:password@host:3306/name",
                "c.yaml:1: sync.timezone: \"Mars/Olympus\" is not accepted; give an IANA time zone, like UTC or Asia/Shanghai",
            ],
        ),
        (
            "sync:\n  max_delete_ratio: .nan\n",
            &["c.yaml:2: sync.max_delete_ratio: \"NaN\" is not accepted; give a number from 0 to 1"],
        ),
        (
            "sync: {database_url: 'sqlite:a.db'}\n",
            &[
                "c.yaml:1: sync.database_url: the value is not accepted; give mysql://user:password@host:3306/name",
            ],
        ),
        (
            "auth:\n  encryption_key: c2hvcnQ=\n  previous_encryption_keys: [c2hvcnQ=]\n  token_pepper: hunter2\n",
            &[
                "c.yaml:2: auth.encryption_key: the value is not accepted; give 32 bytes in base64, as made by: openssl rand -base64 32",
                "c.yaml:3: auth.previous_encryption_keys: the value is not accepted; give a list of keys, each 32 bytes in base64",
                "c.yaml:4: auth.token_pepper: the value is not accepted; give text of at least 16 characters",
            ],
        ),
        (
            "auth: {bootstrap_admin: {key_id: ak_short}}\n",
            &[
                "auth.bootstrap_admin.secret: required because the other half of the pair is set; set it in the file or as SAGEAPI_AUTH_BOOTSTRAP_ADMIN_SECRET or SAGEAPI_AUTH_BOOTSTRAP_ADMIN_SECRET_FILE; give text of at least 32 characters",
                "c.yaml:1: auth.bootstrap_admin.key_id: \"ak_short\" is not accepted; give ak_ and 16 letters or digits",
            ],
        ),
        (
            "auth: {required_components: ['@query-param']}\n",
            &[
                "c.yaml:1: auth.required_components: \"@query-param\" is not accepted; give a list of @method, @path, @query, @authority, @scheme, @target-uri, @request-target or header names in lower case",
            ],
        ),
        (
            "log: !text {level: info}\n",
            &["c.yaml:1: not a YAML configuration: log: tags like !name are not accepted at line 1 column 6"],
        ),
        (
            "log: {level: info}\nlog: {level: warn}\n",
            &[
                "c.yaml:1: not a YAML configuration: the key \"log\" stands twice in one mapping at line 1 column 1",
            ],
        ),
        ("? [a]\n: b\n", &["c.yaml:1: not a YAML configuration: a key must be a word at line 1 column 1"]),
        (
            "log:\n  level: 'info\n",
            &[
                "c.yaml:3: not a YAML configuration: found unexpected end of stream at line 3 column 1, while scanning a quoted scalar",
            ],
        ),
        (
            "log: {level: info}\n---\nlog: {level: warn}\n",
            &[
                "c.yaml: not a YAML configuration: deserializing from YAML containing more than one document is not supported",
            ],
        ),
        ("log: *nowhere\n", &["c.yaml:1: not a YAML configuration: unknown anchor at line 1 column 6"]),
    ];
    for (yaml, expected) in cases {
        assert_eq!(messages(from_yaml(yaml)), *expected, "{yaml}");
    }
}

#[test]
fn a_file_that_is_no_configuration_is_refused() {
    let refused = |bytes: &[u8]| messages(load_with(bytes, &[], &[])).join("\n");
    assert_eq!(refused(b"log: \xff"), "c.yaml: not UTF-8 from byte 5 on; save it as UTF-8");
    assert_eq!(
        refused(&vec![b'#'; FILE_MAX_BYTES + 1]),
        "c.yaml: larger than 1 MiB; is this the right file?"
    );
    assert!(refused(b"\x00").contains("control characters are not allowed"));
    assert!(refused("[".repeat(100_000).as_bytes()).starts_with("c.yaml:"));
    assert!(refused("{a: ".repeat(100_000).as_bytes()).starts_with("c.yaml:"));
    let nested = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert!(refused(nested.as_bytes()).contains("recursion limit exceeded"));
    assert!(refused("- a\n".repeat(20_000).as_bytes()).contains("more than 10,000 values"));
}

#[test]
fn a_file_that_multiplies_itself_by_aliases_is_refused() {
    let mut doubling = "a0: &a0 [x, x]\n".to_owned();
    for n in 1..30 {
        let _ = writeln!(doubling, "a{n}: &a{n} [*a{0}, *a{0}]", n - 1);
    }
    assert!(messages(from_yaml(&doubling)).join("\n").contains("more than 10,000 values"));
    let wide = format!("a: &a [{}]\nb: [{}]\n", "x, ".repeat(5_000), "*a, ".repeat(5_000));
    assert!(messages(from_yaml(&wide)).join("\n").contains("more than 10,000 values"));
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
fn the_environment_goes_before_the_file() {
    let yaml =
        b"server: {listen: '127.0.0.1:1', trusted_proxies: [10.0.0.0/8]}\nsync: {users: {every: 1m}}\n";
    let variables = [
        ("SAGEAPI_SERVER_LISTEN", "127.0.0.1:2"),
        ("SAGEAPI_SERVER_TRUSTED_PROXIES", "192.168.0.7/16, ::1"),
        ("SAGEAPI_SYNC_USERS_EVERY", "45s"),
        ("SAGEAPI_CACHE_MAX_BYTES", "2MiB"),
        ("SAGEAPI_TEST_ANYTHING", "x"),
        ("PATH", "/bin"),
    ];
    let config = load_with(yaml, &variables, &[]).unwrap().config;
    assert_eq!(config.server.listen.port(), 2);
    let proxies: Vec<String> = config.server.trusted_proxies.iter().map(ToString::to_string).collect();
    assert_eq!(proxies, ["192.168.0.0/16", "::1/128"]);
    assert_eq!(config.sync.users.schedule, Schedule::Every(Duration::from_secs(45)));
    assert_eq!(config.cache.max_bytes, 2 << 20);

    let none = load_with(yaml, &[("SAGEAPI_SERVER_TRUSTED_PROXIES", "")], &[]).unwrap().config;
    assert_eq!(none.server.trusted_proxies, []);
}

#[test]
fn an_empty_variable_is_a_value_and_not_accepted() {
    assert_eq!(
        messages(from_variables(&[("SAGEAPI_LOG_FORMAT", ""), ("SAGEAPI_DATABASE_PASSWORD", "")]))[2..],
        [
            "SAGEAPI_DATABASE_PASSWORD: database.password: the value is not accepted (it is empty); give text",
            "SAGEAPI_LOG_FORMAT: log.format: \"\" is not accepted; give json or text",
        ]
        .map(str::to_owned)[..]
    );
}

#[test]
fn an_unknown_variable_is_an_error_with_the_nearest_name() {
    assert_eq!(
        messages(from_variables(&[("SAGEAPI_SERVER_LISTN", "x"), ("SAGEAPI_PORT", "tcp://10.0.0.1:80")])),
        [
            "SAGEAPI_PORT: unknown variable; every SAGEAPI_ name must be a configuration key: correct or unset it",
            "SAGEAPI_SERVER_LISTN: unknown variable; did you mean SAGEAPI_SERVER_LISTEN?; every SAGEAPI_ name must be a configuration key: correct or unset it",
        ]
    );
    assert!(
        messages(from_variables(&[("SAGEAPI_LOG_LEVEL_FILE", "x")]))[0]
            .contains("did you mean SAGEAPI_LOG_LEVEL?")
    );
}

#[test]
fn a_secret_is_read_from_the_file_that_its_variable_names() {
    let variables = [
        ("SAGEAPI_DATABASE_URL_FILE", "/secrets/url"),
        ("SAGEAPI_AUTH_ENCRYPTION_KEY_FILE", "/secrets/key"),
        ("SAGEAPI_AUTH_PREVIOUS_ENCRYPTION_KEYS_FILE", "/secrets/previous"),
    ];
    let files = [
        ("/secrets/url", "mysql://sage:hunter2@db/sage\n"),
        ("/secrets/key", &format!("{KEY}\r\n")),
        ("/secrets/previous", &format!("{OTHER_KEY}, {KEY}\n")),
    ];
    let config = load_with(b"", &variables, &files).unwrap().config;
    match config.database.target {
        DatabaseTarget::Mysql { password, .. } => assert_eq!(password.expose(), "hunter2"),
        other @ DatabaseTarget::Sqlite { .. } => panic!("{other:?}"),
    }
    assert_eq!(config.auth.encryption_key.unwrap().expose(), KEY);
    let previous: Vec<&str> = config.auth.previous_encryption_keys.iter().map(|key| key.expose()).collect();
    assert_eq!(previous, [OTHER_KEY, KEY]);
}

#[test]
fn a_secret_given_twice_or_not_readable_is_an_error() {
    let variables = [
        ("SAGEAPI_AUTH_TOKEN_PEPPER", "hunter2-hunter2-hunter2"),
        ("SAGEAPI_AUTH_TOKEN_PEPPER_FILE", "/secrets/pepper"),
        ("SAGEAPI_DATABASE_URL_FILE", "/absent"),
    ];
    let found = messages(from_variables(&variables));
    assert_eq!(
        found[0],
        "SAGEAPI_AUTH_TOKEN_PEPPER and SAGEAPI_AUTH_TOKEN_PEPPER_FILE exclude each other; remove one"
    );
    assert!(found[1].starts_with("SAGEAPI_DATABASE_URL_FILE: /absent cannot be read: "), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");

    let empty = load_with(b"", &[("SAGEAPI_DATABASE_URL_FILE", "/empty")], &[("/empty", "\n")]);
    assert!(
        messages(empty)[0].starts_with("SAGEAPI_DATABASE_URL_FILE (/empty): database.url: the value is not")
    );
}

#[test]
fn all_errors_come_at_once() {
    let yaml = b"sever:\n  listen: x\nlog:\n  level: loud\n  format: xml\n\naccounting:\n  queue: 0\n";
    let found = messages(load_with(yaml, &[("SAGEAPI_NO", "1"), ("SAGEAPI_CACHE_TTL", "soon")], &[]));
    let places: Vec<&str> = found.iter().filter_map(|message| message.split(": ").next()).collect();
    assert_eq!(
        places,
        ["c.yaml:1", "SAGEAPI_NO", "SAGEAPI_CACHE_TTL", "c.yaml:8", "c.yaml:4", "c.yaml:5"],
        "{found:#?}"
    );
}

#[test]
fn every_key_is_read_and_checked() {
    for key in keys() {
        let refused = from_variables(&[(&key.variable(), "\u{1}")]).expect_err(key.path);
        let named = |error: &ConfigError| matches!(error, ConfigError::BadValue { key: path, .. } if *path == key.path);
        assert_eq!(refused.0.iter().filter(|error| named(error)).count(), 1, "{}: {refused}", key.path);
    }
}

#[test]
fn every_key_accepts_what_it_says() {
    for key in keys() {
        let samples = match key.kind {
            Kind::Choice(words) => words.iter().map(|word| (*word).to_owned()).collect(),
            _ => vec![sample(key)],
        };
        for sample in samples {
            let Err(errors) = from_variables(&[(&key.variable(), &sample)]) else { continue };
            for error in &errors.0 {
                assert!(!matches!(error, ConfigError::BadValue { .. }), "{}: {error}", key.path);
            }
        }
    }
}

#[test]
fn what_is_not_built_is_accepted_with_a_warning() {
    let yaml = "server: {tls: {cert_file: a, key_file: b}}\nsync: {balances: {enabled: false}}\nquota: {unknown_user: allow, timezone: UTC}\n";
    assert_eq!(
        from_yaml(yaml).unwrap().warnings,
        [
            "c.yaml:1: server.tls.cert_file is accepted, but not built yet: it has no effect",
            "c.yaml:1: server.tls.key_file is accepted, but not built yet: it has no effect",
            "c.yaml:3: quota.unknown_user is accepted, but not built yet: it has no effect",
        ]
    );
    let by_value = "upstream: {url: 'http://h', auth: deerer, dapi_key: a, dapi_apikey: b, dapi_secret: c}\n";
    assert!(
        from_yaml(by_value).unwrap().warnings[1]
            .starts_with("upstream.auth: deerer is accepted, but not built")
    );
    let source = "sync: {source: database, database_url: 'mysql://u@h/n'}\n";
    assert!(
        from_yaml(source).unwrap().warnings[1]
            .starts_with("sync.source: database is accepted, but not built")
    );
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

/// Every secret, each with a value that cannot occur elsewhere.
fn all_secrets() -> BTreeMap<String, String> {
    let mut variables = env(&[("SAGEAPI_UPSTREAM_URL", "http://h")]);
    for (number, key) in keys().filter(|key| key.secret).enumerate() {
        let value = match key.kind {
            Kind::Database | Kind::Mysql => format!("mysql://user:hunter2{number}@host/name"),
            Kind::Text(_) => format!("hunter2{number}-hunter2-hunter2-hunter2-hunter2"),
            Kind::Proxy => format!("http://user:hunter2{number}@proxy:3128"),
            _ => sample(key),
        };
        variables.insert(key.variable(), value);
    }
    variables.insert("SAGEAPI_AUTH_BOOTSTRAP_ADMIN_KEY_ID".to_owned(), "ak_0123456789abcdef".to_owned());
    variables.insert("SAGEAPI_UPSTREAM_AUTH".to_owned(), "deerer".to_owned());
    variables.remove("SAGEAPI_DATABASE_PASSWORD");
    variables
}

#[test]
fn secrets_are_shown_nowhere() {
    let absent = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let variables = all_secrets();
    let loaded = load(None, &variables, &absent).unwrap();
    // The Deerer application id is not secret by itself, and is handed on as text.
    let debug = format!("{loaded:?}").replace(&variables["SAGEAPI_UPSTREAM_DAPI_KEY"], "");
    let shown = [debug, print(&loaded), values(&loaded).to_string(), check_report(&loaded)].concat();
    for part in ["hunter2", KEY, OTHER_KEY, "MfKQ9r8G"] {
        assert!(!shown.contains(part), "{part} in {shown}");
    }
}

#[test]
fn a_refused_secret_is_not_in_the_message() {
    for key in keys().filter(|key| key.secret) {
        let errors = from_variables(&[(&key.variable(), "hunter2\u{1}")]).unwrap_err();
        assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{errors}");
        let mut yaml = String::new();
        let parts: Vec<&str> = key.path.split('.').collect();
        for (depth, part) in parts.iter().enumerate() {
            let _ = write!(yaml, "\n{:width$}{part}:", "", width = 2 * depth);
        }
        for value in ["{hunter2: hunter2}", "[{hunter2: 1}]", "\"hunter2\\u0001\"", "[\"hunter2\"]"] {
            let errors = from_yaml(&format!("{yaml} {value}\n")).unwrap_err();
            assert!(!format!("{errors} {errors:?}").contains("hunter2"), "{yaml} {value}: {errors}");
        }
    }
}

#[test]
fn a_printed_configuration_says_where_values_come_from() {
    let yaml = b"log:\n  format: text\nserver:\n  max_body_bytes: 2Mi\n";
    let loaded = load_with(
        yaml,
        &[("SAGEAPI_LOG_LEVEL", "warn"), ("SAGEAPI_AUTH_TOKEN_PEPPER", "0123456789abcdef")],
        &[],
    );
    let printed = print(&loaded.unwrap());
    for line in [
        "log:\n  level: \"warn\" # SAGEAPI_LOG_LEVEL\n  format: \"text\" # c.yaml:2\n",
        "  max_body_bytes: \"2Mi\" # c.yaml:4\n",
        "  trusted_proxies: [] # default\n",
        "  token_pepper: \"***\" # SAGEAPI_AUTH_TOKEN_PEPPER\n",
        "  # public_url: unset\n",
        "sync:\n  source: \"api\" # default\n",
        "  users:\n    # enabled: unset\n    every: \"30s\" # default\n",
    ] {
        assert!(printed.contains(line), "{line} not in {printed}");
    }
}

#[test]
fn a_printed_configuration_without_secrets_loads_as_it_was() {
    let yaml = "server: {public_url: 'https://A.example', trusted_proxies: [10.0.0.0/8]}\n\
                database: {kind: sqlite, name: 'a \"b\".db'}\nsync: {max_delete_ratio: 0.125}\n\
                auth: {required_components: ['@authority']}\ncache: {max_bytes: 2Mi}\n";
    let first = from_yaml(yaml).unwrap();
    let second = from_yaml(&print(&first)).unwrap();
    assert_eq!(first.config, second.config);
    assert_eq!(first.config.server.public_url.unwrap().authority, "a.example");
}

#[test]
fn values_have_the_shape_of_the_file() {
    let shown =
        values(&from_yaml("sync: {users: {every: 1m}}\nserver: {trusted_proxies: ['::1']}\n").unwrap());
    assert_eq!(shown["sync"]["users"]["every"], "1m");
    assert_eq!(shown["server"]["trusted_proxies"], serde_json::json!(["::1"]));
    assert_eq!(shown["accounting"]["scale"], 6);
    assert_eq!(shown["upstream"]["url"], serde_json::Value::Null);
}

#[test]
fn a_report_of_a_sound_configuration_names_the_file_and_the_warnings() {
    let loaded = from_yaml("cluster: {node_id: a}\n").unwrap();
    assert_eq!(
        check_report(&loaded),
        "c.yaml: the configuration is valid\n\
         warning: c.yaml:1: cluster.node_id is accepted, but not built yet: it has no effect\n"
    );
}

#[test]
fn the_schema_has_every_key() {
    let schema = schema();
    for key in keys() {
        let pointer: String = key.path.split('.').map(|part| format!("/properties/{part}")).collect();
        let property = schema.pointer(&pointer).unwrap_or_else(|| panic!("{} is missing", key.path));
        assert_eq!(property["writeOnly"].as_bool().unwrap_or(false), key.secret, "{}", key.path);
    }
    assert_eq!(schema["properties"]["accounting"]["properties"]["scale"]["default"], 6);
    assert_eq!(
        schema["properties"]["auth"]["properties"]["required_components"]["default"],
        serde_json::json!([])
    );
}

#[test]
fn the_shipped_sample_loads_without_warnings_and_has_every_section() {
    let path = Path::new(ROOT).join("conf/config.yaml");
    let loaded = load(Some(&path), &BTreeMap::new(), &read_file).unwrap();
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let text = std::fs::read_to_string(&path).unwrap();
    for section in sageapi_contract::SECTIONS {
        assert!(text.contains(&format!("\n{}:\n", section.name)), "{} is missing", section.name);
    }
    let absent = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let defaults = load(None, &BTreeMap::new(), &absent).unwrap();
    assert_eq!(loaded.config, defaults.config, "the sample shows something else than the defaults");
}

#[test]
fn what_the_sample_shows_in_comments_is_accepted() {
    let text = std::fs::read_to_string(Path::new(ROOT).join("conf/config.yaml")).unwrap();
    for key in keys().filter(|key| key.built && !key.path.starts_with("sync.")) {
        let name = key.path.rsplit('.').next().unwrap_or_default();
        let shown = text
            .lines()
            .any(|line| line.trim_start().trim_start_matches("# ").starts_with(&format!("{name}:")));
        assert!(shown, "{} is not in the sample", key.path);
    }
}

#[test]
fn the_reference_is_up_to_date() {
    let committed = std::fs::read_to_string(Path::new(ROOT).join("docs/CONFIGURATION.md")).unwrap();
    assert!(committed == docs(), "run `sageapi-server config docs > docs/CONFIGURATION.md`");
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

#[test]
fn a_variable_that_is_not_utf8_is_named() {
    use std::os::unix::ffi::OsStringExt;
    let bad = OsString::from_vec(b"\xff".to_vec());
    let ours = [(OsString::from("SAGEAPI_LOG_LEVEL"), bad.clone())];
    assert_eq!(
        environment(ours).unwrap_err().to_string(),
        "SAGEAPI_LOG_LEVEL: its value is not UTF-8; set it again or unset it"
    );
    let foreign =
        [(OsString::from("HOME"), bad), (OsString::from("SAGEAPI_LOG_LEVEL"), OsString::from("warn"))];
    assert_eq!(environment(foreign).unwrap(), env(&[("SAGEAPI_LOG_LEVEL", "warn")]));
}

#[test]
fn no_more_of_a_file_is_read_than_a_configuration_may_be_long() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(64 << 20).unwrap();
    assert_eq!(read_file(file.path()).unwrap().len(), FILE_MAX_BYTES + 1);
}

proptest! {
    #[test]
    fn no_bytes_make_loading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..2_000)) {
        let _ = load_with(&bytes, &[], &[]);
    }

    #[test]
    fn no_yaml_makes_loading_panic(
        text in r#"((server|sync|users|log|database|url|every|level|schedule|auth|&a|\*a|<<|!t|-|\?)?[:,\[\]{}'"|># \n]{0,3}[a-z0-9 ]{0,3}){0,40}"#,
    ) {
        let _ = from_yaml(&text);
    }

    #[test]
    fn no_value_makes_loading_panic(
        key in proptest::sample::select(keys().collect::<Vec<_>>()),
        value in "\\PC{0,40}|[0-9*/@:.,a-z-]{0,20}",
    ) {
        let _ = from_variables(&[(&key.variable(), &value)]);
    }
}
