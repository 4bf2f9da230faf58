//! Threads that are not those of requests.

use std::io;

use tokio::runtime::{Builder, Handle, Runtime};

/// A runtime for the booking engine's writers. They wait for the database most of their time; one thread is enough for
/// them, and gets its turn at once where those of requests are busy.
pub(super) struct BookingThreads(Option<Runtime>);

impl BookingThreads {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let runtime =
            Builder::new_multi_thread().worker_threads(1).thread_name("booking").enable_all().build()?;
        Ok(Self(Some(runtime)))
    }

    /// Where to spawn. What is spawned after the end of [`Self`] never runs.
    pub fn handle(&self) -> Option<Handle> {
        self.0.as_ref().map(|runtime| runtime.handle().clone())
    }
}

impl Drop for BookingThreads {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which asynchronous code must not.
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}
