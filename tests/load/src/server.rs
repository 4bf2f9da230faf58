//! The server and the simulated platform, as processes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::Failure;
use crate::child::{Child, free_address, output};
use crate::database::Database;
use crate::request::Requests;

/// How long a process may take to start.
const START: Duration = Duration::from_secs(60);
/// 32 bytes in base64. It seals the secrets of a database that is thrown away.
const ENCRYPTION_KEY: &str = "YmVuY2htYXJrcyBzZWFsIG5vdGhpbmcgb2YgdmFsdWU=";
/// It signs the tokens of users who are thrown away, too.
const JWT_SECRET: &str = "benchmarks sign tokens of no value";

/// The programs that are measured.
pub struct Programs {
    /// Where they are.
    pub folder: PathBuf,
}

/// A key to sign with.
#[derive(Deserialize)]
pub struct Key {
    key_id: String,
    secret: String,
}

/// A running server.
pub struct Server {
    /// The process.
    pub child: Child,
    /// Where REST requests go.
    pub http: SocketAddr,
    /// Where probes go.
    pub admin: SocketAddr,
}

/// A running simulated platform.
pub struct Platform {
    /// The process.
    pub child: Child,
    /// Where the feed is.
    pub feed: SocketAddr,
    /// Where commands go.
    pub control: SocketAddr,
}

#[derive(Deserialize)]
struct Listening {
    listen: SocketAddr,
    control: SocketAddr,
}

#[derive(Deserialize)]
struct Seeded {
    keys: Vec<Key>,
}

/// What every process of the server gets to know about its database.
fn environment(database: &Database) -> Vec<(String, String)> {
    let set = |key: &str, value: String| (format!("SAGEAPI_{key}"), value);
    vec![
        set("DATABASE_URL", database.url()),
        set("AUTH_ENCRYPTION_KEY", ENCRYPTION_KEY.to_owned()),
        set("AUTH_JWT_SECRET", JWT_SECRET.to_owned()),
        // Checks are for users that nobody has created.
        set("QUOTA_UNKNOWN_USER", "allow".to_owned()),
        // Logins come from addresses of their own.
        set("SERVER_TRUSTED_PROXIES", "127.0.0.0/8".to_owned()),
    ]
}

fn of_platform(feed: SocketAddr) -> Vec<(String, String)> {
    let set = |key: &str, value: String| (format!("SAGEAPI_{key}"), value);
    let others =
        ["PRICING", "LLMAGE", "UAPI"].map(|entity| set(&format!("SYNC_{entity}_ENABLED"), "false".into()));
    let mut all = vec![
        set("UPSTREAM_URL", format!("http://{feed}")),
        set("UPSTREAM_DAPI_KEY", "ak_benchBenchBench1".into()),
        set("UPSTREAM_DAPI_SECRET", "benchmark-secret-benchmark-secret".into()),
        set("SYNC_USERS_EVERY", "1h".into()),
    ];
    all.extend(others);
    all
}

impl Programs {
    /// Runs a command of the server against a database.
    pub fn command(
        &self,
        database: &Database,
        feed: Option<SocketAddr>,
        args: &[&str],
    ) -> Result<String, Failure> {
        let mut env = environment(database);
        env.extend(feed.map(of_platform).into_iter().flatten());
        output(&self.folder.join("sageapi-server"), args, &env, &database.folder())
    }

    /// A new database of a kind, with the schema of this version.
    pub fn database(&self, kind: crate::database::Kind) -> Result<Database, Failure> {
        let database = Database::fresh(kind)?;
        self.command(&database, None, &["migrate"])?;
        Ok(database)
    }

    /// Creates customers with funds. A key of the first customer, and one of the platform.
    pub fn seed(&self, database: &Database, customers: &[String]) -> Result<[Key; 2], Failure> {
        self.seed_with(database, customers, json!({}))
    }

    /// The same with more in it: members of the seed file.
    pub fn seed_with(
        &self,
        database: &Database,
        customers: &[String],
        mut seed: Value,
    ) -> Result<[Key; 2], Failure> {
        let rows: Vec<_> = customers.iter().map(|id| json!({"id": id, "credit": "1000000000"})).collect();
        let scopes = ["balance:read", "accounting:read", "accounting:write", "usage:read", "usage:write"];
        seed["customers"] = rows.into();
        seed["keys"] = json!([
            {"name": "bench", "customer": customers.first(), "scopes": scopes},
            {"name": "bench platform", "scopes": scopes},
        ]);
        let file = database.folder().join("seed.json");
        std::fs::write(&file, seed.to_string())?;
        let file = file.to_str().ok_or("the folder's path is not UTF-8")?;
        let seeded = self.command(database, None, &["seed", file, "--output", "json"])?;
        let seeded: Seeded = serde_json::from_str(&seeded)?;
        seeded.keys.try_into().map_err(|_| "seed made other keys than asked for".into())
    }

    /// Starts the server and waits until it is ready.
    pub fn serve(&self, database: &Database, feed: Option<SocketAddr>) -> Result<Server, Failure> {
        let (http, admin) = (free_address()?, free_address()?);
        let mut env = environment(database);
        env.push(("SAGEAPI_SERVER_LISTEN".into(), http.to_string()));
        env.push(("SAGEAPI_ADMIN_LISTEN".into(), admin.to_string()));
        env.extend(feed.map(of_platform).into_iter().flatten());
        let program = self.folder.join("sageapi-server");
        let mut child = Child::start(&program, &["serve"], &env, &database.folder())?;
        child.await_ok(admin, "/readyz", START)?;
        Ok(Server { child, http, admin })
    }

    /// Starts the bare server, whose answers are so large.
    pub fn bare(bytes: usize, database: &Database) -> Result<(Child, SocketAddr), Failure> {
        let listen = free_address()?;
        let args = ["bare", "--listen", &listen.to_string(), "--bytes", &bytes.to_string()];
        let mut child = Child::start(&std::env::current_exe()?, &args, &[], &database.folder())?;
        child.await_ok(listen, "/", START)?;
        Ok((child, listen))
    }

    /// Starts a simulated platform with so many users.
    pub fn platform(&self, users: usize, database: &Database) -> Result<Platform, Failure> {
        let users = users.to_string();
        let key = of_platform("0.0.0.0:0".parse()?);
        let args =
            ["--users", &users, "--log-level", "warn", "--dapi-key", &key[1].1, "--dapi-secret", &key[2].1];
        let program = self.folder.join("sageapi-upstream-sim");
        let mut child = Child::start(&program, &args, &[], &database.folder())?;
        let Listening { listen, control } = serde_json::from_str(&child.first_line()?)?;
        Ok(Platform { child, feed: listen, control })
    }
}

impl Key {
    /// What it signs, for a server.
    pub fn requests(&self, server: SocketAddr) -> Result<Requests, Failure> {
        Requests::new(&self.key_id, &self.secret, server)
    }
}
