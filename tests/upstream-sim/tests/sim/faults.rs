use std::time::Duration;

use http::StatusCode;
use sageapi_upstream_sim::fault::{BadRow, Fault, Mode};
use sageapi_upstream_sim::{Entity, Options, RunningSim, Sim};
use serde_json::Value;

use super::client::{Client, json_of, start};

const USERS: &str = "/sync/v1/users?limit=3";

/// A simulator in which the next pull of users meets this fault, and only that one.
async fn with(fault: Fault) -> (RunningSim, Client) {
    let (sim, client) = start(Options::default()).await;
    sim.control.fault(fault.on(Entity::Users).times(1));
    (sim, client)
}

/// The fault is over and was counted.
async fn is_over(sim: RunningSim, client: &Client) {
    assert_eq!(client.page(&sim, USERS).await["rows"].as_array().unwrap().len(), 3);
    let report = sim.control.state_report();
    assert_eq!((report.entities["users"].faulted, report.entities["users"].requests), (1, 2));
    assert!(report.faults.is_empty());
    sim.stop().await;
}

#[tokio::test]
async fn slow_answers_late_but_well() {
    let (sim, client) = with(Fault { delay_ms: Some(3_600_000), ..Fault::new(Mode::Slow) }).await;
    let early = tokio::time::timeout(Duration::from_millis(100), client.page(&sim, USERS)).await;
    assert!(early.is_err(), "answered before its delay");
    sim.stop().await;
    let (sim, client) = with(Fault { delay_ms: Some(1), ..Fault::new(Mode::Slow) }).await;
    assert_eq!(client.page(&sim, USERS).await["rows"].as_array().unwrap().len(), 3);
    is_over(sim, &client).await;
}

#[tokio::test]
async fn down_closes_the_connection_without_an_answer() {
    let (sim, client) = with(Fault::new(Mode::Down)).await;
    let headers = client.headers(sim.feed_addr, USERS);
    assert!(client.try_send(sim.feed_addr, USERS, headers).await.is_err());
    is_over(sim, &client).await;
}

#[tokio::test]
async fn status_answers_what_it_is_told() {
    let (sim, client) = with(Fault { status: Some(418), ..Fault::new(Mode::Status) }).await;
    assert_eq!(client.pull(&sim, USERS).await.status().as_u16(), 418);
    is_over(sim, &client).await;
    let (sim, client) = with(Fault::new(Mode::Status)).await;
    assert_eq!(client.pull(&sim, USERS).await.status(), StatusCode::SERVICE_UNAVAILABLE);
    is_over(sim, &client).await;
}

#[tokio::test]
async fn truncated_is_a_whole_answer_with_half_the_json() {
    let (sim, client) = with(Fault::new(Mode::Truncated)).await;
    let answer = client.pull(&sim, USERS).await;
    let body = answer.bytes().await.unwrap();
    assert!(body.starts_with(br#"{"status":"ok""#));
    assert!(serde_json::from_slice::<Value>(&body).unwrap_err().is_eof());
    is_over(sim, &client).await;
}

#[tokio::test]
async fn cut_breaks_off_in_the_body() {
    let (sim, client) = with(Fault::new(Mode::Cut)).await;
    let answer = client.pull(&sim, USERS).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert!(answer.bytes().await.is_err());
    is_over(sim, &client).await;
}

#[tokio::test]
async fn wrong_content_is_a_page_for_people() {
    let (sim, client) = with(Fault::new(Mode::WrongContent)).await;
    let answer = client.pull(&sim, USERS).await;
    assert_eq!(answer.status(), StatusCode::OK);
    assert_eq!(answer.headers()["content-type"], "text/html; charset=utf-8");
    assert!(answer.text().await.unwrap().starts_with("<!doctype html>"));
    is_over(sim, &client).await;
}

#[tokio::test]
async fn huge_is_as_large_as_told_and_still_json() {
    let (sim, client) = with(Fault { bytes: Some(200_000), ..Fault::new(Mode::Huge) }).await;
    let body = json_of(client.pull(&sim, USERS).await).await;
    assert_eq!(body["data"]["padding"].as_str().unwrap().len(), 200_000);
    is_over(sim, &client).await;
}

#[tokio::test]
async fn redirect_leads_to_where_followers_are_counted() {
    let (sim, client) = with(Fault::new(Mode::Redirect)).await;
    let answer = client.pull(&sim, USERS).await;
    assert_eq!(answer.status(), StatusCode::FOUND);
    let to = answer.headers()["location"].to_str().unwrap().to_owned();
    assert_eq!(sim.control.state_report().redirects_followed, 0);
    client.pull(&sim, &to).await;
    assert_eq!(sim.control.state_report().redirects_followed, 1);
    is_over(sim, &client).await;
    let elsewhere = Fault { location: Some("http://192.0.2.1/".into()), ..Fault::new(Mode::Redirect) };
    let (sim, client) = with(elsewhere).await;
    assert_eq!(client.pull(&sim, USERS).await.headers()["location"], "http://192.0.2.1/");
    is_over(sim, &client).await;
}

#[tokio::test]
async fn garbage_claims_to_be_json_and_is_not_even_text() {
    let (sim, client) = with(Fault::new(Mode::Garbage)).await;
    let answer = client.pull(&sim, USERS).await;
    assert_eq!(answer.headers()["content-type"], "application/json");
    let body = answer.bytes().await.unwrap();
    assert!(std::str::from_utf8(&body).is_err());
    is_over(sim, &client).await;
}

#[tokio::test]
async fn a_bad_row_spoils_the_first_row_and_leaves_its_neighbours_good() {
    for what in [BadRow::Data, BadRow::NoData, BadRow::Version, BadRow::Op, BadRow::Id, BadRow::Null] {
        let (sim, client) = with(Fault { what: Some(what), ..Fault::new(Mode::BadRow) }).await;
        let page = client.page(&sim, USERS).await;
        let rows = page["rows"].as_array().unwrap();
        assert_eq!(rows.len(), 3);
        let bad = &rows[0];
        match what {
            BadRow::Data => assert!(bad["data"]["username"].is_array() && bad["data"]["orgid"].is_object()),
            BadRow::NoData => assert!(bad["op"] == "upsert" && bad["data"].is_null()),
            BadRow::Version => assert!(bad["version"].is_string()),
            BadRow::Op => assert_eq!(bad["op"], "replace"),
            BadRow::Id => assert_eq!(bad["id"].as_str().unwrap().len(), 65),
            BadRow::Null => assert!(bad.is_null()),
        }
        assert_eq!(rows[1]["id"], "user_demo_0002");
        assert_eq!(rows[1]["data"]["username"], "user-000002");
        is_over(sim, &client).await;
    }
}

#[tokio::test]
async fn stall_sends_the_beginning_and_then_nothing() {
    let (sim, client) = with(Fault::new(Mode::Stall)).await;
    let mut answer = client.pull(&sim, USERS).await;
    let first = answer.chunk().await.unwrap().unwrap();
    assert!(first.starts_with(br#"{"status":"ok""#));
    let more = tokio::time::timeout(Duration::from_millis(100), answer.chunk()).await;
    assert!(more.is_err(), "something came: {more:?}");
    is_over(sim, &client).await;
}

#[tokio::test]
async fn a_fault_of_one_entity_leaves_the_others_alone_until_it_is_ended() {
    let (sim, client) = start(Options::default()).await;
    sim.control.fault(Fault::new(Mode::Status).on(Entity::Pricing));
    for _ in 0..3 {
        assert_eq!(client.pull(&sim, "/sync/v1/pricing").await.status().as_u16(), 503);
    }
    client.page(&sim, USERS).await;
    sim.control.fault(Fault::new(Mode::None));
    client.page(&sim, "/sync/v1/pricing").await;
    sim.stop().await;
}

#[tokio::test]
async fn a_fault_does_not_open_the_feed_to_the_unsigned() {
    let (sim, client) = start(Options::default()).await;
    sim.control.fault(Fault::new(Mode::WrongContent));
    let answer = client.send(sim.feed_addr, USERS, http::HeaderMap::new()).await;
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    sim.stop().await;
}

#[tokio::test]
async fn stopping_does_not_wait_for_a_stalled_answer_and_frees_the_port() {
    let (sim, client) = with(Fault::new(Mode::Stall)).await;
    let mut stalled = client.pull(&sim, USERS).await;
    stalled.chunk().await.unwrap();
    let listen = sim.feed_addr;
    tokio::time::timeout(Duration::from_secs(10), sim.stop())
        .await
        .expect("stop waits for the stalled answer");
    Sim::start(Options { listen, ..Options::default() }).await.unwrap().stop().await;
}
