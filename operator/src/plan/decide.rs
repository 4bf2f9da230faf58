//! The gates in order, and what follows from each.

use std::time::Duration;

use sageapi_crds::{ConditionType, DatabaseStatus, MigrationStatus, Phase, Reason, SageApiStatus};

use super::assessment::{Assessment, RESYNC};
use super::children;
use super::conditions::{Conditions, cut};
use super::follow_up::MetricUpdate;
use super::garbage::garbage;
use super::migration::Gate;
use super::workload::{Workload, look, outdated};
use crate::credentials::{self, Credentials};
use crate::kinds::{Kind, Pods, Write};
use crate::object::Object;
use crate::observed::Observed;
use crate::reconciler::Note;
use crate::render::{self, Context, Keys};
use crate::steps::{Refusal, RefusalCause, Step};
use crate::telemetry::gate;
use crate::validate::{Validated, validate};
use crate::{labels, names};

/// Missing Secrets are watched; this is in case the watch missed one.
const RESOLVE: Duration = Duration::from_mins(1);
/// While pods start; their changes are watched too.
const ROLLING: Duration = Duration::from_secs(30);
/// Children of an earlier resource of the same name are soon gone.
const TAKEN: Duration = Duration::from_secs(10);
/// A right may be granted at any time, without an event.
const FORBIDDEN: Duration = Duration::from_mins(1);
/// The decision as it is built up.
pub(super) struct Decision<'a> {
    pub(super) observed: &'a Observed,
    pub(super) before: SageApiStatus,
    pub(super) conditions: Conditions,
    pub(super) steps: Vec<Step>,
    pub(super) assessment: Assessment,
    pub(super) workload: Workload<'a>,
    pub(super) database: Option<DatabaseStatus>,
    pub(super) migration: Option<MigrationStatus>,
    pub(super) validated: Option<Validated>,
    pub(super) metric_updates: Vec<MetricUpdate>,
    pub(super) failed: Option<String>,
    pub(super) notes: Vec<Note>,
}

impl<'a> Decision<'a> {
    /// Goes through the gates.
    pub(super) fn about(observed: &'a Observed) -> Self {
        let metadata = &observed.resource.metadata;
        let before = observed.resource.status.clone().unwrap_or_default();
        let (name, uid) =
            (metadata.name.as_deref().unwrap_or_default(), metadata.uid.as_deref().unwrap_or_default());
        let mut decision = Self {
            observed,
            conditions: Conditions::default(),
            steps: Vec::new(),
            assessment: Assessment::new(Phase::Ready, Reason::Converged, "", RESYNC),
            workload: look(observed, name, uid),
            database: before.database.clone(),
            migration: before.migration.clone(),
            validated: None,
            metric_updates: Vec::new(),
            failed: None,
            notes: Vec::new(),
            before,
        };
        decision.assessment = decision.gates();
        decision.report_refusals(uid);
        decision
    }

    /// The steps up to the first closed gate, and the state of the installation that follows.
    fn gates(&mut self) -> Assessment {
        let validated = || validate(&self.observed.resource, &self.observed.settings);
        let validated = match gate("specification", validated, Result::is_ok) {
            Ok(validated) => validated,
            Err(problems) => {
                let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
                let message = problems.join("; ");
                self.conditions.no(ConditionType::SpecValid, Reason::InvalidSpec, message.clone());
                return Assessment::stalled(Phase::Invalid, Reason::InvalidSpec, message);
            }
        };
        self.conditions.yes(ConditionType::SpecValid, Reason::Valid, "the specification is valid");
        self.validated = Some(validated.clone());
        let (keys, credentials) = match gate("credentials", || self.resolve(&validated), Result::is_ok) {
            Ok(resolved) => resolved,
            Err(assessment) => return assessment,
        };
        let Some(fingerprint) = keys.fingerprint() else {
            let message = format!(
                "entry encryption_key of Secret {} is not a key; restore the original",
                names::keys(&validated.name)
            );
            return self.unresolved(Reason::InvalidCredentials, message);
        };
        let of = ConditionType::CredentialsReady;
        self.conditions.yes(of, Reason::Resolved, "all referenced Secrets and entries exist");

        let configuration = match render::configuration(&validated) {
            Ok(configuration) => configuration,
            Err(error) => {
                let message = format!("the configuration cannot be written: {error}");
                return Assessment::stalled(Phase::Invalid, Reason::InvalidSpec, message);
            }
        };
        let owner = self.owner(&validated);
        let files = credentials::with_keys(credentials.files, &keys);
        let identity = &credentials.identity;
        let context = Context::new(&validated, &owner, &configuration, &files, identity, keys.hash_key());
        self.steps.push(Step::Apply(render::service_account(&context)));
        if self.observed.children.keys(&validated.name).is_none() {
            self.steps.push(Step::Create(render::keys_secret(&validated, &keys)));
        }
        self.create_if_missing(render::secrets(&context, &files, keys.hash_key()));
        self.create_if_missing(render::config_map(&context, &configuration));

        let migration = Gate {
            observed: self.observed,
            context: &context,
            owner: &owner,
            identity: &credentials.identity,
            fingerprint: &fingerprint,
        };
        let judge = || migration.judge(&mut self.conditions);
        let outcome = gate("migration", judge, |outcome| outcome.closed.is_none());
        self.steps.extend(outcome.steps);
        self.database = Some(outcome.database);
        self.migration = Some(outcome.migration);
        self.metric_updates.extend(outcome.metric_updates);
        self.failed = outcome.failed;
        self.notes = outcome.notes;
        if let Some(closed) = outcome.closed {
            self.set_up_to_date(&render::deployment(&context), false);
            return closed;
        }
        gate("workload", || self.serve(&context), |assessment| assessment.phase == Phase::Ready)
    }

    fn owner(&self, validated: &Validated) -> String {
        format!("{}/{}/{}", self.observed.settings.cluster, validated.namespace, validated.name)
    }

    /// The installation's own keys and the referenced Secrets.
    fn resolve(&mut self, validated: &Validated) -> Result<(Keys, Credentials), Assessment> {
        let credentials = credentials::resolve(validated, &self.observed.secrets)
            .map_err(|missing| self.unresolved(missing.reason, missing.message))?;
        let known = self.before.database.clone().unwrap_or_default();
        let filled_with = known.key_fingerprint.as_deref();
        let same_database = known.identity.as_ref() == Some(&credentials.identity);
        let secret = names::keys(&validated.name);
        let keys = match self.observed.children.keys(&validated.name) {
            Some(live) => Keys::read(live).map_err(|entry| {
                let message = format!("Secret {secret} has no entry {entry}; restore the original");
                self.unresolved(Reason::KeyMissing, message)
            })?,
            None if filled_with.is_some() => {
                let message = format!(
                    "Secret {secret} is gone, and the database is encrypted with its key; restore it, with the labels {}={} and {}={}: a new key could not decrypt what is stored",
                    labels::MANAGED_BY,
                    labels::OPERATOR,
                    labels::INSTANCE,
                    validated.name
                );
                return Err(self.mismatch(message));
            }
            None => Keys::generate(&self.observed.seed),
        };
        let fingerprint = keys.fingerprint();
        if same_database
            && filled_with.is_some()
            && fingerprint.is_some()
            && fingerprint.as_deref() != filled_with
        {
            let message = format!(
                "Secret {secret} has another encryption_key than the database is encrypted with; restore it"
            );
            return Err(self.mismatch(message));
        }
        Ok((keys, credentials))
    }

    fn unresolved(&mut self, reason: Reason, message: String) -> Assessment {
        self.conditions.no(ConditionType::CredentialsReady, reason, message.clone());
        Assessment::new(Phase::Resolving, reason, message, RESOLVE)
    }

    fn mismatch(&mut self, message: String) -> Assessment {
        let reason = Reason::EncryptionKeyMismatch;
        self.conditions.no(ConditionType::DatabaseReady, reason, message.clone());
        Assessment::stalled(Phase::Blocked, reason, message)
    }

    fn create_if_missing(&mut self, object: Object) {
        if self.observed.children.find(object.kind(), object.name()).is_none() {
            self.steps.push(Step::Create(object));
        }
    }

    /// The schema fits: everything that serves, and what can go.
    fn serve(&mut self, context: &Context<'_>) -> Assessment {
        let validated = context.validated;
        let children = &self.observed.children;
        let mut wanted = render::serving(context, &self.observed.settings);
        let (mut outdated, mut applied) = (None, true);
        for kind in Kind::all().filter(|kind| kind.row().write == Write::Apply) {
            let of_kind: Vec<Object> = wanted.extract_if(.., |object| object.kind() == kind).collect();
            if of_kind.is_empty() && kind.row().delete {
                let live = children.find(kind, &validated.name);
                let ours = live.filter(|live| children::is_ours(live, &validated.uid));
                self.steps.extend(ours.map(|live| children::delete(kind, live)));
            }
            for object in of_kind {
                if kind.row().pods == Pods::Contains {
                    outdated = self.set_up_to_date(&object, true);
                    applied = children.has(&object);
                }
                self.steps.push(Step::Apply(object));
            }
        }
        let current = [
            names::secrets(&validated.name, &context.secrets_hash),
            names::config(&validated.name, &context.config_hash),
        ];
        self.steps.extend(garbage(children, &validated.uid, &current.each_ref().map(String::as_str)));
        if let Some(trigger) = self.trigger(outdated) {
            self.metric_updates.push(MetricUpdate::Rollout { trigger });
        }
        self.rolled(validated, applied && outdated.is_none())
    }

    /// Says whether the pods match the specification, and if not, why: from the change until the rollout ends.
    fn set_up_to_date(&mut self, wanted: &Object, applying: bool) -> Option<Reason> {
        let of = ConditionType::UpToDate;
        let Some(live) = self.workload.live else {
            let (reason, message) = if applying {
                (Reason::RolloutInProgress, "the first instances are being started")
            } else {
                (Reason::Pending, "no instance has been started yet")
            };
            self.conditions.no(of, reason, message);
            return None;
        };
        let outdated = outdated(live, wanted);
        let before = self.before.condition(of).map(|before| before.status.as_str());
        match outdated {
            Some(Reason::ImageChanged) => {
                self.conditions.no(of, Reason::ImageChanged, "the specification names another image");
            }
            Some(Reason::SecretChanged) => {
                self.conditions.no(of, Reason::SecretChanged, "a referenced Secret has changed");
            }
            Some(reason) => self.conditions.no(of, reason, "the specification changed"),
            None if self.workload.complete => {
                let message = "pods match the current specification and secrets";
                self.conditions.yes(of, Reason::Current, message);
            }
            // Until the rollout ends the condition stays: outdated if a change began it, current if pods were only added.
            None if matches!(before, Some("True" | "False")) => {}
            None => self.conditions.no(of, Reason::RolloutInProgress, "pods are being replaced"),
        }
        outdated
    }

    fn trigger(&self, outdated: Option<Reason>) -> Option<&'static str> {
        if self.workload.live.is_none() {
            return Some("install");
        }
        Some(match outdated? {
            Reason::ImageChanged => "image",
            Reason::SecretChanged => "secrets",
            _ => "spec",
        })
    }

    /// The state of the rollout.
    fn rolled(&self, validated: &Validated, applied: bool) -> Assessment {
        let workload = &self.workload;
        let desired = validated.spec.instances;
        let enough = (desired - validated.max_unavailable()).max(1);
        let trouble = || workload.problem.clone();
        let rolling = || {
            let (reason, message) = trouble().unwrap_or_else(|| {
                (Reason::RolloutInProgress, "instances are being started or replaced".to_owned())
            });
            Assessment::new(Phase::Rolling, reason, message, ROLLING)
        };
        let degraded =
            |reason: Reason, message: String| Assessment::new(Phase::Degraded, reason, message, ROLLING);
        if applied && workload.overdue {
            let (_, why) = trouble().unwrap_or((Reason::Degraded, "the cause is not known".to_owned()));
            let message = format!("new instances did not get ready in time: {why}");
            return Assessment { stalled: true, ..degraded(Reason::ProgressDeadlineExceeded, message) };
        }
        if !applied || !workload.complete {
            return rolling();
        }
        let available = workload.available;
        if available >= desired {
            let version = validated.image.version();
            return Assessment::new(
                Phase::Ready,
                Reason::Converged,
                format!("version {version} serves"),
                RESYNC,
            );
        }
        if available >= enough {
            return Assessment::new(Phase::Ready, Reason::Converged, "enough instances serve", ROLLING);
        }
        if workload.starting {
            return rolling();
        }
        let (reason, message) =
            trouble().unwrap_or_else(|| (Reason::Degraded, "too few instances serve".to_owned()));
        degraded(reason, message)
    }

    /// Reports what the API server refused, or would refuse: a name that somebody else holds.
    fn report_refusals(&mut self, uid: &str) {
        let children = &self.observed.children;
        let refusals = children.refused(&self.observed.refusals, &self.steps, uid);
        let stops = refusals.iter().any(|refusal| children.lack(refusal));
        let Some(cause) = refusals.iter().map(|refusal| refusal.cause).min() else { return };
        let is_taken = |object: &Object| {
            let of = object.reference();
            refusals.iter().any(|refusal| refusal.cause == RefusalCause::NameTaken && refusal.object == of)
        };
        self.steps.retain(|step| match step {
            Step::Apply(object) | Step::Create(object) => !is_taken(object),
            Step::Delete(_) => true,
        });
        if stops {
            self.steps.retain(Step::is_independent_of_pods);
            self.notes.clear();
            // What would have been started was not.
            self.conditions.clear(ConditionType::SchemaUpToDate, &[Reason::Running]);
        }
        if stops || refusals.iter().any(|refusal| refusal.object.kind.row().pods == Pods::Contains) {
            self.metric_updates.retain(|update| !matches!(update, MetricUpdate::Rollout { .. }));
            self.conditions.clear(ConditionType::UpToDate, &[Reason::RolloutInProgress]);
        }
        let (reason, requeue) = match cause {
            RefusalCause::NameTaken => (Reason::NameConflict, TAKEN),
            RefusalCause::Forbidden => (Reason::Forbidden, FORBIDDEN),
            RefusalCause::Rejected => (Reason::Rejected, RESYNC),
        };
        let message: Vec<String> = refusals
            .iter()
            .map(|Refusal { object, cause, message }| match cause {
                RefusalCause::NameTaken => message.clone(),
                RefusalCause::Forbidden => format!("writing {object} is forbidden: {message}"),
                RefusalCause::Rejected => format!("{object} is refused: {message}"),
            })
            .collect();
        let message = cut(&message.join("; "), 700);
        let refused = Assessment::stalled(Phase::Blocked, reason, message);
        self.assessment = Assessment { requeue: requeue.min(self.assessment.requeue), ..refused };
    }
}
