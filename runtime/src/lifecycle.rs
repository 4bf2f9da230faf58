//! From the first signal to the exit code: a soft stop, a hard one, and tasks that may not end by themselves.

use std::any::Any;
use std::future::poll_fn;
use std::io;
use std::panic::AssertUnwindSafe;
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;

use futures_util::FutureExt;
use sageapi_contract::ExitCode;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// After a hard stop, how long the drain and the tasks may still take before they are left behind.
const HARD_WAIT: Duration = Duration::from_secs(3);

/// Owns the two stop tokens and every long-lived task of the process.
///
/// *Soft* asks for an end: accept nothing new, finish what is under way. *Hard* cuts: drop what is left. A task that
/// [`Lifecycle::spawn`] was given is vital: should it end or panic while nobody asked for an end, the process stops.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    soft: CancellationToken,
    hard: CancellationToken,
    tasks: TaskTracker,
    failed: Arc<OnceLock<&'static str>>,
}

/// Why the process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ExitReason {
    /// It was asked to, and everything was drained.
    Stopped,
    /// It was asked to, but something was not done within the grace, or a second signal cut it short.
    Forced,
    /// The named vital task ended or panicked.
    Failed(&'static str),
}

impl ExitReason {
    /// What the process exits with.
    pub fn exit_code(self) -> ExitCode {
        match self {
            Self::Stopped => ExitCode::Done,
            Self::Forced | Self::Failed(_) => ExitCode::Internal,
        }
    }
}

/// The end of one vital task, for a drain that must wait for it before its next stage.
#[derive(Debug)]
pub struct Stage(JoinHandle<()>);

impl Stage {
    /// Waits until the task has ended, in whichever way.
    pub async fn ended(self) {
        // The task catches its own panics, and nobody aborts it.
        let _always_ok = self.0.await;
    }
}

impl Default for Lifecycle {
    fn default() -> Self {
        Self::new()
    }
}

impl Lifecycle {
    /// A lifecycle without tasks.
    pub fn new() -> Self {
        Self {
            soft: CancellationToken::new(),
            hard: CancellationToken::new(),
            tasks: TaskTracker::new(),
            failed: Arc::default(),
        }
    }

    /// Cancelled when the process is to end. Cancelling it asks for that.
    pub fn soft(&self) -> CancellationToken {
        self.soft.clone()
    }

    /// Cancelled when the time for a graceful end is over; `soft` is cancelled before it.
    pub fn hard(&self) -> CancellationToken {
        self.hard.clone()
    }

    /// Runs a vital task. It may end once `soft` is cancelled; ending earlier, or panicking ever, fails the process.
    pub fn spawn<F>(&self, name: &'static str, task: F) -> Stage
    where
        F: Future + Send + 'static,
    {
        let (soft, failed) = (self.soft.clone(), Arc::clone(&self.failed));
        Stage(self.tasks.spawn(async move {
            let panic = AssertUnwindSafe(task).catch_unwind().await.err();
            if panic.is_none() && soft.is_cancelled() {
                return;
            }
            let cause = panic.as_deref().map_or("it returned", panic_text);
            tracing::error!(task = name, cause, "a vital task has ended; the process stops");
            // The first failure is the reason; later ones follow from it.
            let _already_failed = failed.set(name);
            soft.cancel();
        }))
    }

    /// Waits for SIGTERM, SIGINT or a failed task, then drains within `grace`.
    ///
    /// `drain` runs after the soft stop; it is where the composition root awaits its stages in order (listener,
    /// writer, pool). A second signal, or the end of the grace, is the hard stop.
    pub async fn run<D>(self, signals: Signals, grace: Duration, drain: D) -> ExitReason
    where
        D: Future<Output = ()>,
    {
        self.supervise(signals, grace, drain).await
    }

    async fn supervise<D>(self, mut signals: impl NextSignal, grace: Duration, drain: D) -> ExitReason
    where
        D: Future<Output = ()>,
    {
        tokio::select! {
            biased;
            () = self.soft.cancelled() => {}
            name = signals.next() => {
                tracing::info!(signal = name, "stopping: work in progress is finished");
                self.soft.cancel();
            }
        }

        let mut drained = pin!(async {
            drain.await;
            self.tasks.close();
            self.tasks.wait().await;
        });
        let forced = tokio::select! {
            biased;
            () = &mut drained => false,
            name = signals.next() => {
                tracing::warn!(signal = name, "stopping at once: work in progress is cut");
                true
            }
            () = tokio::time::sleep(grace) => {
                tracing::warn!(grace_s = grace.as_secs_f64(), "the grace period is over: work in progress is cut");
                true
            }
        };
        if forced {
            self.hard.cancel();
            if tokio::time::timeout(HARD_WAIT, drained).await.is_err() {
                tracing::error!("some tasks did not end after the hard stop and are left behind");
            }
        }
        match self.failed.get() {
            Some(name) => ExitReason::Failed(name),
            None if forced => ExitReason::Forced,
            None => ExitReason::Stopped,
        }
    }
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("it panicked")
}

/// Where signals come from; tests send their own.
trait NextSignal {
    /// The next signal's name. Dropping the future loses no signal.
    fn next(&mut self) -> impl Future<Output = &'static str>;
}

/// SIGTERM and SIGINT from now on. Installed first thing, since the first process of a container is not ended by a
/// signal that it has no handler for. SIGHUP, which would end the process undrained, is only logged.
#[derive(Debug)]
pub struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    /// Installs the handlers; must be called within a Tokio runtime.
    ///
    /// # Errors
    /// The operating system's.
    pub fn install() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// The name of the next signal. Dropping the future loses no signal.
    pub async fn next(&mut self) -> &'static str {
        poll_fn(|context| {
            while let Poll::Ready(Some(())) = self.hangup.poll_recv(context) {
                tracing::warn!("SIGHUP is ignored: restart to apply a changed configuration");
            }
            if self.terminate.poll_recv(context).is_ready() {
                return Poll::Ready("SIGTERM");
            }
            self.interrupt.poll_recv(context).map(|_| "SIGINT")
        })
        .await
    }
}

impl NextSignal for Signals {
    fn next(&mut self) -> impl Future<Output = &'static str> {
        Self::next(self)
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::Mutex;

    use tokio::sync::mpsc;

    use super::*;

    /// Never reached by a passing test.
    const LONG: Duration = Duration::from_mins(1);

    impl NextSignal for mpsc::UnboundedReceiver<&'static str> {
        async fn next(&mut self) -> &'static str {
            match self.recv().await {
                Some(name) => name,
                None => pending().await,
            }
        }
    }

    fn signals(names: &[&'static str]) -> mpsc::UnboundedReceiver<&'static str> {
        let (sender, receiver) = mpsc::unbounded_channel();
        for name in names {
            sender.send(*name).unwrap();
        }
        receiver
    }

    /// Bounded, so that a lifecycle that never ends is a failure and not a hang.
    async fn supervised(
        lifecycle: Lifecycle,
        signals: impl NextSignal,
        grace: Duration,
        drain: impl Future<Output = ()>,
    ) -> ExitReason {
        let supervise = lifecycle.supervise(signals, grace, drain);
        tokio::time::timeout(LONG / 3, supervise).await.expect("the lifecycle must end")
    }

    #[tokio::test]
    async fn a_signal_stops_softly_and_the_stages_are_drained_in_order() {
        let lifecycle = Lifecycle::new();
        let order = Arc::new(Mutex::new(Vec::new()));
        let (soft, hard) = (lifecycle.soft(), lifecycle.hard());
        let (listener_soft, writer_stop) = (lifecycle.soft(), CancellationToken::new());
        let listener = lifecycle.spawn("listener", {
            let order = Arc::clone(&order);
            async move {
                listener_soft.cancelled().await;
                tokio::task::yield_now().await;
                order.lock().unwrap().push("listener");
            }
        });
        let writer = lifecycle.spawn("writer", {
            let (order, stop) = (Arc::clone(&order), writer_stop.clone());
            async move {
                stop.cancelled().await;
                order.lock().unwrap().push("writer");
            }
        });
        let drain = async {
            listener.ended().await;
            writer_stop.cancel();
            writer.ended().await;
            order.lock().unwrap().push("pool");
        };
        let reason = supervised(lifecycle, signals(&["SIGTERM"]), LONG, drain).await;
        assert_eq!((reason, reason.exit_code()), (ExitReason::Stopped, ExitCode::Done));
        assert_eq!(*order.lock().unwrap(), ["listener", "writer", "pool"]);
        assert!(soft.is_cancelled() && !hard.is_cancelled());
    }

    #[tokio::test]
    async fn a_second_signal_stops_hard() {
        let lifecycle = Lifecycle::new();
        let hard = lifecycle.hard();
        lifecycle.spawn("listener", async move { hard.cancelled().await });
        let reason = supervised(lifecycle, signals(&["SIGINT", "SIGINT"]), LONG, async {}).await;
        assert_eq!((reason, reason.exit_code()), (ExitReason::Forced, ExitCode::Internal));
    }

    #[tokio::test]
    async fn the_end_of_the_grace_stops_hard() {
        let lifecycle = Lifecycle::new();
        let hard = lifecycle.hard();
        lifecycle.spawn("listener", async move { hard.cancelled().await });
        let reason = supervised(lifecycle, signals(&["SIGTERM"]), Duration::from_millis(10), async {}).await;
        assert_eq!(reason, ExitReason::Forced);
    }

    #[tokio::test]
    async fn a_vital_task_that_returns_early_fails_the_process() {
        let lifecycle = Lifecycle::new();
        let soft = lifecycle.soft();
        lifecycle.spawn("neighbour", async move { soft.cancelled().await });
        lifecycle.spawn("writer", async {});
        let reason = supervised(lifecycle, signals(&[]), LONG, async {}).await;
        assert_eq!((reason, reason.exit_code()), (ExitReason::Failed("writer"), ExitCode::Internal));
    }

    #[tokio::test]
    async fn a_vital_task_that_panics_fails_the_process() {
        let lifecycle = Lifecycle::new();
        let stage = lifecycle.spawn("writer", async { panic!("a test panics on purpose") });
        let reason = supervised(lifecycle, signals(&[]), LONG, stage.ended()).await;
        assert_eq!(reason, ExitReason::Failed("writer"));
    }

    #[tokio::test]
    async fn a_panic_during_the_drain_is_not_hidden_by_it() {
        let lifecycle = Lifecycle::new();
        let soft = lifecycle.soft();
        lifecycle.spawn("writer", async move {
            soft.cancelled().await;
            panic!("a test panics on purpose");
        });
        let reason = supervised(lifecycle, signals(&["SIGTERM"]), LONG, async {}).await;
        assert_eq!(reason, ExitReason::Failed("writer"));
    }

    #[tokio::test]
    async fn asking_for_an_end_needs_no_signal() {
        let lifecycle = Lifecycle::new();
        lifecycle.soft().cancel();
        assert_eq!(supervised(lifecycle, signals(&[]), LONG, async {}).await, ExitReason::Stopped);
    }
}
