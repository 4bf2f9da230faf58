use k8s_openapi::api::core::v1::ConfigMap;

use super::context::{Context, sealed, texts};
use crate::object::Object;
use crate::{labels, names};

/// The entry of the ConfigMap, and the file's name in a pod.
pub(super) const FILE: &str = "config.yaml";

/// The server's configuration; immutable, a change makes another one.
pub fn config_map(context: &Context<'_>, configuration: &str) -> Object {
    let name = names::config(context.name(), &context.config_hash);
    let map = ConfigMap {
        metadata: context.owned(&name, labels::COMPONENT_SERVER),
        immutable: Some(true),
        data: Some(texts([(FILE, configuration)])),
        ..ConfigMap::default()
    };
    sealed(&map, None)
}
