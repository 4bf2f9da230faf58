//! One bounded GET of a pod's admin port.

use std::net::SocketAddr;
use std::time::Duration;

use http::header::HOST;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Empty, Limited};
use hyper::body::Bytes;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

/// Connecting, asking and reading together.
const TIMEOUT: Duration = Duration::from_secs(3);
/// A pod is not trusted to answer briefly.
const BODY_LIMIT: usize = 256 * 1024;

/// Why a pod did not answer. The text of a cause is always the same, so that a status does not flap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProbeError {
    /// Nothing listens, or a network policy is in between.
    #[error("the pod's admin port cannot be reached from the operator")]
    Unreachable,
    /// Not in time.
    #[error("the pod's admin port did not answer within {} s", TIMEOUT.as_secs())]
    TimedOut,
    /// Not what was expected.
    #[error("the pod's admin port gave an answer that cannot be read")]
    Malformed,
}

/// What `path` on the admin port answers: its status and its body.
///
/// # Errors
/// [`ProbeError`]
pub async fn get(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), ProbeError> {
    tokio::time::timeout(TIMEOUT, ask(address, path)).await.unwrap_or(Err(ProbeError::TimedOut))
}

async fn ask(address: SocketAddr, path: &str) -> Result<(StatusCode, Bytes), ProbeError> {
    let stream = TcpStream::connect(address).await.map_err(|_| ProbeError::Unreachable)?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .map_err(|_| ProbeError::Unreachable)?;
    let request = Request::get(path)
        .header(HOST, address.to_string())
        .body(Empty::<Bytes>::new())
        .map_err(|_| ProbeError::Malformed)?;
    let exchange = async {
        let response = sender.send_request(request).await.map_err(|_| ProbeError::Unreachable)?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BODY_LIMIT);
        let bytes = body.collect().await.map_err(|_| ProbeError::Malformed)?.to_bytes();
        Ok((status, bytes))
    };
    // Driven beside the exchange and dropped with it: no task is left behind. The exchange notices its
    // end, and may still have something to read.
    let driven = async {
        let _ended = connection.await;
        std::future::pending::<()>().await;
    };
    tokio::select! {
        result = exchange => result,
        () = driven => Err(ProbeError::Unreachable),
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    /// Answers one connection with these bytes, and then keeps it open.
    async fn pod(answer: Vec<u8>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&answer).await;
            std::future::pending::<()>().await;
        });
        address
    }

    #[tokio::test]
    async fn a_pod_s_answer_is_read() {
        let address = pod(b"HTTP/1.1 503 Down\r\ncontent-length: 2\r\n\r\n{}".to_vec()).await;
        let (status, body) = get(address, "/health").await.unwrap();
        assert_eq!((status, &body[..]), (StatusCode::SERVICE_UNAVAILABLE, &b"{}"[..]));
    }

    #[tokio::test]
    async fn a_pod_that_answers_without_end_is_cut_off() {
        let length = BODY_LIMIT + 1;
        let mut answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").into_bytes();
        answer.resize(answer.len() + length, b'x');
        assert_eq!(get(pod(answer).await, "/health").await, Err(ProbeError::Malformed));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pod_that_says_nothing_is_given_up() {
        assert_eq!(get(pod(Vec::new()).await, "/health").await, Err(ProbeError::TimedOut));
    }

    #[tokio::test]
    async fn a_pod_that_is_not_there_is_unreachable() {
        let nobody = TcpSocket::new_v4().unwrap();
        nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = nobody.local_addr().unwrap();
        assert_eq!(get(address, "/health").await, Err(ProbeError::Unreachable));
    }
}
