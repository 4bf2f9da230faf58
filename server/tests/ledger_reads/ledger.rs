//! An instance, and ways to fill its ledger and to read it.

use std::time::Duration;

use sageapi_server::ServerEnv;
use sageapi_server::domain::booking::{Action, Booked, Request, Reverse};
use sageapi_server::model::{BookingDetails, Kind as RecordKind, Money, RecordId, Transno};
use sageapi_test_support::app::{App, booking, customer_id};
use sageapi_test_support::client::Client;
use sageapi_test_support::database::kinds;
use serde_json::Value;

/// What a test may take in all; one that hangs fails instead.
const TEST_WITHIN: Duration = Duration::from_secs(240);

/// Runs a test on a fresh instance of every kind of database.
pub fn on_every_database(test: impl AsyncFn(App)) {
    for kind in kinds() {
        eprintln!("on {kind}:");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let run = async {
            let app = App::start(kind).await;
            tokio::time::timeout(TEST_WITHIN, test(app)).await.expect("the test ends in time");
        };
        runtime.block_on(run);
    }
}

/// Books `count` records for a customer, a thousand a request; those before it must be `from` many.
pub async fn fill(env: &ServerEnv, customer: &str, from: usize, count: usize) {
    let all: Vec<_> = (from..from + count).map(|n| nth(customer, n)).collect();
    for requests in all.chunks(1000) {
        for outcome in env.bookings().submit_bulk(requests.to_vec()).await.unwrap() {
            outcome.unwrap();
        }
    }
}

/// The nth booking of a customer: a credit at first, then charges, and a credit now and then.
fn nth(customer: &str, n: usize) -> Request {
    let (kind, amount) = match n % 7 {
        0 => (RecordKind::Credit, "100".to_owned()),
        _ => (RecordKind::Charge, format!("0.{:03}", n % 999 + 1)),
    };
    let mut request = booking(customer, &format!("t-{n}"), kind, &amount);
    let Action::Book(entry) = &mut request.action else { unreachable!("a booking books") };
    entry.details = BookingDetails {
        model_name: (!n.is_multiple_of(5)).then(|| format!("model-{}", n % 3)),
        user_id: Some(format!("u-{}", n % 4)),
        input_tokens: Some(i64::try_from(n).unwrap()),
        output_tokens: n.is_multiple_of(2).then_some(3),
        ..BookingDetails::default()
    };
    request
}

/// Takes a record back; all that is left of it without an amount.
pub async fn reverse(env: &ServerEnv, customer: &str, record: &str, amount: Option<&str>) -> Booked {
    let record = RecordId::parse(record).unwrap();
    let transno = Transno::parse(&format!("back-{record}-{}", amount.unwrap_or("rest"))).unwrap();
    let amount = amount.map(|text| Money::parse(text).unwrap());
    let action = Action::Reverse(Reverse { transno, record, amount, of_any_kind: true, note: None });
    let request = Request { customer_id: customer_id(customer), body_hash: [9; 32], nonce: None, action };
    env.bookings().submit(request).await.unwrap().into_booked().unwrap()
}

/// Every row of a list, page by page; `between` runs after each page.
pub async fn walk(client: &Client, path: &str, mut between: impl AsyncFnMut()) -> Vec<Value> {
    let (mut rows, mut target) = (Vec::new(), path.to_owned());
    let joint = if path.contains('?') { '&' } else { '?' };
    loop {
        let page = client.get(&target).await;
        rows.extend(page.rows().iter().cloned());
        let Some(cursor) = page.data()["next_cursor"].as_str() else { return rows };
        target = format!("{path}{joint}cursor={cursor}");
        between().await;
    }
}

/// The rows of an export in NDJSON, after its end was checked.
pub fn exported(text: &str) -> Vec<Value> {
    let mut lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = lines.pop().expect("an export has an end");
    assert_eq!(end, serde_json::json!({"_end": true, "count": lines.len()}));
    lines
}

pub fn nanos(row: &Value, member: &str) -> i128 {
    Money::parse_signed(row[member].as_str().unwrap()).unwrap().wide()
}
