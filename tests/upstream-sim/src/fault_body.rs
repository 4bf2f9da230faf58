//! Bodies that no honest server sends.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http_body::{Body, Frame};
use hyper::body::Bytes;
use tokio::time::{Sleep, sleep};

use crate::listener::Broken;

type Next = Poll<Option<Result<Frame<Bytes>, Broken>>>;

/// Some bytes, a wait, and then a broken connection.
pub(crate) struct Stalled {
    first: Option<Bytes>,
    wait: Pin<Box<Sleep>>,
}

impl Stalled {
    pub(crate) fn new(first: Bytes, wait: Duration) -> Self {
        Self { first: Some(first), wait: Box::pin(sleep(wait)) }
    }
}

impl Body for Stalled {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Next {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(Frame::data(first))));
        }
        self.wait.as_mut().poll(context).map(|()| Some(Err(Broken)))
    }
}

/// A head, any number of bytes of padding, a tail. One block of padding is all that is ever in memory.
pub(crate) struct Padded {
    head: Option<&'static [u8]>,
    block: Bytes,
    left: u64,
    tail: Option<&'static [u8]>,
}

impl Padded {
    pub(crate) fn new(head: &'static [u8], padding: u64, tail: &'static [u8]) -> Self {
        Self { head: Some(head), block: vec![b'x'; 64 * 1024].into(), left: padding, tail: Some(tail) }
    }
}

impl Body for Padded {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Next {
        let data = if let Some(head) = self.head.take() {
            Some(Bytes::from_static(head))
        } else if self.left > 0 {
            let size = usize::try_from(self.left).unwrap_or(usize::MAX).min(self.block.len());
            self.left -= size as u64;
            Some(self.block.slice(..size))
        } else {
            self.tail.take().map(Bytes::from_static)
        };
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }
}
