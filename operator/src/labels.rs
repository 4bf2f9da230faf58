//! Labels and annotations.

use std::collections::BTreeMap;

/// The kind of application: [`SERVER`].
pub const NAME: &str = "app.kubernetes.io/name";
/// Which SageApi an object belongs to.
pub const INSTANCE: &str = "app.kubernetes.io/instance";
/// What an object is a part of: [`COMPONENT_SERVER`] or [`COMPONENT_MIGRATION`].
pub const COMPONENT: &str = "app.kubernetes.io/component";
/// Who created an object: [`OPERATOR`].
pub const MANAGED_BY: &str = "app.kubernetes.io/managed-by";
/// UID of the SageApi that an object was created for. Never in pod templates: a recreated resource would roll.
pub const OWNER_UID: &str = "sageapi.io/owner-uid";

/// Value of [`NAME`].
pub const SERVER: &str = "sageapi";
/// Value of [`MANAGED_BY`].
pub const OPERATOR: &str = "sageapi-operator";
/// Value of [`COMPONENT`] of what serves.
pub const COMPONENT_SERVER: &str = "server";
/// Value of [`COMPONENT`] of what brings the schema up to date.
pub const COMPONENT_MIGRATION: &str = "migration";

/// On a SageApi: any new value tries a failed migration again.
pub const RETRY_MIGRATION: &str = "sageapi.io/retry-migration";
/// On children: the hash of what was applied.
pub const SPEC_HASH: &str = "sageapi.io/spec-hash";
/// On Deployments: the hash of the pod template, which tells a roll from other changes.
pub const TEMPLATE_HASH: &str = "sageapi.io/template-hash";
/// On pod templates: the hash of the configuration.
pub const CONFIG_HASH: &str = "sageapi.io/config-hash";
/// On pod templates: the keyed hash of the secrets.
pub const SECRETS_HASH: &str = "sageapi.io/secrets-hash";
/// On pod templates and migration Jobs: the migration that the image needs.
pub const SCHEMA_HASH: &str = "sageapi.io/schema-hash";
/// On pod templates: the revision of the operator's templates.
pub const REVISION: &str = "sageapi.io/revision";

/// Prefix of what is ours among annotations.
pub const PREFIX: &str = "sageapi.io/";

/// Labels of every child and of pods: who it belongs to and what it is a part of.
pub fn pod_labels(instance: &str, component: &str) -> BTreeMap<String, String> {
    [(NAME, SERVER), (INSTANCE, instance), (COMPONENT, component)]
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

/// Labels of a child object: those of pods, who made it, and for whom.
pub fn child_labels(instance: &str, component: &str, owner_uid: &str) -> BTreeMap<String, String> {
    let mut labels = pod_labels(instance, component);
    labels.insert(MANAGED_BY.to_owned(), OPERATOR.to_owned());
    labels.insert(OWNER_UID.to_owned(), owner_uid.to_owned());
    labels
}

/// Selects the pods that serve. Never to be changed: a Deployment's selector is immutable.
pub fn selector(instance: &str) -> BTreeMap<String, String> {
    pod_labels(instance, COMPONENT_SERVER)
}

/// [`selector`] as text, for /scale.
pub fn selector_text(instance: &str) -> String {
    format!("{NAME}={SERVER},{INSTANCE}={instance},{COMPONENT}={COMPONENT_SERVER}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_selector_is_frozen() {
        assert_eq!(
            selector_text("prod"),
            "app.kubernetes.io/name=sageapi,app.kubernetes.io/instance=prod,app.kubernetes.io/component=server"
        );
        let parts: Vec<_> =
            selector("prod").into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut text: Vec<_> = selector_text("prod").split(',').map(str::to_owned).collect();
        text.sort();
        assert_eq!(parts, text);
    }

    #[test]
    fn pods_do_not_carry_the_owners_uid() {
        assert!(!pod_labels("prod", COMPONENT_SERVER).contains_key(OWNER_UID));
        assert!(child_labels("prod", COMPONENT_SERVER, "u").contains_key(OWNER_UID));
    }
}
