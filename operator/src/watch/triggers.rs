use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::Key;

/// The SageApis that something has happened to, each once however much it was.
#[derive(Debug, Default)]
pub struct Triggers {
    keys: Mutex<BTreeSet<Key>>,
    changed: Notify,
}

impl Triggers {
    /// Something happened to these.
    pub fn add(&self, keys: impl IntoIterator<Item = Key>) {
        let mut waiting = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let before = waiting.len();
        waiting.extend(keys);
        if waiting.len() > before {
            self.changed.notify_one();
        }
    }

    /// What has been added since the last call; waits for the first.
    pub async fn take(&self) -> BTreeSet<Key> {
        loop {
            let taken = std::mem::take(&mut *self.keys.lock().unwrap_or_else(PoisonError::into_inner));
            if !taken.is_empty() {
                return taken;
            }
            self.changed.notified().await;
        }
    }
}
