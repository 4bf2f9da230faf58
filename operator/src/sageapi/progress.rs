use sageapi_crds::{Phase, SageApiStatus};

/// Whether two statuses of one rollout differ in its progress and in nothing else.
pub fn only_counts_differ(before: &SageApiStatus, after: &SageApiStatus) -> bool {
    let bare = |status: &SageApiStatus| {
        let mut bare =
            SageApiStatus { instances: None, ready_instances: None, ready: None, ..status.clone() };
        bare.conditions.iter_mut().for_each(|condition| condition.message.clear());
        bare
    };
    after.phase.as_deref() == Some(Phase::Rolling.as_str()) && bare(before) == bare(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(phase: &str, ready: i32) -> SageApiStatus {
        SageApiStatus {
            phase: Some(phase.to_owned()),
            ready_instances: Some(ready),
            ready: Some(format!("{ready}/20")),
            ..SageApiStatus::default()
        }
    }

    #[test]
    fn only_the_progress_of_a_rollout_may_wait() {
        assert!(only_counts_differ(&status("Rolling", 3), &status("Rolling", 4)));
        assert!(!only_counts_differ(&status("Rolling", 19), &status("Ready", 20)));
        assert!(!only_counts_differ(&status("Ready", 20), &status("Degraded", 3)));
        let mut news = status("Rolling", 4);
        news.image = Some("another".to_owned());
        assert!(!only_counts_differ(&status("Rolling", 3), &news));
    }
}
