//! `UPDATE sessions ... WHERE id = ?; COMMIT`, by connections each of which has rows of its own.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sqlx::{Connection as _, MySqlConnection};

use super::{Conn, execute};
use crate::Failure;
use crate::database::Database;
use crate::outcome::{Done, Outcome};

/// What a refresh writes.
const UPDATE: &str = "UPDATE sessions SET generation = generation + 1, rotated_at = ?, last_seen = ?, idle_until = ? \
     WHERE id = ? AND revoked_at IS NULL";
const IDLE_MICROS: i64 = 30 * 24 * 3_600_000_000;

/// Copies every session on MariaDB as one of the user `plain`.
pub fn copy_sessions(database: &Database) -> Result<(), Failure> {
    execute(
        database,
        "INSERT INTO sessions (id, kind, user_id, customer_id, generation, generation_seen, kid, rotated_at, \
         idle_until, expires_at, last_seen, reauthenticated_at, version, created_at) \
         SELECT UNHEX(MD5(id)), kind, 'plain', customer_id, generation, \
         generation_seen, kid, rotated_at, idle_until, expires_at, last_seen, reauthenticated_at, version, created_at \
         FROM sessions",
    )
    .map(drop)
}

/// Updates the copied sessions over so many connections for so long, one a transaction.
pub fn run(database: &Database, connections: usize, limit: Duration) -> Result<Outcome, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut conns = Vec::with_capacity(connections);
        for _ in 0..connections {
            let Conn::MySql(conn) = Conn::open(database).await? else {
                return Err("sessions are rotated on MariaDB only".into());
            };
            conns.push(conn);
        }
        let ids = sqlx::query_scalar::<_, Vec<u8>>("SELECT id FROM sessions WHERE user_id = 'plain'");
        let ids = ids.fetch_all(&mut conns[0]).await?;
        let started = Instant::now();
        let until = started + limit;
        let tasks: Vec<_> = conns
            .into_iter()
            .enumerate()
            .map(|(first, conn)| {
                let own = ids.iter().skip(first).step_by(connections).cloned().collect();
                tokio::spawn(connection(conn, own, until))
            })
            .collect();
        let mut times = Vec::new();
        for task in tasks {
            times.append(&mut task.await??);
        }
        Ok(Outcome::of(started.elapsed(), times))
    })
}

async fn connection(
    mut conn: MySqlConnection,
    ids: Vec<Vec<u8>>,
    until: Instant,
) -> Result<Vec<Done>, Failure> {
    let mut times = Vec::new();
    let mut begun = Instant::now();
    for id in ids.iter().cycle() {
        if begun >= until {
            break;
        }
        let now = i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH)?.as_micros())?;
        let mut tx = conn.begin().await?;
        let update = sqlx::query(UPDATE).bind(now).bind(now).bind(now + IDLE_MICROS).bind(id);
        let changed = update.execute(&mut *tx).await?.rows_affected();
        tx.commit().await?;
        if changed != 1 {
            return Err("a session of the plain updates is not there".into());
        }
        let at = Instant::now();
        times.push(Done { took: u64::try_from((at - begun).as_nanos())?, at });
        begun = at;
    }
    Ok(times)
}
