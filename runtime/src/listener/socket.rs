//! A socket that notes what moves through it, and that closes without cutting off its last answer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Sleep;

use super::activity::Activity;
use super::frames::{Frames, SHUTDOWN_PONG};

/// What a client may still send after our last answer, in bytes and in time, before it is cut off.
const LAST_WORDS: (usize, Duration) = (4 * 1024 * 1024, Duration::from_secs(1));

pub(super) struct WatchedSocket {
    stream: TcpStream,
    activity: Arc<Activity>,
    frames: Frames,
    closing: Closing,
}

enum Closing {
    No,
    /// Our side is closed.
    Half,
    /// Our side is closed and what the client still sends is thrown away, up to this many bytes.
    Discarding {
        left: usize,
        until: Pin<Box<Sleep>>,
    },
}

impl WatchedSocket {
    pub(super) fn new(stream: TcpStream, activity: Arc<Activity>) -> Self {
        Self { stream, activity, frames: Frames::new(), closing: Closing::No }
    }

    /// Notes the outcome of a write. Only the connection's own task writes, so a load and a store do.
    fn wrote(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        let activity = &self.activity;
        activity.blocked.store(written.is_pending(), Relaxed);
        if let Poll::Ready(Ok(bytes)) = &written {
            activity.written.store(activity.written.load(Relaxed) + *bytes as u64, Relaxed);
        }
        written
    }
}

impl AsyncRead for WatchedSocket {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let Self { stream, activity, frames, .. } = &mut *self;
        let polled = Pin::new(stream).poll_read(context, buffer);
        if polled.is_pending()
            && frames.are_between()
            && buffer.remaining() >= SHUTDOWN_PONG.len()
            && activity.answer_ping.swap(false, Relaxed)
        {
            buffer.put_slice(&SHUTDOWN_PONG);
            return Poll::Ready(Ok(()));
        }
        ready!(polled)?;
        let bytes = &buffer.filled()[before..];
        frames.advance(bytes);
        if frames.are_http2() {
            activity.h2.store(true, Relaxed);
        }
        activity.read.store(activity.read.load(Relaxed) + bytes.len() as u64, Relaxed);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for WatchedSocket {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.wrote(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.wrote(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    /// Closes our side. If the client was still sending (a body that we refused), reads on for a moment: a socket
    /// closed over unread bytes is reset, and a reset can overtake the answer.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if matches!(self.closing, Closing::No) {
            ready!(Pin::new(&mut self.stream).poll_shutdown(context))?;
            self.closing = Closing::Half;
        }
        let Self { stream, closing, .. } = &mut *self;
        let mut scratch = [0; 8192];
        loop {
            let mut buffer = ReadBuf::new(&mut scratch);
            match (Pin::new(&mut *stream).poll_read(context, &mut buffer), &mut *closing) {
                (Poll::Ready(Ok(())), _) if buffer.filled().is_empty() => return Poll::Ready(Ok(())),
                (Poll::Ready(Ok(())), Closing::Discarding { left, .. }) => {
                    *left = left.saturating_sub(buffer.filled().len());
                    if *left == 0 {
                        return Poll::Ready(Ok(()));
                    }
                }
                (Poll::Ready(Ok(())), _) => {
                    let until = Box::pin(tokio::time::sleep(LAST_WORDS.1));
                    *closing = Closing::Discarding { left: LAST_WORDS.0, until };
                }
                (Poll::Pending, Closing::Discarding { until, .. }) => {
                    ready!(until.as_mut().poll(context));
                    return Poll::Ready(Ok(()));
                }
                (Poll::Pending | Poll::Ready(Err(_)), _) => return Poll::Ready(Ok(())),
            }
        }
    }
}
