//! One connection: hyper over a watched socket, ended when its client is slow, idle, or the server stops.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use http::header::{CONNECTION, HeaderValue};
use http::{Request, Response, Version};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::{Service, service_fn};
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::activity::Activity;
use super::limits::Limits;
use super::socket::WatchedSocket;

/// A response that moves fewer bytes than this in a whole stall time is not being read.
const MIN_PROGRESS: u64 = 1024;
/// hyper takes no smaller buffer for a request head, in bytes.
const MIN_HEAD: usize = 8192;
/// Bytes of one HTTP/2 request body, and of all of a connection, that may wait for us to read them.
const H2_WINDOWS: (u32, u32) = (256 * 1024, 1024 * 1024);
/// Bytes of one HTTP/2 response that may wait for the client.
const H2_SEND_BUFFER: usize = 64 * 1024;

/// Errors as hyper takes them.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// What all connections of a listener share.
pub(super) struct Shared {
    pub(super) limits: Limits,
    /// Tasks of HTTP/2 streams.
    pub(super) streams: TaskTracker,
    builder: Builder<StreamTasks>,
}

impl Shared {
    pub(super) fn new(limits: Limits) -> Self {
        let streams = TaskTracker::new();
        let mut builder = Builder::new(StreamTasks(streams.clone()));
        let head = usize::try_from(limits.max_header_bytes).unwrap_or(usize::MAX);
        // No timer: hyper would make and drop one per request, and would take an idle connection for a slow head.
        // `Watch` does both. Its limit of 100 fields is left as it is: naming one moves parsing to the heap.
        // One buffer for head and body: answers are small, and gathering pieces costs more than copying them.
        builder
            .http1()
            .half_close(false)
            .header_read_timeout(None)
            .max_buf_size(head.max(MIN_HEAD))
            .writev(false);
        builder
            .http2()
            .max_concurrent_streams(limits.max_h2_streams)
            .max_header_list_size(limits.max_header_bytes)
            .initial_stream_window_size(H2_WINDOWS.0)
            .initial_connection_window_size(H2_WINDOWS.1)
            .max_send_buf_size(H2_SEND_BUFFER);
        Self { limits, streams, builder }
    }
}

/// Spawns the tasks of HTTP/2 streams where they are counted.
#[derive(Clone)]
struct StreamTasks(TaskTracker);

impl<F> hyper::rt::Executor<F> for StreamTasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

/// A request that the service is working on; counted until dropped, whichever way that happens.
struct Handling(Arc<Activity>);

impl Handling {
    fn new(activity: &Arc<Activity>) -> Self {
        activity.started.fetch_add(1, Relaxed);
        activity.handling.fetch_add(1, Relaxed);
        Self(Arc::clone(activity))
    }
}

impl Drop for Handling {
    fn drop(&mut self) {
        self.0.settled.store(self.0.read.load(Relaxed), Relaxed);
        self.0.handling.fetch_sub(1, Relaxed);
    }
}

/// Serves `stream` until its client leaves, is found slow or idle, or `soft` has let it finish.
pub(super) async fn serve<S, B>(stream: TcpStream, service: S, shared: Arc<Shared>, soft: CancellationToken)
where
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    // Answers are small; waiting to fill a segment would cost each of them a round trip.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let activity = Arc::new(Activity::default());
    let counted = {
        let activity = Arc::clone(&activity);
        service_fn(move |request: Request<Incoming>| {
            let version = request.version();
            let handling = Handling::new(&activity);
            let answer = service.call(request);
            async move {
                let mut response = answer.await?;
                if version != Version::HTTP_2 && handling.0.closing.load(Relaxed) {
                    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                }
                Ok::<_, S::Error>(response)
            }
        })
    };
    let io = TokioIo::new(WatchedSocket::new(stream, Arc::clone(&activity)));
    let mut connection = std::pin::pin!(shared.builder.serve_connection(io, counted));

    let limits = &shared.limits;
    let mut looks = tokio::time::interval(limits.header_read_timeout);
    looks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    looks.reset();
    let mut watch = Watch::default();
    let mut lingering = None;
    // Waits in one place of the token's list for as long as the connection lives.
    let mut stopping = std::pin::pin!(soft.cancelled());

    loop {
        tokio::select! {
            biased;
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    tracing::debug!(target: "sageapi::connection", %error, "a connection ended early");
                }
                return;
            }
            () = stopping.as_mut(), if !activity.closing.load(Relaxed) => {
                activity.closing.store(true, Relaxed);
                let (h2, busy) = (activity.h2.load(Relaxed), activity.handling.load(Relaxed) > 0);
                if h2 || busy {
                    watch.closing = true;
                    connection.as_mut().graceful_shutdown();
                }
                // An idle client may be sending a request this moment. Closing now would reset it; answering what
                // comes within the linger, with `Connection: close`, does not. On HTTP/2 the linger is the time
                // to answer the ping that asks whether a request is on its way.
                if h2 || !busy {
                    lingering = Some(Box::pin(tokio::time::sleep(limits.drain_linger)));
                }
            }
            () = async { if let Some(linger) = &mut lingering { linger.await } }, if lingering.is_some() => {
                lingering = None;
                watch.closing = true;
                activity.answer_ping.store(true, Relaxed);
                connection.as_mut().graceful_shutdown();
            }
            _ = looks.tick() => match watch.look(&Seen::of(&activity), limits) {
                Verdict::Keep => {}
                Verdict::Close => {
                    lingering = Some(Box::pin(tokio::time::sleep(limits.drain_linger)));
                    connection.as_mut().graceful_shutdown();
                }
                Verdict::Drop(reason) => {
                    tracing::debug!(target: "sageapi::connection", reason, "a connection was dropped");
                    return;
                }
            },
        }
    }
}

/// [`Activity`] at one moment.
#[derive(Debug, Default, Clone, Copy)]
struct Seen {
    started: u64,
    handling: u32,
    /// Part of a request head has arrived.
    begun: bool,
    written: u64,
    blocked: bool,
}

impl Seen {
    fn of(activity: &Activity) -> Self {
        Self {
            started: activity.started.load(Relaxed),
            handling: activity.handling.load(Relaxed),
            // An HTTP/2 client also sends frames that ask for nothing.
            begun: !activity.h2.load(Relaxed) && activity.read.load(Relaxed) > activity.settled.load(Relaxed),
            written: activity.written.load(Relaxed),
            blocked: activity.blocked.load(Relaxed),
        }
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Verdict {
    Keep,
    /// Finish what is under way, then close.
    Close,
    Drop(&'static str),
}

/// Judges a connection once per `header_read_timeout` by what changed since the last look. One timer per connection
/// does the work of one per request head, response and idle time.
#[derive(Debug, Default)]
struct Watch {
    last: Seen,
    /// Since when the client has left a full socket buffer alone.
    stalled: Duration,
    /// Since when nothing has been asked or answered.
    quiet: Duration,
    /// A request head had begun to arrive at the last look.
    head_begun: bool,
    /// The connection has been told to finish.
    closing: bool,
}

impl Watch {
    fn look(&mut self, now: &Seen, limits: &Limits) -> Verdict {
        let last = std::mem::replace(&mut self.last, *now);
        let interval = limits.header_read_timeout;
        let moved = now.written - last.written >= MIN_PROGRESS;

        self.stalled = if now.blocked && !moved { self.stalled + interval } else { Duration::ZERO };
        if self.stalled >= limits.write_stall_timeout {
            return Verdict::Drop("the client does not read its response");
        }
        if now.handling > 0 || now.started != last.started || moved {
            self.quiet = Duration::ZERO;
            self.head_begun = now.handling == 0 && now.begun;
            return Verdict::Keep;
        }
        if now.started == 0 {
            return Verdict::Drop("no request arrived");
        }
        if self.head_begun {
            return Verdict::Drop("a request head did not arrive in time");
        }
        self.head_begun = now.begun;
        self.quiet += interval;
        if self.closing && self.quiet >= limits.write_stall_timeout {
            return Verdict::Drop("the client does not let the connection finish");
        }
        if !self.closing && self.quiet >= limits.idle_timeout {
            self.closing = true;
            self.quiet = Duration::ZERO;
            return Verdict::Close;
        }
        Verdict::Keep
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> Limits {
        Limits {
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(20),
            write_stall_timeout: Duration::from_secs(30),
            ..Limits::default()
        }
    }

    /// A connection on which one request has been answered and looked at.
    fn settled() -> (Watch, Seen) {
        let mut watch = Watch::default();
        let seen = Seen { started: 1, written: 100, ..Seen::default() };
        assert_eq!(watch.look(&seen, &limits()), Verdict::Keep);
        (watch, seen)
    }

    #[test]
    fn a_connection_without_any_request_is_dropped_at_the_first_look() {
        assert!(matches!(Watch::default().look(&Seen::default(), &limits()), Verdict::Drop(_)));
    }

    #[test]
    fn an_idle_connection_is_closed_and_then_dropped() {
        let (mut watch, seen) = settled();
        let verdicts: Vec<_> = (0..5).map(|_| watch.look(&seen, &limits())).collect();
        assert_eq!(verdicts[..4], [Verdict::Keep, Verdict::Close, Verdict::Keep, Verdict::Keep]);
        assert!(matches!(verdicts[4], Verdict::Drop(_)));
    }

    #[test]
    fn a_request_resets_the_idle_time() {
        let (mut watch, mut seen) = settled();
        for _ in 0..10 {
            assert_eq!(watch.look(&seen, &limits()), Verdict::Keep);
            seen.started += 1;
            assert_eq!(watch.look(&seen, &limits()), Verdict::Keep);
        }
    }

    #[test]
    fn a_request_being_handled_keeps_its_connection() {
        let (mut watch, mut seen) = settled();
        seen.handling = 1;
        assert!((0..20).all(|_| watch.look(&seen, &limits()) == Verdict::Keep));
    }

    #[test]
    fn a_head_that_had_begun_at_one_look_must_be_whole_at_the_next() {
        for whole in [true, false] {
            let (mut watch, mut seen) = settled();
            seen.begun = true;
            assert_eq!(watch.look(&seen, &limits()), Verdict::Keep);
            seen.started += u64::from(whole);
            assert_eq!(watch.look(&seen, &limits()) == Verdict::Keep, whole);
        }
    }

    #[test]
    fn a_head_that_follows_a_request_at_once_is_given_one_interval() {
        let mut watch = Watch::default();
        let seen = Seen { started: 1, begun: true, ..Seen::default() };
        assert_eq!(watch.look(&seen, &limits()), Verdict::Keep);
        assert!(matches!(watch.look(&seen, &limits()), Verdict::Drop(_)));
    }

    #[test]
    fn bytes_after_a_request_are_the_beginning_of_a_head_on_http1_alone() {
        for h2 in [false, true] {
            let activity = Arc::new(Activity::default());
            activity.h2.store(h2, Relaxed);
            activity.read.store(100, Relaxed);
            drop(Handling::new(&activity));
            assert!(!Seen::of(&activity).begun);
            activity.read.store(101, Relaxed);
            assert_eq!(Seen::of(&activity).begun, !h2);
        }
    }

    #[test]
    fn a_full_socket_that_drains_too_slowly_drops_even_a_busy_connection() {
        let (mut watch, mut seen) = settled();
        (seen.blocked, seen.handling) = (true, 1);
        assert_eq!(watch.look(&seen, &limits()), Verdict::Keep);
        seen.written += MIN_PROGRESS;
        assert_eq!(watch.look(&seen, &limits()), Verdict::Keep);
        seen.written += 1;
        assert_eq!(watch.look(&seen, &limits()), Verdict::Keep);
        assert_eq!(watch.look(&seen, &limits()), Verdict::Keep);
        assert!(matches!(watch.look(&seen, &limits()), Verdict::Drop(_)));
    }

    #[test]
    fn a_long_response_that_is_being_read_is_not_idle() {
        let (mut watch, mut seen) = settled();
        for _ in 0..20 {
            seen.written += MIN_PROGRESS;
            assert_eq!(watch.look(&seen, &limits()), Verdict::Keep);
        }
    }
}
