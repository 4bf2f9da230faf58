//! What is hardly HTTP: lines, lengths, chunks, pipelines and halves that do not fit together.

use crate::cases::{Attack, Case};

const REFUSED: &[u16] = &[400, 431];

fn case(name: impl Into<String>, bytes: impl Into<Vec<u8>>, statuses: &'static [u16]) -> Case {
    Case::new(name, Attack::Bytes(bytes.into(), false), statuses).or_closed()
}

/// The same, and the client then ends its half.
fn halved(name: impl Into<String>, bytes: impl Into<Vec<u8>>, statuses: &'static [u16]) -> Case {
    Case::new(name, Attack::Bytes(bytes.into(), true), statuses).or_closed()
}

const GET: &str = "GET /api/v1/health HTTP/1.1\r\nhost: a\r\n";
const POST: &str = "POST /api/v1/events HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
    webhook-id: e\r\nwebhook-timestamp: 1\r\nwebhook-signature: v1,AAAA\r\n";

fn lines() -> Vec<Case> {
    let mut cases = Vec::new();
    for line in [
        "GET",
        "GET /",
        "GET / HTTP",
        "GET / HTTP/1",
        "GET / HTTP/1.1 x",
        "GET / HTTP/9.9",
        "GET / HTTP/3.0",
        "GET / http/1.1",
        "GET / HTTP/1.1\t",
        " GET / HTTP/1.1",
        "GET  /  HTTP/1.1",
        "G\u{0}T / HTTP/1.1",
        "GET /\u{0} HTTP/1.1",
        "GET /a b HTTP/1.1",
        "GET /\u{e9} HTTP/1.1",
        "GET /<> HTTP/1.1",
        "GET api/v1/health HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http://[::1 HTTP/1.1",
        "GET * HTTP/1.1",
        "OPTIONS * HTTP/1.1",
        "CONNECT a:1 HTTP/1.1",
        "CONNECT /api/v1/health HTTP/1.1",
        "GET ftp://a/api/v1/health HTTP/1.1",
        "GET http://u:p@a/api/v1/health HTTP/1.1",
        "GET /api/v1/health?\u{7f} HTTP/1.1",
        "GÉT / HTTP/1.1",
        "G@T / HTTP/1.1",
        "PRI * HTTP/2.0",
        "GET //evil.example/%2e%2e HTTP/1.1",
        "GET /api/v1/health#fragment HTTP/1.1",
        "GET \\api HTTP/1.1",
        "",
        "\u{16}\u{3}\u{1}",
    ] {
        let bytes = format!("{line}\r\nhost: a\r\n\r\n");
        cases.push(halved(format!("line {line:?}"), bytes.into_bytes(), &[200, 400, 404, 405, 414]));
    }
    let hostless = "GET /api/v1/health HTTP/1.1\r\n\r\n";
    cases.push(halved("no host", hostless.as_bytes(), &[400]));
    for (name, field) in [
        ("two hosts", "host: a\r\nhost: b\r\n"),
        ("the same host twice", "host: a\r\nhost: a\r\n"),
        ("an odd host", "host: a/b?c#d@e f\r\n"),
        ("an empty host", "host: \r\n"),
        ("a folded field", "host: a\r\nx-a: 1\r\n 2\r\n"),
        ("a field without a colon", "host: a\r\nx-a\r\n"),
        ("a field without a name", "host: a\r\n: 1\r\n"),
        ("a space before the colon", "host: a\r\nx-a : 1\r\n"),
        ("a space in the name", "host: a\r\nx a: 1\r\n"),
        ("a NUL in the name", "host: a\r\nx\u{0}: 1\r\n"),
        ("a NUL in the value", "host: a\r\nx-a: 1\u{0}2\r\n"),
        ("a bare line feed", "host: a\r\nx-a: 1\nx-b: 2\r\n"),
        ("a bare carriage return", "host: a\r\nx-a: 1\rx-b: 2\r\n"),
        ("a control character", "host: a\r\nx-a: \u{1}\r\n"),
        ("UTF-8", "host: a\r\nx-a: é\r\n"),
    ] {
        let bytes = format!("GET /api/v1/health HTTP/1.1\r\n{field}\r\n");
        cases.push(halved(name, bytes.into_bytes(), &[200, 400]));
    }
    cases
}

fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for length in [
        "-1",
        "+2",
        "2 ",
        "2, 3",
        "2,2",
        "0x2",
        "2.0",
        "1e1",
        "",
        "two",
        "18446744073709551616",
        "99999999999999999999999999",
        "\u{b2}",
        "2;3",
        "\"2\"",
    ] {
        let bytes = format!("{POST}content-length: {length}\r\n\r\n{{}}");
        cases.push(halved(format!("content-length {length:?}"), bytes.into_bytes(), &[400, 401, 413]));
    }
    for (name, fields) in [
        ("two lengths that differ", "content-length: 2\r\ncontent-length: 3\r\n"),
        ("a length and chunks", "content-length: 2\r\ntransfer-encoding: chunked\r\n"),
        ("chunks and a length", "transfer-encoding: chunked\r\ncontent-length: 2\r\n"),
        ("an unknown coding", "transfer-encoding: zlib\r\n"),
        ("a coding after chunked", "transfer-encoding: chunked, gzip\r\n"),
        ("chunked twice", "transfer-encoding: chunked, chunked\r\n"),
        ("chunked in two fields", "transfer-encoding: chunked\r\ntransfer-encoding: chunked\r\n"),
        ("a coding with a tab", "transfer-encoding:\tchunked\r\n"),
        ("xchunked", "transfer-encoding: xchunked\r\n"),
    ] {
        let bytes = format!("{POST}{fields}\r\n{{}}\r\n0\r\n\r\n");
        cases.push(halved(name, bytes.into_bytes(), &[400, 401, 413]));
    }
    // Announced and not sent: the length alone costs nothing.
    for length in
        ["1000", "1048576", "1048577", "1000000000000", "9223372036854775807", "18446744073709551615"]
    {
        let bytes = format!("{POST}content-length: {length}\r\n\r\n{{}}");
        cases.push(halved(
            format!("a body of {length} that ends early"),
            bytes.into_bytes(),
            &[400, 401, 413, 431],
        ));
    }
    cases
}

fn chunks() -> Vec<Case> {
    let long_extension = format!("2;{}\r\n{{}}\r\n0\r\n\r\n", "a".repeat(100_000));
    let many_extensions = format!("{}0\r\n\r\n", "1;a=b\r\nx\r\n".repeat(5000));
    let tiny = format!("{}0\r\n\r\n", "1\r\n \r\n".repeat(20_000));
    let trailers = format!("2\r\n{{}}\r\n0\r\n{}\r\n", "x: y\r\n".repeat(5000));
    let mut cases = Vec::new();
    for (name, body) in [
        ("no size", "\r\n{}\r\n0\r\n\r\n"),
        ("a size that is no number", "zz\r\n{}\r\n0\r\n\r\n"),
        ("a negative size", "-2\r\n{}\r\n0\r\n\r\n"),
        ("a size with a prefix", "0x2\r\n{}\r\n0\r\n\r\n"),
        ("a size beyond 64 bits", "ffffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ("the largest size", "ffffffffffffffff\r\n{}\r\n0\r\n\r\n"),
        ("a huge size", "7fffffffffffffff\r\n{}\r\n"),
        ("a size too small", "1\r\n{}\r\n0\r\n\r\n"),
        ("a size too large", "9\r\n{}\r\n0\r\n\r\n"),
        ("no end", "2\r\n{}\r\n"),
        ("half an end", "2\r\n{}\r\n0\r\n"),
        ("bare line feeds", "2\n{}\n0\n\n"),
        ("spaces", " 2 \r\n{}\r\n0\r\n\r\n"),
        ("a NUL", "2\u{0}\r\n{}\r\n0\r\n\r\n"),
        ("a trailer", "2\r\n{}\r\n0\r\ncontent-length: 5\r\nhost: b\r\n\r\n"),
        ("a trailer that is none", "2\r\n{}\r\n0\r\n garbage\r\n\r\n"),
        ("a long extension", &long_extension),
        ("many extensions", &many_extensions),
        ("20,000 chunks of a byte", &tiny),
        ("5,000 trailers", &trailers),
    ] {
        let bytes = format!("{POST}transfer-encoding: chunked\r\n\r\n{body}");
        cases.push(halved(format!("chunks: {name}"), bytes.into_bytes(), &[400, 401, 413]));
    }
    let beyond = format!(
        "{POST}transfer-encoding: chunked\r\n\r\n{}",
        format!("10000\r\n{}\r\n", "a".repeat(1 << 16)).repeat(40)
    );
    cases.push(case("chunks: more than a body may have", beyond.into_bytes(), &[413]));
    cases
}

fn pipelines() -> Vec<Case> {
    let mut cases = vec![
        halved("a request and garbage", format!("{GET}\r\n\u{0}\u{1}\u{2}garbage\r\n\r\n").into_bytes(), &[200]),
        halved("a request and half of another", format!("{GET}\r\nGET /api/v1/hea").into_bytes(), &[200]),
        halved("a body that is another request", format!("{POST}content-length: 0\r\n\r\nGET /api/v1/health HTTP/1.1\r\nhost: a\r\n\r\n").into_bytes(), &[401]),
        halved("a GET with a body that is another request", format!("{GET}content-length: 40\r\n\r\nGET /api/v1/balance HTTP/1.1\r\nhost: a\r\n\r\n").into_bytes(), &[200]),
        halved("garbage", b"\x00\x01\x02\x03\xff\xfe\r\n\r\n".to_vec(), REFUSED),
        halved("empty lines", b"\r\n\r\n\r\n\r\n".to_vec(), REFUSED),
        halved("100,000 empty lines", b"\r\n".repeat(100_000), REFUSED),
        halved("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".repeat(10), REFUSED),
        halved("an SSH greeting", b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), REFUSED),
        halved("SMTP", b"EHLO a\r\nMAIL FROM:<a>\r\n".to_vec(), REFUSED),
        halved("a proxy's preface", b"PROXY TCP4 1.1.1.1 2.2.2.2 1 2\r\nGET / HTTP/1.1\r\n\r\n".to_vec(), REFUSED),
        halved("half a line", b"GET /api/v1/he".to_vec(), REFUSED),
        halved("half a head", b"GET /api/v1/health HTTP/1.1\r\nhost: a\r\nx-a".to_vec(), REFUSED),
        halved("nothing", Vec::new(), REFUSED),
        halved("the preface of HTTP/2 alone", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec(), &[]),
        halved("the old upgrade to HTTP/2", format!("{GET}connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAAQAAP__\r\n\r\n").into_bytes(), &[200]),
        halved("expecting and then not sending", format!("{POST}content-length: 2\r\nexpect: 100-continue\r\n\r\n").into_bytes(), &[100, 400, 401]),
        halved("an expectation that nobody knows", format!("{POST}content-length: 2\r\nexpect: the-moon\r\n\r\n{{}}").into_bytes(), &[400, 401, 417]),
        halved("HTTP/1.0", b"GET /api/v1/health HTTP/1.0\r\n\r\n".to_vec(), &[200]),
        halved("HTTP/1.0 with chunks", b"POST /api/v1/events HTTP/1.0\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n".to_vec(), &[400, 401]),
        halved("HTTP/0.9", b"GET /api/v1/health\r\n".to_vec(), REFUSED),
    ];
    for frame in [
        &b"\x00\x00\x00\x04\x00\x00\x00\x00\x00"[..],
        b"\xff\xff\xff\x00\x00\x00\x00\x00\x01",
        b"\x00\x00\x04\x08\x00\x00\x00\x00\x00\xff\xff\xff\xff",
        b"\x00\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x0a\x01\x05\x00\x00\x00\x01\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
        b"garbage instead of frames, and quite a lot of it",
    ] {
        let bytes = [b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", frame].concat();
        // What comes back is HTTP/2, which these tests do not read.
        cases.push(Case::new(format!("HTTP/2: {frame:.12?}"), Attack::Bytes(bytes, true), &[]).or_closed());
    }
    cases
}

/// Everything that is hardly HTTP.
pub fn cases() -> Vec<Case> {
    [lines(), lengths(), chunks(), pipelines()].concat()
}
