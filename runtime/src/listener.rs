//! The accept loop: a bounded number of connections, a graceful stop, then a hard one.

mod activity;
mod body;
mod connection;
mod frames;
mod limits;
mod socket;
#[cfg(test)]
mod tests;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::service::Service;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

pub use body::{BodyError, read_body};
pub use connection::BoxError;
use connection::Shared;
pub use limits::Limits;

/// Connections that the kernel keeps for us between its handshake and our accept.
const BACKLOG: u32 = 4096;
/// After a soft stop, for how long connections that the kernel has already accepted are still taken: closing the
/// listening socket would reset them.
const ACCEPT_TAIL: Duration = Duration::from_millis(50);
/// First and longest pause after an accept that failed for lack of file descriptors or memory.
const PAUSE: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(1));

/// How [`serve`] ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Drained {
    /// Connections that the hard stop cut, requests of theirs being under way.
    pub cut: usize,
}

/// Listens on `address`: SO_REUSEADDR, so that a restart does not wait for old connections, and a long queue.
///
/// # Errors
/// The operating system's: the address is in use, is not ours, or may not be had.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves HTTP/1.1, and HTTP/2 by prior knowledge, until `soft` is cancelled and the last connection has ended.
///
/// `make` gives the service of one connection, from the address of its peer. After `soft` nothing new is accepted,
/// requests under way are answered and idle connections closed; `hard` cuts what is left.
pub async fn serve<M, S, B>(
    listener: TcpListener,
    limits: Limits,
    soft: CancellationToken,
    hard: CancellationToken,
    make: M,
) -> Drained
where
    M: Fn(SocketAddr) -> S + Send,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    run(listener, limits, soft, hard, make).await
}

/// Where connections come from; tests have one that fails.
trait Accept {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send;
}

impl Accept for TcpListener {
    fn accept(&self) -> impl Future<Output = io::Result<(TcpStream, SocketAddr)>> + Send {
        Self::accept(self)
    }
}

async fn run<A, M, S, B>(
    listener: A,
    limits: Limits,
    soft: CancellationToken,
    hard: CancellationToken,
    make: M,
) -> Drained
where
    A: Accept,
    M: Fn(SocketAddr) -> S + Send,
    S: Service<Request<Incoming>, Response = Response<B>> + Send + 'static,
    S::Future: Send + 'static,
    S::Error: Into<BoxError>,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let shared = Arc::new(Shared::new(limits));
    let mut connections = JoinSet::new();
    let mut pause = PAUSE.0;
    let spawn = |connections: &mut JoinSet<()>, stream: TcpStream, peer: SocketAddr| {
        // A child token of its own: waiting on it takes no lock that other connections take.
        connections.spawn(connection::serve(stream, make(peer), Arc::clone(&shared), soft.child_token()));
    };

    loop {
        tokio::select! {
            biased;
            () = soft.cancelled() => break,
            () = hard.cancelled() => break,
            Some(_ended) = connections.join_next(), if !connections.is_empty() => {}
            accepted = listener.accept(), if connections.len() < shared.limits.max_connections => match accepted {
                Ok((stream, peer)) => {
                    pause = PAUSE.0;
                    spawn(&mut connections, stream, peer);
                }
                Err(error) if is_of_one_connection(&error) => {}
                Err(error) => {
                    if pause == PAUSE.0 {
                        tracing::warn!(%error, "no connection can be accepted; if too many files are open, raise their limit. Retrying");
                    }
                    soft.run_until_cancelled(tokio::time::sleep(pause)).await;
                    pause = (pause * 2).min(PAUSE.1);
                }
            },
        }
    }

    let tail = async {
        while connections.len() < shared.limits.max_connections
            && let Ok((stream, peer)) = listener.accept().await
        {
            spawn(&mut connections, stream, peer);
        }
    };
    // Over or not, what the kernel had at the time of the stop has been taken.
    let _elapsed = tokio::time::timeout(ACCEPT_TAIL, tail).await;
    drop(listener);

    let mut cut = 0;
    while !connections.is_empty() {
        tokio::select! {
            biased;
            Some(_ended) = connections.join_next() => {}
            () = hard.cancelled() => {
                cut = connections.len();
                connections.shutdown().await;
            }
        }
    }
    // What HTTP/2 streams had running ends with their connection, at its next await.
    shared.streams.close();
    shared.streams.wait().await;
    Drained { cut }
}

/// The peer went away between handshake and accept: nothing is wrong with the listener.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
