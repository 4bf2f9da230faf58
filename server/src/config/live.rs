//! The configuration in force, which may be replaced while the server runs.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Config;

/// One immutable configuration at a time, shared by all that read it. What may change while the server runs is read
/// here each time, and not copied when something is built. Clones share it.
#[derive(Clone, Debug)]
pub struct LiveConfig(Arc<ArcSwap<Config>>);

impl LiveConfig {
    /// Begins with this one.
    pub fn new(config: Config) -> Self {
        Self(Arc::new(ArcSwap::from_pointee(config)))
    }

    /// The one in force. Take it once for what must fit together.
    pub fn current(&self) -> Arc<Config> {
        self.0.load_full()
    }

    /// Replaces it as a whole.
    pub fn replace(&self, config: Config) {
        self.0.store(Arc::new(config));
    }
}
