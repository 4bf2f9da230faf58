//! Follows a plan's steps: server-side apply as one field manager, under the version that was looked at, and only
//! where something would change.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::live::{first_difference, without_foreign};
use super::refused::Refused;
use crate::metrics::{KindLabel, Metrics};
use crate::object::{Object, ObjectKind, ObjectRef};
use crate::observed::{Refusal, RefusalCause};
use crate::plan::Step;
use crate::watch::{Cache, Caches, Key};
use crate::{labels, names};

/// Who owns the fields of children.
pub const FIELD_MANAGER: &str = "sageapi-operator";

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// For good, or until somebody acts: the next plan speaks of it.
    #[error("{} was refused: {}", .0.object, .0.message)]
    Refused(Refusal),
    /// The plan rests on what is not so any more: look again.
    #[error("{0} has changed since it was looked at")]
    Stale(ObjectRef),
    /// Anything else: tried again later.
    #[error("{object}: {}", crate::client::brief(cause))]
    Api {
        /// The object.
        object: ObjectRef,
        /// What the client says.
        cause: kube::Error,
    },
}

/// Follows steps for one resource.
pub struct Applier<'a> {
    /// The client.
    pub client: &'a Client,
    /// What is known of the cluster; answers to our writes go into it at once.
    pub caches: &'a Caches,
    /// Counts.
    pub metrics: &'a Metrics,
    /// What others keep changing back.
    pub contested: &'a Contested,
    /// What the API server refused.
    pub refused: &'a Refused,
    /// The time, on the monotonic clock.
    pub now: Duration,
    /// The resource.
    pub owner: &'a Key,
}

/// Children in which something else, such as an admission webhook, changes our fields as we write them. Writing them
/// again and again would change nothing. By UID: the state in which the child was left.
#[derive(Debug, Default)]
pub struct Contested(Mutex<HashMap<String, String>>);

impl Contested {
    fn is_settled(&self, meta: &impl Resource) -> bool {
        let settled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state_of(meta).is_some_and(|(uid, state)| settled.get(&uid) == Some(&state))
    }

    fn settle(&self, meta: &impl Resource) {
        if let Some((uid, state)) = state_of(meta) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, state);
        }
    }
}

/// The UID and what changes when the specification does.
fn state_of(object: &impl Resource) -> Option<(String, String)> {
    let meta = object.meta();
    let hash = meta.annotations.as_ref().and_then(|annotations| annotations.get(labels::SPEC_HASH));
    let state = meta.generation.map(|generation| generation.to_string());
    let state = state.or_else(|| meta.resource_version.clone())?;
    Some((meta.uid.clone()?, format!("{state} {}", hash.map_or("", String::as_str))))
}

impl Applier<'_> {
    /// Does one step.
    pub async fn follow(&self, step: &Step) -> Result<(), StepError> {
        match step {
            Step::Apply(object) => self.apply(object).await,
            Step::Create(object) => self.create(object).await,
            Step::Delete(object) => self.delete(object).await,
        }
    }

    async fn apply(&self, object: &Object) -> Result<(), StepError> {
        let of = object.reference();
        match object {
            Object::ServiceAccount(wanted) => {
                self.apply_in(&self.caches.service_accounts, &**wanted, of).await
            }
            Object::Secret(wanted) => self.apply_in(&self.caches.secrets, &**wanted, of).await,
            Object::ConfigMap(wanted) => self.apply_in(&self.caches.config_maps, &**wanted, of).await,
            Object::Job(wanted) => self.apply_in(&self.caches.jobs, &**wanted, of).await,
            Object::Service(wanted) => self.apply_in(&self.caches.services, &**wanted, of).await,
            Object::NetworkPolicy(wanted) => {
                self.apply_in(&self.caches.network_policies, &**wanted, of).await
            }
            Object::Deployment(wanted) => self.apply_in(&self.caches.deployments, &**wanted, of).await,
            Object::PodDisruptionBudget(wanted) => self.apply_in(&self.caches.budgets, &**wanted, of).await,
        }
    }

    async fn create(&self, object: &Object) -> Result<(), StepError> {
        let of = object.reference();
        match object {
            Object::ServiceAccount(wanted) => {
                self.create_in(&self.caches.service_accounts, &**wanted, of).await
            }
            Object::Secret(wanted) => self.create_in(&self.caches.secrets, &**wanted, of).await,
            Object::ConfigMap(wanted) => self.create_in(&self.caches.config_maps, &**wanted, of).await,
            Object::Job(wanted) => self.create_in(&self.caches.jobs, &**wanted, of).await,
            Object::Service(wanted) => self.create_in(&self.caches.services, &**wanted, of).await,
            Object::NetworkPolicy(wanted) => {
                self.create_in(&self.caches.network_policies, &**wanted, of).await
            }
            Object::Deployment(wanted) => self.create_in(&self.caches.deployments, &**wanted, of).await,
            Object::PodDisruptionBudget(wanted) => self.create_in(&self.caches.budgets, &**wanted, of).await,
        }
    }

    async fn delete(&self, object: &ObjectRef) -> Result<(), StepError> {
        match object.kind {
            ObjectKind::ServiceAccount => self.delete_in(&self.caches.service_accounts, object).await,
            ObjectKind::Secret => self.delete_in(&self.caches.secrets, object).await,
            ObjectKind::ConfigMap => self.delete_in(&self.caches.config_maps, object).await,
            ObjectKind::Job => self.delete_in(&self.caches.jobs, object).await,
            ObjectKind::Service => self.delete_in(&self.caches.services, object).await,
            ObjectKind::NetworkPolicy => self.delete_in(&self.caches.network_policies, object).await,
            ObjectKind::Deployment => self.delete_in(&self.caches.deployments, object).await,
            ObjectKind::PodDisruptionBudget => self.delete_in(&self.caches.budgets, object).await,
        }
    }

    async fn apply_in<K: Child>(&self, cache: &Cache<K>, wanted: &K, of: ObjectRef) -> Result<(), StepError> {
        let api = self.api::<K>();
        let kind = KindLabel { kind: of.kind.name() };
        // The first time, whatever stands there under this name must be seen: an apply would take it over.
        let live = match cache.get(&self.key(&of)) {
            Some(live) => Some(live),
            None => api.get_opt(&of.name).await.map_err(|cause| failed(&of, cause))?.map(Arc::new),
        };
        let mut body = to_value(wanted, &of)?;
        let mut foreign = Foreign::default();
        let mut over = String::new();
        if let Some(live) = &live {
            if !is_ours(wanted, live.as_ref()) {
                return Err(StepError::Refused(taken(self.owner, of)));
            }
            let same_hash = spec_hash(wanted) == spec_hash(live.as_ref());
            let found = to_value(live.as_ref(), &of)?;
            let difference = first_difference(&body, &found);
            match difference {
                None if same_hash => {
                    self.metrics.noops.get_or_create(&kind).inc();
                    self.refused.passed(self.owner, &of);
                    return Ok(());
                }
                Some(_) if same_hash && self.contested.is_settled(live.as_ref()) => {
                    self.metrics.noops.get_or_create(&kind).inc();
                    self.refused.passed(self.owner, &of);
                    return Ok(());
                }
                Some(path) if same_hash => {
                    tracing::info!(resource = %self.owner, object = %of, path, "changed by someone else; put right");
                    self.metrics.drifts.get_or_create(&kind).inc();
                }
                _ => {}
            }
            foreign = Foreign { cleared: without_foreign(&body, &found), may_be_ours: !same_hash };
            over = state_of(live.as_ref()).map(|(uid, state)| format!("{uid} {state}")).unwrap_or_default();
            body["metadata"]["resourceVersion"] = json!(live.resource_version());
        }
        let write = format!("{} over {over}", spec_hash(wanted).map_or("", String::as_str));
        let written = self.attempt(&of, write, put::<K>(&api, &of.name, &mut body, foreign));
        let written: K = written.await?;
        if let Some(meta) = body["metadata"].as_object_mut() {
            meta.remove("resourceVersion");
        }
        if let Some(path) = first_difference(&body, &to_value(&written, &of)?) {
            tracing::warn!(
                resource = %self.owner, object = %of, path,
                "the API server keeps another value than the one written, as an admission webhook would make it"
            );
            self.contested.settle(&written);
        }
        cache.put(written);
        Ok(())
    }

    async fn create_in<K: Child>(
        &self,
        cache: &Cache<K>,
        wanted: &K,
        of: ObjectRef,
    ) -> Result<(), StepError> {
        let api = self.api::<K>();
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let write = spec_hash(wanted).cloned().unwrap_or_default();
        match self.attempt(&of, write, api.create(&params, wanted)).await {
            Ok(made) => {
                cache.put(made);
                Ok(())
            }
            // It exists: what was seen is out of date.
            Err(StepError::Stale(_)) => {
                match api.get_opt(&of.name).await.map_err(|cause| failed(&of, cause))? {
                    Some(live) if is_ours(wanted, &live) => {
                        cache.put(live);
                        Err(StepError::Stale(of))
                    }
                    Some(_) => Err(StepError::Refused(taken(self.owner, of))),
                    None => Err(StepError::Stale(of)),
                }
            }
            Err(error) => Err(error),
        }
    }

    async fn delete_in<K: Child>(&self, cache: &Cache<K>, of: &ObjectRef) -> Result<(), StepError> {
        let key = self.key(of);
        if cache.get(&key).is_some_and(|live| is_leaving(live.as_ref())) {
            return Ok(());
        }
        // A Job stays until its pods are gone: what they may still do is seen as long as they do it.
        let params = match of.kind {
            ObjectKind::Job => DeleteParams::foreground(),
            _ => DeleteParams::background(),
        };
        let preconditions = Preconditions { uid: of.uid.clone(), resource_version: None };
        let params = params.preconditions(preconditions);
        let api = self.api::<K>();
        match self.attempt(of, String::new(), api.delete(&of.name, &params)).await {
            Ok(answer) => match answer.left().filter(is_leaving) {
                Some(leaving) => cache.put(leaving),
                None => cache.remove(&key),
            },
            // It is gone, or another one of its name has taken its place.
            Err(StepError::Stale(_)) => cache.remove(&key),
            Err(StepError::Api { cause: kube::Error::Api(status), .. }) if status.code == 404 => {
                cache.remove(&key)
            }
            Err(error) => return Err(error),
        };
        Ok(())
    }

    /// Writes, unless the API server has just refused the very same.
    async fn attempt<T>(
        &self,
        of: &ObjectRef,
        write: String,
        writing: impl Future<Output = Result<T, kube::Error>>,
    ) -> Result<T, StepError> {
        if let Some(refusal) = self.refused.remembered(self.owner, of, &write, self.now) {
            return Err(StepError::Refused(refusal));
        }
        let result = writing.await.map_err(|cause| failed(of, cause));
        match &result {
            Ok(_) => self.refused.passed(self.owner, of),
            Err(StepError::Refused(refusal)) => self.refused.note(self.owner, write, refusal, self.now),
            Err(_) => {}
        }
        result
    }

    fn api<K: Child>(&self) -> Api<K> {
        Api::namespaced(self.client.clone(), &self.owner.namespace)
    }

    fn key(&self, of: &ObjectRef) -> Key {
        Key::new(self.owner.namespace.as_str(), of.name.as_str())
    }
}

/// What is only in the live object's lists and maps.
#[derive(Default)]
struct Foreign {
    /// The live object without it; `None` if there is nothing.
    cleared: Option<Value>,
    /// Whether the live object has another specification of ours, which may have put it there.
    may_be_ours: bool,
}

/// Applies an object. What others added is taken out first, by a merge patch: an apply would leave it. What is ours
/// the apply removes by itself, in the same change as the rest; patched beforehand, a Deployment would roll twice.
async fn put<K: Child>(
    api: &Api<K>,
    name: &str,
    body: &mut Value,
    foreign: Foreign,
) -> Result<K, kube::Error> {
    let params = PatchParams::apply(FIELD_MANAGER).force();
    if let Some(mut cleared) = foreign.cleared {
        if foreign.may_be_ours {
            match api.patch(name, &params, &Patch::Apply(&*body)).await {
                Ok(written) => {
                    let kept = serde_json::to_value(&written).map_err(kube::Error::SerdeError)?;
                    let Some(others) = without_foreign(body, &kept) else { return Ok(written) };
                    cleared = others;
                    body["metadata"]["resourceVersion"] = json!(written.resource_version());
                }
                // What others added can be in the way of ours, such as a Service's port of the same name.
                Err(kube::Error::Api(status)) if status.code == 422 => {}
                Err(cause) => return Err(cause),
            }
        }
        let version = json!({"resourceVersion": body["metadata"]["resourceVersion"]});
        let cleared = Patch::Merge(json!({"metadata": version, "spec": cleared["spec"]}));
        let merge = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let cleared: K = api.patch(name, &merge, &cleared).await?;
        body["metadata"]["resourceVersion"] = json!(cleared.resource_version());
    }
    api.patch(name, &params, &Patch::Apply(&*body)).await
}

/// What a child's type can do.
trait Child:
    Resource<DynamicType = (), Scope = NamespaceResourceScope>
    + Clone
    + Debug
    + Serialize
    + DeserializeOwned
    + Send
    + Sync
    + 'static
{
}

impl<K> Child for K where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>
        + Clone
        + Debug
        + Serialize
        + DeserializeOwned
        + Send
        + Sync
        + 'static
{
}

/// Whether what stands there is the same resource's. What outlives its resource has no owner and goes by its labels.
fn is_ours<K: Resource>(wanted: &K, live: &K) -> bool {
    match controller_uid(wanted) {
        Some(uid) => controller_uid(live) == Some(uid),
        None => {
            controller_uid(live).is_none()
                && [labels::MANAGED_BY, labels::INSTANCE]
                    .iter()
                    .all(|label| live.labels().get(*label) == wanted.labels().get(*label))
        }
    }
}

/// Whether it is being deleted and something holds it.
fn is_leaving(object: &impl Resource) -> bool {
    let meta = object.meta();
    meta.deletion_timestamp.is_some() && meta.finalizers.as_ref().is_some_and(|held| !held.is_empty())
}

fn controller_uid(object: &impl Resource) -> Option<&str> {
    let references = object.meta().owner_references.as_deref().unwrap_or_default();
    references
        .iter()
        .find(|reference| reference.controller == Some(true))
        .map(|reference| reference.uid.as_str())
}

fn spec_hash(object: &impl Resource) -> Option<&String> {
    object.annotations().get(labels::SPEC_HASH)
}

fn to_value(object: &impl Serialize, of: &ObjectRef) -> Result<Value, StepError> {
    serde_json::to_value(object)
        .map_err(|cause| StepError::Api { object: of.clone(), cause: kube::Error::SerdeError(cause) })
}

fn taken(owner: &Key, object: ObjectRef) -> Refusal {
    // The keys alone have no owner: those that somebody restored may be the only copy there is.
    let message = if object.kind == ObjectKind::Secret && object.name == names::keys(&owner.name) {
        let (made, instance) = (labels::MANAGED_BY, labels::INSTANCE);
        format!(
            "{object} exists without the labels by which an installation's keys are found; if they are this one's, add {made}={} and {instance}={}",
            labels::OPERATOR,
            owner.name
        )
    } else {
        format!("{object} exists and is not this resource's; rename one of them, or delete it")
    };
    Refusal { object, cause: RefusalCause::NameTaken, message }
}

fn failed(object: &ObjectRef, cause: kube::Error) -> StepError {
    let object = object.clone();
    match cause {
        kube::Error::Api(status) if status.code == 409 => StepError::Stale(object),
        // A webhook that denies without a code is a 400.
        kube::Error::Api(status) if matches!(status.code, 400 | 403 | 422) => {
            let cause = if status.code == 403 { RefusalCause::Forbidden } else { RefusalCause::Rejected };
            StepError::Refused(Refusal { object, cause, message: status.message.clone() })
        }
        cause => StepError::Api { object, cause },
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::{ConfigMap, Service};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use kube::client::Body;

    use super::*;

    fn object(owner: Option<&str>, instance: &str) -> ConfigMap {
        let mut object = ConfigMap::default();
        object.labels_mut().insert(labels::MANAGED_BY.to_owned(), labels::OPERATOR.to_owned());
        object.labels_mut().insert(labels::INSTANCE.to_owned(), instance.to_owned());
        object.metadata.owner_references = owner.map(|uid| {
            vec![OwnerReference { uid: uid.to_owned(), controller: Some(true), ..OwnerReference::default() }]
        });
        object
    }

    #[test]
    fn what_an_earlier_resource_of_the_name_made_is_not_ours() {
        assert!(is_ours(&object(Some("u1"), "prod"), &object(Some("u1"), "prod")));
        assert!(!is_ours(&object(Some("u1"), "prod"), &object(Some("u0"), "prod")));
        assert!(!is_ours(&object(Some("u1"), "prod"), &object(None, "prod")));
    }

    #[test]
    fn what_outlives_its_resource_is_taken_up_by_name_and_label() {
        assert!(is_ours(&object(None, "prod"), &object(None, "prod")));
        assert!(!is_ours(&object(None, "prod"), &object(None, "test")));
        assert!(!is_ours(&object(None, "prod"), &ConfigMap::default()));
        assert!(!is_ours(&object(None, "prod"), &object(Some("u1"), "prod")));
    }

    #[test]
    fn a_child_that_something_keeps_changing_back_is_left_until_its_specification_changes() {
        let contested = Contested::default();
        let mut child = object(Some("u1"), "prod");
        child.metadata.uid = Some("c1".to_owned());
        child.metadata.generation = Some(3);
        assert!(!contested.is_settled(&child));
        contested.settle(&child);
        child.metadata.resource_version = Some("a status was written".to_owned());
        assert!(contested.is_settled(&child));
        child.metadata.generation = Some(4);
        assert!(!contested.is_settled(&child));
    }

    const APPLY: &str = "application/apply-patch+yaml";
    const MERGE: &str = "application/merge-patch+json";

    fn service(ports: &[u16], version: &str) -> Value {
        let ports: Vec<Value> = ports.iter().map(|port| json!({"port": port, "protocol": "TCP"})).collect();
        json!({"metadata": {"name": "prod", "resourceVersion": version}, "spec": {"ports": ports}})
    }

    /// The content types and bodies of the patches by which a Service with port 80 is put over one that has another
    /// port besides. `first` is the API server's answer to the first.
    async fn patches(may_be_ours: bool, first: (u16, Value)) -> Vec<(String, Value)> {
        let sent = Arc::new(Mutex::new(Vec::new()));
        let seen = Arc::clone(&sent);
        let server = tower::service_fn(move |request: http::Request<Body>| {
            let (seen, first) = (Arc::clone(&seen), first.clone());
            async move {
                let kind = request.headers()[http::header::CONTENT_TYPE].to_str().unwrap().to_owned();
                let body = request.into_body().collect_bytes().await.unwrap();
                let mut seen = seen.lock().unwrap();
                seen.push((kind, serde_json::from_slice(&body).unwrap()));
                let (code, answer) = if seen.len() == 1 { first } else { (200, service(&[80], "9")) };
                let answer = Body::from(serde_json::to_vec(&answer).unwrap());
                let answer = http::Response::builder().status(code).body(answer).unwrap();
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        let api: Api<Service> = Api::namespaced(Client::new(server, "billing"), "billing");
        let (mut body, live) = (service(&[80], "7"), service(&[80, 81], "7"));
        let foreign = Foreign { cleared: without_foreign(&body, &live), may_be_ours };
        put(&api, "prod", &mut body, foreign).await.unwrap();
        let sent = sent.lock().unwrap();
        sent.clone()
    }

    fn kinds(patches: &[(String, Value)]) -> Vec<&str> {
        patches.iter().map(|(kind, _)| kind.as_str()).collect()
    }

    #[tokio::test]
    async fn a_new_specification_that_drops_elements_of_ours_is_one_change() {
        let patches = patches(true, (200, service(&[80], "8"))).await;
        assert_eq!(patches, [(APPLY.to_owned(), service(&[80], "7"))]);
    }

    #[tokio::test]
    async fn what_others_added_is_taken_out_before_the_apply() {
        let patches = patches(false, (200, service(&[80], "8"))).await;
        assert_eq!(kinds(&patches), [MERGE, APPLY]);
        let merged = json!({"metadata": {"resourceVersion": "7"}, "spec": service(&[80], "7")["spec"]});
        assert_eq!(patches[0].1, merged);
        assert_eq!(patches[1].1, service(&[80], "8"));
    }

    #[tokio::test]
    async fn what_a_new_specification_leaves_of_others_is_taken_out_after_it() {
        let patches = patches(true, (200, service(&[80, 81], "8"))).await;
        assert_eq!(kinds(&patches), [APPLY, MERGE, APPLY]);
        assert_eq!(patches[1].1["metadata"]["resourceVersion"], "8");
    }

    #[tokio::test]
    async fn what_others_added_in_the_way_of_a_new_specification_is_taken_out_all_the_same() {
        let no =
            json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "Invalid", "code": 422});
        assert_eq!(kinds(&patches(true, (422, no)).await), [APPLY, MERGE, APPLY]);
    }
}
