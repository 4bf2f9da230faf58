use super::*;

#[test]
fn a_file_that_is_named_and_absent_is_an_error() {
    let absent = |_: &Path| Err(io::Error::from(io::ErrorKind::NotFound));
    let by_option = load(Some(Path::new("x.yaml")), &BTreeMap::new(), &absent).unwrap_err();
    assert!(by_option.to_string().starts_with("--config: \"x.yaml\" cannot be read: "), "{by_option}");
    let by_variable = load(None, &env(&[("SAGEAPI_CONFIG", "y.yaml")]), &absent).unwrap_err();
    assert!(
        by_variable.to_string().starts_with("SAGEAPI_CONFIG: \"y.yaml\" cannot be read: "),
        "{by_variable}"
    );
}

#[test]
fn a_default_file_that_cannot_be_read_is_an_error() {
    let denied = |_: &Path| Err(io::Error::from(io::ErrorKind::PermissionDenied));
    let error = load(None, &BTreeMap::new(), &denied).unwrap_err();
    assert!(error.to_string().contains("\"conf/config.yaml\" cannot be read: permission denied"), "{error}");
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
                "c.yaml:2: server.requestTimeout: unknown key; did you mean request_timeout?; accepted here: listen, public_url, request_timeout, max_body_bytes, max_batch_bytes, trusted_proxies, read_only, shutdown_grace, idle_timeout, tls",
            ],
        ),
        (
            "logs: {level: info}\n",
            &[
                "c.yaml:1: logs: unknown key; did you mean log?; accepted here: server, admin, database, upstream, sync, cache, auth, accounting, usage, audit, quota, cluster, telemetry, log",
            ],
        ),
        ("log: debug\n", &["c.yaml:1: log: must be a mapping, not text; accepted keys: level, format"]),
        (
            "- a\n- b\n",
            &[
                "c.yaml: the file: must be a mapping, not a list; accepted keys: server, admin, database, upstream, sync, cache, auth, accounting, usage, audit, quota, cluster, telemetry, log",
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
                "c.yaml:2: server.trusted_proxies: \"10.0.0.0/99\" is not accepted; give a list of networks, like 10.0.0.0/8 or ::1",
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
            "database:\n  url: 'mysql://sage:hunter2@db:3306/sage '\n",
            &[
                "c.yaml:2: database.url: the value is not accepted (it begins or ends with whitespace; write a space in a name as %20); give sqlite:<path> or mysql://user:password@host:3306/name",
            ],
        ),
        (
            "database:\n  kind: sqlite\n  name: 'sage.db '\n",
            &[
                "c.yaml:3: database.name: \"sage.db \" is not accepted (it begins or ends with whitespace); give text",
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
            &["c.yaml:4: database.host: not accepted with database.kind: sqlite; remove it"],
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
                "c.yaml:2: upstream.url: \"https://sage.example.com?x=1\" is not accepted; give an http:// or https:// URL without credentials, query or fragment",
                "upstream.dapi_key: required by upstream.auth: signed; set it in the file or as SAGEAPI_UPSTREAM_DAPI_KEY or SAGEAPI_UPSTREAM_DAPI_KEY_FILE; give text",
                "upstream.dapi_secret: required by upstream.auth: signed; set it in the file or as SAGEAPI_UPSTREAM_DAPI_SECRET or SAGEAPI_UPSTREAM_DAPI_SECRET_FILE; give text",
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
            "sync:\n  users: {schedule: '*/61 * * * *'}\n",
            &[
                "c.yaml:2: sync.users.schedule: \"*/61 * * * *\" is not accepted (the step of its minutes is longer than an hour: it would be due once an hour); give a cron expression of five fields, like \"*/5 * * * *\"",
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
            "auth: {bootstrap_admin: {username: root}}\n",
            &[
                "auth.bootstrap_admin.password: required because the other half of the pair is set; set it in the file or as SAGEAPI_AUTH_BOOTSTRAP_ADMIN_PASSWORD; give text of at least 15 characters",
            ],
        ),
        (
            "auth: {bootstrap_admin: {username: root, password: short}}\n",
            &[
                "c.yaml:1: auth.bootstrap_admin.password: the value is not accepted; give text of at least 15 characters",
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
            &["c.yaml:1: invalid YAML: log: tags like !name are not accepted at line 1 column 6"],
        ),
        (
            "log: {level: info}\nlog: {level: warn}\n",
            &["c.yaml:1: invalid YAML: the key \"log\" is repeated in the mapping that begins here"],
        ),
        ("? [a]\n: b\n", &["c.yaml:1: invalid YAML: a key must be a word"]),
        (
            "log:\n  level: 'info\n",
            &[
                "c.yaml:3: invalid YAML: found unexpected end of stream at line 3 column 1, while scanning a quoted scalar at line 2 column 10",
            ],
        ),
        (
            "log: {level: info}\n---\nlog: {level: warn}\n",
            &[
                "c.yaml: invalid YAML: deserializing from YAML containing more than one document is not supported",
            ],
        ),
        ("log: *nowhere\n", &["c.yaml:1: invalid YAML: unknown anchor at line 1 column 6"]),
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
    for deep in ["[", "{a: "] {
        assert!(refused(deep.repeat(100_000).as_bytes()).contains("more than 1,000 opening brackets"));
    }
    assert!(refused("- ".repeat(10_000).as_bytes()).contains("recursion limit exceeded"));
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
