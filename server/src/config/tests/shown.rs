use super::*;

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
    variables.insert("SAGEAPI_AUTH_BOOTSTRAP_ADMIN_USERNAME".to_owned(), "root".to_owned());
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
         warning: c.yaml:1: cluster.node_id is accepted but not implemented yet: it has no effect\n"
    );
}

#[test]
fn the_schema_has_every_key() {
    let schema = schema();
    for key in keys() {
        let pointer = format!("/properties/{}", key.path.replace('.', "/properties/"));
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
fn the_shipped_sample_names_every_key_that_is_built() {
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
