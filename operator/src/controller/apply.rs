//! Does a plan's steps: server-side apply as one field manager, under the version that was observed, and only where
//! something would change.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::core::DynamicObject;
use kube::{Api, Client};
use serde_json::{Value, json};

use super::live::{first_difference, without_foreign};
use super::metrics::ControllerMetrics;
use super::refused::Refused;
use crate::children::Children;
use crate::client::brief;
use crate::kinds::Kind;
use crate::labels;
use crate::metrics::KindLabel;
use crate::object::{Live, Object, ObjectRef};
use crate::steps::{Refusal, RefusalCause, Step};
use crate::watch::{ChildCaches, Key};

/// Who owns the fields of children.
const FIELD_MANAGER: &str = "sageapi-operator";

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// For good, or until somebody acts: the next plan reports it.
    #[error("{} was refused: {}", .0.object, .0.message)]
    Refused(Refusal),
    /// The plan is out of date.
    #[error("{0} has changed since it was observed")]
    Stale(ObjectRef),
    /// Anything else: retried later.
    #[error("{object}: {}", brief(cause))]
    Api {
        /// The object.
        object: ObjectRef,
        /// What the client says.
        cause: kube::Error,
    },
}

/// Does steps for one resource.
pub struct Applier<'a> {
    /// The client.
    pub client: &'a Client,
    /// What was observed around the resource.
    pub children: &'a Children,
    /// Where answers to writes are put at once.
    pub caches: &'a ChildCaches,
    /// Metrics.
    pub metrics: &'a ControllerMetrics,
    /// Children that something else keeps changing back.
    pub contested: &'a Contested,
    /// Writes that the API server refused.
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
    fn is_settled(&self, metadata: &ObjectMeta) -> bool {
        let settled = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state_of(metadata).is_some_and(|(uid, state)| settled.get(&uid) == Some(&state))
    }

    fn settle(&self, metadata: &ObjectMeta) {
        if let Some((uid, state)) = state_of(metadata) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(uid, state);
        }
    }
}

/// The UID and what changes when the specification does.
fn state_of(metadata: &ObjectMeta) -> Option<(String, String)> {
    let state = metadata.generation.map(|generation| generation.to_string());
    let state = state.or_else(|| metadata.resource_version.clone())?;
    Some((metadata.uid.clone()?, format!("{state} {}", spec_hash(metadata).unwrap_or_default())))
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

    async fn apply(&self, wanted: &Object) -> Result<(), StepError> {
        let of = wanted.reference();
        let api = self.api(of.kind);
        // The first time, an object that already has this name must be seen: an apply would take it over.
        let known = self.children.get(of.kind, &of.name);
        let fetched = if known.is_some() { None } else { self.fetch(&api, &of).await? };
        let mut foreign = Foreign::default();
        let (mut over, mut version) = (String::new(), None);
        if let Some(live) = known.or(fetched.as_ref()) {
            let metadata = live.metadata();
            if !is_ours(wanted.metadata(), metadata) {
                return Err(StepError::Refused(taken(wanted)));
            }
            let kind = KindLabel { kind: of.kind.name() };
            let same_hash = spec_hash(wanted.metadata()) == spec_hash(metadata);
            let found = live.to_value().map_err(|cause| unreadable(&of, cause))?;
            match first_difference(wanted.body(), &found) {
                None if same_hash => {
                    self.metrics.noops.get_or_create(&kind).inc();
                    self.refused.succeeded(self.owner, &of);
                    return Ok(());
                }
                Some(_) if same_hash && self.contested.is_settled(metadata) => {
                    self.metrics.noops.get_or_create(&kind).inc();
                    self.refused.succeeded(self.owner, &of);
                    return Ok(());
                }
                Some(path) if same_hash => {
                    tracing::info!(resource = %self.owner, object = %of, path, "changed by someone else; corrected");
                    self.metrics.drifts.get_or_create(&kind).inc();
                }
                _ => {}
            }
            let cleared = without_foreign(wanted.body(), &found);
            foreign = Foreign { cleared, may_be_ours: !same_hash };
            over = state_of(metadata).map(|(uid, state)| format!("{uid} {state}")).unwrap_or_default();
            version = metadata.resource_version.clone();
        }
        let write = format!("{} over {over}", spec_hash(wanted.metadata()).unwrap_or_default());
        let written = match self.attempt(&of, write, put(&api, wanted, version, foreign)).await {
            Err(StepError::Api { cause: kube::Error::Api(status), .. }) if is_undefined(of.kind, &status) => {
                return Ok(());
            }
            written => written?,
        };
        let kept = written.to_value().map_err(|cause| unreadable(&of, cause))?;
        if let Some(path) = first_difference(wanted.body(), &kept) {
            tracing::warn!(
                resource = %self.owner, object = %of, path,
                "the API server keeps another value than the one written, probably because of an admission webhook"
            );
            self.contested.settle(written.metadata());
        }
        self.caches.put(&written);
        Ok(())
    }

    async fn create(&self, wanted: &Object) -> Result<(), StepError> {
        let of = wanted.reference();
        let api = self.api(of.kind);
        let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let write = spec_hash(wanted.metadata()).unwrap_or_default().to_owned();
        let creation = async {
            let object = serde_json::from_value(wanted.body().clone()).map_err(kube::Error::SerdeError)?;
            read(of.kind, api.create(&params, &object).await?)
        };
        match self.attempt(&of, write, creation).await {
            Ok(created) => {
                self.caches.put(&created);
                Ok(())
            }
            // It exists: the plan is out of date.
            Err(StepError::Stale(_)) => match self.fetch(&api, &of).await? {
                Some(live) if !is_ours(wanted.metadata(), live.metadata()) => {
                    Err(StepError::Refused(taken(wanted)))
                }
                Some(live) => {
                    self.caches.put(&live);
                    Err(StepError::Stale(of))
                }
                None => Err(StepError::Stale(of)),
            },
            Err(error) => Err(error),
        }
    }

    async fn delete(&self, of: &ObjectRef) -> Result<(), StepError> {
        if self.children.find(of.kind, &of.name).is_some_and(is_leaving) {
            return Ok(());
        }
        // A Job stays until its pods are gone: what they may still do is observed as long as they do it.
        let params = match of.kind {
            Kind::Job => DeleteParams::foreground(),
            _ => DeleteParams::background(),
        };
        let preconditions = Preconditions { uid: of.uid.clone(), resource_version: None };
        let params = params.preconditions(preconditions);
        let api = self.api(of.kind);
        let key = Key::new(self.owner.namespace.as_str(), of.name.as_str());
        match self.attempt(of, String::new(), api.delete(&of.name, &params)).await {
            Ok(answer) => match answer.left().filter(|object| is_leaving(&object.metadata)) {
                Some(leaving) => {
                    let leaving = read(of.kind, leaving).map_err(|cause| failed(of, cause))?;
                    self.caches.put(&leaving);
                }
                None => self.caches.remove(of.kind, &key),
            },
            // It is gone, or another one of its name has taken its place.
            Err(StepError::Stale(_)) => self.caches.remove(of.kind, &key),
            Err(StepError::Api { cause: kube::Error::Api(status), .. }) if status.code == 404 => {
                self.caches.remove(of.kind, &key);
            }
            Err(error) => return Err(error),
        }
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
            Ok(_) => self.refused.succeeded(self.owner, of),
            Err(StepError::Refused(refusal)) => self.refused.note(self.owner, write, refusal, self.now),
            Err(_) => {}
        }
        result
    }

    async fn fetch(&self, api: &Api<DynamicObject>, of: &ObjectRef) -> Result<Option<Live>, StepError> {
        let found = api.get_opt(&of.name).await.map_err(|cause| failed(of, cause))?;
        found.map(|live| read(of.kind, live)).transpose().map_err(|cause| failed(of, cause))
    }

    fn api(&self, kind: Kind) -> Api<DynamicObject> {
        Api::namespaced_with(self.client.clone(), &self.owner.namespace, &kind.api_resource())
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

/// Applies an object over the version that was observed. What others added is taken out first, by a merge patch: an
/// apply would leave it. What is ours the apply removes by itself, in the same change as the rest; patched beforehand, a
/// Deployment would roll twice.
async fn put(
    api: &Api<DynamicObject>,
    wanted: &Object,
    version: Option<String>,
    foreign: Foreign,
) -> Result<Live, kube::Error> {
    let (kind, name) = (wanted.kind(), wanted.name());
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let mut body = wanted.body().clone();
    if let Some(version) = version {
        body["metadata"]["resourceVersion"] = json!(version);
    }
    if let Some(mut cleared) = foreign.cleared {
        if foreign.may_be_ours {
            match api.patch(name, &params, &Patch::Apply(&body)).await {
                Ok(written) => {
                    let written = read(kind, written)?;
                    let kept = written.to_value().map_err(kube::Error::SerdeError)?;
                    let Some(others) = without_foreign(wanted.body(), &kept) else { return Ok(written) };
                    cleared = others;
                    body["metadata"]["resourceVersion"] = json!(written.metadata().resource_version);
                }
                // What others added can be in the way of ours, such as a Service's port of the same name.
                Err(kube::Error::Api(status)) if status.code == 422 => {}
                Err(cause) => return Err(cause),
            }
        }
        let version = json!({"resourceVersion": body["metadata"]["resourceVersion"]});
        let cleared = Patch::Merge(json!({"metadata": version, "spec": cleared["spec"]}));
        let merge = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
        let cleared = api.patch(name, &merge, &cleared).await?;
        body["metadata"]["resourceVersion"] = json!(cleared.metadata.resource_version);
    }
    read(kind, api.patch(name, &params, &Patch::Apply(&body)).await?)
}

fn read(kind: Kind, object: DynamicObject) -> Result<Live, kube::Error> {
    Live::read(kind, object).map_err(kube::Error::SerdeError)
}

/// Whether the live object is the same resource's. What outlives its resource has no owner and is matched by labels.
fn is_ours(wanted: &ObjectMeta, live: &ObjectMeta) -> bool {
    let uid = controller_uid(wanted);
    let labels = [labels::MANAGED_BY, labels::INSTANCE];
    controller_uid(live) == uid
        && (uid.is_some() || labels.iter().all(|name| label(live, name) == label(wanted, name)))
}

fn label<'a>(metadata: &'a ObjectMeta, name: &str) -> Option<&'a str> {
    metadata.labels.as_ref()?.get(name).map(String::as_str)
}

/// Whether it is being deleted and something holds it.
fn is_leaving(metadata: &ObjectMeta) -> bool {
    metadata.deletion_timestamp.is_some() && metadata.finalizers.as_ref().is_some_and(|held| !held.is_empty())
}

fn controller_uid(metadata: &ObjectMeta) -> Option<&str> {
    let references = metadata.owner_references.as_deref().unwrap_or_default();
    references
        .iter()
        .find(|reference| reference.controller == Some(true))
        .map(|reference| reference.uid.as_str())
}

fn spec_hash(metadata: &ObjectMeta) -> Option<&str> {
    metadata.annotations.as_ref()?.get(labels::SPEC_HASH).map(String::as_str)
}

/// Whether the API server does not know the kind, and need not.
fn is_undefined(kind: Kind, status: &kube::core::Status) -> bool {
    kind.row().may_be_absent && status.code == 404
}

fn unreadable(of: &ObjectRef, cause: serde_json::Error) -> StepError {
    StepError::Api { object: of.clone(), cause: kube::Error::SerdeError(cause) }
}

fn taken(wanted: &Object) -> Refusal {
    let object = wanted.reference();
    // What has no owner outlives its resource. One that somebody restored may be the only copy there is.
    let message = if controller_uid(wanted.metadata()).is_none() {
        let labels = [labels::MANAGED_BY, labels::INSTANCE]
            .map(|name| format!("{name}={}", label(wanted.metadata(), name).unwrap_or_default()));
        format!(
            "{object} exists without the labels by which it is recognised; if it is this resource's, add {}",
            labels.join(" and ")
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
    use std::sync::Arc;

    use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
    use kube::client::Body;

    use super::*;

    fn object(owner: Option<&str>, instance: &str) -> ObjectMeta {
        let labels = [(labels::MANAGED_BY, labels::OPERATOR), (labels::INSTANCE, instance)];
        ObjectMeta {
            labels: Some(labels.map(|(name, value)| (name.to_owned(), value.to_owned())).into()),
            owner_references: owner.map(|uid| {
                vec![OwnerReference {
                    uid: uid.to_owned(),
                    controller: Some(true),
                    ..OwnerReference::default()
                }]
            }),
            ..ObjectMeta::default()
        }
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
        assert!(!is_ours(&object(None, "prod"), &ObjectMeta::default()));
        assert!(!is_ours(&object(None, "prod"), &object(Some("u1"), "prod")));
    }

    #[test]
    fn a_child_that_something_keeps_changing_back_is_left_until_its_specification_changes() {
        let contested = Contested::default();
        let mut child = object(Some("u1"), "prod");
        child.uid = Some("c1".to_owned());
        child.generation = Some(3);
        assert!(!contested.is_settled(&child));
        contested.settle(&child);
        child.resource_version = Some("a status was written".to_owned());
        assert!(contested.is_settled(&child));
        child.generation = Some(4);
        assert!(!contested.is_settled(&child));
    }

    const APPLY: &str = "application/apply-patch+yaml";
    const MERGE: &str = "application/merge-patch+json";

    fn service(ports: &[u16], version: &str) -> Value {
        let ports: Vec<Value> = ports.iter().map(|port| json!({"port": port, "protocol": "TCP"})).collect();
        json!({"metadata": {"name": "prod", "resourceVersion": version}, "spec": {"ports": ports}})
    }

    fn wanted() -> Object {
        let port = ServicePort { port: 80, protocol: Some("TCP".to_owned()), ..ServicePort::default() };
        let service = Service {
            metadata: ObjectMeta { name: Some("prod".to_owned()), ..ObjectMeta::default() },
            spec: Some(ServiceSpec { ports: Some(vec![port]), ..ServiceSpec::default() }),
            status: None,
        };
        Object::annotated(&service, labels::SPEC_HASH, |_| "hash".to_owned())
    }

    /// What is applied over this version.
    fn applied(version: &str) -> Value {
        let mut body = wanted().body().clone();
        body["metadata"]["resourceVersion"] = version.into();
        body
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
        let resource = Kind::Service.api_resource();
        let api = Api::namespaced_with(Client::new(server, "billing"), "billing", &resource);
        let cleared = without_foreign(wanted().body(), &service(&[80, 81], "7"));
        put(&api, &wanted(), Some("7".to_owned()), Foreign { cleared, may_be_ours }).await.unwrap();
        let sent = sent.lock().unwrap();
        sent.clone()
    }

    fn kinds(patches: &[(String, Value)]) -> Vec<&str> {
        patches.iter().map(|(kind, _)| kind.as_str()).collect()
    }

    #[tokio::test]
    async fn a_new_specification_that_drops_elements_of_ours_is_one_change() {
        let patches = patches(true, (200, service(&[80], "8"))).await;
        assert_eq!(patches, [(APPLY.to_owned(), applied("7"))]);
    }

    #[tokio::test]
    async fn what_others_added_is_taken_out_before_the_apply() {
        let patches = patches(false, (200, service(&[80], "8"))).await;
        assert_eq!(kinds(&patches), [MERGE, APPLY]);
        let merged = json!({"metadata": {"resourceVersion": "7"}, "spec": service(&[80], "7")["spec"]});
        assert_eq!(patches[0].1, merged);
        assert_eq!(patches[1].1, applied("8"));
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
