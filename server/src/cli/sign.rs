use http::{HeaderMap, Method, Uri};
use sageapi_contract::ExitCode;

use super::args::Sign;
use super::failure::Failure;
use super::output::Output;
use crate::model::{Clock as _, Entropy as _, SystemClock, SystemEntropy};
use crate::signing::{SignedRequest, Signer};

pub fn run(args: &Sign, out: &Output) -> Result<ExitCode, Failure> {
    let secret = std::fs::read_to_string(&args.secret_file)
        .map_err(|e| Failure::usage(format!("--secret-file {}: {e}", args.secret_file.display())))?;
    let no_url =
        || Failure::usage(format!("url {:?}: must start with http:// or https:// and name a host", args.url));
    let uri: Uri = args.url.parse().map_err(|_| no_url())?;
    let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(no_url()) };
    let default = if args.body.is_some() { "POST" } else { "GET" };
    let method = args.method.as_deref().unwrap_or(default);
    let method: Method = method.parse().map_err(|_| Failure::usage(format!("method {method:?} is none")))?;
    let body = args.body.as_deref().unwrap_or_default();
    let mut random = [0; 16];
    SystemEntropy::new().fill(&mut random);
    let nonce: String = random.iter().map(|b| format!("{b:02x}")).collect();
    let headers = HeaderMap::new();
    let request = SignedRequest {
        method: &method,
        scheme,
        authority: authority.as_str(),
        path: uri.path(),
        query: uri.query(),
        headers: &headers,
    };
    let signer = Signer::new(args.key_id.as_str(), secret.trim());
    let now = SystemClock::new().now().seconds();
    let signed = signer
        .sign(&request, body.as_bytes(), now, Some(&nonce), &[])
        .map_err(|e| Failure::usage(e.to_string()))?;
    let mut command = format!("curl -sS -X {method}");
    for (name, value) in &signed {
        let value = value.to_str().map_err(|e| Failure::internal(e.to_string()))?;
        command += &format!(" \\\n  -H {}", quoted(&format!("{name}: {value}")));
    }
    if args.body.is_some() {
        command +=
            &format!(" \\\n  -H 'content-type: application/json' \\\n  --data-binary {}", quoted(body));
    }
    command += &format!(" \\\n  {}", quoted(&args.url));
    out.text(&command)
}

/// One word of a POSIX shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}
