//! The database, as instances find it after the migration.

use sageapi_crds::ConditionType::{DatabaseReady, Ready, Reconciling, Stalled, SyncHealthy};
use serde_json::json;

use super::world::{URL, World, migrated, result, writes};
use crate::observed::{Health, HealthReport};
use crate::plan::Ask;

/// What an instance says.
fn health(status: &str, database: &str, serving: bool) -> Health {
    let fresh = json!({"age_s": 1.0, "status": "success"});
    let body = json!({"data": {
        "status": status, "version": "0.1.0", "database": {"kind": "mysql", "status": database},
        "sync": {"users": fresh, "pricing": fresh, "llmage": fresh, "uapi": fresh},
    }});
    Health::Report(HealthReport::parse(body.to_string().as_bytes(), serving).unwrap())
}

fn ready() -> World {
    let mut world = World::ready();
    world.seen.health = health("ok", "ok", true);
    world.follow();
    assert_eq!((world.phase(), world.condition(SyncHealthy).as_str()), ("Ready", "True/Healthy"));
    world
}

#[test]
fn an_outage_is_told_once_and_ends_by_itself() {
    for (database, reason) in [("away", "Unreachable"), ("full", "StorageFull")] {
        let mut world = ready();
        world.seen.health = health("degraded", database, true);
        let plan = world.follow();
        assert_eq!(world.condition(DatabaseReady), format!("False/{reason}"));
        let message = &world.status().condition(DatabaseReady).unwrap().message;
        assert!(message.contains("db.example.com:3306/sage"), "{message}");
        assert_eq!((world.phase(), world.condition(Stalled).as_str()), ("Resolving", "False/Progressing"));
        assert_eq!(world.condition(Reconciling), format!("True/{reason}"));
        assert_eq!(world.condition(Ready), "True/AllReady", "instances serve what they can");
        assert!(world.status().condition(Ready).unwrap().message.ends_with("without the database"));
        let told: Vec<_> = plan.events.iter().map(|note| (note.warning, note.reason)).collect();
        assert_eq!(told, [(true, reason)]);
        assert!(writes(&plan).contains(&"apply Deployment prod".to_owned()), "what is changed is put right");

        // Nobody was asked yet, as after a restart of the operator, or nobody answered.
        let during = world.seen.resource.status.clone();
        let conditions = |world: &World| {
            let mut all = world.status().conditions.clone();
            all.retain(|condition| condition.type_ != "SyncHealthy");
            all
        };
        for unknown in [Health::NotAsked, Health::Unreachable("timed out".to_owned())] {
            let before = conditions(&world);
            world.seen.health = unknown;
            assert!(world.follow().events.is_empty());
            assert_eq!((world.phase(), conditions(&world)), ("Resolving", before));
        }
        world.seen.health = health("degraded", database, true);
        world.follow();
        assert_eq!(world.seen.resource.status, during);

        world.seen.health = health("ok", "ok", true);
        let plan = world.follow();
        assert_eq!((world.phase(), world.condition(DatabaseReady).as_str()), ("Ready", "True/Reachable"));
        assert_eq!(plan.events.len(), 1);
        assert!(world.follow().events.is_empty());
    }
}

#[test]
fn instances_that_are_not_ready_tell_of_the_database_and_of_nothing_else() {
    let mut world = ready();
    world.rolled(2, 2, 0, "NewReplicaSetAvailable");
    world.seen.health = Health::NotAsked;
    assert_eq!(world.follow().follow_up.ask_health, Ask::Any);
    world.seen.health = health("down", "away", false);
    world.follow();
    assert_eq!((world.phase(), world.condition(DatabaseReady).as_str()), ("Resolving", "False/Unreachable"));
    assert_eq!(world.condition(SyncHealthy), "Unknown/ServerUnreachable");
    assert!(world.condition(Ready).starts_with("False/"));
    world.roll();
    assert_eq!(world.follow().follow_up.ask_health, Ask::Serving);
    world.seen.health = health("ok", "ok", true);
    world.follow();
    assert_eq!((world.phase(), world.condition(DatabaseReady).as_str()), ("Ready", "True/Reachable"));
}

#[test]
fn an_instance_that_starts_says_nothing_of_the_database_yet() {
    let mut world = ready();
    let before = world.condition(DatabaseReady);
    world.rolled(2, 2, 0, "ReplicaSetUpdated");
    world.seen.health = health("down", "unready", false);
    world.follow();
    assert_eq!(world.condition(DatabaseReady), before);
}

#[test]
fn instances_that_say_that_they_are_down_are_not_called_ready() {
    let mut world = ready();
    world.seen.health = health("down", "unready", true);
    world.follow();
    assert_eq!((world.phase(), world.condition(Ready).as_str()), ("Degraded", "False/Degraded"));
    world.seen.health = health("ok", "ok", true);
    world.follow();
    assert_eq!((world.phase(), world.condition(Ready).as_str()), ("Ready", "True/AllReady"));
}

#[test]
fn an_outage_is_told_behind_a_closed_gate_too_and_its_end_as_well() {
    let mut world = ready();
    world.image("0.2.0");
    world.follow();
    world.end_job(70, "disk full");
    world.follow();
    let phase = world.phase().to_owned();
    for (database, expected) in [("away", "False/Unreachable"), ("ok", "True/Reachable")] {
        world.seen.health = health("degraded", database, true);
        world.follow();
        assert_eq!((world.phase(), world.condition(DatabaseReady).as_str()), (phase.as_str(), expected));
    }
}

#[test]
fn a_migration_that_cannot_reach_the_database_is_believed_before_old_instances() {
    let mut world = ready();
    world.image("0.2.0");
    world.follow();
    world.end_job(69, &result("unreachable", 0, 0, "connection refused"));
    for _ in 0..3 {
        world.follow();
        assert_eq!(world.condition(DatabaseReady), "False/Unreachable");
        world.advance(10);
    }
    world.end_job(0, &migrated());
    world.follow();
    assert_eq!(world.condition(DatabaseReady), "True/Reachable");
}

#[test]
fn instances_of_another_database_are_not_asked_about_this_one() {
    let mut world = ready();
    world.secret("db", &[("url", &URL.replace("db.example.com", "other.example.com"))]);
    world.seen.health = health("degraded", "away", true);
    world.follow();
    assert_eq!(world.condition(DatabaseReady), "True/Reachable");
}

#[test]
fn without_an_upstream_the_database_is_asked_for_all_the_same() {
    let mut world = World::of(&json!({"database": {"mysql": {"urlSecretRef": {"name": "db"}}}}));
    world.bring_up();
    assert_eq!(world.plan().follow_up.ask_health, Ask::Serving);
    world.seen.health = health("degraded", "away", true);
    world.follow();
    assert_eq!(world.condition(DatabaseReady), "False/Unreachable");
    assert_eq!(world.condition(SyncHealthy), "True/SyncDisabled");
    world.edit(|spec| spec["paused"] = true.into());
    assert_eq!(world.plan().follow_up.ask_health, Ask::Nobody);
}
