//! Rules that come from other operators' bug trackers.

use k8s_openapi::api::apps::v1::{Deployment, ReplicaSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{ConfigMap, Pod};
use sageapi_crds::ConditionType::{
    DatabaseReady, Paused, Ready, Reconciling, Stalled, SyncHealthy, UpToDate,
};
use sageapi_crds::{ConditionType, Phase};
use serde_json::json;

use super::world::{World, migrated, running, terminated, writes};
use crate::children::Children;
use crate::kinds::Kind;
use crate::labels;
use crate::names;
use crate::object::Live;
use crate::observed::{EntityHealth, Health, HealthReport, Referenced};
use crate::plan::{Ask, Plan};
use crate::reconciler::NOTE_MAX_BYTES;
use crate::steps::Step;

fn touches(plan: &Plan, what: &str) -> bool {
    writes(plan).iter().any(|write| write.contains(what))
}

/// Steps that are not yet as they should be.
fn changes(world: &World, plan: &Plan) -> Vec<String> {
    let applied = |step: &&Step| !matches!(step, Step::Apply(object) if world.seen.children.has(object));
    let steps = plan.steps.iter().filter(applied).cloned().collect();
    writes(&Plan { steps, ..plan.clone() })
}

#[test]
fn rule_1_a_converged_resource_changes_nothing() {
    let mut world = World::ready();
    for _ in 0..3 {
        world.advance(600);
        let plan = world.plan();
        assert_eq!(changes(&world, &plan), Vec::<String>::new());
        assert_eq!(plan.status, world.seen.resource.status);
        assert!(plan.events.is_empty() && plan.follow_up.metric_updates.is_empty());
    }
}

#[test]
fn from_apply_to_ready_are_nine_objects_and_three_status_writes() {
    let mut world = World::new();
    let (mut objects, mut statuses) = (0, 0);
    let mut reconcile = |world: &mut World| {
        let before = world.seen.resource.status.clone();
        let plan = world.plan();
        objects += changes(world, &plan).len();
        world.follow();
        statuses += usize::from(world.seen.resource.status != before);
    };
    reconcile(&mut world);
    reconcile(&mut world);
    world.job_pod(running(), "x");
    reconcile(&mut world);
    world.seen.children.clear(Kind::Pod);
    world.end_job(0, &migrated());
    reconcile(&mut world);
    world.advance(1);
    reconcile(&mut world);
    world.rolled(1, 1, 0, "NewReplicaSetCreated");
    reconcile(&mut world);
    world.rolled(2, 2, 0, "ReplicaSetUpdated");
    reconcile(&mut world);
    world.roll();
    reconcile(&mut world);
    assert_eq!(world.phase(), "Ready");
    assert_eq!((objects, statuses), (9, 3));
}

#[test]
fn rule_2_a_failed_migration_never_lets_the_new_deployment_through() {
    let mut world = World::ready();
    let before = world.deployment().clone();
    world.image("0.2.0");
    for _ in 0..5 {
        let plan = world.follow();
        assert!(!touches(&plan, "Deployment") && !touches(&plan, "Service prod"), "{:?}", writes(&plan));
        if world.phase() == Phase::Migrating.as_str() && world.job().status.is_none() {
            world.end_job(70, "disk full");
        }
        world.follow();
        world.advance(600);
    }
    assert_eq!(world.phase(), "MigrationFailed");
    assert_eq!(*world.deployment(), before);
    assert_eq!(world.condition(Ready), "True/AllReady");
    assert_eq!(world.condition(UpToDate), "False/ImageChanged");
}

#[test]
fn rule_2_a_finished_job_that_is_gone_never_runs_again() {
    let mut world = World::ready();
    world.seen.children.clear(Kind::Job);
    world.seen.children.clear(Kind::Pod);
    let plan = world.follow();
    assert!(!touches(&plan, "Job"), "{:?}", writes(&plan));
    assert_eq!(world.phase(), "Ready");
}

#[test]
fn rule_2_a_running_migration_is_never_deleted_because_the_image_changed() {
    let mut world = World::ready();
    world.image("0.2.0");
    world.follow();
    world.job_pod(running(), "x");
    world.follow();
    world.image("0.3.0");
    for _ in 0..3 {
        let plan = world.follow();
        assert!(!touches(&plan, "Job"), "{:?}", writes(&plan));
        assert_eq!(world.phase(), "Migrating");
        world.advance(60);
    }
    world.seen.children.clear(Kind::Pod);
    world.end_job(0, &migrated());
    assert!(touches(&world.follow(), "create Job"), "then the newest one follows");
}

#[test]
fn rule_2_an_image_that_comes_back_is_checked_again() {
    let upgrade = |world: &mut World, tag: &str| {
        world.advance(3600);
        world.image(tag);
        let plan = world.follow();
        assert!(touches(&plan, "create Job"), "{tag}: {:?}", writes(&plan));
        assert!(!touches(&plan, "Deployment"), "{tag}");
        world.end_job(0, &migrated());
        world.follow();
        world.roll();
        world.follow();
        assert_eq!(world.phase(), "Ready", "{tag}");
        assert_eq!(world.jobs().len(), 1, "the former image's Job is of no use any more");
    };
    let mut world = World::ready();
    for tag in ["0.2.0", "0.1.0", "0.2.0"] {
        upgrade(&mut world, tag);
    }
    // Even if the Jobs of former images are still there.
    let former = world.seen.children.clone();
    upgrade(&mut world, "0.3.0");
    former.all::<Job>().for_each(|job| world.seen.children.put(job));
    former.all::<Pod>().for_each(|pod| world.seen.children.put(pod));
    world.advance(3600);
    world.image("0.2.0");
    assert!(touches(&world.follow(), "create Job"));
}

#[test]
fn rule_2_exit_0_is_final_although_a_sidecar_holds_the_job() {
    let mut world = World::new();
    world.follow();
    let now = world.seen.now;
    world.job_pod(terminated(0, &migrated(), now), "x");
    let passed = world.follow();
    assert!(touches(&passed, "Deployment prod"), "the gate is open");
    assert!(!touches(&passed, "delete Job"), "first it is written down");
    assert!(world.status().database.as_ref().unwrap().applied_hash.is_some());
    assert!(!touches(&world.follow(), "delete Job"), "its controller may be about to end it");
    world.advance(300);
    assert!(touches(&world.follow(), "delete Job"));
    assert!(world.jobs().is_empty());
    world.follow();
    assert_eq!(world.phase(), "Rolling");
}

#[test]
fn rule_2_a_job_is_asked_for_that_ends_and_has_no_sidecars() {
    let plan = World::new().plan();
    let job = plan.steps.iter().find_map(|step| match step {
        Step::Create(job) if job.kind() == Kind::Job => Some(job.body().clone()),
        _ => None,
    });
    let spec = &job.unwrap()["spec"];
    assert_eq!(spec["backoffLimit"], 0);
    assert_eq!(spec["activeDeadlineSeconds"], 900);
    assert_eq!(
        spec["podFailurePolicy"],
        json!({"rules": [{"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}]})
    );
    let pod = &spec["template"];
    assert_eq!(pod["spec"]["restartPolicy"], "Never");
    assert_eq!(pod["spec"]["containers"][0]["terminationMessagePolicy"], "FallbackToLogsOnError");
    assert_eq!(
        pod["spec"]["containers"][0]["args"],
        json!(["migrate", "--owner", "cluster/billing/prod", "--result-file", "/dev/termination-log"])
    );
    assert_eq!(pod["metadata"]["annotations"]["linkerd.io/inject"], "disabled");
    assert_eq!(pod["metadata"]["labels"]["sidecar.istio.io/inject"], "false");
}

#[test]
fn rule_4_only_our_annotations_vary_between_pods_of_two_configurations() {
    let template = |world: &World| {
        let deployment: &Deployment = world.seen.children.all().next().unwrap();
        serde_json::to_value(&deployment.spec.as_ref().unwrap().template).unwrap()
    };
    let mut world = World::ready();
    let mut before = template(&world);
    world.edit(|spec| spec["cache"] = json!({"ttl": "61s"}));
    world.follow();
    let mut after = template(&world);
    assert_ne!(before, after);
    for template in [&mut before, &mut after] {
        let annotations = template["metadata"]["annotations"].as_object_mut().unwrap();
        assert!(annotations.keys().all(|name| name.starts_with(labels::PREFIX)));
        annotations.remove(labels::CONFIG_HASH);
        // The mounted ConfigMap is called by its hash.
        template["spec"]["volumes"][0]["projected"]["sources"][0]["configMap"]["name"] = "x".into();
    }
    assert_eq!(before, after);
}

#[test]
fn rule_4_a_restart_by_kubectl_survives() {
    let mut world = World::ready();
    let restarted_at = ("kubectl.kubernetes.io/restartedAt".to_owned(), "now".to_owned());
    let mut deployment = world.deployment();
    let meta = deployment.spec.as_mut().unwrap().template.metadata.as_mut().unwrap();
    meta.annotations.get_or_insert_default().extend([restarted_at]);
    drop(deployment);
    let plan = world.plan();
    assert_eq!(changes(&world, &plan), Vec::<String>::new());
    world.edit(|spec| spec["instances"] = 3.into());
    world.follow();
    assert_eq!(world.condition(UpToDate), "True/Current");
}

#[test]
fn scaling_rolls_nothing_and_migrates_nothing() {
    let mut world = World::ready();
    let before = world.deployment().spec.as_ref().unwrap().template.clone();
    world.edit(|spec| spec["instances"] = 5.into());
    let plan = world.follow();
    assert!(!touches(&plan, "Job"));
    assert!(plan.follow_up.metric_updates.is_empty(), "{:?}", plan.follow_up.metric_updates);
    assert_eq!(world.deployment().spec.as_ref().unwrap().template, before);
    assert_eq!(world.deployment().spec.as_ref().unwrap().replicas, Some(5));
    assert_eq!(world.condition(Ready), "True/RolloutInProgress");
}

#[test]
fn rule_6_configuration_and_secrets_in_use_are_kept_and_three_more() {
    let mut world = World::ready();
    for n in 0..12 {
        world.advance(60);
        world.edit(|spec| spec["cache"] = json!({"ttl": format!("{}s", 100 + n)}));
        world.secret("dapi", &[("key", "ak"), ("secret", &format!("s{n}"))]);
        world.follow();
        world.roll();
        world.follow();
        for set in world.seen.children.all::<ReplicaSet>() {
            let template = serde_json::to_value(&set.spec.as_ref().unwrap().template).unwrap();
            let sources = &template["spec"]["volumes"][0]["projected"]["sources"];
            let config = sources[0]["configMap"]["name"].as_str().unwrap();
            let secret = sources[1]["secret"]["name"].as_str().unwrap();
            assert!(world.seen.children.find(Kind::ConfigMap, config).is_some(), "{config} is in use");
            assert!(world.seen.children.find(Kind::Secret, secret).is_some(), "{secret} is in use");
        }
    }
    world.follow();
    // Four ReplicaSets, the migration's Job, and three spare ones.
    assert_eq!(world.seen.children.of(Kind::ConfigMap).count(), 4 + 1 + 3);
    let secrets = world.seen.children.of(Kind::Secret);
    let copies = secrets.filter(|secret| secret.name.as_ref().unwrap().contains("-secrets-"));
    assert_eq!(copies.count(), 4 + 1 + 3);
}

#[test]
fn rule_6_what_is_not_ours_is_never_deleted() {
    let mut world = World::ready();
    for n in 0..9 {
        let mut foreign: ConfigMap = world.seen.children.all().next().cloned().unwrap();
        foreign.metadata.name = Some(format!("prod-config-foreign{n}"));
        foreign.metadata.uid = Some(format!("foreign-{n}"));
        foreign.metadata.owner_references.as_mut().unwrap()[0].uid = "somebody else".to_owned();
        world.seen.children.put(&foreign);
    }
    assert!(!touches(&world.plan(), "delete"));
}

#[test]
fn rule_8_events_are_told_on_transitions_only_and_are_short() {
    let mut world = World::ready();
    world.seen.secrets.insert("db".to_owned(), Referenced::Missing);
    assert_eq!(world.follow().events.len(), 1);
    for _ in 0..3 {
        world.advance(60);
        assert!(world.follow().events.is_empty());
    }
    let long = "\u{4e2d}".repeat(4000);
    let mut world = World::new();
    world.follow();
    world.end_job(70, &long);
    let plan = world.follow();
    assert!(!plan.events.is_empty());
    for note in &plan.events {
        assert!(note.message.len() <= NOTE_MAX_BYTES, "{} bytes", note.message.len());
    }
    for condition in &world.status().conditions {
        assert!(condition.message.len() <= 1024);
    }
}

#[test]
fn rule_12_the_status_does_not_flap_and_its_times_change_with_it() {
    let mut world = World::ready();
    let since =
        |world: &World, of: ConditionType| world.status().condition(of).unwrap().last_transition_time.clone();
    let (ready, up_to_date) = (since(&world, Ready), since(&world, UpToDate));
    world.advance(100);
    world.edit(|spec| spec["cache"] = json!({"ttl": "61s"}));
    world.follow();
    assert_eq!(since(&world, Ready), ready, "Ready stayed True");
    assert_ne!(since(&world, UpToDate), up_to_date);
    assert!(world.status().conditions.iter().all(|c| c.observed_generation == Some(2)));
    world.rolled(3, 1, 2, "ReplicaSetUpdated");
    world.follow();
    let during = world.seen.resource.status.clone();
    world.rolled(4, 2, 2, "ReplicaSetUpdated");
    world.advance(5);
    world.follow();
    assert_eq!(world.seen.resource.status, during, "pods that come and go are no news");
}

#[test]
fn rule_12_every_condition_is_there_from_the_first_status_and_never_goes() {
    let mut world = World::new();
    world.seen.secrets.clear();
    world.follow();
    let all = |world: &World| world.status().conditions.iter().map(|c| c.type_.clone()).collect::<Vec<_>>();
    let expected: Vec<_> = ConditionType::ALL.iter().map(ToString::to_string).collect();
    assert_eq!(all(&world), expected);
    world.edit(|spec| spec["paused"] = true.into());
    world.follow();
    assert_eq!(all(&world), expected);
}

#[test]
fn rule_12_a_recreated_resource_steals_no_children() {
    let mut world = World::ready();
    world.resource().metadata.uid = Some("another uid".to_owned());
    world.resource().status = None;
    let plan = world.follow();
    assert!(plan.steps.is_empty(), "{:?}", writes(&plan));
    assert_eq!(world.phase(), "Blocked");
    assert_eq!(world.condition(Stalled), "True/NameConflict");
    assert!(plan.requeue.as_secs() <= 10, "they are soon gone");
    // The garbage collector removes them; the keys stay, and are taken up again.
    let keys = world.seen.children.keys("prod").cloned().unwrap();
    world.seen.children = Children::default();
    world.seen.children.put(&keys);
    let plan = world.follow();
    assert!(!touches(&plan, &names::keys("prod")), "{:?}", writes(&plan));
    world.end_job(0, &migrated());
    world.follow();
    assert_eq!(world.seen.children.keys("prod"), Some(&keys));
}

#[test]
fn a_resource_that_is_being_deleted_is_left_alone() {
    let mut world = World::ready();
    world.resource().metadata.deletion_timestamp =
        Some(serde_json::from_value(json!("2026-11-22T12:00:00Z")).unwrap());
    let plan = world.plan();
    assert!(plan.steps.is_empty() && plan.status.is_none() && plan.events.is_empty());
}

#[test]
fn keys_are_created_once_and_never_again_for_a_database_that_has_been_filled() {
    let mut world = World::ready();
    let keys = names::keys("prod");
    let is_keys = |secret: &Live| secret.metadata().name.as_ref() == Some(&keys);
    let saved = world.seen.children.keys("prod").cloned().unwrap();
    world.seen.children.remove_if(Kind::Secret, is_keys);
    world.seen.seed = crate::observed::KeySeed([9; 128]);
    let plan = world.follow();
    assert!(plan.steps.is_empty(), "{:?}", writes(&plan));
    assert_eq!(
        (world.phase(), world.condition(DatabaseReady).as_str()),
        ("Blocked", "False/EncryptionKeyMismatch")
    );
    assert_eq!(world.condition(Ready), "True/AllReady", "old instances serve");
    let mut wrong = saved.clone();
    wrong.data.as_mut().unwrap().insert(
        "encryption_key".to_owned(),
        k8s_openapi::ByteString(b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=".to_vec()),
    );
    world.seen.children.put(&wrong);
    world.follow();
    assert_eq!(world.condition(DatabaseReady), "False/EncryptionKeyMismatch");
    world.seen.children.remove_if(Kind::Secret, is_keys);
    world.seen.children.put(&saved);
    world.follow();
    assert_eq!((world.phase(), world.condition(DatabaseReady).as_str()), ("Ready", "True/Reachable"));
}

#[test]
fn a_secret_that_comes_back_lets_everything_go_on() {
    let mut world = World::new();
    world.seen.secrets.insert("db".to_owned(), Referenced::Missing);
    let plan = world.follow();
    assert!(plan.steps.is_empty());
    assert_eq!(world.phase(), "Resolving");
    assert_eq!(world.condition(Reconciling), "True/SecretNotFound");
    world.secret("db", &[("url", super::world::URL)]);
    world.bring_up();
}

#[test]
fn while_paused_nothing_is_written_but_the_status() {
    let mut world = World::ready();
    world.edit(|spec| {
        spec["paused"] = true.into();
        spec["image"] = json!({"tag": "0.2.0"});
    });
    let plan = world.follow();
    assert!(plan.steps.is_empty() && plan.follow_up.metric_updates.is_empty());
    assert_eq!((world.phase(), world.condition(Paused).as_str()), ("Paused", "True/Paused"));
    assert!(world.status().would_change.iter().any(|change| change.starts_with("create Job")));
    assert_eq!(world.plan().status, world.seen.resource.status, "and that once");
    world.edit(|spec| spec["paused"] = false.into());
    assert!(touches(&world.follow(), "create Job"));
    assert!(world.status().would_change.is_empty());
}

#[test]
fn a_network_policy_that_is_switched_off_goes() {
    let mut world = World::ready();
    world.edit(|spec| spec["networkPolicy"] = json!({"enabled": false}));
    assert!(touches(&world.follow(), "delete NetworkPolicy prod"));
    assert_eq!(world.seen.children.of(Kind::NetworkPolicy).count(), 0);
    assert!(!touches(&world.follow(), "NetworkPolicy"));
}

fn report(users: &str, age: f64) -> Health {
    let entity = |status: &str, age| EntityHealth {
        age_s: Some(age),
        status: status.to_owned(),
        error_class: (status == "failed").then(|| "http_500".to_owned()),
    };
    let sync = [("users", entity(users, age))]
        .into_iter()
        .chain(["pricing", "llmage", "uapi"].into_iter().map(|name| (name, entity("success", 1.0))));
    Health::Report(HealthReport {
        sync: sync.map(|(name, health)| (name.to_owned(), health)).collect(),
        serving: true,
        ..HealthReport::default()
    })
}

#[test]
fn the_mirror_is_told_when_its_state_changes_and_not_when_it_ages() {
    let mut world = World::ready();
    assert_eq!(world.plan().follow_up.ask_health, Ask::Serving);
    let mut tell = |health: Health| {
        world.advance(60);
        world.seen.health = health;
        let before = world.seen.resource.status.clone();
        world.follow();
        let written = world.seen.resource.status != before;
        (written, world.condition(SyncHealthy), world.status().sync_summary.clone().unwrap_or_default())
    };
    let told = |written, condition: &str, summary: &str| (written, condition.to_owned(), summary.to_owned());
    assert_eq!(tell(report("success", 5.0)), told(true, "True/Healthy", "Healthy"));
    assert_eq!(tell(report("success", 29.0)), told(false, "True/Healthy", "Healthy"));
    assert_eq!(tell(report("success", 500.0)), told(true, "False/Late", "users Late"));
    assert_eq!(tell(report("failed", 560.0)), told(true, "False/SyncFailing", "users Failing"));
    let unreachable = || Health::Unreachable("connection refused".to_owned());
    assert_eq!(tell(unreachable()), told(true, "Unknown/ServerUnreachable", "users Failing"));
    assert_eq!(tell(unreachable()), told(false, "Unknown/ServerUnreachable", "users Failing"));
    assert_eq!(tell(report("success", 1.0)), told(true, "True/Healthy", "Healthy"));
}

#[test]
fn a_schedule_is_late_by_its_own_period() {
    let mut world = World::ready();
    world.edit(|spec| spec["sync"] = json!({"users": {"schedule": "0 * * * *"}}));
    world.follow();
    world.roll();
    for (age, expected) in [(3500.0, "True/Healthy"), (3.0 * 3600.0 + 61.0, "False/Late")] {
        world.seen.health = report("success", age);
        world.follow();
        assert_eq!(world.condition(SyncHealthy), expected, "{age}");
    }
}

#[test]
fn without_an_upstream_nothing_is_mirrored() {
    let mut world = World::of(&json!({"database": {"mysql": {"urlSecretRef": {"name": "db"}}}}));
    world.bring_up();
    assert_eq!(world.condition(SyncHealthy), "True/SyncDisabled");
}

#[test]
fn ready_stays_true_while_enough_instances_serve() {
    let mut world = World::ready();
    world.rolled(2, 2, 1, "NewReplicaSetAvailable");
    world.follow();
    assert_eq!((world.phase(), world.condition(Ready).as_str()), ("Ready", "True/EnoughReady"));
    world.rolled(2, 2, 0, "NewReplicaSetAvailable");
    let plan = world.follow();
    assert_eq!((world.phase(), world.condition(Ready).as_str()), ("Degraded", "False/Degraded"));
    assert_eq!(plan.events.len(), 1);
    world.roll();
    world.follow();
    assert_eq!((world.phase(), world.condition(Ready).as_str()), ("Ready", "True/AllReady"));
}

#[test]
fn too_few_instances_are_not_called_ready_because_a_roll_is_under_way() {
    let mut world = World::of(&json!({
        "instances": 10, "database": {"mysql": {"urlSecretRef": {"name": "db"}}}
    }));
    world.follow();
    world.end_job(0, &migrated());
    world.follow();
    world.rolled(10, 10, 1, "ReplicaSetUpdated");
    world.follow();
    assert_eq!(world.condition(Ready), "False/RolloutInProgress", "the first of ten");
    world.rolled(10, 10, 9, "ReplicaSetUpdated");
    world.follow();
    assert_eq!(world.condition(Ready), "True/RolloutInProgress");
    world.roll();
    world.follow();
    world.edit(|spec| spec["cache"] = json!({"ttl": "7s"}));
    world.follow();
    world.rolled(12, 3, 10, "ReplicaSetUpdated");
    world.follow();
    assert_eq!(world.condition(Ready), "True/RolloutInProgress");
    // Nodes are lost in the midst of it.
    world.rolled(12, 3, 4, "ReplicaSetUpdated");
    world.follow();
    assert_eq!(world.condition(Ready), "False/RolloutInProgress");
}

#[test]
fn instances_that_are_added_leave_the_others_ready() {
    let mut world = World::ready();
    world.edit(|spec| spec["instances"] = 20.into());
    world.follow();
    for available in [2, 5, 20] {
        world.rolled(20, 20, available, "ReplicaSetUpdated");
        world.follow();
        assert_eq!(world.condition(Ready), "True/RolloutInProgress", "{available}");
    }
}

#[test]
fn a_mirror_that_nobody_can_tell_of_is_not_called_healthy() {
    let mut world = World::ready();
    let sync = ["users", "pricing", "llmage", "uapi"].map(|entity| {
        (entity.to_owned(), EntityHealth { age_s: Some(1.0), status: "success".into(), error_class: None })
    });
    world.seen.health =
        Health::Report(HealthReport { sync: sync.into(), serving: true, ..HealthReport::default() });
    world.follow();
    assert_eq!(world.condition(SyncHealthy), "True/Healthy");
    world.seen.health = Health::NotAsked;
    world.follow();
    assert_eq!(
        world.condition(SyncHealthy),
        "True/Healthy",
        "an operator that was just started has not asked yet"
    );
    world.rolled(2, 2, 0, "NewReplicaSetAvailable");
    world.follow();
    assert_eq!(world.condition(SyncHealthy), "Unknown/ServerUnreachable");
}

#[test]
fn what_is_taken_out_of_the_pods_is_a_change_of_them() {
    let mut world = World::ready();
    world.edit(|spec| spec["extraEnv"] = json!([{"name": "HTTP_PROXY", "value": "http://proxy"}]));
    world.follow();
    world.roll();
    world.follow();
    assert_eq!(world.condition(UpToDate), "True/Current");
    world.edit(|spec| spec["extraEnv"] = json!([]));
    world.follow();
    assert_eq!(world.condition(UpToDate), "False/SpecChanged");
}
