use super::*;

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
        messages(from_variables(&[("SAGEAPI_LOG_FORMAT", ""), ("SAGEAPI_UPSTREAM_DAPI_SECRET", "")])),
        [
            "SAGEAPI_UPSTREAM_DAPI_SECRET: upstream.dapi_secret: the value is not accepted (it is empty); give text",
            "SAGEAPI_LOG_FORMAT: log.format: \"\" is not accepted; give json or text",
        ]
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
    let previous: Vec<&str> = config.auth.previous_encryption_keys.iter().map(Secret::expose).collect();
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
    assert!(found[1].starts_with("SAGEAPI_DATABASE_URL_FILE: \"/absent\" cannot be read: "), "{found:?}");
    assert_eq!(found.len(), 2, "{found:?}");

    let empty = load_with(b"", &[("SAGEAPI_DATABASE_URL_FILE", "/empty")], &[("/empty", "\n")]);
    assert!(
        messages(empty)[0].starts_with("SAGEAPI_DATABASE_URL_FILE (/empty): database.url: the value is not")
    );
}

#[test]
fn every_key_is_read_and_checked() {
    for key in keys() {
        let refused = from_variables(&[(&key.variable(), "\u{1}")]).expect_err(key.path);
        let named =
            |error: &ConfigError| matches!(error, ConfigError::BadValue { key: named, .. } if *named == key);
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
