//! The main situations, as reviewed.

use insta::assert_snapshot;
use serde_json::json;

use super::world::{World, migrated, result, told};
use crate::labels;
use crate::observed::{Health, HealthReport, Referenced};
use crate::steps::{Refusal, RefusalCause};

#[test]
fn a_new_resource() {
    assert_snapshot!(told(&World::new().plan()));
}

#[test]
fn the_migration_is_done() {
    let mut world = World::new();
    world.follow();
    world.end_job(0, &migrated());
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn all_instances_serve() {
    let mut world = World::new();
    world.follow();
    world.end_job(0, &migrated());
    world.follow();
    world.roll();
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn a_secret_is_missing_while_instances_serve() {
    let mut world = World::ready();
    world.seen.secrets.insert("dapi".to_owned(), Referenced::Missing);
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn an_entry_is_missing_from_the_start() {
    let mut world = World::new();
    world.secret("dapi", &[("key", "ak")]);
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn the_specification_cannot_be_followed() {
    let mut world = World::ready();
    world.edit(|spec| spec["sync"] = json!({"users": {"schedule": "* * * 13 *"}, "uapi": {"every": "1w"}}));
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn another_image_waits_for_its_migration() {
    let mut world = World::ready();
    world.image("0.2.0");
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn the_first_attempt_at_a_migration_failed() {
    let mut world = World::ready();
    world.image("0.2.0");
    world.follow();
    world.end_job(70, "panic in mysql://sage:pw@db/sage: disk full");
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn the_database_is_newer_than_the_image() {
    let mut world = World::ready();
    world.image("0.0.9");
    world.follow();
    world.end_job(64, &result("newer", 14, 9, "version 14 is newer than 9"));
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn the_database_does_not_answer() {
    let mut world = World::new();
    world.follow();
    world.end_job(69, &result("unreachable", 0, 0, "connection refused"));
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn a_roll_whose_image_cannot_be_pulled() {
    let mut world = World::ready();
    world.image("0.2.0");
    world.follow();
    world.end_job(0, &migrated());
    world.follow();
    world.rolled(3, 1, 2, "ReplicaSetUpdated");
    world.server_pod(Some("ImagePullBackOff"), 0);
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn a_roll_that_took_too_long() {
    let mut world = World::ready();
    world.secret("dapi", &[("key", "ak2"), ("secret", "s")]);
    world.follow();
    world.rolled(3, 1, 2, "ProgressDeadlineExceeded");
    world.server_pod(Some("CrashLoopBackOff"), 4);
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn too_few_instances_serve() {
    let mut world = World::ready();
    world.rolled(2, 2, 0, "NewReplicaSetAvailable");
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn paused_with_a_change_that_waits() {
    let mut world = World::ready();
    world.edit(|spec| {
        spec["paused"] = true.into();
        spec["instances"] = 5.into();
        spec["networkPolicy"] = json!({"enabled": false});
    });
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn a_name_is_held_by_somebody_else() {
    let mut world = World::new();
    let object = crate::object::ObjectRef {
        kind: crate::kinds::Kind::ServiceAccount,
        name: "prod".to_owned(),
        uid: None,
    };
    world.seen.refusals = vec![Refusal {
        object,
        cause: RefusalCause::NameTaken,
        message: "ServiceAccount prod exists and is not this resource's".to_owned(),
    }];
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn an_instance_told_that_an_entity_fails() {
    let mut world = World::ready();
    let report = br#"{"data":{"status":"degraded","version":"0.1.0","sync":{
        "users":{"age_s":12.5,"status":"success","error_class":null},
        "pricing":{"age_s":99999,"status":"success","error_class":null},
        "llmage":{"age_s":40,"status":"failed","error_class":"http_500"},
        "uapi":{"age_s":null,"status":"disabled","error_class":null}}}}"#;
    world.seen.health = Health::Report(HealthReport::parse(report, true).unwrap());
    assert_snapshot!(told(&world.plan()));
}

#[test]
fn a_retry_was_asked_for() {
    let mut world = World::new();
    for _ in 0..3 {
        world.follow();
        world.end_job(70, "disk full");
        world.follow();
        world.advance(600);
    }
    assert_eq!(world.phase(), "MigrationFailed");
    world.annotate(labels::RETRY_MIGRATION, "now");
    assert_snapshot!(told(&world.plan()));
}
