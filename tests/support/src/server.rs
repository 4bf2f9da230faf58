//! The real binaries, as processes on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;

use crate::app::variables;
use crate::client::Client;
use crate::{offspring, paths};

/// A folder with binaries that were built already, to be used instead of building them.
pub const BINARIES: &str = "SAGEAPI_TEST_BIN_DIR";

/// How long a process may take to get ready, and a command to end.
const WITHIN: Duration = Duration::from_secs(60);
/// Between two looks at something that has no event.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// The path of one of the workspace's binaries, such as `sageapi-server`, up to date: cargo builds it
/// under the profile of the test itself, once a process, unless [`BINARIES`] names a folder.
pub fn binary(name: &str) -> PathBuf {
    static BUILT: Mutex<BTreeMap<String, PathBuf>> = Mutex::new(BTreeMap::new());
    let mut built = BUILT.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = built.get(name) {
        return path.clone();
    }
    let path = match std::env::var_os(BINARIES) {
        Some(folder) => Path::new(&folder).join(name),
        None => build(name),
    };
    assert!(path.is_file(), "{} is not there", path.display());
    built.insert(name.to_owned(), path.clone());
    path
}

fn build(name: &str) -> PathBuf {
    let folder = paths::profile_folder();
    let profile = folder.file_name().and_then(|name| name.to_str()).expect("a profile has a name");
    let profile = if profile == "debug" { "dev" } else { profile };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(["build", "--quiet", "--bin", name, "--profile", profile, "--target-dir"]);
    command.arg(paths::target_folder()).current_dir(paths::workspace());
    let output = command.output().unwrap_or_else(|e| panic!("cargo: {e}"));
    assert!(output.status.success(), "cargo build --bin {name}: {}", String::from_utf8_lossy(&output.stderr));
    folder.join(name)
}

/// A process of the tests; killed when dropped, or when the tests end.
#[derive(Debug)]
pub struct Process {
    child: Child,
    stdout: Lines,
    stderr: Lines,
}

/// What a process wrote so far.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<String>>>);

impl Lines {
    fn read(from: impl std::io::Read + Send + 'static) -> Self {
        let lines = Self::default();
        let into = lines.clone();
        let work = move || {
            for line in BufReader::new(from).split(b'\n').map_while(Result::ok) {
                into.lock().push(String::from_utf8_lossy(&line).into_owned());
            }
        };
        std::thread::Builder::new().spawn(work).expect("a thread can be started");
        lines
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Process {
    /// Starts a binary of the workspace.
    pub fn start<'a>(
        name: &str,
        args: &[&str],
        env: impl IntoIterator<Item = (&'a str, &'a str)>,
        folder: Option<&Path>,
    ) -> Self {
        let mut command = offspring::command("KILL", binary(name));
        clear_variables(&mut command);
        command.args(args).envs(env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        if let Some(folder) = folder {
            command.current_dir(folder);
        }
        let mut child = offspring::spawn(command).unwrap_or_else(|e| panic!("{name}: {e}"));
        let stdout = Lines::read(child.stdout.take().expect("it is piped"));
        let stderr = Lines::read(child.stderr.take().expect("it is piped"));
        Self { child, stdout, stderr }
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The lines that it wrote to standard output.
    pub fn stdout(&self) -> Vec<String> {
        self.stdout.lock().clone()
    }

    /// The lines that it wrote to standard error.
    pub fn stderr(&self) -> Vec<String> {
        self.stderr.lock().clone()
    }

    /// Sends a signal by its name, such as TERM.
    pub fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(status.is_ok_and(|status| status.success()), "kill -{name} {}", self.pid());
    }

    /// Kills it without warning, and waits until it is gone.
    pub fn kill9(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// How it ended, if it did.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().expect("it is our child")
    }

    /// Waits until it ends; `within` is as long as that may take.
    pub async fn wait(&mut self, within: Duration) -> ExitStatus {
        let ended = async {
            loop {
                if let Some(status) = self.ended() {
                    return status;
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let Ok(status) = tokio::time::timeout(within, ended).await else {
            panic!("{} did not end within {within:?}:\n{}", self.pid(), self.stderr().join("\n"))
        };
        status
    }

    /// Waits for something to be found in the lines of standard error.
    pub async fn wait_stderr<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let stderr = self.stderr.clone();
        self.wait_line(&stderr, what, find).await
    }

    /// Waits for something to be found in the lines of standard output.
    pub async fn wait_stdout<T>(&mut self, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let stdout = self.stdout.clone();
        self.wait_line(&stdout, what, find).await
    }

    async fn wait_line<T>(&mut self, lines: &Lines, what: &str, find: impl Fn(&str) -> Option<T>) -> T {
        let found = async {
            loop {
                let ended = self.ended();
                if let Some(found) = lines.lock().iter().find_map(|line| find(line)) {
                    return found;
                }
                if let Some(status) = ended {
                    // Its last lines may still be on their way to us.
                    tokio::time::sleep(POLL_INTERVAL * 20).await;
                    if let Some(found) = lines.lock().iter().find_map(|line| find(line)) {
                        return found;
                    }
                    panic!("ended ({status}) before {what}:\n{}", self.stderr.lock().join("\n"));
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let within = tokio::time::timeout(WITHIN, found).await;
        within.unwrap_or_else(|_| panic!("no {what} within {WITHIN:?}:\n{}", self.stderr.lock().join("\n")))
    }

    /// Memory that it holds in RAM, in bytes.
    pub fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid());
        let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{path}: {e}"));
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has VmRSS");
        line.trim().trim_end_matches(" kB").trim().parse::<u64>().expect("VmRSS is a number") * 1024
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

/// `sageapi-server serve` as a process.
#[derive(Debug)]
pub struct ServerProcess {
    process: Process,
    http: SocketAddr,
    admin: SocketAddr,
    env: BTreeMap<String, String>,
}

/// A server process to be.
#[derive(Debug, Clone)]
#[must_use = "a builder does nothing until it is started"]
pub struct ServerBuilder {
    env: BTreeMap<String, String>,
    folder: Option<PathBuf>,
    ready: bool,
}

impl ServerProcess {
    /// A server to be, on this database, with the tests' encryption key, on free ports of loopback.
    pub fn builder(database_url: &str) -> ServerBuilder {
        ServerBuilder { env: variables(database_url), folder: None, ready: true }
    }

    /// Starts one as configured by default, and waits until it is ready.
    pub async fn start(database_url: &str) -> Self {
        Self::builder(database_url).start().await
    }

    /// `http://host:port` of REST.
    pub fn http(&self) -> String {
        format!("http://{}", self.http)
    }

    /// `http://host:port` of the admin port.
    pub fn admin(&self) -> String {
        format!("http://{}", self.admin)
    }

    /// Where REST is served.
    pub fn http_address(&self) -> SocketAddr {
        self.http
    }

    /// Where probes and metrics are served.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The same server once more, to be started after this one has ended: the same ports too.
    pub fn again(&self) -> ServerBuilder {
        let builder = ServerBuilder { env: self.env.clone(), folder: None, ready: true };
        builder.listen(self.http).env("SAGEAPI_ADMIN_LISTEN", &self.admin.to_string())
    }

    /// A client of it.
    pub fn client(&self, key_id: &str, secret: &str) -> Client {
        Client::new(self.http(), key_id, secret)
    }

    /// The process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.pid()
    }

    /// Asks it to end.
    pub fn sigterm(&self) {
        self.process.signal("TERM");
    }

    /// Kills it without warning, and waits until it is gone.
    pub fn kill9(&mut self) {
        self.process.kill9();
    }

    /// Waits until it ends.
    pub async fn wait(&mut self) -> ExitStatus {
        self.process.wait(WITHIN).await
    }

    /// The lines that it wrote to standard error.
    pub fn stderr(&self) -> Vec<String> {
        self.process.stderr()
    }

    /// Waits until it is ready.
    pub async fn wait_ready(&mut self) {
        let (url, probe) = (format!("{}/readyz", self.admin()), Client::new("", "", ""));
        let ready = async {
            loop {
                let request = http::Request::get(&url).body(http_body_util::Full::default());
                let answer = probe.send(request.expect("a URL of ours")).await;
                if answer.is_ok_and(|answer| answer.status == 200) {
                    return;
                }
                if let Some(status) = self.process.ended() {
                    panic!("ended ({status}) before it was ready:\n{}", self.process.stderr().join("\n"));
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            }
        };
        let late = tokio::time::timeout(WITHIN, ready).await.is_err();
        assert!(!late, "not ready within {WITHIN:?}:\n{}", self.process.stderr().join("\n"));
    }
}

impl ServerBuilder {
    /// Sets a variable.
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Leaves a variable unset that [`variables`] sets.
    pub fn without(mut self, name: &str) -> Self {
        self.env.remove(name);
        self
    }

    /// Mirrors this platform, by signed pulls.
    pub fn upstream(self, url: &str, key_id: &str, secret: &str) -> Self {
        self.env("SAGEAPI_UPSTREAM_URL", url)
            .env("SAGEAPI_UPSTREAM_DAPI_KEY", key_id)
            .env("SAGEAPI_UPSTREAM_DAPI_SECRET", secret)
    }

    /// Takes events signed with this secret.
    pub fn uapi_secret(self, secret: &str) -> Self {
        self.env("SAGEAPI_UPSTREAM_UAPI_SECRET", secret)
    }

    /// Serves REST here instead of on any free port.
    pub fn listen(self, address: SocketAddr) -> Self {
        self.env("SAGEAPI_SERVER_LISTEN", &address.to_string())
    }

    /// Runs in this folder.
    pub fn folder(mut self, folder: &Path) -> Self {
        self.folder = Some(folder.to_owned());
        self
    }

    /// Does not wait until it is ready, only until it listens.
    pub fn without_waiting(mut self) -> Self {
        self.ready = false;
        self
    }

    /// Starts the process without waiting for anything, for one that is to refuse.
    pub fn spawn(&self) -> Process {
        let env = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Process::start("sageapi-server", &["serve"], env, self.folder.as_deref())
    }

    /// Starts it.
    pub async fn start(self) -> ServerProcess {
        let mut process = self.spawn();
        let started = async {
            loop {
                let found = |line: &str| {
                    listening(line).map(Some).or_else(|| line.contains("in use").then_some(None))
                };
                if let Some(addresses) = process.wait_stderr("it listens", found).await {
                    return addresses;
                }
                // The ports of one that ended may be somebody else's for a moment.
                tokio::time::sleep(POLL_INTERVAL).await;
                process = self.spawn();
            }
        };
        let started = tokio::time::timeout(WITHIN, started).await;
        let (http, admin) = started.unwrap_or_else(|_| panic!("its ports stay in use for {WITHIN:?}"));
        let mut server = ServerProcess { process, http, admin, env: self.env };
        if self.ready {
            server.wait_ready().await;
        }
        server
    }
}

/// The two addresses of the line that says `serving`.
fn listening(line: &str) -> Option<(SocketAddr, SocketAddr)> {
    let line: Value = serde_json::from_str(line).ok()?;
    let field = |name: &str| {
        let value = line.get(name).or_else(|| line.get("fields")?.get(name))?;
        value.as_str()?.parse().ok()
    };
    Some((field("listen")?, field("admin")?))
}

/// Runs a command of `sageapi-server` to its end: `cli(&["verify"], [("SAGEAPI_DATABASE_URL", url)])`.
/// The tests' own variables (encryption key, pepper) are set unless given.
pub async fn cli<'a>(args: &[&str], env: impl IntoIterator<Item = (&'a str, &'a str)>) -> Output {
    let mut all = variables("sqlite:unused.db");
    all.extend(env.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())));
    run("sageapi-server", args, all).await
}

/// Runs any binary of the workspace to its end, with no other `SAGEAPI_` variables than these.
pub async fn run(name: &str, args: &[&str], env: impl IntoIterator<Item = (String, String)>) -> Output {
    let mut command = Command::new(binary(name));
    clear_variables(&mut command);
    command.args(args).envs(env).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut command = tokio::process::Command::from(command);
    command.kill_on_drop(true);
    let output = tokio::time::timeout(WITHIN, command.output()).await;
    let output = output.unwrap_or_else(|_| panic!("{name} {args:?} did not end within {WITHIN:?}"));
    output.unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Takes away what the tests themselves were given.
fn clear_variables(command: &mut Command) {
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("SAGEAPI_") {
            command.env_remove(name);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::database::{TestDatabase, kinds};

    #[tokio::test(flavor = "multi_thread")]
    async fn a_server_process_gets_ready_and_ends_on_sigterm() {
        for kind in kinds() {
            let database = TestDatabase::fresh(kind).await;
            let url = database.url();
            let migrated = cli(&["migrate"], [("SAGEAPI_DATABASE_URL", url.as_str())]).await;
            assert!(migrated.status.success(), "{migrated:?}");
            let mut server = ServerProcess::start(&url).await;
            let health = Client::new("", "", "").fetch(&format!("{}/api/v1/health", server.http())).await;
            assert_eq!(health.status, 200, "{health}");
            assert!(server.process().resident_bytes() > 1 << 20);
            server.sigterm();
            assert_eq!(server.wait().await.code(), Some(0), "{:?}", server.stderr());
            let mut again = server.again().start().await;
            assert_eq!(again.http(), server.http());
            again.kill9();
        }
    }
}
