//! One HTTP/1.1 connection whose every request is accounted for: answered, never sent, or lost.
//!
//! The usual clients repeat what a closed connection swallowed. Here that is exactly what must show.

use std::net::SocketAddr;

use bytes::Bytes;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

/// An open connection.
pub struct Connection {
    sender: SendRequest<Full<Bytes>>,
    task: JoinHandle<()>,
    authority: HeaderValue,
}

/// What became of a request.
#[derive(Debug)]
pub enum Outcome {
    /// A whole answer came.
    Answered(Answered),
    /// The connection had been closed before anything of the request was sent.
    NotSent,
    /// Something of the request may have been sent, and no whole answer came.
    Lost(String),
}

/// A whole answer.
#[derive(Debug)]
pub struct Answered {
    /// The status.
    pub status: StatusCode,
    /// The body as JSON; null if it is none.
    pub body: Value,
    /// The server says that it closes the connection after this.
    pub closing: bool,
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> std::io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(std::io::Error::other)?;
        // How it ends shows in the request that is under way then.
        let task = tokio::spawn(async move { drop(connection.await) });
        let authority = HeaderValue::try_from(address.to_string()).expect("an address is printable");
        Ok(Self { sender, task, authority })
    }

    /// Sends a request, whose target may be a whole URL, and reads its answer.
    pub async fn exchange(&mut self, mut request: Request<Full<Bytes>>) -> Outcome {
        let target = request.uri().path_and_query().expect("a request has a path").clone();
        *request.uri_mut() = Uri::from(target);
        request.headers_mut().insert(header::HOST, self.authority.clone());
        if self.sender.ready().await.is_err() {
            return Outcome::NotSent;
        }
        let answer = match self.sender.try_send_request(request).await {
            Ok(answer) => answer,
            Err(mut error) => {
                let unsent = error.take_message().is_some();
                return if unsent { Outcome::NotSent } else { Outcome::Lost(error.into_error().to_string()) };
            }
        };
        let closing = answer.headers().get(header::CONNECTION).is_some_and(|value| value == "close");
        let status = answer.status();
        match answer.into_body().collect().await {
            Ok(body) => {
                let body = serde_json::from_slice(&body.to_bytes()).unwrap_or_default();
                Outcome::Answered(Answered { status, body, closing })
            }
            Err(error) => Outcome::Lost(error.to_string()),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}
