//! How far each entity is mirrored, and how its last run went.

use super::columns::{columns, select};
use super::error::Error;
use super::leases::Lease;
use super::sql::Sql;
use super::{Store, Tx};
use crate::model::{Entity, Timestamp};

/// Longest error text kept.
const MAX_MESSAGE: usize = 1000;

/// A row of `sync_state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncState {
    /// Where the next page starts; `None` from the beginning.
    pub cursor: Option<String>,
    /// Rows written now carry it; a sweep deletes rows of an earlier one.
    pub generation: i64,
    /// Whether a snapshot is under way.
    pub snapshot: bool,
    /// When a run last ended well.
    pub last_sync_time: Option<Timestamp>,
    /// When a snapshot last ended well.
    pub last_snapshot_time: Option<Timestamp>,
    /// `pending`, `success` or `failed`.
    pub status: String,
    /// A stable word for what failed.
    pub error_class: Option<String>,
    /// What failed, for an operator's eyes.
    pub error_msg: Option<String>,
    /// Failures since the last success.
    pub retry_count: i64,
    /// Rows applied since the beginning.
    pub rows_applied: i64,
    /// The instance that runs it now or did last.
    pub lease_owner: Option<String>,
    /// Rises with every change of hands.
    pub fencing_token: i64,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncOutcome {
    /// Everything there was is mirrored.
    Success,
    /// It stopped early.
    Failed {
        /// A stable word for what failed.
        class: &'static str,
        /// What failed, for an operator's eyes.
        message: String,
    },
}

columns!(SyncState in "sync_state":
    ; cursor = "`cursor`", generation, snapshot, last_sync_time, last_snapshot_time, status = "sync_status", error_class,
    error_msg, retry_count, rows_applied, lease_owner, fencing_token,
);

impl Store {
    /// The state of an entity; `None` before its first run.
    pub async fn sync_state(&self, entity: Entity) -> Result<Option<SyncState>, Error> {
        let sql = select::<SyncState>(" WHERE entity_type = ? AND entity_id = ''");
        self.row(sql.bind(entity.as_str())).await
    }

    /// Starts a snapshot from the beginning: a new generation, no cursor.
    pub async fn start_snapshot(&self, lease: &Lease) -> Result<(), Error> {
        let lease = lease.clone();
        self.write("sync.start_snapshot", move |tx| {
            let lease = lease.clone();
            Box::pin(async move {
                let changes = Sql::new("generation = generation + 1, snapshot = 1, `cursor` = NULL");
                fenced(tx, &lease, changes).await
            })
        })
        .await
    }

    /// Writes down how a run ended.
    pub async fn finish_run(&self, lease: &Lease, outcome: SyncOutcome) -> Result<(), Error> {
        let lease = lease.clone();
        self.write("sync.finish_run", move |tx| {
            let (lease, outcome) = (lease.clone(), outcome.clone());
            Box::pin(async move {
                let now = tx.now().await?;
                let changes = match &outcome {
                    SyncOutcome::Success => Sql::new(
                        "sync_status = 'success', error_class = NULL, error_msg = NULL, retry_count = 0, \
                         last_sync_time = ?, updated_at = ?",
                    )
                    .bind(now)
                    .bind(now),
                    SyncOutcome::Failed { class, message } => Sql::new(
                        "sync_status = 'failed', error_class = ?, error_msg = ?, retry_count = retry_count + 1, \
                         updated_at = ?",
                    )
                    .bind(*class)
                    .bind(message.chars().take(MAX_MESSAGE).collect::<String>())
                    .bind(now),
                };
                fenced(tx, &lease, changes).await
            })
        })
        .await
    }
}

/// Updates the state of the entity that is leased. Another fencing token there means that another instance has taken
/// over.
pub(super) async fn fenced(tx: &mut Tx, lease: &Lease, changes: Sql<'_>) -> Result<(), Error> {
    let mut sql = Sql::new("UPDATE sync_state SET ");
    sql.append(changes);
    sql.push(" WHERE entity_type = ? AND entity_id = '' AND fencing_token = ?");
    sql.add(lease.name.clone()).add(lease.token);
    if tx.conn.execute(sql).await? == 0 { Err(Error::LeaseLost) } else { Ok(()) }
}
