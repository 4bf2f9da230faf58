//! A Galera cluster of the tests' own: MariaDB nodes on 127.0.0.1 that replicate to each other, gone with the process
//! that started them.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use sqlx::mysql::MySqlConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
use tempfile::TempDir;

use crate::mysqld::{free_port, install_mariadb, is_root, need, password, prepare};
use crate::offspring;

/// Debian's galera-4, which mariadb-server does not bring by itself.
const PROVIDER: &str = "/usr/lib/galera/libgalera_smm.so";
/// How long a node may take until it is in step with the others; one that was killed copies all data.
const JOINED_WITHIN: Duration = Duration::from_secs(120);

/// A running cluster. Dropping it ends its nodes.
#[derive(Debug)]
pub struct Galera {
    nodes: Vec<Node>,
    password: String,
    /// The group address of every node.
    peers: String,
    _folder: TempDir,
}

#[derive(Debug)]
struct Node {
    folder: PathBuf,
    ports: Ports,
    process: Option<Child>,
}

/// What a node listens on.
#[derive(Debug, Clone, Copy)]
struct Ports {
    clients: u16,
    group: u16,
    /// Write sets that a node missed.
    increments: u16,
    /// All data, for a node that missed too much.
    snapshot: u16,
}

impl Galera {
    /// Starts so many nodes and waits until all are in step. The error is a message for people.
    pub fn start(nodes: usize) -> Result<Self, String> {
        need("mariadbd", "mariadb-server")?;
        need("rsync", "rsync")?;
        if !Path::new(PROVIDER).exists() {
            return Err(format!("{PROVIDER} is missing; install it with: apt-get install -y galera-4"));
        }
        let folder = tempfile::Builder::new().prefix("sageapi-galera-").tempdir();
        let folder = folder.map_err(|e| format!("a folder for the nodes: {e}"))?;
        allow_through(folder.path())?;
        let made = (0..nodes).map(|number| Node::new(&folder.path().join(format!("n{number}"))));
        let nodes = made.collect::<Result<Vec<_>, _>>()?;
        let peers: Vec<_> = nodes.iter().map(|node| format!("127.0.0.1:{}", node.ports.group)).collect();
        let mut cluster = Self { nodes, password: password(), peers: peers.join(","), _folder: folder };
        for number in 0..cluster.nodes.len() {
            let node = &cluster.nodes[number];
            prepare(&node.folder, &cluster.password, false)?;
            if number == 0 {
                install_mariadb(&node.folder)?;
            }
            cluster.spawn(number, number == 0)?;
            cluster.await_joined(number)?;
        }
        Ok(cluster)
    }

    /// `mysql://user:password@host:port` of one node, with rights to create databases.
    pub fn url(&self, node: usize) -> String {
        format!("mysql://sageapi:{}@{}", self.password, self.address(node))
    }

    /// `host:port` of one node.
    pub fn address(&self, node: usize) -> String {
        format!("127.0.0.1:{}", self.nodes[node].ports.clients)
    }

    /// Kills a node as a power cut would.
    pub fn kill(&mut self, node: usize) -> Result<(), String> {
        let Some(mut process) = self.nodes[node].process.take() else { return Ok(()) };
        process.kill().map_err(|e| format!("node {node}: {e}"))?;
        process.wait().map(drop).map_err(|e| format!("node {node}: {e}"))
    }

    /// Starts a node that was killed, and waits until it is in step with the others.
    pub fn bring_back(&mut self, node: usize) -> Result<(), String> {
        self.spawn(node, false)?;
        self.await_joined(node)
    }

    /// Cuts a node off from the others, or lets it return. Clients reach it all the while.
    pub fn isolate(&self, node: usize, isolated: bool) -> Result<(), String> {
        let value = u8::from(isolated);
        self.ask(node, &format!("SET GLOBAL wsrep_provider_options = 'gmcast.isolate={value}'")).map(drop)
    }

    /// Waits until a node is in step with the others.
    pub fn await_joined(&mut self, node: usize) -> Result<(), String> {
        let mut why = String::new();
        for _ in 0..JOINED_WITHIN.as_millis() / 100 {
            let process = self.nodes[node].process.as_mut().map(Child::try_wait);
            if let Some(Ok(Some(status))) = process {
                return Err(format!("node {node} ended: {status}; {}", self.log(node)));
            }
            match self.ask(node, "SHOW STATUS LIKE 'wsrep_local_state_comment'") {
                Ok(state) if state == "Synced" => return Ok(()),
                Ok(state) => why = state,
                Err(error) => why = error,
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        Err(format!("node {node} was not in step within {JOINED_WITHIN:?}: {why}; {}", self.log(node)))
    }

    fn log(&self, node: usize) -> String {
        let log = std::fs::read_to_string(self.nodes[node].folder.join("error.log")).unwrap_or_default();
        let lines: Vec<_> = log.lines().rev().take(20).collect();
        lines.into_iter().rev().collect::<Vec<_>>().join("\n")
    }

    fn spawn(&mut self, number: usize, first: bool) -> Result<(), String> {
        let peers = &self.peers;
        let Node { folder, ports, process } = &mut self.nodes[number];
        let mut command = offspring::command("KILL", "setpriv");
        if is_root() {
            command.args(["--reuid", "mysql", "--regid", "mysql", "--init-groups"]);
        }
        command.args(["--pdeathsig", "KILL", "mariadbd"]).args(options(folder, *ports, peers, number));
        if first {
            command.arg("--wsrep-new-cluster").arg(format!("--init-file={}/init.sql", folder.display()));
        }
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        *process = Some(offspring::spawn(command).map_err(|e| format!("setpriv: {e}"))?);
        Ok(())
    }

    /// The second column of the first row, or nothing.
    fn ask(&self, node: usize, sql: &str) -> Result<String, String> {
        let options = MySqlConnectOptions::new()
            .host("127.0.0.1")
            .port(self.nodes[node].ports.clients)
            .username("sageapi")
            .password(&self.password);
        let sql = sql.to_owned();
        // On a thread of its own: a runtime may be running on this one.
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.map_err(|e| e.to_string())?.block_on(async {
                let asked = async {
                    let mut conn = options.connect().await?;
                    sqlx::raw_sql(AssertSqlSafe(sql)).fetch_optional(&mut conn).await
                };
                let row = tokio::time::timeout(Duration::from_secs(5), asked).await;
                let row = row.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
                row.map_or(Ok(String::new()), |row| row.try_get_unchecked(1).map_err(|e| e.to_string()))
            })
        };
        std::thread::spawn(work).join().unwrap_or_else(|_| Err("the question panicked".into()))
    }
}

impl Drop for Galera {
    fn drop(&mut self) {
        for node in 0..self.nodes.len() {
            let _ = self.kill(node);
        }
    }
}

impl Node {
    fn new(folder: &Path) -> Result<Self, String> {
        std::fs::create_dir(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let ports = Ports {
            clients: free_port()?,
            group: free_port()?,
            increments: free_port()?,
            snapshot: free_port()?,
        };
        Ok(Self { folder: folder.to_owned(), ports, process: None })
    }
}

/// The nodes run as another user, who has to pass through.
fn allow_through(folder: &Path) -> Result<(), String> {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(folder, std::fs::Permissions::from_mode(0o755))
        .map_err(|e| format!("{}: {e}", folder.display()))
}

fn options(folder: &Path, ports: Ports, peers: &str, number: usize) -> Vec<String> {
    let folder = folder.display();
    let Ports { clients, group, increments, snapshot } = ports;
    vec![
        "--no-defaults".to_owned(),
        format!("--datadir={folder}/data"),
        format!("--socket={folder}/mysqld.sock"),
        format!("--pid-file={folder}/mysqld.pid"),
        format!("--log-error={folder}/error.log"),
        format!("--port={clients}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--skip-name-resolve".to_owned(),
        "--max-connections=400".to_owned(),
        "--innodb-buffer-pool-size=256M".to_owned(),
        // What a node that was killed has to copy.
        "--innodb-log-file-size=32M".to_owned(),
        // What Galera demands.
        "--binlog-format=ROW".to_owned(),
        "--innodb-autoinc-lock-mode=2".to_owned(),
        "--wsrep-on=ON".to_owned(),
        format!("--wsrep-provider={PROVIDER}"),
        "--wsrep-cluster-name=sageapi-tests".to_owned(),
        format!("--wsrep-cluster-address=gcomm://{peers}"),
        format!("--wsrep-node-name=n{number}"),
        format!("--wsrep-node-address=127.0.0.1:{group}"),
        "--wsrep-slave-threads=4".to_owned(),
        "--wsrep-sst-method=rsync".to_owned(),
        format!("--wsrep-sst-receive-address=127.0.0.1:{snapshot}"),
        format!(
            "--wsrep-provider-options=base_port={group};gmcast.listen_addr=tcp://127.0.0.1:{group};\
             ist.recv_addr=127.0.0.1:{increments};gcache.size=64M"
        ),
    ]
}
