//! Clients that take their time: slow heads, slow bodies, answers that nobody reads, and many of each.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::raw::{Ask, Connection, nonce};
use crate::victim::{Victim, on_every_database};

/// Longer than the server gives a head: two looks of ten seconds each.
const HEAD_WITHIN: Duration = Duration::from_secs(25);

#[test]
fn a_body_that_does_not_arrive_is_told_so_in_time() {
    on_every_database(async |kind| {
        let victim = Victim::start(kind).await;
        let charge = json!({"transno": nonce(), "amount": "1"});
        let stalled = join_all((0..50).map(async |n| {
            let ask = Ask::post("/accounting", &charge).signed(&victim.key, victim.now_s());
            let mut connection = Connection::open(victim.server.http_address()).await;
            let bytes = ask.bytes();
            connection.write(&bytes[..bytes.len() - 1 - n % 10]).await.unwrap();
            let started = victim.stopwatch();
            let reply = connection.reply(false).await.unwrap().expect("an answer");
            victim.assert_harmless("a stalled body", &reply);
            assert_eq!(reply.refusal(), (400, "body_malformed"));
            victim.stopwatch() - started
        }))
        .await;
        // Half of server.request_timeout, which is 6 s here.
        eprintln!("a stalled body was refused after {:?} at the latest", stalled.iter().max().unwrap());
        assert!(stalled.iter().all(|waited| *waited < Duration::from_secs(6)), "{stalled:?}");

        // A drop now and then does not buy more time.
        let ask = Ask::post("/accounting", &charge).signed(&victim.key, victim.now_s());
        let mut connection = Connection::open(victim.server.http_address()).await;
        connection.write(&ask.head_bytes()).await.unwrap();
        let started = victim.stopwatch();
        let dripping = async {
            for byte in &ask.body {
                if connection.write(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        };
        // Writing goes on for as long as the whole body takes; the answer is there long before.
        let _ = tokio::time::timeout(Duration::from_secs(5), dripping).await;
        let reply = connection.reply(false).await.unwrap().expect("an answer");
        assert_eq!(reply.refusal(), (400, "body_malformed"));
        assert!(victim.stopwatch() - started < Duration::from_secs(8));
        assert_eq!(victim.get("/accounting?kind=charge").await.rows().len(), 0);
        victim.assert_unharmed().await;
    });
}

#[test]
fn a_head_that_does_not_arrive_ends_its_connection() {
    on_every_database(async |kind| {
        let victim = Victim::start(kind).await;
        let heads: &[&[u8]] = &[
            b"",
            b"G",
            b"GET /api/v1/health HTTP/1.1\r\n",
            b"GET /api/v1/health HTTP/1.1\r\nhost: a\r\n",
            b"GET /api/v1/health HTTP/1.1\r\nhost: a\r\nx-a: ",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"PRI * HTT",
        ];
        let waited = join_all(heads.iter().map(async |head| {
            let mut connection = Connection::open(victim.server.http_address()).await;
            connection.write(head).await.unwrap();
            let started = victim.stopwatch();
            let rest = tokio::time::timeout(HEAD_WITHIN, connection.rest()).await;
            assert!(rest.is_ok(), "{:?} is still waited for", String::from_utf8_lossy(head));
            victim.stopwatch() - started
        }))
        .await;
        eprintln!("half a head ended its connection after {:?} at the latest", waited.iter().max().unwrap());
        // After an answer the next head has no longer.
        let mut connection = Connection::open(victim.server.http_address()).await;
        let health = Ask::get("/health").bytes();
        assert_eq!(connection.exchange(&health, false).await.unwrap().status, 200);
        connection.write(b"GET /api/v1/hea").await.unwrap();
        assert!(tokio::time::timeout(HEAD_WITHIN, connection.rest()).await.is_ok());
        victim.assert_unharmed().await;
    });
}

#[test]
fn answers_that_nobody_reads_cost_next_to_nothing() {
    on_every_database(async |kind| {
        let mut victim = Victim::start(kind).await;
        let ask = Ask::get("/openapi.json").bytes().repeat(200);
        let before = victim.server.process().resident_bytes();
        let mut connections = Vec::new();
        for _ in 0..40 {
            let mut connection = Connection::open(victim.server.http_address()).await;
            for _ in 0..20 {
                // The socket fills up: from then on the server must not read more of it.
                let write = connection.write(&ask);
                if tokio::time::timeout(Duration::from_millis(50), write).await.is_err() {
                    break;
                }
            }
            connections.push(connection);
        }
        assert_eq!(victim.get("/balance").await.status, 200, "others are served meanwhile");
        let after = victim.server.process().resident_bytes();
        eprintln!("40 clients that do not read: {} MiB before, {} MiB then", before >> 20, after >> 20);
        assert!(after.saturating_sub(before) <= 30 << 20, "{} MiB", (after - before) >> 20);
        drop(connections);
        victim.assert_unharmed().await;
    });
}

#[test]
fn a_thousand_idle_connections_keep_nobody_out() {
    on_every_database(async |kind| {
        let victim = Victim::start(kind).await;
        let idle = join_all((0..1000).map(|_| Connection::open(victim.server.http_address()))).await;
        let replies = join_all((0..20).map(|_| victim.get("/balance"))).await;
        assert!(replies.iter().all(|reply| reply.status == 200));
        drop(idle);
        victim.assert_unharmed().await;
    });
}
