//! Each child object, from what was validated and resolved. Pure: the same input gives the same bytes, or
//! pods would roll for nothing.

mod config;
mod config_map;
mod deployment;
mod disruption_budget;
mod job;
mod network_policy;
mod pod;
mod secret;
mod service;
mod service_account;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use serde_json::Value;

pub use config::configuration;
pub use config_map::config_map;
pub use deployment::deployment;
pub use disruption_budget::disruption_budget;
pub use job::{CONTAINER as MIGRATE_CONTAINER, arguments, migration_job};
pub use network_policy::network_policy;
pub use pod::environment;
pub use secret::{Keys, keys_secret, secrets};
pub use service::{service, url};
pub use service_account::service_account;

use crate::object::Object;
use crate::validate::Validated;
use crate::{hashes, labels};

/// Revision of the templates in this module. To be raised with every change that would roll pods, so that it is
/// told from a change that the user asked for.
pub const REVISION: i32 = 1;

/// Port names.
const HTTP: &str = "http";
const ADMIN: &str = "admin";
/// The user and group that the image runs as.
const USER: i64 = 65532;

/// What every object is rendered from.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// What was asked for.
    pub validated: &'a Validated,
    /// Files of secrets that pods get, by name ([`sageapi_contract::SECRET_FILES`]).
    pub files: Vec<&'static str>,
    /// Hash over the configuration.
    pub config_hash: String,
    /// Keyed hash over the secrets.
    pub secrets_hash: String,
    /// Hash of the migration that the image needs.
    pub schema_hash: String,
}

impl Context<'_> {
    fn name(&self) -> &str {
        &self.validated.name
    }

    /// Metadata of a child that goes when the resource goes.
    fn owned(&self, name: &str, component: &str) -> ObjectMeta {
        owned(self.validated, name, component)
    }
}

/// Metadata of a child that goes when the resource goes.
fn owned(validated: &Validated, name: &str, component: &str) -> ObjectMeta {
    ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(validated.namespace.clone()),
        labels: Some(labels::child_labels(&validated.name, component, &validated.uid)),
        owner_references: Some(vec![OwnerReference {
            api_version: format!("{}/{}", sageapi_crds::GROUP, sageapi_crds::VERSION),
            kind: sageapi_crds::KIND.to_owned(),
            name: validated.name.clone(),
            uid: validated.uid.clone(),
            controller: Some(true),
            block_owner_deletion: Some(true),
        }]),
        ..ObjectMeta::default()
    }
}

/// Adds an annotation to an object.
fn annotate(metadata: &mut ObjectMeta, name: &str, value: &str) {
    metadata.annotations.get_or_insert_default().insert(name.to_owned(), value.to_owned());
}

/// The object with the hash of itself as annotation, by which a later reconcile sees that it is as it should be.
/// `key` is that of hashes over secrets.
fn sealed(object: impl Into<Object>, key: Option<&[u8]>) -> Object {
    let mut object = object.into();
    let value = object.to_value().unwrap_or(Value::Null);
    let hash = key.map_or_else(|| hashes::of(&value), |key| hashes::keyed(key, &value));
    annotate(object.metadata_mut(), labels::SPEC_HASH, &hash);
    object
}

fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

#[cfg(test)]
mod tests;
