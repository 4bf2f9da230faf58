//! SIGTERM: every accepted request gets its answer, and the process ends in time.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use http_body_util::BodyExt as _;
use sageapi_process_tests::connection::{Connection, Outcome};
use sageapi_process_tests::installation::MadeKey;
use sageapi_process_tests::{Installation, waiting};
use sageapi_test_support::client::Client;
use sageapi_test_support::database::{Kind, kinds};
use sageapi_test_support::server::{ServerBuilder, ServerProcess};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Much less than the grace of 35 s: nothing has to be waited for.
const PROMPTLY: Duration = Duration::from_secs(10);
const CUSTOMER: &str = "org_shutdown";

async fn installed(kind: Kind) -> (Installation, MadeKey) {
    let installation = Installation::new(kind).await;
    let key = installation.seed(&[CUSTOMER.to_owned()], "1000000").await;
    (installation, key)
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_every_accepted_request_is_answered_and_the_exit_code_is_0() {
    for kind in kinds() {
        let (installation, key) = installed(kind).await;
        let mut server = installation.server().start().await;
        let load = Arc::new(Load {
            stopping: AtomicBool::new(false),
            read: AtomicU64::new(0),
            booked: AtomicU64::new(0),
        });
        let clients: Vec<_> = (0..20)
            .map(|number| {
                let client = key.client(&server.http());
                tokio::spawn(work(Arc::clone(&load), client, server.http_address(), number))
            })
            .collect();
        let busy = || async { (load.booked.load(Ordering::Relaxed) > 200).then_some(()) };
        waiting::until("the server answers", Duration::from_secs(60), busy).await;
        load.stopping.store(true, Ordering::SeqCst);
        server.sigterm();
        let status = server.process().wait(PROMPTLY).await;
        assert_eq!(status.code(), Some(0), "{:?}", server.stderr());
        for client in clients {
            client.await.unwrap();
        }
        let booked = load.booked.load(Ordering::Relaxed);
        // The one record that no client booked is the customer's credit.
        assert_eq!(
            installation.verify().await,
            booked + 1,
            "everything acknowledged is there, and nothing else"
        );
        println!(
            "shutdown: {kind}: {booked} bookings and {} reads answered, none lost",
            load.read.load(Ordering::Relaxed)
        );
    }
}

struct Load {
    /// Set just before the signal is sent.
    stopping: AtomicBool,
    read: AtomicU64,
    booked: AtomicU64,
}

/// Three of four clients book or read on one connection for as long as it lasts, as those behind a load
/// balancer do; the fourth takes a new connection for each request.
async fn work(load: Arc<Load>, client: Client, address: SocketAddr, number: usize) {
    let mut connection: Option<Connection> = None;
    for count in 0.. {
        let before_the_signal = !load.stopping.load(Ordering::SeqCst);
        let fresh = connection.is_none();
        let mut open = match connection.take() {
            Some(open) => open,
            None => match Connection::open(address).await {
                Ok(open) => open,
                Err(error) => {
                    assert!(load.stopping.load(Ordering::SeqCst), "refused before the signal: {error}");
                    return;
                }
            },
        };
        let books = count % 4 != 3;
        let request = if books {
            let charge = json!({
                "transno": format!("c{number}-{count}"), "customer_id": CUSTOMER, "kind": "charge", "amount": "0.01",
            });
            client.call(Method::POST, "/accounting").json(&charge).build()
        } else {
            client.call(Method::GET, &format!("/balance?customer_id={CUSTOMER}")).build()
        };
        match open.exchange(request).await {
            Outcome::Answered(answer) => {
                assert!(answer.status.is_success(), "{answer:?}");
                if books { &load.booked } else { &load.read }.fetch_add(1, Ordering::Relaxed);
                if !answer.closing && !number.is_multiple_of(4) {
                    connection = Some(open);
                }
            }
            // Nothing was sent: no answer is owed. The next attempt shows whether it is over.
            Outcome::NotSent if !fresh => {}
            // A connection begun after the signal may have come when nobody accepted any more.
            Outcome::NotSent | Outcome::Lost(_) if fresh && !before_the_signal => return,
            outcome => panic!("client {number}, request {count}: {outcome:?}"),
        }
    }
}

/// A request whose head was accepted and whose body is still to come: it keeps a draining server waiting.
struct HalfSent {
    stream: TcpStream,
    rest: Vec<u8>,
}

impl HalfSent {
    async fn send(server: &ServerProcess, key: &MadeKey) -> Self {
        let charge = json!({"transno": "half", "customer_id": CUSTOMER, "kind": "charge", "amount": "0.5"});
        let request = key.client(&server.http()).call(Method::POST, "/accounting").json(&charge).build();
        let (parts, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut head = format!("POST {} HTTP/1.1\r\nhost: {}\r\n", parts.uri.path(), server.http_address());
        for (name, value) in &parts.headers {
            head += &format!("{name}: {}\r\n", value.to_str().unwrap());
        }
        head += &format!("content-length: {}\r\n\r\n", body.len());
        let mut stream = TcpStream::connect(server.http_address()).await.unwrap();
        let (first, rest) = body.split_at(body.len() / 2);
        stream.write_all(&[head.as_bytes(), first].concat()).await.unwrap();
        let half = Self { stream, rest: rest.to_vec() };
        let admin = format!("{}/metrics", server.admin());
        let probe = Client::new("", "", "");
        let accepted = || async { probe.fetch(&admin).await.text().contains("in_flight 1").then_some(()) };
        waiting::until("the request is under way", PROMPTLY, accepted).await;
        half
    }

    /// Sends the rest; the whole answer.
    async fn finish(mut self) -> String {
        self.stream.write_all(&self.rest).await.unwrap();
        let mut answer = String::new();
        self.stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn while_it_drains_it_is_alive_and_not_ready_and_finishes_what_was_begun() {
    for kind in kinds() {
        let (installation, key) = installed(kind).await;
        let mut server = installation.server().start().await;
        let probe = Client::new("", "", "");
        let half = HalfSent::send(&server, &key).await;
        let ready = format!("{}/readyz", server.admin());
        assert_eq!(probe.fetch(&ready).await.status, 200);
        server.sigterm();
        let drains = || async { (probe.fetch(&ready).await.status == 503).then_some(()) };
        waiting::until("readyz fails", PROMPTLY, drains).await;
        assert_eq!(probe.fetch(&format!("{}/livez", server.admin())).await.status, 200);
        assert_eq!(probe.fetch(&format!("{}/metrics", server.admin())).await.status, 200);
        let refused = || async { TcpStream::connect(server.http_address()).await.err() };
        waiting::until("new connections are refused", PROMPTLY, refused).await;
        assert!(server.process().ended().is_none(), "a request is still under way");
        let answer = half.finish().await;
        assert!(answer.starts_with("HTTP/1.1 201 ") && answer.contains("connection: close"), "{answer}");
        assert_eq!(server.process().wait(PROMPTLY).await.code(), Some(0), "{:?}", server.stderr());
        assert_eq!(installation.verify().await, 2);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once_with_70() {
    let (installation, key) = installed(kinds()[0]).await;
    let mut server = installation.server().start().await;
    let half = HalfSent::send(&server, &key).await;
    server.sigterm();
    let first = server
        .process()
        .wait_stderr("the first signal", |line| line.contains("work in progress is finished").then_some(()))
        .await;
    assert_eq!(first, ());
    server.sigterm();
    assert_eq!(server.process().wait(PROMPTLY).await.code(), Some(70), "{:?}", server.stderr());
    drop(half);
    assert_eq!(installation.verify().await, 1, "what was cut is not booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_end_of_the_grace_ends_it_with_70() {
    let (installation, key) = installed(kinds()[0]).await;
    let mut server = installation.server().env("SAGEAPI_SERVER_SHUTDOWN_GRACE", "500ms").start().await;
    let half = HalfSent::send(&server, &key).await;
    server.sigterm();
    assert_eq!(server.process().wait(PROMPTLY).await.code(), Some(70), "{:?}", server.stderr());
    drop(half);
    assert_eq!(installation.verify().await, 1, "what was cut is not booked");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_server_ends_promptly_on_either_signal() {
    for kind in kinds() {
        let (installation, _) = installed(kind).await;
        for signal in ["TERM", "INT"] {
            let mut server = installation.server().start().await;
            // One that has asked something and may ask again, and one that never asked.
            let idle = Client::new("", "", "");
            assert_eq!(idle.fetch(&format!("{}/api/v1/health", server.http())).await.status, 200);
            let silent = TcpStream::connect(server.http_address()).await.unwrap();
            let deaf = idle_http2(server.http_address()).await;
            server.process().signal(signal);
            assert_eq!(
                server.process().wait(PROMPTLY).await.code(),
                Some(0),
                "{signal}: {:?}",
                server.stderr()
            );
            drop((silent, deaf));
        }
    }
}

/// A connection of HTTP/2 with one answered request, whose client will not answer a ping.
async fn idle_http2(address: SocketAddr) -> TcpStream {
    let path = b"/api/v1/health";
    // :method GET, :scheme http, :authority t, :path as a literal.
    let block = [&[0x82, 0x86, 0x41, 1, b't', 0x44, 14][..], path].concat();
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    let head = [0, 0, u8::try_from(block.len()).unwrap(), 1, 5, 0, 0, 0, 1];
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&[&preface[..], &head, &block].concat()).await.unwrap();
    let answered = async {
        loop {
            let mut head = [0; 9];
            stream.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
            stream.read_exact(&mut payload).await.unwrap();
            let (is_data, ends) = (head[3] == 0, head[4] & 1 == 1);
            if is_data && ends {
                return;
            }
        }
    };
    tokio::time::timeout(PROMPTLY, answered).await.expect("the answer must come");
    stream
}

#[tokio::test(flavor = "multi_thread")]
async fn sighup_is_told_of_and_ends_nothing() {
    let (installation, key) = installed(kinds()[0]).await;
    let mut server = installation.server().start().await;
    let half = HalfSent::send(&server, &key).await;
    for _ in 0..2 {
        server.process().signal("HUP");
    }
    let told = |line: &str| line.contains("SIGHUP is ignored").then_some(());
    server.process().wait_stderr("that SIGHUP is ignored", told).await;
    assert_eq!(Client::new("", "", "").fetch(&format!("{}/readyz", server.admin())).await.status, 200);
    server.sigterm();
    assert!(half.finish().await.starts_with("HTTP/1.1 201 "), "what was begun is finished");
    assert_eq!(server.process().wait(PROMPTLY).await.code(), Some(0), "{:?}", server.stderr());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_still_waits_for_its_schema_ends_promptly_too() {
    if !kinds().contains(&Kind::MySql) {
        return;
    }
    let database = sageapi_test_support::database::TestDatabase::fresh(Kind::MySql).await;
    let builder: ServerBuilder = ServerProcess::builder(&database.url());
    let mut server = builder.without_waiting().start().await;
    let ready = Client::new("", "", "").fetch(&format!("{}/readyz", server.admin())).await;
    assert_eq!(ready.status, 503, "{ready}");
    server.sigterm();
    assert_eq!(server.process().wait(PROMPTLY).await.code(), Some(0), "{:?}", server.stderr());
}
