use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::Duration;

/// One process of the operator, ended with its value.
pub struct Operator {
    child: Child,
    admin: SocketAddr,
    log: PathBuf,
}

/// How an operator is started.
pub struct Start<'a> {
    pub kubeconfig: &'a Path,
    pub namespace: &'a str,
    pub name: &'a str,
    pub folder: &'a Path,
    pub more: &'a [&'a str],
}

impl Operator {
    pub fn start(how: &Start<'_>) -> Self {
        let Start { kubeconfig, namespace, name, folder, more } = *how;
        let admin = free_address();
        let log = folder.join(format!("{name}-{}.log", admin.port()));
        // It does not outlive the test's thread, however that ends.
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--", env!("CARGO_BIN_EXE_sageapi-operator")])
            .args(["run", "--namespaces", namespace, "--namespace", namespace, "--identity", name])
            .args(["--server-image", "sageapi.io/sageapi-server:test", "--log-format", "text"])
            .args(["--log-level", "info,sageapi_operator=debug"])
            .arg(format!("--admin-listen={admin}"))
            .args(more)
            .env_clear()
            .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
            .env("KUBECONFIG", kubeconfig)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).unwrap())
            .spawn()
            .unwrap();
        Self { child, admin, log }
    }

    /// What a path of the admin port answers, head and body; nothing while there is no answer.
    pub fn get(&self, path: &str) -> String {
        let ask = || -> std::io::Result<String> {
            let mut stream = TcpStream::connect_timeout(&self.admin, Duration::from_secs(5))?;
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            write!(stream, "GET {path} HTTP/1.1\r\nhost: operator\r\nconnection: close\r\n\r\n")?;
            let mut text = String::new();
            stream.read_to_string(&mut text)?;
            Ok(text)
        };
        ask().unwrap_or_default()
    }

    pub fn is_ready(&self) -> bool {
        self.get("/readyz").starts_with("HTTP/1.1 200")
    }

    pub fn leads(&self) -> bool {
        self.get("/metrics").lines().any(|line| line == "sageapi_operator_leader 1")
    }

    /// The value of one line of the metrics, 0 where there is none yet.
    pub fn metric(&self, line: &str) -> f64 {
        let text = self.get("/metrics");
        let found = text.lines().find_map(|found| found.strip_prefix(line)?.strip_prefix(' '));
        found.map_or(0.0, |value| value.parse().unwrap())
    }

    /// Resident memory in bytes.
    pub fn resident(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        text.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4096
    }

    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// SIGTERM; it ends by itself.
    pub fn terminate(&mut self) -> ExitStatus {
        let sent = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- log of the operator\n{}", self.log());
        }
    }
}

/// A free port below those that systems give away by themselves, so that nobody else gets it meanwhile.
fn free_address() -> SocketAddr {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    let own = u16::try_from(std::process::id() % 10_000).unwrap();
    loop {
        let port = 10_000 + own + TAKEN.fetch_add(1, Relaxed) % 10_000;
        if let Ok(listener) = TcpListener::bind(("127.0.0.1", port)) {
            return listener.local_addr().unwrap();
        }
    }
}
