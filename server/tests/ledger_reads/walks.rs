use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};

use sageapi_server::model::Kind as RecordKind;

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
        let before: BTreeSet<_> = before.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
        assert_eq!(before.len(), 360);

        let done = AtomicBool::new(false);
        let book = async |n: usize| {
            let mut count = 0;
            while !done.load(Ordering::Relaxed) && count < 500 {
                app.book(clients[n % 3], RecordKind::Credit, "1").await;
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
                let rows = walk(&app.platform, path, async || ()).await;
                let ids: BTreeSet<_> =
                    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect();
                assert_eq!(ids.len(), rows.len(), "{path}: one twice");
                if path.contains("customer_id") {
                    let mut seqs: Vec<_> = rows.iter().map(|row| row["seq"].as_i64().unwrap()).collect();
                    seqs.sort_unstable();
                    assert!(
                        seqs.len() >= 120 && seqs.iter().copied().eq(1..=seqs.len() as i64),
                        "{path}: a gap"
                    );
                } else {
                    assert!(before.is_subset(&ids), "{path}: one is missing");
                }
            }
            done.store(true, Ordering::Relaxed);
        };
        tokio::join!(read, book(0), book(1), book(2), book(3), book(4), book(5), book(6), book(7));
    });
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
