//! Names, types and values of the exposition.

use super::*;

fn line(text: &str, line: &str) -> bool {
    text.lines().any(|found| found == line)
}

/// One of everything.
fn all() -> Metrics {
    let metrics = Metrics::new("1.2.3");
    metrics.route("/users/{id}").request(&Method::GET, StatusCode::OK, 0.003);
    drop(metrics.request_started());
    metrics.bookings("accounted", 1);
    metrics.set_booking_queue_depth(7);
    metrics.booking_commit(3, 0.004);
    metrics.set_pool_connections(4, 2);
    metrics.store_retry("contended");
    metrics.set_store_full(true);
    metrics.cache("balances").hit();
    metrics.sync_run("users", "ok");
    metrics.sync_rows("users", "upsert", 500);
    metrics.set_sync_age("users", 1.5);
    metrics.auth_failure("auth_failed");
    metrics.set_lease_held("sync:users", true);
    metrics
}

#[test]
fn every_metric_of_the_contract_is_shown_under_its_name() {
    let text = all().encode();
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
    for entity in ["users", "uapi"] {
        metrics.begin_sync(entity);
    }
    metrics.route("/balance").expect(&Method::GET, [200, 500, 599]);
    metrics.cache("balances");
    let text = metrics.encode();
    for (series, values) in [
        (r#"bookings_total{result="?"}"#, &BOOKING_RESULTS[..]),
        (r#"auth_failures_total{code="?"}"#, &AUTH_FAILURES),
        (r#"store_retries_total{reason="?"}"#, &RETRY_REASONS),
        (r#"cache_requests_total{cache="balances",result="?"}"#, &["hit", "miss", "stale"]),
        (r#"sync_runs_total{entity="uapi",result="?"}"#, &SYNC_RESULTS),
        (r#"sync_rows_total{entity="users",op="?"}"#, &SYNC_OPS),
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
    let text = all().encode();
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
    let route = metrics.route(UNMATCHED);
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
    for _ in 0..2 {
        metrics.route("/balance").request(&Method::GET, StatusCode::OK, 0.1);
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
    let (first, second) = (metrics.request_started(), metrics.request_started());
    assert!(line(&metrics.encode(), "sageapi_http_requests_in_flight 2"));
    drop((first, second));
    assert!(line(&metrics.encode(), "sageapi_http_requests_in_flight 0"));
}

#[cfg(target_os = "linux")]
#[test]
fn the_process_is_shown() {
    let text = Metrics::new("1").encode();
    for name in [
        "process_resident_memory_bytes ",
        "process_open_fds ",
        "process_cpu_seconds_total ",
        "process_start_time_seconds ",
    ] {
        let value =
            text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("{name}\n{text}"));
        assert!(value.parse::<f64>().unwrap() >= 0.0);
    }
}
