//! The programs that run beside the demo, and end with it.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdout, Command};

use crate::Failure;

/// How long a program may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(20);
/// How much of a log is shown when its program has ended unasked.
const LAST_LINES: usize = 12;

/// The programs, in the order of their start.
pub struct Children {
    running: Vec<Running>,
    /// Whether the system can end them even when the demo is killed.
    tied: bool,
}

struct Running {
    name: &'static str,
    child: Child,
    log: PathBuf,
    /// Kept open: a program whose standard output is gone may fail.
    _stdout: Option<ChildStdout>,
}

impl Children {
    /// None yet.
    pub fn new() -> Self {
        Self { running: Vec::new(), tied: can_tie() }
    }

    /// Whether the programs end even when the demo is killed.
    pub fn are_tied(&self) -> bool {
        self.tied
    }

    /// Starts a program, its standard error going to a log. With `ready_line` the first line of its
    /// standard output is waited for.
    pub async fn start(
        &mut self,
        name: &'static str,
        program: &Path,
        args: &[&str],
        log: &Path,
        ready_line: bool,
    ) -> Result<(), Failure> {
        let mut command = if self.tied {
            let mut command = bare(Path::new("setpriv"));
            command.args(["--pdeathsig", "TERM", "--"]).arg(program);
            Command::from(command)
        } else {
            Command::from(bare(program))
        };
        // A group of its own: Ctrl-C is for the demo, which then ends them in order.
        command
            .args(args)
            .process_group(0)
            .kill_on_drop(true)
            .stdin(Stdio::null())
            .stderr(File::create(log)?);
        command.stdout(if ready_line { Stdio::piped() } else { Stdio::null() });
        let mut child = command.spawn().map_err(|e| format!("{}: {e}", program.display()))?;
        let mut stdout = child.stdout.take();
        let mut ready = !ready_line;
        if let Some(stdout) = &mut stdout {
            let mut line = String::new();
            ready = BufReader::new(stdout).read_line(&mut line).await? > 0;
        }
        self.running.push(Running { name, child, log: log.to_owned(), _stdout: stdout });
        if ready { Ok(()) } else { Err(self.first_to_end().await) }
    }

    /// An error if a program has ended.
    pub fn check(&mut self) -> Result<(), Failure> {
        for running in &mut self.running {
            if let Some(status) = running.child.try_wait()? {
                return Err(running.epitaph(status).into());
            }
        }
        Ok(())
    }

    /// Waits until a program ends by itself, and says what is known about it.
    pub async fn first_to_end(&mut self) -> Failure {
        loop {
            if let Err(ended) = self.check() {
                return ended;
            }
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
    }

    /// Ends all, the last one started first.
    pub async fn stop(&mut self) {
        while let Some(mut running) = self.running.pop() {
            running.ask_to_end().await;
            if tokio::time::timeout(GRACE, running.child.wait()).await.is_err() {
                // Killed and awaited; that it had ended meanwhile is just as well.
                let _ = running.child.kill().await;
            }
        }
    }
}

impl Running {
    /// Sends SIGTERM. The standard library cannot, and every shell can.
    async fn ask_to_end(&self) {
        let Some(id) = self.child.id() else { return };
        let _ =
            Command::new("sh").args(["-c", &format!("kill -TERM {id}")]).stderr(Stdio::null()).status().await;
    }

    fn epitaph(&self, status: ExitStatus) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = log.lines().collect();
        let last = lines[lines.len().saturating_sub(LAST_LINES)..].join("\n  ");
        format!("{} has ended ({status}); the end of {}:\n  {last}", self.name, self.log.display())
    }
}

/// A command to which the demo's surroundings say nothing: variables of the user's own SageAPI must
/// not change this one.
pub fn bare(program: &Path) -> std::process::Command {
    let mut command = std::process::Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("SAGEAPI_") || name.starts_with("UPSTREAM_SIM_"))
        {
            command.env_remove(name);
        }
    }
    command
}

/// Whether the system can end a program when the thread that started it ends. setpriv is of
/// util-linux, and not every setpriv can do it.
fn can_tie() -> bool {
    let mut probe = std::process::Command::new("setpriv");
    probe.args(["--pdeathsig", "TERM", "true"]);
    probe.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    probe.status().is_ok_and(|status| status.success())
}
