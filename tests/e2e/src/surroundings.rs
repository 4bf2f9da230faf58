//! What is there before SageAPI: a MariaDB and the simulated platform, as processes on the node.

use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use sageapi_test_cluster::Node;
use sageapi_test_cluster::node::{self, Background};

use crate::Failure;
use crate::waiting::until;

/// How long either may take to listen.
const WITHIN: Duration = Duration::from_secs(60);
/// Two users of one database, between which its URL can change, and one who may change nothing in another.
/// A line is a statement: the server reads its init file by lines.
const INIT: &str = "CREATE DATABASE sage;
CREATE USER 'sage'@'%' IDENTIFIED BY 'sage-demo';
GRANT ALL ON `sage%`.* TO 'sage'@'%';
CREATE USER 'sage2'@'%' IDENTIFIED BY 'sage-rotated';
GRANT ALL ON `sage%`.* TO 'sage2'@'%';
CREATE DATABASE sage_locked;
CREATE USER 'reader'@'%' IDENTIFIED BY 'sage-reader';
GRANT SELECT ON sage_locked.* TO 'reader'@'%';
";

/// Starts both, and waits until they listen.
pub fn start(node: &Node, programs: &Path) -> Result<(), Failure> {
    let mut database = mariadb(node)?;
    let listen = address(8090).to_string();
    let simulator = programs.join("sageapi-upstream-sim");
    let mut platform =
        node.place().start(&simulator, &["--listen", &listen, "--control", "127.0.0.1:8091"])?;
    listens("MariaDB", 3306, &mut database)?;
    listens("the simulated platform", 8090, &mut platform)
}

fn address(port: u16) -> SocketAddr {
    (node::ADDRESS, port).into()
}

fn listens(what: &str, port: u16, program: &mut Background) -> Result<(), Failure> {
    let address = address(port);
    until(what, WITHIN, || {
        program.check()?;
        Ok(TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok().then_some(()))
    })?;
    Ok(())
}

fn mariadb(node: &Node) -> Result<Background, Failure> {
    let folder = node.place().folder().join("mariadb");
    let data = folder.join("data");
    std::fs::create_dir_all(&data)?;
    let id = |flag| -> Result<u32, Failure> {
        let output = Command::new("id").args([flag, "mysql"]).output()?;
        let id = String::from_utf8_lossy(&output.stdout).trim().parse();
        Ok(id.map_err(|_| "there is no user mysql; install with: apt-get install -y mariadb-server")?)
    };
    let (user, group) = (id("-u")?, id("-g")?);
    for path in [&folder, &data] {
        chown(path, Some(user), Some(group))?;
    }
    std::fs::write(folder.join("init.sql"), INIT)?;
    let installed = Command::new("mariadb-install-db")
        .args(["--no-defaults", "--user=mysql", "--auth-root-authentication-method=normal", "--skip-test-db"])
        .arg(format!("--datadir={}", data.display()))
        .output()
        .map_err(|e| format!("mariadb-install-db: {e}; install with: apt-get install -y mariadb-server"))?;
    if !installed.status.success() {
        return Err(String::from_utf8_lossy(&installed.stderr).into_owned().into());
    }
    let at = |name: &str| folder.join(name).display().to_string();
    let mut args: Vec<String> =
        ["--reuid", "mysql", "--regid", "mysql", "--init-groups", "mariadbd", "--no-defaults"]
            .map(str::to_owned)
            .to_vec();
    args.extend([
        format!("--datadir={}", data.display()),
        format!("--socket={}", at("mysqld.sock")),
        format!("--pid-file={}", at("mysqld.pid")),
        format!("--init-file={}", at("init.sql")),
        "--port=3306".into(),
        format!("--bind-address={}", node::ADDRESS),
        "--skip-name-resolve".into(),
        "--innodb-buffer-pool-size=64M".into(),
    ]);
    Ok(node.place().start(Path::new("setpriv"), &args)?)
}
