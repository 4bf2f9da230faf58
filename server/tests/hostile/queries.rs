//! Hostile targets: parameters, cursors, ids in paths, percent-encoding.

use serde_json::Value;

use crate::cases::{Attack, Case};
use crate::raw::Ask;

/// A path that can be read, with its parameters, as openapi.json describes it.
struct Readable {
    path: String,
    /// Those that take a text, an id or one of some words.
    texts: Vec<String>,
    times: Vec<String>,
    paged: bool,
}

impl Readable {
    /// Those that keys may read: all but the lists of a user who signed in.
    fn all() -> Vec<Self> {
        let document: Value = serde_json::from_str(include_str!("../../../docs/openapi.json")).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let paths = paths.iter().filter_map(|(path, item)| Some((path.strip_prefix("/api/v1")?, item)));
        let paths = paths.filter(|(path, _)| !path.starts_with("/auth/"));
        paths.filter(|(_, item)| !item["get"].is_null()).map(|(path, item)| Self::of(path, item)).collect()
    }

    fn of(path: &str, item: &Value) -> Self {
        let (mut texts, mut times, mut paged) = (Vec::new(), Vec::new(), false);
        for parameter in item["get"]["parameters"].as_array().into_iter().flatten() {
            let name = parameter["name"].as_str().unwrap().to_owned();
            let schema = &parameter["schema"];
            if name == "cursor" {
                paged = true;
            } else if schema["format"] == "date-time" {
                times.push(name);
            } else if parameter["in"] == "query" && schema["type"] == "string" && name != "order" {
                texts.push(name);
            }
        }
        Self { path: path.to_owned(), texts, times, paged }
    }

    /// What comes before the id at its end, if it is the path of one thing.
    fn entity(&self) -> Option<&str> {
        let (before, id) = self.path.split_once('{')?;
        id.ends_with('}').then_some(before)
    }
}

/// What is 200 where it is a harmless text, and 400 where it has not the form that is asked for.
const ANSWERED: &[u16] = &[200, 400, 403];

/// Values that are texts to everybody but the careless.
pub const TEXTS: &[&str] = &[
    "'",
    "''",
    "\\",
    "\\'",
    "%27",
    "%27%20OR%20%271%27%3D%271",
    "1%3B%20DROP%20TABLE%20users%3B--",
    "%27%20UNION%20SELECT%20null%2Cnull--",
    "%22%20OR%20%22%22%3D%22",
    "1)%20OR%20(1%3D1",
    "admin%27%2F*",
    "%2A%2F%201",
    "%25",
    "%25%25%25",
    "_",
    "!",
    "!!",
    "!%25",
    "%25!",
    "%5C%25",
    "%00",
    "a%00b",
    "%0a",
    "%0d%0aX-Injected%3A%201",
    "%7F",
    "%80",
    "%ff",
    "%fe%ff",
    "%c0%af",
    "%c0%80",
    "%ed%a0%80",
    "%f4%90%80%80",
    "%f0%9f%98%80",
    "%e4%b8%ad%e6%96%87",
    "%e2%80%ae",
    "%ef%bb%bf",
    "%",
    "%%",
    "%2",
    "%zz",
    "%u0041",
    "%2525",
    "+",
    "%2b",
    "%20",
    "%09",
    "",
    "null",
    "undefined",
    "NaN",
    "true",
    "-1",
    "0",
    "1e308",
    "99999999999999999999999999",
    "..%2f..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f",
    "$%7Bjndi:ldap://x%7D",
    "%7B%7B7*7%7D%7D",
    "%3Cscript%3Ealert(1)%3C%2Fscript%3E",
    "$(id)",
    "%60id%60",
    "%7C%7Cid",
    "sleep(5)",
    "%27%7C%7Cpg_sleep(5)--",
    "%27%2B(select*from(select(sleep(5)))a)%2B%27",
];

fn get(target: &str) -> Ask {
    Ask::get(target)
}

/// By a key that may read it: the platform administers.
fn permitted(target: &str) -> Attack {
    let ask = get(target);
    if target.starts_with("/admin/") { Attack::Platform(ask) } else { Attack::Signed(ask) }
}

/// Every hostile target.
pub fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    let readable = Readable::all();
    for Readable { path, texts, .. } in readable.iter().filter(|readable| readable.paged) {
        for parameter in texts {
            for text in TEXTS {
                let target = format!("{path}?{parameter}={text}");
                cases.push(Case::new(&target, Attack::Signed(get(&target)), ANSWERED));
                cases.push(Case::new(
                    format!("platform: {target}"),
                    Attack::Platform(get(&target)),
                    ANSWERED,
                ));
            }
            for (what, value) in long_values() {
                let name = format!("{path}?{parameter}: {what}");
                cases.push(Case::new(
                    name,
                    Attack::Platform(get(&format!("{path}?{parameter}={value}"))),
                    ANSWERED,
                ));
            }
        }
        cases.extend(of_pages(path));
    }
    for text in TEXTS {
        let target = format!("/balance?customer_id={text}");
        cases.push(Case::new(&target, Attack::Signed(get(&target)), &[400, 403]));
        cases.push(Case::new(format!("platform: {target}"), Attack::Platform(get(&target)), &[400, 404]));
        for path in ["/whoami", "/health", "/openapi.json", "/balance"] {
            let target = format!("{path}?{text}={text}");
            cases.push(Case::new(&target, Attack::Signed(get(&target)), &[400]));
        }
    }
    cases.extend(of_paths(&readable));
    cases.extend(of_times(&readable));
    cases
}

fn long_values() -> Vec<(&'static str, String)> {
    vec![
        ("64 letters", "a".repeat(64)),
        ("65 letters", "a".repeat(65)),
        ("256 letters", "a".repeat(256)),
        ("20,000 letters", "a".repeat(20_000)),
        ("5,000 percent signs", "%25".repeat(5000)),
        ("255 wildcards", "%25".repeat(255)),
        ("255 underscores", "_".repeat(255)),
        ("255 times four bytes", "%f0%9f%98%80".repeat(255)),
        ("5,000 NUL", "%00".repeat(5000)),
    ]
}

fn of_pages(path: &str) -> Vec<Case> {
    let wrong = [
        "limit=0",
        "limit=-1",
        "limit=1001",
        "limit=1e3",
        "limit=0x10",
        "limit=+5",
        "limit=%2B5",
        "limit=5.0",
        "limit=",
        "limit=99999999999999999999999",
        "limit=NaN",
        "limit=%EF%BC%95",
        "limit=5&limit=5",
        "limit=5&%6cimit=5",
        "order=ASC",
        "order=asc%00",
        "order=asc,desc",
        "order=created_at;--",
        "order=",
        "order=asc&order=asc",
        "count=1",
        "count=TRUE",
        "count=",
        "cursor=",
        "cursor=%00",
        "cursor=A",
        "cursor=AAAA",
        "cursor=%2F%2B%3D",
        "cursor=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "cursor=null",
        "cursor=eyJhbGciOiJub25lIn0",
        "cursor=%F0%9F%98%80",
        "cursor=-1&order=asc",
        "cursor=AAAA&cursor=AAAA",
        "from=0",
        "from=now",
        "to=",
        "from=2026-01-01T00:00:00Z&from=2026-01-01T00:00:00Z",
    ];
    let unknown = [
        "order[]=asc",
        "limit[]=1",
        "limit[$gt]=1",
        "a[b][c]=1",
        "__proto__=1",
        "Limit=1",
        "limit%00=1",
        "%6c%69mit%20=1",
        "=",
        "=1",
        "a&b",
        ";limit=1",
        "?limit=1",
        "limit",
    ];
    let mut cases: Vec<_> = wrong
        .iter()
        .chain(&unknown)
        .map(|query| {
            let target = format!("{path}?{query}");
            Case::new(&target, permitted(&target), &[400])
        })
        .collect();
    let many: String = (0..3000).map(|n| format!("a{n}=1&")).collect();
    let same: String = "limit=1&".repeat(3000);
    let empty = "&".repeat(20_000);
    for (what, query, statuses) in [
        ("3,000 parameters", many, &[400][..]),
        ("one parameter 3,000 times", same, &[400]),
        ("20,000 ampersands", empty, &[200]),
        ("a name of 20,000 letters", "a".repeat(20_000), &[400]),
        ("a cursor of 20,000 letters", format!("cursor={}", "A".repeat(20_000)), &[400]),
        ("a cursor of 128 letters", format!("cursor={}", "A".repeat(128)), &[400]),
        ("a limit of 20,000 digits", format!("limit={}", "1".repeat(20_000)), &[400]),
    ] {
        let attack = permitted(&format!("{path}?{query}"));
        cases.push(Case { statuses, ..Case::new(format!("{path}: {what}"), attack, &[]) });
    }
    cases
}

fn of_paths(readable: &[Readable]) -> Vec<Case> {
    const NOT_THERE: &[u16] = &[404];
    // Ids of users and groups can be chosen: what a hostile body created is there.
    const PERHAPS: &[u16] = &[200, 404];
    let mut cases = Vec::new();
    for path in readable.iter().filter_map(Readable::entity) {
        let answered = if path.starts_with("/admin/") { PERHAPS } else { NOT_THERE };
        for text in TEXTS.iter().filter(|text| !text.is_empty()) {
            let target = format!("{path}{text}");
            cases.push(Case::new(&target, permitted(&target), answered));
            cases.push(Case::new(format!("platform: {target}"), Attack::Platform(get(&target)), answered));
        }
        for (what, value) in long_values() {
            let ask = get(&format!("{path}{value}"));
            cases.push(Case::new(format!("{path}: {what}"), Attack::Platform(ask), answered));
        }
        for odd in
            ["..", ".", "...", "a/b", "a//b", "%2e%2e", "..;/", "a;b=c", "a,b", "a:b", "@", "~root", "*"]
        {
            let target = format!("{path}{odd}");
            cases.push(Case::new(&target, permitted(&target), answered));
        }
    }
    for target in [
        "/../../etc/passwd",
        "/api/v1/../v1/balance",
        "//api/v1/balance",
        "/api/v1/%62alance",
        "/api/v1/balance/.",
        "/api/v1/balance%2f",
        "/%00",
        "/api%2Fv1%2Fbalance",
        "/api/v1/balance\\",
    ] {
        let ask = Ask::raw(http::Method::GET, target);
        cases.push(Case::new(target, Attack::Signed(ask), NOT_THERE));
    }
    cases
}

fn of_times(readable: &[Readable]) -> Vec<Case> {
    let times = [
        "1970-01-01T00:00:00Z",
        "9999-12-31T23:59:59Z",
        "9999-12-30T00:00:00Z",
        "10000-01-01T00:00:00Z",
        "-0001-01-01T00:00:00Z",
        "0000-00-00T00:00:00Z",
        "2026-02-30T00:00:00Z",
        "2026-01-01T24:00:00Z",
        "2026-06-30T23:59:60Z",
        "2026-01-01T00:00:00%2B99:99",
        "2026-01-01T00:00:00-23:59",
        "2026-01-01T00:00:00.000000000000000000000001Z",
        "2026-01-01T00:00:00,5Z",
        "2026-01-01%20%200:00:00Z",
        "20260101T000000Z",
        "2026-W01-1T00:00:00Z",
        "+002026-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z%00",
        "2026-01-01T00:00:00[Europe%2FParis]",
        "999999999999999999999999-01-01T00:00:00Z",
    ];
    let mut cases = Vec::new();
    for readable in readable.iter().filter(|readable| readable.paged || readable.entity().is_some()) {
        let path = readable.entity().map_or_else(|| readable.path.clone(), |before| format!("{before}pp-1"));
        for name in &readable.times {
            for time in times {
                let target = format!("{path}?{name}={time}");
                cases.push(Case::new(&target, permitted(&target), &[200, 400, 404]));
            }
        }
    }
    cases
}
