//! A request body, read within a size and a time.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::BodyExt;

/// Space reserved for a body whose length the client announced. More is taken only as bytes arrive, so that an
/// announcement alone costs nothing.
const FIRST_RESERVE: usize = 64 * 1024;

/// Why a request body was not read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// The body is, or is announced to be, larger than the limit.
    #[error("the body is larger than {limit} bytes; send less, or split it")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// The body did not arrive in time.
    #[error("the body did not arrive within {} s; send it faster, or split it", deadline.as_secs_f64())]
    TimedOut {
        /// The time that was allowed.
        deadline: Duration,
    },
    /// The client closed the connection, or framed the body incorrectly.
    #[error("the body ended early: {0}")]
    Broken(#[source] Box<dyn std::error::Error + Send + Sync>),
}

/// Reads a whole request body of at most `limit` bytes that arrives within `deadline`.
///
/// A body that came with the request head is returned without copying, and without arming a timer. An announced
/// length above the limit is refused before a byte is read.
///
/// # Errors
/// [`BodyError`]; the rest of the body is not read then.
pub async fn read_body<B>(body: B, limit: usize, deadline: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    if body.is_end_stream() {
        return Ok(Bytes::new());
    }
    if body.size_hint().lower() > limit as u64 {
        return Err(BodyError::TooLarge { limit });
    }
    tokio::time::timeout(deadline, collect(body, limit))
        .await
        .unwrap_or(Err(BodyError::TimedOut { deadline }))
}

async fn collect<B>(body: B, limit: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        // Trailers are ignored.
        let Ok(data) = frame.map_err(|error| BodyError::Broken(error.into()))?.into_data() else { continue };
        if first.len() + joined.len() + data.len() > limit {
            return Err(BodyError::TooLarge { limit });
        }
        if first.is_empty() && joined.is_empty() {
            first = data;
            continue;
        }
        if joined.is_empty() {
            let announced = usize::try_from(body.size_hint().lower()).unwrap_or(limit);
            joined.reserve(first.len() + data.len() + announced.min(FIRST_RESERVE));
            joined.extend_from_slice(&std::mem::take(&mut first));
        }
        joined.extend_from_slice(&data);
    }
    Ok(if joined.is_empty() { first } else { joined.freeze() })
}

#[cfg(test)]
mod tests {
    use std::pin::Pin;
    use std::task::{Context, Poll};

    use http_body::{Frame, SizeHint};
    use http_body_util::Full;

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    /// A body of given chunks that counts how many were taken; it ends, hangs or breaks after them.
    struct Chunks {
        left: Vec<&'static [u8]>,
        taken: usize,
        then: Then,
        announced: u64,
    }

    enum Then {
        End,
        Hang,
        Break,
    }

    impl Chunks {
        fn new(chunks: &[&'static [u8]], then: Then) -> Self {
            Self { left: chunks.iter().rev().copied().collect(), taken: 0, then, announced: 0 }
        }
    }

    impl Body for &mut Chunks {
        type Data = Bytes;
        type Error = std::io::Error;

        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            let this = self.get_mut();
            match (this.left.pop(), &this.then) {
                (Some(chunk), _) => {
                    this.taken += 1;
                    Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(chunk)))))
                }
                (None, Then::End) => Poll::Ready(None),
                (None, Then::Hang) => Poll::Pending,
                (None, Then::Break) => Poll::Ready(Some(Err(std::io::ErrorKind::ConnectionReset.into()))),
            }
        }

        fn size_hint(&self) -> SizeHint {
            let mut hint = SizeHint::new();
            hint.set_lower(self.announced);
            hint
        }
    }

    #[tokio::test]
    async fn chunks_are_joined_in_order() {
        let mut body = Chunks::new(&[b"ab", b"", b"cd", b"e"], Then::End);
        assert_eq!(read_body(&mut body, 5, SOON).await.unwrap(), "abcde");
    }

    #[tokio::test]
    async fn a_body_of_one_chunk_is_not_copied() {
        let sent = Bytes::from(vec![7; 100]);
        let read = read_body(Full::new(sent.clone()), 100, SOON).await.unwrap();
        assert_eq!(read.as_ptr(), sent.as_ptr());
    }

    #[tokio::test]
    async fn no_body_is_empty() {
        assert_eq!(read_body(http_body_util::Empty::<Bytes>::new(), 0, SOON).await.unwrap(), "");
    }

    #[tokio::test]
    async fn an_oversize_body_is_refused_without_reading_the_rest() {
        let mut body = Chunks::new(&[b"abc", b"def", b"ghi", b"jkl"], Then::End);
        assert!(matches!(read_body(&mut body, 5, SOON).await, Err(BodyError::TooLarge { limit: 5 })));
        assert_eq!(body.taken, 2);
    }

    #[tokio::test]
    async fn an_announced_oversize_body_is_refused_unread() {
        let mut body = Chunks::new(&[b"abc"], Then::End);
        body.announced = 6;
        assert!(matches!(read_body(&mut body, 5, SOON).await, Err(BodyError::TooLarge { limit: 5 })));
        assert_eq!(body.taken, 0);
    }

    #[tokio::test]
    async fn a_huge_announcement_within_the_limit_reserves_little() {
        let mut body = Chunks::new(&[b"a", b"b"], Then::End);
        body.announced = 1 << 40;
        assert_eq!(read_body(&mut body, usize::MAX, SOON).await.unwrap(), "ab");
    }

    #[tokio::test]
    async fn a_body_that_stops_arriving_times_out() {
        let mut body = Chunks::new(&[b"abc"], Then::Hang);
        let read = read_body(&mut body, 5, Duration::from_millis(20)).await;
        assert!(matches!(read, Err(BodyError::TimedOut { .. })));
    }

    #[tokio::test]
    async fn a_body_that_breaks_off_is_broken() {
        let mut body = Chunks::new(&[b"abc"], Then::Break);
        assert!(matches!(read_body(&mut body, 5, SOON).await, Err(BodyError::Broken(_))));
    }
}
