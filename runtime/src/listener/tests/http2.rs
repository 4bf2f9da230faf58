//! Frames written by hand: a preface, settings, and requests that the static table can spell.

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00";

fn get(path: &str, stream: u8) -> Vec<u8> {
    // :method GET, :scheme http, :authority t, :path as a literal.
    let mut block = vec![0x82, 0x86, 0x41, 1, b't', 0x44, u8::try_from(path.len()).unwrap()];
    block.extend_from_slice(path.as_bytes());
    let mut frame = vec![0, 0, u8::try_from(block.len()).unwrap(), 1, 0x5, 0, 0, 0, stream];
    frame.extend_from_slice(&block);
    frame
}

/// Reads frames until one of type `kind` comes; gives its payload.
async fn frame(client: &mut Client, kind: u8) -> Vec<u8> {
    let read = async {
        loop {
            let mut head = [0; 9];
            client.0.read_exact(&mut head).await.unwrap();
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
            let mut payload = vec![0; length];
            client.0.read_exact(&mut payload).await.unwrap();
            if head[3] == kind {
                return payload;
            }
        }
    };
    tokio::time::timeout(TEST_TIMEOUT, read).await.expect("a frame must come")
}

const DATA: u8 = 0;
const SETTINGS: u8 = 4;
const GOAWAY: u8 = 7;
const END_STREAM: u8 = 1;

async fn client(server: &TestServer) -> Client {
    let mut client = server.connect().await;
    client.0.write_all(PREFACE).await.unwrap();
    client
}

#[tokio::test]
async fn is_served_by_prior_knowledge_and_drained() {
    let server = TestServer::start(generous_limits());
    let mut client = client(&server).await;
    client.0.write_all(&get("/", 1)).await.unwrap();
    assert_eq!(frame(&mut client, DATA).await, b"hello");
    client.0.write_all(&get("/wait", 3)).await.unwrap();
    server.gate.arrivals(2).await;
    server.soft.cancel();
    frame(&mut client, GOAWAY).await;
    server.gate.open.notify_one();
    assert_eq!(frame(&mut client, DATA).await, b"waited");
    // The ping is not answered, and the client stays: the listener ends nevertheless.
    assert_eq!(server.drained().await, Drained { cut: 0 });
    assert_eq!(frame(&mut client, GOAWAY).await[..4], [0, 0, 0, 3], "the last request that was answered");
    assert_eq!(client.read_to_close().await, b"");
}

#[tokio::test]
async fn an_idle_client_that_answers_no_ping_does_not_hold_up_the_end() {
    for requests in [0, 1, 2] {
        let server = TestServer::start(generous_limits());
        let mut client = client(&server).await;
        frame(&mut client, SETTINGS).await;
        for request in 0..requests {
            client.0.write_all(&get("/", 2 * request + 1)).await.unwrap();
            assert_eq!(frame(&mut client, DATA).await, b"hello");
        }
        server.soft.cancel();
        assert_eq!(server.drained().await, Drained { cut: 0 }, "{requests} requests");
        client.read_to_close().await;
    }
}

#[tokio::test]
async fn a_request_of_half_a_body_holds_up_the_end_until_it_is_whole() {
    let server = TestServer::start(generous_limits());
    let mut client = client(&server).await;
    let mut head = get("/wait", 1);
    head[4] &= !END_STREAM;
    client.0.write_all(&head).await.unwrap();
    // Half a frame: the answer to the ping must not be put into it.
    client.0.write_all(&[0, 0, 4, DATA, END_STREAM, 0, 0, 0, 1, b'a', b'b']).await.unwrap();
    server.gate.arrivals(1).await;
    server.soft.cancel();
    frame(&mut client, GOAWAY).await;
    tokio::time::sleep(generous_limits().drain_linger * 2).await;
    client.0.write_all(b"cd").await.unwrap();
    server.gate.open.notify_one();
    assert_eq!(frame(&mut client, DATA).await, b"waited");
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = TestServer::start(Limits { idle_timeout: Duration::from_millis(100), ..quick() });
    let mut client = client(&server).await;
    client.0.write_all(&get("/", 1)).await.unwrap();
    assert_eq!(frame(&mut client, DATA).await, b"hello");
    frame(&mut client, GOAWAY).await;
    assert_eq!(frame(&mut client, GOAWAY).await[..4], [0, 0, 0, 1], "closed by the protocol, not cut off");
}

#[tokio::test]
async fn streams_end_with_a_hard_stop() {
    let server = TestServer::start(generous_limits());
    let mut client = client(&server).await;
    client.0.write_all(&get("/wait", 1)).await.unwrap();
    server.gate.arrivals(1).await;
    server.hard.cancel();
    assert_eq!(server.drained().await, Drained { cut: 1 });
}

#[tokio::test]
async fn a_client_that_grants_no_window_is_ended() {
    let server = TestServer::start(Limits { idle_timeout: Duration::from_millis(100), ..quick() });
    let mut client = client(&server).await;
    client.0.write_all(&get("/large", 1)).await.unwrap();
    client.read_to_close().await;
    server.soft.cancel();
    assert_eq!(server.drained().await, Drained { cut: 0 });
}

#[tokio::test]
async fn a_preface_without_a_request_is_ended() {
    let server = TestServer::start(quick());
    client(&server).await.read_to_close().await;
}
