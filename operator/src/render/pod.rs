//! What the pods that serve and those that migrate have in common.

use std::path::Path;

use k8s_openapi::api::core::v1::{
    Capabilities, ConfigMapProjection, Container, EmptyDirVolumeSource, EnvVar, KeyToPath,
    LocalObjectReference, PodSecurityContext, PodSpec, ProjectedVolumeSource, SeccompProfile,
    SecretProjection, SecurityContext, Volume, VolumeMount, VolumeProjection,
};
use sageapi_contract::{CONFIG_PATH, CONFIG_VARIABLE, SECRET_FILES, SECRETS_DIRECTORY};
use sageapi_crds::PullPolicy;

use super::config_map;
use super::context::{Context, USER};
use crate::names;

/// The volume with configuration and secrets.
const CONFIG: &str = "config";
/// The only writable folder.
const TMP: &str = "tmp";

/// A pod with this container; the rest is up to the caller.
pub(super) fn pod(context: &Context<'_>, container: Container) -> PodSpec {
    let image = context.validated.spec.image.as_ref();
    let pull_secrets = image.map(|image| &image.pull_secrets).filter(|secrets| !secrets.is_empty());
    PodSpec {
        service_account_name: Some(context.name().to_owned()),
        automount_service_account_token: Some(false),
        // A Service called `sageapi` would bring variables that the server takes for configuration.
        enable_service_links: Some(false),
        security_context: Some(PodSecurityContext {
            run_as_non_root: Some(true),
            run_as_user: Some(USER),
            run_as_group: Some(USER),
            fs_group: Some(USER),
            seccomp_profile: Some(SeccompProfile {
                type_: "RuntimeDefault".to_owned(),
                localhost_profile: None,
            }),
            ..PodSecurityContext::default()
        }),
        image_pull_secrets: pull_secrets.map(|secrets| {
            secrets.iter().map(|secret| LocalObjectReference { name: secret.name.clone() }).collect()
        }),
        node_selector: some(&context.validated.spec.node_selector, std::collections::BTreeMap::is_empty),
        tolerations: some(&context.validated.spec.tolerations, Vec::is_empty),
        volumes: Some(vec![configuration(context), tmp()]),
        containers: vec![container],
        ..PodSpec::default()
    }
}

/// A container of the server's image.
pub(super) fn container(context: &Context<'_>, name: &str, arguments: Vec<String>) -> Container {
    let policy = context.validated.spec.image.as_ref().and_then(|image| image.pull_policy);
    let policy = match policy.unwrap_or(PullPolicy::IfNotPresent) {
        PullPolicy::Always => "Always",
        PullPolicy::IfNotPresent => "IfNotPresent",
        PullPolicy::Never => "Never",
    };
    Container {
        name: name.to_owned(),
        image: Some(context.validated.image.reference()),
        image_pull_policy: Some(policy.to_owned()),
        args: Some(arguments),
        env: Some(environment(context)),
        resources: Some(context.validated.resources.clone()),
        security_context: Some(SecurityContext {
            allow_privilege_escalation: Some(false),
            read_only_root_filesystem: Some(true),
            run_as_non_root: Some(true),
            capabilities: Some(Capabilities { drop: Some(vec!["ALL".to_owned()]), add: None }),
            ..SecurityContext::default()
        }),
        termination_message_policy: Some("FallbackToLogsOnError".to_owned()),
        volume_mounts: Some(vec![
            VolumeMount {
                name: CONFIG.to_owned(),
                mount_path: folder().to_owned(),
                read_only: Some(true),
                ..VolumeMount::default()
            },
            VolumeMount { name: TMP.to_owned(), mount_path: "/tmp".to_owned(), ..VolumeMount::default() },
        ]),
        ..Container::default()
    }
}

/// The paths of the configuration and of each secret, then what the user adds.
pub fn environment(context: &Context<'_>) -> Vec<EnvVar> {
    let variable = |name: &str, value: &str| EnvVar {
        name: name.to_owned(),
        value: Some(value.to_owned()),
        value_from: None,
    };
    let files = SECRET_FILES
        .iter()
        .filter(|file| context.files.contains(&file.name))
        .filter_map(|file| Some(variable(&file.variable()?, &file.path())));
    let extra = context.validated.spec.extra_env.iter().map(|extra| variable(&extra.name, &extra.value));
    std::iter::once(variable(CONFIG_VARIABLE, CONFIG_PATH)).chain(files).chain(extra).collect()
}

/// Configuration and secrets as one folder: a mount inside a read-only mount cannot be created.
fn configuration(context: &Context<'_>) -> Volume {
    let below = |path: &str| {
        let path = Path::new(path).strip_prefix(folder()).unwrap_or(Path::new(path));
        path.to_string_lossy().into_owned()
    };
    let item = |key: &str, path: String| KeyToPath { key: key.to_owned(), path, mode: None };
    let config = ConfigMapProjection {
        name: names::config(context.name(), &context.config_hash),
        items: Some(vec![item(config_map::FILE, below(CONFIG_PATH))]),
        optional: None,
    };
    let files = context.files.iter().map(|file| item(file, below(&format!("{SECRETS_DIRECTORY}/{file}"))));
    let secrets = SecretProjection {
        name: names::secrets(context.name(), &context.secrets_hash),
        items: Some(files.collect()),
        optional: None,
    };
    Volume {
        name: CONFIG.to_owned(),
        projected: Some(ProjectedVolumeSource {
            default_mode: Some(0o440),
            sources: Some(vec![
                VolumeProjection { config_map: Some(config), ..VolumeProjection::default() },
                VolumeProjection { secret: Some(secrets), ..VolumeProjection::default() },
            ]),
        }),
        ..Volume::default()
    }
}

/// The folder of [`CONFIG_PATH`], which [`SECRETS_DIRECTORY`] is in.
fn folder() -> &'static str {
    CONFIG_PATH.rsplit_once('/').map_or("/", |(folder, _)| folder)
}

fn tmp() -> Volume {
    Volume { name: TMP.to_owned(), empty_dir: Some(EmptyDirVolumeSource::default()), ..Volume::default() }
}

/// What is not empty: the API server drops the rest, and it would always look changed.
fn some<T: Clone>(value: &T, is_empty: impl Fn(&T) -> bool) -> Option<T> {
    (!is_empty(value)).then(|| value.clone())
}
