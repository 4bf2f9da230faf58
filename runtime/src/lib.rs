//! What `sageapi-server` and `sageapi-operator` share at run time. It knows neither SQL nor Kubernetes.

mod clock;
pub mod command;
mod entropy;
pub mod lifecycle;
pub mod listener;
pub mod telemetry;
mod time;

pub use clock::{Clock, ManualClock, SystemClock};
pub use entropy::{Entropy, SeededEntropy, SystemEntropy};
pub use time::{Timestamp, TimestampError};
