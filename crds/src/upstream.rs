use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{SecretKeyRef, SecretRef, TIME, URL};

/// The Sage platform that data is mirrored from.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Upstream {
    /// Its base URL, http or https.
    #[schemars(length(min = 8, max = 2048), regex(pattern = URL))]
    pub url: String,
    /// How pulls are authenticated.
    pub auth: UpstreamAuth,
    /// The events that the platform sends. Without it none are taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub events: Option<UpstreamEvents>,
    /// The entry (default `ca.crt`) with the CA that its certificate must chain to, as PEM. Default: the system's CAs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// How long one pull may take, 10ms to 10m. Default: 10s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 12), regex(pattern = TIME))]
    pub timeout: Option<String>,
}

/// How pulls are authenticated.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamAuth {
    /// Signed (default) or Bearer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheme: Option<AuthScheme>,
    /// For Signed its entries are `key` and `secret`, for Bearer `token`.
    pub secret_ref: SecretRef,
}

/// Whether pulls are signed (Signed, RFC 9421, the default) or carry a token (Bearer).
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AuthScheme {
    /// Every request is signed (RFC 9421).
    #[default]
    Signed,
    /// Every request carries a token.
    Bearer,
}

/// The events that the platform sends.
#[derive(Serialize, Deserialize, JsonSchema, Debug, Clone, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct UpstreamEvents {
    /// Its entry `signingSecret` holds whsec_...; several are separated by spaces.
    pub secret_ref: SecretRef,
}
