//! The body of an answer: whole, or made in parts while the client reads.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream;
use http_body::{Body, Frame, SizeHint};

/// Why a body breaks off. The cause is for the log alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the answer cannot be finished")]
pub struct BrokenOff;

/// The body of every answer.
#[derive(Default)]
pub struct AnswerBody(Parts);

enum Parts {
    /// All of it; empty once taken. Almost every answer is whole, so this is not boxed.
    Whole(Bytes),
    /// One part after another; each is made only when the client has taken the one before.
    Stream(Pin<Box<dyn Stream<Item = Result<Bytes, BrokenOff>> + Send>>),
}

impl Default for Parts {
    fn default() -> Self {
        Self::Whole(Bytes::new())
    }
}

impl AnswerBody {
    /// These bytes.
    pub const fn new(bytes: Bytes) -> Self {
        Self(Parts::Whole(bytes))
    }

    /// Parts that are still to be made. If one fails, the body is cut off, so that the client notices.
    pub fn stream(parts: impl Stream<Item = Result<Bytes, BrokenOff>> + Send + 'static) -> Self {
        Self(Parts::Stream(Box::pin(parts)))
    }
}

impl From<Vec<u8>> for AnswerBody {
    fn from(bytes: Vec<u8>) -> Self {
        Self::new(bytes.into())
    }
}

impl std::fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.0 {
            Parts::Whole(bytes) => f.debug_tuple("Whole").field(&bytes.len()).finish(),
            Parts::Stream(_) => f.write_str("Stream"),
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match &mut self.0 {
            Parts::Whole(bytes) if bytes.is_empty() => Poll::Ready(None),
            Parts::Whole(bytes) => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Parts::Stream(parts) => {
                parts.as_mut().poll_next(context).map(|part| part.map(|part| part.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.0, Parts::Whole(bytes) if bytes.is_empty())
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Parts::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Parts::Stream(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::stream;
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn whole_bytes_have_a_length_and_come_once() {
        let mut body = AnswerBody::from(b"abc".to_vec());
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (Some(3), false));
        assert_eq!(body.frame().await.unwrap().unwrap().into_data().unwrap(), "abc");
        assert!(body.is_end_stream() && body.frame().await.is_none());
        assert_eq!(AnswerBody::default().size_hint().exact(), Some(0));
    }

    #[tokio::test]
    async fn parts_come_in_order_until_one_fails() {
        let parts = [Ok(Bytes::from_static(b"a")), Ok(Bytes::from_static(b"b"))];
        let body = AnswerBody::stream(stream::iter(parts));
        assert_eq!((body.size_hint().exact(), body.is_end_stream()), (None, false));
        assert_eq!(body.collect().await.unwrap().to_bytes(), "ab");
        let parts = [Ok(Bytes::from_static(b"a")), Err(BrokenOff)];
        assert_eq!(AnswerBody::stream(stream::iter(parts)).collect().await.unwrap_err(), BrokenOff);
    }
}
