//! A database with its commands and its servers.

use std::path::PathBuf;

use sageapi_test_support::client::Client;
use sageapi_test_support::database::{Kind, TestDatabase};
use sageapi_test_support::server::{ServerBuilder, ServerProcess, cli};
use serde_json::{Value, json};

/// A migrated database, and how its servers and commands are configured.
#[derive(Debug)]
pub struct Installation {
    /// The database.
    pub database: TestDatabase,
    env: Vec<(String, String)>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    /// The exit code.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// What `verify` saw.
#[derive(Debug, PartialEq, Eq)]
pub struct Verified {
    /// Records of the ledger.
    pub records: u64,
    /// Usage records.
    pub usage_records: u64,
}

/// A key as made.
#[derive(Debug, Clone)]
pub struct MadeKey {
    /// Its id.
    pub key_id: String,
    /// Its secret.
    pub secret: String,
}

/// Every scope of an ordinary key.
pub const SCOPES: &str =
    "balance:read,accounting:read,accounting:write,users:read,pricing:read,usage:read,usage:write,quota:read";

impl Installation {
    /// A migrated database of this kind.
    pub async fn new(kind: Kind) -> Self {
        Self::on(TestDatabase::fresh(kind).await).await
    }

    /// This database, migrated.
    pub async fn on(database: TestDatabase) -> Self {
        let new = Self { database, env: Vec::new() };
        new.json(&["migrate"]).await;
        new
    }

    /// Sets a variable for every command and server from now on.
    pub fn set(&mut self, name: &str, value: &str) {
        self.env.retain(|(other, _)| other != name);
        self.env.push((name.to_owned(), value.to_owned()));
    }

    /// Writes a file beside the database.
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.database.folder().join(name);
        std::fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        path
    }

    /// Runs a command to its end.
    pub async fn command(&self, args: &[&str]) -> Ended {
        self.command_at(&self.database.url(), args).await
    }

    async fn command_at(&self, url: &str, args: &[&str]) -> Ended {
        let own = [("SAGEAPI_DATABASE_URL", url)];
        let env = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        Ended::of(&cli(args, own.into_iter().chain(env)).await)
    }

    /// Runs a command that must succeed, with `--output json`; gives its result, which must be all that
    /// stands on standard output.
    pub async fn json(&self, args: &[&str]) -> Value {
        self.json_at(&self.database.url(), args).await
    }

    async fn json_at(&self, url: &str, args: &[&str]) -> Value {
        let ended = self.command_at(url, &[args, &["--output", "json"]].concat()).await;
        assert_eq!(ended.code, 0, "{args:?}: {ended:?}");
        serde_json::from_str(&ended.stdout).unwrap_or_else(|e| panic!("{args:?}: {e}: {ended:?}"))
    }

    /// Makes customers with a credit each, and gives a key of the platform.
    pub async fn seed(&self, customers: &[String], credit: &str) -> MadeKey {
        let customers: Vec<_> = customers.iter().map(|id| json!({"id": id, "credit": credit})).collect();
        self.seed_with(json!({"customers": customers})).await
    }

    /// Makes what a seed file says, and gives a key of the platform.
    pub async fn seed_with(&self, mut seed: Value) -> MadeKey {
        let scopes: Vec<_> = SCOPES.split(',').collect();
        seed["keys"] = json!([{"name": "platform", "scopes": scopes}]);
        let file = self.file("seed.json", &seed.to_string());
        let seeded = self.json(&["seed", &file.display().to_string()]).await;
        MadeKey::of(&seeded["keys"][0])
    }

    /// Makes a key of a customer.
    pub async fn key(&self, customer: &str) -> MadeKey {
        MadeKey::of(&self.json(&["key", "create", "--customer", customer, "--scopes", SCOPES]).await)
    }

    /// A server to be.
    pub fn server(&self) -> ServerBuilder {
        let builder = ServerProcess::builder(&self.database.url());
        self.env.iter().fold(builder, |builder, (name, value)| builder.env(name, value))
    }

    /// Runs `verify`, which must find that everything adds up; how many records it saw.
    pub async fn verify(&self) -> u64 {
        self.verify_at(&self.database.url()).await.records
    }

    /// Runs `verify` on a node of the database; all that it saw.
    pub async fn verify_at(&self, url: &str) -> Verified {
        let verified = self.json_at(url, &["verify"]).await;
        assert_eq!(verified["difference"], Value::Null);
        let number = |name: &str| verified[name].as_u64().expect("a number");
        Verified { records: number("records"), usage_records: number("usage_records") }
    }
}

impl MadeKey {
    /// The key that a command printed.
    pub fn of(printed: &Value) -> Self {
        let text = |name: &str| {
            printed[name].as_str().unwrap_or_else(|| panic!("no {name} in {printed}")).to_owned()
        };
        Self { key_id: text("key_id"), secret: text("secret") }
    }

    /// A client that signs with it.
    pub fn client(&self, base: &str) -> Client {
        Client::new(base, &*self.key_id, &*self.secret)
    }
}

impl Ended {
    /// What a process left behind.
    pub fn of(output: &std::process::Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: text(&output.stdout),
            stderr: text(&output.stderr),
        }
    }
}
