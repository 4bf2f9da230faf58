//! The listener over real sockets on the loopback.

mod http2;

use std::convert::Infallible;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http_body_util::Full;
use hyper::service::service_fn;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::*;

/// Longer than any wait that a passing test makes: it only keeps a failing one from hanging.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// What the handler of [`TestServer`] shares with its test.
#[derive(Default)]
struct Gate {
    /// Requests that have reached the handler.
    arrived: watch::Sender<usize>,
    /// Lets one `/wait` go on.
    open: Notify,
    /// Errors of reading bodies.
    body_errors: Mutex<Vec<BodyError>>,
    /// Connections made.
    made: AtomicUsize,
}

impl Gate {
    async fn arrivals(&self, count: usize) {
        let mut arrived = self.arrived.subscribe();
        arrived.wait_for(|arrived| *arrived >= count).await.unwrap();
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        self.arrived.send_modify(|arrived| *arrived += 1);
        let path = request.uri().path().to_owned();
        let answer = match path.as_str() {
            "/wait" => {
                self.open.notified().await;
                Bytes::from_static(b"waited")
            }
            "/large" => Bytes::from(vec![b'x'; 64 * 1024 * 1024]),
            "/body" => match read_body(request.into_body(), 1000, Duration::from_millis(50)).await {
                Ok(body) => body,
                Err(error) => {
                    let status = if matches!(error, BodyError::TooLarge { .. }) { 413 } else { 408 };
                    self.body_errors.lock().unwrap().push(error);
                    return Ok(Response::builder().status(status).body(Full::default()).unwrap());
                }
            },
            _ => Bytes::from_static(b"hello"),
        };
        Ok(Response::new(Full::new(answer)))
    }
}

struct TestServer {
    address: SocketAddr,
    soft: CancellationToken,
    hard: CancellationToken,
    gate: Arc<Gate>,
    ended: JoinHandle<Drained>,
}

fn quick() -> Limits {
    Limits {
        header_read_timeout: Duration::from_millis(50),
        write_stall_timeout: Duration::from_millis(100),
        drain_linger: Duration::from_millis(50),
        ..Limits::default()
    }
}

/// Limits that a test does not want to meet.
fn generous_limits() -> Limits {
    Limits { drain_linger: Duration::from_millis(50), ..Limits::default() }
}

impl TestServer {
    fn start(limits: Limits) -> Self {
        Self::start_on(|listener| listener, limits)
    }

    fn start_on<A: Accept + Send + Sync + 'static>(
        wrap: impl FnOnce(TcpListener) -> A,
        limits: Limits,
    ) -> Self {
        let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let (soft, hard, gate) =
            (CancellationToken::new(), CancellationToken::new(), Arc::new(Gate::default()));
        let make = {
            let gate = Arc::clone(&gate);
            move |_peer: SocketAddr| {
                gate.made.fetch_add(1, Ordering::Relaxed);
                let gate = Arc::clone(&gate);
                service_fn(move |request| Arc::clone(&gate).answer(request))
            }
        };
        let ended = tokio::spawn(run(wrap(listener), limits, soft.clone(), hard.clone(), make));
        Self { address, soft, hard, gate, ended }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }

    async fn drained(self) -> Drained {
        tokio::time::timeout(TEST_TIMEOUT, self.ended).await.expect("the listener must end").unwrap()
    }
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, text: &str) {
        self.0.write_all(text.as_bytes()).await.unwrap();
    }

    async fn get(&mut self, path: &str) {
        self.send(&format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n")).await;
    }

    /// Reads until the text read so far ends with `end`.
    async fn read_until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        let read = async {
            while !text.ends_with(end.as_bytes()) {
                assert_ne!(self.0.read_buf(&mut text).await.unwrap(), 0, "closed after {text:?}");
            }
        };
        tokio::time::timeout(TEST_TIMEOUT, read).await.expect("an answer must come");
        String::from_utf8(text).unwrap()
    }

    /// Reads until the server closes, resets included.
    async fn read_to_close(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        let read = self.0.read_to_end(&mut bytes);
        let _reset_or_end = tokio::time::timeout(TEST_TIMEOUT, read).await.expect("the server must close");
        bytes
    }
}

#[tokio::test]
async fn requests_are_answered_on_one_connection() {
    let server = TestServer::start(generous_limits());
    let mut client = server.connect().await;
    for _ in 0..3 {
        client.get("/").await;
        assert!(client.read_until("hello").await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(server.gate.made.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn a_client_that_sends_its_head_slowly_is_ended() {
    let server = TestServer::start(quick());
    for beginning in ["", "G", "GET / HTTP/1.1\r\nhost: t"] {
        let mut client = server.connect().await;
        client.send(beginning).await;
        assert_eq!(client.read_to_close().await, b"");
    }
}

#[tokio::test]
async fn a_second_head_that_stops_half_way_is_ended() {
    let server = TestServer::start(quick());
    let mut client = server.connect().await;
    client.get("/").await;
    client.read_until("hello").await;
    client.send("GET / HTTP/1.1\r\n").await;
    assert_eq!(client.read_to_close().await, b"");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = TestServer::start(Limits { idle_timeout: Duration::from_millis(100), ..quick() });
    let mut client = server.connect().await;
    client.get("/").await;
    client.read_until("hello").await;
    assert_eq!(client.read_to_close().await, b"");
}

#[tokio::test]
async fn a_body_that_stops_half_way_times_out() {
    let server = TestServer::start(generous_limits());
    let mut client = server.connect().await;
    client.send("POST /body HTTP/1.1\r\nhost: t\r\ncontent-length: 10\r\n\r\nabc").await;
    let answer = client.read_to_close().await;
    assert!(answer.starts_with(b"HTTP/1.1 408"), "{:?}", String::from_utf8_lossy(&answer));
    assert!(matches!(server.gate.body_errors.lock().unwrap()[..], [BodyError::TimedOut { .. }]));
}

#[tokio::test]
async fn a_refused_body_does_not_cost_the_client_its_answer() {
    let server = TestServer::start(generous_limits());
    for framing in ["content-length: 2000000", "transfer-encoding: chunked"] {
        let mut client = server.connect().await;
        client.send(&format!("POST /body HTTP/1.1\r\nhost: t\r\n{framing}\r\n\r\n")).await;
        let chunk = if framing.contains("chunked") {
            format!("{:x}\r\n{}\r\n", 100_000, "y".repeat(100_000))
        } else {
            "y".repeat(100_000)
        };
        client.send(&chunk).await;
        let answer = client.read_until("\r\n\r\n").await;
        assert!(answer.starts_with("HTTP/1.1 413"), "{framing}: {answer}");
        // Most clients look for an answer only when they have sent everything, so sending on must not fail.
        for _ in 0..19 {
            client.send(&chunk).await;
            tokio::task::yield_now().await;
        }
        client.0.shutdown().await.unwrap();
        let mut rest = Vec::new();
        client.0.read_to_end(&mut rest).await.expect("the connection must not be reset");
    }
    let errors = server.gate.body_errors.lock().unwrap();
    assert!(matches!(errors[..], [BodyError::TooLarge { limit: 1000 }, BodyError::TooLarge { limit: 1000 }]));
}

#[tokio::test]
async fn an_oversize_head_is_refused() {
    let server = TestServer::start(generous_limits());
    let mut client = server.connect().await;
    let head = format!("GET / HTTP/1.1\r\nhost: t\r\nx: {}", "z".repeat(200_000));
    let _reset = client.0.write_all(head.as_bytes()).await;
    let answer = client.read_to_close().await;
    assert!(
        answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"),
        "{:?}",
        String::from_utf8_lossy(&answer)
    );
    assert_eq!(*server.gate.arrived.borrow(), 0);
}

#[tokio::test]
async fn a_head_of_too_many_fields_is_refused() {
    let server = TestServer::start(generous_limits());
    let mut client = server.connect().await;
    client.send(&format!("GET / HTTP/1.1\r\nhost: t\r\n{}\r\n", "x: y\r\n".repeat(100))).await;
    let answer = client.read_to_close().await;
    assert!(answer.starts_with(b"HTTP/1.1 431"), "{:?}", String::from_utf8_lossy(&answer));
}

#[tokio::test]
async fn a_client_that_never_reads_is_ended() {
    let server = TestServer::start(quick());
    let mut client = server.connect().await;
    client.get("/large").await;
    server.gate.arrivals(1).await;
    server.soft.cancel();
    // The drain ends although nothing of the response is read, and without a hard stop.
    assert_eq!(server.drained().await, Drained { cut: 0 });
    assert!(client.read_to_close().await.len() < 64 * 1024 * 1024);
}

#[tokio::test]
async fn a_soft_stop_lets_a_request_under_way_finish() {
    let server = TestServer::start(generous_limits());
    let (mut busy, mut idle) = (server.connect().await, server.connect().await);
    busy.get("/wait").await;
    idle.get("/").await;
    idle.read_until("hello").await;
    server.gate.arrivals(2).await;
    server.soft.cancel();
    assert_eq!(idle.read_to_close().await, b"");
    server.gate.open.notify_one();
    let answer = String::from_utf8(busy.read_to_close().await).unwrap();
    assert!(answer.contains("connection: close") && answer.ends_with("waited"), "{answer}");
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn a_request_that_an_idle_client_sends_during_a_soft_stop_is_answered() {
    let server = TestServer::start(Limits { drain_linger: TEST_TIMEOUT, ..generous_limits() });
    let mut client = server.connect().await;
    client.get("/").await;
    client.read_until("hello").await;
    server.soft.cancel();
    while TcpStream::connect(server.address).await.is_ok() {}
    client.get("/").await;
    let answer = String::from_utf8(client.read_to_close().await).unwrap();
    assert!(answer.contains("connection: close") && answer.ends_with("hello"), "{answer}");
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn a_hard_stop_cuts_what_is_left() {
    let server = TestServer::start(generous_limits());
    let mut client = server.connect().await;
    client.get("/wait").await;
    server.gate.arrivals(1).await;
    server.soft.cancel();
    server.hard.cancel();
    assert_eq!(server.drained().await, Drained { cut: 1 });
    assert_eq!(client.read_to_close().await, b"");
}

#[tokio::test]
async fn a_client_over_the_connection_limit_waits_for_its_turn() {
    let server = TestServer::start(Limits { max_connections: 1, ..generous_limits() });
    let mut first = server.connect().await;
    first.get("/wait").await;
    server.gate.arrivals(1).await;
    let mut second = server.connect().await;
    second.get("/").await;
    assert_eq!(server.gate.made.load(Ordering::Relaxed), 1);
    server.gate.open.notify_one();
    first.read_until("waited").await;
    assert_eq!(*server.gate.arrived.borrow(), 1, "the second client was served beside the first");
    drop(first);
    second.read_until("hello").await;
}

#[tokio::test]
async fn a_client_that_closes_its_half_ends_its_request() {
    let server = TestServer::start(generous_limits());
    let mut client = server.connect().await;
    client.get("/wait").await;
    server.gate.arrivals(1).await;
    client.0.shutdown().await.unwrap();
    assert_eq!(client.read_to_close().await, b"");
    server.soft.cancel();
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn nothing_is_accepted_after_a_soft_stop() {
    let server = TestServer::start(generous_limits());
    server.soft.cancel();
    let address = server.address;
    server.drained().await;
    assert!(TcpStream::connect(address).await.is_err());
    assert!(bind(address).is_ok(), "the address is free again");
}

/// An accept that fails a few times before each connection.
struct Failing {
    listener: TcpListener,
    failures: AtomicUsize,
}

impl Accept for Failing {
    async fn accept(&self) -> io::Result<(TcpStream, SocketAddr)> {
        const EMFILE: i32 = 24;
        match self.failures.fetch_add(1, Ordering::Relaxed) % 4 {
            0 => Err(io::ErrorKind::ConnectionAborted.into()),
            1 => Err(io::Error::from_raw_os_error(EMFILE)),
            _ => self.listener.accept().await,
        }
    }
}

#[tokio::test]
async fn failing_accepts_do_not_end_the_listener() {
    let server = TestServer::start_on(
        |listener| Failing { listener, failures: AtomicUsize::new(0) },
        generous_limits(),
    );
    for _ in 0..4 {
        let mut client = server.connect().await;
        client.get("/").await;
        client.read_until("hello").await;
    }
}
