//! An instance that cannot serve yet, or no longer, answers that, and nothing else goes wrong.

use std::sync::Arc;

use http::Method;
use sageapi_server::config::Config;
use sageapi_server::store::Migrate;
use sageapi_test_support::app::{App, UAPI_SECRET};
use sageapi_test_support::database::{Kind, TestDatabase, kinds};
use sageapi_test_support::server::{ServerProcess, cli};
use serde_json::json;

use crate::raw::{Ask, Credentials, Reply};
use crate::site::{Site, on, until};

/// Requests of every sort that need the database.
fn asks(key: &Credentials, now_s: i64) -> Vec<Ask> {
    use sageapi_server::signing::webhook::{ID, SIGNATURE, TIMESTAMP, WebhookSecret, sign};
    let paths = [
        "/whoami",
        "/balance",
        "/users",
        "/users/u",
        "/pricing",
        "/pricing/p",
        "/models",
        "/models/m",
        "/uapis",
        "/accounting",
        "/accounting/01890a5d-ac96-774b-bcce-b302099a8057",
    ];
    let mut asks: Vec<_> = paths.iter().map(|path| Ask::get(path).signed(key, now_s)).collect();
    asks.push(Ask::post("/accounting", &json!({"transno": "t", "amount": "1"})).signed(key, now_s));
    asks.push(Ask::get("/whoami").bearer("sk_some_token"));
    let signature = sign(&WebhookSecret::parse(UAPI_SECRET).unwrap(), "evt-1", now_s, b"{}");
    let event = Ask::post_bytes("/events", "{}").header(ID, "evt-1").header(TIMESTAMP, &now_s.to_string());
    asks.push(event.header(SIGNATURE, &signature));
    asks
}

#[track_caller]
fn assert_unavailable(ask: &Ask, reply: &Reply) {
    assert_eq!(
        reply.refusal(),
        (503, "store_unavailable"),
        "{} {}: {}",
        ask.method,
        ask.target,
        reply.text()
    );
    assert!(!reply.header("retry-after").is_empty());
    let text = reply.text().to_ascii_lowercase();
    for word in ["select", "table", "doesn't exist", "dapi_keys", "sqlx", "127.0.0.1", "mysql"] {
        assert!(!text.contains(word), "{word} is in {text}");
    }
}

async fn assert_unready(site: &Site, database: &str) {
    let probe = async |path: &str| Ask::raw(Method::GET, path).send(site.app.admin).await.status;
    assert_eq!([probe("/livez").await, probe("/readyz").await, probe("/startupz").await], [200, 503, 503]);
    let health = Ask::get("/health").send(site.http()).await;
    assert_eq!((health.status, &health.json["status"]), (503, &json!("error")), "{}", health.text());
    let data = &health.json["data"];
    assert_eq!((&data["status"], &data["database"]["status"]), (&json!("down"), &json!(database)));
    let key = Credentials { key_id: "ak_4Zr0wS1uK8mQ2vYb".into(), secret: "whatever".into() };
    for ask in asks(&key, site.now_s()) {
        assert_unavailable(&ask, &ask.send(site.http()).await);
    }
    // What needs no database is answered as ever.
    assert_eq!(Ask::get("/openapi.json").send(site.http()).await.status, 200);
    assert_eq!(Ask::get("/nothing").send(site.http()).await.status, 404);
    assert_eq!(Ask::new(Method::DELETE, "/balance").send(site.http()).await.status, 405);
}

#[test]
fn without_its_schema_an_instance_answers_that_it_cannot_serve() {
    for kind in kinds() {
        on(kind, async || {
            let site = Site::new(App::builder(kind).unmigrated().start().await);
            assert_unready(&site, "unready").await;
            // The schema arrives, and it serves.
            site.env().store().migrate(&Migrate::default()).await.unwrap();
            site.env().check_schema().await.unwrap();
            let c = site.customer("1").await;
            assert_eq!(site.get(&c.key, "/balance").await.data()["balance"], "1");
        });
    }
}

#[test]
fn a_server_on_an_empty_mysql_database_waits_for_migrate() {
    on(Kind::MySql, async || {
        let database = TestDatabase::fresh(Kind::MySql).await;
        let url = database.url();
        let mut server = ServerProcess::builder(&url).without_waiting().start().await;
        let key = Credentials { key_id: "ak_4Zr0wS1uK8mQ2vYb".into(), secret: "whatever".into() };
        let probe = async |path: &str| Ask::raw(Method::GET, path).send(server.admin_address()).await.status;
        assert_eq!(
            [probe("/livez").await, probe("/readyz").await, probe("/startupz").await],
            [200, 503, 503]
        );
        assert_eq!(Ask::get("/health").send(server.http_address()).await.status, 503);
        let now_s = sageapi_server::model::Clock::now(&*sageapi_server::model::SystemClock::new()).seconds();
        for ask in asks(&key, now_s) {
            assert_unavailable(&ask, &ask.send(server.http_address()).await);
        }
        let migrated = cli(&["migrate"], [("SAGEAPI_DATABASE_URL", url.as_str())]).await;
        assert!(migrated.status.success(), "{migrated:?}");
        server.wait_ready().await;
        let refused = Ask::get("/balance").signed(&key, now_s).send(server.http_address()).await;
        assert_eq!(refused.refusal(), (401, "auth_failed"));
        assert!(!server.stderr().iter().any(|line| line.contains("panicked")), "{:#?}", server.stderr());
        server.sigterm();
        assert_eq!(server.wait().await.code(), Some(0));
    });
}

/// Points the configuration at a port where nobody listens.
fn nowhere(config: &mut Config) {
    if let sageapi_server::config::DatabaseTarget::Mysql { hosts, .. } = &mut config.database.target {
        // Bound and never listening, to the end of the tests: nobody else gets it.
        let nobody = Box::leak(Box::new(tokio::net::TcpSocket::new_v4().unwrap()));
        nobody.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        hosts[0].port = nobody.local_addr().unwrap().port();
    }
}

#[test]
fn without_its_database_an_instance_answers_that_it_cannot_serve() {
    on(Kind::MySql, async || {
        let database = Arc::new(TestDatabase::fresh(Kind::MySql).await);
        let app = App::builder(Kind::MySql).database(database).unmigrated().config(nowhere).start().await;
        let site = Site::new(app);
        assert_unready(&site, "away").await;
        until("the attempts are counted", async || {
            Ask::raw(Method::GET, "/metrics").send(site.app.admin).await.status == 200
        })
        .await;
    });
}
