use std::collections::BTreeSet;

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sageapi_upstream_sim::world::Counts;
use sageapi_upstream_sim::{Columns, Entity, Options, Rows};
use serde_json::{Value, json};

use super::client::{Client, code, ids, json_of, start};

#[tokio::test]
async fn a_walk_in_pages_gives_every_row_of_every_entity_once() {
    let (sim, client) = start(Options::default()).await;
    for (entity, expected) in [
        (Entity::Users, 1000),
        (Entity::Pricing, 42),
        (Entity::Llmage, 50),
        (Entity::Uapi, 20),
        (Entity::Balances, 10),
    ] {
        let (rows, _) = client.walk(&sim, entity, "", "", 7).await;
        assert_eq!(ids(&rows).into_iter().collect::<BTreeSet<_>>().len(), rows.len());
        assert_eq!(rows.len(), expected, "{entity}");
        assert!(rows.iter().all(|row| row["op"] == "upsert" && row["data"]["id"] == row["id"]));
        let versions: Vec<u64> = rows.iter().map(|row| row["version"].as_u64().unwrap()).collect();
        assert!(versions.is_sorted());
    }
    sim.stop().await;
}

#[tokio::test]
async fn a_page_has_the_documented_members() {
    let (sim, client) = start(Options::default()).await;
    let page = client.page(&sim, "/sync/v1/users?limit=1").await;
    let names: Vec<&String> = page.as_object().unwrap().keys().collect();
    assert_eq!(names, ["rows", "next", "has_more", "server_time"]);
    assert_eq!(page["has_more"], true);
    let row = &page["rows"][0];
    let names: Vec<&String> = row.as_object().unwrap().keys().collect();
    assert_eq!(names, ["id", "op", "version", "updated_at", "data"]);
    assert_eq!(row["id"], "user_demo_0001");
    assert_eq!(row["data"]["orgid"], "org_demo_0001");
    assert_eq!(row["updated_at"], "2026-01-01T00:00:00.000000Z");
    sim.stop().await;
}

#[tokio::test]
async fn a_change_after_the_walk_shows_up_with_the_old_cursor() {
    let (sim, client) = start(Options::default()).await;
    let (_, cursor) = client.walk(&sim, Entity::Users, "", "", 500).await;
    let (nothing, same) = client.walk(&sim, Entity::Users, &cursor, "", 500).await;
    assert!(nothing.is_empty());
    assert_eq!(same, cursor);

    let named = Rows::Ids(vec!["user_demo_0003".into()]);
    let set = Columns::from_iter([("nick_name".to_owned(), json!("改名"))]);
    sim.control.change(Entity::Users, &named, Some(set)).unwrap();
    let added = sim.control.add(Entity::Users, &Rows::Count(1), None).unwrap();
    let (rows, cursor) = client.walk(&sim, Entity::Users, &cursor, "", 500).await;
    assert_eq!(ids(&rows), ["user_demo_0003", &added.ids[0]]);
    assert_eq!(rows[0]["data"]["nick_name"], "改名");
    assert_eq!(rows[1]["version"], added.version);
    assert!(client.walk(&sim, Entity::Users, &cursor, "", 500).await.0.is_empty());
    sim.stop().await;
}

#[tokio::test]
async fn a_deleted_row_is_told_as_deleted_with_a_newer_version() {
    let (sim, client) = start(Options::default()).await;
    let (rows, cursor) = client.walk(&sim, Entity::Uapi, "", "", 500).await;
    let gone = sim.control.delete(Entity::Uapi, &Rows::Count(2)).unwrap();
    let (deleted, _) = client.walk(&sim, Entity::Uapi, &cursor, "", 500).await;
    assert_eq!(ids(&deleted), gone.ids);
    for row in &deleted {
        assert_eq!((&row["op"], &row["data"]), (&json!("delete"), &Value::Null));
        let before = rows.iter().find(|before| before["id"] == row["id"]).unwrap();
        assert!(row["version"].as_u64() > before["version"].as_u64());
    }
    let (snapshot, _) = client.walk(&sim, Entity::Uapi, "", "&snapshot=1", 7).await;
    assert_eq!(snapshot.len(), 18, "a snapshot has the living only");
    sim.stop().await;
}

#[tokio::test]
async fn asked_by_id_the_feed_gives_one_row_each_and_absent_ones_as_deleted() {
    let (sim, client) = start(Options::default()).await;
    sim.control.add(Entity::Users, &Rows::Ids(vec!["a,b c".into()]), None).unwrap();
    sim.control.delete(Entity::Users, &Rows::Ids(vec!["user_demo_0002".into()])).unwrap();
    let target = "/sync/v1/users?ids=user_demo_0001,a%2Cb%20c,user_demo_0002,nobody,user_demo_0001";
    let page = client.page(&sim, target).await;
    let rows = page["rows"].as_array().unwrap();
    assert_eq!(ids(rows), ["user_demo_0001", "a,b c", "user_demo_0002", "nobody"]);
    let ops: Vec<&Value> = rows.iter().map(|row| &row["op"]).collect();
    assert_eq!(ops, ["upsert", "upsert", "delete", "delete"]);
    assert_eq!(rows[1]["data"]["id"], "a,b c");
    assert_eq!((&page["next"], &page["has_more"]), (&Value::Null, &json!(false)));

    let later = sim.control.add(Entity::Users, &Rows::Ids(vec!["nobody".into()]), None).unwrap();
    assert!(later.version > rows[3]["version"].as_u64().unwrap(), "a later row must win over the absence");
    sim.stop().await;
}

#[tokio::test]
async fn an_expired_cursor_is_410_and_a_snapshot_goes_on_from_there() {
    let (sim, client) = start(Options::default()).await;
    let (_, old) = client.walk(&sim, Entity::Llmage, "", "", 500).await;
    let (_, other) = client.walk(&sim, Entity::Users, "", "", 500).await;
    sim.control.expire_cursors(Some(Entity::Llmage), None);
    assert_eq!(refused(&client, &sim, "llmage", &old).await, code(410, "cursor_expired"));
    client.walk(&sim, Entity::Users, &other, "", 500).await;
    let (rows, new) = client.walk(&sim, Entity::Llmage, "", "&snapshot=1", 500).await;
    assert_eq!(rows.len(), 50);
    assert!(client.walk(&sim, Entity::Llmage, &new, "", 500).await.0.is_empty());
    assert_eq!(sim.control.state_report().entities["llmage"].snapshots, 1);
    sim.stop().await;
}

#[tokio::test]
async fn only_cursors_before_the_told_version_expire() {
    let (sim, client) = start(Options::default()).await;
    let early = client.page(&sim, "/sync/v1/users?limit=5").await;
    let late = client.page(&sim, "/sync/v1/users?limit=6").await;
    sim.control.expire_cursors(None, Some(6));
    assert_eq!(
        refused(&client, &sim, "users", early["next"].as_str().unwrap()).await,
        code(410, "cursor_expired")
    );
    client.walk(&sim, Entity::Users, late["next"].as_str().unwrap(), "", 500).await;
    sim.stop().await;
}

#[tokio::test]
async fn a_cursor_of_another_world_or_of_a_longer_run_has_expired() {
    let (sim, client) = start(Options::default()).await;
    let (_, cursor) = client.walk(&sim, Entity::Users, "", "", 500).await;
    sim.control.change(Entity::Users, &Rows::Count(1), None).unwrap();
    let (_, after_change) = client.walk(&sim, Entity::Users, &cursor, "", 500).await;
    sim.stop().await;

    let (again, client) = start(Options::default()).await;
    assert!(client.walk(&again, Entity::Users, &cursor, "", 500).await.0.is_empty());
    assert_eq!(refused(&client, &again, "users", &after_change).await, code(410, "cursor_expired"));
    again.stop().await;

    let counts = Counts { seed: 2, ..Counts::default() };
    let (other, client) = start(Options { counts, ..Options::default() }).await;
    assert_eq!(refused(&client, &other, "users", &cursor).await, code(410, "cursor_expired"));
    other.stop().await;
}

#[tokio::test]
async fn what_is_no_cursor_of_this_entity_is_400() {
    let (sim, client) = start(Options::default()).await;
    let (_, cursor) = client.walk(&sim, Entity::Users, "", "", 500).await;
    assert_eq!(refused(&client, &sim, "pricing", &cursor).await, code(400, "invalid_cursor"));
    assert_eq!(refused(&client, &sim, "users", "made-up").await, code(400, "invalid_cursor"));
    sim.stop().await;
}

#[tokio::test]
async fn in_a_world_of_a_million_users_large_pages_are_whole_wherever_the_walk_stands() {
    let counts = Counts { users: 1_000_000, ..Counts::default() };
    let (sim, client) = start(Options { counts, ..Options::default() }).await;
    let first = client.page(&sim, "/sync/v1/users?limit=5000").await;
    assert_eq!(first["rows"].as_array().unwrap().len(), 5000);
    assert_eq!(first["has_more"], true);
    let last = sim.control.id(Entity::Users, 999_999);
    let row = client.page(&sim, &format!("/sync/v1/users?ids={last}")).await["rows"][0].take();
    assert_eq!((&row["op"], &row["data"]["username"]), (&json!("upsert"), &json!("user-1000000")));
    sim.stop().await;
}

async fn refused(
    client: &Client,
    sim: &sageapi_upstream_sim::RunningSim,
    entity: &str,
    cursor: &str,
) -> (u16, Value) {
    let since = utf8_percent_encode(cursor, NON_ALPHANUMERIC);
    let answer = client.pull(sim, &format!("/sync/v1/{entity}?since={since}")).await;
    (answer.status().as_u16(), json_of(answer).await["code"].take())
}
