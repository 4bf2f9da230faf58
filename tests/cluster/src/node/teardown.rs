//! Ends a node and removes what is left of it, also when it was killed half way.
//!
//! What belongs to a node is known by what only a node has: its network namespace, its pods' control
//! group, its folder. Processes are ended by their ids.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::Place;
use crate::commands;
use crate::error::{Error, Result};

/// Where control groups are, of either version.
const CONTROL_GROUPS: &str = "/sys/fs/cgroup";
/// Rounds of ending processes and of unmounting, and the pause between two.
const ROUNDS: u32 = 200;
const PAUSE: Duration = Duration::from_millis(50);

/// Ends and removes everything; fine when there is nothing.
pub fn run(place: &Place) -> Result<()> {
    end_processes(place)?;
    unmount(place.folder())?;
    for group in control_groups(place) {
        remove_groups(&group);
    }
    if place.namespace_file().exists() {
        commands::run(Command::new("ip").args(["netns", "delete", &place.namespace()]))?;
    }
    forget_addresses(place);
    restore_machine(place)?;
    if place.folder().exists() {
        std::fs::remove_dir_all(place.folder()).map_err(Error::at(place.folder()))?;
    }
    Ok(())
}

fn end_processes(place: &Place) -> Result<()> {
    let mut left = BTreeSet::new();
    for _ in 0..ROUNDS {
        left = processes(place)?;
        if left.is_empty() {
            return Ok(());
        }
        // Some have ended since we looked.
        let _ = commands::output(Command::new("kill").arg("-KILL").args(left.iter().map(u32::to_string)));
        std::thread::sleep(PAUSE);
    }
    Err(Error::Unexpected(format!("processes of the node {} do not end: {left:?}", place.name)))
}

/// Everything that runs in the network namespace, and in the containers of pods.
fn processes(place: &Place) -> Result<BTreeSet<u32>> {
    let mut found = BTreeSet::new();
    if place.namespace_file().exists() {
        let ids = commands::run(Command::new("ip").args(["netns", "pids", &place.namespace()]))?;
        found.extend(ids.lines().filter_map(|id| id.trim().parse::<u32>().ok()));
    }
    for group in control_groups(place) {
        for group in tree(&group) {
            let ids = std::fs::read_to_string(group.join("cgroup.procs")).unwrap_or_default();
            found.extend(ids.lines().filter_map(|id| id.parse::<u32>().ok()));
        }
    }
    found.remove(&std::process::id());
    // One that has ended and waits for its parent does not end again.
    found.retain(|id| {
        let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
    });
    Ok(found)
}

/// The root of the pods' groups, in each hierarchy.
pub fn control_groups(place: &Place) -> Vec<PathBuf> {
    let name = place.control_group();
    let name = name.trim_start_matches('/');
    let mut parents = vec![PathBuf::from(CONTROL_GROUPS)];
    if let Ok(entries) = std::fs::read_dir(CONTROL_GROUPS) {
        parents.extend(entries.flatten().map(|entry| entry.path()));
    }
    parents.into_iter().map(|parent| parent.join(name)).filter(|group| group.is_dir()).collect()
}

/// Makes the root of the pods' groups: the kubelet wants it to exist.
pub fn make_control_groups(place: &Place) -> Result<()> {
    let name = place.control_group();
    let name = name.trim_start_matches('/');
    let root = Path::new(CONTROL_GROUPS);
    if root.join("cgroup.controllers").exists() {
        let group = root.join(name);
        std::fs::create_dir_all(&group).map_err(Error::at(&group))?;
        let controllers = std::fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        for folder in [root, &group] {
            for controller in controllers.split_whitespace() {
                // Those that cannot be handed down here are those that nobody needs.
                let _ = std::fs::write(folder.join("cgroup.subtree_control"), format!("+{controller}"));
            }
        }
        return Ok(());
    }
    for entry in std::fs::read_dir(root).map_err(Error::at(root))?.flatten() {
        let hierarchy = entry.path();
        // Links such as cpuacct to cpu,cpuacct lead to the same place.
        if hierarchy.join("cgroup.procs").exists() && hierarchy.file_name().is_some_and(|n| n != "unified") {
            let group = hierarchy.join(name);
            std::fs::create_dir_all(&group).map_err(Error::at(group))?;
        }
    }
    Ok(())
}

/// A group and all below it, the deepest last.
fn tree(group: &Path) -> Vec<PathBuf> {
    let mut all = vec![group.to_owned()];
    let mut at = 0;
    while let Some(folder) = all.get(at).cloned() {
        if let Ok(entries) = std::fs::read_dir(&folder) {
            all.extend(
                entries.flatten().filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()),
            );
        }
        at += 1;
    }
    all
}

/// Best effort: an empty group costs nobody anything.
fn remove_groups(group: &Path) {
    for group in tree(group).into_iter().rev() {
        let _ = std::fs::remove_dir(group);
    }
}

/// Unmounts all below a folder, the last mounted first.
fn unmount(folder: &Path) -> Result<()> {
    let mut left = Vec::new();
    for round in 0..ROUNDS {
        left = mounts(folder)?;
        if left.is_empty() {
            return Ok(());
        }
        for mount in left.iter().rev() {
            // What is still busy after half of the time is detached, and goes when it is not.
            let lazy: &[&str] = if round > ROUNDS / 2 { &["--lazy"] } else { &[] };
            let _ = commands::output(Command::new("umount").args(lazy).arg(mount));
        }
        if !mounts(folder)?.is_empty() {
            std::thread::sleep(PAUSE);
        }
    }
    Err(Error::Unexpected(format!("these cannot be unmounted: {left:?}")))
}

fn mounts(folder: &Path) -> Result<Vec<PathBuf>> {
    let table = Path::new("/proc/self/mounts");
    let text = std::fs::read_to_string(table).map_err(Error::at(table))?;
    let points = text.lines().filter_map(|line| line.split(' ').nth(1)).map(PathBuf::from);
    Ok(points.filter(|point| point.starts_with(folder)).collect())
}

/// The runtime's memory of pods' addresses is kept where it always is: by the network's name, and for
/// loopback by the pod's.
fn forget_addresses(place: &Place) {
    let pods = place.folder().join("containerd/root/io.containerd.grpc.v1.cri/sandboxes");
    let names = |folder: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let mut prefixes: Vec<_> = names(&pods).iter().map(|pod| format!("cni-loopback-{pod}-")).collect();
    prefixes.push(format!("{}-", place.namespace()));
    let results = Path::new("/var/lib/cni/results");
    for name in names(results) {
        if prefixes.iter().any(|prefix| name.starts_with(prefix)) {
            let _ = std::fs::remove_file(results.join(name));
        }
    }
}

/// What a kubelet sets for the whole machine.
const MACHINE: [&str; 3] = ["vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops"];

/// Remembers what the kubelet is about to set.
pub fn remember_machine(place: &Place) -> Result<()> {
    let folder = place.folder().join("machine");
    std::fs::create_dir_all(&folder).map_err(Error::at(&folder))?;
    for setting in MACHINE {
        let from = Path::new("/proc/sys").join(setting);
        let value = std::fs::read_to_string(&from).map_err(Error::at(from))?;
        let to = folder.join(setting.replace('/', "-"));
        std::fs::write(&to, value).map_err(Error::at(to))?;
    }
    Ok(())
}

/// Puts it back.
fn restore_machine(place: &Place) -> Result<()> {
    for setting in MACHINE {
        let from = place.folder().join("machine").join(setting.replace('/', "-"));
        if let Ok(value) = std::fs::read_to_string(from) {
            let to = Path::new("/proc/sys").join(setting);
            std::fs::write(&to, value).map_err(Error::at(to))?;
        }
    }
    Ok(())
}
