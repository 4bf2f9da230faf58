//! Hostile bodies: of bookings and of events.

use serde_json::{Value, json};

use crate::cases::{Attack, Case};
use crate::raw::{Ask, nonce};

const MALFORMED: &[u16] = &[400];
/// What a booking of any content may get.
const DECIDED: &[u16] = &[201, 200, 400, 402, 403, 404, 422];

const MEMBERS: &[&str] = &[
    "transno",
    "customer_id",
    "kind",
    "amount",
    "currency",
    "user_id",
    "llmid",
    "model",
    "pricing_id",
    "input_tokens",
    "output_tokens",
    "usage",
    "request_id",
    "event_time",
    "note",
];

const USED: &[&str] = &[
    "request_id",
    "customer_id",
    "user_id",
    "model",
    "actual_model",
    "llmid",
    "pricing_id",
    "input_tokens",
    "output_tokens",
    "usage",
    "is_streaming",
    "upstream_url",
    "status_code",
    "duration_ms",
    "event_time",
    "reservation",
    "hold",
];

/// JSON texts that no member takes, or that are easily taken wrongly.
fn values() -> Vec<(&'static str, String)> {
    let texts = [
        ("true", "true"),
        ("false", "false"),
        ("zero", "0"),
        ("minus zero", "-0"),
        ("minus one", "-1"),
        ("a fraction", "0.1"),
        ("a large exponent", "1e308"),
        ("a tiny exponent", "1e-400"),
        ("2^63", "9223372036854775808"),
        ("2^64", "18446744073709551616"),
        ("minus 2^63", "-9223372036854775809"),
        ("an empty text", r#""""#),
        ("a space", r#"" ""#),
        ("a NUL", r#""\u0000""#),
        ("NUL inside", r#""a\u0000b""#),
        ("control characters", r#""\u0001\u001f\u007f""#),
        ("a line break", r#""a\r\nX-Injected: 1""#),
        ("a surrogate pair", r#""\ud83d\ude00""#),
        ("an emoji", "\"😀\""),
        ("right to left", r#""\u202e""#),
        ("a byte order mark", r#""\ufeff""#),
        ("SQL", r#""'; DROP TABLE users; --""#),
        ("a quote", r#""'""#),
        ("a backslash", r#""\\""#),
        ("a percent sign", r#""%s%n%x""#),
        ("an empty list", "[]"),
        ("a list", r#"["a"]"#),
        ("an empty object", "{}"),
        ("an object", r#"{"a":"b"}"#),
        ("an operator", r#"{"$gt":""}"#),
        ("a prototype", r#"{"__proto__":{"a":1}}"#),
        ("a time", r#""9999-12-31T23:59:59Z""#),
        ("another time", r#""0000-01-01T00:00:00Z""#),
    ];
    let mut values: Vec<_> = texts.into_iter().map(|(what, text)| (what, text.to_owned())).collect();
    values.extend([
        ("a text of 200,000", format!("\"{}\"", "a".repeat(200_000))),
        ("escapes of 200,000", format!("\"{}\"", "\\u0041".repeat(33_000))),
        ("a number of 100,000 digits", "1".repeat(100_000)),
        ("a fraction of 100,000 digits", format!("0.{}1", "0".repeat(100_000))),
        ("an exponent of 1,000 digits", format!("1e{}", "9".repeat(1000))),
        ("a list of 100,000", format!("[{}0]", "0,".repeat(100_000))),
        ("depth 31", format!("{}{}", "[".repeat(31), "]".repeat(31))),
        ("depth 1,000", format!("{}{}", "[".repeat(1000), "]".repeat(1000))),
        ("objects of depth 1,000", format!("{}1{}", r#"{"a":"#.repeat(1000), "}".repeat(1000))),
        (
            "1,000 members",
            format!("{{{}\"z\":1}}", (0..999).map(|n| format!("\"f{n}\":1,")).collect::<String>()),
        ),
        ("a name of 100,000", format!("{{\"{}\":1}}", "n".repeat(100_000))),
        ("65 factors", format!("{{{}\"z\":1}}", (0..64).map(|n| format!("\"f{n}\":1,")).collect::<String>())),
        ("factors without a name", r#"{"":1}"#.to_owned()),
        ("a factor with a NUL", r#"{"\u0000":1}"#.to_owned()),
        ("a factor of 10^13", r#"{"a":10000000000000}"#.to_owned()),
        ("a factor of 16 digits", r#"{"a":0.1234567890123456}"#.to_owned()),
        ("a factor of 10^-400", r#"{"a":1e-400}"#.to_owned()),
        ("a factor of 10^(10^9)", r#"{"a":0e999999999}"#.to_owned()),
    ]);
    values
}

/// Bodies that are no single JSON object.
fn malformed() -> Vec<(&'static str, Vec<u8>)> {
    let texts: &[(&str, &[u8])] = &[
        ("nothing", b""),
        ("white space", b" \t\r\n"),
        ("null", b"null"),
        ("a list", b"[]"),
        ("a text", b"\"a\""),
        ("a number", b"1"),
        ("a truncated object", b"{\"transno\":\"t\""),
        ("a truncated text", b"{\"transno\":\"t"),
        ("two objects", b"{}{}"),
        ("a tail", b"{} x"),
        ("a trailing comma", b"{\"a\":1,}"),
        ("single quotes", b"{'a':1}"),
        ("no quotes", b"{a:1}"),
        ("a comment", b"{/* */}"),
        ("NaN", b"{\"amount\":NaN}"),
        ("Infinity", b"{\"amount\":-Infinity}"),
        ("a leading zero", b"{\"input_tokens\":01}"),
        ("a plus sign", b"{\"input_tokens\":+1}"),
        ("a raw control character", b"{\"note\":\"\x01\"}"),
        ("a raw NUL", b"{\"note\":\"a\x00b\"}"),
        ("a NUL at the end", b"{}\x00"),
        ("a byte order mark", b"\xef\xbb\xbf{}"),
        ("UTF-16", b"\xff\xfe{\x00}\x00"),
        ("an unknown escape", b"{\"note\":\"\\x41\"}"),
        ("half a surrogate", b"{\"note\":\"\\ud800\"}"),
        ("surrogates in the wrong order", b"{\"note\":\"\\ude00\\ud83d\"}"),
        ("a lone byte", b"{\"note\":\"\xff\"}"),
        ("an overlong encoding", b"{\"note\":\"\xc0\xaf\"}"),
        ("an encoded surrogate", b"{\"note\":\"\xed\xa0\x80\"}"),
        ("half a character", b"{\"note\":\"\xe4\xbd\"}"),
        ("beyond Unicode", b"{\"note\":\"\xf4\x90\x80\x80\"}"),
        ("a member twice", b"{\"amount\":\"1\",\"amount\":\"2\"}"),
        ("a member twice, once escaped", b"{\"amount\":\"1\",\"\\u0061mount\":\"2\"}"),
        ("a member twice, once null", b"{\"amount\":\"1\",\"amount\":null}"),
        ("a factor twice", b"{\"usage\":{\"a\":1,\"a\":2}}"),
        ("a member twice deep down", b"{\"x\":[{\"y\":{\"z\":1,\"z\":2}}]}"),
        ("a form", b"transno=t&amount=1"),
        ("XML", b"<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a>&b;</a>"),
        ("YAML", b"transno: t\namount: '1'\n"),
        ("gzip", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xab\xae\x05\x00C\xbf\xa6\xa3\x02\x00\x00\x00"),
    ];
    let mut bodies: Vec<_> = texts.iter().map(|(what, text)| (*what, text.to_vec())).collect();
    bodies.extend([
        ("depth 33", format!("{{\"x\":{}{}}}", "[".repeat(33), "]".repeat(33)).into_bytes()),
        ("depth 100,000", format!("{{\"x\":{}", "[".repeat(100_000)).into_bytes()),
        ("objects of depth 100,000", r#"{"x":"#.repeat(100_000).into_bytes()),
        (
            "2,000 members",
            format!("{{{}\"z\":1}}", (0..2000).map(|n| format!("\"m{n}\":1,")).collect::<String>())
                .into_bytes(),
        ),
        ("900,000 braces", vec![b'{'; 900_000]),
        ("900,000 spaces", vec![b' '; 900_000]),
        ("900,000 quotes", vec![b'"'; 900_000]),
        ("900,000 NUL", vec![0; 900_000]),
        ("900,000 bytes of 0xff", vec![0xff; 900_000]),
        ("50,000 keys alike", format!("{{{}\"a\":1}}", "\"a\":1,".repeat(50_000)).into_bytes()),
    ]);
    bodies
}

/// Every hostile body of a booking.
pub fn bookings() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, body) in malformed() {
        let ask = Ask::post_bytes("/accounting", body);
        cases.push(Case::new(format!("booking: {what}"), Attack::Signed(ask), MALFORMED));
    }
    for member in MEMBERS {
        for (what, value) in values() {
            let mut body = json!({"transno": nonce(), "amount": "0.000000001"});
            body[*member] = Value::Null;
            // Put in as text, so that no reader of ours smooths it.
            let body =
                body.to_string().replace(&format!("\"{member}\":null"), &format!("\"{member}\":{value}"));
            let name = format!("booking: {member} is {what}");
            cases.push(Case::new(
                &name,
                Attack::Signed(Ask::post_bytes("/accounting", body.clone())),
                DECIDED,
            ));
            if ["customer_id", "kind", "amount"].contains(member) {
                let name = format!("platform: {name}");
                cases.push(Case::new(name, Attack::Platform(Ask::post_bytes("/accounting", body)), DECIDED));
            }
        }
    }
    let unknown = json!({"transno": "t", "amount": "1", "'; DROP TABLE": 1, "__proto__": {}, "constructor": {}, "id": "x", "seq": 1, "balance": "9"});
    cases.push(Case::new(
        "booking: members of others",
        Attack::Signed(Ask::post("/accounting", &unknown)),
        MALFORMED,
    ));
    for key in ["", " ", "a b", "'; --", "\u{e9}", &"k".repeat(129), &"k".repeat(8000)] {
        let ask = Ask::post("/accounting", &json!({"amount": "1"})).header("idempotency-key", key);
        // A header that is no ASCII cannot be signed by our signer; that is tested among the headers.
        if key.is_ascii() {
            cases.push(Case::new(format!("booking: key {key:.20}"), Attack::Signed(ask), MALFORMED));
        }
    }
    for kind in [
        "text/html",
        "application/xml",
        "multipart/form-data; boundary=a",
        "application/json, text/plain",
        "*/*",
        "application/json/x",
        "a".repeat(4000).as_str(),
    ] {
        let ask = Ask::post("/accounting", &json!({"transno": nonce(), "amount": "1"}))
            .without("content-type")
            .header("content-type", kind);
        cases.push(Case::new(format!("booking: type {kind:.40}"), Attack::Signed(ask), &[415]));
    }
    let ask = Ask::post_bytes("/accounting", vec![b'a'; (1 << 20) + 1]);
    cases.push(Case::new("booking: a byte too many", Attack::Signed(ask.clone()), &[413]));
    cases.push(Case::new("booking: a byte too many of a stranger", Attack::Stranger(ask), &[401]));
    cases
}

/// Every hostile body of what else moves money, or prices it.
pub fn others() -> Vec<Case> {
    let mut cases = Vec::new();
    for path in [
        "/pricing/quote",
        "/holds",
        "/accounting/batch",
        "/usage",
        "/usage/batch",
        "/quota/check",
        "/quota/release",
        "/quota/extend",
    ] {
        for (what, body) in malformed() {
            let ask = Ask::post_bytes(path, body);
            cases.push(Case::new(format!("{path}: {what}"), Attack::Signed(ask), MALFORMED));
        }
        let ask = Ask::post(path, &json!({}));
        cases.push(Case::new(format!("{path}: of a stranger"), Attack::Stranger(ask), &[401]));
    }
    let quote = || json!({"pricing_id": "pp-1", "usage": {"images": 1, "size": "small"}});
    let hold = || json!({"transno": nonce(), "amount": "0.000000001", "ttl_s": 1});
    let quoted = ["pricing_id", "llmid", "model", "input_tokens", "output_tokens", "usage", "event_time"];
    let held = ["transno", "customer_id", "amount", "currency", "ttl_s", "user_id", "note"];
    let mut put = |path: &str, member: &str, mut body: Value| {
        for (what, value) in values() {
            body[member] = Value::Null;
            let text =
                body.to_string().replace(&format!("\"{member}\":null"), &format!("\"{member}\":{value}"));
            let ask = Ask::post_bytes(path, text);
            cases.push(Case::new(format!("{path}: {member} is {what}"), Attack::Signed(ask), DECIDED));
        }
    };
    for member in quoted {
        put("/pricing/quote", member, quote());
    }
    for member in held {
        put("/holds", member, hold());
    }
    for member in USED {
        put("/usage", member, json!({"request_id": nonce(), "user_id": "u"}));
    }
    let uuid = "01890a5d-ac96-774b-bcce-b302099a8057";
    for member in ["customer_id", "user_id", "model", "tokens", "request_id", "ttl_s"] {
        put("/quota/check", member, json!({"user_id": "u"}));
    }
    put("/quota/release", "reservation", json!({}));
    for member in ["reservation", "ttl_s"] {
        put("/quota/extend", member, json!({"reservation": uuid, "ttl_s": 1}));
    }
    // What a usage says may be anything; it is compared, shown, and never more than that.
    for (what, value) in values() {
        let usage = format!(r#"{{"pricing_id":"pp-1","usage":{{"images":1,"size":{value}}}}}"#);
        let ask = Ask::post_bytes("/pricing/quote", usage.clone());
        cases.push(Case::new(format!("quote: a size of {what}"), Attack::Signed(ask), DECIDED));
        let booking = usage.replacen('{', &format!(r#"{{"transno":"{}","#, nonce()), 1);
        let ask = Ask::post_bytes("/accounting", booking.clone());
        cases.push(Case::new(format!("booking: a size of {what}"), Attack::Signed(ask), DECIDED));
        let ask = Ask::post_bytes("/accounting/batch", format!("[{booking},{booking}]"));
        cases.push(Case::new(format!("batch: a size of {what}"), Attack::Signed(ask), &[200, 400]));
    }
    for id in ["x", "%00", "..%2f..", "01890a5d-ac96-774b-bcce-b302099a8057", "' OR 1=1", &"a".repeat(3000)] {
        for action in ["accounting/{}/reverse", "holds/{}/capture", "holds/{}/release"] {
            let path = format!("/{}", action.replace("{}", &id.replace(['\'', ' '], "%27")));
            let body = if action.ends_with("release") { json!({}) } else { json!({"transno": nonce()}) };
            let ask = Ask::post(&path, &body);
            cases.push(Case::new(format!("POST {path:.40}"), Attack::Signed(ask), &[404]));
        }
    }
    cases
}

/// What administration of any content may get; a patch of what does not exist is not found.
const ADMINISTERED: &[u16] = &[200, 201, 204, 400, 403, 404, 409, 412];

/// Every hostile body of the administration of users and groups.
pub fn administration() -> Vec<Case> {
    let mut cases = Vec::new();
    let user = || json!({"username": format!("n{}", nonce())});
    let group = || json!({"name": format!("n{}", nonce())});
    let patch = |path: &str, body: Vec<u8>| {
        let ask = Ask { body, ..Ask::new(http::Method::PATCH, path) };
        ask.header("content-type", "application/merge-patch+json").header("if-match", "*")
    };
    for (path, usable) in [("/admin/users", user()), ("/admin/groups", group())] {
        for (what, body) in malformed() {
            let ask = Ask::post_bytes(path, body.clone());
            cases.push(Case::new(format!("{path}: {what}"), Attack::Platform(ask), MALFORMED));
            let ask = patch(&format!("{path}/none"), body);
            cases.push(Case::new(format!("PATCH {path}: {what}"), Attack::Platform(ask), MALFORMED));
        }
        let ask = Ask::post(path, &usable);
        cases.push(Case::new(format!("{path}: of a stranger"), Attack::Stranger(ask.clone()), &[401]));
        cases.push(Case::new(format!("{path}: of a customer"), Attack::Signed(ask), &[403]));
    }
    let users = ["id", "customer_id", "username", "role", "is_active", "group_id", "password"];
    let groups =
        ["id", "customer_id", "name", "daily_tokens", "default_reservation", "time_zone", "is_default"];
    let mut put = |path: &str, member: &str, mut body: Value| {
        for (what, value) in values() {
            body[member] = Value::Null;
            let text =
                body.to_string().replace(&format!("\"{member}\":null"), &format!("\"{member}\":{value}"));
            let name = format!("{path}: {member} is {what}");
            let ask = Ask::post_bytes(path, text);
            cases.push(Case::new(&name, Attack::Platform(ask), ADMINISTERED));
            let text = format!("{{\"{member}\":{value}}}");
            let ask = patch(&format!("{path}/none"), text.into_bytes());
            cases.push(Case::new(format!("PATCH {name}"), Attack::Platform(ask), ADMINISTERED));
        }
    };
    for member in users {
        put("/admin/users", member, user());
    }
    for member in groups {
        put("/admin/groups", member, group());
    }
    for (what, value) in values() {
        let ask = Ask::post_bytes("/admin/users/none/password", format!("{{\"password\":{value}}}"));
        cases.push(Case::new(format!("password: {what}"), Attack::Platform(ask), &[400, 404]));
    }
    for id in ["x", "%00", "..%2f..", "' OR 1=1", &"a".repeat(3000)] {
        let id = id.replace(['\'', ' '], "%27");
        for method in [http::Method::PUT, http::Method::DELETE] {
            let ask = Ask::new(method, &format!("/admin/groups/{id}/members/{id}"));
            cases.push(Case::new(format!("member {id:.20}"), Attack::Platform(ask), &[404]));
        }
    }
    cases
}

/// Every hostile body of an event, genuine or not.
pub fn events() -> Vec<Case> {
    let mut cases = Vec::new();
    for (what, body) in malformed() {
        let stranger = Ask::post_bytes("/events", body.clone());
        cases.push(Case::new(format!("stranger's event: {what}"), Attack::Stranger(stranger), &[401]));
        cases.push(Case::new(format!("event: {what}"), Attack::Event(body), &[202]));
    }
    for (what, value) in values() {
        for body in [
            format!(r#"{{"type":{value},"data":{{"entity":"users","ids":["u-1"]}}}}"#),
            format!(r#"{{"type":"user.updated","data":{value}}}"#),
            format!(r#"{{"type":"user.updated","data":{{"entity":{value},"ids":["u-1"]}}}}"#),
            format!(r#"{{"type":"user.updated","data":{{"entity":"users","ids":{value}}}}}"#),
            format!(r#"{{"type":"user.updated","data":{{"entity":"users","ids":[{value}]}}}}"#),
            format!(
                r#"{{"type":"user.updated","timestamp":{value},"more":{value},"data":{{"entity":"pricing","ids":[],"x":{value}}}}}"#
            ),
        ] {
            cases.push(Case::new(format!("event: {what}"), Attack::Event(body.into_bytes()), &[202]));
        }
    }
    let ids: String = (0..50_000).map(|n| format!("\"u-{n}\",")).collect();
    let many = format!(r#"{{"data":{{"entity":"users","ids":[{ids}"z"]}}}}"#);
    cases.push(Case::new("event: 50,000 ids", Attack::Event(many.into_bytes()), &[202]));
    cases.push(Case::new("event: a byte too many", Attack::Event(vec![b' '; (1 << 20) + 1]), &[413]));
    for (name, value) in [
        ("webhook-id", ""),
        ("webhook-id", "' OR 1=1 --"),
        ("webhook-id", &"i".repeat(5000)),
        ("webhook-timestamp", "99999999999999999999"),
        ("webhook-timestamp", "-1"),
        ("webhook-timestamp", "1e9"),
        ("webhook-signature", "v1,"),
        ("webhook-signature", &"v1,AAAA ".repeat(1000)),
        ("webhook-signature", "v1,===="),
        ("webhook-signature", "v9,AAAA"),
    ] {
        let all = [("webhook-id", "evt"), ("webhook-timestamp", "1"), ("webhook-signature", "v1,AAAA")];
        let ask = all.iter().fold(Ask::post_bytes("/events", "{}"), |ask, (given, usual)| {
            ask.header(given, if *given == name { value } else { usual })
        });
        cases.push(Case::new(format!("event: {name} {value:.20}"), Attack::Stranger(ask), &[401]));
    }
    cases
}
