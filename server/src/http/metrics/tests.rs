//! Names, types and values of the exposition: the instruments here and those of the modules below.

use std::sync::Arc;

use super::*;
use crate::config::{self, LiveConfig};
use crate::domain::booking::BookingMetrics;
use crate::domain::caches::Caches;
use crate::model::{Clock, Entity, SystemClock};
use crate::store::{PoolCounts, StoreMetrics};
use crate::sync::SyncMetrics;

fn line(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

/// The exposition after one of everything.
fn all() -> String {
    let metrics = Metrics::new("1.2.3");
    let http = HttpMetrics::register(&metrics);
    http.route("/users/{id}").request(&Method::GET, StatusCode::OK, 0.003);
    drop(http.request_started());
    http.auth_failure("auth_failed");
    let booking = BookingMetrics::register(&metrics);
    booking.bookings("accounted", 1);
    booking.set_queue_depth(7);
    booking.commit(3, 0.004);
    booking.retry("contended");
    StoreMetrics::register(&metrics).set(PoolCounts { idle: 4, used: 2 }, true);
    let clock: Arc<dyn Clock> = SystemClock::new();
    let caches = Caches::new(&LiveConfig::new(config::defaults()), &clock, &metrics);
    caches.lookup_counters("balances").hit();
    let sync = SyncMetrics::register(&metrics);
    sync.run(Entity::Users, "ok");
    sync.rows(Entity::Users, "upsert", 500);
    sync.set_age(Entity::Users, 1.5);
    sync.set_lease_held("sync:users", true);
    metrics.encode()
}

#[test]
fn every_metric_of_the_contract_is_shown_under_its_name() {
    let text = all();
    for expected in [
        r#"sageapi_http_requests_total{route="/users/{id}",method="GET",status="200"} 1"#,
        r#"sageapi_http_request_duration_seconds_bucket{le="0.005",route="/users/{id}"} 1"#,
        r#"sageapi_http_request_duration_seconds_bucket{le="0.0025",route="/users/{id}"} 0"#,
        "sageapi_http_requests_in_flight 0",
        r#"sageapi_bookings_total{result="accounted"} 1"#,
        "sageapi_booking_queue_depth 7",
        "sageapi_store_full 1",
        r#"sageapi_booking_batch_size_bucket{le="2.0"} 0"#,
        r#"sageapi_booking_batch_size_bucket{le="4.0"} 1"#,
        "sageapi_booking_commit_seconds_sum 0.004",
        r#"sageapi_store_pool_connections{state="idle"} 4"#,
        r#"sageapi_store_pool_connections{state="in_use"} 2"#,
        r#"sageapi_store_retries_total{reason="contended"} 1"#,
        r#"sageapi_store_retries_total{reason="unknown_commit"} 0"#,
        r#"sageapi_cache_requests_total{cache="balances",result="hit"} 1"#,
        r#"sageapi_cache_requests_total{cache="balances",result="stale"} 0"#,
        r#"sageapi_sync_runs_total{entity="users",result="ok"} 1"#,
        r#"sageapi_sync_rows_total{entity="users",op="upsert"} 500"#,
        r#"sageapi_sync_age_seconds{entity="users"} 1.5"#,
        r#"sageapi_auth_failures_total{code="auth_failed"} 1"#,
        r#"sageapi_leases_held{name="sync:users"} 1"#,
        r#"sageapi_build_info{version="1.2.3"} 1"#,
    ] {
        assert!(line(&text, expected), "{expected} is not in\n{text}");
    }
}

#[test]
fn counters_are_there_before_anything_is_counted() {
    let metrics = Metrics::new("1");
    HttpMetrics::register(&metrics).route("/balance").expect(&Method::GET, [200, 500, 599]);
    let text = metrics.encode();
    for (series, values) in [
        (r#"auth_failures_total{code="?"}"#, &AUTH_FAILURES[..]),
        (r#"http_requests_total{route="/balance",method="GET",status="?"}"#, &["200", "500", "599"]),
    ] {
        for value in values {
            let expected = format!("sageapi_{} 0", series.replace('?', value));
            assert!(line(&text, &expected), "{expected} is not in\n{text}");
        }
    }
}

#[test]
fn the_text_is_well_formed() {
    let text = all();
    assert!(text.ends_with("\n# EOF\n"));
    let mut described = Vec::new();
    for line in text.lines() {
        if let Some(description) = line.strip_prefix("# TYPE ") {
            described.push(description.split_once(' ').expect("a name and a type").0.to_owned());
        } else if !line.starts_with('#') {
            let (sample, value) = line.rsplit_once(' ').expect("a sample and a value");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let family = described.last().expect("a type before its samples");
            assert!(sample.starts_with(family.as_str()), "{line} is under {family}");
        }
    }
    let mut once = described.clone();
    once.sort_unstable();
    once.dedup();
    assert_eq!(once.len(), described.len(), "a family is described twice");
    assert!(!text.contains("_total_total"));
}

#[test]
fn requests_are_counted_by_method_and_status_whatever_they_are() {
    let metrics = Metrics::new("1");
    let route = HttpMetrics::register(&metrics).route(UNMATCHED);
    for _ in 0..2 {
        route.request(&Method::POST, StatusCode::NOT_FOUND, 0.1);
        route.request(&Method::from_bytes(b"EVIL").unwrap(), StatusCode::IM_A_TEAPOT, 0.1);
    }
    let text = metrics.encode();
    for expected in [
        r#"sageapi_http_requests_total{route="unmatched",method="POST",status="404"} 2"#,
        r#"sageapi_http_requests_total{route="unmatched",method="other",status="418"} 2"#,
        r#"sageapi_http_request_duration_seconds_count{route="unmatched"} 4"#,
    ] {
        assert!(line(&text, expected), "{expected} is not in\n{text}");
    }
    assert!(!text.contains("EVIL"));
}

#[test]
fn the_same_route_resolved_twice_is_one_metric() {
    let metrics = Metrics::new("1");
    let http = HttpMetrics::register(&metrics);
    for _ in 0..2 {
        http.route("/balance").request(&Method::GET, StatusCode::OK, 0.1);
    }
    assert!(line(
        &metrics.encode(),
        r#"sageapi_http_requests_total{route="/balance",method="GET",status="200"} 2"#
    ));
}

#[test]
fn known_statuses_are_sorted_for_their_search() {
    assert!(STATUSES.is_sorted());
}

#[test]
fn a_request_is_in_flight_while_its_guard_lives() {
    let metrics = Metrics::new("1");
    let http = HttpMetrics::register(&metrics);
    let (first, second) = (http.request_started(), http.request_started());
    assert!(line(&metrics.encode(), "sageapi_http_requests_in_flight 2"));
    drop((first, second));
    assert!(line(&metrics.encode(), "sageapi_http_requests_in_flight 0"));
}
