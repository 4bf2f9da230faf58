use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::watch::Key;

/// How often progress is written while nothing else changes.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(5);

/// When the status of each resource was last written, so that twenty starting pods do not cost twenty writes.
#[derive(Debug, Default)]
pub struct Written(Mutex<HashMap<Key, Duration>>);

impl Written {
    /// How long mere progress has to wait.
    pub fn wait(&self, key: &Key, now: Duration) -> Option<Duration> {
        let written = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let due = *written.get(key)? + PROGRESS_INTERVAL;
        due.checked_sub(now).filter(|wait| !wait.is_zero())
    }

    /// A status was written.
    pub fn note(&self, key: &Key, now: Duration) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone(), now);
    }

    /// The resource is gone.
    pub fn forget(&self, key: &Key) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_written_every_five_seconds() {
        let (written, key) = (Written::default(), Key::new("billing", "prod"));
        assert_eq!(written.wait(&key, Duration::from_secs(9)), None);
        written.note(&key, Duration::from_secs(9));
        assert_eq!(written.wait(&key, Duration::from_secs(11)), Some(Duration::from_secs(3)));
        assert_eq!(written.wait(&key, Duration::from_secs(14)), None);
        written.forget(&key);
        assert_eq!(written.wait(&key, Duration::from_secs(11)), None);
    }
}
