//! HTTP/1.1 over plain sockets, the same for every server measured; it shares their cores. In the closed loop each
//! connection sends a request made before, waits for its answer, and sends the next one. In the open loop requests
//! are due at their times whatever the server does, and what one waits for a connection is part of its time.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Failure;
use crate::outcome::{Done, Outcome};

/// What to send, and when to stop.
pub struct Load {
    /// Requests as bytes; the connections take them in turn.
    pub requests: Vec<Bytes>,
    /// Whether to start again after the last one, or to end there.
    pub again: bool,
    /// When to stop at the latest.
    pub limit: Duration,
    /// Requests a second in an open loop; `None` for a closed one.
    pub rate: Option<f64>,
    /// What every answer's body has to end with; empty if its status says enough.
    pub ending: String,
}

impl Load {
    /// A closed loop, at the latest until all requests are sent.
    pub fn once(requests: Vec<Bytes>, limit: Duration) -> Self {
        Self { requests, again: false, limit, rate: None, ending: String::new() }
    }

    /// A closed loop of one request, for so long.
    pub fn again(request: Bytes, limit: Duration) -> Self {
        Self { requests: vec![request], again: true, limit, rate: None, ending: String::new() }
    }
}

/// Runs a load over so many connections, on one thread.
pub fn run(address: SocketAddr, connections: usize, load: Load) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let grace = Duration::from_secs(30);
    let deadline = load.limit + grace;
    runtime.block_on(async {
        tokio::time::timeout(deadline, run_here(address, connections, Arc::new(load)))
            .await
            .map_err(|_| Failure::from(format!("{address} did not answer for {grace:?}")))?
    })
}

async fn run_here(address: SocketAddr, connections: usize, load: Arc<Load>) -> Result<Outcome, Failure> {
    let next = Arc::new(AtomicUsize::new(0));
    let mut streams = Vec::with_capacity(connections);
    for _ in 0..connections {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let started = Instant::now();
    let until = started + load.limit;
    let tasks: Vec<_> = streams
        .into_iter()
        .map(|stream| tokio::spawn(connection(stream, load.clone(), next.clone(), started, until)))
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.append(&mut task.await??);
    }
    Ok(Outcome::of(started.elapsed(), times))
}

async fn connection(
    mut stream: TcpStream,
    load: Arc<Load>,
    next: Arc<AtomicUsize>,
    started: Instant,
    until: Instant,
) -> Result<Vec<Done>, Failure> {
    let mut times = Vec::with_capacity(1 << 16);
    let mut answer = Vec::with_capacity(4096);
    let mut sent = Instant::now();
    while sent < until {
        let index = next.fetch_add(1, Ordering::Relaxed);
        if let Some(rate) = load.rate {
            #[expect(clippy::cast_precision_loss, reason = "counts of requests are far below 2^52")]
            let due = started + Duration::from_secs_f64(index as f64 / rate);
            tokio::time::sleep_until(due.into()).await;
            sent = due;
        }
        let index = if load.again { index % load.requests.len() } else { index };
        let Some(request) = load.requests.get(index) else { break };
        stream.write_all(request).await?;
        read_answer(&mut stream, &mut answer, load.ending.as_bytes()).await?;
        let at = Instant::now();
        times.push(Done { took: u64::try_from((at - sent).as_nanos())?, at });
        sent = at;
    }
    Ok(times)
}

/// Reads one answer with a Content-Length, which must be a 2xx and end like this.
pub async fn read_answer(stream: &mut TcpStream, answer: &mut Vec<u8>, ending: &[u8]) -> Result<(), Failure> {
    answer.clear();
    let mut whole = None;
    loop {
        if stream.read_buf(answer).await? == 0 {
            return Err("the server closed a connection".into());
        }
        if whole.is_none() {
            whole = whole_length(answer);
        }
        if whole.is_some_and(|whole| answer.len() >= whole) {
            break;
        }
    }
    check(answer, ending)
}

/// Whether an answer is a 2xx whose body ends like this.
fn check(answer: &[u8], ending: &[u8]) -> Result<(), Failure> {
    if answer.get(9) != Some(&b'2') {
        return Err(format!("a request was refused: {}", String::from_utf8_lossy(answer)).into());
    }
    if !answer.ends_with(ending) {
        let tail = &answer[answer.len().saturating_sub(300)..];
        let (wanted, tail) = (String::from_utf8_lossy(ending), String::from_utf8_lossy(tail));
        return Err(format!("an answer does not end with {wanted} but with {tail}").into());
    }
    Ok(())
}

/// How long an answer is, head and body, once its head is complete.
pub fn whole_length(answer: &[u8]) -> Option<usize> {
    const FIELD: &[u8] = b"content-length: ";
    let head = answer.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let at = answer[..head].windows(FIELD.len()).position(|name| name == FIELD)? + FIELD.len();
    let digits = answer[at..].iter().take_while(|byte| byte.is_ascii_digit());
    Some(head + digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_as_long_as_its_head_and_body() {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: x\r\ncontent-length: 12\r\n\r\n";
        assert_eq!(whole_length(head.as_bytes()), Some(head.len() + 12));
        assert_eq!(whole_length(&head.as_bytes()[..head.len() - 1]), None);
    }

    #[test]
    fn an_answer_must_be_a_2xx_and_end_as_it_should() {
        let answer = |status| format!("HTTP/1.1 {status} x\r\n\r\n{{\"rejected\":1}}");
        assert!(check(answer(200).as_bytes(), b"").is_ok());
        assert!(check(answer(200).as_bytes(), b"\"rejected\":1}").is_ok());
        assert!(check(answer(200).as_bytes(), b"\"rejected\":0}").is_err());
        assert!(check(answer(503).as_bytes(), b"").is_err());
    }
}
