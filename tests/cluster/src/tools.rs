//! The programs of Kubernetes, and what else tests need of Go, built once from pinned modules.

mod go;

use std::path::{Path, PathBuf};
use std::process::Command;

use self::go::Go;
use crate::error::{Error, Result};
use crate::paths;

/// The release of Kubernetes that tests run on.
pub const KUBERNETES: &str = "v1.34.4";
/// Names the folder that built programs are kept in, instead of one in the target folder.
pub const FOLDER_VARIABLE: &str = "SAGEAPI_TEST_KUBERNETES_DIR";
/// Names a folder with etcd, kube-apiserver and kubectl, as other projects' tests have it.
pub const ASSETS_VARIABLE: &str = "KUBEBUILDER_ASSETS";

/// A program that can be built.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tool {
    /// The store below the API server.
    Etcd,
    /// The API server.
    KubeApiserver,
    /// The controllers of Deployments, Jobs, garbage and so on.
    KubeControllerManager,
    /// The command line.
    Kubectl,
    /// What gives pods a node.
    KubeScheduler,
    /// What runs pods.
    Kubelet,
    /// What makes Services reachable.
    KubeProxy,
    /// What installs charts.
    Helm,
    /// The names of Services.
    CoreDns,
    /// The process that holds a pod's namespaces.
    Pause,
    /// A collector of OpenTelemetry, for those who send it spans.
    Collector,
}

/// Where a program's source is.
enum Source {
    /// A package of the module in a folder of `tests/cluster/go`, pinned by its go.sum.
    Module { folder: &'static str, package: &'static str },
    /// A released version, checked by Go's checksum database.
    Release { package: &'static str, version: &'static str },
}

impl Tool {
    /// What an API server needs.
    pub const CONTROL_PLANE: &[Self] =
        &[Self::Etcd, Self::KubeApiserver, Self::KubeControllerManager, Self::Kubectl];
    /// What a node needs besides.
    pub const NODE: &[Self] =
        &[Self::KubeScheduler, Self::Kubelet, Self::KubeProxy, Self::CoreDns, Self::Pause, Self::Helm];

    /// The file's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::KubeApiserver => "kube-apiserver",
            Self::KubeControllerManager => "kube-controller-manager",
            Self::Kubectl => "kubectl",
            Self::KubeScheduler => "kube-scheduler",
            Self::Kubelet => "kubelet",
            Self::KubeProxy => "kube-proxy",
            Self::Helm => "helm",
            Self::CoreDns => "coredns",
            Self::Pause => "pause",
            Self::Collector => "collector",
        }
    }

    fn source(self) -> Source {
        let kubernetes = |package| Source::Module { folder: "kubernetes", package };
        match self {
            Self::Etcd => Source::Module { folder: "etcd", package: "go.etcd.io/etcd/server/v3" },
            Self::KubeApiserver => kubernetes("k8s.io/kubernetes/cmd/kube-apiserver"),
            Self::KubeControllerManager => kubernetes("k8s.io/kubernetes/cmd/kube-controller-manager"),
            Self::Kubectl => kubernetes("k8s.io/kubernetes/cmd/kubectl"),
            Self::KubeScheduler => kubernetes("k8s.io/kubernetes/cmd/kube-scheduler"),
            Self::Kubelet => kubernetes("k8s.io/kubernetes/cmd/kubelet"),
            Self::KubeProxy => kubernetes("k8s.io/kubernetes/cmd/kube-proxy"),
            Self::Helm => Source::Release { package: "helm.sh/helm/v4/cmd/helm", version: "v4.3.1" },
            Self::CoreDns => Source::Module { folder: "coredns", package: "." },
            Self::Pause => Source::Module { folder: "pause", package: "." },
            Self::Collector => Source::Module { folder: "collector", package: "." },
        }
    }

    /// What the program was built from; when it differs, the program is rebuilt.
    fn stamp(self) -> Result<String> {
        match self.source() {
            Source::Release { package, version } => Ok(format!("{package}@{version}\n")),
            Source::Module { folder, package } => {
                let read = |name: &str| {
                    let file = modules().join(folder).join(name);
                    std::fs::read_to_string(&file).map_err(Error::at(file))
                };
                let own = if package == "." { read("main.go")? } else { String::new() };
                Ok(format!("{package}\n{}{own}", read("go.mod")?))
            }
        }
    }

    /// What is built by one command: the programs of one module, or one released program.
    fn group(self) -> &'static str {
        match self.source() {
            Source::Module { folder, .. } => folder,
            Source::Release { package, .. } => package,
        }
    }
}

/// Builds programs of one group into a folder. Together, because Go then compiles what they share beside what they do
/// not, on every core.
fn build(tools: &[Tool], go: &Go, into: &Path) -> Result<()> {
    let mut command = Command::new(go.path());
    command.env("CGO_ENABLED", "0").current_dir(into);
    let mut packages = Vec::new();
    for tool in tools {
        match tool.source() {
            Source::Module { folder, package } => {
                command.current_dir(modules().join(folder));
                packages.push(package.to_owned());
            }
            Source::Release { package, version } => packages.push(format!("{package}@{version}")),
        }
    }
    let version = "k8s.io/component-base/version";
    let (major, minor) = (field(KUBERNETES, 0), field(KUBERNETES, 1));
    // Without these the API server says that it is v0.0.0.
    let flags = format!(
        "-s -w -X {version}.gitVersion={KUBERNETES} -X {version}.gitMajor={major} -X {version}.gitMinor={minor}"
    );
    if packages.iter().any(|package| package.contains('@')) {
        command.env("GOBIN", into).args(["install", "-v", "-trimpath", "-ldflags", "-s -w"]);
    } else {
        command.args(["build", "-v", "-trimpath", "-ldflags", &flags]).arg("-o");
        // Several go into a folder, each called like its package.
        let to = if let [tool] = tools { into.join(tool.name()) } else { into.join("") };
        command.arg(to);
    }
    go.run(command.args(&packages), &packages)
}

/// Programs that are there.
#[derive(Debug, Clone)]
pub struct Tools {
    folder: PathBuf,
    assets: Option<PathBuf>,
}

impl Tools {
    /// Sees to it that these programs are there, building those that are not. One process builds at a
    /// time, the others wait for it.
    pub fn ready(tools: &[Tool]) -> Result<Self> {
        let folder = Self::place()?;
        let assets = std::env::var_os(ASSETS_VARIABLE).filter(|assets| !assets.is_empty());
        let ready = Self { folder, assets: assets.map(PathBuf::from) };
        std::fs::create_dir_all(&ready.folder).map_err(Error::at(&ready.folder))?;
        if ready.missing(tools)?.is_empty() {
            return Ok(ready);
        }
        let lock = ready.folder.join(".lock");
        let lock = std::fs::File::create(&lock).and_then(|file| file.lock().map(|()| file));
        let lock = lock.map_err(Error::at(&ready.folder))?;
        let missing = ready.missing(tools)?;
        if !missing.is_empty() {
            let go = Go::find()?;
            let mut groups: Vec<Vec<Tool>> = Vec::new();
            for tool in missing {
                match groups.iter_mut().find(|group| group[0].group() == tool.group()) {
                    Some(group) => group.push(tool),
                    None => groups.push(vec![tool]),
                }
            }
            let total = groups.len();
            for (at, group) in groups.iter().enumerate() {
                ready.build(group, &go, &format!("{}/{total}", at + 1))?;
            }
        }
        drop(lock);
        Ok(ready)
    }

    /// The program's path.
    pub fn path(&self, tool: Tool) -> PathBuf {
        let given = self.assets.as_ref().map(|assets| assets.join(tool.name()));
        given.filter(|path| path.exists()).unwrap_or_else(|| self.folder.join(tool.name()))
    }

    /// A program that was built before, if it was.
    pub fn built(tool: Tool) -> Result<Option<PathBuf>> {
        let path = Self::place()?.join(tool.name());
        Ok(path.exists().then_some(path))
    }

    /// The folder that programs are built into.
    fn place() -> Result<PathBuf> {
        let folder = std::env::var_os(FOLDER_VARIABLE).filter(|folder| !folder.is_empty());
        match folder {
            Some(folder) => Ok(PathBuf::from(folder)),
            None => Ok(paths::target_folder()?.join("kubernetes").join(KUBERNETES).join("bin")),
        }
    }

    /// The folder with what was built.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn missing(&self, tools: &[Tool]) -> Result<Vec<Tool>> {
        let mut missing = Vec::new();
        for tool in tools.iter().copied() {
            let given = self.assets.as_ref().is_some_and(|assets| assets.join(tool.name()).exists());
            let there = given || {
                let stamp = std::fs::read_to_string(self.stamp_of(tool)).unwrap_or_default();
                self.folder.join(tool.name()).exists() && stamp == tool.stamp()?
            };
            if !there {
                missing.push(tool);
            }
        }
        Ok(missing)
    }

    fn stamp_of(&self, tool: Tool) -> PathBuf {
        self.folder.join(format!(".{}.stamp", tool.name()))
    }

    fn build(&self, tools: &[Tool], go: &Go, count: &str) -> Result<()> {
        let names = tools.iter().map(|tool| tool.name()).collect::<Vec<_>>().join(", ");
        eprintln!("{count} building from source, once: {names}");
        // Built beside its place: a program is there only when it is whole.
        let partial = self.folder.join(".partial");
        std::fs::create_dir_all(&partial).map_err(Error::at(&partial))?;
        build(tools, go, &partial)?;
        for tool in tools {
            let (from, to) = (partial.join(tool.name()), self.folder.join(tool.name()));
            std::fs::rename(&from, &to).map_err(Error::at(to))?;
            let stamp = self.stamp_of(*tool);
            std::fs::write(&stamp, tool.stamp()?).map_err(Error::at(stamp))?;
        }
        Ok(())
    }
}

/// `v1.34.4`: its first number is field 0.
fn field(version: &str, at: usize) -> &str {
    version.trim_start_matches('v').split('.').nth(at).unwrap_or("0")
}

/// The modules that the programs are built from.
fn modules() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("go")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_kubernetes_is_told_to_the_api_server_by_its_fields() {
        assert_eq!((field("v1.34.4", 0), field("v1.34.4", 1)), ("1", "34"));
    }

    #[test]
    fn every_program_of_kubernetes_is_of_the_release_that_go_mod_pins() {
        let module = std::fs::read_to_string(modules().join("kubernetes/go.mod")).unwrap();
        assert!(module.contains(&format!("require k8s.io/kubernetes {KUBERNETES}\n")));
    }

    #[test]
    fn programs_that_are_built_together_are_called_like_their_packages() {
        let all = [Tool::CONTROL_PLANE, Tool::NODE].concat();
        for tool in all.iter().filter(|tool| tool.group() == "kubernetes") {
            let Source::Module { package, .. } = tool.source() else { panic!("{tool:?}") };
            assert!(package.ends_with(&format!("/{}", tool.name())), "{package}");
        }
        for tool in all.iter().filter(|tool| tool.group() != "kubernetes") {
            assert_eq!(all.iter().filter(|other| other.group() == tool.group()).count(), 1, "{tool:?}");
        }
    }
}
