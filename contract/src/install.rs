use crate::key::Key;
use crate::table;

/// Port of the REST listener.
pub const HTTP_PORT: u16 = 8080;
/// Port of the server's admin listener: probes, metrics, health.
pub const ADMIN_PORT: u16 = 9090;
/// Port of the operator's own admin listener.
pub const OPERATOR_ADMIN_PORT: u16 = 8081;

/// Answers 200 while the process is not stuck; on the admin port.
pub const LIVENESS_PATH: &str = "/livez";
/// Answers 200 while the instance should get traffic; on the admin port.
pub const READINESS_PATH: &str = "/readyz";
/// Answers 200 once the instance has started; on the admin port.
pub const STARTUP_PATH: &str = "/startupz";
/// Metrics as OpenMetrics text; on the admin port.
pub const METRICS_PATH: &str = "/metrics";

/// Where the configuration is mounted in a pod.
pub const CONFIG_PATH: &str = "/etc/sageapi/config.yaml";
/// Where secrets are mounted in a pod, one file each ([`SECRET_FILES`]).
pub const SECRETS_DIRECTORY: &str = "/etc/sageapi/secrets";
/// Where the volume of an embedded database is mounted in a pod.
pub const DATA_DIRECTORY: &str = "/var/lib/sageapi";
/// The file read when neither `--config` nor [`CONFIG_VARIABLE`] names one; it may be absent.
pub const DEFAULT_CONFIG_FILE: &str = "conf/config.yaml";
/// The database used when the configuration names none.
pub const DEFAULT_DATABASE_URL: &str = "sqlite:data/sageapi.db";

/// Names the configuration file; the command-line option `--config` goes before it.
pub const CONFIG_VARIABLE: &str = "SAGEAPI_CONFIG";
/// Variables of this prefix belong to tests and are not read as configuration.
pub const TEST_VARIABLE_PREFIX: &str = "SAGEAPI_TEST_";

/// One file under [`SECRETS_DIRECTORY`] and the configuration key it feeds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecretFile {
    /// File name, which is also the entry's name in the Secret.
    pub name: &'static str,
    /// Path of the configuration key.
    pub key: &'static str,
}

impl SecretFile {
    /// The file's absolute path in a pod.
    pub fn path(&self) -> String {
        format!("{SECRETS_DIRECTORY}/{}", self.name)
    }

    /// The environment variable that carries [`Self::path`]: `..._FILE` for a secret, the plain
    /// variable for a key which is itself a file's path. `None` if the table has no such key.
    pub fn variable(&self) -> Option<String> {
        let key: &Key = table::find(self.key)?;
        Some(key.file_variable().unwrap_or_else(|| key.variable()))
    }
}

/// Every secret file a pod may have. A bearer token is `dapi_secret`, a Deerer application id `dapi_key`.
pub const SECRET_FILES: &[SecretFile] = &[
    SecretFile { name: "database_url", key: "database.url" },
    SecretFile { name: "database_ca", key: "database.tls_ca_file" },
    SecretFile { name: "dapi_key", key: "upstream.dapi_key" },
    SecretFile { name: "dapi_secret", key: "upstream.dapi_secret" },
    SecretFile { name: "dapi_apikey", key: "upstream.dapi_apikey" },
    SecretFile { name: "uapi_secret", key: "upstream.uapi_secret" },
    SecretFile { name: "upstream_ca", key: "upstream.ca_file" },
    SecretFile { name: "upstream_proxy", key: "upstream.proxy" },
    SecretFile { name: "sync_database_url", key: "sync.database_url" },
    SecretFile { name: "encryption_key", key: "auth.encryption_key" },
    SecretFile { name: "previous_encryption_keys", key: "auth.previous_encryption_keys" },
    SecretFile { name: "token_pepper", key: "auth.token_pepper" },
    SecretFile { name: "jwt_secret", key: "auth.jwt_secret" },
    SecretFile { name: "previous_jwt_secrets", key: "auth.previous_jwt_secrets" },
];

#[cfg(test)]
mod tests {
    use super::SECRET_FILES;

    #[test]
    fn every_secret_file_feeds_a_key_of_the_table() {
        for file in SECRET_FILES {
            assert!(file.variable().is_some(), "{} names no key", file.name);
        }
    }

    #[test]
    fn a_secret_goes_by_its_file_variable_and_a_path_by_its_own() {
        let variable = |name: &str| {
            let file = SECRET_FILES.iter().find(|file| file.name == name).expect("listed");
            (file.variable().expect("known"), file.path())
        };
        assert_eq!(
            variable("database_url"),
            ("SAGEAPI_DATABASE_URL_FILE".to_owned(), "/etc/sageapi/secrets/database_url".to_owned())
        );
        assert_eq!(variable("database_ca").0, "SAGEAPI_DATABASE_TLS_CA_FILE");
        assert_eq!(variable("encryption_key").0, "SAGEAPI_AUTH_ENCRYPTION_KEY_FILE");
    }
}
