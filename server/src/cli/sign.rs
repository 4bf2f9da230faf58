use http::{HeaderMap, Method, Uri};
use sageapi_contract::ExitCode;
use serde::Serialize;
use serde_json::{Map, Value};

use super::args::Sign;
use super::failure::Failure;
use super::output::Output;
use crate::model::{Clock as _, Entropy as _, SystemClock, SystemEntropy};
use crate::signing::{SignedRequest, Signer};

/// A signed request, for those who send it by other means than curl.
#[derive(Serialize)]
struct Signed<'a> {
    method: &'a str,
    url: &'a str,
    headers: Map<String, Value>,
    body: Option<&'a str>,
    curl: String,
}

pub fn run(args: &Sign, out: &Output) -> Result<ExitCode, Failure> {
    let secret = std::fs::read_to_string(&args.secret_file)
        .map_err(|e| Failure::usage(format!("--secret-file {}: {e}", args.secret_file.display())))?;
    let no_url =
        || Failure::usage(format!("url {:?}: must start with http:// or https:// and name a host", args.url));
    let uri: Uri = args.url.parse().map_err(|_| no_url())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(no_url()) };
    let default = if args.body.is_some() { "POST" } else { "GET" };
    let method = args.method.as_deref().unwrap_or(default);
    let method: Method =
        method.parse().map_err(|_| Failure::usage(format!("unsupported method {method:?}")))?;
    let body = args.body.as_deref().unwrap_or_default();
    let mut random = [0; 16];
    SystemEntropy::new().fill(&mut random);
    let nonce: String = random.iter().map(|b| format!("{b:02x}")).collect();
    let unsigned = HeaderMap::new();
    let request = SignedRequest {
        method: &method,
        scheme,
        authority: authority.as_str(),
        target_origin: None,
        path: uri.path(),
        query: uri.query(),
        headers: &unsigned,
    };
    let signer = Signer::new(args.key_id.as_str(), secret.trim());
    let now = SystemClock::new().now().seconds();
    let signed = signer
        .sign(&request, body.as_bytes(), now, Some(&nonce), &[])
        .map_err(|e| Failure::usage(e.to_string()))?;
    let mut headers = Map::new();
    for (name, value) in &signed {
        let value = value.to_str().map_err(|e| Failure::internal(e.to_string()))?;
        headers.insert(name.to_string(), value.into());
    }
    if args.body.is_some() {
        headers.insert("content-type".to_owned(), "application/json".into());
    }
    let curl = curl(&method, &headers, args);
    let url = args.url.as_str();
    out.result(
        &Signed { method: method.as_str(), url, headers, body: args.body.as_deref(), curl },
        |signed| signed.curl.clone(),
    )
}

/// The command for a shell that sends the request.
fn curl(method: &Method, headers: &Map<String, Value>, args: &Sign) -> String {
    let mut command = format!("curl -sS -X {method}");
    for (name, value) in headers {
        let value = value.as_str().unwrap_or_default();
        command += &format!(" \\\n  -H {}", quoted(&format!("{name}: {value}")));
    }
    if let Some(body) = &args.body {
        command += &format!(" \\\n  --data-binary {}", quoted(body));
    }
    command + &format!(" \\\n  {}", quoted(&args.url))
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
