//! Migrations of former specifications: those that have started run to their end, the others are deleted.

use k8s_openapi::api::batch::v1::Job;
use sageapi_crds::{ConditionType, MigrationStatus, Phase, Reason};

use super::assessment::Assessment;
use super::attempt::{Attempt, has_begun};
use super::children::{delete, name};
use super::conditions::Conditions;
use super::events::note;
use super::migration::{Gate, Outcome, WATCHED};
use crate::kinds::Kind;
use crate::names;

impl Gate<'_> {
    /// Half a migration is worse than a late one, so a running one is left to end. `Some`: the current one waits for it.
    ///
    /// Until all are gone the status describes the previous migration (`same` is false), so that a later reconcile
    /// still knows that another one was wanted in between.
    pub(super) fn withdraw(
        &self,
        before: &MigrationStatus,
        same: bool,
        outcome: &mut Outcome,
        conditions: &mut Conditions,
    ) -> Option<Assessment> {
        let former = self.jobs().filter(|job| !self.is_present(job));
        let former: Vec<(&Job, Attempt)> = former.map(|job| (job, self.look(job))).collect();
        if self.has_changed_the_schema(&former, before, same, outcome) {
            // A check with the wanted image finds out what it did to the schema; that the image once fitted proves
            // nothing any more.
            outcome.database.applied_hash = None;
            let ended = self.jobs().filter(|job| self.is_present(job) && self.look(job).end().is_some());
            outcome.steps.extend(ended.map(|job| delete(Kind::Job, &job.metadata)));
        }
        let mut busy = None;
        let mut leaving = false;
        for (job, attempt) in &former {
            match attempt {
                Attempt::Running => busy = Some(name(&job.metadata)),
                Attempt::Waiting(_) => {
                    leaving = true;
                    if job.metadata.deletion_timestamp.is_none() {
                        outcome.steps.push(delete(Kind::Job, &job.metadata));
                        let message = format!(
                            "Job {} of a former specification has not started and is deleted",
                            name(&job.metadata)
                        );
                        outcome.notes.push(note(false, "MigrationWithdrawn", "Delete", &message));
                    }
                }
                Attempt::Succeeded(_) | Attempt::Failed(..) => {}
            }
        }
        if busy.is_some() || leaving {
            outcome.migration = before.clone();
        }
        if !same {
            Self::record_ended(&former, before, outcome);
        }
        let Some(job) = busy else {
            return leaving.then(|| Self::deleting(conditions));
        };
        let message = format!("Job {job} migrates for a former specification; the present one follows");
        conditions.no(ConditionType::SchemaUpToDate, Reason::Pending, message.clone());
        Some(Assessment::new(Phase::Migrating, Reason::MigrationPending, message, WATCHED))
    }

    /// Whether another migration than the applied one has started since that was applied. Jobs that ended before
    /// were deleted while the applied one was wanted.
    fn has_changed_the_schema(
        &self,
        former: &[(&Job, Attempt)],
        before: &MigrationStatus,
        same: bool,
        outcome: &Outcome,
    ) -> bool {
        let Some(applied) = &outcome.database.applied_hash else { return false };
        let is_another = |job: &str| names::migration_attempt(job, applied).is_none();
        let begun = former.iter().any(|(job, attempt)| {
            is_another(name(&job.metadata))
                && (!same || attempt.end().is_none())
                && has_begun(job, &self.observed.children)
        });
        begun || (!same && before.last_job.as_deref().is_some_and(is_another))
    }

    /// Reports attempts at the previous migration that ended after it was no longer wanted.
    fn record_ended(former: &[(&Job, Attempt)], before: &MigrationStatus, outcome: &mut Outcome) {
        let Some(hash) = &before.hash else { return };
        let number = |job: &str| names::migration_attempt(job, hash);
        let recorded = before.last_job.as_deref().and_then(number).unwrap_or(0);
        let mut news: Vec<_> = former
            .iter()
            .filter_map(|(job, attempt)| Some((number(name(&job.metadata))?, job, attempt, attempt.end()?)))
            .filter(|(number, ..)| *number > recorded)
            .collect();
        news.sort_by_key(|(number, ..)| *number);
        for (_, job, attempt, ended) in news {
            outcome.record(job, attempt, true);
            let message = format!(
                "Job {} of a former specification ended: {}; the schema is checked with the wanted image",
                name(&job.metadata),
                ended.message
            );
            let failed = matches!(attempt, Attempt::Failed(..));
            outcome.notes.push(note(failed, "MigrationWithdrawn", "Migrate", &message));
        }
    }
}
