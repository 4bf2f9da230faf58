//! The admin port: probes and metrics.

use http::Method;
use serde_json::json;

use crate::raw::{Ask, Reply};
use crate::site::{Site, on_every_database};

async fn admin(site: &Site, method: Method, path: &str) -> Reply {
    Ask::raw(method, path).send(site.app.admin).await
}

#[test]
fn probes_tell_that_the_instance_lives_and_serves() {
    on_every_database(async |site| {
        for (path, text) in [("/livez", "alive\n"), ("/readyz", "ready\n"), ("/startupz", "started\n")] {
            let probe = admin(&site, Method::GET, path).await;
            assert_eq!((probe.status, probe.text().as_str()), (200, text));
            assert_eq!(probe.header("x-request-id").len(), 16, "{path}");
            let head = admin(&site, Method::HEAD, path).await;
            assert_eq!((head.status, head.bytes.len()), (200, 0));
        }
        site.env().begin_draining();
        assert_eq!(admin(&site, Method::GET, "/readyz").await.status, 503);
        assert_eq!(admin(&site, Method::GET, "/livez").await.status, 200);
        assert_eq!(Ask::get("/health").send(site.http()).await.status, 200, "requests are still answered");
    });
}

#[test]
fn the_admin_port_has_nothing_else() {
    on_every_database(async |site| {
        for path in ["/", "/api/v1/balance", "/api/v1/health", "/metrics/", "/debug/pprof"] {
            let reply = admin(&site, Method::GET, path).await;
            assert_eq!(reply.refusal(), (404, "not_found"), "{path}");
            assert_eq!(reply.header("x-request-id"), reply.json["request_id"], "{path}");
            assert_eq!(reply.header("x-request-id").len(), 16, "{path}");
        }
        for method in [Method::POST, Method::DELETE, Method::OPTIONS] {
            let reply = admin(&site, method, "/metrics").await;
            assert_eq!((reply.refusal(), reply.header("allow")), ((405, "method_not_allowed"), "GET, HEAD"));
        }
    });
}

#[test]
fn counters_begin_at_zero() {
    on_every_database(async |site| {
        let text = admin(&site, Method::GET, "/metrics").await.text();
        for line in [
            r#"sageapi_bookings_total{result="booked"} 0"#,
            r#"sageapi_bookings_total{result="failed"} 0"#,
            r#"sageapi_auth_failures_total{code="auth_replay"} 0"#,
            r#"sageapi_sync_runs_total{entity="pricing",result="sweep_refused"} 0"#,
            r#"sageapi_sync_rows_total{entity="users",op="quarantined"} 0"#,
            r#"sageapi_cache_requests_total{cache="prices",result="stale"} 0"#,
            r#"sageapi_http_requests_total{route="/api/v1/accounting",method="POST",status="500"} 0"#,
            r#"sageapi_http_requests_total{route="/api/v1/balance",method="GET",status="304"} 0"#,
        ] {
            assert!(text.lines().any(|given| given == line), "{line} is not in:\n{text}");
        }
    });
}

#[test]
fn metrics_have_the_names_of_the_contract_and_count() {
    on_every_database(async |site| {
        let c = site.customer("10").await;
        site.get(&c.key, "/balance").await;
        site.get(&c.key, "/users/somebody").await;
        Ask::get("/no/such/path").send(site.http()).await;
        site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "1"})).await;
        site.post(&c.key, "/accounting", &json!({"transno": "t", "amount": "1"})).await;
        site.post(&c.key, "/accounting", &json!({"transno": "u", "amount": "100"})).await;
        let reply = admin(&site, Method::GET, "/metrics").await;
        assert_eq!(reply.status, 200);
        assert!(
            reply.header("content-type").starts_with("application/openmetrics-text"),
            "{}",
            reply.header("content-type")
        );
        let text = reply.text();
        for line in [
            r#"sageapi_http_requests_total{route="/api/v1/balance",method="GET",status="200"} 1"#,
            r#"sageapi_http_requests_total{route="/api/v1/users/{id}",method="GET",status="404"} 1"#,
            r#"sageapi_http_requests_total{route="unmatched",method="GET",status="404"} 1"#,
            r#"sageapi_http_requests_total{route="/api/v1/accounting",method="POST",status="201"} 1"#,
            r#"sageapi_http_requests_total{route="/api/v1/accounting",method="POST",status="402"} 1"#,
            r#"sageapi_bookings_total{result="replayed"} 1"#,
            r#"sageapi_bookings_total{result="insufficient_balance"} 1"#,
            "sageapi_http_requests_in_flight 0",
            "sageapi_booking_queue_depth 0",
        ] {
            assert!(text.lines().any(|given| given == line), "{line} is not in:\n{text}");
        }
        for name in [
            "sageapi_http_request_duration_seconds_bucket{",
            "sageapi_booking_batch_size_bucket{",
            "sageapi_booking_commit_seconds_bucket{",
            "sageapi_store_pool_connections{state=",
            "sageapi_store_retries_total{reason=\"contended\"} ",
            "sageapi_store_retries_total{reason=\"unknown_commit\"} ",
            "sageapi_cache_requests_total{cache=",
            "sageapi_build_info{",
            "# EOF",
        ] {
            assert!(text.contains(name), "{name} is not in:\n{text}");
        }
        assert!(
            !text.contains(&c.id) && !text.contains("somebody"),
            "labels name routes, not what was asked for"
        );
    });
}
