use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::apps::v1::{
    Deployment, DeploymentCondition, DeploymentStatus, ReplicaSet, ReplicaSetSpec,
};
use k8s_openapi::api::batch::v1::{Job, JobCondition, JobStatus};
use k8s_openapi::api::core::v1::{
    ContainerState, ContainerStateRunning, ContainerStateTerminated, ContainerStateWaiting, ContainerStatus,
    Pod, PodStatus,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference, Time};
use sageapi_crds::{ConditionType, SageApi, SageApiStatus};
use serde_json::{Value, json};

use crate::children::Children;
use crate::kinds::Kind;
use crate::labels;
use crate::object::{Live, Object};
use crate::observed::{Health, KeySeed, Observed, Referenced, Settings};
use crate::plan::{Plan, plan};
use crate::steps::Step;

pub(super) const URL: &str = "mysql://sage:pw@db.example.com:3306/sage";

/// A type of child.
pub(super) trait Child: k8s_openapi::Resource + serde::Serialize {}

impl<K: k8s_openapi::Resource + serde::Serialize> Child for K {}

/// A child that is put back when it has been changed.
pub(super) struct Edit<'a, K: Child> {
    object: K,
    children: &'a mut Children,
}

impl<K: Child> Deref for Edit<'_, K> {
    type Target = K;

    fn deref(&self) -> &K {
        &self.object
    }
}

impl<K: Child> DerefMut for Edit<'_, K> {
    fn deref_mut(&mut self) -> &mut K {
        &mut self.object
    }
}

impl<K: Child> Drop for Edit<'_, K> {
    fn drop(&mut self) {
        self.children.put(&self.object);
    }
}

/// A cluster with one SageApi called prod.
pub(super) struct World {
    pub(super) seen: Observed,
    made: u32,
}

impl World {
    pub(super) fn new() -> Self {
        Self::of(&json!({
            "instances": 2,
            "database": {"mysql": {"urlSecretRef": {"name": "db"}}},
            "upstream": {"url": "https://sage.example.com", "auth": {"secretRef": {"name": "dapi"}}}
        }))
    }

    pub(super) fn of(spec: &Value) -> Self {
        let resource: SageApi = serde_json::from_value(json!({
            "apiVersion": "sageapi.io/v1alpha1",
            "kind": "SageApi",
            "metadata": {"name": "prod", "namespace": "billing", "uid": "uid-of-prod", "generation": 1},
            "spec": spec
        }))
        .unwrap();
        let mut world = Self {
            seen: Observed {
                resource: Arc::new(resource),
                children: Children::default(),
                secrets: BTreeMap::new(),
                refusals: Vec::new(),
                health: Health::NotAsked,
                now: "2026-11-22T12:00:00.25Z".parse().unwrap(),
                seed: KeySeed([7; 128]),
                settings: Settings {
                    server_image: "sageapi.io/sageapi-server:0.1.0".to_owned(),
                    cluster: "cluster".to_owned(),
                    namespace: "sageapi-system".to_owned(),
                    monitoring_namespaces: Vec::new(),
                },
            },
            made: 0,
        };
        world.secret("db", &[("url", URL)]);
        world.secret("dapi", &[("key", "ak"), ("secret", "s")]);
        world
    }

    /// A world where everything asked for is done.
    pub(super) fn ready() -> Self {
        let mut world = Self::new();
        world.bring_up();
        world
    }

    pub(super) fn bring_up(&mut self) {
        self.follow();
        self.end_job(0, &migrated());
        self.follow();
        self.roll();
        self.follow();
        assert_eq!(self.phase(), "Ready");
    }

    pub(super) fn secret(&mut self, name: &str, entries: &[(&str, &str)]) {
        let entries = entries.iter().map(|(key, value)| ((*key).to_owned(), value.as_bytes().to_vec()));
        self.seen.secrets.insert(name.to_owned(), Referenced::Found(entries.collect()));
    }

    /// Changes the specification as a user would.
    pub(super) fn edit(&mut self, change: impl FnOnce(&mut Value)) {
        let mut spec = serde_json::to_value(&self.seen.resource.spec).unwrap();
        change(&mut spec);
        let resource = self.resource();
        resource.spec = serde_json::from_value(spec).unwrap();
        resource.metadata.generation = resource.metadata.generation.map(|g| g + 1);
    }

    pub(super) fn image(&mut self, tag: &str) {
        self.edit(|spec| spec["image"] = json!({"tag": tag}));
    }

    pub(super) fn annotate(&mut self, name: &str, value: &str) {
        let annotations = self.resource().metadata.annotations.get_or_insert_default();
        annotations.insert(name.to_owned(), value.to_owned());
    }

    pub(super) fn advance(&mut self, seconds: i64) {
        self.seen.now += jiff::SignedDuration::from_secs(seconds);
    }

    pub(super) fn resource(&mut self) -> &mut SageApi {
        Arc::make_mut(&mut self.seen.resource)
    }

    pub(super) fn plan(&self) -> Plan {
        plan(&self.seen)
    }

    /// One reconcile: the steps, the status, the deletions. Gives back the plan.
    pub(super) fn follow(&mut self) -> Plan {
        let plan = self.plan();
        for step in &plan.steps {
            match step {
                Step::Apply(object) => self.put(object, true),
                Step::Create(object) => self.put(object, false),
                Step::Delete(_) => {}
            }
        }
        self.resource().status.clone_from(&plan.status);
        for step in &plan.steps {
            if let Step::Delete(object) = step {
                let uid = object.uid.clone().expect("deletions name a UID");
                self.remove(object.kind, &uid);
            }
        }
        plan
    }

    fn put(&mut self, object: &Object, may_exist: bool) {
        self.made += 1;
        let live = self.seen.children.get(object.kind(), object.name());
        assert!(may_exist || live.is_none(), "{object:?} exists");
        let mut new = object.body().clone();
        if let Some(live) = live {
            let old = live.to_value().unwrap();
            for name in ["uid", "creationTimestamp", "generation"] {
                new["metadata"][name] = old["metadata"][name].clone();
            }
            if object.kind() == Kind::Deployment {
                new["status"] = old["status"].clone();
                if old["spec"] != new["spec"] {
                    let generation = live.metadata().generation;
                    new["metadata"]["generation"] = generation.map(|g| g + 1).into();
                }
            }
        } else {
            new["metadata"]["uid"] = format!("uid-{}", self.made).into();
            new["metadata"]["creationTimestamp"] = json!(Time(self.seen.now));
            new["metadata"]["generation"] = 1.into();
        }
        let new = serde_json::from_value(new).unwrap();
        self.seen.children.insert(Live::read(object.kind(), new).unwrap());
    }

    pub(super) fn remove(&mut self, kind: Kind, uid: &str) {
        let children = &mut self.seen.children;
        children.remove_if(kind, |object| object.metadata().uid.as_deref() == Some(uid));
        children.remove_if(Kind::Pod, |pod| {
            pod.metadata().owner_references.iter().flatten().any(|owner| owner.uid == uid)
        });
    }

    /// The object, to be changed.
    fn edited<K: Child>(&mut self, object: K) -> Edit<'_, K> {
        Edit { object, children: &mut self.seen.children }
    }

    /// The newest Job.
    pub(super) fn job(&mut self) -> Edit<'_, Job> {
        let made = |job: &&Job| {
            let uid =
                job.metadata.uid.as_deref().and_then(|uid| uid.strip_prefix("uid-")?.parse::<u32>().ok());
            (job.metadata.creation_timestamp.clone(), uid)
        };
        let job = self.seen.children.all::<Job>().max_by_key(made).expect("a Job").clone();
        self.edited(job)
    }

    pub(super) fn jobs(&self) -> Vec<String> {
        self.seen.children.of(Kind::Job).map(|job| job.name.clone().unwrap()).collect()
    }

    /// The newest Job's pod, in this state.
    pub(super) fn job_pod(&mut self, state: ContainerState, image: &str) -> Edit<'_, Pod> {
        let uid = self.job().metadata.uid.clone().unwrap();
        self.made += 1;
        let made = Time(self.seen.now);
        self.edited(Pod {
            metadata: ObjectMeta {
                name: Some(format!("pod-{}", self.made)),
                creation_timestamp: Some(made),
                labels: Some(labels::pod_labels("prod", labels::COMPONENT_MIGRATION)),
                owner_references: Some(vec![OwnerReference {
                    uid,
                    controller: Some(true),
                    ..OwnerReference::default()
                }]),
                ..ObjectMeta::default()
            },
            status: Some(PodStatus {
                container_statuses: Some(vec![ContainerStatus {
                    name: "migrate".to_owned(),
                    image: image.to_owned(),
                    state: Some(state),
                    ..ContainerStatus::default()
                }]),
                ..PodStatus::default()
            }),
            ..Pod::default()
        })
    }

    /// The newest Job's container ends; its Job does so too.
    pub(super) fn end_job(&mut self, code: i32, message: &str) {
        let now = self.seen.now;
        self.job_pod(terminated(code, message, now), "x");
        self.job_condition(if code == 0 { "Complete" } else { "Failed" }, "");
    }

    pub(super) fn job_condition(&mut self, type_: &str, reason: &str) {
        let now = Time(self.seen.now);
        let condition = JobCondition {
            type_: type_.to_owned(),
            status: "True".to_owned(),
            reason: Some(reason.to_owned()),
            last_transition_time: Some(now),
            ..JobCondition::default()
        };
        let mut job = self.job();
        let status = job.status.get_or_insert_with(JobStatus::default);
        status.conditions.get_or_insert_default().push(condition);
    }

    pub(super) fn deployment(&mut self) -> Edit<'_, Deployment> {
        let deployment = self.seen.children.all::<Deployment>().next().expect("a Deployment").clone();
        self.edited(deployment)
    }

    /// The Deployment's controller and the kubelet do all that was asked for.
    pub(super) fn roll(&mut self) {
        let replicas = self.deployment().spec.as_ref().unwrap().replicas.unwrap();
        self.rolled(replicas, replicas, replicas, "NewReplicaSetAvailable");
        let template = self.deployment().spec.as_ref().unwrap().template.clone();
        self.made += 1;
        let set = ReplicaSet {
            metadata: ObjectMeta { name: Some(format!("set-{:03}", self.made)), ..ObjectMeta::default() },
            spec: Some(ReplicaSetSpec { template: Some(template), ..ReplicaSetSpec::default() }),
            status: None,
        };
        self.seen.children.put(&set);
        // revisionHistoryLimit 3, and the one in use.
        let sets = self.seen.children.of(Kind::ReplicaSet).count();
        let mut surplus = sets.saturating_sub(4);
        self.seen.children.remove_if(Kind::ReplicaSet, |_| {
            let goes = surplus > 0;
            surplus = surplus.saturating_sub(1);
            goes
        });
    }

    pub(super) fn rolled(&mut self, replicas: i32, updated: i32, available: i32, progressing: &str) {
        let mut deployment = self.deployment();
        deployment.status = Some(DeploymentStatus {
            observed_generation: deployment.metadata.generation,
            replicas: Some(replicas),
            updated_replicas: Some(updated),
            available_replicas: Some(available),
            ready_replicas: Some(available),
            conditions: Some(vec![DeploymentCondition {
                type_: "Progressing".to_owned(),
                status: if progressing == "ProgressDeadlineExceeded" { "False" } else { "True" }.to_owned(),
                reason: Some(progressing.to_owned()),
                ..DeploymentCondition::default()
            }]),
            ..DeploymentStatus::default()
        });
    }

    /// A pod of the Deployment.
    pub(super) fn server_pod(&mut self, waiting: Option<&str>, restarts: i32) {
        let made = Time(self.seen.now);
        let waiting =
            waiting.map(|reason| ContainerStateWaiting { reason: Some(reason.to_owned()), message: None });
        self.made += 1;
        self.seen.children.put(&Pod {
            metadata: ObjectMeta {
                name: Some(format!("pod-{}", self.made)),
                labels: Some(labels::pod_labels("prod", labels::COMPONENT_SERVER)),
                creation_timestamp: Some(made),
                ..ObjectMeta::default()
            },
            status: Some(PodStatus {
                container_statuses: Some(vec![ContainerStatus {
                    name: "server".to_owned(),
                    image: "sageapi.io/sageapi-server:0.2.0".to_owned(),
                    restart_count: restarts,
                    state: Some(ContainerState { waiting, ..ContainerState::default() }),
                    ..ContainerStatus::default()
                }]),
                ..PodStatus::default()
            }),
            ..Pod::default()
        });
    }

    pub(super) fn status(&self) -> &SageApiStatus {
        self.seen.resource.status.as_ref().expect("a status")
    }

    pub(super) fn phase(&self) -> &str {
        self.status().phase.as_deref().unwrap()
    }

    /// A condition's status and reason, like `False/SecretNotFound`.
    pub(super) fn condition(&self, of: ConditionType) -> String {
        let condition = self.status().condition(of).expect("every condition is there");
        format!("{}/{}", condition.status, condition.reason)
    }
}

pub(super) fn terminated(code: i32, message: &str, at: Timestamp) -> ContainerState {
    let at = Timestamp::from_second(at.as_second()).unwrap();
    ContainerState {
        terminated: Some(ContainerStateTerminated {
            exit_code: code,
            message: Some(message.to_owned()),
            started_at: Some(Time(at - jiff::SignedDuration::from_secs(2))),
            finished_at: Some(Time(at)),
            ..ContainerStateTerminated::default()
        }),
        ..ContainerState::default()
    }
}

pub(super) fn waiting(reason: &str) -> ContainerState {
    ContainerState {
        waiting: Some(ContainerStateWaiting { reason: Some(reason.to_owned()), message: None }),
        ..ContainerState::default()
    }
}

pub(super) fn running() -> ContainerState {
    ContainerState { running: Some(ContainerStateRunning::default()), ..ContainerState::default() }
}

pub(super) fn migrated() -> String {
    result("none", 0, 14, "migrated from version 0 to 14")
}

pub(super) fn result(verdict: &str, from: u32, to: u32, message: &str) -> String {
    json!({
        "v": 1, "verdict": verdict, "from": from, "to": to, "pending": [], "compatibleWithRunning": true,
        "owner": "other/ns/name", "message": message
    })
    .to_string()
}

/// What a plan writes, one line a step.
pub(super) fn writes(plan: &Plan) -> Vec<String> {
    plan.steps
        .iter()
        .map(|step| match step {
            Step::Apply(object) => format!("apply {}", object.reference()),
            Step::Create(object) => format!("create {}", object.reference()),
            Step::Delete(object) => format!("delete {object}"),
        })
        .collect()
}

/// A plan in lines, for snapshots.
pub(super) fn told(plan: &Plan) -> String {
    let mut text = String::new();
    let status = plan.status.as_ref().unwrap();
    writeln!(text, "steps:").unwrap();
    for line in writes(plan) {
        writeln!(text, "  {line}").unwrap();
    }
    writeln!(
        text,
        "phase: {}   {} instances, {}",
        status.phase.as_deref().unwrap(),
        status.instances.unwrap(),
        status.ready.as_deref().unwrap()
    )
    .unwrap();
    for c in &status.conditions {
        writeln!(text, "  {:17} {:7} {:21} {}", c.type_, c.status, c.reason, c.message).unwrap();
    }
    if let Some(migration) = &status.migration {
        writeln!(text, "migration: {}", serde_json::to_string(migration).unwrap()).unwrap();
    }
    if let Some(database) = &status.database {
        writeln!(text, "database: {}", serde_json::to_string(database).unwrap()).unwrap();
    }
    for (name, list) in [("wouldChange", &status.would_change)] {
        if !list.is_empty() {
            writeln!(text, "{name}: {list:?}").unwrap();
        }
    }
    for sync in &status.sync {
        writeln!(text, "sync: {}", serde_json::to_string(sync).unwrap()).unwrap();
    }
    if let Some(summary) = &status.sync_summary {
        writeln!(text, "syncSummary: {summary}").unwrap();
    }
    for note in &plan.events {
        let type_ = if note.warning { "Warning" } else { "Normal" };
        writeln!(text, "event: {type_} {} {}: {}", note.reason, note.action, note.message).unwrap();
    }
    for update in &plan.follow_up.metric_updates {
        writeln!(text, "metric: {update:?}").unwrap();
    }
    writeln!(text, "look again in {} s", plan.requeue.as_secs()).unwrap();
    text
}
