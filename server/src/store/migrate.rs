//! Applies the embedded migrations, and says whether this binary can serve what is there.
//!
//! Not `sqlx::migrate::Migrator::run`: on MariaDB its lock is never taken, on SQLite there is none,
//! and an interrupted MySQL migration stays dirty for ever.

use std::collections::BTreeMap;

use sageapi_contract::Verdict;
use sqlx::migrate::{Migration, Migrator};
use sqlx::{ConnectOptions as _, Connection as _};

use super::conn::{Conn, Tx};
use super::dialect::Dialect;
use super::error::Error;
use super::sql::Sql;
use super::{Backend, Store};

static MYSQL: Migrator = sqlx::migrate!("../migrations/mysql");
static SQLITE: Migrator = sqlx::migrate!("../migrations/sqlite");

/// Seconds to wait for another migration to end.
const LOCK_SECONDS: i64 = 30;
/// MySQL: table, column or index is there already; column or index to drop is not.
const ALREADY_DONE: [u16; 4] = [1050, 1060, 1061, 1091];

const BOOKKEEPING: [&str; 2] = [
    "CREATE TABLE IF NOT EXISTS schema_migrations (
       version BIGINT NOT NULL, name VARCHAR(128) NOT NULL, checksum VARBINARY(64) NOT NULL,
       compatible_from BIGINT NOT NULL, done SMALLINT NOT NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (version))",
    "CREATE TABLE IF NOT EXISTS schema_info (
       id BIGINT NOT NULL, version BIGINT NOT NULL, compatible_from BIGINT NOT NULL, owner VARCHAR(255) NULL,
       key_fingerprint VARCHAR(64) NULL, updated_at BIGINT NOT NULL, PRIMARY KEY (id))",
];

/// How to migrate.
#[derive(Debug, Clone, Default)]
pub struct Migrate {
    /// Who claims the database; `None` makes no claim.
    pub owner: Option<String>,
    /// Replaces another owner's claim.
    pub take_over: bool,
}

impl Migrate {
    /// As the server of an embedded database: a recorded owner keeps its claim and is not checked.
    pub fn ignoring_owner() -> Self {
        Self { owner: None, take_over: true }
    }
}

/// A migration that is about to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MigrationStep {
    /// Its name.
    pub name: String,
    /// How many of the pending ones have run.
    pub done: u64,
    /// How many were pending.
    pub total: u64,
}

/// Hears of every migration before it runs.
pub type MigrateProgress<'a> = &'a (dyn Fn(&MigrationStep) + Send + Sync);

/// Who wants to know what the schema is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OwnerCheck<'a> {
    /// Who uses the database: it does not matter who claimed it.
    User,
    /// Who would migrate it, as this owner: what another one claimed is left alone.
    Owner(Option<&'a str>),
}

/// What the schema is, seen from this binary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaState {
    /// What follows from it.
    pub verdict: Verdict,
    /// The version that is there, 0 for none.
    pub from: i64,
    /// The version that this binary brings.
    pub to: i64,
    /// Names of the migrations between the two.
    pub pending: Vec<String>,
    /// Whether instances of version `from` can serve version `to`.
    pub compatible_with_running: bool,
    /// Whether this binary can serve what is there now.
    pub can_serve: bool,
    /// Who has claimed the database.
    pub owner: Option<String>,
    /// One sentence for a human.
    pub message: String,
}

impl SchemaState {
    /// Why the database cannot be used, and what to do about it.
    pub fn obstacle(&self) -> String {
        if self.verdict != Verdict::Forward {
            return self.message.clone();
        }
        let owner = self.owner.as_ref().map(|owner| format!(" --owner {owner}")).unwrap_or_default();
        format!("{} ({}); run: sageapi-server migrate{owner}", self.message, self.pending.join(", "))
    }
}

/// Why a migration did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum MigrateError {
    /// Another migration is running.
    #[error("another migration holds the lock; try again when it has ended")]
    Locked,
    /// The database says no.
    #[error(transparent)]
    Store(#[from] Error),
    /// binlog_format STATEMENT cannot replicate what READ COMMITTED writes.
    #[error("binlog_format is STATEMENT; set it to ROW or MIXED, because bookings run under READ COMMITTED")]
    StatementBinlog,
}

struct Found {
    version: i64,
    compatible_from: i64,
    owner: Option<String>,
    fingerprint: Option<String>,
    applied: BTreeMap<i64, (Vec<u8>, bool)>,
}

impl Found {
    /// Whether a migration was applied to its end.
    fn has(&self, migration: &Migration) -> bool {
        self.applied.get(&migration.version).is_some_and(|(_, done)| *done)
    }
}

/// `-- compatible_from: N` in a migration's file: the oldest version that can still serve after it.
fn compatible_from(migration: &Migration) -> i64 {
    let line = migration.sql.as_str().lines().find_map(|l| l.strip_prefix("-- compatible_from:"));
    line.and_then(|n| n.trim().parse().ok()).unwrap_or(migration.version)
}

fn name(migration: &Migration) -> String {
    format!("{:04}_{}", migration.version, migration.description.replace(' ', "_"))
}

impl Store {
    fn migrations(&self) -> impl DoubleEndedIterator<Item = &'static Migration> {
        match self.dialect() {
            Dialect::MySql => MYSQL.iter(),
            Dialect::Sqlite => SQLITE.iter(),
        }
    }

    /// The schema version that this binary brings and needs.
    pub fn schema_version(&self) -> i64 {
        self.migrations().map(|m| m.version).max().unwrap_or(0)
    }

    /// Looks at the schema and changes nothing.
    pub async fn schema_state(&self, owner_check: OwnerCheck<'_>) -> Result<SchemaState, Error> {
        let mut conn = self.reader().await?;
        let found = match look(&mut conn).await {
            Err(error) if error.is_unavailable() => {
                conn.discard();
                look(&mut self.reader().await?).await?
            }
            found => found?,
        };
        let mut state = self.judge(&found, owner_check);
        if self.dialect() == Dialect::MySql && logs_statements(&mut self.reader().await?).await? {
            state.can_serve = false;
            state.message = MigrateError::StatementBinlog.to_string();
        }
        Ok(state)
    }

    fn judge(&self, found: &Found, owner_check: OwnerCheck<'_>) -> SchemaState {
        let to = self.schema_version();
        let pending: Vec<_> = self.migrations().filter(|m| !found.has(m)).collect();
        let dirty = self.migrations().find(|m| {
            found.applied.get(&m.version).is_some_and(|(checksum, done)| *done && checksum[..] != *m.checksum)
        });
        let foreign = match owner_check {
            OwnerCheck::User => None,
            OwnerCheck::Owner(owner) => found.owner.as_deref().filter(|theirs| Some(*theirs) != owner),
        };
        let mismatch = found.fingerprint.as_deref().is_some_and(|print| !self.inner.keyring.knows(print));
        let (verdict, message) = if let Some(theirs) = foreign {
            let message = format!(
                "the database is claimed by {theirs}; give that as --owner, or take it over with --take-over"
            );
            (Verdict::OwnedByAnother, message)
        } else if mismatch {
            let message = "the database was filled under another encryption key; \
                           configure that key as auth.encryption_key or among auth.previous_encryption_keys";
            (Verdict::KeyMismatch, message.to_owned())
        } else if let Some(m) = dirty {
            let message = format!(
                "migration {} was changed after it had been applied; run the release that applied it",
                name(m)
            );
            (Verdict::Dirty, message)
        } else if found.version > to {
            let message = format!(
                "the schema is at version {}, this binary knows {to}; run the newer release",
                found.version
            );
            (Verdict::Newer, message)
        } else if pending.is_empty() {
            (Verdict::None, format!("the schema is up to date at version {to}"))
        } else {
            (
                Verdict::Forward,
                format!("{} migration(s) lead from version {} to {to}", pending.len(), found.version),
            )
        };
        let compatible = pending.iter().all(|m| found.version == 0 || compatible_from(m) <= found.version);
        let fits = found.version >= to && found.compatible_from <= to;
        SchemaState {
            can_serve: fits && !mismatch && dirty.is_none(),
            verdict,
            from: found.version,
            to,
            pending: pending.into_iter().map(name).collect(),
            compatible_with_running: compatible,
            owner: found.owner.clone(),
            message,
        }
    }

    /// Applies what is pending, under a lock; gives what was found before. Refused verdicts change
    /// nothing. Interrupted at any point, it is simply run again.
    pub async fn migrate(&self, how: &Migrate) -> Result<SchemaState, MigrateError> {
        self.migrate_telling(how, &|_| ()).await
    }

    /// The same, and tells `progress` what is being applied.
    pub async fn migrate_telling(
        &self,
        how: &Migrate,
        progress: MigrateProgress<'_>,
    ) -> Result<SchemaState, MigrateError> {
        match &self.inner.backend {
            Backend::MySql { hosts, database } => {
                // A connection of its own: the lock belongs to it and ends with it.
                let mut own = hosts.node().await?.options.connect().await.map_err(Error::from)?;
                let lock = format!("sageapi migrate {database}");
                let lock: String = lock.chars().take(64).collect();
                let got: Option<i64> = sqlx::query_scalar("SELECT GET_LOCK(?, ?)")
                    .bind(&lock)
                    .bind(LOCK_SECONDS)
                    .fetch_one(&mut own)
                    .await
                    .map_err(Error::from)?;
                if got != Some(1) {
                    return Err(MigrateError::Locked);
                }
                let result = self.migrate_mysql(how, progress).await;
                // Ends the lock; if even that fails the connection is gone and the lock with it.
                let _ = own.close().await;
                result
            }
            Backend::Sqlite { .. } => {
                let mut tx = Tx::begin_with(self.writing().await?, &["BEGIN EXCLUSIVE"]).await.map_err(
                    |e| match e {
                        Error::Contended(_) => MigrateError::Locked,
                        e => e.into(),
                    },
                )?;
                let state = self.migrate_sqlite(&mut tx.conn, how, progress).await?;
                tx.commit().await.map_err(|(error, _)| error)?;
                Ok(state)
            }
        }
    }

    async fn migrate_mysql(
        &self,
        how: &Migrate,
        progress: MigrateProgress<'_>,
    ) -> Result<SchemaState, MigrateError> {
        let mut conn = self.reader().await?;
        let result = self.migrate_mysql_on(&mut conn, how, progress).await;
        if result.is_err() {
            // A transaction may be open on it.
            conn.discard();
        }
        result
    }

    async fn migrate_mysql_on(
        &self,
        conn: &mut Conn,
        how: &Migrate,
        progress: MigrateProgress<'_>,
    ) -> Result<SchemaState, MigrateError> {
        if logs_statements(conn).await? {
            return Err(MigrateError::StatementBinlog);
        }
        let (found, state) = match self.prepare(conn, how).await? {
            Prepared::Refused(state) => return Ok(state),
            Prepared::Go(found, state) => (found, state),
        };
        let now = conn.dialect().now();
        for (m, step) in self.steps(&found) {
            progress(&step);
            let begun = found.applied.contains_key(&m.version);
            if !begun {
                self.note(conn, m, false).await?;
            }
            match conn.run(m.sql.as_str()).await {
                Err(error) if begun && error.mysql_number().is_some_and(|n| ALREADY_DONE.contains(&n)) => {}
                result => result?,
            }
            conn.run("START TRANSACTION").await?;
            // The text that was run at last counts: a file may be corrected after a failed attempt.
            let done = Sql::new(format!(
                "UPDATE schema_migrations SET done = 1, checksum = ?, compatible_from = ?, updated_at = {now} \
                 WHERE version = ?"
            ));
            conn.execute(done.bind(&*m.checksum).bind(compatible_from(m)).bind(m.version)).await?;
            advance(conn, m).await?;
            conn.run("COMMIT").await?;
        }
        Ok(state)
    }

    async fn migrate_sqlite(
        &self,
        conn: &mut Conn,
        how: &Migrate,
        progress: MigrateProgress<'_>,
    ) -> Result<SchemaState, Error> {
        let (found, state) = match self.prepare(conn, how).await? {
            Prepared::Refused(state) => return Ok(state),
            Prepared::Go(found, state) => (found, state),
        };
        for (m, step) in self.steps(&found) {
            progress(&step);
            conn.run(m.sql.as_str()).await?;
            self.note(conn, m, true).await?;
            advance(conn, m).await?;
        }
        Ok(state)
    }

    /// The migrations to apply, and how far one is when its turn comes.
    fn steps(&self, found: &Found) -> Vec<(&'static Migration, MigrationStep)> {
        let pending: Vec<_> = self.migrations().filter(|m| !found.has(m)).collect();
        let total = pending.len() as u64;
        (0..).zip(pending).map(|(done, m)| (m, MigrationStep { name: name(m), done, total })).collect()
    }

    /// Makes the bookkeeping tables, judges, and writes claim and key fingerprint.
    async fn prepare(&self, conn: &mut Conn, how: &Migrate) -> Result<Prepared, Error> {
        for table in BOOKKEEPING {
            conn.run(table).await?;
        }
        let (insert, now) = (conn.dialect().insert_ignore(), conn.dialect().now());
        let row = format!(
            "{insert} schema_info (id, version, compatible_from, updated_at) VALUES (1, 0, 0, {now})"
        );
        conn.execute(Sql::new(row)).await?;
        let found = look(conn).await?;
        let owner_check =
            if how.take_over { OwnerCheck::User } else { OwnerCheck::Owner(how.owner.as_deref()) };
        let mut state = self.judge(&found, owner_check);
        if !matches!(state.verdict, Verdict::None | Verdict::Forward) {
            return Ok(Prepared::Refused(state));
        }
        let fingerprint = found.fingerprint.as_deref().unwrap_or(self.inner.keyring.fingerprint());
        let owner = how.owner.clone().or_else(|| found.owner.clone());
        let sql = Sql::new(format!(
            "UPDATE schema_info SET owner = ?, key_fingerprint = ?, updated_at = {now} WHERE id = 1"
        ));
        conn.execute(sql.bind(owner.clone()).bind(fingerprint)).await?;
        state.owner = owner;
        Ok(Prepared::Go(found, state))
    }

    async fn note(&self, conn: &mut Conn, m: &Migration, done: bool) -> Result<(), Error> {
        let now = conn.dialect().now();
        let sql = Sql::new(format!(
            "INSERT INTO schema_migrations (version, name, checksum, compatible_from, done, updated_at) \
             VALUES (?, ?, ?, ?, ?, {now})"
        ));
        let sql = sql.bind(m.version).bind(name(m)).bind(&*m.checksum).bind(compatible_from(m)).bind(done);
        conn.execute(sql).await.map(drop)
    }

    /// Names the current encryption key as the one that the database is filled under, after every
    /// secret was re-encrypted.
    pub async fn adopt_encryption_key(&self) -> Result<(), Error> {
        let print = self.inner.keyring.fingerprint().to_owned();
        self.write("schema.adopt_key", move |tx| {
            let print = print.clone();
            Box::pin(async move {
                let sql = Sql::new("UPDATE schema_info SET key_fingerprint = ? WHERE id = 1");
                tx.conn.execute(sql.bind(print)).await.map(drop)
            })
        })
        .await
    }
}

/// Whether the binary log holds statements, which cannot replicate what READ COMMITTED writes.
async fn logs_statements(conn: &mut Conn) -> Result<bool, Error> {
    let sql = Sql::new("SHOW VARIABLES WHERE Variable_name IN ('log_bin', 'binlog_format')");
    let log = conn.fetch_all(sql).await?;
    let is = |wanted: &str, value: &str| {
        log.iter().any(|row| {
            let text = |i| row.text(i).unwrap_or_default();
            text(0).eq_ignore_ascii_case(wanted) && text(1).eq_ignore_ascii_case(value)
        })
    };
    Ok(is("log_bin", "ON") && is("binlog_format", "STATEMENT"))
}

enum Prepared {
    Refused(SchemaState),
    Go(Found, SchemaState),
}

async fn advance(conn: &mut Conn, m: &Migration) -> Result<(), Error> {
    let (version, oldest, now) = (m.version, compatible_from(m), conn.dialect().now());
    let sql = Sql::new(format!(
        "UPDATE schema_info SET version = ?, updated_at = {now}, \
         compatible_from = CASE WHEN compatible_from > ? THEN compatible_from ELSE ? END WHERE id = 1"
    ));
    conn.execute(sql.bind(version).bind(oldest).bind(oldest)).await.map(drop)
}

async fn look(conn: &mut Conn) -> Result<Found, Error> {
    let nothing =
        Found { version: 0, compatible_from: 0, owner: None, fingerprint: None, applied: BTreeMap::new() };
    let there = match conn.dialect() {
        Dialect::MySql => {
            "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = DATABASE() \
                           AND table_name IN ('schema_info', 'schema_migrations')"
        }
        Dialect::Sqlite => {
            "SELECT COUNT(*) FROM sqlite_master WHERE type = 'table' \
                            AND name IN ('schema_info', 'schema_migrations')"
        }
    };
    if conn.fetch_one(Sql::new(there)).await?.int(0)? < 2 {
        return Ok(nothing);
    }
    let info =
        Sql::new("SELECT version, compatible_from, owner, key_fingerprint FROM schema_info WHERE id = 1");
    let Some(info) = conn.fetch_optional(info).await? else { return Ok(nothing) };
    let mut found = Found {
        version: info.int(0)?,
        compatible_from: info.int(1)?,
        owner: info.opt_text(2)?,
        fingerprint: info.opt_text(3)?,
        applied: BTreeMap::new(),
    };
    for row in conn.fetch_all(Sql::new("SELECT version, checksum, done FROM schema_migrations")).await? {
        found.applied.insert(row.int(0)?, (row.bytes(1)?.to_vec(), row.int(2)? != 0));
    }
    Ok(found)
}
