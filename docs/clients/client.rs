//! A client of SageAPI in Rust; it needs the crates base64, hmac, rand, reqwest, sha2 and tokio.
//!
//!     cargo run -p sageapi-process-tests --bin sageapi-client -- http://127.0.0.1:8080 ak_... secret-file
#![allow(clippy::disallowed_methods, clippy::print_stdout, reason = "a program of its own, for a terminal")]

use std::error::Error;
use std::fmt::Write as _;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit as _, Mac as _};
use reqwest::{Client, Method, RequestBuilder, Url};
use sha2::{Digest as _, Sha256};

struct Sage {
    http: Client,
    origin: String,
    key_id: String,
    secret: String,
}

impl Sage {
    /// The request, signed as RFC 9421 specifies. Path and query are signed as they are sent.
    fn signed(
        &self,
        method: Method,
        target: &str,
        body: Option<String>,
    ) -> Result<RequestBuilder, Box<dyn Error>> {
        let url: Url = format!("{}{target}", self.origin).parse()?;
        let mut parts = vec![
            ("@method", method.to_string()),
            ("@authority", url.authority().to_owned()),
            ("@path", url.path().to_owned()),
        ];
        parts.extend(url.query().map(|query| ("@query", format!("?{query}"))));
        let mut request = self.http.request(method, url);
        if let Some(body) = body {
            let digest = format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(&body)));
            request = request.header("content-type", "application/json").header("content-digest", &digest);
            parts.push(("content-digest", digest));
            request = request.body(body);
        }
        let names: Vec<_> = parts.iter().map(|(name, _)| format!("\"{name}\"")).collect();
        let params = format!(
            "({});created={};nonce=\"{:032x}\";keyid=\"{}\";alg=\"hmac-sha256\";tag=\"sageapi\"",
            names.join(" "),
            SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs(),
            rand::random::<u128>(),
            self.key_id
        );
        let mut base = String::new();
        for (name, value) in &parts {
            writeln!(base, "\"{name}\": {value}")?;
        }
        write!(base, "\"@signature-params\": {params}")?;
        let tag = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes())?.chain_update(base).finalize();
        let tag = STANDARD.encode(tag.into_bytes());
        Ok(request
            .header("signature-input", format!("sig1={params}"))
            .header("signature", format!("sig1=:{tag}:")))
    }

    async fn show(&self, method: Method, target: &str, body: Option<String>) -> Result<(), Box<dyn Error>> {
        let answer = self.signed(method, target, body)?.send().await?;
        println!("{} {}", answer.status().as_u16(), answer.text().await?);
        Ok(())
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let args: Vec<_> = std::env::args().skip(1).collect();
    let [origin, key_id, secret_file] = &args[..] else {
        return Err("usage: sageapi-client ORIGIN KEY_ID SECRET_FILE".into());
    };
    let sage = Sage {
        http: Client::builder().timeout(Duration::from_secs(30)).build()?,
        origin: origin.clone(),
        key_id: key_id.clone(),
        secret: std::fs::read_to_string(secret_file)?.trim().to_owned(),
    };
    sage.show(Method::GET, "/api/v1/balance", None).await?;
    // If the response is lost, retry with the same transno: it is booked once.
    let charge = format!("{{\"transno\":\"rust-{:016x}\",\"amount\":\"0.01\"}}", rand::random::<u64>());
    sage.show(Method::POST, "/api/v1/accounting", Some(charge)).await?;
    sage.show(Method::GET, "/api/v1/accounting?limit=1", None).await
}
