//! Customers that another transaction keeps locked: one whose host is gone, or one that was opened by hand. They
//! are parked, so that their neighbours do not wait for them.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;

use super::backend::LedgerBackend;
use super::engine::Engine;
use crate::domain::Error;

/// How long a caller waits for a customer that is locked. It ends before the time of its request does.
const PATIENCE: Duration = Duration::from_secs(15);
/// How long one waits where the database is away.
const PAUSE: Duration = Duration::from_secs(1);

/// Brings customers back that can be locked again, and answers callers who waited too long, until the writers have
/// ended. It waits for each lock in turn as a writer would: a task that only checked whether a busy customer is free at
/// that moment might never find it so.
pub(super) async fn watch_parked<B: LedgerBackend>(
    engine: Arc<Engine>,
    mut backend: B,
    writers: Vec<JoinHandle<()>>,
) {
    let watch = async {
        loop {
            let woken = engine.parked.notified();
            let mut idle = true;
            for shard in &engine.shards {
                for customer in shard.parked_customers() {
                    idle = false;
                    engine.unpark_released(&mut backend).await;
                    match backend.await_customer(&customer).await {
                        Ok(()) => shard.unpark(&customer),
                        Err(error) if error.is_locked() => {}
                        Err(error) => {
                            tracing::debug!(%error, "cannot look whether a customer can be locked again");
                            backend.wait(PAUSE).await;
                        }
                    }
                    engine.refuse_overdue();
                }
            }
            if idle {
                woken.await;
            }
        }
    };
    tokio::select! {
        biased;
        () = watch => {}
        _ = futures_util::future::join_all(writers) => {}
    }
}

impl Engine {
    /// Brings back all customers whose locks are free. Locks are often released many at once: no customer, of whichever
    /// shard, waits behind one that stays locked.
    async fn unpark_released<B: LedgerBackend>(&self, backend: &mut B) {
        for shard in &self.shards {
            let parked = shard.parked_customers();
            if parked.is_empty() {
                continue;
            }
            let locked = backend.locked(&parked).await.unwrap_or_else(|_| parked.clone());
            // A silent database takes longer to time out than callers wait.
            self.refuse_overdue();
            parked.iter().filter(|c| !locked.contains(c)).for_each(|c| shard.unpark(c));
        }
    }

    /// Answers callers who waited too long for customers that are locked.
    fn refuse_overdue(&self) {
        let Some(before) = self.parts.clock.monotonic().checked_sub(PATIENCE) else { return };
        for shard in &self.shards {
            let late = shard.take_overdue(before);
            self.refuse(late, || Error::StoreUnavailable("the customer stays locked".to_owned()));
        }
    }
}
