//! Writes that the API server refuses.

use k8s_openapi::api::networking::v1::NetworkPolicy;
use sageapi_crds::ConditionType::{Ready, SchemaUpToDate, Stalled, UpToDate};
use serde_json::json;

use super::world::{World, migrated, running, writes};
use crate::kinds::Kind;
use crate::object::ObjectRef;
use crate::steps::{Refusal, RefusalCause};

fn refused(kind: Kind, cause: RefusalCause, message: &str) -> Refusal {
    let object = ObjectRef { kind, name: "prod".to_owned(), uid: None };
    Refusal { object, cause, message: message.to_owned() }
}

#[test]
fn one_that_is_refused_does_not_hold_up_the_others() {
    let mut world = World::ready();
    world.edit(|spec| {
        spec["service"] = json!({"port": 8081});
        spec["instances"] = 3.into();
    });
    world.seen.refusals =
        vec![refused(Kind::Service, RefusalCause::Rejected, "spec.ports: Duplicate value: \"http\"")];
    let plan = world.follow();
    assert!(writes(&plan).contains(&"apply Deployment prod".to_owned()), "{:?}", writes(&plan));
    assert_eq!((world.phase(), world.condition(Stalled).as_str()), ("Blocked", "True/Rejected"));
    let message = &world.status().condition(Stalled).unwrap().message;
    assert_eq!(message, "Service prod is refused: spec.ports: Duplicate value: \"http\"");
    assert_eq!(plan.events.len(), 1);
    assert!(world.follow().events.is_empty(), "told once");
    world.seen.refusals.clear();
    world.roll();
    world.follow();
    assert_eq!(world.phase(), "Ready");
}

/// About to install what serves, after the migration.
fn migrated_world() -> World {
    let mut world = World::new();
    world.follow();
    world.end_job(0, &migrated());
    world
}

fn rolls_out(plan: &crate::plan::Plan) -> bool {
    plan.follow_up
        .metric_updates
        .iter()
        .any(|update| matches!(update, crate::plan::MetricUpdate::Rollout { .. }))
}

#[test]
fn what_pods_lack_holds_up_the_pods_and_nothing_beside_them() {
    let mut world = migrated_world();
    world.seen.children.clear(Kind::ServiceAccount);
    world.seen.refusals =
        vec![refused(Kind::ServiceAccount, RefusalCause::Forbidden, "no right to create it")];
    let plan = world.follow();
    let beside = ["apply Service prod", "apply NetworkPolicy prod", "apply PodDisruptionBudget prod"];
    assert_eq!(writes(&plan), beside);
    assert_eq!(world.condition(Ready), "False/Forbidden");
    assert!(!rolls_out(&plan));
    assert_eq!(plan.follow_up.metric_updates.len(), 1, "the migration ended all the same");
}

#[test]
fn what_stands_beside_the_pods_holds_up_nothing_when_it_is_missing() {
    for kind in [Kind::NetworkPolicy, Kind::Service, Kind::PodDisruptionBudget] {
        let mut world = migrated_world();
        world.seen.refusals = vec![refused(kind, RefusalCause::Forbidden, "no right to create it")];
        let plan = world.follow();
        assert!(writes(&plan).contains(&"apply Deployment prod".to_owned()), "{kind}: {:?}", writes(&plan));
        assert!(rolls_out(&plan), "{kind}");
        assert_eq!(world.condition(Stalled), "True/Forbidden");
        let message = &world.status().condition(Stalled).unwrap().message;
        assert!(message.contains(&format!("{kind} prod")), "{message}");
    }
}

#[test]
fn several_refusals_are_all_told_and_a_taken_name_first() {
    let mut world = World::ready();
    world.seen.refusals = vec![
        refused(Kind::Service, RefusalCause::Rejected, "wrong"),
        refused(Kind::PodDisruptionBudget, RefusalCause::Forbidden, "no right"),
    ];
    world.follow();
    assert_eq!(world.condition(Stalled), "True/Forbidden");
    let message = world.status().condition(Stalled).unwrap().message.clone();
    assert!(message.contains("Service prod") && message.contains("PodDisruptionBudget prod"), "{message}");
    let mut policy: NetworkPolicy = world.seen.children.all().next().cloned().unwrap();
    policy.metadata.owner_references.as_mut().unwrap()[0].uid = "somebody else".to_owned();
    world.seen.children.put(&policy);
    let plan = world.follow();
    let writes = writes(&plan);
    assert!(!writes.iter().any(|write| write.contains("NetworkPolicy")), "it is somebody else's: {writes:?}");
    assert!(writes.contains(&"apply Deployment prod".to_owned()), "the others are repaired: {writes:?}");
    assert_eq!(world.condition(Stalled), "True/NameConflict");
}

#[test]
fn a_refused_deployment_is_not_said_to_roll() {
    let mut world = World::ready();
    world.edit(|spec| spec["cache"] = json!({"ttl": "61s"}));
    world.seen.refusals = vec![refused(Kind::Deployment, RefusalCause::Rejected, "the webhook says no")];
    let plan = world.plan();
    assert!(plan.follow_up.metric_updates.is_empty(), "{:?}", plan.follow_up.metric_updates);
    let status = plan.status.unwrap();
    assert_eq!(status.condition(UpToDate).unwrap().reason, "SpecChanged");
}

#[test]
fn a_refused_deletion_is_told_as_long_as_its_object_is_there() {
    let mut world = World::ready();
    world.image("0.2.0");
    world.follow();
    world.image("0.1.0");
    let job = world.job().metadata.clone();
    let object = ObjectRef { kind: Kind::Job, name: job.name.clone().unwrap(), uid: job.uid.clone() };
    let message = "the webhook says no".to_owned();
    world.seen.refusals = vec![Refusal { object, cause: RefusalCause::Rejected, message }];
    let plan = world.plan();
    assert!(writes(&plan).iter().any(|write| write.starts_with("delete Job")), "it is tried again");
    assert_eq!(plan.status.unwrap().condition(Stalled).unwrap().reason, "Rejected");
    world.follow();
    world.follow();
    assert_eq!(world.phase(), "Ready", "the Job is gone: {}", world.condition(Stalled));
}

#[test]
fn a_migration_goes_on_beside_a_refusal() {
    let mut world = World::ready();
    world.image("0.2.0");
    world.seen.refusals = vec![refused(Kind::ServiceAccount, RefusalCause::Rejected, "the webhook says no")];
    let plan = world.follow();
    assert!(writes(&plan).iter().any(|write| write.starts_with("create Job")), "{:?}", writes(&plan));
    world.job_pod(running(), "x");
    world.follow();
    assert_eq!((world.phase(), world.condition(SchemaUpToDate).as_str()), ("Blocked", "False/Running"));
}
