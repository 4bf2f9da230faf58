//! Child processes that do not outlive this one, however it ends.
//!
//! The kernel's parent-death signal goes by the thread that forked. Threads of tests and of runtimes
//! come and go, so that one thread, which lives as long as the process, starts them all.

use std::ffi::OsStr;
use std::fs::File;
use std::io;
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Mutex, OnceLock, PoisonError};

use crate::commands;
use crate::error::{Error, Result};

type Order = (Command, Sender<io::Result<Child>>);

/// Waits until nobody holds its standard input any more, then removes the folder $1. Whoever still
/// writes into it has been sent a KILL by then and is about to end.
const SWEEPER: &str = r#"cat >/dev/null; until rm -rf "$1" 2>/dev/null; do :; done"#;

/// A program that runs in the background; killed when dropped.
#[derive(Debug)]
pub struct Program {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts it; what it prints goes to `<name>.log` in a folder.
    pub fn start<A: AsRef<OsStr>>(program: &Path, args: &[A], folder: &Path) -> Result<Self> {
        let name = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let log = folder.join(format!("{name}.log"));
        let file = File::create(&log).map_err(Error::at(&log))?;
        let errors = file.try_clone().map_err(Error::at(&log))?;
        let mut command = tied(program);
        command.args(args).stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = spawn(command).map_err(|cause| Error::Start { program: name.clone(), cause })?;
        Ok(Self { name, child, log })
    }

    /// Fails when it has ended.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait() {
            Ok(None) => Ok(()),
            Ok(Some(status)) => Err(self.failure(format!("has ended: {status}"))),
            Err(error) => Err(self.failure(format!("is lost: {error}"))),
        }
    }

    /// An error about it, with the end of its log.
    pub fn failure(&self, what: String) -> Error {
        Error::Program { program: self.name.clone(), what, log: end_of_log(&self.log) }
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The last lines of a log.
pub fn end_of_log(log: &Path) -> String {
    commands::end_of(&std::fs::read(log).unwrap_or_default())
}

/// A temporary folder that is removed when this process ends, however it ends.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    sweeper: Child,
    held: Option<ChildStdin>,
}

impl Folder {
    /// Makes it, in memory where there is a place for that: etcd writes a lot.
    pub fn new(prefix: &str) -> Result<Self> {
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let path =
            tempfile::Builder::new().prefix(prefix).tempdir_in(&parent).map_err(Error::at(parent))?.keep();
        let mut command = Command::new("sh");
        command.args(["-c", SWEEPER, "sweeper"]).arg(&path);
        // A group of its own: Ctrl-C in a terminal must not end it before its work is done.
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).process_group(0);
        let mut sweeper = command.spawn().map_err(|cause| Error::Start { program: "sh".into(), cause })?;
        let held = sweeper.stdin.take();
        Ok(Self { path, sweeper, held })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(self.held.take());
        let _ = self.sweeper.wait();
    }
}

/// A command whose process is killed when this process ends.
pub fn tied(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(program);
    // Ctrl-C in a terminal is for the one in front, which then ends them.
    command.process_group(0);
    command
}

/// Starts a command on the thread that outlives all others.
pub fn spawn(command: Command) -> io::Result<Child> {
    static ORDERS: OnceLock<Mutex<Option<Sender<Order>>>> = OnceLock::new();
    let orders = ORDERS.get_or_init(|| {
        let (orders, taken) = channel::<Order>();
        let work = move || {
            for (mut command, answer) in taken {
                // A caller that no longer waits has its child killed by nobody but the kernel.
                let _ = answer.send(command.spawn());
            }
        };
        let thread = std::thread::Builder::new().name("offspring".into()).spawn(work);
        Mutex::new(thread.is_ok().then_some(orders))
    });
    let (answer, child) = channel();
    let orders = orders.lock().unwrap_or_else(PoisonError::into_inner);
    let sent = orders.as_ref().is_some_and(|orders| orders.send((command, answer)).is_ok());
    drop(orders);
    if !sent {
        return Err(io::Error::other("no thread could be started"));
    }
    child.recv().map_err(io::Error::other)?
}

/// Ports of 127.0.0.1 that nobody listens on. Somebody may take one before it is used: try again then.
pub fn free_ports<const N: usize>() -> Result<[u16; N]> {
    let place = || Error::at("127.0.0.1:0");
    let mut listeners = Vec::with_capacity(N);
    let mut ports = [0; N];
    for port in &mut ports {
        let listener = TcpListener::bind(("127.0.0.1", 0)).map_err(place())?;
        *port = listener.local_addr().map_err(place())?.port();
        listeners.push(listener);
    }
    Ok(ports)
}
