//! The gate before the Deployment: either the database's schema fits the image, or pods stay as they are.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use sageapi_crds::{ConditionType, DatabaseStatus, MigrationStatus, Phase, Reason};
use serde_json::json;

use super::assessment::Assessment;
use super::attempt::{self, Attempt, Ended, Failure};
use super::children::{annotation, delete, is_ours, label, name};
use super::conditions::{Conditions, is_trouble, whole_seconds};
use super::follow_up::MetricUpdate;
use crate::kinds::Kind;
use crate::observed::Observed;
use crate::reconciler::Note;
use crate::render::{Context, migration_job};
use crate::steps::Step;
use crate::{labels, names};

/// The wait before the second attempt; it doubles with each.
const BACKOFF: Duration = Duration::from_secs(10);
const BACKOFF_MAX: Duration = Duration::from_mins(5);
/// How long a Job may outlast its container, as one does that has a sidecar.
const LINGER: Duration = Duration::from_mins(1);
/// Between reconciles while a Job runs; its end triggers one.
pub(super) const WATCHED: Duration = Duration::from_mins(1);
/// Between reconciles while a Job is being deleted.
const DELETING: Duration = Duration::from_secs(5);

/// What the gate found.
pub(super) struct Outcome {
    /// `None`: open.
    pub(super) closed: Option<Assessment>,
    pub(super) steps: Vec<Step>,
    pub(super) database: DatabaseStatus,
    pub(super) migration: MigrationStatus,
    pub(super) metric_updates: Vec<MetricUpdate>,
    /// An attempt that failed, reported for the first time.
    pub(super) failed: Option<String>,
    /// Other events.
    pub(super) notes: Vec<Note>,
}

impl Outcome {
    /// Records how an attempt ended, and counts it if it is reported for the first time.
    pub(super) fn record(&mut self, job: &Job, attempt: &Attempt, first: bool) {
        let (Some(result), Some(ended)) = (attempt.result(), attempt.end()) else { return };
        self.migration.last_job = Some(name(&job.metadata).to_owned());
        self.migration.message = Some(ended.message.clone());
        if first {
            let seconds = ended.took.map(|took| took.as_secs_f64());
            self.metric_updates.push(MetricUpdate::Migration { result, seconds });
        }
    }
}

/// What the gate needs.
pub(super) struct Gate<'a> {
    pub(super) observed: &'a Observed,
    pub(super) context: &'a Context<'a>,
    pub(super) owner: &'a str,
    pub(super) identity: &'a str,
    pub(super) fingerprint: &'a str,
}

/// One Job of the present migration.
struct JobAttempt<'a> {
    number: u32,
    job: &'a Job,
    attempt: Attempt,
}

impl Gate<'_> {
    /// Decides, and sets the conditions.
    pub(super) fn judge(&self, conditions: &mut Conditions) -> Outcome {
        let status = self.observed.resource.status.as_ref();
        let hash = &self.context.schema_hash;
        let database = DatabaseStatus {
            identity: Some(self.identity.to_owned()),
            ..status.and_then(|status| status.database.clone()).unwrap_or_default()
        };
        let before = status.and_then(|status| status.migration.clone()).unwrap_or_default();
        let mut outcome = Outcome {
            closed: None,
            steps: Vec::new(),
            database,
            migration: MigrationStatus { hash: Some(hash.clone()), ..MigrationStatus::default() },
            metric_updates: Vec::new(),
            failed: None,
            notes: Vec::new(),
        };
        let same = before.hash.as_ref() == Some(hash);
        if same {
            outcome.migration = before.clone();
        }
        let known = outcome.database.identity == status.and_then(|s| s.database.as_ref()?.identity.clone());
        if !known {
            // What is known describes another database.
            outcome.database =
                DatabaseStatus { identity: Some(self.identity.to_owned()), ..DatabaseStatus::default() };
        }
        if let Some(assessment) = self.withdraw(&before, same, &mut outcome, conditions) {
            outcome.closed = Some(assessment);
            return outcome;
        }
        if outcome.database.applied_hash.as_ref() == Some(hash) {
            // It is recorded in the status, so Jobs can be deleted.
            outcome.steps = self.lingering();
            outcome.steps.extend(self.former());
            Self::set_applied(&outcome.database, conditions);
            let before = status.and_then(|status| status.condition(ConditionType::DatabaseReady));
            let reason = before.filter(|before| before.status == "False").map(|before| &before.reason);
            if !reason.and_then(|reason| Reason::parse(reason)).is_some_and(is_trouble) {
                self.set_reachable(conditions);
            }
            return outcome;
        }
        self.present(&before, same, &mut outcome, conditions);
        outcome
    }

    fn retry(&self) -> Option<String> {
        annotation(&self.observed.resource.metadata, labels::RETRY_MIGRATION).map(str::to_owned)
    }

    /// A hash of what may fix a failure.
    fn inputs(&self) -> String {
        crate::hashes::of(&json!([self.context.secrets_hash, self.context.config_hash, self.retry()]))
    }

    pub(super) fn jobs(&self) -> impl Iterator<Item = &Job> {
        self.observed.children.all().filter(|job: &&Job| {
            is_ours(&job.metadata, &self.context.validated.uid)
                && label(&job.metadata, labels::COMPONENT) == Some(labels::COMPONENT_MIGRATION)
        })
    }

    /// Jobs whose container succeeded some time ago, and that something else still holds. As a rule their controller
    /// is done with them a second later.
    fn lingering(&self) -> Vec<Step> {
        let done = |job: &&Job| match self.look(job) {
            Attempt::Succeeded(ended) => ended.at.is_none_or(|at| at + LINGER <= self.observed.now),
            Attempt::Waiting(_) | Attempt::Running | Attempt::Failed(..) => false,
        };
        let held = self.jobs().filter(|job| !attempt::is_over(job)).filter(done);
        held.map(|job| delete(Kind::Job, &job.metadata)).collect()
    }

    /// Ended Jobs of former migrations. If their image comes back, how they ended proves nothing any more.
    fn former(&self) -> impl Iterator<Item = Step> {
        let ended = self.jobs().filter(|job| !self.is_present(job) && self.look(job).end().is_some());
        ended.map(|job| delete(Kind::Job, &job.metadata))
    }

    pub(super) fn look(&self, job: &Job) -> Attempt {
        attempt::look(job, &self.observed.children, self.observed.now)
    }

    pub(super) fn is_present(&self, job: &Job) -> bool {
        names::migration_attempt(name(&job.metadata), &self.context.schema_hash).is_some()
    }

    /// When the last Job of another migration was created: what ended before proves nothing about now.
    fn last_other(&self) -> Option<Timestamp> {
        self.jobs().filter(|job| !self.is_present(job)).filter_map(made).max()
    }

    pub(super) fn deleting(conditions: &mut Conditions) -> Assessment {
        let message = "the Job of a former specification is being deleted";
        conditions.no(ConditionType::SchemaUpToDate, Reason::Pending, message);
        Assessment::new(Phase::Migrating, Reason::MigrationPending, message, DELETING)
    }

    fn present(
        &self,
        before: &MigrationStatus,
        same: bool,
        outcome: &mut Outcome,
        conditions: &mut Conditions,
    ) {
        let hash = &self.context.schema_hash;
        let mut jobs: Vec<JobAttempt<'_>> = self
            .jobs()
            .filter_map(|job| {
                let number = names::migration_attempt(name(&job.metadata), hash)?;
                Some(JobAttempt { number, job, attempt: self.look(job) })
            })
            .collect();
        jobs.sort_by_key(|one| one.number);
        let recorded = before.last_job.as_deref().filter(|_| same);
        let recorded = recorded.and_then(|job| names::migration_attempt(job, hash)).unwrap_or(0);
        let next = jobs.last().map_or(0, |newest| newest.number).max(recorded) + 1;
        // The image was another one in between: a new attempt finds out what its migration left.
        let last_other = self.last_other();
        // One that is being deleted was found to prove nothing any more.
        let goes = |job: &Job| {
            let uid = &job.metadata.uid;
            let leaves = job.metadata.deletion_timestamp.is_some();
            leaves
                || outcome.steps.iter().any(|step| matches!(step, Step::Delete(object) if object.uid == *uid))
        };
        jobs.retain(|one| one.attempt.end().is_none() || (made(one.job) >= last_other && !goes(one.job)));
        let newest = jobs.last();
        // New secrets, another configuration or a new retry-migration may be the fix: what failed before does not count.
        let fresh = match newest {
            Some(newest) => !self.same_inputs(newest.job),
            None => before.inputs.is_some() && before.inputs != Some(self.inputs()),
        };

        if let Some(newest) = newest {
            match &newest.attempt {
                Attempt::Waiting(_) if newest.job.metadata.deletion_timestamp.is_some() => {
                    outcome.closed = Some(Self::deleting(conditions));
                    return;
                }
                Attempt::Waiting(Some(_)) if !self.same_job(newest) => {
                    // It cannot start, and another one may: the next look makes it.
                    outcome.steps.push(delete(Kind::Job, &newest.job.metadata));
                    outcome.closed = Some(Self::deleting(conditions));
                    return;
                }
                Attempt::Waiting(trouble) => {
                    outcome.closed =
                        Some(self.running(name(&newest.job.metadata), trouble.clone(), conditions));
                    return;
                }
                Attempt::Running => {
                    outcome.closed = Some(self.running(name(&newest.job.metadata), None, conditions));
                    return;
                }
                Attempt::Succeeded(ended) => {
                    outcome.record(newest.job, &newest.attempt, newest.number > recorded);
                    self.succeed(ended, outcome, conditions);
                    return;
                }
                Attempt::Failed(..) => {}
            }
        }
        if fresh || (newest.is_none() && recorded == 0) {
            outcome.migration.attempts = None;
            // If this Job is not created, or is deleted before it ends, the next one is due at once.
            outcome.migration.next_attempt_at = Some(whole_seconds(self.observed.now));
            outcome.migration.inputs = Some(self.inputs());
            self.start(next, &jobs, outcome, conditions);
            return;
        }

        let before_count = before.attempts.filter(|_| same).unwrap_or(0);
        let counts = |one: &&JobAttempt<'_>| {
            one.number > recorded
                && self.same_inputs(one.job)
                && matches!(one.attempt, Attempt::Failed(Failure::Counted | Failure::TooLong, _))
        };
        let attempts = before_count + i32::try_from(jobs.iter().filter(counts).count()).unwrap_or(0);
        outcome.migration.attempts = Some(attempts);
        let used_up =
            u32::try_from(attempts).is_ok_and(|attempts| attempts >= self.context.validated.max_attempts);

        let Some(JobAttempt { number, attempt: Attempt::Failed(failure, ended), .. }) = newest else {
            // The Job is gone, by its time to live or by hand; the status remembers how it ended.
            self.remember(before, used_up, next, &jobs, outcome, conditions);
            return;
        };
        let last = newest.filter(|_| *number > recorded);
        if let Some(last) = last {
            outcome.record(last.job, &last.attempt, true);
            let wait = backoff(*number);
            let at = ended.at.unwrap_or(self.observed.now).checked_add(wait).unwrap_or(self.observed.now);
            let again = *failure != Failure::Refused && !(used_up && *failure != Failure::Unavailable);
            outcome.migration.next_attempt_at = again.then(|| whole_seconds(at));
        }
        outcome.closed = match failure {
            Failure::Refused => Some(self.refused(ended, outcome, conditions)),
            Failure::Unavailable => {
                let message = format!("the database cannot be used: {}", ended.message);
                conditions.no(ConditionType::DatabaseReady, Reason::Unreachable, message.clone());
                conditions.no(
                    ConditionType::SchemaUpToDate,
                    Reason::Pending,
                    "the database cannot be reached",
                );
                self.again(outcome, next, &jobs, (Phase::Resolving, Reason::Unreachable, message), conditions)
            }
            Failure::Counted | Failure::TooLong => {
                let reason =
                    if *failure == Failure::TooLong { Reason::DeadlineExceeded } else { Reason::Failed };
                let message = format!(
                    "attempt {attempts} of {} failed: {}",
                    self.context.validated.max_attempts, ended.message
                );
                if last.is_some() {
                    outcome.failed = Some(message.clone());
                }
                if used_up {
                    let reason = if reason == Reason::Failed { Reason::BackoffLimitExceeded } else { reason };
                    Some(Self::given_up(reason, &message, conditions))
                } else {
                    conditions.no(ConditionType::SchemaUpToDate, reason, message.clone());
                    self.again(
                        outcome,
                        next,
                        &jobs,
                        (Phase::Migrating, Reason::MigrationPending, message),
                        conditions,
                    )
                }
            }
        };
    }

    fn same_inputs(&self, job: &Job) -> bool {
        let made_from = |hash| annotation(&job.metadata, hash);
        made_from(labels::SECRETS_HASH) == Some(self.context.secrets_hash.as_str())
            && made_from(labels::CONFIG_HASH) == Some(self.context.config_hash.as_str())
            && annotation(&job.metadata, labels::RETRY_MIGRATION) == self.retry().as_deref()
    }

    /// Whether a Job is what would be created now.
    fn same_job(&self, one: &JobAttempt<'_>) -> bool {
        let wanted = migration_job(self.context, self.owner, one.number, self.retry().as_deref());
        annotation(&one.job.metadata, labels::SPEC_HASH) == annotation(wanted.metadata(), labels::SPEC_HASH)
    }

    fn succeed(&self, ended: &Ended, outcome: &mut Outcome, conditions: &mut Conditions) {
        outcome.migration.next_attempt_at = None;
        let database = &mut outcome.database;
        database.applied_hash = Some(self.context.schema_hash.clone());
        database.key_fingerprint = Some(self.fingerprint.to_owned());
        if let Some(result) = &ended.result {
            database.schema_version = Some(i64::from(result.to));
            database.verdict = Some(result.verdict.to_string());
        }
        self.set_reachable(conditions);
        Self::set_applied(&outcome.database, conditions);
    }

    pub(super) fn set_reachable(&self, conditions: &mut Conditions) {
        let message = format!("{} answered", self.identity);
        conditions.yes(ConditionType::DatabaseReady, Reason::Reachable, message);
    }

    fn set_applied(database: &DatabaseStatus, conditions: &mut Conditions) {
        let version =
            database.schema_version.map(|version| format!("version {version} ")).unwrap_or_default();
        conditions.yes(ConditionType::SchemaUpToDate, Reason::Applied, format!("{version}fits the image"));
    }

    /// The Job is created, after which nothing but its end matters.
    fn start(
        &self,
        number: u32,
        jobs: &[JobAttempt<'_>],
        outcome: &mut Outcome,
        conditions: &mut Conditions,
    ) {
        let job = migration_job(self.context, self.owner, number, self.retry().as_deref());
        let assessment = self.running(job.name(), None, conditions);
        outcome.steps.push(Step::Create(job));
        // Waiting for a database creates a Job each time. Only the last of those is of use; what failed is kept.
        let last = jobs.last().map(|last| last.number);
        for waited in jobs.iter().filter(|one| Some(one.number) != last) {
            if matches!(waited.attempt, Attempt::Failed(Failure::Unavailable, _)) {
                outcome.steps.push(delete(Kind::Job, &waited.job.metadata));
            }
        }
        outcome.closed = Some(assessment);
    }

    fn running(
        &self,
        job: &str,
        trouble: Option<(Reason, String)>,
        conditions: &mut Conditions,
    ) -> Assessment {
        let status = self.observed.resource.status.as_ref();
        let unreachable = status
            .and_then(|status| status.condition(ConditionType::DatabaseReady))
            .is_some_and(|before| before.status == "False" && before.reason == Reason::Unreachable.as_str());
        let again = trouble.is_none() && unreachable;
        if again {
            // Until the database answers nothing has improved; the status stays as it is.
            let message = status
                .and_then(|status| status.condition(ConditionType::DatabaseReady))
                .map(|c| c.message.clone());
            return Assessment::new(
                Phase::Resolving,
                Reason::Unreachable,
                message.unwrap_or_default(),
                WATCHED,
            );
        }
        let (reason, message) = match trouble {
            Some((reason, message)) => (reason, format!("Job {job} cannot start: {message}")),
            None => (Reason::Running, format!("Job {job} brings the schema up to date")),
        };
        conditions.no(ConditionType::SchemaUpToDate, reason, message.clone());
        let reason = if reason == Reason::Running { Reason::MigrationPending } else { reason };
        Assessment::new(Phase::Migrating, reason, message, WATCHED)
    }

    /// The next attempt, if it is time for it.
    fn again(
        &self,
        outcome: &mut Outcome,
        next: u32,
        jobs: &[JobAttempt<'_>],
        assessment: (Phase, Reason, String),
        conditions: &mut Conditions,
    ) -> Option<Assessment> {
        let due = outcome.migration.next_attempt_at.as_ref().map_or(self.observed.now, |time| time.0);
        let wait = until(self.observed.now, due);
        if !wait.is_zero() {
            let (phase, reason, message) = assessment;
            return Some(Assessment::new(phase, reason, message, wait));
        }
        self.start(next, jobs, outcome, conditions);
        outcome.closed.take()
    }

    fn remember(
        &self,
        before: &MigrationStatus,
        used_up: bool,
        next: u32,
        jobs: &[JobAttempt<'_>],
        outcome: &mut Outcome,
        conditions: &mut Conditions,
    ) {
        let message = before.message.clone().unwrap_or_default();
        outcome.closed = if before.next_attempt_at.is_some() {
            self.again(outcome, next, jobs, (Phase::Migrating, Reason::MigrationPending, message), conditions)
        } else if used_up {
            Some(Self::given_up(Reason::BackoffLimitExceeded, &message, conditions))
        } else {
            // Refused: the conditions say why.
            let status = self.observed.resource.status.as_ref();
            let phase = status.and_then(|status| Phase::parse(status.phase.as_deref()?));
            let phase = phase.filter(|phase| *phase == Phase::Blocked).unwrap_or(Phase::MigrationFailed);
            let stalled = status.and_then(|status| status.condition(ConditionType::Stalled));
            let reason = stalled.and_then(|stalled| Reason::parse(&stalled.reason)).unwrap_or(Reason::Failed);
            let message = stalled.map_or(message, |stalled| stalled.message.clone());
            Some(Assessment::stalled(phase, reason, message))
        };
    }

    fn given_up(reason: Reason, message: &str, conditions: &mut Conditions) -> Assessment {
        let message = format!("{message}; fix the cause, then annotate with {}", labels::RETRY_MIGRATION);
        conditions.no(ConditionType::SchemaUpToDate, reason, message.clone());
        Assessment::stalled(Phase::MigrationFailed, reason, message)
    }
}

fn made(job: &Job) -> Option<Timestamp> {
    job.metadata.creation_timestamp.as_ref().map(|time| time.0)
}

/// How long to wait after the attempt of this number.
fn backoff(number: u32) -> SignedDuration {
    let doubled = BACKOFF.saturating_mul(2_u32.saturating_pow(number.saturating_sub(1)));
    SignedDuration::try_from(doubled.min(BACKOFF_MAX)).unwrap_or(SignedDuration::from_mins(5))
}

/// From now to then in whole seconds, rounded up; zero if that is past.
fn until(now: Timestamp, then: Timestamp) -> Duration {
    let left = Duration::try_from(then.duration_since(now)).unwrap_or(Duration::ZERO);
    Duration::from_secs(left.as_secs() + u64::from(left.subsec_nanos() > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_from_ten_seconds_to_five_minutes() {
        let seconds: Vec<_> = [1, 2, 3, 5, 6, 40].into_iter().map(|n| backoff(n).as_secs()).collect();
        assert_eq!(seconds, [10, 20, 40, 160, 300, 300]);
    }
}
