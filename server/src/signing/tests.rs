//! The shared vectors, the RFC's own sample, and what is refused; properties over generated requests are one
//! file further.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde_json::Value;

use super::*;

mod in_place;
mod properties;

const NOW: i64 = 1_780_000_005;
const SKEW: i64 = 300;
const KEY_ID: &str = "ak_4Zr0wS1uK8mQ2vYb";
const SECRET: &str = "sk_test_0123456789abcdefABCDEF-_xyz";
const NONCE: &str = "n0000009-ABCdef_12";

/// A request that owns its parts.
#[derive(Clone, Debug)]
struct Request {
    method: Method,
    path: String,
    query: Option<String>,
    headers: HeaderMap,
    body: Vec<u8>,
}

impl Request {
    fn new(method: Method, target: &str, body: &str) -> Self {
        let (path, query) = match target.split_once('?') {
            Some((path, query)) => (path, Some(query.to_owned())),
            None => (target, None),
        };
        Self { method, path: path.to_owned(), query, headers: HeaderMap::new(), body: body.into() }
    }

    fn parts(&self) -> SignedRequest<'_> {
        SignedRequest {
            method: &self.method,
            scheme: "https",
            authority: "api.example.com",
            target_origin: None,
            path: &self.path,
            query: self.query.as_deref(),
            headers: &self.headers,
        }
    }

    fn header(mut self, name: &str, value: &str) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        self.headers.insert(name, HeaderValue::from_str(value).unwrap());
        self
    }

    /// Signs `input` (the part after `sig1=`) with the test secret, as a client that writes its own base
    /// would.
    fn signed_as(self, input: &str) -> Self {
        let unsigned =
            self.header(SIGNATURE_INPUT, &format!("sig1={input}")).header(SIGNATURE, "sig1=:AAAA:");
        let mut base = Vec::new();
        if let Ok(Some(parsed)) = ParsedSignature::parse(&unsigned.headers) {
            parsed.signature_base(&unsigned.parts(), &mut base).unwrap();
        }
        let tag = HmacKey::new(SECRET).tag(&[&base]);
        let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, tag);
        unsigned.header(SIGNATURE, &format!("sig1=:{encoded}:"))
    }

    /// The whole check as the server makes it, less what needs a store.
    fn check_at(&self, now: i64) -> Result<(), AuthError> {
        let is_write = self.method != Method::GET && self.method != Method::HEAD;
        let parsed = ParsedSignature::parse(&self.headers)?.ok_or(AuthError::Missing)?;
        parsed.check_nonce_form(is_write)?;
        parsed.check_time(now, SKEW)?;
        let key = (parsed.key_id() == KEY_ID).then(|| HmacKey::new(SECRET));
        parsed.check_coverage(&self.parts(), !self.body.is_empty(), &[])?;
        let mut base = Vec::new();
        parsed.signature_base(&self.parts(), &mut base)?;
        if !parsed.verify(&base, key.as_ref(), None) {
            return Err(AuthError::Failed);
        }
        check_content_digest(&self.headers, &self.body)
    }

    fn check(&self) -> Result<(), AuthError> {
        self.check_at(NOW)
    }
}

#[track_caller]
fn assert_malformed(request: &Request, why: &str) {
    match request.check() {
        Err(AuthError::Malformed(reason)) => {
            assert!(reason.contains(why), "malformed for another reason: {reason}");
        }
        other => panic!("expected malformed ({why}), got {other:?}"),
    }
}

fn get(target: &str) -> Request {
    Request::new(Method::GET, target, "")
}

fn params(rest: &str) -> String {
    format!("created=1780000000;keyid=\"{KEY_ID}\"{rest}")
}

fn vectors() -> Value {
    serde_json::from_str(include_str!("../../tests/vectors/signing.json")).unwrap()
}

fn text<'a>(vector: &'a Value, member: &str) -> &'a str {
    vector[member].as_str().unwrap()
}

fn vector_requests() -> Vec<(Value, Request)> {
    vectors()["http_signatures"]
        .as_array()
        .unwrap()
        .iter()
        .map(|vector| {
            let mut request = Request::new(
                text(vector, "method").parse().unwrap(),
                text(vector, "target"),
                text(vector, "body"),
            );
            for (name, value) in vector["headers"].as_object().unwrap() {
                request = request.header(name, value.as_str().unwrap());
            }
            (vector.clone(), request)
        })
        .collect()
}

#[test]
fn every_vector_has_the_same_base_and_verdict() {
    let requests = vector_requests();
    assert_eq!(requests.len(), 8);
    for (vector, request) in requests {
        let name = text(&vector, "name");
        let parsed = ParsedSignature::parse(&request.headers).unwrap().unwrap();
        assert_eq!(parsed.key_id(), text(&vector, "key_id"), "{name}");
        let mut base = Vec::new();
        parsed.signature_base(&request.parts(), &mut base).unwrap();
        assert_eq!(String::from_utf8(base).unwrap(), text(&vector, "signature_base"), "{name}");
        assert_eq!(text(&vector, "secret"), SECRET, "{name}");
        assert_eq!(text(&vector, "verdict"), "ok", "{name}");
        assert_eq!(request.check_at(vector["now"].as_i64().unwrap()), Ok(()), "{name}");
    }
}

#[test]
fn one_changed_byte_anywhere_fails_every_vector() {
    for (vector, request) in vector_requests() {
        let name = text(&vector, "name");
        let failed = |changed: &Request, what: &str| {
            assert_eq!(changed.check(), Err(AuthError::Failed), "{name}: {what}");
        };
        for index in 1..request.path.len() {
            let mut changed = request.clone();
            changed.path.replace_range(index..=index, "~");
            failed(&changed, "path");
        }
        for index in 0..request.query.as_ref().map_or(0, String::len) {
            let mut changed = request.clone();
            changed.query.as_mut().unwrap().replace_range(index..=index, "!");
            failed(&changed, "query");
        }
        for index in 0..request.body.len() {
            let mut changed = request.clone();
            changed.body[index] ^= 1;
            failed(&changed, "body");
        }
        let parsed = ParsedSignature::parse(&request.headers).unwrap().unwrap();
        for covered in ["content-digest", "content-type"] {
            if parsed.covers(covered) {
                let mut bytes = request.headers[covered].as_bytes().to_vec();
                bytes[12] ^= 1;
                let mut changed = request.clone();
                changed.headers.insert(covered, HeaderValue::from_bytes(&bytes).unwrap());
                failed(&changed, covered);
            }
        }
        let mut changed = request.clone();
        changed.method = Method::PUT;
        if parsed.nonce().is_some() {
            failed(&changed, "method");
        }
    }
}

#[test]
fn the_sample_of_rfc_9421_b_2_5_verifies() {
    let key = "uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==";
    let key = base64::Engine::decode(&base64::engine::general_purpose::STANDARD, key).unwrap();
    let request = Request::new(Method::POST, "/foo?param=Value&Pet=dog", "{\"hello\": \"world\"}")
        .header("date", "Tue, 20 Apr 2021 02:07:55 GMT")
        .header("content-type", "application/json")
        .header(
            SIGNATURE_INPUT,
            "sig-b25=(\"date\" \"@authority\" \"content-type\");created=1618884473;keyid=\"test-shared-secret\"",
        )
        .header(SIGNATURE, "sig-b25=:pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=:");
    let parts = SignedRequest { authority: "Example.com", ..request.parts() };
    let parsed = ParsedSignature::parse(&request.headers).unwrap().unwrap();
    let mut base = Vec::new();
    parsed.signature_base(&parts, &mut base).unwrap();
    assert!(parsed.verify(&base, Some(&HmacKey::from_bytes(&key)), None));
    assert!(!parsed.verify(&base[1..], Some(&HmacKey::from_bytes(&key)), None));
}

#[test]
fn a_request_without_signature_headers_is_not_a_signed_one() {
    assert!(ParsedSignature::parse(&HeaderMap::new()).unwrap().is_none());
    assert_malformed(&get("/a").header(SIGNATURE, "sig1=:AAAA:"), "together");
    assert_malformed(&get("/a").header(SIGNATURE_INPUT, "sig1=()"), "together");
}

#[test]
fn created_beyond_the_skew_and_expires_in_the_past_are_expired() {
    let request = get("/a").signed_as(&format!("(\"@method\" \"@path\");{}", params("")));
    for (now, verdict) in [
        (1_780_000_301, Err(AuthError::Expired)),
        (1_780_000_300, Ok(())),
        (1_779_999_700, Ok(())),
        (1_779_999_699, Err(AuthError::Expired)),
        (i64::MAX, Err(AuthError::Expired)),
        (i64::MIN, Err(AuthError::Expired)),
    ] {
        assert_eq!(request.check_at(now), verdict, "{now}");
    }
    let request = get("/a").signed_as(&format!("(\"@method\" \"@path\");{}", params(";expires=1780000060")));
    assert_eq!(request.check_at(1_780_000_059), Ok(()));
    assert_eq!(request.check_at(1_780_000_060), Err(AuthError::Expired));
}

#[test]
fn what_the_profile_demands_of_the_parameters_is_malformed_otherwise() {
    let cases = [
        ("(\"@method\" \"@path\");keyid=\"k\"", "created is missing"),
        ("(\"@method\" \"@path\");created=1780000000", "keyid is missing"),
        ("(\"@method\" \"@path\");created=1780000000.0;keyid=\"k\"", "must be integers"),
        ("(\"@method\" \"@path\");created=\"1780000000\";keyid=\"k\"", "must be integers"),
        ("(\"@method\" \"@path\");created=@1780000000;keyid=\"k\"", "must be integers"),
        ("(\"@method\" \"@path\");created=1780000000;keyid=token", "quoted strings"),
        ("(\"@method\" \"@path\");created=1780000000;created=1780000000;keyid=\"k\"", "twice"),
        ("(\"@method\" \"@path\");created=1780000000;keyid=\"k\";x=1;x=2", "twice"),
        ("(\"@method\" \"@path\");created=1780000000;keyid=\"k\";alg=\"ed25519\"", "alg"),
        ("(\"@method\" \"@path\");created=1780000000;keyid=\"k\";alg=hmac-sha256", "alg"),
        ("(\"@method\" \"@path\");created=1780000000;keyid=\"k\";expires", "must be integers"),
        ("(\"@method\" \"@path\");created=1780000000;keyid=\"k\";nonce=\"short\"", "nonce"),
        ("(\"@method\" \"@path\");created=1780000000;keyid=\"k\";nonce=\"has a space in it ok\"", "nonce"),
        ("(\"@method\" \"@path\");created=1780000000;keyid=\"k\";tag=\"other\"", "another service"),
        ("(\"@method\" \"@path\" \"@method\");created=1780000000;keyid=\"k\"", "twice"),
        ("(\"@method\" \"@path\" \"x-absent\");created=1780000000;keyid=\"k\"", "x-absent"),
        ("(\"@method\" \"@path\" \"Host\");created=1780000000;keyid=\"k\"", "lower-case"),
        ("(\"@method\" \"@path\" \"@status\");created=1780000000;keyid=\"k\"", "unknown"),
        ("(\"@method\" \"@path\" \"@signature-params\");created=1780000000;keyid=\"k\"", "unknown"),
        ("(\"@method\" \"@path\" \"@query-param\");created=1780000000;keyid=\"k\"", "name"),
        ("(\"@method\" \"@path\";name=\"x\");created=1780000000;keyid=\"k\"", "name"),
        ("(\"@method\" @path);created=1780000000;keyid=\"k\"", "structured"),
        ("(\"@method\" path);created=1780000000;keyid=\"k\"", "quoted string"),
        ("\"@method\";created=1780000000;keyid=\"k\"", "not a list"),
        ("(\"@method\" \"@path\"", "structured"),
    ];
    for (input, why) in cases {
        assert_malformed(&get("/a").header("host", "h").signed_as(input), why);
    }
    for parameter in ["req", "tr", "bs", "sf", "key=\"a\"", "other", "req=?0"] {
        let input = format!("(\"@method\" \"@path\" \"host\";{parameter});{}", params(""));
        assert_malformed(&get("/a").header("host", "h").signed_as(&input), "not supported");
    }
}

#[test]
fn a_write_needs_a_nonce_and_a_read_does_not() {
    let input = format!("(\"@method\" \"@path\");{}", params(""));
    for method in [Method::POST, Method::PUT, Method::DELETE, Method::OPTIONS] {
        assert_malformed(&Request::new(method, "/a", "").signed_as(&input), "nonce");
    }
    for method in [Method::GET, Method::HEAD] {
        assert_eq!(Request::new(method, "/a", "").signed_as(&input).check(), Ok(()));
    }
    for length in [15, 16, 64, 65] {
        let nonce = "~".repeat(length);
        let input = format!("(\"@method\" \"@path\");{}", params(&format!(";nonce=\"{nonce}\"")));
        let accepted = Request::new(Method::POST, "/a", "").signed_as(&input).check().is_ok();
        assert_eq!(accepted, (16..=64).contains(&length), "{length}");
    }
}

#[test]
fn what_must_be_covered_is_named_when_it_is_not() {
    let body = |request: Request| {
        let digest = content_digest(&request.body);
        request.header(CONTENT_DIGEST, &digest)
    };
    let post = |headers: Request, ids: &str| {
        headers.signed_as(&format!("({ids});{}", params(&format!(";nonce=\"{NONCE}\""))))
    };
    let cases = [
        (get("/a"), "\"@path\"", "@method"),
        (get("/a"), "\"@method\"", "@path"),
        (get("/a?b"), "\"@method\" \"@path\"", "@query"),
        (get("/a?"), "\"@method\" \"@path\"", "@query"),
        (get("/a?b=1"), "\"@method\" \"@path\" \"@query-param\";name=\"b\"", "@query"),
        (body(Request::new(Method::POST, "/a", "{}")), "\"@method\" \"@path\"", CONTENT_DIGEST),
        (get("/a").header(IDEMPOTENCY_KEY, "k-1"), "\"@method\" \"@path\"", IDEMPOTENCY_KEY),
    ];
    for (request, ids, missing) in cases {
        match post(request, ids).check() {
            Err(AuthError::Uncovered(what)) => assert!(what.starts_with(missing), "{ids}: {what}"),
            other => panic!("{ids}: {other:?}"),
        }
    }
    for ids in ["\"@method\" \"@target-uri\"", "\"@method\" \"@request-target\""] {
        assert_eq!(post(get("/a?b"), ids).check(), Ok(()), "{ids}");
    }
    let with_key = get("/a").header(IDEMPOTENCY_KEY, "k-1");
    assert_eq!(post(with_key, "\"@method\" \"@path\" \"idempotency-key\"").check(), Ok(()));
    let with_param = post(get("/a?b=%2b"), "\"@method\" \"@path\" \"@query\" \"@query-param\";name=\"b\"");
    assert_eq!(with_param.check(), Ok(()));
}

#[test]
fn the_operator_can_demand_more_components() {
    let request = get("/a").header("date", "d").signed_as(&format!("(\"@method\" \"@path\");{}", params("")));
    let parsed = ParsedSignature::parse(&request.headers).unwrap().unwrap();
    let demand = |id: &str| parsed.check_coverage(&request.parts(), false, &[id.to_owned()]);
    assert_eq!(demand("@path"), Ok(()));
    assert_eq!(demand("@authority"), Err(AuthError::Uncovered("@authority".to_owned())));
    assert_eq!(demand("date"), Err(AuthError::Uncovered("date".to_owned())));
}

#[test]
fn of_several_signatures_the_tagged_one_counts() {
    let signed = get("/a").signed_as(&format!("(\"@method\" \"@path\");{}", params(";tag=\"sageapi\"")));
    let input = signed.headers[SIGNATURE_INPUT].to_str().unwrap().to_owned();
    let signature = signed.headers[SIGNATURE].to_str().unwrap().to_owned();

    // A neighbour may use what is forbidden in ours.
    let other = "other=(\"@status\";req \"x-absent\");alg=\"ed25519\";tag=\"elsewhere\"";
    let both =
        signed.clone().header(SIGNATURE_INPUT, &format!("{other}, {input}")).header(SIGNATURE, &signature);
    assert_eq!(both.check(), Ok(()));

    let mut on_two_lines = signed.clone();
    on_two_lines.headers.append(SIGNATURE_INPUT, HeaderValue::from_static("b=();created=1"));
    on_two_lines.headers.append(SIGNATURE, HeaderValue::from_static("b=:AAAA:"));
    assert_eq!(on_two_lines.check(), Ok(()));

    let two_ours = format!("{input}, {}", input.replace("sig1", "sig2"));
    assert_malformed(&signed.clone().header(SIGNATURE_INPUT, &two_ours), "two signatures");
    let untagged = input.replace(";tag=\"sageapi\"", "");
    let neither = format!("{untagged}, {}", untagged.replace("sig1", "sig2"));
    assert_malformed(&signed.clone().header(SIGNATURE_INPUT, &neither), "one must have the tag");
    assert_malformed(&signed.clone().header(SIGNATURE_INPUT, &format!("{input}, {input}")), "label twice");
    assert_malformed(&signed.clone().header(SIGNATURE_INPUT, ""), "no signature");
    assert_malformed(&signed.clone().header(SIGNATURE, "sig9=:AAAA:"), "announces");
    assert_malformed(&signed.clone().header(SIGNATURE, "sig1=\"AAAA\""), "byte sequence");
    assert_malformed(&signed.clone().header(SIGNATURE, &format!("{signature}, {signature}")), "twice");
    assert_eq!(signed.header(SIGNATURE, "sig1=::").check(), Err(AuthError::Failed));
}

#[test]
fn any_spacing_and_escaping_is_serialized_strictly_before_it_is_verified() {
    let loose = format!(
        "  sig1=(  \"@method\"   \"@path\" );created=1780000000;  keyid=\"{KEY_ID}\";flag=?1;n=1.50;q=\"a\\\"b\\\\\" "
    );
    let request = get("/a").header(SIGNATURE_INPUT, &loose).header(SIGNATURE, "sig1=:AAAA:");
    let parsed = ParsedSignature::parse(&request.headers).unwrap().unwrap();
    let strict =
        format!("(\"@method\" \"@path\");created=1780000000;keyid=\"{KEY_ID}\";flag;n=1.5;q=\"a\\\"b\\\\\"");
    assert_eq!(parsed.params(), strict);
}

#[test]
fn sizes_are_bounded() {
    let mut request = get("/a");
    let mut ids = vec![String::from("\"@method\" \"@path\"")];
    for n in 0..30 {
        request = request.header(&format!("x-{n}"), "v");
        ids.push(format!("\"x-{n}\""));
    }
    let ids = ids.join(" ");
    let all = request.clone().signed_as(&format!("({ids});{}", params("")));
    assert_eq!(all.check(), Ok(()));
    let more = request.header("x-30", "v").signed_as(&format!("({ids} \"x-30\");{}", params("")));
    assert_malformed(&more, "32 components");

    let long = format!("(\"@method\" \"@path\");{}", params(&format!(";x=\"{}\"", "a".repeat(8192))));
    assert_malformed(&get("/a").signed_as(&long), "longer than");
    let long = format!("sig1=:{}:", "A".repeat(8192));
    assert_malformed(&get("/a").signed_as("()").header(SIGNATURE, &long), "longer than");
    let many: Vec<_> = (0..9).map(|n| format!("s{n}=()")).collect();
    assert_malformed(&get("/a").signed_as("()").header(SIGNATURE_INPUT, &many.join(", ")), "more than 8");
}

#[test]
fn an_unknown_key_fails_like_a_wrong_signature_and_either_secret_verifies() {
    let (_, request) = vector_requests().remove(0);
    let parsed = ParsedSignature::parse(&request.headers).unwrap().unwrap();
    let mut base = Vec::new();
    parsed.signature_base(&request.parts(), &mut base).unwrap();
    let (right, wrong) = (HmacKey::new(SECRET), HmacKey::new("wrong"));
    assert!(parsed.verify(&base, Some(&right), None));
    assert!(parsed.verify(&base, Some(&wrong), Some(&right)));
    assert!(!parsed.verify(&base, Some(&wrong), Some(&wrong)));
    assert!(!parsed.verify(&base, None, None));

    // A signature made with the dummy's own (empty) secret is nobody's.
    let mut forged = request.clone();
    let tag = HmacKey::new("").tag(&[&base]);
    let encoded = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, tag);
    forged = forged.header(SIGNATURE, &format!("sig1=:{encoded}:"));
    let parsed = ParsedSignature::parse(&forged.headers).unwrap().unwrap();
    assert!(!parsed.verify(&base, None, None));
    assert!(parsed.verify(&base, Some(&HmacKey::new("")), None));
}

fn sign(request: &Request, nonce: Option<&str>, extra: &[&str]) -> Result<Request, SignError> {
    let made = Signer::new(KEY_ID, SECRET).sign(&request.parts(), &request.body, NOW, nonce, extra)?;
    let mut signed = request.clone();
    for (name, value) in made {
        signed.headers.insert(name, value);
    }
    Ok(signed)
}

#[test]
fn what_the_signer_makes_covers_everything_and_verifies() {
    let request = Request::new(Method::POST, "/a?b=c", "{}")
        .header(IDEMPOTENCY_KEY, "k-1")
        .header(CONTENT_DIGEST, "sha-256=:AAAA:")
        .header("date", "now");
    let signed = sign(&request, Some(NONCE), &["date", "@method"]).unwrap();
    assert_eq!(signed.check(), Ok(()));
    assert_eq!(
        signed.headers[SIGNATURE_INPUT],
        format!(
            "sig1=(\"@method\" \"@authority\" \"@path\" \"@query\" \"content-digest\" \"idempotency-key\" \"date\")\
             ;created={NOW};nonce=\"{NONCE}\";keyid=\"{KEY_ID}\";alg=\"hmac-sha256\";tag=\"sageapi\""
        )
    );
    let moved = SignedRequest { authority: "elsewhere.example", ..signed.parts() };
    let parsed = ParsedSignature::parse(&signed.headers).unwrap().unwrap();
    let mut base = Vec::new();
    parsed.signature_base(&moved, &mut base).unwrap();
    assert!(!parsed.verify(&base, Some(&HmacKey::new(SECRET)), None));
}

#[test]
fn the_signer_refuses_what_could_not_be_verified() {
    let request = get("/a");
    assert_eq!(sign(&request, Some("short"), &[]).unwrap_err(), SignError::Nonce);
    for extra in ["x-absent", "@status", "@query-param", "Date"] {
        assert!(
            matches!(sign(&request, None, &[extra]), Err(SignError::Component { name, .. }) if name == extra),
            "{extra}"
        );
    }
    let odd = Signer::new("ключ", SECRET);
    let error = odd.sign(&request.parts(), b"", NOW, None, &[]).unwrap_err();
    assert_eq!(error, SignError::NotPrintable("key id"));
    let late = Signer::new(KEY_ID, SECRET).sign(&request.parts(), b"", i64::MAX, None, &[]);
    assert_eq!(late.unwrap_err(), SignError::Created(i64::MAX));
    assert!(!format!("{:?}", Signer::new(KEY_ID, SECRET)).contains(SECRET));
}
