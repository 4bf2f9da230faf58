use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Notify;

use super::key::Key;

/// The resources to reconcile because something changed, each once however much it was.
#[derive(Debug, Default)]
pub struct Triggers {
    keys: Mutex<BTreeSet<Key>>,
    changed: Notify,
}

impl Triggers {
    /// Something that concerns these has changed.
    pub fn add(&self, keys: impl IntoIterator<Item = Key>) {
        let mut waiting = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let before = waiting.len();
        waiting.extend(keys);
        if waiting.len() > before {
            self.changed.notify_one();
        }
    }

    /// What was added since the last call; waits until there is something.
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
