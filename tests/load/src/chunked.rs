//! An answer that comes in chunks, read as it comes: it may be larger than memory.

use std::io::{self, BufRead, BufReader, ErrorKind, Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::Failure;

/// How long a server may say nothing.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes read at a time.
const PART: usize = 1 << 16;

/// The body of an answer, without the framing of the chunks that it comes in.
pub struct Chunked<R> {
    wire: R,
    /// What is still to come of the chunk.
    left: usize,
    over: bool,
}

/// Sends a request whose answer has to be a 200 in chunks; its body.
pub fn body(
    address: SocketAddr,
    request: &[u8],
) -> Result<BufReader<Chunked<BufReader<TcpStream>>>, Failure> {
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_secs(1))?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.write_all(request)?;
    let mut wire = BufReader::with_capacity(PART, stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if wire.read_line(&mut head)? == 0 {
            return Err(format!("an answer broke off: {head}").into());
        }
    }
    let chunked = head.lines().any(|line| line.eq_ignore_ascii_case("transfer-encoding: chunked"));
    if !head.starts_with("HTTP/1.1 200 ") || !chunked {
        let begun = String::from_utf8_lossy(wire.buffer());
        return Err(format!("a request was not answered by 200 in chunks: {head}{begun}").into());
    }
    Ok(BufReader::with_capacity(PART, Chunked::new(wire)))
}

impl<R: BufRead> Chunked<R> {
    fn new(wire: R) -> Self {
        Self { wire, left: 0, over: false }
    }

    /// Reads how large the next chunk is; the last one is empty.
    fn begin(&mut self) -> io::Result<()> {
        let mut line = String::new();
        self.wire.read_line(&mut line)?;
        // The end of the chunk before.
        if line == "\r\n" {
            line.clear();
            self.wire.read_line(&mut line)?;
        }
        let size = usize::from_str_radix(line.trim_end(), 16);
        let broken = || format!("an answer broke off: {line:?} is no chunk's size");
        self.left = size.map_err(|_| io::Error::new(ErrorKind::InvalidData, broken()))?;
        self.over = self.left == 0;
        Ok(())
    }
}

impl<R: BufRead> Read for Chunked<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.left == 0 && !self.over {
            self.begin()?;
        }
        let most = self.left.min(into.len());
        if most == 0 {
            return Ok(0);
        }
        let read = self.wire.read(&mut into[..most])?;
        if read == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        self.left -= read;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_read_as_one_body_and_a_broken_off_one_is_told() {
        let wire = b"3\r\nabc\r\n10\r\n0123456789abcdef\r\n0\r\n\r\n";
        let read = |wire: &[u8]| {
            let mut text = String::new();
            Chunked::new(wire).read_to_string(&mut text).map(|_| text)
        };
        assert_eq!(read(&wire[..]).unwrap(), "abc0123456789abcdef");
        for end in [0, 1, 5, 8, 10, 20, wire.len() - 5] {
            assert!(read(&wire[..end]).is_err(), "{end}");
        }
    }
}
