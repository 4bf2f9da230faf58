//! An API server that lists a cluster of any size in pages, and in whose watches nothing happens.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use futures_util::stream;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use crate::objects::{self, Templates};

/// How large the cluster is.
#[derive(Clone, Copy)]
pub struct Size {
    /// SageApis, each with its children.
    pub resources: usize,
    /// Secrets that none of them refers to.
    pub foreign: usize,
}

/// What was asked for.
#[derive(Debug, Default)]
struct Counts {
    largest_page: AtomicUsize,
    at_once: AtomicUsize,
    most_at_once: AtomicUsize,
    objects: AtomicUsize,
}

/// What was asked for so far.
#[derive(Debug)]
pub struct Seen {
    pub largest_page: usize,
    pub most_at_once: usize,
    pub objects: usize,
}

pub struct ApiServer {
    address: SocketAddr,
    counts: Arc<Counts>,
}

type Body = UnsyncBoxBody<Bytes, Infallible>;

impl ApiServer {
    pub async fn start(size: Size) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let counts = Arc::<Counts>::default();
        let cluster = Arc::new(Cluster { size, templates: Templates::new(), counts: Arc::clone(&counts) });
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let cluster = Arc::clone(&cluster);
                let answer = service_fn(move |request: Request<Incoming>| {
                    let cluster = Arc::clone(&cluster);
                    async move { Ok::<_, Infallible>(cluster.answer(&request).await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
            }
        });
        Self { address, counts }
    }

    pub fn kubeconfig(&self) -> String {
        serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "test", "cluster": {"server": format!("http://{}", self.address)}}],
            "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
            "users": [{"name": "test", "user": {}}],
        })
        .to_string()
    }

    pub fn seen(&self) -> Seen {
        Seen {
            largest_page: self.counts.largest_page.load(SeqCst),
            most_at_once: self.counts.most_at_once.load(SeqCst),
            objects: self.counts.objects.load(SeqCst),
        }
    }
}

struct Cluster {
    size: Size,
    templates: Templates,
    counts: Arc<Counts>,
}

impl Cluster {
    async fn answer(&self, request: &Request<Incoming>) -> Response<Body> {
        let query = request.uri().query().unwrap_or_default();
        let value = |name: &str| query.split('&').find_map(|part| part.strip_prefix(name)?.strip_prefix('='));
        let plural = request.uri().path().rsplit('/').next().unwrap_or_default();
        if value("watch") == Some("true") {
            let silence = stream::pending::<Result<Frame<Bytes>, Infallible>>();
            return Response::new(StreamBody::new(silence).boxed_unsync());
        }
        if request.method() != http::Method::GET || request.uri().path().contains("/leases") {
            let mut refused = text(
                r#"{"kind":"Status","status":"Failure","message":"no","reason":"Forbidden","code":403}"#,
            );
            *refused.status_mut() = StatusCode::FORBIDDEN;
            return refused;
        }
        let number = |name: &str, usual: usize| value(name).map_or(usual, |text| text.parse().unwrap());
        let (limit, from) = (number("limit", usize::MAX), number("continue", 0));

        let now = self.counts.at_once.fetch_add(1, SeqCst) + 1;
        self.counts.most_at_once.fetch_max(now, SeqCst);
        let foreign = plural == "secrets" && value("labelSelector").is_none();
        let (page, total) = if foreign { self.foreign(from, limit) } else { self.page(plural, from, limit) };
        self.counts.largest_page.fetch_max(page.len(), SeqCst);
        self.counts.objects.fetch_add(page.len(), SeqCst);
        // So that lists which run side by side are seen to.
        tokio::time::sleep(Duration::from_millis(2)).await;
        self.counts.at_once.fetch_sub(1, SeqCst);

        let to = from + page.len();
        let more = if to < total { format!(r#","continue":"{to}""#) } else { String::new() };
        text(&format!(
            r#"{{"apiVersion":"v1","kind":"List","metadata":{{"resourceVersion":"1000"{more}}},"items":[{}]}}"#,
            page.join(",")
        ))
    }

    fn page(&self, plural: &str, from: usize, limit: usize) -> (Vec<String>, usize) {
        let templates = self.templates.of(plural);
        let total = templates.len() * self.size.resources;
        let page = (from..total).take(limit);
        (
            page.map(|i| objects::numbered(templates[i % templates.len()], i / templates.len())).collect(),
            total,
        )
    }

    fn foreign(&self, from: usize, limit: usize) -> (Vec<String>, usize) {
        // Those that the operator made are among them.
        let (own, own_total) = self.page("secrets", from, limit);
        let total = own_total + self.size.foreign;
        let rest = (from.max(own_total)..total).take(limit - own.len());
        (own.into_iter().chain(rest.map(|i| objects::foreign(i - own_total))).collect(), total)
    }
}

fn text(text: &str) -> Response<Body> {
    let body = Full::new(Bytes::copy_from_slice(text.as_bytes())).boxed_unsync();
    Response::builder().header("content-type", "application/json").body(body).unwrap()
}

/// Whether a GET is answered with 200.
pub async fn answers(address: SocketAddr, path: &str) -> bool {
    let ask = async {
        let mut stream = TcpStream::connect(address).await?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.map(|_| answer)
    };
    ask.await.is_ok_and(|answer: String| answer.starts_with("HTTP/1.1 200"))
}
