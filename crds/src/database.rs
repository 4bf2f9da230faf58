use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{SecretKeyRef, TIME};

/// Where data is stored.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// A MySQL or MariaDB server.
    pub mysql: Mysql,
    /// How the schema is brought up to date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub migration: Option<Migration>,
}

/// A MySQL or MariaDB server.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Mysql {
    /// The entry (default `url`) that holds mysql://user:password@host:3306/name.
    pub url_secret_ref: SecretKeyRef,
    /// Maximum number of connections per instance. Default: 20.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub max_connections: Option<i32>,
    /// How the server's certificate is checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<MysqlTls>,
}

/// How the database server's certificate is checked.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct MysqlTls {
    /// The entry (default `ca.crt`) with the CA that the certificate must chain to, as PEM.
    pub ca_secret_ref: SecretKeyRef,
}

/// How the schema is brought up to date.
#[derive(Serialize, Deserialize, KubeSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Migration {
    /// Automatic (default): a Job brings the schema up to date before instances of a new image start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<MigrationMode>,
    /// How long one attempt may take, 10s to 7d. Default: 15m.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12), regex(pattern = TIME))]
    pub active_deadline: Option<String>,
    /// How many attempts may fail before the migration is given up. Default: 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 20))]
    pub max_attempts: Option<i32>,
    /// Any text; a change of it runs the migration again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 253))]
    pub trigger: Option<String>,
}

/// Who decides when the schema changes. Automatic (default): a Job brings it up to date before instances of a new image start.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MigrationMode {
    /// The operator, as soon as an image needs it.
    #[default]
    Automatic,
}
