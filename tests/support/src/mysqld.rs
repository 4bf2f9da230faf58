//! A database server of the tests' own: a private data folder, its own port on 127.0.0.1, gone with
//! the process that started it.

use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use sageapi_server::model::{Entropy as _, SystemEntropy};
use sqlx::ConnectOptions as _;
use sqlx::mysql::MySqlConnectOptions;

use crate::{offspring, paths};

/// How long a server may take until it answers.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// A server in memory is given so much, in bytes.
const IN_MEMORY: u64 = 4 << 30;
/// Runs the server, ends it on SIGTERM, and then removes its folder: $1, followed by the command. A server that was
/// killed is started again where the file `again` is there.
const GUARD: &str = r#"
folder=$1; shift
start() { "$@" 2>"$folder/stderr.log" & server=$!; echo "$server" >"$folder/server.pid"; }
start "$@"
trap 'rm -f "$folder/again"; kill -TERM "$server" 2>/dev/null' TERM INT HUP
while :; do
  wait "$server"; code=$?
  kill -0 "$server" 2>/dev/null && continue
  [ -e "$folder/again" ] || break
  start "$@"
done
[ "$code" -lt 128 ] && [ "$code" -ne 0 ] && tail -n 20 "$folder/stderr.log" "$folder/error.log" >&2
rm -rf "$folder"
"#;
/// Within mount points of its own, that nobody has to undo: $1 the root, $2 the folder, then options.
const CHROOTED: &str = r#"
root=$1; folder=$2; shift 2
mkdir -p "$root/mnt" && mount --bind "$folder" "$root/mnt" && mount --bind /proc "$root/proc" &&
mount --bind /dev "$root/dev" &&
{ [ -d "$root/mnt/data/mysql" ] || chroot "$root" setpriv --reuid 65534 --regid 65534 --clear-groups \
  mysqld --no-defaults --initialize-insecure --datadir=/mnt/data --log-error=/mnt/error.log; } &&
exec chroot "$root" setpriv --reuid 65534 --regid 65534 --clear-groups --pdeathsig TERM mysqld "$@"
"#;

/// Whose database server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Vendor {
    /// MariaDB as installed on this machine.
    MariaDb,
    /// Oracle MySQL, in a root file system under the target folder that debootstrap makes once.
    MySql,
}

/// A running server. Dropping it ends it.
#[derive(Debug)]
pub struct Mysqld {
    url: String,
    guard: Child,
    folder: PathBuf,
    port: u16,
    password: String,
}

impl Mysqld {
    /// Starts a server on disk and waits until it answers. The error is a message for people.
    pub fn start(vendor: Vendor) -> Result<Self, String> {
        Self::start_in(vendor, &std::env::temp_dir())
    }

    /// Starts a server whose data is in memory where there is enough of it, else on disk: many small
    /// databases are made and dropped several times as fast. Not for measuring commits.
    pub fn start_in_memory(vendor: Vendor) -> Result<Self, String> {
        let memory = Path::new("/dev/shm");
        let free = run(Command::new("df").args(["--output=avail", "-B1"]).arg(memory)).unwrap_or_default();
        let enough =
            free.lines().nth(1).and_then(|n| n.trim().parse::<u64>().ok()).is_some_and(|n| n >= IN_MEMORY);
        if enough { Self::start_in(vendor, memory) } else { Self::start(vendor) }
    }

    fn start_in(vendor: Vendor, place: &Path) -> Result<Self, String> {
        let root = match vendor {
            Vendor::MariaDb => {
                need("mariadbd", "mariadb-server")?;
                need("mariadb-install-db", "mariadb-server")?;
                None
            }
            Vendor::MySql => Some(mysql_root()?),
        };
        let mut last = String::new();
        // Somebody else may take the port between our look and the server's bind.
        for _ in 0..3 {
            match Self::try_start(root.as_deref(), place) {
                Ok(server) => return Ok(server),
                Err(why) => last = why,
            }
        }
        Err(last)
    }

    fn try_start(root: Option<&Path>, place: &Path) -> Result<Self, String> {
        let folder = tempfile::Builder::new().prefix("sageapi-mysqld-").tempdir_in(place);
        let folder = folder.map_err(|e| format!("a folder for the database server: {e}"))?;
        let password = password();
        let port = free_port()?;
        prepare(folder.path(), &password, root.is_some())?;
        let options = options(folder.path(), root.is_some(), port);
        let mut command = offspring::command("TERM", "sh");
        command.args(["-c", GUARD, "mysqld-guard"]).arg(folder.path());
        match root {
            None => {
                install_mariadb(folder.path())?;
                if is_root() {
                    command.args(["setpriv", "--reuid", "mysql", "--regid", "mysql", "--init-groups"]);
                } else {
                    command.arg("setpriv");
                }
                command.args(["--pdeathsig", "TERM", "mariadbd"]).args(options);
            }
            Some(root) => {
                command.args(["unshare", "--mount", "sh", "-c", CHROOTED, "mysqld"]);
                command.arg(root).arg(folder.path()).args(options);
            }
        }
        // A process group of its own: Ctrl-C in a terminal is for the tests, which then end it.
        command.stdin(Stdio::null()).stdout(Stdio::null()).process_group(0);
        let guard = offspring::spawn(command).map_err(|e| format!("setpriv: {e}"))?;
        // From here on the folder is the guard's to remove.
        let folder = folder.keep();
        let url = format!("mysql://sageapi:{password}@127.0.0.1:{port}");
        let mut server = Self { url, guard, folder, port, password };
        server.wait_ready()?;
        Ok(server)
    }

    /// Kills the server as a power cut would, and waits until it is there again, on the same data and port.
    pub fn crash(&mut self) -> Result<(), String> {
        let failed = |e: std::io::Error| format!("{}: {e}", self.folder.display());
        std::fs::write(self.folder.join("again"), "").map_err(failed)?;
        let process = std::fs::read_to_string(self.folder.join("server.pid")).map_err(failed)?;
        run(Command::new("kill").args(["-KILL", process.trim()]))?;
        self.wait_ready()
    }

    /// `host:port`, where it listens.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// `mysql://user:password@host:port`, with rights to create databases.
    pub fn url(&self) -> &str {
        &self.url
    }

    fn wait_ready(&mut self) -> Result<(), String> {
        let options = MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.port)
            .username("sageapi")
            .password(&self.password);
        let mut why = String::new();
        for _ in 0..READY_WITHIN.as_millis() / 100 {
            if let Ok(Some(status)) = self.guard.try_wait() {
                return Err(format!("the database server ended before it was ready: {status}"));
            }
            match ask(options.clone()) {
                Ok(()) => return Ok(()),
                Err(error) => why = error,
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("the database server did not answer within {READY_WITHIN:?}: {why}"))
    }
}

impl Drop for Mysqld {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-TERM", &self.guard.id().to_string()]).status();
        let _ = self.guard.wait();
    }
}

/// Connects once, on a thread of its own: a runtime may be running on this one.
fn ask(options: MySqlConnectOptions) -> Result<(), String> {
    let work = move || {
        let runtime =
            tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(|e| e.to_string())?;
        runtime.block_on(async {
            let connected = tokio::time::timeout(Duration::from_secs(5), options.connect()).await;
            let conn = connected.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
            sqlx::Connection::close(conn).await.map_err(|e| e.to_string())
        })
    };
    std::thread::spawn(work).join().unwrap_or_else(|_| Err("the attempt to connect panicked".into()))
}

/// Makes data folder and first statements, owned by whom the server will run as.
pub(crate) fn prepare(folder: &Path, password: &str, chrooted: bool) -> Result<(), String> {
    let (data, init) = (folder.join("data"), folder.join("init.sql"));
    let mut statements = String::new();
    for host in ["127.0.0.1", "%"] {
        let user = format!("'sageapi'@'{host}'");
        statements += &format!("CREATE USER IF NOT EXISTS {user} IDENTIFIED BY '{password}';\n");
        statements += &format!("GRANT ALL PRIVILEGES ON *.* TO {user};\n");
    }
    let owner = match (chrooted, is_root()) {
        (true, _) => Some(65534),
        (false, true) => Some(id_of("mysql")?),
        (false, false) => None,
    };
    let work = || {
        std::fs::create_dir(&data)?;
        std::fs::write(&init, statements)?;
        std::fs::set_permissions(&init, std::fs::Permissions::from_mode(0o644))?;
        for path in [folder, &data] {
            if owner.is_some() {
                chown(path, owner, None)?;
            }
        }
        Ok(())
    };
    work().map_err(|e: std::io::Error| format!("{}: {e}", folder.display()))
}

pub(crate) fn install_mariadb(folder: &Path) -> Result<(), String> {
    let mut command = Command::new("mariadb-install-db");
    command.arg("--no-defaults").arg(format!("--datadir={}", folder.join("data").display()));
    command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
    if is_root() {
        command.arg("--user=mysql");
    }
    run(&mut command).map(drop)
}

fn options(folder: &Path, chrooted: bool, port: u16) -> Vec<String> {
    let folder = if chrooted { "/mnt".to_owned() } else { folder.display().to_string() };
    let mut options = vec![
        "--no-defaults".to_owned(),
        format!("--datadir={folder}/data"),
        format!("--socket={folder}/mysqld.sock"),
        format!("--pid-file={folder}/mysqld.pid"),
        format!("--log-error={folder}/error.log"),
        format!("--init-file={folder}/init.sql"),
        format!("--port={port}"),
    ];
    let fixed = [
        "--bind-address=127.0.0.1",
        "--skip-name-resolve",
        "--max-connections=400",
        "--innodb-flush-log-at-trx-commit=1",
        // A ledger of a million records fits, as it does where people run one; taken only as it is used.
        "--innodb-buffer-pool-size=2G",
    ];
    options.extend(fixed.map(str::to_owned));
    // Of a log as small as the default is, each page of the ledger would be written to its place many times over.
    options.push(
        if chrooted { "--innodb-redo-log-capacity=1G" } else { "--innodb-log-file-size=1G" }.to_owned(),
    );
    if chrooted {
        options.extend(["--mysqlx=OFF", "--secure-file-priv=NULL"].map(str::to_owned));
    }
    options
}

/// The root file system with Oracle MySQL; made when it is not there, by one process at a time.
fn mysql_root() -> Result<PathBuf, String> {
    let target = paths::target_folder();
    let root = target.join("mysql-root");
    if !is_root() {
        return Err(
            "Oracle MySQL runs in a chroot, which needs root; or set SAGEAPI_TEST_MYSQL_URL to a server"
                .into(),
        );
    }
    let lock = std::fs::File::create(target.join("mysql-root.lock"));
    let lock =
        lock.and_then(|file| file.lock().map(|()| file)).map_err(|e| format!("{}: {e}", target.display()))?;
    if !root.join("usr/sbin/mysqld").exists() {
        need("debootstrap", "debootstrap")?;
        let mirror = mirror()?;
        let partial = target.join("mysql-root.partial");
        let _ = std::fs::remove_dir_all(&partial);
        eprintln!("bringing in Oracle MySQL (once, about half a minute)");
        let mut command = Command::new("debootstrap");
        command.args(["--variant=minbase", "--include=mysql-server-core", "sid"]).arg(&partial).arg(mirror);
        run(&mut command)?;
        std::fs::rename(&partial, &root).map_err(|e| format!("{}: {e}", root.display()))?;
    }
    drop(lock);
    Ok(root)
}

/// The Debian mirror that this machine's apt uses.
fn mirror() -> Result<String, String> {
    let mut command = Command::new("apt-get");
    let uris = run(command.args([
        "indextargets",
        "--format",
        "$(REPO_URI)",
        "Created-By: Packages",
        "Origin: Debian",
    ]))?;
    let mirror = uris.lines().find(|uri| uri.trim_end_matches('/').ends_with("/debian"));
    mirror.map(str::to_owned).ok_or_else(|| {
        "apt knows no Debian mirror to bring Oracle MySQL from; set SAGEAPI_TEST_MYSQL_URL to a server".into()
    })
}

/// Runs a command; what it printed.
fn run(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name}: {e}"))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said =
        String::from_utf8_lossy(if output.stderr.is_empty() { &output.stdout } else { &output.stderr })
            .into_owned();
    let from = said.len() - said.len().min(2000);
    Err(format!("{name} failed, {}: {}", output.status, said.get(from..).unwrap_or(&said)))
}

pub(crate) fn need(program: &str, package: &str) -> Result<(), String> {
    let places =
        ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"].map(PathBuf::from);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain(places);
    if places.any(|place| place.join(program).exists()) {
        return Ok(());
    }
    Err(format!(
        "{program} is missing; install it with: apt-get install -y {package} (or set SAGEAPI_TEST_MYSQL_URL)"
    ))
}

fn id_of(user: &str) -> Result<u32, String> {
    let id = run(Command::new("id").args(["-u", user]))?;
    id.trim().parse().map_err(|e| format!("the id of {user}: {e}"))
}

pub(crate) fn is_root() -> bool {
    // The owner of what this process may see of itself is who it runs as.
    std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0)
}

pub(crate) fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.map(|address| address.port()).map_err(|e| format!("a free port: {e}"))
}

pub(crate) fn password() -> String {
    let mut random = [0; 12];
    SystemEntropy.fill(&mut random);
    random.iter().map(|byte| format!("{byte:02x}")).collect()
}
