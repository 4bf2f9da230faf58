//! How one attempt at a migration went, from its Job and the Job's pods.

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerStateTerminated, ContainerStatus, Pod};
use sageapi_contract::{ExitCode, MigrationResult};
use sageapi_crds::Reason;

use super::conditions::cut;
use super::workload::trouble;
use crate::children::Children;
use crate::render::MIGRATE_CONTAINER;

/// How an attempt went.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Attempt {
    /// No container runs. The text: what prevents one from starting.
    Waiting(Option<(Reason, String)>),
    /// Its container runs.
    Running,
    /// The container succeeded; what becomes of the Job does not matter.
    Succeeded(Ended),
    /// It ended otherwise.
    Failed(Failure, Ended),
}

/// What a failure means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Failure {
    /// A retry changes nothing.
    Refused,
    /// The database or its lock was not available: retried, uncounted.
    Unavailable,
    /// Anything else: counted.
    Counted,
    /// It took too long: counted.
    TooLong,
}

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Ended {
    /// When.
    pub(super) at: Option<Timestamp>,
    /// How long its container ran.
    pub(super) took: Option<SignedDuration>,
    /// What it reported, if it could.
    pub(super) result: Option<MigrationResult>,
    /// For people.
    pub(super) message: String,
}

/// Longest part of a log that is shown.
const TAIL_MAX: usize = 600;

/// A Job without a pod after so long is prevented from creating one.
const PODLESS: SignedDuration = SignedDuration::from_mins(1);

/// Looks at an attempt.
pub(super) fn look(job: &Job, children: &Children, now: Timestamp) -> Attempt {
    let pods: Vec<&Pod> = children.all().filter(|pod| belongs(pod, job)).collect();
    let ends: Vec<(&Pod, &ContainerStateTerminated)> =
        pods.iter().filter_map(|pod| terminated(pod).map(|end| (*pod, end))).collect();
    if let Some((_, end)) = ends.iter().find(|(_, end)| end.exit_code == 0) {
        return Attempt::Succeeded(ended(Some(end), job));
    }
    if condition(job, &["Complete", "SuccessCriteriaMet"]).is_some() {
        return Attempt::Succeeded(ended(None, job));
    }
    let failed = condition(job, &["Failed", "FailureTarget"]);
    if failed.is_some_and(|reason| reason == "DeadlineExceeded") {
        return Attempt::Failed(Failure::TooLong, ended(last(&ends), job));
    }
    // A pod that was evicted is replaced by the Job's controller.
    let own: Vec<_> = ends.iter().filter(|(pod, _)| !is_disrupted(pod)).copied().collect();
    if let Some(end) = last(&own) {
        return Attempt::Failed(meaning(end.exit_code), ended(Some(end), job));
    }
    // A Job may be seen to fail before the end of its pod is.
    let under_way = pods.iter().any(|pod| terminated(pod).is_none() && phase(pod) != Some("Failed"));
    if failed.is_some() && !under_way {
        return Attempt::Failed(Failure::Counted, ended(last(&ends), job));
    }
    if pods.iter().any(|pod| runs(pod)) {
        return Attempt::Running;
    }
    let made = job.metadata.creation_timestamp.as_ref();
    if pods.is_empty() && made.is_some_and(|made| made.0 + PODLESS <= now) {
        let name = job.metadata.name.as_deref().unwrap_or_default();
        let message = format!("no pod was created for it; see `kubectl describe job {name}`");
        return Attempt::Waiting(Some((Reason::QuotaExceeded, message)));
    }
    Attempt::Waiting(pods.iter().find_map(|pod| trouble(pod, MIGRATE_CONTAINER)))
}

/// Whether a container of the Job was ever started: the database may have changed.
pub(super) fn has_begun(job: &Job, children: &Children) -> bool {
    // A deleted pod is still counted.
    let counted = job
        .status
        .as_ref()
        .is_some_and(|status| [status.succeeded, status.failed].into_iter().flatten().any(|pods| pods > 0));
    counted
        || condition(job, &["Complete", "SuccessCriteriaMet"]).is_some()
        || children.all().any(|pod: &Pod| belongs(pod, job) && (runs(pod) || terminated(pod).is_some()))
}

impl Attempt {
    /// How it ended, if it has.
    pub(super) fn end(&self) -> Option<&Ended> {
        match self {
            Self::Waiting(_) | Self::Running => None,
            Self::Succeeded(ended) | Self::Failed(_, ended) => Some(ended),
        }
    }

    /// How it ended in one word, as it is counted.
    pub(super) fn result(&self) -> Option<&'static str> {
        match self {
            Self::Waiting(_) | Self::Running => None,
            Self::Succeeded(_) => Some("succeeded"),
            Self::Failed(Failure::Refused, _) => Some("refused"),
            Self::Failed(Failure::Unavailable, _) => Some("unavailable"),
            Self::Failed(Failure::Counted | Failure::TooLong, _) => Some("failed"),
        }
    }
}

/// Whether the Job's controller is done with it.
pub(super) fn is_over(job: &Job) -> bool {
    condition(job, &["Complete", "Failed"]).is_some()
}

fn meaning(code: i32) -> Failure {
    let is = |known: ExitCode| code == i32::from(known.code());
    if is(ExitCode::Usage) {
        Failure::Refused
    } else if is(ExitCode::Unavailable) || is(ExitCode::TryAgain) {
        Failure::Unavailable
    } else {
        Failure::Counted
    }
}

fn belongs(pod: &Pod, job: &Job) -> bool {
    let owners = pod.metadata.owner_references.as_deref().unwrap_or_default();
    job.metadata.uid.is_some() && owners.iter().any(|owner| Some(&owner.uid) == job.metadata.uid.as_ref())
}

fn terminated(pod: &Pod) -> Option<&ContainerStateTerminated> {
    container(pod)?.state.as_ref()?.terminated.as_ref()
}

fn runs(pod: &Pod) -> bool {
    container(pod).and_then(|status| status.state.as_ref()).is_some_and(|state| state.running.is_some())
}

fn container(pod: &Pod) -> Option<&ContainerStatus> {
    let statuses = pod.status.as_ref()?.container_statuses.as_ref()?;
    statuses.iter().find(|status| status.name == MIGRATE_CONTAINER)
}

fn last<'a>(ends: &[(&'a Pod, &'a ContainerStateTerminated)]) -> Option<&'a ContainerStateTerminated> {
    ends.iter().map(|(_, end)| *end).max_by_key(|end| end.finished_at.as_ref().map(|time| time.0))
}

fn phase(pod: &Pod) -> Option<&str> {
    pod.status.as_ref()?.phase.as_deref()
}

fn is_disrupted(pod: &Pod) -> bool {
    let conditions = pod.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "DisruptionTarget" && c.status == "True")
}

/// The reason of the first true condition of one of these types.
fn condition<'a>(job: &'a Job, types: &[&str]) -> Option<&'a str> {
    let conditions = job.status.as_ref()?.conditions.as_ref()?;
    let found = conditions.iter().find(|c| c.status == "True" && types.contains(&c.type_.as_str()))?;
    Some(found.reason.as_deref().unwrap_or_default())
}

fn ended(end: Option<&ContainerStateTerminated>, job: &Job) -> Ended {
    let text = end.and_then(|end| end.message.as_deref()).unwrap_or_default().trim();
    let result = std::iter::once(text)
        .chain(text.lines().rev())
        .find_map(|line| serde_json::from_str::<MigrationResult>(line).ok())
        .filter(|result| result.v == MigrationResult::VERSION);
    let code = end.map(|end| end.exit_code);
    let message = match (&result, code) {
        (Some(result), _) if !result.message.is_empty() => result.message.clone(),
        (_, None) => "its pod is gone".to_owned(),
        (_, Some(code)) if text.is_empty() => format!("it ended with exit code {code} and without a message"),
        (_, Some(code)) => {
            let from = text.len().saturating_sub(TAIL_MAX);
            let from = (from..=text.len()).find(|from| text.is_char_boundary(*from)).unwrap_or(0);
            format!("it ended with exit code {code}: {}", &text[from..])
        }
    };
    let job_end = || {
        let conditions = job.status.as_ref()?.conditions.as_ref()?;
        let over = conditions
            .iter()
            .find(|c| c.status == "True" && matches!(c.type_.as_str(), "Failed" | "Complete"));
        over?.last_transition_time.as_ref()
    };
    let time = |time: Option<&k8s_openapi::apimachinery::pkg::apis::meta::v1::Time>| time.map(|time| time.0);
    let at = time(end.and_then(|end| end.finished_at.as_ref())).or_else(|| time(job_end()));
    let started = time(end.and_then(|end| end.started_at.as_ref()));
    Ended {
        at,
        took: at.zip(started).map(|(at, started)| at.duration_since(started)),
        result,
        message: cut(&redacted(&message), TAIL_MAX + 100),
    }
}

/// The text without the credentials in URLs. The server writes none; other text may.
pub(super) fn redacted(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("://") {
        let (before, after) = rest.split_at(at + 3);
        clean.push_str(before);
        let end = after.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'')).unwrap_or(after.len());
        match after[..end].rfind('@') {
            Some(at) => {
                clean.push_str("***");
                rest = &after[at..];
            }
            None => rest = after,
        }
    }
    clean.push_str(rest);
    clean
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_urls_are_not_repeated() {
        for (text, clean) in [
            ("cannot reach mysql://u:p@s@db:3306/x now", "cannot reach mysql://***@db:3306/x now"),
            ("\"http://a@b\" and https://c/d", "\"http://***@b\" and https://c/d"),
            ("nothing: // @", "nothing: // @"),
        ] {
            assert_eq!(redacted(text), clean);
        }
    }
}
