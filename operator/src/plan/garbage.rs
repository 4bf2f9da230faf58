//! Configuration and secrets of former rollouts: kept while anything could start a pod from them.

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, PodSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::children::{delete, is_ours, name};
use crate::children::Children;
use crate::kinds::Kind;
use crate::names;
use crate::steps::Step;

/// How many are kept beyond those in use, the newest first: a rollback by hand may want one.
const SPARE: usize = 3;

/// What can be deleted: immutable ConfigMaps and Secrets of ours that nothing refers to.
pub(super) fn garbage(children: &Children, uid: &str, current: &[&str]) -> Vec<Step> {
    let mut used = named(children);
    used.extend(current.iter().map(|name| (*name).to_owned()));
    [(Kind::Secret, names::secrets_infix()), (Kind::ConfigMap, names::config_infix())]
        .into_iter()
        .flat_map(|(kind, infix)| {
            let mut unused: Vec<&ObjectMeta> = children
                .of(kind)
                .filter(|m| is_ours(m, uid) && name(m).contains(infix) && !used.contains(name(m)))
                .collect();
            let age = |m: &ObjectMeta| m.creation_timestamp.as_ref().map(|time| time.0);
            unused.sort_by(|a, b| age(b).cmp(&age(a)).then_with(|| name(b).cmp(name(a))));
            unused.into_iter().skip(SPARE).map(|m| delete(kind, m)).collect::<Vec<_>>()
        })
        .collect()
}

/// Names of ConfigMaps and Secrets that a ReplicaSet, a Job, the Deployment or a pod mounts.
fn named(children: &Children) -> BTreeSet<String> {
    let sets =
        children.all().filter_map(|set: &ReplicaSet| set.spec.as_ref()?.template.as_ref()?.spec.as_ref());
    let jobs = children.all().filter_map(|job: &Job| job.spec.as_ref()?.template.spec.as_ref());
    let deployments = children.all().filter_map(|one: &Deployment| one.spec.as_ref()?.template.spec.as_ref());
    let pods = children.all().filter_map(|pod: &Pod| pod.spec.as_ref());
    sets.chain(jobs).chain(deployments).chain(pods).flat_map(mounted).collect()
}

fn mounted(pod: &PodSpec) -> Vec<String> {
    let mut names = Vec::new();
    for volume in pod.volumes.iter().flatten() {
        names.extend(volume.config_map.as_ref().map(|source| source.name.clone()));
        names.extend(volume.secret.as_ref().and_then(|source| source.secret_name.clone()));
        for source in volume.projected.iter().flat_map(|projected| projected.sources.iter().flatten()) {
            names.extend(source.config_map.as_ref().map(|source| source.name.clone()));
            names.extend(source.secret.as_ref().map(|source| source.name.clone()));
        }
    }
    names
}
