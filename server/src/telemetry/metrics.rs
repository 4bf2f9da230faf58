//! The registry of the process's metrics, shown as OpenMetrics text. Each module registers its own instruments. Label
//! values are static: none comes from a client.

mod histogram;
mod process;

use std::sync::{Mutex, PoisonError};

use prometheus_client::encoding::text;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};

pub use self::histogram::Histogram;
use self::process::ProcessMetrics;

/// Content type of [`Metrics::encode`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The metrics of one server, in a registry of their own.
#[derive(Debug)]
pub struct Metrics {
    /// Metrics of the modules, under the prefix `sageapi_`.
    modules: Mutex<Registry>,
    /// Metrics of the process, without a prefix.
    process: Registry,
}

impl Metrics {
    /// A registry with the metrics of the process; `version` is what `build_info` shows.
    pub fn new(version: &'static str) -> Self {
        let mut modules = Registry::with_prefix("sageapi");
        modules.register("build", "The program that runs", Info::new([("version", version)]));
        let mut process = Registry::default();
        process.register_collector(Box::new(ProcessMetrics::new("/proc".into())));
        Self { modules: Mutex::new(modules), process }
    }

    /// Adds a metric and returns it, to be kept by the module that sets it. Each name is registered once, at start.
    pub fn register<M: Metric + Clone>(&self, name: &'static str, help: &'static str, metric: M) -> M {
        let mut modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        modules.register(name, help, metric.clone());
        metric
    }

    /// The exposition, of type [`CONTENT_TYPE`].
    pub fn encode(&self) -> String {
        let mut exposition = String::with_capacity(16 * 1024);
        // Writing to a string fails only if a metric's own encoding does, which leaves the text short of `# EOF`:
        // the scraper then reports it.
        let modules = self.modules.lock().unwrap_or_else(PoisonError::into_inner);
        let encoded = text::encode_registry(&mut exposition, &modules)
            .and_then(|()| text::encode_registry(&mut exposition, &self.process))
            .and_then(|()| text::encode_eof(&mut exposition));
        drop(modules);
        if let Err(error) = encoded {
            tracing::error!(%error, "metrics could not be encoded");
        }
        exposition
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_shown() {
        let text = Metrics::new("1").encode();
        for name in [
            "process_resident_memory_bytes ",
            "process_open_fds ",
            "process_cpu_seconds_total ",
            "process_start_time_seconds ",
        ] {
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(name))
                .unwrap_or_else(|| panic!("{name}\n{text}"));
            assert!(value.parse::<f64>().unwrap() >= 0.0);
        }
    }
}
