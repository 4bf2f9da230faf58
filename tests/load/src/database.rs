//! Empty databases for a measure, migrated by the server's own command.

use std::path::PathBuf;

use sageapi_server::config::DatabaseTarget;
use sageapi_test_support::database::TestDatabase;

use crate::Failure;

/// A kind of database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// An embedded file.
    Sqlite,
    /// A MariaDB of this run's own, flushed at every commit.
    MariaDb,
}

impl Kind {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Sqlite, Self::MariaDb];

    /// For people.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sqlite => "SQLite",
            Self::MariaDb => "MariaDB",
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
        let which = match kind {
            Kind::Sqlite => sageapi_test_support::database::Kind::Sqlite,
            Kind::MariaDb => sageapi_test_support::database::Kind::MySql,
        };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Self { held: runtime.block_on(TestDatabase::fresh(which)) })
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
