//! Notes that a generation's access token was used: its answer has arrived, so that a later retry with the previous token is
//! no retry after a lost answer. Best effort, beside requests, once a generation.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::model::RecordId;
use crate::store::Store;

/// What waits to be written; more is noted at the next use.
const QUEUE: usize = 1024;
/// Sessions whose last generation is remembered.
const REMEMBERED: u64 = 100_000;
/// As long as an access token is valid: later there is another generation.
const REMEMBERED_FOR: Duration = Duration::from_mins(15);

/// Generations on their way into the database.
pub struct SeenGenerations {
    noted: moka::sync::Cache<RecordId, i64>,
    queue: mpsc::Sender<(RecordId, i64)>,
    waiting: Mutex<Option<mpsc::Receiver<(RecordId, i64)>>>,
}

impl SeenGenerations {
    /// None yet.
    pub fn new() -> Self {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let noted =
            moka::sync::Cache::builder().max_capacity(REMEMBERED).time_to_live(REMEMBERED_FOR).build();
        Self { noted, queue, waiting: Mutex::new(Some(waiting)) }
    }

    /// Notes a generation, unless it was noted or the queue is full.
    pub fn note(&self, family: RecordId, generation: i64) {
        if self.noted.get(&family).is_some_and(|noted| noted >= generation) {
            return;
        }
        if self.queue.try_send((family, generation)).is_ok() {
            self.noted.insert(family, generation);
        }
    }

    /// Writes what is noted, until stopped. Only the first call does.
    pub async fn run(&self, store: Store, stop: CancellationToken) {
        let waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut waiting) = waiting else { return };
        loop {
            let (family, generation) = tokio::select! {
                () = stop.cancelled() => return,
                next = waiting.recv() => match next {
                    Some(next) => next,
                    None => return,
                },
            };
            let written = async {
                let now = store.now().await?;
                store.note_generation_seen(family, generation, now).await
            };
            if let Err(error) = written.await {
                tracing::debug!(%error, "a used session could not be noted");
                self.noted.invalidate(&family);
            }
        }
    }
}

impl Default for SeenGenerations {
    fn default() -> Self {
        Self::new()
    }
}
