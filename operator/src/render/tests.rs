use std::collections::BTreeMap;
use std::path::Path;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::PodSpec;
use sageapi_contract::CONFIG_PATH;
use sageapi_crds::SageApi;
use sageapi_server::model::Secret;
use sageapi_server::store::Keyring;
use serde_json::{Value, json};

use super::*;
use crate::kinds::Kind;
use crate::observed::{KeySeed, Settings};
use crate::validate::validate;

/// Every field of the specification that the server is configured by.
fn full() -> SageApi {
    serde_json::from_value(json!({
        "apiVersion": "sageapi.io/v1alpha1",
        "kind": "SageApi",
        "metadata": {"name": "prod", "namespace": "billing", "uid": "6a3c"},
        "spec": {
            "instances": 3,
            "database": {"mysql": {
                "urlSecretRef": {"name": "db"}, "maxConnections": 30, "tls": {"caSecretRef": {"name": "db-ca"}}
            }},
            "upstream": {
                "url": "https://sage.example.com/base",
                "auth": {"scheme": "Signed", "secretRef": {"name": "dapi"}},
                "events": {"secretRef": {"name": "uapi"}},
                "caSecretRef": {"name": "up-ca", "key": "bundle.pem"},
                "timeout": "20s"
            },
            "sync": {
                "timeZone": "Asia/Shanghai", "maxDeleteRatio": 0.25,
                "users": {"every": "10s", "mode": "Incremental", "batchSize": 200, "fullEvery": "1d"},
                "pricing": {"schedule": "*/5 * * * *", "timeZone": "UTC"},
                "llmage": {"enabled": false},
                "uapi": {"mode": "Full"}
            },
            "accounting": {"mode": "AllowNegative", "currency": "USD", "scale": 4},
            "cache": {"maxBytes": "128Mi", "ttl": "90s", "negativeTtl": "2s"},
            "server": {
                "logLevel": "debug", "requestTimeout": "45s", "maxBodyBytes": 2_097_152,
                "trustedProxies": ["10.0.0.0/8"], "publicUrl": "https://api.example.com"
            },
            "extraEnv": [{"name": "SAGEAPI_ACCOUNTING_WRITERS", "value": "2"}]
        }
    }))
    .unwrap()
}

fn settings() -> Settings {
    Settings {
        server_image: "sageapi.io/sageapi-server:0.1.0".to_owned(),
        cluster: "c".to_owned(),
        namespace: "sageapi-system".to_owned(),
        monitoring_namespaces: vec!["monitoring".to_owned()],
    }
}

struct Rendered {
    configuration: String,
    files: BTreeMap<&'static str, Vec<u8>>,
    objects: Vec<Object>,
    environment: BTreeMap<String, String>,
}

fn rendered(resource: &SageApi) -> Rendered {
    let validated = validate(resource, &settings()).unwrap();
    let keys = Keys::generate(&KeySeed([7; 128]));
    let files = crate::credentials::entries(&validated)
        .into_iter()
        .map(|entry| {
            let content = match entry.file {
                "database_url" => "mysql://sage:pw@db.example.com/sage",
                "uapi_secret" => "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQtc2VjcmV0",
                _ => "content-of-this-entry",
            };
            (entry.file, content.as_bytes().to_vec())
        })
        .collect();
    let files = crate::credentials::with_keys(files, &keys);
    let configuration = configuration(&validated).unwrap();
    let owner = "c/billing/prod";
    let context =
        Context::new(&validated, owner, &configuration, &files, "db.example.com:3306/sage", keys.hash_key());
    let environment = super::environment(&context);
    let mut objects = vec![
        service_account(&context),
        keys_secret(&validated, &keys),
        secrets(&context, &files, keys.hash_key()),
        config_map(&context, &configuration),
        migration_job(&context, owner, 1, None),
    ];
    objects.extend(serving(&context, &settings()));
    objects.sort_by_key(Object::kind);
    let environment = environment.into_iter().map(|v| (v.name, v.value.unwrap_or_default())).collect();
    Rendered { configuration, files, objects, environment }
}

/// Loads what is rendered as the server would in a pod.
fn loaded(rendered: &Rendered) -> sageapi_server::config::Loaded {
    let read = |path: &Path| -> std::io::Result<Vec<u8>> {
        if path == Path::new(CONFIG_PATH) {
            return Ok(rendered.configuration.clone().into_bytes());
        }
        let file = path.strip_prefix(sageapi_contract::SECRETS_DIRECTORY).ok().and_then(Path::to_str);
        let content = file.and_then(|file| rendered.files.get(file)).cloned();
        content.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::NotFound))
    };
    sageapi_server::config::load(None, &rendered.environment, &read).unwrap()
}

#[test]
fn the_server_loads_what_is_rendered_without_a_warning() {
    let rendered = rendered(&full());
    let loaded = loaded(&rendered);
    assert_eq!(loaded.warnings, Vec::<String>::new());
    let config = format!("{:?}", loaded.config);
    for part in ["api.example.com", "Asia/Shanghai", "USD", "db.example.com", "*/5 * * * *"] {
        assert!(config.contains(part), "{part} is not in {config}");
    }
    let setting = |path: &str| {
        let setting = loaded.settings.iter().find(|setting| setting.key.path == path).unwrap();
        setting.value.clone().unwrap_or_default()
    };
    assert_eq!(setting("server.shutdown_grace"), "50s");
    assert_eq!(setting("cache.max_bytes"), 128 << 20);
    assert_eq!(setting("accounting.mode"), "allow_negative");
    assert_eq!(setting("accounting.writers"), 2);
    assert_eq!(setting("sync.llmage.enabled"), false);
    assert_eq!(setting("database.tls_ca_file"), "/etc/sageapi/secrets/database_ca");
}

#[test]
fn the_server_loads_the_least_specification_too() {
    let mut least = full();
    least.spec =
        serde_json::from_value(json!({"database": {"mysql": {"urlSecretRef": {"name": "db"}}}})).unwrap();
    let rendered = rendered(&least);
    assert_eq!(loaded(&rendered).warnings, Vec::<String>::new());
    assert_eq!(rendered.configuration, "server:\n  shutdown_grace: 35s\n");
}

#[test]
fn a_bearer_token_is_the_dapi_secret() {
    let mut bearer = full();
    let upstream = bearer.spec.upstream.as_mut().unwrap();
    upstream.auth.scheme = Some(sageapi_crds::AuthScheme::Bearer);
    let rendered = rendered(&bearer);
    assert!(rendered.files.contains_key("dapi_secret") && !rendered.files.contains_key("dapi_key"));
    assert_eq!(loaded(&rendered).warnings, Vec::<String>::new());
}

#[test]
fn every_child_is_rendered_as_reviewed() {
    let mut text = String::new();
    for object in rendered(&full()).objects {
        let mut value = object.body().clone();
        // What is random in life is constant here, and still not worth reading.
        if let Some(data) = value.get_mut("data").filter(|_| object.kind() == Kind::Secret) {
            *data = data.as_object().unwrap().keys().cloned().collect::<Vec<_>>().into();
        }
        text += &format!("---\n{}", serde_yaml::to_string(&value).unwrap());
    }
    insta::assert_snapshot!("children", text);
}

fn deployment_of(resource: &SageApi) -> Deployment {
    let objects = rendered(resource).objects;
    let found = objects.into_iter().find(|object| object.kind() == Kind::Deployment);
    serde_json::from_value(found.unwrap().body().clone()).unwrap()
}

fn template(resource: &SageApi) -> Value {
    serde_json::to_value(deployment_of(resource).spec.unwrap().template).unwrap()
}

#[test]
fn what_does_not_concern_pods_does_not_roll_them() {
    let before = template(&full());
    let changed = |change: &dyn Fn(&mut SageApi)| {
        let mut resource = full();
        change(&mut resource);
        template(&resource)
    };
    assert_eq!(changed(&|r| r.spec.instances = 9), before);
    assert_eq!(changed(&|r| r.spec.service = serde_json::from_value(json!({"port": 8000})).unwrap()), before);
    assert_eq!(
        changed(&|r| r.spec.disruption_budget = serde_json::from_value(json!({"maxUnavailable": 2})).unwrap()),
        before
    );
    assert_eq!(
        changed(&|r| r.spec.network_policy = serde_json::from_value(json!({"enabled": false})).unwrap()),
        before
    );
    assert_eq!(changed(&|r| r.metadata.generation = Some(7)), before);
    assert_eq!(changed(&|r| r.metadata.uid = Some("recreated".to_owned())), before, "the UID is in no pod");
    assert_ne!(
        changed(&|r| r.spec.server.as_mut().unwrap().request_timeout = Some("46s".to_owned())),
        before
    );
}

#[test]
fn every_pod_meets_the_restricted_standard_and_mounts_no_token() {
    let pods = rendered(&full()).objects.into_iter().filter_map(|object| {
        let pod = object.body().pointer("/spec/template/spec")?.clone();
        Some(serde_json::from_value::<PodSpec>(pod).unwrap())
    });
    let pods: Vec<_> = pods.collect();
    assert_eq!(pods.len(), 2);
    for pod in pods {
        assert_eq!(pod.automount_service_account_token, Some(false));
        assert_eq!(pod.enable_service_links, Some(false));
        let security = pod.security_context.unwrap();
        assert_eq!(security.run_as_non_root, Some(true));
        assert_eq!(security.run_as_user, Some(65532));
        assert_eq!(security.seccomp_profile.unwrap().type_, "RuntimeDefault");
        for container in pod.containers {
            let security = container.security_context.unwrap();
            assert_eq!(security.allow_privilege_escalation, Some(false));
            assert_eq!(security.read_only_root_filesystem, Some(true));
            assert_eq!(security.capabilities.unwrap().drop.unwrap(), ["ALL"]);
        }
    }
}

#[test]
fn nothing_secret_is_outside_of_secrets() {
    for object in rendered(&full()).objects {
        let text = object.body().to_string();
        let secret = object.kind() == Kind::Secret;
        assert!(secret || !text.contains("content-of-this-entry") && !text.contains("sage:pw"), "{object:?}");
        assert!(!format!("{object:?}").contains("whsec"), "Debug tells no data");
    }
}

#[test]
fn the_fingerprint_is_that_of_the_servers_keyring() {
    let keys = Keys::generate(&KeySeed([7; 128]));
    let key = String::from_utf8(keys.get("encryption_key").unwrap().to_vec()).unwrap();
    let keyring = Keyring::new(&Secret::new(key), &[]).unwrap();
    assert_eq!(keys.fingerprint().as_deref(), Some(keyring.fingerprint()));
}
