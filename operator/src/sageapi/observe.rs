use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{PodSpec, Secret};
use kube::core::DynamicObject;
use kube::{Api, Client, ResourceExt as _};
use sageapi_crds::{SageApi, SageApiSpec};

use crate::children::Children;
use crate::kinds::Kind;
use crate::labels;
use crate::names;
use crate::object::Live;
use crate::observed::{Referenced, referenced_secrets};
use crate::watch::{Caches, Key};

/// Looks at the cluster around one resource.
pub struct Observer<'a> {
    /// The cluster.
    pub client: &'a Client,
    /// What is known of it.
    pub caches: &'a Caches<SageApi>,
    /// The resource.
    pub key: &'a Key,
}

impl Observer<'_> {
    /// The objects around the resource, as the caches know them.
    pub fn children(&self) -> Result<Children, kube::Error> {
        self.caches.children.around(self.key).map_err(kube::Error::SerdeError)
    }

    /// The Secrets that the specification refers to, read now.
    pub async fn referenced_secrets(
        &self,
        spec: &SageApiSpec,
    ) -> Result<BTreeMap<String, Referenced>, kube::Error> {
        let names: Vec<Key> = referenced_secrets(spec)
            .into_iter()
            .map(|name| Key::new(self.key.namespace.as_str(), name))
            .collect();
        // Announced before it is read: a change in between must not be missed.
        self.caches.references.expect(self.key, &names);
        let api: Api<Secret> = Api::namespaced(self.client.clone(), &self.key.namespace);
        let read = try_join_all(names.iter().map(|secret| read_secret(&api, secret))).await?;
        let versions = names.iter().cloned().zip(read.iter().map(|(_, version)| version.clone())).collect();
        self.caches.references.set(self.key, &versions);
        let found = read.into_iter().map(|(found, _)| found);
        Ok(names.into_iter().map(|secret| secret.name).zip(found).collect())
    }

    /// Reads our own Secrets where they may not be watched: those that can be named, by the resource or by what runs.
    pub async fn refresh_own_secrets(&self) -> Result<(), kube::Error> {
        let children = self.children()?;
        let deployments =
            children.all().filter_map(|one: &Deployment| one.spec.as_ref()?.template.spec.as_ref());
        let sets =
            children.all().filter_map(|one: &ReplicaSet| one.spec.as_ref()?.template.as_ref()?.spec.as_ref());
        let jobs = children.all().filter_map(|one: &Job| one.spec.as_ref()?.template.spec.as_ref());
        let mut wanted: BTreeSet<String> =
            deployments.chain(sets).chain(jobs).flat_map(mounted_secrets).collect();
        wanted.extend(children.of(Kind::Secret).filter_map(|secret| secret.name.clone()));
        wanted.insert(names::keys(&self.key.name));

        let namespace = self.key.namespace.as_str();
        let resource = Kind::Secret.api_resource();
        let api: Api<DynamicObject> = Api::namespaced_with(self.client.clone(), namespace, &resource);
        for name in wanted {
            let found = api.get_opt(&name).await?;
            let ours = found.filter(|secret| secret.labels().get(labels::INSTANCE) == Some(&self.key.name));
            match ours {
                Some(secret) => {
                    let secret = Live::read(Kind::Secret, secret).map_err(kube::Error::SerdeError)?;
                    self.caches.children.put(&secret);
                }
                None => self.caches.children.remove(Kind::Secret, &Key::new(namespace, name)),
            }
        }
        Ok(())
    }
}

/// The names of the Secrets that a pod mounts.
fn mounted_secrets(pod: &PodSpec) -> impl Iterator<Item = String> + '_ {
    pod.volumes.iter().flatten().flat_map(|volume| {
        let whole = volume.secret.as_ref().and_then(|secret| secret.secret_name.clone());
        let projected = volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten());
        let parts = projected.filter_map(|source| Some(source.secret.as_ref()?.name.clone()));
        whole.into_iter().chain(parts)
    })
}

/// A Secret's entries and its version.
async fn read_secret(api: &Api<Secret>, key: &Key) -> Result<(Referenced, Option<String>), kube::Error> {
    match api.get_opt(&key.name).await {
        Ok(Some(secret)) => {
            let entries = secret.data.unwrap_or_default().into_iter();
            let entries = entries.map(|(name, ByteString(bytes))| (name, bytes)).collect();
            Ok((Referenced::Found(entries), secret.metadata.resource_version))
        }
        Ok(None) => Ok((Referenced::Missing, None)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok((Referenced::Forbidden, None)),
        Err(error) => Err(error),
    }
}
