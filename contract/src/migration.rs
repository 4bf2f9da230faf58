use std::fmt;

use serde::{Deserialize, Serialize};

use crate::exit::ExitCode;

/// What a look at the database's schema found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// The schema is this binary's; nothing to do.
    None,
    /// The schema is older; the pending migrations lead to this binary's.
    Forward,
    /// The schema is newer than this binary can serve.
    Newer,
    /// An applied migration's checksum differs from this binary's.
    Dirty,
    /// The database cannot be reached.
    Unreachable,
    /// The database is claimed by another owner.
    OwnedByAnother,
    /// The encryption key is not the one that the database was filled with.
    KeyMismatch,
}

impl Verdict {
    /// Every verdict, in the order of the contract.
    pub const ALL: [Self; 7] = [
        Self::None,
        Self::Forward,
        Self::Newer,
        Self::Dirty,
        Self::Unreachable,
        Self::OwnedByAnother,
        Self::KeyMismatch,
    ];

    /// The verdict's name in results and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Forward => "forward",
            Self::Newer => "newer",
            Self::Dirty => "dirty",
            Self::Unreachable => "unreachable",
            Self::OwnedByAnother => "owned-by-another",
            Self::KeyMismatch => "key-mismatch",
        }
    }

    /// How `migrate` ends on this verdict. A plan that reached any verdict has done its work; a run
    /// that was refused would be refused again.
    pub const fn exit_code(self, plan: bool) -> ExitCode {
        match self {
            Self::Unreachable => ExitCode::Unavailable,
            _ if plan => ExitCode::Done,
            Self::None | Self::Forward => ExitCode::Done,
            Self::Newer | Self::Dirty | Self::OwnedByAnother | Self::KeyMismatch => ExitCode::Usage,
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Largest result in bytes. A container's termination message is cut at 4,096.
pub const MIGRATION_RESULT_MAX_BYTES: usize = 4_000;

/// What `migrate` prints, and writes to `--result-file`: one JSON object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MigrationResult {
    /// Version of this format, 1.
    pub v: u8,
    /// What was found.
    pub verdict: Verdict,
    /// The schema's version before; 0 for an empty or unreachable database.
    pub from: u32,
    /// The schema's version of this binary.
    pub to: u32,
    /// Names of the migrations between the two, in order.
    pub pending: Vec<String>,
    /// Whether instances of the version before can serve the schema after.
    pub compatible_with_running: bool,
    /// Who has claimed the database, if anyone.
    pub owner: Option<String>,
    /// One sentence for a human; never a secret.
    pub message: String,
}

impl MigrationResult {
    /// The format's version.
    pub const VERSION: u8 = 1;

    /// This result as one line of JSON of at most [`MIGRATION_RESULT_MAX_BYTES`]. What does not fit is
    /// cut from the message and from the end of `pending`, and the message then says so.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        let whole = serde_json::to_string(self)?;
        if whole.len() <= MIGRATION_RESULT_MAX_BYTES {
            return Ok(whole);
        }
        let mut cut = self.clone();
        cut.message = format!("{} (cut)", self.message.chars().take(200).collect::<String>());
        cut.owner = self.owner.as_ref().map(|owner| owner.chars().take(200).collect());
        loop {
            let text = serde_json::to_string(&cut)?;
            if text.len() <= MIGRATION_RESULT_MAX_BYTES || cut.pending.pop().is_none() {
                return Ok(text);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn result() -> MigrationResult {
        MigrationResult {
            v: MigrationResult::VERSION,
            verdict: Verdict::Forward,
            from: 12,
            to: 14,
            pending: vec!["0013_holds".to_owned(), "0014_quota".to_owned()],
            compatible_with_running: true,
            owner: Some("prod/billing/main".to_owned()),
            message: "two migrations are pending".to_owned(),
        }
    }

    #[test]
    fn a_result_has_the_members_of_the_contract_in_its_order() {
        assert_eq!(
            result().to_json().unwrap(),
            r#"{"v":1,"verdict":"forward","from":12,"to":14,"pending":["0013_holds","0014_quota"],"compatibleWithRunning":true,"owner":"prod/billing/main","message":"two migrations are pending"}"#
        );
    }

    #[test]
    fn a_result_reads_back_as_it_was_written() {
        let text = result().to_json().unwrap();
        assert_eq!(serde_json::from_str::<MigrationResult>(&text).unwrap(), result());
    }

    #[test]
    fn a_long_result_is_cut_to_what_a_termination_message_holds() {
        let mut long = result();
        long.message = "\u{1}\u{4e2d}".repeat(5_000);
        long.owner = Some("o".repeat(3_000));
        long.pending = (0..500).map(|n| format!("{n:04}_a_migration_with_a_name")).collect();
        let text = long.to_json().unwrap();
        assert!(text.len() <= MIGRATION_RESULT_MAX_BYTES, "{} bytes", text.len());
        let read: MigrationResult = serde_json::from_str(&text).unwrap();
        assert!(read.message.ends_with("(cut)"));
        assert_eq!(read.pending.first().map(String::as_str), Some("0000_a_migration_with_a_name"));
    }

    #[test]
    fn a_verdict_is_written_by_its_name() {
        for verdict in Verdict::ALL {
            assert_eq!(serde_json::to_value(verdict).unwrap(), verdict.name());
        }
    }

    #[test]
    fn a_plan_ends_well_on_every_verdict_but_unreachable() {
        for verdict in Verdict::ALL {
            let expected =
                if verdict == Verdict::Unreachable { ExitCode::Unavailable } else { ExitCode::Done };
            assert_eq!(verdict.exit_code(true), expected);
        }
    }

    #[test]
    fn a_run_is_refused_by_verdicts_that_a_repetition_cannot_change() {
        let codes = Verdict::ALL.map(|verdict| verdict.exit_code(false).code());
        assert_eq!(codes, [0, 0, 64, 64, 69, 64, 64]);
    }
}
