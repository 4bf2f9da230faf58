//! Where frames begin in what an HTTP/2 client sends, and the one frame that is put between them.

/// What opens an HTTP/2 connection (RFC 9113 section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
const HEAD_BYTES: usize = 9;
const HEADERS: u8 = 1;
const CONTINUATION: u8 = 9;
const END_HEADERS: u8 = 4;

/// The answer to the ping that h2 sends before it closes a connection; the last eight bytes are that ping's.
pub(super) const SHUTDOWN_PONG: [u8; 17] =
    [0, 0, 8, 6, 1, 0, 0, 0, 0, 0x0b, 0x7b, 0xa2, 0xf0, 0x8b, 0x9b, 0xfe, 0x54];

/// Follows the bytes of one client from frame to frame.
#[derive(Debug)]
pub(super) struct Frames {
    at: At,
    head: [u8; HEAD_BYTES],
    /// A header block goes on in the next frame: nothing may come between.
    in_block: bool,
}

#[derive(Debug)]
enum At {
    /// So many bytes of the preface have arrived.
    Preface(usize),
    /// So many bytes of a frame's head have arrived.
    Head(usize),
    /// So many bytes of a frame's payload are missing.
    Payload(usize),
    /// The client does not speak HTTP/2.
    Elsewhere,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self { at: At::Preface(0), head: [0; HEAD_BYTES], in_block: false }
    }

    /// The whole preface has arrived.
    pub(super) fn are_http2(&self) -> bool {
        matches!(self.at, At::Head(_) | At::Payload(_))
    }

    /// A control frame may stand here.
    pub(super) fn are_between(&self) -> bool {
        matches!(self.at, At::Head(0)) && !self.in_block
    }

    /// Takes what has arrived.
    pub(super) fn advance(&mut self, mut bytes: &[u8]) {
        while let Some(&byte) = bytes.first() {
            let mut taken = 1;
            self.at = match self.at {
                At::Elsewhere => return,
                At::Preface(seen) if byte != PREFACE[seen] => At::Elsewhere,
                At::Preface(seen) if seen + 1 == PREFACE.len() => At::Head(0),
                At::Preface(seen) => At::Preface(seen + 1),
                At::Head(seen) => {
                    self.head[seen] = byte;
                    if seen + 1 == HEAD_BYTES { self.payload() } else { At::Head(seen + 1) }
                }
                At::Payload(missing) => {
                    taken = missing.min(bytes.len());
                    Self::after(missing - taken)
                }
            };
            bytes = &bytes[taken..];
        }
    }

    /// Reads a whole head.
    fn payload(&mut self) -> At {
        let [high, middle, low, kind, flags, ..] = self.head;
        if matches!(kind, HEADERS | CONTINUATION) {
            self.in_block = flags & END_HEADERS == 0;
        }
        Self::after(usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low))
    }

    fn after(missing: usize) -> At {
        if missing == 0 { At::Head(0) } else { At::Payload(missing) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];

    fn headers(kind: u8, flags: u8) -> Vec<u8> {
        [&[0, 0, 3, kind, flags, 0, 0, 0, 1][..], &[7; 3]].concat()
    }

    /// For each byte of `frames` after a preface, whether a control frame may stand after it.
    fn gaps(frames: &[u8]) -> Vec<bool> {
        let mut all = Frames::new();
        all.advance(PREFACE);
        frames.iter().map(|byte| (all.advance(&[*byte]), all.are_between()).1).collect()
    }

    #[test]
    fn a_frame_may_stand_only_between_frames() {
        let frames = [&SETTINGS[..], &headers(HEADERS, END_HEADERS)].concat();
        let gaps = gaps(&frames);
        let at: Vec<_> = (1..).zip(gaps).filter_map(|(at, gap)| gap.then_some(at)).collect();
        assert_eq!(at, [SETTINGS.len(), frames.len()]);
    }

    #[test]
    fn no_frame_may_stand_in_a_header_block() {
        let block = [headers(HEADERS, 0), headers(CONTINUATION, 0), headers(CONTINUATION, END_HEADERS)];
        let gaps = gaps(&block.concat());
        assert_eq!(gaps.iter().filter(|gap| **gap).count(), 1);
        assert_eq!(gaps.last(), Some(&true));
    }

    #[test]
    fn it_makes_no_difference_how_the_bytes_are_cut() {
        let all = [PREFACE, &SETTINGS, &headers(HEADERS, END_HEADERS), &SETTINGS].concat();
        for cut in 0..=all.len() {
            let mut frames = Frames::new();
            frames.advance(&all[..cut]);
            frames.advance(&all[cut..]);
            assert!(frames.are_http2() && frames.are_between(), "{cut}");
        }
    }

    #[test]
    fn http1_has_no_frames() {
        for text in
            ["", "P", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r", "GET / HTTP/1.1\r\n", "POST / HTTP/1.1\r\n\r\n"]
        {
            let mut frames = Frames::new();
            frames.advance(text.as_bytes());
            assert!(!frames.are_http2() && !frames.are_between(), "{text:?}");
        }
    }
}
