//! The shared signing vectors, against a running server.

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use sageapi_server::model::{Actor, AuthMode, KeyId, Reach, Scope, Secret};
use sageapi_server::signing::SignedRequest;
use sageapi_server::store::{NewKey, StoredKey};
use serde_json::{Value, json};

use crate::raw::{Ask, Credentials, Reply, nonce};
use crate::site::{Site, clock_at, on_every_database_with};

/// The customer that the first vector names.
const CUSTOMER: &str = "V1StGXR8_Z5jdHi6B-myT";
const NOW: i64 = 1_780_000_005;

fn vectors(member: &str) -> Vec<Value> {
    let all: Value = serde_json::from_str(include_str!("../vectors/signing.json")).unwrap();
    all[member].as_array().unwrap().clone()
}

fn text<'a>(vector: &'a Value, member: &str) -> &'a str {
    vector[member].as_str().unwrap()
}

/// The request of a vector, as it is.
fn ask(vector: &Value) -> Ask {
    let mut ask = Ask::raw(text(vector, "method").parse().unwrap(), text(vector, "target"));
    for (name, value) in vector["headers"].as_object().unwrap() {
        ask = ask.header(name, value.as_str().unwrap());
    }
    Ask { body: text(vector, "body").into(), ..ask }
}

/// The key of the vectors.
async fn known(site: &Site) -> Credentials {
    let vector = vectors("http_signatures").remove(0);
    let (key_id, secret) = (text(&vector, "key_id"), text(&vector, "secret"));
    site.app.customer(CUSTOMER, "100").await;
    let new = NewKey {
        enabled: true,
        key_id: KeyId::parse(key_id).unwrap(),
        name: None,
        reach: Reach::Customer(CUSTOMER.parse_customer()),
        scopes: Scope::ALL.iter().copied().filter(|scope| *scope != Scope::Admin).collect(),
        auth_mode: AuthMode::Signed,
        secret: StoredKey::Secret(Secret::new(secret)),
        expires_at: None,
        allowed_cidrs: Vec::new(),
    };
    site.env().store().create_key(new, &Actor::command_line()).await.unwrap();
    Credentials { key_id: key_id.to_owned(), secret: secret.to_owned() }
}

trait ParseCustomer {
    fn parse_customer(&self) -> sageapi_server::model::CustomerId;
}

impl ParseCustomer for str {
    fn parse_customer(&self) -> sageapi_server::model::CustomerId {
        sageapi_server::model::CustomerId::parse(self).unwrap()
    }
}

fn on_the_vectors_host(test: impl AsyncFn(Site)) {
    let configure = |builder: sageapi_test_support::app::AppBuilder| {
        builder.set("SAGEAPI_SERVER_PUBLIC_URL", "https://api.example.com").clock(clock_at(NOW))
    };
    on_every_database_with(configure, test);
}

#[test]
fn every_vector_is_let_in_as_it_is_and_refused_with_another_signature() {
    on_the_vectors_host(async |site| {
        let key = known(&site).await;
        let vectors = vectors("http_signatures");
        assert_eq!(vectors.len(), 8);
        for vector in vectors {
            let name = text(&vector, "name");
            // The answer of the operation itself shows that a request was let in. Unknown paths are 404 before
            // authentication.
            let allowed: &[(u16, &str)] = match name {
                "get with a query" | "@request-target" => &[(200, "")],
                "post with a UTF-8 body" => &[(201, "")],
                "query stays as sent" | "@target-uri instead of path and query" => {
                    &[(400, "unknown_parameter")]
                }
                // A key has no session that it could end; without a secret for tokens nobody has.
                "no body, a write" => &[(403, "session_required"), (404, "not_found")],
                "@query covered though there is none" => &[(200, "")],
                "other order, no alg, no tag, with expires" => {
                    &[(404, "not_found"), (400, "invalid_request")]
                }
                other => panic!("a vector that this test does not know: {other}"),
            };
            assert_eq!(vector["now"], NOW, "{name}");
            let reply = ask(&vector).send(site.http()).await;
            let code = if reply.status >= 400 { reply.code() } else { "" };
            assert!(allowed.contains(&(reply.status, code)), "{name}: {}", reply.text());
            assert!(is_genuine(&site, &vector).await, "{name}");

            let signature = text(&vector["headers"], "signature");
            let flipped = if signature.contains("sig1=:A") { "sig1=:B" } else { "sig1=:A" };
            let forged = format!("{flipped}{}", &signature[7..]);
            let mut forgery = vector.clone();
            forgery["headers"]["signature"] = json!(forged);
            assert!(!is_genuine(&site, &forgery).await, "{name}");
            let forged = ask(&forgery).send(site.http()).await;
            let expected = if reply.status == 404 { (404, "not_found") } else { (401, "auth_failed") };
            assert_eq!(forged.refusal(), expected, "{name}");
        }
        let find = Ask::get("/accounting?transno=T-1");
        let find = Ask { host: "api.example.com".into(), scheme: "https", ..find };
        let record = site.send(find, &key).await;
        assert_eq!(record.rows()[0]["note"], "余额");
    });
}

/// Whether the server's own check, short of the route, takes it.
async fn is_genuine(site: &Site, vector: &Value) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in vector["headers"].as_object().unwrap() {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.insert(name, HeaderValue::from_str(value.as_str().unwrap()).unwrap());
    }
    let (path, query) = match text(vector, "target").split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (text(vector, "target"), None),
    };
    let method: Method = text(vector, "method").parse().unwrap();
    let (scheme, authority) = ("https", "api.example.com");
    let request = SignedRequest {
        method: &method,
        scheme,
        authority,
        target_origin: None,
        path,
        query,
        headers: &headers,
    };
    site.env().auth().identify(&request, !text(vector, "body").is_empty()).await.is_ok()
}

const PARTS: &str = r#"("@method" "@path" "@query" "content-digest")"#;

/// A booking signed with the given inner list and parameters.
fn booking(key: &Credentials, input: &str) -> Ask {
    let body = json!({"transno": nonce(), "amount": "0.01"});
    Ask { host: "api.example.com".into(), ..Ask::post("/accounting?", &body) }.signed_as(&key.secret, input)
}

fn reading(key: &Credentials, path: &str, input: &str) -> Ask {
    Ask { host: "api.example.com".into(), ..Ask::get(path) }.signed_as(&key.secret, input)
}

#[test]
fn every_refused_situation_has_its_status_and_code() {
    on_the_vectors_host(async |site| {
        let key = known(&site).await;
        let id = &key.key_id;
        let fresh =
            || format!(r#"created={NOW};nonce="{}";keyid="{id}";alg="hmac-sha256";tag="sageapi""#, nonce());
        let send = async |ask: Ask| ask.send(site.http()).await;
        assert_eq!(
            send(booking(&key, &format!("{PARTS};{}", fresh()))).await.status,
            201,
            "the ground is good"
        );
        let query = "/balance?customer_id=V1StGXR8_Z5jdHi6B-myT";

        let refused = vectors("http_signatures_refused");
        assert_eq!(refused.len(), 16);
        for situation in refused {
            let name = text(&situation, "name");
            let asks = match name {
                "created 301 s ago" | "created 301 s ahead" => {
                    let created = NOW + situation["offset_s"].as_i64().unwrap();
                    let rest = format!(r#"created={created};nonce="{}";keyid="{id}""#, nonce());
                    vec![booking(&key, &format!("{PARTS};{rest}"))]
                }
                "expires in the past" => {
                    let expires = |at: i64| format!("{PARTS};{};expires={at}", fresh());
                    vec![booking(&key, &expires(NOW - 1)), booking(&key, &expires(NOW))]
                }
                "created missing" => {
                    vec![booking(&key, &format!(r#"{PARTS};nonce="{}";keyid="{id}""#, nonce()))]
                }
                "keyid missing" => {
                    vec![booking(&key, &format!(r#"{PARTS};created={NOW};nonce="{}""#, nonce()))]
                }
                "alg is not hmac-sha256" => ["hmac-sha512", "ed25519", "HMAC-SHA256", ""]
                    .map(|alg| booking(&key, &format!("{PARTS};{}", fresh().replace("hmac-sha256", alg))))
                    .into(),
                "query present but neither @query, @target-uri nor @request-target covered" => vec![
                    reading(&key, query, &format!(r#"("@method" "@path");{}"#, fresh())),
                    reading(
                        &key,
                        query,
                        &format!(r#"("@method" "@path" "@query-param";name="customer_id");{}"#, fresh()),
                    ),
                ],
                "@method not covered" => {
                    vec![booking(&key, &format!(r#"("@path" "@query" "content-digest");{}"#, fresh()))]
                }
                "body present but content-digest not covered" => {
                    vec![booking(&key, &format!(r#"("@method" "@path" "@query");{}"#, fresh()))]
                }
                "content-digest does not match the body" => {
                    let ask = booking(&key, &format!("{PARTS};{}", fresh()));
                    vec![Ask { body: br#"{"transno":"t","amount":"99"}"#.to_vec(), ..ask }]
                }
                "one byte of path, query, body or a covered header changed after signing" => {
                    changed(&key, &fresh)
                }
                "unknown key id (same answer and same time as a wrong signature)" => {
                    let unknown = Credentials { key_id: "ak_0000000000000000".into(), ..key.clone() };
                    let wrong = Credentials { secret: "another secret".into(), ..key.clone() };
                    let rest = |who: &Credentials| fresh().replace(id.as_str(), &who.key_id);
                    let asks = [&unknown, &wrong].map(|who| booking(who, &format!("{PARTS};{}", rest(who))));
                    let replies = [send(asks[0].clone()).await, send(asks[1].clone()).await];
                    assert_eq!(
                        anonymous(&replies[0]),
                        anonymous(&replies[1]),
                        "the answers cannot be told apart"
                    );
                    asks.into()
                }
                "a component is covered twice" => {
                    vec![booking(
                        &key,
                        &format!(r#"("@method" "@path" "@query" "content-digest" "@path");{}"#, fresh()),
                    )]
                }
                "two signatures, neither tagged sageapi" => {
                    let one = booking(&key, &format!("{PARTS};{}", fresh().replace(r#";tag="sageapi""#, "")));
                    let input =
                        one.headers.iter().find(|(name, _)| name == "signature-input").unwrap().1.clone();
                    let signature =
                        one.headers.iter().find(|(name, _)| name == "signature").unwrap().1.clone();
                    vec![
                        one.header("signature-input", &input.replacen("sig1", "sig2", 1))
                            .header("signature", &signature.replacen("sig1", "sig2", 1)),
                    ]
                }
                "a write without a nonce" => {
                    vec![booking(&key, &format!(r#"{PARTS};created={NOW};keyid="{id}""#))]
                }
                "nonce used before (write), on another instance too" => {
                    let used = fresh();
                    let first = send(booking(&key, &format!("{PARTS};{used}"))).await;
                    assert_eq!(first.status, 201, "{}", first.text());
                    vec![booking(&key, &format!("{PARTS};{used}"))]
                }
                other => panic!("a situation that this test does not know: {other}"),
            };
            for ask in asks {
                let reply = send(ask).await;
                let expected = (situation["status"].as_u64().unwrap(), text(&situation, "code"));
                let (status, code) = reply.refusal();
                assert_eq!((u64::from(status), code), expected, "{name}: {}", reply.text());
            }
        }
    });
}

/// The answer less what differs from request to request.
fn anonymous(reply: &Reply) -> (u16, Value, Vec<String>) {
    let mut body = reply.json.clone();
    body["request_id"] = Value::Null;
    (reply.status, body, reply.headers.keys().map(ToString::to_string).collect())
}

/// A genuine request with one byte changed, once in each place.
fn changed(key: &Credentials, fresh: &dyn Fn() -> String) -> Vec<Ask> {
    let covered = r#"("@method" "@path" "@query" "content-digest" "content-type" "x-extra")"#;
    let genuine = || {
        let body = json!({"transno": nonce(), "amount": "0.01"});
        let ask = Ask { host: "api.example.com".into(), ..Ask::post("/accounting?a", &body) }
            .header("x-extra", "1");
        ask.signed_as(&key.secret, &format!("{covered};{}", fresh()))
    };
    let path = Ask { target: "/api/v1/events?a".into(), ..genuine() };
    // Of the routes there are, only this one takes a signed POST, so that the path changes with the method.
    let path = Ask { method: Method::GET, target: "/api/v1/balance?a".into(), ..path };
    let query = Ask { target: "/api/v1/accounting?b".into(), ..genuine() };
    let no_query = Ask { target: "/api/v1/accounting".into(), ..genuine() };
    let mut body = genuine();
    let last = body.body.len() - 3;
    body.body[last] ^= 1;
    let header = genuine().without("x-extra").header("x-extra", "2");
    let added = genuine().header("x-extra", "2");
    let kind = genuine().without("content-type").header("content-type", "application/jsom");
    let mut digest = genuine();
    let value = &mut digest.headers.iter_mut().find(|(name, _)| name == "content-digest").unwrap().1;
    *value = if value.contains("=:A") {
        value.replace("=:A", "=:B")
    } else {
        format!("sha-256=:A{}", &value[10..])
    };
    vec![path, query, no_query, body, header, added, kind, digest]
}
