//! The registry of metrics, encoded as OpenMetrics text. Each module registers its own.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

/// Content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Declares label sets. Values are static, so that the number of series is bounded.
macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident { $label:ident })+) => {
        $($(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name { #[expect(missing_docs)] pub $label: &'static str })+
    };
}

labels! {
    /// How something ended.
    ResultLabel { result }
    /// A kind of object, such as `Deployment`.
    KindLabel { kind }
    /// A verb of the Kubernetes API.
    VerbLabel { verb }
    /// What caused a rollout.
    TriggerLabel { trigger }
}

/// All metrics of one operator.
#[derive(Debug)]
pub struct Metrics(Registry);

impl Metrics {
    /// Adds a metric, and returns a handle on it.
    pub fn register<M: Metric + Clone + fmt::Debug>(&mut self, name: &str, help: &str, metric: M) -> M {
        self.0.register(name, help, metric.clone());
        metric
    }

    /// Adds what is computed at each scrape.
    pub fn collect(&mut self, collector: impl Collector) {
        self.0.register_collector(Box::new(collector));
    }

    /// The metrics as OpenMetrics text.
    pub fn encode(&self) -> String {
        let mut text = String::new();
        // Only a collector could fail, and writing to a String does not.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.0);
        text
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let mut registry = Registry::with_prefix("sageapi_operator");
        registry.register(
            "build",
            "The running program",
            Info::new([("version", env!("CARGO_PKG_VERSION"))]),
        );
        Self(registry)
    }
}
