//! The throttle of sign-ins, shared by all instances. A row says when its bucket is full again; a bucket without a row is
//! full.

use std::time::Duration;

use super::error::Error;
use super::sql::Sql;
use super::{Store, Tx};
use crate::model::Timestamp;

/// The first lock; each further one is twice as long, up to the last.
const FIRST_LOCK: i64 = 300;
const LAST_LOCK: i64 = 3600;
/// Attempts are forgotten after so long a time without one, in microseconds: longer than any lock.
const FORGOTTEN_AFTER: i64 = 2 * 3600 * 1_000_000;

/// Something that is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    /// A hash of what it is about.
    pub id: [u8; 32],
    /// How it is limited.
    pub rule: BucketRule,
}

/// How a bucket is limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BucketRule {
    /// So many at once, then one every so often.
    Refill {
        /// How many at once.
        capacity: i64,
        /// How long one takes to come back.
        every: Duration,
    },
    /// So many, then none for 5 minutes, doubling up to an hour.
    Lock {
        /// How many before each lock.
        attempts: i64,
    },
}

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4)
}

impl Store {
    /// Takes a token of each bucket, or of none: then it says how long to wait. Everyone must name buckets of several kinds in
    /// one order.
    pub async fn take_tokens(&self, buckets: Vec<Bucket>) -> Result<Result<(), Duration>, Error> {
        self.write("throttle.take", move |tx| {
            let buckets = buckets.clone();
            Box::pin(async move {
                let now = tx.now().await?;
                for (nth, bucket) in buckets.iter().enumerate() {
                    if !take(tx, bucket, now).await? {
                        for taken in &buckets[..nth] {
                            give_back(tx, taken).await?;
                        }
                        return wait(tx, bucket, now).await.map(Err);
                    }
                }
                Ok(Ok(()))
            })
        })
        .await
    }

    /// Gives the tokens of a right password back.
    pub async fn give_tokens_back(&self, buckets: Vec<Bucket>) -> Result<(), Error> {
        self.write("throttle.give_back", move |tx| {
            let buckets = buckets.clone();
            Box::pin(async move {
                for bucket in &buckets {
                    match bucket.rule {
                        BucketRule::Refill { .. } => give_back(tx, bucket).await?,
                        // A right password ends the count.
                        BucketRule::Lock { .. } => {
                            let sql = Sql::new("DELETE FROM login_throttle WHERE bucket = ?");
                            tx.conn.execute(sql.bind(bucket.id.as_slice())).await?;
                        }
                    }
                }
                Ok(())
            })
        })
        .await
    }

    /// Undoes a taking after which nothing was tried.
    pub async fn untake_tokens(&self, buckets: Vec<Bucket>) -> Result<(), Error> {
        self.write("throttle.untake", move |tx| {
            let buckets = buckets.clone();
            Box::pin(async move {
                for bucket in &buckets {
                    give_back(tx, bucket).await?;
                }
                Ok(())
            })
        })
        .await
    }

    /// Forgets up to `slice` buckets that are full again; how many.
    pub async fn purge_throttle(&self, now: Timestamp, slice: i64) -> Result<u64, Error> {
        self.write("throttle.purge", move |tx| {
            Box::pin(async move {
                let sql = Sql::new("SELECT bucket FROM login_throttle WHERE full_at <= ? LIMIT ?");
                let rows = tx.conn.fetch_all(sql.bind(now).bind(slice)).await?;
                if rows.is_empty() {
                    return Ok(0);
                }
                let ids =
                    rows.iter().map(|row| row.bytes(0).map(<[u8]>::to_vec)).collect::<Result<Vec<_>, _>>()?;
                let mut sql =
                    Sql::new("DELETE FROM login_throttle WHERE full_at <= ? AND bucket IN ").bind(now);
                sql.push_in(ids);
                tx.conn.execute(sql).await
            })
        })
        .await
    }
}

/// One conditional update; a row is inserted first where there is none.
async fn take(tx: &mut Tx, bucket: &Bucket, now: Timestamp) -> Result<bool, Error> {
    if tx.conn.execute(taking(bucket, now)).await? > 0 {
        return Ok(true);
    }
    let insert = tx.dialect().insert_ignore();
    let sql = Sql::new(format!(
        "{insert} login_throttle (bucket, full_at, attempts, locked_until) VALUES (?, ?, ?, 0)"
    ));
    let (full_at, attempts) = match bucket.rule {
        BucketRule::Refill { every, .. } => (now.micros() + micros(every), 0),
        BucketRule::Lock { .. } => (now.micros() + FORGOTTEN_AFTER, 1),
    };
    let sql = sql.bind(bucket.id.as_slice()).bind(full_at).bind(attempts);
    if tx.conn.execute(sql).await? > 0 {
        return Ok(true);
    }
    // Another transaction may have inserted it meanwhile.
    Ok(tx.conn.execute(taking(bucket, now)).await? > 0)
}

fn taking(bucket: &Bucket, now: Timestamp) -> Sql<'static> {
    let now = now.micros();
    match bucket.rule {
        BucketRule::Refill { capacity, every } => {
            let every = micros(every);
            let sql = Sql::new(
                "UPDATE login_throttle SET full_at = CASE WHEN full_at > ? THEN full_at ELSE ? END + ? \
                 WHERE bucket = ? AND full_at <= ?",
            );
            sql.bind(now).bind(now).bind(every).bind(bucket.id.to_vec()).bind(now + (capacity - 1) * every)
        }
        // MySQL evaluates assignments from the left and sees what the ones before have set, SQLite does not: each of these
        // reads only columns that are still to be set.
        BucketRule::Lock { attempts } => {
            let locks: String = [0, 1, 2, 3]
                .map(|n| format!("WHEN attempts + 1 = {} THEN {} ", attempts * (n + 1), FIRST_LOCK << n))
                .concat();
            let sql = Sql::new(format!(
                "UPDATE login_throttle SET \
                 locked_until = CASE WHEN full_at > ? AND (attempts + 1) % {attempts} = 0 \
                 THEN ? + 1000000 * (CASE {locks}ELSE {LAST_LOCK} END) ELSE locked_until END, \
                 attempts = CASE WHEN full_at > ? THEN attempts + 1 ELSE 1 END, full_at = ? \
                 WHERE bucket = ? AND locked_until <= ?"
            ));
            let full_at = now + FORGOTTEN_AFTER;
            sql.bind(now).bind(now).bind(now).bind(full_at).bind(bucket.id.to_vec()).bind(now)
        }
    }
}

/// Undoes a taking.
async fn give_back(tx: &mut Tx, bucket: &Bucket) -> Result<(), Error> {
    let sql = match bucket.rule {
        BucketRule::Refill { every, .. } => {
            Sql::new("UPDATE login_throttle SET full_at = full_at - ? WHERE bucket = ?").bind(micros(every))
        }
        BucketRule::Lock { attempts } => Sql::new(format!(
            "UPDATE login_throttle SET locked_until = CASE WHEN attempts % {attempts} = 0 THEN 0 ELSE locked_until END, \
             full_at = CASE WHEN attempts = 1 THEN 0 ELSE full_at END, attempts = attempts - 1 WHERE bucket = ? AND attempts > 0"
        )),
    };
    tx.conn.execute(sql.bind(bucket.id.to_vec())).await.map(drop)
}

async fn wait(tx: &mut Tx, bucket: &Bucket, now: Timestamp) -> Result<Duration, Error> {
    let sql = Sql::new("SELECT full_at, locked_until FROM login_throttle WHERE bucket = ?");
    let Some(row) = tx.conn.fetch_optional(sql.bind(bucket.id.to_vec())).await? else {
        return Ok(Duration::ZERO);
    };
    let free_at = match bucket.rule {
        BucketRule::Refill { capacity, every } => row.int(0)? - (capacity - 1) * micros(every),
        BucketRule::Lock { .. } => row.int(1)?,
    };
    Ok(Duration::from_micros(u64::try_from(free_at - now.micros()).unwrap_or(0)))
}
