//! What all answers and errors have in common; paths, methods and the description of the interface.

use std::collections::BTreeSet;

use http::Method;
use serde_json::{Value, json};

use crate::raw::{Ask, Connection};
use crate::site::{Site, on_every_database};

#[test]
fn every_answer_has_a_request_id_of_ours() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let mut ids = BTreeSet::new();
        for (status, ask) in [
            (200, Ask::get("/balance").signed(&c.key, site.now_s())),
            (200, Ask::head("/balance").signed(&c.key, site.now_s())),
            (200, Ask::get("/health")),
            (401, Ask::get("/balance")),
            (404, Ask::get("/nothing")),
            (405, Ask::new(Method::DELETE, "/balance")),
            (
                201,
                Ask::post("/accounting", &json!({"transno": "t", "amount": "1"}))
                    .signed(&c.key, site.now_s()),
            ),
            (
                402,
                Ask::post("/accounting", &json!({"transno": "u", "amount": "1"}))
                    .signed(&c.key, site.now_s()),
            ),
            (304, Ask::get("/openapi.json").header("if-none-match", "*")),
        ] {
            let reply = ask
                .header("x-request-id", "mine")
                .header("x-client-request-id", "theirs")
                .send(site.http())
                .await;
            assert_eq!(reply.status, status, "{}", reply.text());
            let id = reply.header("x-request-id").to_owned();
            assert!(id.len() >= 16 && id.bytes().all(|b| b.is_ascii_graphic()) && id != "mine", "{id}");
            if status >= 400 {
                assert_eq!(reply.json["request_id"], id);
            }
            assert!(ids.insert(id), "no id comes twice");
        }
    });
}

#[test]
fn the_clients_own_request_id_is_echoed_under_its_name() {
    on_every_database(async |site| {
        let echoed = async |value: &str| {
            let reply = Ask::get("/health").header("x-request-id", value).send(site.http()).await;
            reply.header("x-client-request-id").to_owned()
        };
        assert_eq!(echoed("abc-123").await, "abc-123");
        assert_eq!(echoed(&"x".repeat(128)).await, "x".repeat(128));
        assert_eq!(echoed(&"x".repeat(129)).await, "");
        let none = Ask::get("/health").send(site.http()).await;
        assert_eq!(none.header("x-client-request-id"), "");
    });
}

#[test]
fn a_problem_has_the_members_of_the_contract() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let plain = ["type", "title", "status", "detail", "instance", "code", "request_id", "errors"];
        let cases = [
            (Ask::get("/nothing?a=b"), vec![]),
            (Ask::get("/balance"), vec![]),
            (Ask::get("/balance").signed(&c.key, site.now_s() - 999), vec!["server_time"]),
            (
                Ask::post("/accounting", &json!({"transno": "t", "amount": "2"}))
                    .signed(&c.key, site.now_s()),
                vec!["available", "required"],
            ),
            (
                Ask::post("/accounting", &json!({"transno": "", "amount": "2"})).signed(&c.key, site.now_s()),
                vec![],
            ),
        ];
        for (ask, added) in cases {
            let reply = ask.send(site.http()).await;
            let members: Vec<_> = reply.json.as_object().unwrap().keys().map(String::as_str).collect();
            assert_eq!(members, [plain.as_slice(), &added].concat(), "{}", reply.text());
            assert_eq!(reply.json["instance"], ask.target.split('?').next().unwrap());
            assert_eq!(reply.json["type"], format!("urn:sageapi:problem:{}", reply.code()));
            assert_eq!(reply.header("cache-control"), "no-store");
            for text in ["title", "detail"] {
                assert!(!reply.json[text].as_str().unwrap().is_empty());
            }
            for error in reply.json["errors"].as_array().unwrap() {
                assert!(error["field"].is_string() && error["message"].is_string(), "{error}");
            }
            if reply.status == 401 {
                assert!(!reply.header("www-authenticate").is_empty());
            }
        }
    });
}

/// The paths of openapi.json with the methods they take.
fn described(document: &Value) -> Vec<(String, Vec<String>)> {
    let paths = document["paths"].as_object().unwrap();
    paths
        .iter()
        .map(|(path, methods)| (path.clone(), methods.as_object().unwrap().keys().cloned().collect()))
        .collect()
}

#[test]
fn the_description_is_served_and_is_the_one_in_the_repository() {
    on_every_database(async |site| {
        let served = Ask::get("/openapi.json").send(site.http()).await;
        assert_eq!((served.status, served.header("content-type")), (200, "application/json"));
        let committed = include_str!("../../../docs/openapi.json");
        assert_eq!(served.text(), committed, "docs/openapi.json is out of date");
        let unchanged = Ask::get("/openapi.json").header("if-none-match", served.header("etag"));
        assert_eq!(unchanged.send(site.http()).await.status, 304);
        let paths: Vec<_> = described(&served.json).into_iter().map(|(path, _)| path).collect();
        for path in [
            "/health",
            "/openapi.json",
            "/whoami",
            "/balance",
            "/users",
            "/users/{id}",
            "/pricing",
            "/pricing/{ppid}",
            "/models",
            "/models/{id}",
            "/uapis",
            "/accounting",
            "/accounting/{id}",
            "/events",
        ] {
            assert!(paths.contains(&format!("/api/v1{path}")), "{path}");
        }
    });
}

#[test]
fn the_description_is_shown_as_a_page_that_needs_no_key_and_nothing_from_elsewhere() {
    on_every_database(async |site| {
        let page = Ask::raw(Method::GET, "/docs").send(site.http()).await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(page.text().contains("api/v1/openapi.json"), "{}", page.text());
        let policy = page.header("content-security-policy");
        for part in ["default-src 'none'", "script-src 'sha256-", "style-src 'sha256-", "connect-src 'self'"]
        {
            assert!(policy.contains(part), "{policy}");
        }
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(page.header("x-content-type-options"), "nosniff");
        let unchanged = Ask::raw(Method::GET, "/docs").header("if-none-match", page.header("etag"));
        assert_eq!(unchanged.send(site.http()).await.status, 304);
    });
}

#[test]
fn a_request_names_its_host() {
    on_every_database(async |site| {
        let request = |version: &str, host: &str| {
            format!("GET /api/v1/health HTTP/{version}\r\n{host}connection: close\r\n\r\n")
        };
        let status = async |version: &str, host: &str| {
            let mut connection = Connection::open(site.http()).await;
            connection.exchange(request(version, host).as_bytes(), false).await.unwrap()
        };
        let without = status("1.1", "").await;
        assert_eq!(without.refusal(), (400, "invalid_request"));
        assert!(without.json["detail"].as_str().unwrap().contains("Host"), "{}", without.text());
        assert_eq!(status("1.1", "host: a\r\n").await.status, 200);
        assert_eq!(status("1.0", "").await.status, 200);
    });
}

#[test]
fn a_path_takes_its_methods_and_head_wherever_get() {
    on_every_database(async |site| {
        let c = site.customer("1").await;
        let document = Ask::get("/openapi.json").send(site.http()).await;
        for (path, methods) in described(&document.json) {
            let path = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
            let path = path.collect::<Vec<_>>().join("/");
            let takes = |method: &str| methods.iter().any(|m| m == method);
            let mut allow = Vec::new();
            allow.extend(takes("get").then_some("GET, HEAD"));
            for method in ["POST", "PUT", "PATCH", "DELETE"] {
                allow.extend(takes(&method.to_ascii_lowercase()).then_some(method));
            }
            for method in [
                "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PROPFIND", "get",
                "BREW",
            ] {
                let ask = Ask::raw(Method::from_bytes(method.as_bytes()).unwrap(), &path);
                let reply = ask.send(site.http()).await;
                let taken = takes(&method.to_ascii_lowercase()) && method != "get"
                    || method == "HEAD" && takes("get");
                assert_eq!(reply.status != 405, taken, "{method} {path}: {}", reply.status);
                if !taken {
                    assert_eq!(reply.header("allow"), allow.join(", "), "{method} {path}");
                    assert!(method == "HEAD" || reply.code() == "method_not_allowed");
                }
            }
            if takes("get") {
                let get = site.send(Ask::raw(Method::GET, &path), &c.key).await;
                let head = site.send(Ask::raw(Method::HEAD, &path), &c.key).await;
                assert_eq!((head.status, head.bytes.len()), (get.status, 0), "{path}");
                assert_eq!(head.header("content-type"), get.header("content-type"), "{path}");
            }
        }
    });
}

#[test]
fn what_is_no_path_is_not_found_before_anybody_is_asked_who_he_is() {
    on_every_database(async |site| {
        for path in [
            "/",
            "/api",
            "/api/v1",
            "/api/v1/",
            "/api/v1/balance/",
            "/api/v1//balance",
            "/api/v2/balance",
            "/API/v1/balance",
            "/balance",
            "/api/v1/users/",
            "/api/v1/users/a/b",
            "/api/v1/bal%61nce",
            "/api/v1/../v1/balance",
            "/api/v1/balance;a=b",
            "/api/v1/balance%3Fa",
            "/api/v1/balance%00",
            "/livez",
            "/readyz",
            "/metrics",
            "/admin/",
            "/docs/",
            "/api/v1/docs",
            "/favicon.ico",
            "/.env",
        ] {
            let reply = Ask::raw(Method::GET, path).send(site.http()).await;
            assert_eq!(reply.refusal(), (404, "not_found"), "{path}");
        }
    });
}

#[test]
fn several_requests_share_a_connection_and_may_be_sent_ahead() {
    on_every_database(async |site: Site| {
        let c = site.customer("10").await;
        let mut connection = Connection::open(site.http()).await;
        let charge = |n: u32| {
            let body = json!({"transno": format!("t-{n}"), "amount": "1"});
            Ask::post("/accounting", &body).signed(&c.key, site.now_s())
        };
        let asks =
            [charge(1), Ask::get("/nothing"), Ask::get("/balance").signed(&c.key, site.now_s()), charge(2)];
        connection.write(&asks.iter().flat_map(Ask::bytes).collect::<Vec<_>>()).await.unwrap();
        let mut statuses = Vec::new();
        for _ in &asks {
            statuses.push(connection.reply(false).await.unwrap().unwrap().status);
        }
        assert_eq!(statuses, [201, 404, 200, 201]);
    });
}

#[test]
fn health_says_how_the_instance_is() {
    on_every_database(async |site| {
        let health = Ask::get("/health").send(site.http()).await;
        assert_eq!(health.status, 200);
        let data = health.data();
        assert_eq!((&data["status"], &data["database"]["status"]), (&json!("ok"), &json!("ok")));
        assert_eq!(data["database"]["kind"], site.database().kind().to_string());
        assert!(
            data["version"].is_string() && data["instance"].is_string() && data["uptime_s"].is_u64(),
            "{data}"
        );
        assert!(data["cache"].is_object() && data["sync"].is_object(), "{data}");
        let by_admin = Ask::raw(Method::GET, "/health").send(site.app.admin).await;
        assert_eq!(by_admin.data()["instance"], data["instance"]);
    });
}
