use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::crd::{networks, quantity};
use crate::{TIME, URL};

/// The REST listener and the log.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Server {
    /// Lowest level that is logged. Default: info.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log_level: Option<LogLevel>,
    /// How long one request may take, 10ms to 1h. Default: 30s. Pods get this and 15s more to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12), regex(pattern = TIME))]
    pub request_timeout: Option<String>,
    /// Largest request body in bytes. Default: 1048576.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_073_741_824))]
    pub max_body_bytes: Option<i64>,
    /// Networks of proxies whose X-Forwarded-* headers are trusted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "networks")]
    pub trusted_proxies: Vec<String>,
    /// The API's address as clients know it, scheme and host alone. Signatures must be made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 8, max = 2048), regex(pattern = URL))]
    pub public_url: Option<String>,
}

/// Lowest level that is logged. Default: info.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// Details for debugging.
    Debug,
    /// Normal events.
    Info,
    /// Possible problems.
    Warn,
    /// Errors.
    Error,
}

/// The cache of answers in memory.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Cache {
    /// Memory for cached answers, like 64Mi (the default), 1Mi to 1Ti.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "quantity")]
    pub max_bytes: Option<IntOrString>,
    /// How long an answer may be reused, 1ms to 1d. Default: 60s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12), regex(pattern = TIME))]
    pub ttl: Option<String>,
    /// How long a "not found" may be reused, 1ms to 1d. Default: 5s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12), regex(pattern = TIME))]
    pub negative_ttl: Option<String>,
}

/// How charges and credits are booked.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq, Default)]
#[serde(rename_all = "camelCase")]
pub struct Accounting {
    /// Strict (default) or AllowNegative; a customer may have a mode of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mode: Option<AccountingMode>,
    /// Currency of customers created without one. Default: CNY. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 3, max = 8), regex(pattern = "^[A-Z]{3,8}$"))]
    pub currency: Option<String>,
    /// Decimals that computed amounts are rounded to. Default: 6. Cannot be changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 9))]
    pub scale: Option<i32>,
}

/// Whether a charge beyond the available funds is refused (Strict, the default) or booked; a customer may have a mode of its own.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountingMode {
    /// It is refused.
    Strict,
    /// It is booked.
    AllowNegative,
}
