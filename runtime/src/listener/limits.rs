use std::time::Duration;

/// Limits of the listener. The time for a whole request is the service's business.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Connections served at once; the next one waits in the kernel's queue.
    pub max_connections: usize,
    /// Bytes of a request head (request line and header fields). The number of fields is limited to 100.
    pub max_header_bytes: u32,
    /// Time for a request head. Looked at once per such interval, so a slow head ends after at most twice this.
    pub header_read_timeout: Duration,
    /// A connection without a request for this long is closed, when it is looked at next.
    pub idle_timeout: Duration,
    /// A response of which the client takes next to nothing for this long ends its connection.
    pub write_stall_timeout: Duration,
    /// On a soft stop: how long an idle HTTP/1 connection may still send the request that it has under way, and
    /// how long an HTTP/2 client has to answer the ping that asks for it.
    pub drain_linger: Duration,
    /// Requests at once on one HTTP/2 connection.
    pub max_h2_streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 10_000,
            max_header_bytes: 32 * 1024,
            header_read_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(90),
            write_stall_timeout: Duration::from_secs(30),
            drain_linger: Duration::from_millis(500),
            max_h2_streams: 128,
        }
    }
}
