//! An API server with controllers and no node, for any user: pods are made and stay Pending, and a
//! test that wants them to run plays the kubelet by writing their status.

use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::json;

use crate::audit::{self, Request};
use crate::components::Settings;
use crate::error::{Error, Result};
use crate::offspring::{Folder, Program, free_ports};
use crate::tools::{Tool, Tools};
use crate::{commands, kubeconfig};

/// Names the kubeconfig of a cluster to test on. Plain KUBECONFIG is never read: what it names is
/// somebody's own cluster.
pub const KUBECONFIG_VARIABLE: &str = "SAGEAPI_TEST_KUBECONFIG";
/// Names the audit log of that cluster's API server. Set beside the other by
/// `sageapi-test-cluster control-plane -- COMMAND`.
pub const AUDIT_LOG_VARIABLE: &str = "SAGEAPI_TEST_AUDIT_LOG";

/// How often a program is looked at while it starts, and how many times.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
const LOOKS: u32 = 1200;

/// An API server to test on. Dropping one that was started here ends it.
#[derive(Debug)]
pub struct ControlPlane {
    kubeconfig: PathBuf,
    audit_log: Option<PathBuf>,
    kubectl: PathBuf,
    own: Option<Own>,
    /// For kubeconfigs that tests ask for.
    folder: Folder,
}

/// What runs here. Fields are dropped in their order: clients before servers.
#[derive(Debug)]
struct Own {
    _controller_manager: Program,
    _api_server: Program,
    _etcd: Program,
}

impl ControlPlane {
    /// The control plane of this process: made at the first call, ended with the process. Tests share
    /// it and take a [`namespace`](Self::namespace) each.
    ///
    /// Blocks for some seconds the first time; for minutes when Kubernetes has to be built.
    ///
    /// # Panics
    ///
    /// When there is none to be had; the message says what to install or set.
    #[expect(clippy::panic, reason = "a test without its control plane has failed")]
    pub fn shared() -> &'static Self {
        static SHARED: OnceLock<ControlPlane> = OnceLock::new();
        SHARED.get_or_init(|| Self::get().unwrap_or_else(|why| panic!("{why}")))
    }

    /// The one that `SAGEAPI_TEST_KUBECONFIG` names, else a new one.
    pub fn get() -> Result<Self> {
        let variable = |name| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let Some(kubeconfig) = variable(KUBECONFIG_VARIABLE) else { return Self::start() };
        // Ours first: the system's may be years older than the cluster.
        let kubectl = match Tools::built(Tool::Kubectl)?.or_else(|| commands::find("kubectl", &[])) {
            Some(kubectl) => kubectl,
            None => Tools::ready(&[Tool::Kubectl])?.path(Tool::Kubectl),
        };
        let folder = Folder::new("sageapi-control-plane-")?;
        Ok(Self { kubeconfig, audit_log: variable(AUDIT_LOG_VARIABLE), kubectl, own: None, folder })
    }

    /// A new one: etcd and kube-apiserver of `KUBEBUILDER_ASSETS` where that is set, else those built
    /// from source, and kube-controller-manager.
    pub fn start() -> Result<Self> {
        let tools = Tools::ready(Tool::CONTROL_PLANE)?;
        let mut last = None;
        // Somebody else may take a port between our look and a program's bind.
        for _ in 0..3 {
            match Self::try_start(&tools) {
                Err(why @ Error::Program { .. }) => last = Some(why),
                ended => return ended,
            }
        }
        Err(last.unwrap_or_else(|| Error::Unexpected("the control plane does not start".into())))
    }

    fn try_start(tools: &Tools) -> Result<Self> {
        let folder = Folder::new("sageapi-control-plane-")?;
        let [port, etcd, peers] = free_ports()?;
        let settings = Settings::prepare(folder.path(), Ipv4Addr::LOCALHOST.into(), port, etcd, peers)?;
        let start = |tool, options: &[String]| Program::start(&tools.path(tool), options, folder.path());

        let mut etcd = start(Tool::Etcd, &settings.etcd_options())?;
        let mut options = settings.api_server_options();
        // An API server on loopback cannot be a Service's endpoint.
        options.push("--endpoint-reconciler-type=none".into());
        let mut api_server = start(Tool::KubeApiserver, &options)?;
        let kubectl = tools.path(Tool::Kubectl);
        let kubeconfig = settings.kubeconfig("admin");
        let ask = || {
            let mut command = Command::new(&kubectl);
            kubectl_settings(&mut command, &kubeconfig, folder.path());
            commands::run(command.args(["get", "--raw", "/readyz", "--request-timeout=5s"])).map(drop)
        };
        wait_until_ready(ask, &mut [&mut etcd, &mut api_server])?;
        let controller_manager = start(Tool::KubeControllerManager, &settings.controller_manager_options())?;

        let own = Own { _controller_manager: controller_manager, _api_server: api_server, _etcd: etcd };
        let audit_log = Some(settings.audit_log());
        Ok(Self { kubeconfig, audit_log, kubectl, own: Some(own), folder })
    }

    /// Of an administrator.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig that acts as this user (impersonation), for what a test wants to see done under
    /// its own name: counted, or with that user's rights. A service account is the user
    /// `system:serviceaccount:NAMESPACE:NAME` of the group `system:serviceaccounts`.
    pub fn kubeconfig_as(&self, user: &str, groups: &[&str]) -> Result<PathBuf> {
        let shown = self.kubectl(["config", "view", "--raw", "--flatten", "-o", "json"])?;
        let file: String = user.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        let path = self.folder.path().join(format!("as-{file}.kubeconfig"));
        kubeconfig::write_as(&path, &shown, user, groups)?;
        Ok(path)
    }

    /// The API server's audit log, one JSON event a line; `None` on a cluster that somebody gave
    /// without naming it.
    pub fn audit_log(&self) -> Option<&Path> {
        self.audit_log.as_deref()
    }

    /// Every request that was answered so far. An event may come a moment after its answer. An error
    /// on a cluster without an audit log.
    pub fn requests(&self) -> Result<Vec<Request>> {
        let missing = || {
            Error::Missing(format!(
                "{KUBECONFIG_VARIABLE} is set and {AUDIT_LOG_VARIABLE} is not: requests cannot be counted on this cluster"
            ))
        };
        audit::read(self.audit_log.as_deref().ok_or_else(missing)?)
    }

    /// The writes made so far under a user's name.
    pub fn writes_of(&self, user: &str) -> Result<Vec<Request>> {
        Ok(self
            .requests()?
            .into_iter()
            .filter(|request| request.user == user && request.is_write())
            .collect())
    }

    /// A new namespace; its name begins with `prefix`.
    pub fn namespace(&self, prefix: &str) -> Result<Namespace<'_>> {
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": {"generateName": format!("{prefix}-"), "labels": {"sageapi.io/test": "true"}},
        });
        let mut command = self.command();
        command.args(["create", "-o", "jsonpath={.metadata.name}", "-f", "-"]);
        let name = commands::run_with(&mut command, &object.to_string())?;
        Ok(Namespace { name, plane: self })
    }

    /// Runs kubectl as administrator; what it printed.
    pub fn kubectl<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<String> {
        commands::run(self.command().args(args))
    }

    /// `kubectl apply --server-side` of a manifest.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        commands::run_with(
            self.command().args(["apply", "--server-side", "--force-conflicts", "-f", "-"]),
            manifest,
        )
    }

    /// Runs helm as administrator; what it printed. It is built from source when it is not there.
    pub fn helm<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<String> {
        let tools = Tools::ready(&[Tool::Helm])?;
        let mut command = Command::new(tools.path(Tool::Helm));
        helm_settings(&mut command, &self.kubeconfig, self.folder.path());
        commands::run(command.args(args))
    }

    /// Whether it goes with this process.
    pub fn is_own(&self) -> bool {
        self.own.is_some()
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.kubectl);
        kubectl_settings(&mut command, &self.kubeconfig, self.folder.path());
        command
    }
}

/// A namespace of one test. On a cluster that somebody gave it is deleted when dropped; a control plane
/// of our own goes as a whole.
#[derive(Debug)]
pub struct Namespace<'a> {
    name: String,
    plane: &'a ControlPlane,
}

impl Namespace<'_> {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl std::ops::Deref for Namespace<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        &self.name
    }
}

impl Drop for Namespace<'_> {
    fn drop(&mut self) {
        if self.plane.audit_log.is_none() {
            let _ = self.plane.kubectl(["delete", "namespace", &self.name, "--wait=false"]);
        }
    }
}

/// kubectl on a cluster, whatever the environment names. What it remembers is kept in a folder: another
/// cluster at the same address would be taken for this one.
pub fn kubectl_settings(command: &mut Command, kubeconfig: &Path, folder: &Path) {
    command.env_remove("KUBECONFIG").env("KUBECACHEDIR", folder.join("kubectl"));
    command.arg("--kubeconfig").arg(kubeconfig);
}

/// Points helm at a cluster; its caches and settings are not those of who runs the tests.
pub fn helm_settings(command: &mut Command, kubeconfig: &Path, folder: &Path) {
    command.arg("--kubeconfig").arg(kubeconfig);
    for (variable, name) in
        [("HELM_CACHE_HOME", "cache"), ("HELM_CONFIG_HOME", "config"), ("HELM_DATA_HOME", "data")]
    {
        command.env(variable, folder.join("helm").join(name));
    }
}

/// Waits until an API server says that it is ready.
fn wait_until_ready(ask: impl Fn() -> Result<()>, programs: &mut [&mut Program]) -> Result<()> {
    let mut said = String::new();
    for _ in 0..LOOKS {
        for program in programs.iter_mut() {
            program.check()?;
        }
        match ask() {
            Ok(()) => return Ok(()),
            Err(why) => said = why.to_string(),
        }
        std::thread::sleep(POLL_INTERVAL);
    }
    let what = format!("does not get ready ({said})");
    Err(match programs.last() {
        Some(program) => program.failure(what),
        None => Error::Unexpected(what),
    })
}
