//! Empty databases of either kind, one for each test.

use std::path::PathBuf;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use sageapi_server::config::DatabaseTarget;
use sageapi_server::model::{Entropy as _, SystemEntropy};
use sqlx::mysql::{MySqlConnectOptions, MySqlConnection};
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Row as _};
use tempfile::TempDir;

use crate::mysqld::{Mysqld, Vendor};

/// Points the tests at a MySQL-compatible server instead of one of their own:
/// `mysql://user:password@host:port`, with rights to create databases.
pub const MYSQL_URL: &str = "SAGEAPI_TEST_MYSQL_URL";
/// Narrows the tests to `sqlite` or `mysql`.
pub const DATABASES: &str = "SAGEAPI_TEST_DATABASES";

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An embedded file.
    Sqlite,
    /// The server at [`MYSQL_URL`], else a MariaDB of this process's own.
    MySql,
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "sqlite",
            Self::MySql => "mysql",
        })
    }
}

/// The kinds to test: both, unless [`DATABASES`] names one.
pub fn kinds() -> Vec<Kind> {
    match std::env::var(DATABASES).as_deref() {
        Err(_) | Ok("") => vec![Kind::Sqlite, Kind::MySql],
        Ok("sqlite") => vec![Kind::Sqlite],
        Ok("mysql") => vec![Kind::MySql],
        Ok(other) => panic!("{DATABASES} is {other:?}; it may be sqlite or mysql"),
    }
}

/// Whether a kind is to be tested.
pub fn wanted(kind: Kind) -> bool {
    kinds().contains(&kind)
}

/// `mysql://user:password@host:port` of the server that tests use, without a database's name.
pub fn mysql_server_url() -> String {
    static SERVER: OnceLock<(String, Option<Mysqld>)> = OnceLock::new();
    let (url, _) = SERVER.get_or_init(|| match std::env::var(MYSQL_URL) {
        Ok(url) if !url.is_empty() => (without_name(&url), None),
        _ => {
            let server = Mysqld::start(Vendor::MariaDb).unwrap_or_else(|why| panic!("{why}"));
            (server.url().to_owned(), Some(server))
        }
    });
    url.clone()
}

/// The URL without a path.
fn without_name(url: &str) -> String {
    let start = url.find("://").map_or(0, |at| at + 3);
    let end = url[start..].find('/').map_or(url.len(), |at| start + at);
    url[..end].to_owned()
}

/// A database of its own, empty at first, gone when dropped.
#[derive(Debug)]
pub struct TestDatabase {
    kind: Kind,
    url: String,
    target: DatabaseTarget,
    /// Of a SQLite file; also a place for what else a test needs.
    folder: TempDir,
}

impl TestDatabase {
    /// A new, empty database.
    pub async fn fresh(kind: Kind) -> Self {
        match kind {
            Kind::Sqlite => Self::sqlite_in(folder()),
            Kind::MySql => {
                // Starting a server blocks.
                let server =
                    tokio::task::spawn_blocking(mysql_server_url).await.expect("a database server starts");
                Self::on_server(&server).await
            }
        }
    }

    /// A new, empty file in this folder.
    pub fn sqlite_in(folder: TempDir) -> Self {
        let url = format!("sqlite://{}", folder.path().join("sage.db").display());
        Self { kind: Kind::Sqlite, target: target_of(&url), url, folder }
    }

    /// A new, empty database on a server: `mysql://user:password@host:port`, with rights to create one.
    pub async fn on_server(server: &str) -> Self {
        let name = random_name();
        let mut conn = connect_mysql(&target_of(&format!("{server}/mysql"))).await;
        execute_mysql(&mut conn, &format!("CREATE DATABASE {name}")).await;
        let url = format!("{server}/{name}");
        Self { kind: Kind::MySql, target: target_of(&url), url, folder: folder() }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// What `database.url` is set to.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// The same, parsed by the server.
    pub fn target(&self) -> DatabaseTarget {
        self.target.clone()
    }

    /// A folder that goes when the database goes.
    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Runs a statement beside the server, for tampering. How many rows it changed.
    pub async fn execute(&self, sql: &str) -> u64 {
        match &self.target {
            DatabaseTarget::Sqlite { .. } => execute_sqlite(&mut self.sqlite().await, sql).await,
            DatabaseTarget::Mysql { .. } => execute_mysql(&mut connect_mysql(&self.target).await, sql).await,
        }
    }

    /// Reads integers beside the server: every column of every row. MySQL makes a DECIMAL of SUM: use
    /// MAX or COUNT.
    pub async fn ints(&self, sql: &str) -> Vec<Vec<Option<i64>>> {
        match &self.target {
            DatabaseTarget::Sqlite { .. } => {
                let rows =
                    sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.sqlite().await).await;
                let rows = rows.unwrap_or_else(|e| panic!("{sql}: {e}"));
                rows.iter().map(|row| (0..row.len()).map(|i| row.get_unchecked(i)).collect()).collect()
            }
            DatabaseTarget::Mysql { .. } => {
                let mut conn = connect_mysql(&self.target).await;
                let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut conn).await;
                let rows = rows.unwrap_or_else(|e| panic!("{sql}: {e}"));
                rows.iter().map(|row| (0..row.len()).map(|i| row.get_unchecked(i)).collect()).collect()
            }
        }
    }

    /// Reads one integer beside the server.
    pub async fn int(&self, sql: &str) -> i64 {
        let rows = self.ints(sql).await;
        rows.first()
            .and_then(|row| row.first().copied().flatten())
            .unwrap_or_else(|| panic!("{sql} gave nothing"))
    }

    /// Reads text beside the server: the first column of every row.
    pub async fn texts(&self, sql: &str) -> Vec<String> {
        match &self.target {
            DatabaseTarget::Sqlite { .. } => {
                let rows =
                    sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut self.sqlite().await).await;
                rows.unwrap_or_else(|e| panic!("{sql}: {e}")).iter().map(|row| row.get_unchecked(0)).collect()
            }
            DatabaseTarget::Mysql { .. } => {
                let mut conn = connect_mysql(&self.target).await;
                let rows = sqlx::query(AssertSqlSafe(sql.to_owned())).fetch_all(&mut conn).await;
                rows.unwrap_or_else(|e| panic!("{sql}: {e}")).iter().map(|row| row.get_unchecked(0)).collect()
            }
        }
    }

    /// A connection of its own to a SQLite database.
    pub async fn sqlite(&self) -> SqliteConnection {
        let DatabaseTarget::Sqlite { path } = &self.target else { panic!("not a SQLite database") };
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .busy_timeout(Duration::from_secs(10));
        options.connect().await.unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    }

    /// A connection of its own to a MySQL database.
    pub async fn mysql(&self) -> MySqlConnection {
        connect_mysql(&self.target).await
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        let DatabaseTarget::Mysql { name, .. } = &self.target else { return };
        let (target, drop_it) = (self.target.clone(), format!("DROP DATABASE IF EXISTS {name}"));
        // A runtime may be running here already, so that another thread has to wait. Best effort: a
        // server of our own goes anyway.
        let work = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().ok()?;
            runtime.block_on(async {
                let work = async {
                    let mut conn = options(&target).connect().await.ok()?;
                    sqlx::raw_sql("SET SESSION lock_wait_timeout = 2").execute(&mut conn).await.ok()?;
                    sqlx::raw_sql(AssertSqlSafe(drop_it)).execute(&mut conn).await.ok()
                };
                tokio::time::timeout(Duration::from_secs(5), work).await.ok()?
            })
        };
        if let Ok(thread) = std::thread::Builder::new().spawn(work) {
            let _ = thread.join();
        }
    }
}

fn folder() -> TempDir {
    tempfile::Builder::new().prefix("sageapi-test-").tempdir().expect("a folder can be made")
}

/// Reads a database URL as the server does.
pub fn target_of(url: &str) -> DatabaseTarget {
    crate::app::config_of([("SAGEAPI_DATABASE_URL", url)]).database.target
}

fn random_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let mut random = [0; 8];
    SystemEntropy.fill(&mut random);
    format!("t_{:016x}_{}", u64::from_le_bytes(random), COUNT.fetch_add(1, Ordering::Relaxed))
}

fn options(target: &DatabaseTarget) -> MySqlConnectOptions {
    let DatabaseTarget::Mysql { hosts, user, password, name, .. } = target else {
        panic!("not a MySQL database")
    };
    let host = hosts.first().expect("a host");
    let options = MySqlConnectOptions::new().host(&host.name).port(host.port).username(user).database(name);
    if password.is_empty() { options } else { options.password(password.expose()) }
}

async fn connect_mysql(target: &DatabaseTarget) -> MySqlConnection {
    options(target).connect().await.unwrap_or_else(|e| panic!("{}: {e}", target.display()))
}

async fn execute_mysql(conn: &mut MySqlConnection, sql: &str) -> u64 {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await;
    done.unwrap_or_else(|e| panic!("{sql}: {e}")).rows_affected()
}

async fn execute_sqlite(conn: &mut SqliteConnection, sql: &str) -> u64 {
    let done = sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(conn).await;
    done.unwrap_or_else(|e| panic!("{sql}: {e}")).rows_affected()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_servers_url_is_kept_without_the_name_of_a_database() {
        for url in ["mysql://u:p@h:1", "mysql://u:p@h:1/", "mysql://u:p@h:1/name"] {
            assert_eq!(without_name(url), "mysql://u:p@h:1");
        }
    }

    #[tokio::test]
    async fn a_fresh_database_is_empty_and_goes_when_dropped() {
        for kind in kinds() {
            let one = TestDatabase::fresh(kind).await;
            one.execute("CREATE TABLE t (n BIGINT)").await;
            assert_eq!(one.execute("INSERT INTO t VALUES (7), (8)").await, 2);
            assert_eq!(one.int("SELECT MAX(n) FROM t").await, 8);
            let other = TestDatabase::fresh(kind).await;
            other.execute("CREATE TABLE t (n BIGINT)").await;
            assert_eq!(other.int("SELECT COUNT(*) FROM t").await, 0);
            let name = one.url().rsplit('/').next().map(str::to_owned);
            drop(one);
            if let (Kind::MySql, Some(name)) = (kind, name) {
                let left =
                    format!("SELECT COUNT(*) FROM information_schema.schemata WHERE schema_name = '{name}'");
                assert_eq!(other.int(&left).await, 0);
            }
        }
    }
}
