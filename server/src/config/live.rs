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

    /// Reads something of the one in force, without sharing it: for paths that every request takes.
    pub fn read<T>(&self, read: impl FnOnce(&Config) -> T) -> T {
        read(&self.0.load())
    }

    /// Replaces it as a whole.
    pub fn replace(&self, config: Config) {
        self.0.store(Arc::new(config));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::defaults;

    #[test]
    fn a_replaced_configuration_is_seen_by_every_clone_at_the_next_read() {
        let live = LiveConfig::new(defaults());
        let (other, before) = (live.clone(), live.current());
        let mut changed = defaults();
        changed.server.read_only = true;
        live.replace(changed);
        assert!(other.current().server.read_only && other.read(|config| config.server.read_only));
        assert!(!before.server.read_only, "one that was taken before stays as it was");
    }
}
