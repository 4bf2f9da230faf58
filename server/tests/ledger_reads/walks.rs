use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use sageapi_server::model::Kind as RecordKind;
use serde_json::{Value, json};

use crate::ledger::{fill, on_every_database, walk};

#[test]
fn walks_skip_and_double_nothing_while_eight_clients_book() {
    on_every_database(async |app| {
        let clients = ["org-1", "org-2", "org-3"];
        let mut keys = Vec::new();
        for id in clients {
            keys.push(app.customer(id, "0").await);
            fill(&app.env, id, 0, 120).await;
        }
        let before = walk(&app.platform, "/accounting?limit=1000", async || ()).await;
        // What is known to be there: the customer and the id of each record.
        let known: BTreeSet<_> =
            before.iter().map(|row| (text(row, "customer_id"), text(row, "id"))).collect();
        assert_eq!(known.len(), 360);
        let known = Mutex::new(known);
        let of_org_2 = || known.lock().unwrap().iter().filter(|(customer, _)| customer == "org-2").count();

        let done = AtomicBool::new(false);
        let book = async |n: usize| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) && count < 500 {
                let booked = app.book(clients[n % 3], RecordKind::Credit, "1").await;
                let place = (clients[n % 3].to_owned(), booked.record.id.to_string());
                known.lock().unwrap().insert(place);
                count += 1;
            }
        };
        let read = async {
            for path in [
                "/accounting?limit=11",
                "/accounting?limit=11&order=asc&to=9999-01-01T00:00:00Z",
                "/accounting?limit=13&customer_id=org-2",
                "/accounting?limit=13&customer_id=org-2&order=asc&from=2001-01-01T00:00:00Z",
            ] {
                let at_first = known.lock().unwrap().clone();
                // Of one customer: when the first page is asked for, and when the last one is.
                let first = of_org_2();
                let mut last = first;
                let rows = walk(&app.platform, path, async || last = of_org_2()).await;
                let found: BTreeSet<_> =
                    rows.iter().map(|row| (text(row, "customer_id"), text(row, "id"))).collect();
                assert_eq!(found.len(), rows.len(), "{path}: one twice");
                let ascending = path.contains("order=asc");
                if path.contains("customer_id") {
                    let seqs: Vec<_> = rows.iter().map(|row| row["seq"].as_i64().unwrap()).collect();
                    let mut whole: Vec<_> = (1..=seqs.len() as i64).collect();
                    if !ascending {
                        whole.reverse();
                    }
                    assert_eq!(seqs, whole, "{path}: a gap, or another order");
                    // Who goes up comes to what was booked on the way, who goes down leaves it behind.
                    let least = if ascending { last } else { first };
                    assert!(rows.len() >= least, "{path}: {} rows, and {least} were there", rows.len());
                } else {
                    // All times are written alike, so that texts compare as times and ids do.
                    let places: Vec<_> =
                        rows.iter().map(|row| (text(row, "created_at"), text(row, "id"))).collect();
                    let sorted = places.is_sorted_by(|a, b| if ascending { a < b } else { a > b });
                    assert!(sorted, "{path}: another order");
                    assert!(at_first.is_subset(&found), "{path}: one is missing");
                }
            }
            done.store(true, Ordering::Relaxed);
        };
        tokio::join!(read, book(0), book(1), book(2), book(3), book(4), book(5), book(6), book(7));
    });
}

#[test]
fn walks_over_holds_skip_and_double_nothing_while_others_reserve_and_settle() {
    on_every_database(async |app| {
        let mut keys = Vec::new();
        for id in ["org-1", "org-2", "org-3"] {
            keys.push(app.customer(id, "1000").await);
        }
        let known = Mutex::new(BTreeSet::new());
        let hold = async |n: usize, count: usize| {
            let body = json!({"transno": format!("h-{n}-{count}"), "amount": "0.01"});
            let made = keys[n % 3].post("/holds", &body).await;
            assert_eq!(made.status, 201, "{}", made.text());
            let id = text(made.data(), "id");
            known.lock().unwrap().insert(id.clone());
            id
        };
        for count in 0..90 {
            hold(count, 1000 + count).await;
        }
        let done = AtomicBool::new(false);
        let reserve = async |n: usize| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) && count < 200 {
                let id = hold(n, count).await;
                // A walk in the order of creation does not move with what becomes of a hold.
                if count % 2 == 0 {
                    let released = keys[n % 3].post(&format!("/holds/{id}/release"), &json!({})).await;
                    assert_eq!(released.status, 200, "{}", released.text());
                }
                count += 1;
            }
        };
        let read = async {
            for path in ["/holds?limit=11", "/holds?limit=11&order=asc"] {
                let at_first = known.lock().unwrap().clone();
                let rows = walk(&app.platform, path, async || ()).await;
                let found: BTreeSet<_> = rows.iter().map(|row| text(row, "id")).collect();
                assert_eq!(found.len(), rows.len(), "{path}: one twice");
                assert!(at_first.is_subset(&found), "{path}: one is missing");
                let places: Vec<_> =
                    rows.iter().map(|row| (text(row, "created_at"), text(row, "id"))).collect();
                let ascending = path.contains("order=asc");
                assert!(places.is_sorted_by(|a, b| if ascending { a < b } else { a > b }), "{path}");
            }
            done.store(true, Ordering::Relaxed);
        };
        tokio::join!(read, reserve(0), reserve(1), reserve(2), reserve(3));
    });
}

fn text(row: &Value, member: &str) -> String {
    row[member].as_str().unwrap().to_owned()
}

#[test]
fn times_within_a_customer_leave_the_records_that_they_name() {
    on_every_database(async |app| {
        let key = app.customer("org-t", "0").await;
        for n in 0..12 {
            fill(&app.env, "org-t", n, 1).await;
        }
        fill(&app.env, "org-t", 12, 30).await;
        let all = walk(&key, "/accounting?order=asc", async || ()).await;
        let times: Vec<_> = all.iter().map(|row| row["created_at"].as_str().unwrap()).collect();
        let ends = [
            times[0],
            times[1],
            times[5],
            times[11],
            times[12],
            times[41],
            "2001-01-01T00:00:00Z",
            "9999-01-01T00:00:00Z",
        ];
        for from in ends {
            for to in ends {
                // Both are written alike up to the second, so that texts compare as times do.
                let wanted = all.iter().filter(|row| {
                    let time = row["created_at"].as_str().unwrap();
                    from <= time && time < to
                });
                let wanted: Vec<_> = wanted.collect();
                let path = format!("/accounting?order=asc&limit=7&from={from}&to={to}");
                assert_eq!(walk(&key, &path, async || ()).await.iter().collect::<Vec<_>>(), wanted, "{path}");
                let counted = key.get(&format!("{path}&count=true")).await;
                assert_eq!(counted.data()["total"], wanted.len(), "{path}");
            }
        }
    });
}
