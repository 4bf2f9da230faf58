//! Migrations that are not wanted any more when they begin, run or end.

use std::collections::BTreeSet;

use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ContainerState, PodCondition};
use sageapi_crds::ConditionType::{Ready, Reconciling, SchemaUpToDate};
use serde_json::json;

use super::world::{World, migrated, running, terminated, waiting, writes};
use crate::kinds::Kind;
use crate::plan::{MetricUpdate, Plan};

/// What withdraws a change again.
fn withdraw(world: &mut World) {
    world.edit(|spec| {
        let spec = spec.as_object_mut().unwrap();
        for changed in ["image", "nodeSelector"] {
            spec.remove(changed);
        }
        spec["database"].as_object_mut().unwrap().remove("migration");
    });
}

/// A served installation whose next migration was asked for, and has its Job.
fn asked_for(another: &str) -> World {
    let mut world = World::ready();
    world.advance(3600);
    world.edit(|spec| {
        if another == "image" {
            spec["image"] = json!({"tag": "0.2.0"});
        } else {
            spec["database"]["migration"] = json!({"trigger": "again"});
            spec["nodeSelector"] = json!({"disk": "sdd"});
        }
    });
    let plan = world.follow();
    assert!(touches(&plan, "create Job"), "{:?}", writes(&plan));
    world
}

fn touches(plan: &Plan, what: &str) -> bool {
    writes(plan).iter().any(|write| write.starts_with(what))
}

fn told(plan: &Plan) -> Vec<&'static str> {
    plan.events.iter().map(|note| note.reason).collect()
}

/// The wanted image checks the schema, and only then everything is ready.
fn is_checked(world: &mut World) {
    assert_eq!(
        (world.phase(), world.condition(Reconciling).as_str()),
        ("Migrating", "True/MigrationPending")
    );
    assert_eq!(world.condition(SchemaUpToDate), "False/Running");
    assert_eq!(world.condition(Ready), "True/AllReady", "the instances serve throughout");
    world.advance(1);
    world.end_job(0, &migrated());
    world.follow();
    assert_eq!((world.phase(), world.condition(SchemaUpToDate).as_str()), ("Ready", "True/Applied"));
    world.follow();
    let migrations: BTreeSet<String> =
        world.jobs().iter().filter_map(|job| Some(job.rsplit_once('-')?.0.to_owned())).collect();
    assert_eq!(migrations.len(), 1, "Jobs of others are of no use any more: {migrations:?}");
}

#[test]
fn one_that_has_not_begun_is_deleted_whatever_it_waits_for() {
    for obstacle in ["image", "configuration", "node", "quota", "its start"] {
        for another in ["image", "trigger"] {
            let mut world = asked_for(another);
            let applied = world.status().database.clone();
            match obstacle {
                "image" => drop(world.job_pod(waiting("ImagePullBackOff"), "x")),
                "configuration" => drop(world.job_pod(waiting("CreateContainerConfigError"), "x")),
                "its start" => drop(world.job_pod(waiting("ContainerCreating"), "x")),
                "node" => {
                    let mut pod = world.job_pod(ContainerState::default(), "x");
                    let status = pod.status.as_mut().unwrap();
                    status.container_statuses = None;
                    status.conditions = Some(vec![PodCondition {
                        type_: "PodScheduled".to_owned(),
                        reason: Some("Unschedulable".to_owned()),
                        ..PodCondition::default()
                    }]);
                }
                _ => world.advance(300),
            }
            world.follow();
            withdraw(&mut world);
            let plan = world.follow();
            assert!(touches(&plan, "delete Job"), "{obstacle} {another}: {:?}", writes(&plan));
            assert_eq!(told(&plan), ["MigrationWithdrawn"], "{obstacle}");
            assert_eq!(world.phase(), "Migrating", "not before it is gone: {obstacle}");
            let plan = world.follow();
            assert!(!touches(&plan, "create Job"), "nothing has begun: {obstacle}: {:?}", writes(&plan));
            assert_eq!((world.phase(), world.status().database.clone()), ("Ready", applied), "{obstacle}");
        }
    }
}

#[test]
fn one_that_has_begun_comes_to_its_end_is_told_and_is_followed_by_a_check() {
    for (code, message, result) in [
        (0, migrated(), "succeeded"),
        (64, "refused".to_owned(), "refused"),
        (69, "the database does not answer".to_owned(), "unavailable"),
        (70, "disk full".to_owned(), "failed"),
    ] {
        let mut world = asked_for("image");
        let deployment = world.deployment().clone();
        world.job_pod(running(), "x");
        world.follow();
        let job = world.job().metadata.name.clone().unwrap();
        withdraw(&mut world);
        for _ in 0..3 {
            let plan = world.follow();
            assert!(!touches(&plan, "create Job") && world.jobs().contains(&job), "{:?}", writes(&plan));
            assert_eq!(
                (world.phase(), world.condition(SchemaUpToDate).as_str()),
                ("Migrating", "False/Pending")
            );
            world.advance(60);
        }
        world.seen.children.clear(Kind::Pod);
        world.end_job(code, &message);
        let plan = world.follow();
        assert!(touches(&plan, "create Job"), "{:?}", writes(&plan));
        assert_eq!(told(&plan)[0], "MigrationWithdrawn");
        assert!(
            matches!(plan.follow_up.metric_updates[..], [MetricUpdate::Migration { result: counted, .. }] if counted == result)
        );
        let migration = world.status().migration.clone().unwrap();
        assert_eq!(
            (migration.last_job, migration.attempts),
            (Some(job), None),
            "it is no attempt of the wanted one"
        );
        assert!(world.follow().events.is_empty(), "told once");
        is_checked(&mut world);
        assert_eq!(*world.deployment(), deployment);
    }
}

#[test]
fn one_that_began_and_ended_while_nobody_looked_is_followed_by_a_check() {
    let mut world = asked_for("image");
    world.end_job(0, &migrated());
    withdraw(&mut world);
    let plan = world.follow();
    assert!(touches(&plan, "create Job"), "{:?}", writes(&plan));
    assert_eq!(told(&plan), ["MigrationWithdrawn"]);
    is_checked(&mut world);
}

#[test]
fn one_whose_attempt_failed_before_is_followed_by_a_check_although_its_job_is_gone() {
    for gone in [false, true] {
        let mut world = asked_for("image");
        world.end_job(70, "disk full");
        world.follow();
        if gone {
            let job = world.job().metadata.uid.clone().unwrap();
            world.remove(Kind::Job, &job);
        }
        withdraw(&mut world);
        let plan = world.follow();
        assert!(touches(&plan, "create Job"), "{:?}", writes(&plan));
        assert!(plan.events.is_empty(), "its end was told before");
        is_checked(&mut world);
    }
}

#[test]
fn one_that_begins_while_it_is_deleted_is_waited_for_and_followed_by_a_check() {
    let mut world = asked_for("image");
    world.job_pod(waiting("ContainerCreating"), "x");
    let mut leaving = world.job().clone();
    leaving.metadata.deletion_timestamp = leaving.metadata.creation_timestamp.clone();
    withdraw(&mut world);
    assert!(touches(&world.follow(), "delete Job"));
    world.seen.children.put(&leaving);
    let plan = world.follow();
    assert!(!touches(&plan, "delete Job") && plan.events.is_empty(), "it is being deleted already");
    assert_eq!(world.phase(), "Migrating");
    world.job_pod(running(), "x");
    let oldest = |job: &&Job| job.metadata.creation_timestamp.clone();
    let mut good = world.seen.children.all::<Job>().min_by_key(oldest).cloned().unwrap();
    world.follow();
    assert_eq!(world.phase(), "Migrating");
    // Something holds the Job of the last good end.
    good.metadata.deletion_timestamp = good.metadata.creation_timestamp.clone();
    world.seen.children.put(&good);
    let uid = world.job().metadata.uid.clone().unwrap();
    world.remove(Kind::Job, &uid);
    assert!(touches(&world.follow(), "create Job"));
    is_checked(&mut world);
}

#[test]
fn one_that_had_to_make_room_and_cannot_start_again_is_followed_by_a_check() {
    let mut world = asked_for("image");
    let now = world.seen.now;
    let mut pod = world.job_pod(terminated(143, "", now), "x");
    pod.status.as_mut().unwrap().conditions =
        serde_json::from_value(json!([{"type": "DisruptionTarget", "status": "True"}])).unwrap();
    drop(pod);
    world.follow();
    withdraw(&mut world);
    assert!(touches(&world.follow(), "delete Job"));
    assert!(touches(&world.follow(), "create Job"));
    is_checked(&mut world);
}

#[test]
fn one_that_is_wanted_again_before_it_ends_goes_on() {
    let mut world = asked_for("image");
    world.job_pod(running(), "x");
    world.follow();
    withdraw(&mut world);
    world.follow();
    world.image("0.2.0");
    let plan = world.follow();
    assert!(!writes(&plan).iter().any(|write| write.contains("Job")), "{:?}", writes(&plan));
    assert_eq!(world.condition(SchemaUpToDate), "False/Running");
    world.seen.children.clear(Kind::Pod);
    world.end_job(0, &migrated());
    let plan = world.follow();
    assert!(touches(&plan, "apply Deployment"));
    assert!(!told(&plan).contains(&"MigrationWithdrawn"));
}

#[test]
fn a_third_image_waits_for_the_second_and_the_first_is_checked_when_it_comes_back() {
    let mut world = asked_for("image");
    world.job_pod(running(), "x");
    world.follow();
    world.image("0.3.0");
    world.follow();
    assert_eq!(world.phase(), "Migrating");
    world.seen.children.clear(Kind::Pod);
    world.end_job(0, &migrated());
    let plan = world.follow();
    assert!(touches(&plan, "create Job") && told(&plan).contains(&"MigrationWithdrawn"));
    world.advance(1);
    withdraw(&mut world);
    let plan = world.follow();
    assert!(touches(&plan, "delete Job"), "the third has not begun: {:?}", writes(&plan));
    assert!(touches(&world.follow(), "create Job"), "and what the second made is for the first to judge");
    is_checked(&mut world);
}

#[test]
fn a_held_job_of_a_former_image_does_not_make_the_last_good_end_count_again() {
    let mut world = asked_for("image");
    let now = world.seen.now;
    // A sidecar holds the Job.
    world.job_pod(terminated(0, &migrated(), now), "x");
    withdraw(&mut world);
    assert!(touches(&world.follow(), "create Job"));
    is_checked(&mut world);
}
