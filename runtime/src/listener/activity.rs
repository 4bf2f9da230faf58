use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};

/// What has happened on a connection so far. Written by its own tasks, read by its watch.
#[derive(Debug, Default)]
pub(super) struct Activity {
    /// Requests whose head has been read.
    pub(super) started: AtomicU64,
    /// Requests that the service is working on.
    pub(super) handling: AtomicU32,
    /// The connection speaks HTTP/2.
    pub(super) h2: AtomicBool,
    /// The client has had its time to answer the ping of a graceful shutdown: it counts as answered.
    pub(super) answer_ping: AtomicBool,
    /// Answers are to say that the connection closes.
    pub(super) closing: AtomicBool,
    /// What `read` was when the last request had been handled: more is the next one's.
    pub(super) settled: AtomicU64,
    /// Bytes read from the socket.
    pub(super) read: AtomicU64,
    /// Bytes written to the socket.
    pub(super) written: AtomicU64,
    /// The last write found the socket's buffer full.
    pub(super) blocked: AtomicBool,
}
