//! What is deleted of usage and quotas, and what stays; the sums over all customers.

use std::time::Duration;

use sageapi_server::domain::usage::{Purge, PurgeMode, renew_platform_day};
use sageapi_server::model::Timestamp;

use crate::{Db, contract};

const MINUTE: i64 = 60_000_000;

/// A usage record of a customer, by its place, when it was received and when it happened.
async fn insert(db: &Db, customer: &str, useq: i64, received_at: i64, event_time: i64) {
    let hash = "00112233445566778899aabbccddeeff".repeat(2);
    let id = format!("{:016x}{useq:016x}", customer.as_bytes()[customer.len() - 1]);
    let sql = format!(
        "INSERT INTO usage_logs (customer_id, useq, id, request_id, input_tokens, output_tokens, total_tokens, currency, \
         unpriced, billing, body_hash, event_time, received_at) VALUES ('{customer}', {useq}, X'{id}', '{customer}-{useq}', 0, 0, \
         0, 'CNY', 'x', 'log', X'{hash}', {event_time}, {received_at})"
    );
    assert_eq!(db.database.execute(&sql).await, 1);
}

async fn left(db: &Db) -> Vec<String> {
    db.database.texts("SELECT request_id FROM usage_logs ORDER BY customer_id, useq").await
}

async fn purge(db: &Db, before: i64, mode: PurgeMode) -> u64 {
    let mut purge = Purge::before(Timestamp::from_micros(before), mode);
    while purge.next_slice(&db.store).await.unwrap() {}
    purge.rows()
}

contract! {
    async fn usage_before_a_time_goes_and_the_places_that_stay_have_no_gap(db: ready) {
        let t = 1_780_000_000_000_000;
        for (customer, useq, received_at, event_time) in [
            ("org_a", 1, t - 2 * MINUTE, t - 2 * MINUTE),
            ("org_a", 2, t - 1, t - 9 * MINUTE),
            ("org_a", 3, t, t - 9 * MINUTE),
            ("org_a", 4, t + 1, t + 1),
            // Told ahead of time: it stays, and so does what follows.
            ("org_b", 1, t - 3 * MINUTE, t - 3 * MINUTE),
            ("org_b", 2, t - 2 * MINUTE, t),
            ("org_b", 3, t - MINUTE, t - MINUTE),
            ("org_c", 7, t - MINUTE, t - 1),
        ] {
            insert(&db, customer, useq, received_at, event_time).await;
        }
        assert_eq!(purge(&db, t - 10 * MINUTE, PurgeMode::Delete).await, 0);
        assert_eq!(purge(&db, t, PurgeMode::Count).await, 4);
        assert_eq!(left(&db).await.len(), 8, "counting changes nothing");
        assert_eq!(purge(&db, t, PurgeMode::Delete).await, 4);
        assert_eq!(left(&db).await, ["org_a-3", "org_a-4", "org_b-2", "org_b-3"]);
        assert_eq!(purge(&db, t, PurgeMode::Delete).await, 0);
        assert_eq!(purge(&db, t + 2, PurgeMode::Delete).await, 4);
    }

    async fn usage_is_deleted_in_slices(db: ready) {
        let t = 1_780_000_000_000_000;
        // More than two slices, many of which were received at one moment.
        let rows: Vec<_> = (1..=10_500).collect();
        for chunk in rows.chunks(500) {
            let row = |useq: &i64| format!(
                "('org_a', {useq}, X'{useq:032x}', 'r{useq}', 0, 0, 0, 'CNY', 'x', 'log', X'{useq:064x}', {t}, {})",
                t + useq / 6000
            );
            let values: Vec<_> = chunk.iter().map(row).collect();
            let columns = "customer_id, useq, id, request_id, input_tokens, output_tokens, total_tokens, currency, \
                           unpriced, billing, body_hash, event_time, received_at";
            db.database.execute(&format!("INSERT INTO usage_logs ({columns}) VALUES {}", values.join(","))).await;
        }
        assert_eq!(purge(&db, t + 10, PurgeMode::Count).await, 10_500);
        let mut slices = Purge::before(Timestamp::from_micros(t + 10), PurgeMode::Delete);
        let mut rows = Vec::new();
        while slices.next_slice(&db.store).await.unwrap() {
            rows.push(slices.rows());
        }
        assert_eq!(rows, [5_000, 10_000, 10_500]);
        assert_eq!(left(&db).await.len(), 0);
    }

    async fn the_floor_of_usage_rises_and_never_falls(db: ready) {
        let at = Timestamp::from_seconds;
        assert_eq!(db.store.raise_usage_floor(at(5)).await.unwrap(), None, "no instance has served yet");
        assert_eq!(db.store.usage_state("UTC").await.unwrap().floor, at(0));
        for (to, floor) in [(5, 5), (3, 5), (5, 5), (9, 9)] {
            let state = db.store.raise_usage_floor(at(to)).await.unwrap().unwrap();
            assert_eq!((state.floor, state.time_zone.as_str()), (at(floor), "UTC"));
            assert_eq!(db.another().usage_state("UTC").await.unwrap().floor, at(floor));
        }
    }

    async fn the_zone_of_days_is_fixed_once_there_is_usage(db: ready) {
        for zone in ["UTC", "Asia/Shanghai"] {
            assert_eq!(db.store.usage_state(zone).await.unwrap().time_zone, zone);
        }
        total(&db, "org_a", "2026-05-28", "CNY", [1; 6]).await;
        assert_eq!(db.another().usage_state("UTC").await.unwrap().time_zone, "Asia/Shanghai");
    }

    async fn closed_reservations_and_ended_windows_are_forgotten_and_what_counts_stays(db: ready) {
        let now = db.store.now().await.unwrap();
        let ago = |hours: u64| now.minus(Duration::from_secs(hours * 3600)).micros();
        for (n, state, hours) in [
            (1, "open", 30), (2, "settled", 30), (3, "released", 30), (4, "expired", 30),
            (5, "settled", 2), (6, "released", 2), (7, "expired", 2),
        ] {
            let sql = format!(
                "INSERT INTO quota_reservations (id, customer_id, user_id, declared, day_start, month_start, state, \
                 expires_at, created_at, updated_at) VALUES (X'{n:032x}', 'org_a', 'u', 1, 0, 0, '{state}', 0, 0, {})",
                ago(hours)
            );
            assert_eq!(db.database.execute(&sql).await, 1);
        }
        assert_eq!(db.store.purge_reservations(now.minus(Duration::from_hours(24)), 10).await.unwrap(), 3);
        assert_eq!(db.store.purge_reservations(now.minus(Duration::from_hours(24)), 10).await.unwrap(), 0);
        assert_eq!(db.database.int("SELECT COUNT(*) FROM quota_reservations").await, 4);
        for (kind, start, end) in [
            ("live", 0, i64::MAX), ("day", 1, ago(40 * 24)), ("day", 2, ago(30 * 24)),
            ("month", 1, ago(36 * 24)), ("month", 2, ago(34 * 24)),
        ] {
            let sql = format!(
                "INSERT INTO quota_counters (customer_id, user_id, kind, window_start, window_end, used, reserved, ring) \
                 VALUES ('org_a', 'u', '{kind}', {start}, {end}, 0, 0, X'')"
            );
            assert_eq!(db.database.execute(&sql).await, 1);
        }
        let before = now.minus(Duration::from_hours(35 * 24));
        assert_eq!(db.store.purge_counters(before, 1).await.unwrap(), 1);
        assert_eq!(db.store.purge_counters(before, 10).await.unwrap(), 1);
        assert_eq!(db.store.purge_counters(before, 10).await.unwrap(), 0);
        assert_eq!(db.database.int("SELECT COUNT(*) FROM quota_counters").await, 3);
    }

    async fn usage_of_all_customers_is_added_up_exactly_and_replaced(db: ready) {
        let (day, next) = ("2026-05-28", "2026-05-29");
        for n in 0..12 {
            total(&db, &format!("org_{n}"), day, "CNY", [1, 0, 5, 7, i64::MAX, 0]).await;
        }
        total(&db, "org_1", day, "USD", [3, 1, 1, 2, 10, 2]).await;
        total(&db, "org_1", next, "CNY", [9; 6]).await;
        assert_eq!(db.store.platform_days(day, next).await.unwrap(), []);
        assert!(renew_platform_day(&db.store, day).await.unwrap());
        assert!(!renew_platform_day(&db.store, day).await.unwrap(), "nothing differs any more");
        let days = db.store.platform_days(day, next).await.unwrap();
        assert_eq!(days.iter().map(|day| day.currency.as_str()).collect::<Vec<_>>(), ["CNY", "USD"]);
        let (yuan, dollars) = (days[0].sums, days[1].sums);
        assert_eq!((yuan.requests, yuan.input_tokens, yuan.output_tokens), (12, 60, 84));
        assert_eq!(yuan.cost(), 12 * i128::from(i64::MAX));
        assert_eq!((dollars.requests, dollars.errors, dollars.unpriced, dollars.cost()), (3, 1, 2, 10));
        // Told late.
        total(&db, "org_99", day, "CNY", [1, 1, 1, 1, 1, 1]).await;
        assert!(renew_platform_day(&db.store, day).await.unwrap());
        assert!(renew_platform_day(&db.store, next).await.unwrap());
        let days = db.store.platform_days(day, next).await.unwrap();
        assert_eq!((days.len(), days[0].sums.requests, days[2].day.as_str()), (3, 13, next));
        assert_eq!(days[0].sums.cost(), 12 * i128::from(i64::MAX) + 1);
        assert_eq!(db.store.platform_days(day, day).await.unwrap().len(), 2);
    }
}

async fn total(db: &Db, customer: &str, day: &str, currency: &str, sums: [i64; 6]) {
    let sums: Vec<_> = sums.iter().map(i64::to_string).collect();
    let sql = format!(
        "INSERT INTO usage_totals (customer_id, day, currency, requests, errors, input_tokens, output_tokens, cost, unpriced) \
         VALUES ('{customer}', '{day}', '{currency}', {})",
        sums.join(", ")
    );
    assert_eq!(db.database.execute(&sql).await, 1);
}
