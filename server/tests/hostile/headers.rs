//! Hostile header fields, from any caller.

use http::Method;

use crate::cases::{Attack, Case};
use crate::raw::Ask;

/// Signed requests with something odd beside the signature: answered as if it were not there.
fn beside_the_signature() -> Vec<Case> {
    let long = "x".repeat(8000);
    let mut cases = Vec::new();
    for (name, value) in [
        ("traceparent", "00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-ff"),
        ("traceparent", "garbage"),
        ("traceparent", "00-00000000000000000000000000000000-0000000000000000-00"),
        ("traceparent", long.as_str()),
        ("tracestate", "a=,,,=b,;"),
        ("tracestate", long.as_str()),
        ("baggage", "a=b;c;d==,"),
        ("x-request-id", "'; DROP TABLE"),
        ("x-request-id", long.as_str()),
        ("if-none-match", long.as_str()),
        ("if-none-match", "\",\",W/\",*,"),
        ("if-match", "*"),
        ("if-modified-since", "yesterday"),
        ("if-unmodified-since", "Thu, 01 Jan 1970 00:00:00 GMT"),
        ("cache-control", "no-cache, no-cache=\"x\", max-age=-1, =,"),
        ("range", "bytes=0-18446744073709551615,-1,1-0"),
        ("accept", "text/html;q=NaN, */*;q=-1"),
        ("accept-encoding", "gzip;q=1000, *"),
        ("accept-language", "' OR 1=1"),
        ("x-forwarded-for", "127.0.0.1, ::1, evil, ,,"),
        ("x-forwarded-host", "evil.example"),
        ("x-forwarded-proto", "javascript"),
        ("forwarded", "for=\"[::1\";;host=;proto=%00"),
        ("x-http-method-override", "DELETE"),
        ("x-original-url", "/admin"),
        ("cookie", "a=b; a=c; =; \u{7f}"),
        ("referer", "javascript:alert(1)"),
        ("user-agent", "() { :; }; /bin/id"),
        ("via", "1.1 a, 1.1 b"),
        ("te", "trailers, gzip"),
        ("upgrade", "websocket, h2c"),
        ("connection", "upgrade, keep-alive, , x-api-key"),
        ("expect", "100-continue"),
        ("content-type", "\u{7f}"),
        ("date", "not a date"),
        ("priority", "u=99"),
    ] {
        if value.contains('\u{7f}') {
            continue;
        }
        let ask = Ask::get("/balance").header(name, value);
        cases.push(Case::new(format!("{name}: {value:.30}"), Attack::Signed(ask), &[200, 304]));
    }
    let coded = Ask::get("/balance").header("content-encoding", "gzip, gzip, gzip");
    cases.push(Case::new("a coding of no body", Attack::Signed(coded), &[415]));
    cases
}

/// Credentials that are none.
fn instead_of_a_signature() -> Vec<Case> {
    let long = "A".repeat(20_000);
    let lists = "(".repeat(2000);
    let labels: String = (0..500).map(|n| format!("s{n}=(),")).collect();
    let components: String = (0..500).map(|n| format!("\"x-{n}\" ")).collect();
    let parameters: String = (0..500).map(|n| format!(";p{n}=1")).collect();
    let mut cases = Vec::new();
    for (what, input) in [
        ("nothing", ""),
        ("a comma", ","),
        ("garbage", "\u{1}garbage"),
        ("an open list", "sig1=("),
        ("lists in lists", lists.as_str()),
        ("an empty list", "sig1=()"),
        ("an integer beyond the RFC", "sig1=();created=9999999999999999;keyid=\"k\""),
        ("a negative time", "sig1=(\"@method\" \"@path\");created=-999999999999999;keyid=\"k\""),
        (
            "times at the limit",
            "sig1=(\"@method\" \"@path\");created=999999999999999;expires=-999999999999999;keyid=\"k\"",
        ),
        ("an unknown type", "sig1=(\"@method\" \"@path\");created=@1;keyid=%\"a\""),
        ("a text without end", "sig1=(\"@method"),
        ("a text with an escape", "sig1=(\"@meth\\od\");created=1;keyid=\"k\""),
        ("a binary without end", "sig1=:AAAA"),
        ("a tag of another", "sig1=();tag=\"x\""),
        ("500 labels", labels.as_str()),
        ("20,000 letters", long.as_str()),
    ] {
        if input.bytes().any(|b| b < 32) {
            continue;
        }
        let ask = Ask::get("/balance").header("signature-input", input).header("signature", "sig1=:AAAA:");
        cases.push(Case::new(format!("signature-input: {what}"), Attack::Stranger(ask), &[401]));
    }
    for (what, list, rest) in
        [("500 components", components.as_str(), ""), ("500 parameters", "", parameters.as_str())]
    {
        let input = format!("sig1=({list});created=1;keyid=\"k\"{rest}");
        let ask = Ask::get("/balance").header("signature-input", &input).header("signature", "sig1=:AAAA:");
        cases.push(Case::new(format!("signature-input: {what}"), Attack::Stranger(ask), &[401]));
    }
    for signature in [
        "",
        "sig1",
        "sig1=AAAA",
        "sig1=:A:",
        "sig1=:====:",
        "sig1=:AAAA:, sig1=:BBBB:",
        "other=:AAAA:",
        "sig1=();a=b",
        long.as_str(),
    ] {
        let input = "sig1=(\"@method\" \"@path\");created=1;keyid=\"k\"";
        let ask = Ask::get("/balance").header("signature-input", input).header("signature", signature);
        cases.push(Case::new(format!("signature: {signature:.20}"), Attack::Stranger(ask), &[401]));
    }
    for (name, value) in [
        ("authorization", ""),
        ("authorization", "Bearer"),
        ("authorization", "Bearer "),
        ("authorization", "Bearer  a b c"),
        ("authorization", "Basic YTpi"),
        ("authorization", "Deerer app-:-AAAA"),
        ("authorization", "Digest username=\"a\""),
        ("authorization", "Bearer ' OR 1=1 --"),
        ("authorization", &format!("Bearer {long}")),
        ("x-api-key", ""),
        ("x-api-key", "' OR 1=1 --"),
        ("x-api-key", &long),
    ] {
        let ask = Ask::get("/balance").header(name, value);
        cases.push(Case::new(format!("{name}: {value:.30}"), Attack::Stranger(ask), &[401]));
    }
    for digest in [
        "",
        "sha-256",
        "sha-256=AAAA",
        "sha-256=::",
        "md5=:AAAA:",
        "sha-256=:AAAA:, sha-256=:AAAA:",
        "sha-512=:AAAA:",
        long.as_str(),
    ] {
        let ask = Ask::get("/balance").header("content-digest", digest);
        cases.push(Case::new(format!("content-digest: {digest:.20}"), Attack::Signed(ask), &[401]));
    }
    cases
}

/// Requests beyond the limits of the head: refused with what HTTP has for it.
fn beyond_the_limits() -> Vec<Case> {
    let many = (0..150).fold(Ask::get("/health"), |ask, n| ask.header(&format!("x-{n}"), "v"));
    let thousands = (0..3000).fold(Ask::get("/health"), |ask, n| ask.header(&format!("x-{n}"), "v"));
    let mut cases = vec![
        Case::new("150 fields", Attack::Stranger(many), &[400, 431]),
        Case::new("3,000 fields", Attack::Stranger(thousands), &[400, 431]).or_closed(),
        Case::new(
            "a field of 64 KB",
            Attack::Stranger(Ask::get("/health").header("x-a", &"a".repeat(64 << 10))),
            &[431],
        )
        .or_closed(),
        Case::new(
            "a field's name of 64 KB",
            Attack::Stranger(Ask::get("/health").header(&"a".repeat(64 << 10), "1")),
            &[431],
        )
        .or_closed(),
        Case::new(
            "fields of 1 MB",
            Attack::Stranger(
                (0..90)
                    .fold(Ask::get("/health"), |ask, n| ask.header(&format!("x-{n}"), &"a".repeat(12_000))),
            ),
            &[431],
        )
        .or_closed(),
    ];
    for (what, target) in [
        ("a path of 100 KB", format!("/api/v1/users/{}", "a".repeat(100 << 10))),
        ("a query of 100 KB", format!("/api/v1/users?q={}", "a".repeat(100 << 10))),
        ("a path of 100 KB of slashes", "/".repeat(100 << 10)),
    ] {
        let ask = Ask::raw(Method::GET, &target);
        cases.push(Case::new(what, Attack::Stranger(ask), &[414, 431]).or_closed());
    }
    let long_method = format!("{} / HTTP/1.1\r\nhost: a\r\n\r\n", "M".repeat(64 << 10));
    cases.push(
        Case::new("a method of 64 KB", Attack::Bytes(long_method.into_bytes(), false), &[400, 405, 414, 431])
            .or_closed(),
    );
    cases
}

/// Every hostile head that is still HTTP.
pub fn cases() -> Vec<Case> {
    [beside_the_signature(), instead_of_a_signature(), beyond_the_limits()].concat()
}
