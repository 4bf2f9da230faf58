//! Empty databases for a measure, migrated by the server's own command.

use std::path::PathBuf;
use std::sync::OnceLock;

use sageapi_server::config::DatabaseTarget;
use sageapi_test_support::database::{self, TestDatabase};
use sageapi_test_support::{Mysqld, Vendor};

use crate::Failure;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Kind {
    /// An embedded file.
    Sqlite,
    /// A MariaDB of this run's own, flushed at every commit.
    #[value(name = "mariadb")]
    MariaDb,
    /// An Oracle MySQL of this run's own, flushed at every commit.
    #[value(name = "mysql")]
    MySql,
}

impl Kind {
    /// What a newcomer has: no root is needed.
    pub const ROOTLESS: [Self; 2] = [Self::Sqlite, Self::MariaDb];
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Sqlite, Self::MariaDb, Self::MySql];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::MariaDb => "MariaDB",
            Self::MySql => "MySQL",
        }
    }
}

/// A database that goes when dropped.
pub struct Database {
    held: TestDatabase,
}

impl Database {
    /// A new, empty one.
    pub fn fresh(kind: Kind) -> Result<Self, Failure> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let held = match kind {
            Kind::Sqlite => runtime.block_on(TestDatabase::fresh(database::Kind::Sqlite)),
            Kind::MariaDb => runtime.block_on(TestDatabase::fresh(database::Kind::MySql)),
            Kind::MySql => runtime.block_on(TestDatabase::on_server(oracle()?)),
        };
        Ok(Self { held })
    }

    /// What `database.url` is set to.
    pub fn url(&self) -> String {
        self.held.url()
    }

    /// The same, parsed.
    pub fn target(&self) -> DatabaseTarget {
        self.held.target()
    }

    /// A folder that goes when the database goes.
    pub fn folder(&self) -> PathBuf {
        self.held.folder()
    }
}

/// The one Oracle MySQL of this run; its URL without a database's name.
fn oracle() -> Result<&'static str, Failure> {
    static SERVER: OnceLock<Result<Mysqld, String>> = OnceLock::new();
    match SERVER.get_or_init(|| Mysqld::start(Vendor::MySql)) {
        Ok(server) => Ok(server.url()),
        Err(why) => Err(why.as_str().into()),
    }
}
