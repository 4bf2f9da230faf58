//! containerd with its state in the node's folder, and the network of pods.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{Background, Place};
use crate::commands;
use crate::error::{Error, Result};

/// Of the image that holds a pod's namespaces.
pub const PAUSE_VERSION: &str = "1";
/// The range of pods' addresses.
pub const PODS: &str = "10.244.0.0/16";
/// Where Debian puts the plugins that give pods an address.
const PLUGINS: &str = "/usr/lib/cni";
/// Programs, and the Debian packages that bring them.
const NEEDED: [(&str, &str); 8] = [
    ("containerd", "containerd"),
    ("ctr", "containerd"),
    ("runc", "runc"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("conntrack", "conntrack"),
    ("nsenter", "util-linux"),
    ("mount", "mount"),
];

/// Fails when something that a node needs is not installed, or when we are not root.
pub fn need_programs() -> Result<()> {
    let root = std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if !root {
        return Err(Error::Missing(
            "a node that runs pods needs root; run it with sudo, or as root in CI".into(),
        ));
    }
    let mut packages: Vec<_> = NEEDED
        .iter()
        .filter(|(program, _)| commands::find(program, &[]).is_none())
        .map(|(_, p)| *p)
        .collect();
    if !Path::new(PLUGINS).join("bridge").exists() {
        packages.push("containernetworking-plugins");
    }
    packages.dedup();
    if packages.is_empty() {
        return Ok(());
    }
    let packages = packages.join(" ");
    Err(Error::Missing(format!("missing: {packages}; install with: apt-get install -y {packages}")))
}

/// Starts containerd.
pub fn start(place: &Place) -> Result<Background> {
    let folder = place.folder().join("containerd");
    let networks = folder.join("networks");
    std::fs::create_dir_all(&networks).map_err(Error::at(&networks))?;
    let write = |path: PathBuf, text: String| std::fs::write(&path, text).map_err(Error::at(path));
    write(networks.join("pods.conflist"), network(place))?;
    let config = folder.join("config.toml");
    write(config.clone(), configuration(&folder))?;
    let program = commands::find("containerd", &[]).unwrap_or_else(|| PathBuf::from("containerd"));
    place.start(&program, &[OsStr::new("--config"), config.as_os_str()])
}

/// Fails until containerd answers.
pub fn is_up(place: &Place) -> Result<()> {
    commands::run(&mut ctr(place, ["version"])).map(drop)
}

/// containerd's own command line, in the namespace of Kubernetes.
pub fn ctr<const N: usize>(place: &Place, args: [&str; N]) -> Command {
    let mut command = place.command("ctr");
    command.arg("--address").arg(socket(place)).args(["--namespace", "k8s.io"]).args(args);
    command
}

/// Where containerd listens.
pub fn socket(place: &Place) -> PathBuf {
    place.folder().join("containerd/containerd.sock")
}

fn configuration(folder: &Path) -> String {
    let at = |name: &str| format!("\"{}\"", folder.join(name).display());
    // An overlay cannot lie on an overlay, which is what a container's own root is.
    let snapshotter = if is_overlay(folder) { "native" } else { "overlayfs" };
    format!(
        r#"version = 2
root = {root}
state = {state}
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp"]

[grpc]
address = {socket}

[plugins."io.containerd.internal.v1.opt"]
path = {opt}

[plugins."io.containerd.grpc.v1.cri"]
sandbox_image = "sageapi.io/pause:{PAUSE_VERSION}"
# Without the capability to lower it, runc would otherwise die while it starts a container.
restrict_oom_score_adj = true
netns_mounts_under_state_dir = true
stream_server_address = "127.0.0.1"

[plugins."io.containerd.grpc.v1.cri".cni]
bin_dir = "{PLUGINS}"
conf_dir = {networks}

[plugins."io.containerd.grpc.v1.cri".containerd]
snapshotter = "{snapshotter}"
default_runtime_name = "runc"

[plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"#,
        root = at("root"),
        state = at("state"),
        socket = at("containerd.sock"),
        opt = at("opt"),
        networks = at("networks"),
    )
}

/// Whether the file system under a folder is an overlay.
fn is_overlay(folder: &Path) -> bool {
    let kind = commands::run(Command::new("stat").args(["--file-system", "--format=%T"]).arg(folder));
    kind.is_ok_and(|kind| kind.trim().starts_with("overlay"))
}

fn network(place: &Place) -> String {
    let addresses = place.folder().join("containerd/addresses");
    json!({
        "cniVersion": "0.4.0",
        "name": place.namespace(),
        "plugins": [{
            "type": "bridge", "bridge": "pods0", "isGateway": true, "ipMasq": true, "hairpinMode": true,
            "ipam": {
                "type": "host-local", "dataDir": addresses,
                "ranges": [[{"subnet": PODS}]], "routes": [{"dst": "0.0.0.0/0"}],
            },
        }],
    })
    .to_string()
}
