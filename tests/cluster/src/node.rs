//! A node that runs pods, for root on Linux: everything in one network namespace, images from files,
//! nothing left when it goes.

mod network;
mod runtime;
mod services;
mod teardown;

use std::ffi::OsStr;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::components::Settings;
use crate::control_plane::{helm_settings, kubectl_settings};
use crate::error::{Error, Result};
use crate::tools::{Tool, Tools};
use crate::{commands, image, offspring};

/// The node's address within its network namespace; for documentation, so that nobody has it.
pub const ADDRESS: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// The node's name.
pub const NAME: &str = "node";

/// Nodes' folders. Short: the path of a socket has a limit.
const NODES: &str = "/var/lib/sageapi-test";
/// Ports of a namespace that is the node's alone.
const API_PORT: u16 = 6443;
const ETCD_PORT: u16 = 2379;
const PEER_PORT: u16 = 2380;
/// How often something is looked at while it starts, and how many times.
const POLL_INTERVAL: Duration = Duration::from_millis(100);
const LOOKS: u32 = 1200;

/// Where a node of a name keeps everything.
#[derive(Debug, Clone)]
pub struct Place {
    name: String,
    folder: PathBuf,
}

impl Place {
    /// Of the node of this name, whether there is one or not.
    pub fn of(name: &str) -> Result<Self> {
        let short = !name.is_empty() && name.len() <= 20;
        if !short || !name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(Error::Unexpected(format!("{name:?} is no name for a node; give up to 20 letters")));
        }
        Ok(Self { name: name.to_owned(), folder: Path::new(NODES).join(name) })
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its network namespace.
    pub fn namespace(&self) -> String {
        format!("sageapi-{}", self.name)
    }

    /// The file that the network namespace is entered by.
    pub fn namespace_file(&self) -> PathBuf {
        Path::new("/run/netns").join(self.namespace())
    }

    /// The root of its pods' control groups.
    fn control_group(&self) -> String {
        format!("/sageapi-{}", self.name)
    }

    fn logs(&self) -> PathBuf {
        self.folder.join("logs")
    }

    /// A command that runs within the network namespace.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new("nsenter");
        command.arg(format!("--net={}", self.namespace_file().display())).arg("--").arg(program);
        command
    }

    /// Starts a program that outlives this process; what it prints goes to a log.
    pub fn start<A: AsRef<OsStr>>(&self, program: &Path, args: &[A]) -> Result<Background> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = self.logs().join(format!("{name}.log"));
        let file = File::create(&log).map_err(Error::at(&log))?;
        let errors = file.try_clone().map_err(Error::at(&log))?;
        let mut command = Command::new("setsid");
        command.arg("nsenter").arg(format!("--net={}", self.namespace_file().display())).arg("--");
        command.arg(program).args(args).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = command.spawn().map_err(|cause| Error::Start { program: name.clone(), cause })?;
        Ok(Background { name, child, log })
    }

    /// Held by who brings the node up, and while it runs a command on it.
    fn lock(&self) -> Result<File> {
        std::fs::create_dir_all(NODES).map_err(Error::at(NODES))?;
        let path = Path::new(NODES).join(format!("{}.lock", self.name));
        let file = File::create(&path).map_err(Error::at(&path))?;
        match file.try_lock() {
            Ok(()) => Ok(file),
            Err(_) => {
                Err(Error::Unexpected(format!("the node {} is being used by another process", self.name)))
            }
        }
    }

    /// Ends the node, and removes all that is left of it, also of one that was killed.
    pub fn down(&self) -> Result<()> {
        teardown::run(self)
    }
}

/// A program of the node. It is not ended when dropped, but by [`Place::down`].
#[derive(Debug)]
pub struct Background {
    name: String,
    child: std::process::Child,
    log: PathBuf,
}

impl Background {
    /// Fails when it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failure(&format!("has ended: {status}"))),
            Err(error) => Err(self.failure(&format!("is lost: {error}"))),
        }
    }

    /// Its process.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// An error about it, with the end of its log.
    pub fn failure(&self, what: &str) -> Error {
        Error::Program {
            program: self.name.clone(),
            what: what.to_owned(),
            log: offspring::end_of_log(&self.log),
        }
    }
}

/// A node that is up. It stays up until [`Place::down`].
#[derive(Debug)]
pub struct Node {
    place: Place,
    tools: Tools,
    kubeconfig: PathBuf,
    audit_log: PathBuf,
    programs: Vec<Background>,
    /// While it is held, nobody else brings up a node of this name.
    _lock: Option<File>,
}

impl Node {
    /// Removes what an earlier node of this name left, and brings up a new one.
    pub fn up(name: &str) -> Result<Self> {
        let place = Place::of(name)?;
        runtime::need_programs()?;
        let tools = Tools::ready(&[Tool::CONTROL_PLANE, Tool::NODE].concat())?;
        let lock = place.lock()?;
        place.down()?;
        for folder in [place.folder.clone(), place.logs(), place.folder.join("control-plane")] {
            std::fs::create_dir_all(&folder).map_err(Error::at(folder))?;
        }
        network::make(&place)?;
        teardown::make_control_groups(&place)?;
        teardown::remember_machine(&place)?;
        let folder = place.folder.join("control-plane");
        let settings = Settings::prepare(&folder, ADDRESS.into(), API_PORT, ETCD_PORT, PEER_PORT)?;
        let mut node = Self {
            kubeconfig: settings.kubeconfig("admin"),
            audit_log: settings.audit_log(),
            place,
            tools,
            programs: Vec::new(),
            _lock: Some(lock),
        };
        match node.start_all(&settings) {
            Ok(()) => Ok(node),
            Err(why) => {
                node.place.down()?;
                Err(why)
            }
        }
    }

    /// The node of this name, which was brought up before.
    pub fn existing(name: &str) -> Result<Self> {
        let place = Place::of(name)?;
        let folder = place.folder.join("control-plane");
        let kubeconfig = folder.join("admin.kubeconfig");
        if !kubeconfig.exists() || !place.namespace_file().exists() {
            return Err(Error::Missing(format!("there is no node {name}; bring it up first")));
        }
        let tools = Tools::ready(&[Tool::Kubectl, Tool::Helm])?;
        let audit_log = folder.join("audit.log");
        Ok(Self { audit_log, place, tools, kubeconfig, programs: Vec::new(), _lock: None })
    }

    fn start_all(&mut self, settings: &Settings) -> Result<()> {
        self.start(Tool::Etcd, &settings.etcd_options())?;
        self.start(Tool::KubeApiserver, &settings.api_server_options())?;
        let containerd = runtime::start(&self.place)?;
        self.programs.push(containerd);
        self.wait("the API server", |node| node.kubectl(["get", "--raw", "/readyz"]).map(drop))?;
        self.start(Tool::KubeControllerManager, &settings.controller_manager_options())?;
        self.wait("containerd", |node| runtime::is_up(&node.place))?;

        let pause = self.tools.path(Tool::Pause);
        let pause = image::write(&pause, runtime::PAUSE_VERSION, &self.place.folder.join("images"))?;
        self.load_image(&pause.path)?;
        for (tool, options) in services::prepare(&self.place, settings)? {
            self.start(tool, &options)?;
        }
        let ready = ["wait", "--for=condition=Ready", "--timeout=1s", "node/node"];
        self.wait("the node", |node| node.kubectl(ready).map(drop))?;
        // Pods are refused until their namespace has its service account.
        let account = ["get", "serviceaccount", "default", "--namespace=default"];
        self.wait("the service account `default`", |node| node.kubectl(account).map(drop))
    }

    fn start(&mut self, tool: Tool, options: &[String]) -> Result<()> {
        let program = self.place.start(&self.tools.path(tool), options)?;
        self.programs.push(program);
        Ok(())
    }

    /// Waits until a look succeeds, and fails when a program of the node ends meanwhile.
    fn wait(&mut self, what: &str, look: impl Fn(&Self) -> Result<()>) -> Result<()> {
        let mut last = String::new();
        for _ in 0..LOOKS {
            for program in &mut self.programs {
                program.check()?;
            }
            match look(self) {
                Ok(()) => return Ok(()),
                Err(why) => last = why.to_string(),
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        let what = format!("{what} does not get ready ({last})");
        Err(match self.programs.last() {
            Some(program) => program.failure(&what),
            None => Error::Unexpected(what),
        })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Of an administrator; of use within the network namespace only.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// The folder with kubectl, helm and the node's own programs.
    pub fn programs(&self) -> &Path {
        self.tools.folder()
    }

    /// The API server's audit log.
    pub fn audit_log(&self) -> &Path {
        &self.audit_log
    }

    /// Every request to the API server that was answered so far.
    pub fn requests(&self) -> Result<Vec<crate::Request>> {
        crate::audit::read(&self.audit_log)
    }

    /// Runs kubectl as administrator; what it printed.
    pub fn kubectl<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<String> {
        commands::run(self.kubectl_command().args(args))
    }

    /// kubectl as administrator, to be given arguments.
    pub fn kubectl_command(&self) -> Command {
        let mut command = self.place.command(self.tools.path(Tool::Kubectl));
        kubectl_settings(&mut command, &self.kubeconfig, &self.place.folder);
        command
    }

    /// `kubectl apply --server-side` of a manifest.
    pub fn apply(&self, manifest: &str) -> Result<String> {
        let mut command = self.kubectl_command();
        commands::run_with(command.args(["apply", "--server-side", "--force-conflicts", "-f", "-"]), manifest)
    }

    /// Runs helm as administrator; what it printed.
    pub fn helm<A: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = A>) -> Result<String> {
        let mut command = self.place.command(self.tools.path(Tool::Helm));
        helm_settings(&mut command, &self.kubeconfig, &self.place.folder);
        commands::run(command.args(args))
    }

    /// Brings an image from an archive onto the node.
    pub fn load_image(&self, archive: &Path) -> Result<()> {
        commands::run(runtime::ctr(&self.place, ["images", "import"]).arg(archive)).map(drop)
    }

    /// Gives an image of the node a second name.
    pub fn tag_image(&self, reference: &str, other: &str) -> Result<()> {
        commands::run(&mut runtime::ctr(&self.place, ["images", "tag", "--force", reference, other]))
            .map(drop)
    }
}
