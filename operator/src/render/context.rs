use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::Resource;
use serde::Serialize;
use serde_json::{Value, json};

use crate::object::Object;
use crate::validate::Validated;
use crate::{hashes, labels};

/// Revision of the templates in this module. To be raised with every change that would roll pods, so that it can be
/// told apart from a change by the user.
pub const REVISION: i32 = 1;

/// Port names.
pub(super) const HTTP: &str = "http";
pub(super) const ADMIN: &str = "admin";
/// The user and group that the image runs as.
pub(super) const USER: i64 = 65532;

/// What every object is rendered from.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// The validated specification.
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

impl<'a> Context<'a> {
    /// Computes the hashes.
    pub fn new(
        validated: &'a Validated,
        owner: &str,
        configuration: &str,
        files: &BTreeMap<&'static str, Vec<u8>>,
        identity: &str,
        hash_key: &[u8],
    ) -> Self {
        let contents: serde_json::Map<String, Value> = files
            .iter()
            .map(|(name, content)| ((*name).to_owned(), STANDARD.encode(content).into()))
            .collect();
        let migration = json!({
            "image": validated.image.reference(),
            "arguments": arguments(owner),
            "database": identity,
            "trigger": validated.trigger,
        });
        Self {
            validated,
            files: files.keys().copied().collect(),
            config_hash: hashes::of_bytes(configuration.as_bytes()),
            secrets_hash: hashes::keyed(hash_key, &Value::Object(contents)),
            schema_hash: hashes::of(&migration),
        }
    }
}

impl Context<'_> {
    pub(super) fn name(&self) -> &str {
        &self.validated.name
    }

    /// Metadata of a child that is deleted with the resource.
    pub(super) fn owned(&self, name: &str, component: &str) -> ObjectMeta {
        owned(self.validated, name, component)
    }
}

/// Metadata of a child that is deleted with the resource.
pub(super) fn owned(validated: &Validated, name: &str, component: &str) -> ObjectMeta {
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
pub(super) fn annotate(metadata: &mut ObjectMeta, name: &str, value: &str) {
    metadata.annotations.get_or_insert_default().insert(name.to_owned(), value.to_owned());
}

/// The object with its own hash as annotation, by which a later reconcile sees that it is as it should be. `key` is that
/// of hashes over secrets.
pub(super) fn sealed<K>(object: &K, key: Option<&[u8]>) -> Object
where
    K: k8s_openapi::Resource + Resource<DynamicType = ()> + Serialize,
{
    Object::annotated(object, labels::SPEC_HASH, |value| {
        key.map_or_else(|| hashes::of(value), |key| hashes::keyed(key, value))
    })
}

/// What the server is called with to bring the schema up to date, claiming the database for `owner`.
pub(super) fn arguments(owner: &str) -> Vec<String> {
    ["migrate", "--owner", owner, "--result-file", "/dev/termination-log"].map(str::to_owned).into()
}

/// A map of texts.
pub(super) fn texts<const N: usize>(pairs: [(&str, &str); N]) -> BTreeMap<String, String> {
    pairs.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}
