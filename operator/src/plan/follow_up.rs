/// What is done once the status is written.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FollowUp {
    /// What is counted.
    pub metric_updates: Vec<MetricUpdate>,
    /// Which instance is asked for its health from time to time.
    pub ask_health: Ask,
}

/// Which instance to ask for its health.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Ask {
    /// None.
    #[default]
    Nobody,
    /// Any: none is available, and one that is not may tell why.
    Any,
    /// One that serves.
    Serving,
}

/// Something to count.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricUpdate {
    /// A migration's Job ended.
    Migration {
        /// succeeded, refused, failed, unavailable.
        result: &'static str,
        /// How long its container ran, if that is known.
        seconds: Option<f64>,
    },
    /// The Deployment's pod template changes.
    Rollout {
        /// install, image, secrets or spec.
        trigger: &'static str,
    },
}
