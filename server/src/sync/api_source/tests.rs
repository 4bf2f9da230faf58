use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::*;
use crate::model::{ManualClock, Secret, Timestamp};
use crate::signing::{HmacKey, ParsedSignature};

const NOW_S: i64 = 1_780_000_000;

/// Any certificate will do for a client that is never shown one. Its key was thrown away.
const CA: &str = "-----BEGIN CERTIFICATE-----
MIIBezCCASGgAwIBAgIUYYaP1+f3lEf2F6edKZsh8i38cvwwCgYIKoZIzj0EAwIw
EjEQMA4GA1UEAwwHVGVzdCBDQTAgFw0yNjExMjIxNjQ2MjBaGA8yMTI2MTAyOTE2
NDYyMFowEjEQMA4GA1UEAwwHVGVzdCBDQTBZMBMGByqGSM49AgEGCCqGSM49AwEH
A0IABDvL94gQEPC5o1SjfxSelW+LiJOcuccwl9v4pdBeR+9no1hWXiKVe3W6sofQ
qHJJY7KZkByRH8nulnsn+XoQX3ejUzBRMB0GA1UdDgQWBBRVumPgZsMREHhTjZTY
RRBvN9J5dzAfBgNVHSMEGDAWgBRVumPgZsMREHhTjZTYRRBvN9J5dzAPBgNVHRMB
Af8EBTADAQH/MAoGCCqGSM49BAMCA0gAMEUCIH52vEl/yUD6sWrwkcPcgxfXwlYy
5Oqdzfo+/H1Wp681AiEAlUoSmcCpiqX950SX0k8jAEt+6Y22DdityJGPMkL+iEI=
-----END CERTIFICATE-----
";

/// What a server does with each connection, after it has read a request's head.
#[derive(Clone, Copy)]
enum Then {
    /// Sends this and closes.
    Send(&'static str),
    /// Sends this and waits for the client to go.
    Hold(&'static str),
    /// Sends a head and then more bytes than anyone should read.
    Flood(&'static str),
}

/// A server of canned answers on loopback; gives its address and the heads of the requests it got.
async fn serve(then: Then) -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Arc::new(Mutex::new(Vec::new()));
    let seen = heads.clone();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, then, seen.clone()));
        }
    });
    (address, heads)
}

async fn answer(mut stream: TcpStream, then: Then, heads: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => break,
        }
    }
    heads.lock().unwrap().push(String::from_utf8_lossy(&head).into_owned());
    // A client that leaves early is what some tests are about.
    match then {
        Then::Send(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.shutdown().await;
        }
        Then::Hold(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            let _ = stream.read_to_end(&mut head).await;
        }
        Then::Flood(text) => {
            let _ = stream.write_all(text.as_bytes()).await;
            while stream.write_all(&[b' '; 4096]).await.is_ok() {}
        }
    }
}

fn upstream(url: String) -> Upstream {
    let auth =
        UpstreamAuth::Signed { key_id: "ak_0123456789abcdef".to_owned(), secret: Secret::new("s3cret") };
    Upstream { url, auth, timeout: Duration::from_secs(30), ca_file: None, proxy: None }
}

fn source(upstream: &Upstream) -> ApiSource {
    let clock = ManualClock::new(Timestamp::from_seconds(NOW_S));
    ApiSource::new(upstream, TimeZone::UTC, clock).unwrap()
}

fn position(cursor: Option<&str>) -> Position {
    Position { cursor: cursor.map(str::to_owned), snapshot: false, limit: 500 }
}

async fn pull(then: Then) -> Result<FeedPage, SourceError> {
    let (address, _) = serve(then).await;
    source(&upstream(format!("http://{address}"))).changes(Entity::Users, &position(None)).await
}

const PAGE: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json; charset=utf-8\r\nconnection: close\r\n\r\n\
    {\"status\":\"ok\",\"data\":{\"rows\":[{\"id\":\"u1\",\"op\":\"delete\",\"version\":3}],\"next\":\"c2\",\"has_more\":true}}";

#[tokio::test]
async fn a_page_is_pulled_with_a_signature_that_covers_the_authority() {
    let (address, heads) = serve(Then::Send(PAGE)).await;
    let source = source(&upstream(format!("http://{address}/sage")));
    let from = Position { cursor: Some("a+b/c=&x".to_owned()), snapshot: true, limit: 7 };
    let page = source.changes(Entity::Users, &from).await.unwrap();
    assert_eq!((page.changes.len(), page.next.as_deref(), page.has_more), (1, Some("c2"), true));

    let head = heads.lock().unwrap()[0].clone();
    let mut lines = head.lines();
    let target = "/sage/sync/v1/users?since=a%2Bb%2Fc%3D%26x&limit=7&snapshot=1";
    assert_eq!(lines.next(), Some(format!("GET {target} HTTP/1.1").as_str()));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        headers.insert(http::HeaderName::try_from(name).unwrap(), HeaderValue::try_from(value).unwrap());
    }
    let authority = headers["host"].to_str().unwrap().to_owned();
    assert_eq!(authority, address.to_string());
    let request = SignedRequest {
        method: &Method::GET,
        scheme: "http",
        authority: &authority,
        target_origin: None,
        path: "/sage/sync/v1/users",
        query: target.split_once('?').map(|(_, query)| query),
        headers: &headers,
    };
    let signature = ParsedSignature::parse(&headers).unwrap().unwrap();
    assert_eq!(signature.key_id(), "ak_0123456789abcdef");
    signature.check_time(NOW_S, 0).unwrap();
    signature.check_coverage(&request, false, &["@authority".to_owned()]).unwrap();
    let mut base = Vec::new();
    signature.signature_base(&request, &mut base).unwrap();
    assert!(signature.verify(&base, Some(&HmacKey::new("s3cret")), None));
}

#[tokio::test]
async fn ids_are_encoded_one_by_one() {
    let (address, heads) = serve(Then::Send(PAGE)).await;
    let mut upstream = upstream(format!("http://{address}"));
    upstream.auth = UpstreamAuth::Bearer { token: Secret::new("t0ken") };
    let ids = ["a,b".to_owned(), "c*1~".to_owned()];
    source(&upstream).rows(Entity::Pricing, &ids).await.unwrap();
    let head = heads.lock().unwrap()[0].clone();
    assert!(head.starts_with("GET /sync/v1/pricing?ids=a%2Cb,c%2A1~ HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer t0ken\r\n"), "{head}");
}

#[tokio::test]
async fn every_way_to_fail_has_its_word() {
    const JSON: &str = "content-type: application/json\r\n";
    let head = |status: &str, rest: &str| -> &'static str {
        format!("HTTP/1.1 {status}\r\nconnection: close\r\n{rest}").leak()
    };
    let long = format!("content-length: {}\r\n{JSON}\r\n", MAX_BODY + 1);
    for (then, word) in [
        (
            Then::Send(head("410 Gone", &format!("{JSON}\r\n{{\"code\":\"cursor_expired\"}}"))),
            "cursor_expired",
        ),
        (
            Then::Send(head("400 Bad", &format!("{JSON}\r\n{{\"code\":\"invalid_cursor\"}}"))),
            "cursor_expired",
        ),
        (Then::Send(head("410 Gone", "\r\n")), "status_4xx"),
        (Then::Send(head("404 Not Found", "\r\nnothing")), "status_4xx"),
        (Then::Send(head("429 Too Many", "\r\n")), "status_4xx"),
        (Then::Send(head("401 Unauthorized", "\r\n")), "unauthorized"),
        (Then::Send(head("403 Forbidden", "\r\n")), "unauthorized"),
        (Then::Send(head("503 Unavailable", "\r\n")), "status_5xx"),
        (Then::Send(head("302 Found", "location: /elsewhere\r\n\r\n")), "redirect"),
        (Then::Send(head("204 No Content", "\r\n")), "wrong_content"),
        (Then::Send(head("200 OK", "content-type: text/html\r\n\r\n<p>Sign in")), "wrong_content"),
        (Then::Send(head("200 OK", "\r\n{}")), "wrong_content"),
        (
            Then::Send(head("200 OK", &format!("{JSON}\r\n{{\"status\":\"ok\",\"data\":{{\"rows\":[{{"))),
            "malformed",
        ),
        (Then::Send(head("200 OK", &format!("{JSON}content-length: 500\r\n\r\n{{"))), "broken"),
        (Then::Send(head("200 OK", &long)), "too_large"),
        (Then::Flood(head("200 OK", &format!("{JSON}\r\n"))), "too_large"),
        (Then::Send("no HTTP at all\r\n\r\n"), "broken"),
        (Then::Send(""), "broken"),
    ] {
        let error = pull(then).await.unwrap_err();
        assert_eq!(error.class.as_str(), word, "{error}");
        assert!(error.message.len() < 400 && !error.message.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_end_is_a_timeout() {
    for text in ["", "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n{"] {
        let (address, _) = serve(Then::Hold(text)).await;
        let mut upstream = upstream(format!("http://{address}"));
        upstream.timeout = Duration::from_millis(200);
        let error = source(&upstream).changes(Entity::Users, &position(None)).await.unwrap_err();
        assert_eq!(error.class, Failure::Timeout, "{error}");
    }
}

#[tokio::test]
async fn a_refused_connection_and_a_broken_handshake_are_told_apart() {
    let nobody = TcpSocket::new_v4().unwrap();
    nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let closed = nobody.local_addr().unwrap();
    let error = source(&upstream(format!("http://{closed}"))).changes(Entity::Users, &position(None)).await;
    assert_eq!(error.unwrap_err().class, Failure::Connect);

    let directory = tempfile::tempdir().unwrap();
    let ca_file = directory.path().join("ca.pem");
    std::fs::write(&ca_file, CA).unwrap();
    // A handshake has no empty line to wait for.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let plain = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        }
    });
    let upstream = Upstream { ca_file: Some(ca_file), ..upstream(format!("https://{plain}")) };
    let error = source(&upstream).changes(Entity::Users, &position(None)).await.unwrap_err();
    assert_eq!(error.class, Failure::Tls, "{error}");
}

#[test]
fn what_cannot_be_used_is_named_by_its_key() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("empty.pem");
    std::fs::write(&empty, "no certificate here").unwrap();
    let with_ca =
        |file: PathBuf| Upstream { ca_file: Some(file), ..upstream("https://sage.test".to_owned()) };
    let deerer = UpstreamAuth::Deerer {
        app_id: "app".to_owned(),
        api_key: Secret::new("k"),
        secret: Secret::new("s3cret"),
    };
    let bearer = UpstreamAuth::Bearer { token: Secret::new("s3cret\n") };
    let plain = || upstream("http://sage.test".to_owned());
    for (upstream, starts) in [
        (with_ca(directory.path().join("none.pem")), "upstream.ca_file: "),
        (with_ca(empty), "upstream.ca_file: "),
        (Upstream { auth: deerer, ..plain() }, "nothing can be pulled: upstream.auth: deerer"),
        (Upstream { auth: bearer, ..plain() }, "upstream.dapi_secret: "),
        (Upstream { proxy: Some(Secret::new("http://u:s3cret@[")), ..plain() }, "upstream.proxy: "),
    ] {
        let clock = ManualClock::new(Timestamp::default());
        let error = ApiSource::new(&upstream, TimeZone::UTC, clock).err().unwrap().to_string();
        assert!(error.starts_with(starts) && !error.contains("s3cret"), "{error}");
    }
}

#[tokio::test]
async fn the_platform_is_left_alone_for_as_long_as_it_asks() {
    for refusal in [
        "HTTP/1.1 429 Too Many Requests\r\nretry-after: 60\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
        "HTTP/1.1 503 Service Unavailable\r\nretry-after: Thu, 28 May 2026 20:27:40 GMT\r\ncontent-length: 0\r\nconnection: close\r\n\r\n",
    ] {
        let (address, heads) = serve(Then::Send(refusal)).await;
        let clock = ManualClock::new(Timestamp::from_seconds(NOW_S));
        let source =
            ApiSource::new(&upstream(format!("http://{address}")), TimeZone::UTC, clock.clone()).unwrap();
        let asked = || heads.lock().unwrap().len();
        let error = source.changes(Entity::Users, &position(None)).await.unwrap_err();
        assert_eq!((error.retry_after, asked()), (Some(Duration::from_secs(60)), 1));
        clock.advance(Duration::from_secs(59));
        let error = source.rows(Entity::Users, &["u1".to_owned()]).await.unwrap_err();
        assert_eq!((error.retry_after, asked()), (Some(Duration::from_secs(1)), 1), "{error}");
        assert!(source.changes(Entity::Pricing, &position(None)).await.is_err());
        assert_eq!(asked(), 2, "another entity was not refused");
        clock.advance(Duration::from_secs(1));
        assert!(source.changes(Entity::Users, &position(None)).await.is_err());
        assert_eq!(asked(), 3);
    }
}
