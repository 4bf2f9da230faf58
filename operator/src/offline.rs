//! What `render` prints: every object of a new installation, without a cluster.

mod schema;

use sageapi_crds::SageApi;
use serde::Deserialize as _;
use serde_yaml::Value;

use crate::credentials;
use crate::object::Object;
use crate::observed::{KeySeed, Settings};
use crate::render::{self, Context, Keys};
use crate::validate::{Problem, validate};

/// Placeholder for what only a cluster knows: UIDs, the database, hashes over secrets.
const OFFLINE: &str = "offline";

const HEADER: &str = "# The objects that sageapi-operator creates for a new SageApi. Do not apply them: Secrets have no data, and names\n# with a hash over a secret or over the database differ in a cluster.\n";

/// Why a manifest was not rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// Not YAML, or not the fields of a SageApi.
    #[error("the manifest cannot be read: {0}")]
    Manifest(#[from] serde_yaml::Error),
    /// Nothing to render.
    #[error(
        "the manifest holds no object of kind SageApi ({}/{})",
        sageapi_crds::GROUP,
        sageapi_crds::VERSION
    )]
    None,
    /// An object of our group in an unknown version.
    #[error("{found} is not a version of SageApi; write {}/{}", sageapi_crds::GROUP, sageapi_crds::VERSION)]
    Version {
        /// Its `apiVersion`.
        found: String,
    },
    /// The API server would refuse it, or the specification cannot be followed.
    #[error("{name}: {problems}")]
    Invalid {
        /// The resource.
        name: String,
        /// All that is wrong.
        problems: String,
    },
    /// It fits the definition and cannot be decoded.
    #[error("the manifest cannot be read: {0}")]
    Resource(serde_json::Error),
    /// An internal error.
    #[error("an object cannot be written: {0}")]
    Object(#[from] serde_json::Error),
}

/// Every object of a new installation, as YAML, for each SageApi of the manifest. Other objects are passed over.
///
/// # Errors
/// [`RenderError`]
pub fn render(manifest: &str, server_image: &str) -> Result<String, RenderError> {
    let settings = Settings {
        server_image: server_image.to_owned(),
        cluster: OFFLINE.to_owned(),
        namespace: "sageapi-system".to_owned(),
        monitoring_namespaces: Vec::new(),
    };
    let mut text = HEADER.to_owned();
    let mut found = false;
    for document in serde_yaml::Deserializer::from_str(manifest) {
        let document = Value::deserialize(document)?;
        if !is_resource(&document)? {
            continue;
        }
        found = true;
        let mut object: serde_json::Value = serde_yaml::from_value(document)?;
        let problems = schema::check(&mut object);
        if !problems.is_empty() {
            return Err(invalid(object["metadata"]["name"].as_str(), &problems));
        }
        let mut resource: SageApi = serde_json::from_value(object).map_err(RenderError::Resource)?;
        resource.metadata.namespace.get_or_insert_with(|| "default".to_owned());
        resource.metadata.uid = Some(OFFLINE.to_owned());
        for object in objects(&resource, &settings)? {
            text.push_str("---\n");
            text.push_str(&serde_yaml::to_string(object.body())?);
        }
    }
    if found { Ok(text) } else { Err(RenderError::None) }
}

/// Whether a document of the manifest is a SageApi; others are passed over, like `kubectl` would apply them.
fn is_resource(document: &Value) -> Result<bool, RenderError> {
    let text = |name| document.get(name).and_then(Value::as_str).unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or_default();
    if text("kind") != sageapi_crds::KIND || group != sageapi_crds::GROUP {
        return Ok(false);
    }
    if version != sageapi_crds::VERSION {
        return Err(RenderError::Version { found: text("apiVersion").to_owned() });
    }
    Ok(true)
}

fn invalid(name: Option<&str>, problems: &[Problem]) -> RenderError {
    RenderError::Invalid {
        name: name.unwrap_or("a SageApi without a name").to_owned(),
        problems: problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "),
    }
}

fn objects(resource: &SageApi, settings: &Settings) -> Result<Vec<Object>, RenderError> {
    let validated = validate(resource, settings)
        .map_err(|problems| invalid(resource.metadata.name.as_deref(), &problems))?;
    let configuration = render::configuration(&validated)?;
    let owner = format!("{OFFLINE}/{}/{}", validated.namespace, validated.name);
    let entries = credentials::entries(&validated);
    let files = entries.iter().map(|entry| entry.file).chain(credentials::own_files());
    let files = files.map(|file| (file, Vec::new())).collect();
    let context = Context {
        secrets_hash: OFFLINE.to_owned(),
        ..Context::new(&validated, &owner, &configuration, &files, OFFLINE, &[])
    };
    let mut objects = vec![
        render::service_account(&context),
        render::keys_secret(&validated, &Keys::generate(&KeySeed([0; 128]))).without_data(),
        render::secrets(&context, &files, &[]).without_data(),
        render::config_map(&context, &configuration),
        render::migration_job(&context, &owner, 1, None),
    ];
    objects.extend(render::serving(&context, settings));
    objects.sort_by_key(Object::kind);
    Ok(objects)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMAGE: &str = "sageapi.io/sageapi-server:0.1.0";
    const EXAMPLE: &str = include_str!("../../examples/3-sageapi.yaml");

    fn kinds(text: &str) -> Vec<String> {
        let documents = serde_yaml::Deserializer::from_str(text).map(|d| Value::deserialize(d).unwrap());
        documents
            .map(|d| format!("{} {}", d["kind"].as_str().unwrap(), d["metadata"]["name"].as_str().unwrap()))
            .collect()
    }

    #[test]
    fn every_object_of_the_example_is_printed_in_the_order_of_its_making() {
        let text = render(EXAMPLE, IMAGE).unwrap();
        let kinds = kinds(&text);
        assert_eq!(kinds[..3], ["ServiceAccount prod", "Secret prod-keys", "Secret prod-secrets-offline"]);
        assert!(kinds[3].starts_with("ConfigMap prod-config-"), "{kinds:?}");
        assert!(kinds[4].starts_with("Job prod-migrate-") && kinds[4].ends_with("-1"), "{kinds:?}");
        assert_eq!(
            kinds[5..],
            ["Service prod", "NetworkPolicy prod", "Deployment prod", "PodDisruptionBudget prod"]
        );
    }

    #[test]
    fn no_secret_is_printed_with_data() {
        let text = render(EXAMPLE, IMAGE).unwrap();
        for document in serde_yaml::Deserializer::from_str(&text) {
            let document = Value::deserialize(document).unwrap();
            if document["kind"] == "Secret" {
                assert!(document.get("data").is_none() && document.get("stringData").is_none());
            }
        }
    }

    #[test]
    fn the_examples_bring_every_secret_that_they_refer_to() {
        let secrets = serde_yaml::Deserializer::from_str(include_str!("../../examples/2-secrets.yaml"));
        let secrets: Vec<Value> = secrets.map(|document| Value::deserialize(document).unwrap()).collect();
        let resource: SageApi = serde_yaml::from_str(EXAMPLE).unwrap();
        let settings = Settings {
            server_image: IMAGE.to_owned(),
            cluster: OFFLINE.to_owned(),
            namespace: "sageapi-system".to_owned(),
            monitoring_namespaces: Vec::new(),
        };
        let validated = validate(&resource, &settings).unwrap();
        for entry in credentials::entries(&validated) {
            let secret = secrets.iter().find(|secret| secret["metadata"]["name"] == entry.secret);
            assert!(secret.is_some_and(|secret| secret["stringData"][entry.key].is_string()), "{entry:?}");
        }
        let names: std::collections::BTreeSet<_> =
            credentials::entries(&validated).iter().map(|entry| entry.secret.to_owned()).collect();
        assert_eq!(names, crate::observed::referenced_secrets(&validated.spec), "the index knows them all");
    }

    #[test]
    fn the_same_manifest_gives_the_same_bytes() {
        assert_eq!(render(EXAMPLE, IMAGE).unwrap(), render(EXAMPLE, IMAGE).unwrap());
    }

    #[test]
    fn what_a_cluster_would_refuse_is_not_rendered() {
        for (right, wrong, told) in [
            ("name: prod", "name: 1prod", "metadata.name: the name must begin with a letter"),
            ("instances: 2", "instances: 0", "spec.instances: 0 should be greater than or equal to 1"),
            ("instances: 2", "instance: 2", "spec.instance: unknown field"),
            ("instances: 2", "instances: 2\n  resources: {limits: {memory: 1Ki}}", "did you mean 1Gi?"),
        ] {
            let error = render(&EXAMPLE.replace(right, wrong), IMAGE).expect_err(wrong).to_string();
            assert!(error.contains(told), "{wrong}: {error}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_its_path() {
        let wrong = EXAMPLE.replace("every: 5s", "every: 5x");
        let error = render(&wrong, IMAGE).unwrap_err().to_string();
        assert!(error.contains("spec.sync.users.every"), "{error}");
        assert!(matches!(render("kind: Secret", IMAGE), Err(RenderError::None)));
        let other = EXAMPLE.replace("sageapi.io/v1alpha1", "sageapi.io/v1");
        assert!(matches!(render(&other, IMAGE), Err(RenderError::Version { .. })));
        assert!(matches!(render("{", IMAGE), Err(RenderError::Manifest(_))));
    }
}
