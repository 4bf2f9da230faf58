//! What follows when a database refuses a migration, by its verdict.

use sageapi_contract::Verdict;
use sageapi_crds::{ConditionType, Phase, Reason};

use super::assessment::Assessment;
use super::attempt::Ended;
use super::conditions::Conditions;
use super::migration::{Gate, Outcome};
use crate::{labels, names};

impl Gate<'_> {
    /// What follows from exit code 64.
    pub(super) fn refused(
        &self,
        ended: &Ended,
        outcome: &mut Outcome,
        conditions: &mut Conditions,
    ) -> Assessment {
        let said = &ended.message;
        let verdict = ended.result.as_ref().map(|result| result.verdict);
        if let Some(result) = &ended.result {
            outcome.database.verdict = Some(result.verdict.to_string());
            outcome.database.schema_version = Some(i64::from(result.from)).filter(|_| result.from > 0);
        }
        let schema = |conditions: &mut Conditions, reason, message: &str| {
            self.set_reachable(conditions);
            conditions.no(ConditionType::SchemaUpToDate, reason, message);
        };
        let (phase, reason, message) = match verdict {
            Some(Verdict::Newer) => {
                let message =
                    format!("the schema is newer than the image can serve ({said}); use a newer image");
                schema(conditions, Reason::NewerSchema, &message);
                (Phase::Blocked, Reason::NewerSchema, message)
            }
            Some(Verdict::Dirty) => {
                let message = format!("the schema is not what the image's migrations made ({said})");
                schema(conditions, Reason::DirtySchema, &message);
                (Phase::Blocked, Reason::DirtySchema, message)
            }
            Some(Verdict::KeyMismatch) => {
                let keys = names::keys(&self.context.validated.name);
                let message = format!(
                    "the database is encrypted with another key ({said}); restore the original Secret {keys}"
                );
                conditions.no(ConditionType::DatabaseReady, Reason::EncryptionKeyMismatch, message.clone());
                conditions.no(ConditionType::SchemaUpToDate, Reason::Pending, "the database refuses the key");
                (Phase::Blocked, Reason::EncryptionKeyMismatch, message)
            }
            Some(Verdict::OwnedByAnother) => {
                let by =
                    ended.result.as_ref().and_then(|result| result.owner.as_deref()).unwrap_or("another");
                let message = format!(
                    "the database is claimed by {by}; name another database, or run `sageapi-server migrate --take-over --owner {}`",
                    self.owner
                );
                conditions.no(ConditionType::DatabaseReady, Reason::OwnedByAnother, message.clone());
                conditions.no(
                    ConditionType::SchemaUpToDate,
                    Reason::Pending,
                    "the database belongs to another installation",
                );
                (Phase::Blocked, Reason::OwnedByAnother, message)
            }
            Some(Verdict::None | Verdict::Forward | Verdict::Unreachable) | None => {
                let message = format!("the server refuses its configuration: {said}");
                conditions.no(ConditionType::SchemaUpToDate, Reason::Failed, message.clone());
                (Phase::MigrationFailed, Reason::Failed, message)
            }
        };
        let message = format!("{message}; when it is fixed, annotate with {}", labels::RETRY_MIGRATION);
        Assessment::stalled(phase, reason, message)
    }
}
