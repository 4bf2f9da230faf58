//! Holds what is in the ledger against what the clients know, when all the trouble is over.

use std::collections::{BTreeMap, HashMap};

use http::Method;
use sageapi_test_support::client::Client;
use sageapi_test_support::server::ServerProcess;
use serde_json::Value;

use super::intent::{Answered, Intent, SCALE, decimal, name};
use super::{CREDIT, Log, sums};
use crate::Installation;
use crate::installation::Verified;

/// A record as the API lists it.
#[derive(PartialEq)]
struct Record {
    seq: u64,
    kind: String,
    amount: String,
    customer: usize,
}

/// What there is.
struct Ledger {
    /// By transno.
    records: BTreeMap<String, Record>,
    /// The state of each hold, by transno.
    holds: HashMap<String, String>,
    /// Usage records as the API lists them, by request id.
    usage: BTreeMap<String, Value>,
}

/// Fails the test unless all that was acknowledged is there, all that is unknown happens once when it is
/// repeated, and the sums are those of the intents.
pub async fn settle(
    installation: &Installation,
    running: &[ServerProcess],
    client: &Client,
    log: Log,
    what: &str,
) {
    let before = ledger(client, log.customers).await;
    acknowledged_is_there(&log, &before);
    groups_are_whole(&log, &before);

    let unknown: Vec<_> = log.intents.iter().filter(|intent| log.unknown(intent)).collect();
    let (mut had_landed, mut had_not) = (0, 0);
    for (index, intent) in unknown.iter().enumerate() {
        let client = client.at(running[index % running.len()].http());
        let (path, body) = intent.request();
        let answer = client.call(Intent::METHOD, &path).json(&body).send().await;
        for verdict in intent.verdicts(answer.status.as_u16(), &answer.body) {
            let Answered::There { seq, before: replayed, .. } = verdict.answer else {
                panic!("{intent:?}: {answer}");
            };
            let name = &verdict.name;
            let (landed, expected_seq) = match intent {
                Intent::Release(hold) => (before.holds[&hold.by.transno] == "released", None),
                Intent::Hold(_) => (before.holds.contains_key(name), None),
                Intent::Usage(_) | Intent::UsageBatch(_) => {
                    let row = before.usage.get(name);
                    (row.is_some(), row.map(|row| row["useq"].as_u64().unwrap()))
                }
                // No list shows reservations: they are counted in the end.
                Intent::Check(_) | Intent::ReleaseQuota(_) => (replayed, None),
                _ => {
                    let record = before.records.get(name);
                    (record.is_some(), record.map(|record| record.seq))
                }
            };
            // The answer to a release is the same each time.
            let told = matches!(intent, Intent::Release(_)) || replayed == landed;
            let in_place = expected_seq.is_none() || seq == expected_seq;
            assert!(told && in_place, "{intent:?}, there before: {landed}: {answer}");
            *(if landed { &mut had_landed } else { &mut had_not }) += 1;
        }
    }
    let all = ledger(client, log.customers).await;
    let records = adds_up(&log, &all, client).await;
    let usage = sums::add_up(&log, &all.usage, client).await;
    let verified = installation.verify_at(&installation.database.url()).await;
    let expected = Verified { records: (records + log.customers) as u64, usage_records: usage.records };
    assert_eq!(verified, expected, "every movement, every credit and all usage once");
    #[expect(clippy::print_stdout, reason = "the counts are what the rounds were for")]
    {
        println!(
            "crash: {what}: {} requests, {} acknowledged items, 0 lost, 0 doubled; {} requests unknown (answered 503: {:?}), all repeated: {had_landed} items had landed, {had_not} had not; verify: {} records, {} holds and {} usage records ({} tokens) add up; quotas: {} reservations settled, {} released, {} open",
            log.intents.len(),
            log.acknowledged.len(),
            unknown.len(),
            log.unavailable,
            verified.records,
            all.holds.len(),
            verified.usage_records,
            usage.tokens,
            usage.settled,
            usage.released,
            usage.open,
        );
    }
}

fn acknowledged_is_there(log: &Log, ledger: &Ledger) {
    for intent in &log.intents {
        for name in intent.names() {
            let Some(seq) = log.acknowledged.get(name) else { continue };
            match (intent, seq) {
                (Intent::Hold(_), None) => assert!(ledger.holds.contains_key(name), "lost: {intent:?}"),
                (Intent::Release(hold), _) => {
                    assert_eq!(ledger.holds[&hold.by.transno], "released", "lost: {intent:?}");
                }
                // Nor is any of these lost, or it would be missing from what is counted in the end.
                (Intent::Check(_) | Intent::ReleaseQuota(_), _) => {}
                (Intent::Usage(_) | Intent::UsageBatch(_), Some(seq)) => {
                    let there = ledger.usage.get(name).and_then(|row| row["useq"].as_u64());
                    assert_eq!(there, Some(*seq), "acknowledged, and not there under this useq: {intent:?}");
                }
                (_, Some(seq)) => {
                    let there = ledger.records.get(name).map(|record| record.seq);
                    assert_eq!(there, Some(*seq), "acknowledged, and not there under this seq: {intent:?}");
                }
                (_, None) => panic!("acknowledged without a seq: {intent:?}"),
            }
        }
    }
}

fn groups_are_whole(log: &Log, ledger: &Ledger) {
    for intent in &log.intents {
        if let Intent::Group(items) = intent {
            let there = items.iter().filter(|item| ledger.records.contains_key(&item.transno)).count();
            assert!(there == 0 || there == items.len(), "{there} of {} items: {intent:?}", items.len());
        }
    }
}

/// Every record, hold and balance is what the intents come to; how many records these are.
async fn adds_up(log: &Log, ledger: &Ledger, client: &Client) -> usize {
    let (mut spent, mut held) = (vec![0_u64; log.customers], vec![0_u64; log.customers]);
    let (mut records, mut states) = (0, HashMap::new());
    for intent in &log.intents {
        for (kind, movement) in intent.records() {
            let record = ledger.records.get(&movement.transno);
            let record = record.unwrap_or_else(|| panic!("not in the ledger: {movement:?}"));
            assert_eq!((&*record.kind, record.customer), (kind, movement.customer), "{movement:?}");
            assert_eq!(record.amount, decimal(movement.amount), "{movement:?}");
            records += 1;
            let sum = &mut spent[movement.customer];
            *sum = if kind == "reversal" { *sum - movement.amount } else { *sum + movement.amount };
        }
        match intent {
            Intent::Hold(hold) => {
                held[hold.customer] += hold.amount;
                states.insert(&hold.transno, "open");
            }
            Intent::Capture(hold, _) | Intent::Release(hold) => {
                held[hold.by.customer] -= hold.by.amount;
                let captured = matches!(intent, Intent::Capture(..));
                states.insert(&hold.by.transno, if captured { "captured" } else { "released" });
            }
            _ => {}
        }
        for usage in intent.usage() {
            let Some(hold) = &usage.hold else { continue };
            held[hold.by.customer] -= hold.by.amount;
            let captured = usage.charge().is_some();
            states.insert(&hold.by.transno, if captured { "captured" } else { "released" });
        }
    }
    assert_eq!(ledger.records.len(), records, "as many records as movements");
    assert_eq!(ledger.holds.len(), states.len(), "as many holds as intents");
    for (transno, state) in states {
        assert_eq!(ledger.holds[transno], state, "{transno}");
    }
    for customer in 0..log.customers {
        // Another instance may have booked last: the row, not what this one has cached.
        let balance = client.call(Method::GET, &format!("/balance?customer_id={}", name(customer)));
        let balance = balance.header("cache-control", "no-cache").send().await;
        // A million carries all that a test can charge.
        assert_eq!(balance.data()["balance"], decimal(CREDIT * SCALE - spent[customer]), "{balance}");
        assert_eq!(balance.data()["held"], decimal(held[customer]), "{balance}");
    }
    records
}

/// All that is there but the credits, read through the API; each seq and useq is there once, without a gap.
async fn ledger(client: &Client, customers: usize) -> Ledger {
    let mut ledger = Ledger { records: BTreeMap::new(), holds: HashMap::new(), usage: BTreeMap::new() };
    for customer in 0..customers {
        let records = rows(client, "accounting", customer).await;
        assert!(!records.is_empty(), "{}: there is the credit", name(customer));
        without_gap(&records, "seq");
        for row in records {
            let (kind, amount) = (text(&row, "kind"), text(&row, "amount"));
            if kind != "credit" {
                let record = Record { seq: row["seq"].as_u64().unwrap(), kind, amount, customer };
                let twice = ledger.records.insert(text(&row, "transno"), record);
                assert!(twice.is_none(), "booked twice: {row}");
            }
        }
        for row in rows(client, "holds", customer).await {
            let twice = ledger.holds.insert(text(&row, "transno"), text(&row, "state"));
            assert!(twice.is_none(), "held twice: {row}");
        }
        let usage = rows(client, "usage", customer).await;
        without_gap(&usage, "useq");
        for row in usage {
            let twice = ledger.usage.insert(text(&row, "request_id"), row);
            assert!(twice.is_none(), "recorded twice: {twice:?}");
        }
    }
    ledger
}

/// The rows, newest first, are numbered down to 1.
fn without_gap(rows: &[Value], number: &str) {
    for (row, expected) in rows.iter().zip((1..=rows.len()).rev()) {
        assert_eq!(row[number], expected, "{number} of {row}");
    }
}

async fn rows(client: &Client, list: &str, customer: usize) -> Vec<Value> {
    let (mut rows, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = client.get(&format!("/{list}?customer_id={}&limit=1000{cursor}", name(customer))).await;
        rows.extend_from_slice(page.rows());
        match page.data()["next_cursor"].as_str() {
            Some(more) => cursor = format!("&cursor={more}"),
            None => return rows,
        }
    }
}

fn text(row: &Value, member: &str) -> String {
    row[member].as_str().unwrap_or_else(|| panic!("no {member} in {row}")).to_owned()
}
