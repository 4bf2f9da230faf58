//! Files by which clients find a cluster and say who they are. JSON, which is YAML too.

use std::path::Path;

use serde_json::{Value, json};

use crate::certificates::{self, Authority, Pair};
use crate::error::{Error, Result};

/// Writes a kubeconfig with paths of certificates.
pub fn write(path: &Path, server: &str, authority: &Authority, user: &Pair) -> Result<()> {
    let config = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "test", "cluster": {"server": server, "certificate-authority": authority.certificate()}}],
        "users": [{"name": "test", "user": {"client-certificate": user.certificate, "client-key": user.key}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
        "current-context": "test",
    });
    certificates::write(path, &config.to_string())
}

/// Writes a copy of a kubeconfig that acts as somebody else.
pub fn write_as(path: &Path, shown: &str, user: &str, groups: &[&str]) -> Result<()> {
    let unusable = |why: &str| Error::Unexpected(format!("the kubeconfig to impersonate from {why}"));
    let mut config: Value = serde_json::from_str(shown).map_err(|_| unusable("is not JSON"))?;
    let users = config["users"].as_array_mut().ok_or_else(|| unusable("has no users"))?;
    for entry in users {
        entry["user"]["as"] = json!(user);
        entry["user"]["as-groups"] = json!(groups);
    }
    certificates::write(path, &config.to_string())
}
