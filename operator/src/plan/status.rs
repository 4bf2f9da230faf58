//! The decision as a status: conditions for programs, messages for people.

use sageapi_crds::{Condition, ConditionStatus, ConditionType, Phase, Reason, SageApiStatus};

use super::assessment::{Assessment, RESYNC};
use super::conditions::Conditions;
use super::decide::Decision;
use super::events::notes;
use super::follow_up::{Ask, FollowUp};
use super::sync;
use crate::observed::{Health, Observed};
use crate::steps::Step;
use crate::{labels, reconciler, render};

/// What to do about a SageApi.
pub type Plan = reconciler::Plan<SageApiStatus, FollowUp>;

/// Decides what to do about what was observed.
pub fn plan(observed: &Observed) -> Plan {
    if observed.resource.metadata.deletion_timestamp.is_some() {
        // The garbage collector deletes the children, by their owner references.
        return Plan {
            steps: Vec::new(),
            status: None,
            events: Vec::new(),
            follow_up: FollowUp::default(),
            requeue: RESYNC,
        };
    }
    Decision::about(observed).into_plan()
}

/// Most entries of wouldChange.
const WOULD_CHANGE_MAX: usize = 20;

impl Decision<'_> {
    /// The plan: what was decided, with the status that tells it.
    fn into_plan(mut self) -> Plan {
        let paused = self.observed.resource.spec.paused;
        let would_change = if paused { self.would_change() } else { Vec::new() };
        if paused {
            self.pause();
        } else {
            self.conditions.no(ConditionType::Paused, Reason::NotPaused, "paused is not set");
        }
        let held_up = if paused { None } else { self.set_database() };
        self.set_workload(held_up.is_some());
        let lacks_nothing_else =
            matches!(self.assessment.phase, Phase::Rolling | Phase::Degraded | Phase::Ready);
        if let Some(assessment) = held_up.filter(|_| lacks_nothing_else) {
            self.assessment = assessment;
        }
        self.set_progress();
        let mirror = sync::judge(
            &self.observed.resource.spec,
            &self.health(),
            &self.before,
            self.observed.now,
            &mut self.conditions,
        );
        let mut events = std::mem::take(&mut self.notes);
        events.extend(notes(&self.before, &self.assessment, self.failed.as_deref()));
        let ask_health = match self.workload.live {
            None => Ask::Nobody,
            Some(_) if paused => Ask::Nobody,
            Some(_) if self.workload.available == 0 => Ask::Any,
            Some(_) => Ask::Serving,
        };
        let metadata = &self.observed.resource.metadata;
        let name = metadata.name.clone().unwrap_or_default();
        let (instances, ready_instances) = self.counts();
        let before = self.before.clone();
        let conditions: Vec<Condition> =
            self.conditions.over(&before, metadata.generation, self.observed.now);
        let validated = self.validated.as_ref();
        let status = SageApiStatus {
            observed_generation: metadata.generation,
            phase: Some(self.assessment.phase.to_string()),
            conditions,
            instances: Some(instances),
            ready_instances: Some(ready_instances),
            ready: Some(format!("{ready_instances}/{}", self.observed.resource.spec.instances)),
            selector: Some(labels::selector_text(&name)),
            url: validated.map(render::url).or(before.url),
            image: validated.map(|validated| validated.image.reference()).or(before.image),
            version: validated.map(|validated| validated.image.version()).or(before.version),
            render_revision: Some(render::REVISION),
            database: self.database,
            migration: self.migration,
            sync: mirror.sync,
            sync_summary: mirror.summary,
            would_change,
        };
        Plan {
            steps: self.steps,
            status: Some(status),
            events,
            follow_up: FollowUp { metric_updates: self.metric_updates, ask_health },
            requeue: self.assessment.requeue,
        }
    }

    /// What serving instances report. If none serves, that is worth saying once the mirror was known.
    fn health(&self) -> Health {
        if self.workload.available == 0 {
            let was_known = self.workload.live.is_some() && !self.before.sync.is_empty();
            return if was_known { Health::Unreachable("none serves".to_owned()) } else { Health::NotAsked };
        }
        match &self.observed.health {
            Health::Report(report) if !report.serving => Health::NotAsked,
            health => health.clone(),
        }
    }

    /// Instances that exist and that serve. During a rollout, a change of the first alone is not worth a write.
    fn counts(&self) -> (i32, i32) {
        let ready = self.workload.available;
        let same = self.before.ready_instances == Some(ready)
            && self.before.phase.as_deref() == Some(Phase::Rolling.as_str())
            && self.assessment.phase == Phase::Rolling;
        let instances = self.before.instances.filter(|_| same).unwrap_or(self.workload.instances);
        (instances, ready)
    }

    /// What the steps would do, for people.
    fn would_change(&self) -> Vec<String> {
        let words = |step: &Step| match step {
            Step::Apply(object) if self.observed.children.has(object) => None,
            Step::Apply(object) => {
                let known = self.observed.children.find(object.kind(), object.name()).is_some();
                Some(format!("{} {}", if known { "change" } else { "create" }, object.reference()))
            }
            Step::Create(object) => Some(format!("create {}", object.reference())),
            Step::Delete(object) => Some(format!("delete {object}")),
        };
        self.steps.iter().filter_map(words).take(WOULD_CHANGE_MAX).collect()
    }

    /// Only the status is written. Nothing that the gates would have started is reported as started.
    fn pause(&mut self) {
        self.steps.clear();
        self.metric_updates.clear();
        self.failed = None;
        self.notes.clear();
        self.conditions = Conditions::default();
        self.database = self.before.database.clone();
        self.migration = self.before.migration.clone();
        self.conditions.yes(
            ConditionType::Paused,
            Reason::Paused,
            "paused is set; wouldChange lists the pending changes",
        );
        let message = "nothing is changed while paused is set";
        self.assessment = Assessment::new(Phase::Paused, Reason::Paused, message, RESYNC);
    }

    /// Reconciling and Stalled, by which tools wait.
    fn set_progress(&mut self) {
        let Assessment { phase, reason, message, stalled, .. } = self.assessment.clone();
        let moving = matches!(phase, Phase::Resolving | Phase::Migrating | Phase::Rolling) && !stalled;
        let of = ConditionType::Reconciling;
        let status = if moving { ConditionStatus::True } else { ConditionStatus::False };
        self.conditions.set(of, status, reason, message.clone());
        if stalled {
            self.conditions.yes(ConditionType::Stalled, reason, message);
        } else {
            self.conditions.no(ConditionType::Stalled, Reason::Progressing, "no human action is needed");
        }
    }

    /// Ready and WorkloadAvailable: what serves, whatever the operator is doing. Without the database too instances
    /// serve what they can, unless they report otherwise.
    fn set_workload(&mut self, without_database: bool) {
        let workload = &self.workload;
        // Behind a closed gate the number of instances is still the previous one.
        let serving = matches!(self.assessment.phase, Phase::Rolling | Phase::Degraded | Phase::Ready);
        let replicas = workload.live.and_then(|live| live.spec.as_ref()?.replicas).filter(|_| !serving);
        let desired = replicas.unwrap_or(self.observed.resource.spec.instances);
        let away =
            self.observed.resource.spec.disruption_budget.as_ref().and_then(|budget| budget.max_unavailable);
        let available = workload.available;
        let in_motion = self.assessment.phase == Phase::Rolling || !workload.complete;
        let threshold = (desired - away.unwrap_or(1)).max(1);
        // Instances that are being added do not make those that serve too few.
        let was_ready =
            self.before.condition(ConditionType::Ready).is_some_and(|ready| ready.status == "True");
        let enough = match self.before.ready_instances {
            Some(served) if in_motion && was_ready && !workload.overdue => threshold.min(served.max(1)),
            _ => threshold,
        };
        let counted = format!("{available} of {desired} instances serve");
        let down = matches!(self.health(), Health::Report(report) if report.status == "down");
        if available >= enough && down {
            let message =
                format!("{available} of {desired} instances are available, and report that they are down");
            self.conditions.no(ConditionType::Ready, Reason::Degraded, message.clone());
            self.conditions.yes(ConditionType::WorkloadAvailable, Reason::MinimumReplicasAvailable, counted);
            if self.assessment.phase == Phase::Ready {
                self.assessment =
                    Assessment::new(Phase::Degraded, Reason::Degraded, message, self.assessment.requeue);
            }
            return;
        }
        if available >= enough {
            let all = available >= desired;
            let reason = match (all, self.assessment.phase) {
                (_, Phase::Rolling) => Reason::RolloutInProgress,
                (true, _) => Reason::AllReady,
                (false, _) => Reason::EnoughReady,
            };
            let limits = if without_database { ", without the database" } else { "" };
            self.conditions.yes(ConditionType::Ready, reason, format!("{counted}{limits}"));
            self.conditions.yes(ConditionType::WorkloadAvailable, Reason::MinimumReplicasAvailable, counted);
            return;
        }
        let cause = match self.assessment.phase {
            Phase::Ready => Reason::Degraded,
            _ => self.assessment.reason,
        };
        self.conditions.no(ConditionType::Ready, cause, format!("{counted}; {}", self.assessment.message));
        let (reason, message) = match (&workload.problem, workload.live) {
            (Some((reason, message)), _) => (*reason, message.clone()),
            (None, None) if self.assessment.phase == Phase::Rolling => (Reason::RolloutInProgress, counted),
            (None, None) => (Reason::Pending, "no instance has been started yet".to_owned()),
            (None, Some(_)) if workload.overdue => (Reason::ProgressDeadlineExceeded, counted),
            (None, Some(_)) if in_motion => (Reason::RolloutInProgress, counted),
            (None, Some(_)) => (Reason::Degraded, counted),
        };
        self.conditions.no(ConditionType::WorkloadAvailable, reason, message);
    }
}
