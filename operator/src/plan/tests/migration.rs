//! Attempts at a migration, one after the other.

use sageapi_crds::ConditionType::{CredentialsReady, DatabaseReady, Ready, SchemaUpToDate, Stalled};

use super::world::{World, migrated, result, running, terminated, waiting, writes};
use crate::kinds::Kind;
use crate::labels;

fn creates_a_job(plan: &crate::plan::Plan) -> bool {
    writes(plan).iter().any(|write| write.starts_with("create Job"))
}

fn touches_the_deployment(plan: &crate::plan::Plan) -> bool {
    writes(plan).iter().any(|write| write.contains("Deployment"))
}

#[test]
fn attempts_wait_twice_as_long_each_time_and_end_after_three() {
    let mut world = World::new();
    for (attempt, wait) in [(1, 10), (2, 20)] {
        let started = world.follow();
        assert!(creates_a_job(&started), "attempt {attempt}");
        world.end_job(70, "disk full");
        let failed = world.follow();
        assert_eq!(failed.requeue.as_secs(), wait);
        assert_eq!(world.phase(), "Migrating");
        assert_eq!(world.status().migration.as_ref().unwrap().attempts, Some(attempt));
        world.advance(wait as i64 - 1);
        assert!(!creates_a_job(&world.follow()), "too early");
        world.advance(1);
    }
    world.follow();
    world.end_job(70, "disk full");
    let last = world.follow();
    assert_eq!(world.phase(), "MigrationFailed");
    assert_eq!(world.condition(SchemaUpToDate), "False/BackoffLimitExceeded");
    assert_eq!(world.condition(Stalled), "True/BackoffLimitExceeded");
    assert_eq!(last.events.iter().filter(|note| note.warning).count(), 1);
    world.advance(86_400);
    assert!(!creates_a_job(&world.follow()), "given up");
    assert_eq!(world.jobs().len(), 3, "what failed is kept");
}

#[test]
fn a_database_that_does_not_answer_costs_no_attempt_and_is_asked_again() {
    let mut world = World::new();
    for _ in 0..6 {
        assert!(creates_a_job(&world.follow()));
        world.end_job(69, &result("unreachable", 0, 0, "connection refused"));
        world.follow();
        assert_eq!(world.phase(), "Resolving");
        assert_eq!(world.condition(DatabaseReady), "False/Unreachable");
        assert_eq!(world.status().migration.as_ref().unwrap().attempts, Some(0));
        world.advance(300);
    }
    assert!(world.jobs().len() <= 2, "{:?}", world.jobs());
    world.follow();
    assert_eq!(world.phase(), "Resolving", "nothing flaps while the next attempt runs");
    world.end_job(0, &migrated());
    world.follow();
    assert_eq!(world.condition(DatabaseReady), "True/Reachable");
    assert_eq!(world.phase(), "Rolling");
}

#[test]
fn a_lock_held_by_somebody_else_costs_no_attempt() {
    let mut world = World::new();
    world.follow();
    world.end_job(75, "locked");
    world.follow();
    assert_eq!(world.status().migration.as_ref().unwrap().attempts, Some(0));
}

#[test]
fn every_refusal_of_the_database_has_its_reason_and_is_not_repeated() {
    for (verdict, phase, of, expected) in [
        ("newer", "Blocked", SchemaUpToDate, "False/NewerSchema"),
        ("dirty", "Blocked", SchemaUpToDate, "False/DirtySchema"),
        ("key-mismatch", "Blocked", DatabaseReady, "False/EncryptionKeyMismatch"),
        ("owned-by-another", "Blocked", DatabaseReady, "False/OwnedByAnother"),
        ("none", "MigrationFailed", SchemaUpToDate, "False/Failed"),
    ] {
        let mut world = World::new();
        world.follow();
        world.end_job(64, &result(verdict, 14, 9, "no"));
        let plan = world.follow();
        assert_eq!(world.phase(), phase, "{verdict}");
        assert_eq!(world.condition(of), expected, "{verdict}");
        assert!(world.condition(Stalled).starts_with("True/"), "{verdict}");
        assert!(plan.events.iter().any(|note| note.warning), "{verdict}");
        world.advance(86_400);
        let later = world.follow();
        assert!(!creates_a_job(&later) && !touches_the_deployment(&later), "{verdict}");
        assert!(later.events.is_empty(), "{verdict}: told once");
    }
}

#[test]
fn a_refusal_ends_by_itself_when_its_cause_goes() {
    let mut world = World::new();
    world.follow();
    world.end_job(64, "database.url: the host is no host");
    world.follow();
    assert_eq!(world.phase(), "MigrationFailed");
    world.secret("dapi", &[("key", "ak"), ("secret", "another")]);
    assert!(creates_a_job(&world.follow()));
    assert_eq!(world.phase(), "Migrating");
    assert_eq!(world.condition(Stalled), "False/Progressing");
    world.end_job(0, &migrated());
    assert!(touches_the_deployment(&world.follow()));
}

#[test]
fn a_failed_migration_is_cleared_by_another_image() {
    let mut world = World::new();
    for _ in 0..3 {
        world.follow();
        world.end_job(70, "disk full");
        world.follow();
        world.advance(600);
    }
    assert_eq!(world.phase(), "MigrationFailed");
    world.image("0.1.1");
    assert!(creates_a_job(&world.follow()));
    let migration = world.status().migration.clone().unwrap();
    assert_eq!(migration.attempts, None);
}

#[test]
fn a_retry_is_followed_once_for_each_value_of_the_annotation() {
    let mut world = World::new();
    world.edit(|spec| spec["database"]["migration"] = serde_json::json!({"maxAttempts": 1}));
    world.follow();
    world.end_job(70, "disk full");
    world.follow();
    for value in ["one", "two"] {
        assert_eq!(world.phase(), "MigrationFailed");
        world.annotate(labels::RETRY_MIGRATION, value);
        assert!(creates_a_job(&world.follow()), "{value}");
        world.end_job(70, "disk full");
        world.follow();
        world.advance(86_400);
        assert!(!creates_a_job(&world.follow()), "{value} again");
    }
    // Even where status and Jobs forget, one value starts no second migration.
    world.seen.children.clear(Kind::Job);
    world.seen.children.clear(Kind::Pod);
    assert!(!creates_a_job(&world.follow()));
}

#[test]
fn the_deadline_counts_as_an_attempt_and_says_so() {
    let mut world = World::new();
    world.follow();
    world.job_pod(running(), "x");
    world.job_condition("FailureTarget", "DeadlineExceeded");
    world.follow();
    assert_eq!(world.condition(SchemaUpToDate), "False/DeadlineExceeded");
    assert_eq!(world.status().migration.as_ref().unwrap().attempts, Some(1));
}

#[test]
fn a_pod_that_had_to_make_room_is_no_attempt() {
    let mut world = World::new();
    world.follow();
    let now = world.seen.now;
    let mut pod = world.job_pod(terminated(143, "", now), "x");
    pod.status.as_mut().unwrap().conditions = serde_json::from_value(serde_json::json!([
        {"type": "DisruptionTarget", "status": "True"}
    ]))
    .unwrap();
    drop(pod);
    world.follow();
    assert_eq!(world.phase(), "Migrating");
    assert_eq!(world.status().migration.as_ref().unwrap().attempts, None);
    world.job_pod(running(), "x");
    world.follow();
    assert_eq!(world.condition(SchemaUpToDate), "False/Running");
}

#[test]
fn a_job_that_failed_is_not_judged_before_the_end_of_its_pod_is_seen() {
    let mut world = World::new();
    world.follow();
    world.job_pod(running(), "x");
    world.job_condition("Failed", "BackoffLimitExceeded");
    world.follow();
    assert_eq!(world.status().migration.as_ref().unwrap().attempts, None);
    let now = world.seen.now;
    world.seen.children.clear(Kind::Pod);
    world.job_pod(terminated(69, &result("unreachable", 0, 0, "away"), now), "x");
    world.follow();
    assert_eq!(world.condition(DatabaseReady), "False/Unreachable");
}

#[test]
fn an_image_that_cannot_be_pulled_is_told_and_makes_room_for_the_right_one() {
    let mut world = World::ready();
    world.image("0.2.o");
    world.follow();
    world.job_pod(waiting("ImagePullBackOff"), "sageapi.io/sageapi-server:0.2.o");
    let stuck = world.follow();
    assert_eq!(world.condition(SchemaUpToDate), "False/ImagePullError");
    assert_eq!(stuck.events.len(), 1);
    world.image("0.2.0");
    let cleared = world.follow();
    assert!(writes(&cleared).iter().any(|write| write.starts_with("delete Job")), "{:?}", writes(&cleared));
    assert!(creates_a_job(&world.follow()));
    assert_eq!(world.condition(Ready), "True/AllReady", "old instances serve throughout");
}

#[test]
fn a_lost_status_costs_one_idempotent_migration_and_no_roll() {
    let mut world = World::ready();
    let before = world.deployment().spec.clone();
    world.resource().status = None;
    world.seen.children.clear(Kind::Job);
    world.seen.children.clear(Kind::Pod);
    assert!(creates_a_job(&world.follow()));
    world.end_job(0, &migrated());
    world.follow();
    assert_eq!(world.deployment().spec, before);
    assert_eq!(world.phase(), "Ready");
}

#[test]
fn attempts_follow_from_jobs_when_the_status_is_lost() {
    let mut world = World::new();
    for _ in 0..2 {
        world.follow();
        world.end_job(70, "disk full");
        world.follow();
        world.advance(600);
    }
    world.resource().status = None;
    world.follow();
    assert_eq!(world.status().migration.as_ref().unwrap().attempts, Some(2));
}

#[test]
fn another_database_is_migrated_before_anything_uses_it() {
    let mut world = World::ready();
    world.secret("db", &[("url", "mysql://sage:pw@other.example.com/sage")]);
    let plan = world.follow();
    assert!(creates_a_job(&plan) && !touches_the_deployment(&plan));
    let database = world.status().database.clone().unwrap();
    assert_eq!(database.identity.as_deref(), Some("other.example.com:3306/sage"));
    assert_eq!(database.applied_hash, None);
}

#[test]
fn another_password_rolls_without_a_migration() {
    let mut world = World::ready();
    world.secret("db", &[("url", "mysql://sage:other@db.example.com:3306/sage")]);
    let plan = world.follow();
    assert!(!creates_a_job(&plan) && touches_the_deployment(&plan));
    assert_eq!(world.condition(CredentialsReady), "True/Resolved");
    assert_eq!(world.phase(), "Rolling");
}

#[test]
fn another_trigger_runs_the_migration_again() {
    let mut world = World::ready();
    world.edit(|spec| spec["database"]["migration"] = serde_json::json!({"trigger": "2026-11"}));
    assert!(creates_a_job(&world.follow()));
}

#[test]
fn a_job_that_cannot_start_is_made_anew_when_the_specification_is_corrected() {
    let mut world = World::new();
    world.edit(|spec| spec["nodeSelector"] = serde_json::json!({"disk": "sdd"}));
    world.follow();
    world.job_pod(waiting("ImagePullBackOff"), "x");
    world.follow();
    assert!(!writes(&world.plan()).iter().any(|write| write.contains("Job")), "nothing was corrected yet");
    world.edit(|spec| spec["nodeSelector"] = serde_json::json!({"disk": "ssd"}));
    let cleared = world.follow();
    assert!(writes(&cleared).iter().any(|write| write.starts_with("delete Job")), "{:?}", writes(&cleared));
    assert!(creates_a_job(&world.follow()));
    assert_eq!(world.status().migration.as_ref().unwrap().attempts, None);
    world.job_pod(running(), "x");
    world.edit(|spec| spec["nodeSelector"] = serde_json::json!({"disk": "hdd"}));
    let plan = world.follow();
    assert!(!writes(&plan).iter().any(|write| write.contains("Job")), "one that runs is left alone");
}

#[test]
fn a_job_that_is_not_let_make_a_pod_says_so_after_a_minute() {
    let mut world = World::new();
    world.follow();
    world.advance(59);
    world.follow();
    assert_eq!(world.condition(SchemaUpToDate), "False/Running");
    world.advance(1);
    world.follow();
    assert_eq!(world.condition(SchemaUpToDate), "False/QuotaExceeded");
    assert!(world.status().condition(SchemaUpToDate).unwrap().message.contains("kubectl describe job"));
    world.job_pod(running(), "x");
    world.follow();
    assert_eq!(world.condition(SchemaUpToDate), "False/Running");
}

#[test]
fn what_cures_a_failure_starts_over_also_when_its_job_is_gone() {
    for cure in ["a Secret", "the configuration", "the annotation"] {
        let mut world = World::new();
        world.follow();
        world.end_job(64, "upstream.url: no URL");
        world.follow();
        assert_eq!(world.phase(), "MigrationFailed");
        world.seen.children.clear(Kind::Job);
        world.seen.children.clear(Kind::Pod);
        world.advance(604_800);
        assert!(!creates_a_job(&world.follow()), "nothing was fixed");
        match cure {
            "a Secret" => world.secret("dapi", &[("key", "ak"), ("secret", "another")]),
            "the configuration" => world.edit(|spec| spec["cache"] = serde_json::json!({"ttl": "7s"})),
            _ => world.annotate(labels::RETRY_MIGRATION, &"long".repeat(100)),
        }
        assert!(creates_a_job(&world.follow()), "{cure}");
        assert_eq!(world.condition(Stalled), "False/Progressing");
    }
}

#[test]
fn a_first_attempt_whose_job_is_lost_is_made_again() {
    let mut world = World::new();
    world.follow();
    world.end_job(64, "upstream.url: no URL");
    world.follow();
    world.secret("dapi", &[("key", "ak"), ("secret", "another")]);
    assert!(creates_a_job(&world.follow()));
    // Deleted by hand while it ran, and those before it too.
    world.seen.children.clear(Kind::Job);
    world.seen.children.clear(Kind::Pod);
    world.advance(5);
    assert!(creates_a_job(&world.follow()));
    assert_eq!(world.phase(), "Migrating");
}
