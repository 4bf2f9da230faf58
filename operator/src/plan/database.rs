//! Whether the database can be used, as instances report: after the migration nothing else asks it.

use sageapi_crds::{ConditionStatus, ConditionType, Phase, Reason};

use super::assessment::Assessment;
use super::conditions::is_trouble;
use super::decide::Decision;
use crate::observed::{DatabaseState, Health};

/// Between reconciles while the database cannot be used; the instances' next answer triggers one.
const WAITED_FOR: std::time::Duration = std::time::Duration::from_mins(1);

impl Decision<'_> {
    /// Says what instances report about the database. `Some`: the state of an installation that lacks nothing else.
    pub(super) fn set_database(&mut self) -> Option<Assessment> {
        let of = ConditionType::DatabaseReady;
        let identity = self.database.as_ref().and_then(|database| database.identity.as_deref())?;
        if self.before.database.as_ref().and_then(|before| before.identity.as_deref()) != Some(identity) {
            // Instances use another database than the specification names.
            return None;
        }
        let said = self.conditions.status(of);
        let known = self.before.condition(of).filter(|before| before.status == "False");
        let known = known.and_then(|before| Some((Reason::parse(&before.reason)?, before.message.clone())));
        let known = known.filter(|(reason, _)| is_trouble(*reason)).filter(|_| said.is_none());
        let state = match &self.observed.health {
            Health::Report(report) => report.database.status,
            Health::NotAsked | Health::Unreachable(_) => DatabaseState::Unknown,
        };
        let (reason, message) = match state {
            DatabaseState::Away => (Reason::Unreachable, format!("instances cannot reach {identity}")),
            DatabaseState::Full => {
                (Reason::StorageFull, format!("{identity} has no room left and takes no writes"))
            }
            // Until an instance reports, the condition stays.
            DatabaseState::Unknown => known?,
            DatabaseState::Ok => {
                // A migration that waits for the database knows better.
                if known.is_some() && self.assessment.reason != Reason::Unreachable {
                    self.conditions.yes(of, Reason::Reachable, format!("{identity} answered"));
                }
                return None;
            }
        };
        if said == Some(ConditionStatus::False) {
            return None;
        }
        self.conditions.no(of, reason, message.clone());
        Some(Assessment::new(Phase::Resolving, reason, message, WAITED_FOR.min(self.assessment.requeue)))
    }
}
