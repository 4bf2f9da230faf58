//! Exports that do not reach their end.

use std::time::Duration;

use http::Method;
use http_body_util::{BodyExt as _, Empty};
use hyper_util::rt::TokioIo;
use sageapi_test_support::app::App;
use sageapi_test_support::database::{Kind, kinds};
use tokio::net::TcpStream;

use crate::ledger::{fill, on_every_database};

/// Enough that it does not fit into the buffers between server and client.
const RECORDS: usize = 30_000;

/// An export that is begun and not read on: the answer's body.
async fn begun(app: &App) -> hyper::body::Incoming {
    let stream = TcpStream::connect(app.http).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection);
    let signed = app.platform.call(Method::GET, "/accounting/export").build();
    let (parts, _) = signed.into_parts();
    let mut request = http::Request::from_parts(parts, Empty::<bytes::Bytes>::new());
    let host = app.http.to_string().parse().unwrap();
    request.headers_mut().insert("host", host);
    let answer = sender.send_request(request).await.unwrap();
    assert_eq!(answer.status(), 200);
    answer.into_body()
}

#[test]
fn an_export_whose_database_fails_ends_without_its_last_line() {
    on_every_database(async |app| {
        app.customer("org-b", "0").await;
        fill(&app.env, "org-b", 0, RECORDS).await;
        let mut body = begun(&app).await;
        body.frame().await.unwrap().unwrap();
        // What cannot be read stands for every failure of the database.
        app.database
            .execute(&format!("UPDATE accounting_records SET kind = 'broken' WHERE seq > {}", RECORDS - 1000))
            .await;
        let mut text = Vec::new();
        loop {
            match body.frame().await {
                Some(Ok(frame)) => text.extend_from_slice(frame.data_ref().unwrap()),
                Some(Err(_broken_off)) => break,
                None => panic!("it ended as if it were whole"),
            }
        }
        let text = String::from_utf8(text).unwrap();
        assert!(!text.contains("_end") && text.lines().count() > 1000);
        assert_eq!(app.platform.get("/balance?customer_id=org-b").await.status, 200);
    });
}

#[test]
fn an_export_that_is_not_read_holds_no_connection_and_goes_with_its_client() {
    on_every_database(async |app| {
        app.customer("org-b", "0").await;
        fill(&app.env, "org-b", 0, RECORDS).await;
        // More of them than there are connections in the pool.
        let mut bodies = Vec::new();
        for _ in 0..24 {
            bodies.push(begun(&app).await);
        }
        settled(&app).await;
        assert_eq!(app.platform.get("/accounting?limit=1").await.rows().len(), 1);
        drop(bodies);
        // The listener's connections end with their clients, so that it can stop in time.
        tokio::time::timeout(Duration::from_secs(20), app.stop()).await.expect("no export is left behind");
    });
}

/// Waits until no connection of the pool is in use but those that the writers keep.
async fn settled(app: &App) {
    let kept = match app.database.kind() {
        Kind::Sqlite => 0,
        Kind::MySql => app.env.config().accounting.writers,
    };
    let free = async {
        while app.env.store().pool_counts().used > kept {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), free).await.expect("exports that wait hold no connection");
}

#[test]
fn an_export_outlasts_the_time_of_a_request_as_long_as_it_goes_on() {
    for kind in kinds() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async {
            let limit = Duration::from_millis(1500);
            let app =
                App::builder(kind).config(move |config| config.server.request_timeout = limit).start().await;
            app.customer("org-b", "0").await;
            fill(&app.env, "org-b", 0, RECORDS).await;
            let mut body = begun(&app).await;
            let mut text = Vec::new();
            // The client, not the server, takes longer than a request may.
            for _ in 0..4 {
                tokio::time::sleep(limit / 2).await;
                text.extend_from_slice(body.frame().await.unwrap().unwrap().data_ref().unwrap());
            }
            text.extend_from_slice(&body.collect().await.unwrap().to_bytes());
            assert_eq!(crate::ledger::exported(&String::from_utf8(text).unwrap()).len(), RECORDS);
        });
    }
}
