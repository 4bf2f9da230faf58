//! The API server that tests run on.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is code of tests")]

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use sageapi_test_cluster::{ControlPlane, KUBECONFIG_VARIABLE};

/// Looks again and again, for a minute at most.
fn until(what: &str, mut look: impl FnMut() -> bool) {
    for _ in 0..600 {
        if look() {
            return;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    panic!("not within a minute: {what}");
}

#[test]
fn a_deployment_becomes_pods_that_wait_for_a_node() {
    let plane = ControlPlane::shared();
    let namespace = plane.namespace("pods").unwrap();
    plane.kubectl(["-n", &namespace, "create", "deployment", "it", "--image=none", "--replicas=2"]).unwrap();
    until("two pending pods", || {
        let phases = ["-n", &*namespace, "get", "pods", "-o", "jsonpath={.items[*].status.phase}"];
        plane.kubectl(phases).unwrap() == "Pending Pending"
    });
}

#[test]
fn writes_are_counted_for_whom_they_were_made() {
    let plane = ControlPlane::shared();
    if plane.audit_log().is_none() {
        return;
    }
    let namespace = plane.namespace("writes").unwrap();
    let user = format!("system:serviceaccount:{}:it", &*namespace);
    let kubeconfig = plane.kubeconfig_as(&user, &["system:masters"]).unwrap();
    let create = format!("--kubeconfig={}", kubeconfig.display());
    plane.kubectl([&create, "-n", &namespace, "create", "configmap", "it"]).unwrap();
    plane.kubectl([&create, "-n", &namespace, "get", "configmap", "it"]).unwrap();
    until("the write", || !plane.writes_of(&user).unwrap().is_empty());
    let writes = plane.writes_of(&user).unwrap();
    let [write] = writes.as_slice() else { panic!("{writes:?}") };
    assert_eq!((write.verb.as_str(), write.resource.as_str(), write.code), ("create", "configmaps", 201));
    assert_eq!(write.namespace, *namespace);
}

#[test]
fn nothing_of_a_killed_runner_is_left() {
    if ControlPlane::shared().audit_log().is_none() {
        // Somebody gave a cluster: the runner would start nothing.
        return;
    }
    let mut runner = Command::new(env!("CARGO_BIN_EXE_sageapi-test-cluster"))
        .args(["control-plane", "--", "sh", "-c"])
        .arg(format!("echo ${KUBECONFIG_VARIABLE}; exec sleep 60"))
        .env_remove(KUBECONFIG_VARIABLE)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut kubeconfig = String::new();
    BufReader::new(runner.stdout.take().unwrap()).read_line(&mut kubeconfig).unwrap();
    let folder = Path::new(kubeconfig.trim()).parent().unwrap().to_owned();
    assert!(processes_of(&folder).len() >= 3);

    runner.kill().unwrap();
    runner.wait().unwrap();
    until("the end of its programs", || processes_of(&folder).is_empty());
    until("the end of its folder", || !folder.exists());
}

/// Processes whose command line names a folder.
fn processes_of(folder: &Path) -> Vec<PathBuf> {
    let folder = folder.display().to_string();
    let all = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    all.filter(|process| {
        let line = std::fs::read(process.join("cmdline")).unwrap_or_default();
        String::from_utf8_lossy(&line).contains(&folder)
    })
    .collect()
}
