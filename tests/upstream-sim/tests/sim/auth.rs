use http::{HeaderMap, HeaderValue, StatusCode};
use sageapi_upstream_sim::Options;
use serde_json::Value;

use super::client::{Client, code, json_of, start};

const USERS: &str = "/sync/v1/users?limit=1";

async fn answer(client: &Client, sim: &sageapi_upstream_sim::RunningSim, headers: HeaderMap) -> (u16, Value) {
    let answer = client.send(sim.feed_addr, USERS, headers).await;
    (answer.status().as_u16(), json_of(answer).await["code"].take())
}

#[tokio::test]
async fn unsigned_and_wrongly_signed_pulls_are_401() {
    let (sim, client) = start(Options::default()).await;
    let signed = |key_id: &str, secret: &str, skew_s| {
        Client { key_id: key_id.into(), secret: secret.into(), skew_s, ..Client::new() }
            .headers(sim.feed_addr, USERS)
    };
    let (key_id, secret) = (client.key_id.as_str(), client.secret.as_str());
    assert_eq!(answer(&client, &sim, signed(key_id, secret, 0)).await, (200, Value::Null));

    assert_eq!(answer(&client, &sim, HeaderMap::new()).await, code(401, "auth_missing"));
    assert_eq!(answer(&client, &sim, signed(key_id, "wrong", 0)).await, code(401, "auth_failed"));
    assert_eq!(answer(&client, &sim, signed("ak_other", secret, 0)).await, code(401, "auth_failed"));
    assert_eq!(answer(&client, &sim, signed(key_id, secret, -400)).await, code(401, "auth_expired"));
    let of_another_page = client.headers(sim.feed_addr, "/sync/v1/users?limit=2");
    assert_eq!(answer(&client, &sim, of_another_page).await, code(401, "auth_failed"));
    let of_another_host = client.headers("192.0.2.1:80".parse().unwrap(), USERS);
    assert_eq!(answer(&client, &sim, of_another_host).await, code(401, "auth_failed"));
    let mut half = client.headers(sim.feed_addr, USERS);
    half.remove("signature");
    assert_eq!(answer(&client, &sim, half).await, code(401, "auth_malformed"));
    assert_eq!(sim.control.state_report().unauthorized, 7);
    assert_eq!(sim.control.state_report().entities["users"].requests, 1);
    sim.stop().await;
}

#[tokio::test]
async fn a_signature_that_leaves_out_the_host_is_401() {
    let (sim, client) = start(Options::default()).await;
    let mut headers = client.headers(sim.feed_addr, USERS);
    let input = headers["signature-input"].to_str().unwrap().replace("\"@authority\" ", "");
    headers.insert("signature-input", HeaderValue::try_from(input).unwrap());
    assert_eq!(answer(&client, &sim, headers).await, code(401, "auth_uncovered"));
    sim.stop().await;
}

#[tokio::test]
async fn an_apikey_in_clear_counts_only_where_one_was_set() {
    let headers = |name: &'static str, value: &'static str| {
        HeaderMap::from_iter([(name.parse().unwrap(), HeaderValue::from_static(value))])
    };
    let (sim, client) = start(Options::default()).await;
    let bearer = headers("authorization", "Bearer plain-key");
    assert_eq!(answer(&client, &sim, bearer.clone()).await, code(401, "auth_failed"));
    sim.stop().await;

    let (sim, client) = start(Options { dapi_apikey: Some("plain-key".into()), ..Options::default() }).await;
    assert_eq!(answer(&client, &sim, bearer).await, (200, Value::Null));
    assert_eq!(answer(&client, &sim, headers("x-api-key", "plain-key")).await, (200, Value::Null));
    assert_eq!(answer(&client, &sim, headers("x-api-key", "plain")).await, code(401, "auth_failed"));
    sim.stop().await;
}

#[tokio::test]
async fn other_paths_are_404_and_other_methods_405() {
    let (sim, client) = start(Options::default()).await;
    for path in ["/", "/sync/v1/", "/sync/v1/groups", "/sync/v2/users", "/control/state"] {
        assert_eq!(client.pull(&sim, path).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
    let url = format!("{}/sync/v1/users", sim.feed_url());
    let posted = reqwest::Client::builder().no_proxy().build().unwrap().post(url).send().await.unwrap();
    assert_eq!(posted.status(), StatusCode::METHOD_NOT_ALLOWED);
    sim.stop().await;
}
