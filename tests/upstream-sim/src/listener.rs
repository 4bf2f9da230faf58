//! One TCP listener: accepts, serves HTTP/1.1, and drops everything when told to stop.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use http_body_util::combinators::UnsyncBoxBody;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// A body that may break off.
pub(crate) type Body = UnsyncBoxBody<Bytes, Broken>;

/// The connection is to be closed as if the platform had died.
#[derive(Debug, thiserror::Error)]
#[error("the simulator was told to break this connection")]
pub(crate) struct Broken;

impl From<Infallible> for Broken {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// A body of these bytes.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    http_body_util::Full::new(bytes.into()).map_err(Broken::from).boxed_unsync()
}

/// An idle or slow client is dropped after this.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);

/// Serves until `stop`; then open connections are dropped at once, since nobody's data depends on them.
pub(crate) async fn serve<H, F>(listener: TcpListener, stop: CancellationToken, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<Response<Body>, Broken>> + Send + 'static,
{
    let handler = Arc::new(handler);
    let mut connections = JoinSet::new();
    loop {
        let stream = tokio::select! {
            () = stop.cancelled() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => stream,
                Err(error) => {
                    // Out of descriptors, most likely: connections must end before another can be had.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::select! {
                        () = stop.cancelled() => break,
                        _ = connections.join_next(), if !connections.is_empty() => {}
                        () = tokio::time::sleep(Duration::from_millis(50)) => {}
                    }
                    continue;
                }
            },
            _ = connections.join_next(), if !connections.is_empty() => continue,
        };
        let handler = Arc::clone(&handler);
        connections.spawn(async move {
            let service = service_fn(move |request| handler(request));
            let served = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEADER_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .await;
            if let Err(error) = served {
                tracing::debug!(%error, "connection ended early");
            }
        });
    }
    connections.shutdown().await;
}
