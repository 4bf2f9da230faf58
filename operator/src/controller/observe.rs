use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures_util::future::try_join_all;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::{PodSpec, Secret};
use kube::{Api, ResourceExt as _};
use sageapi_crds::SageApi;

use super::Context;
use crate::labels;
use crate::names;
use crate::observed::{Children, KeySeed, Observed, Referenced, referenced_secrets};
use crate::watch::{Cache, Caches, Key, SecretsAccess};

/// Gathers what a plan for the resource rests on: the caches, and the Secrets that it refers to, read now.
pub async fn observe(context: &Context, key: &Key, resource: &SageApi) -> Result<Observed, kube::Error> {
    let secrets = read_secrets(context, key, resource).await?;
    if context.secrets == SecretsAccess::Get {
        read_own_secrets(context, key).await?;
    }
    let mut seed = KeySeed([0; 128]);
    context.entropy.fill(&mut seed.0);
    Ok(Observed {
        resource: resource.clone(),
        children: children(&context.caches, key),
        secrets,
        refusals: context.refused.deletions(key),
        health: context.health.latest(key),
        now: context.clock.now().into(),
        seed,
        settings: context.settings.clone(),
    })
}

fn children(caches: &Caches, key: &Key) -> Children {
    Children {
        service_accounts: list(&caches.service_accounts, key),
        secrets: list(&caches.secrets, key),
        config_maps: list(&caches.config_maps, key),
        jobs: list(&caches.jobs, key),
        services: list(&caches.services, key),
        network_policies: list(&caches.network_policies, key),
        deployments: list(&caches.deployments, key),
        disruption_budgets: list(&caches.budgets, key),
        replica_sets: list(&caches.replica_sets, key),
        pods: list(&caches.pods, key),
    }
}

fn list<K: kube::Resource<DynamicType = ()> + Clone>(cache: &Cache<K>, key: &Key) -> Vec<K> {
    cache.of(key).into_iter().map(Arc::unwrap_or_clone).collect()
}

async fn read_secrets(
    context: &Context,
    key: &Key,
    resource: &SageApi,
) -> Result<BTreeMap<String, Referenced>, kube::Error> {
    let names: Vec<Key> = referenced_secrets(&resource.spec)
        .into_iter()
        .map(|name| Key::new(key.namespace.as_str(), name))
        .collect();
    // Announced before it is read: a change in between must not be missed.
    context.caches.references.expect(key, &names);
    let api: Api<Secret> = Api::namespaced(context.client.clone(), &key.namespace);
    let read = try_join_all(names.iter().map(|secret| read_secret(&api, secret))).await?;
    let versions = names.iter().cloned().zip(read.iter().map(|(_, version)| version.clone())).collect();
    context.caches.references.set(key, &versions);
    Ok(names.into_iter().map(|secret| secret.name).zip(read.into_iter().map(|(found, _)| found)).collect())
}

/// Reads our own Secrets where they may not be watched: those that can be named, by the resource or by what runs.
async fn read_own_secrets(context: &Context, key: &Key) -> Result<(), kube::Error> {
    let caches = &context.caches;
    let (deployments, sets, jobs) =
        (caches.deployments.of(key), caches.replica_sets.of(key), caches.jobs.of(key));
    let templates = deployments
        .iter()
        .filter_map(|deployment| deployment.spec.as_ref()?.template.spec.as_ref())
        .chain(sets.iter().filter_map(|set| set.spec.as_ref()?.template.as_ref()?.spec.as_ref()))
        .chain(jobs.iter().filter_map(|job| job.spec.as_ref()?.template.spec.as_ref()));
    let mut wanted: BTreeSet<String> = templates.flat_map(mounted_secrets).collect();
    wanted.extend(caches.secrets.of(key).iter().map(|secret| secret.name_any()));
    wanted.insert(names::keys(&key.name));

    let api: Api<Secret> = Api::namespaced(context.client.clone(), &key.namespace);
    for name in wanted {
        let found = api.get_opt(&name).await?;
        let ours = found.filter(|secret| secret.labels().get(labels::INSTANCE) == Some(&key.name));
        match ours {
            Some(secret) => caches.secrets.put(secret),
            None => caches.secrets.remove(&Key::new(key.namespace.as_str(), name)),
        };
    }
    Ok(())
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
