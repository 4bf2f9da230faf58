use sageapi_contract::ExitCode;
use serde::Serialize;

use super::args::usage::Usage as Command;
use super::failure::Failure;
use super::output::Output;
use crate::domain::Error;
use crate::domain::usage::{BEHIND_FLOOR, FLOOR_KNOWN_AFTER, MIN_AGE, Purge, PurgeMode, SLICE_PAUSE};
use crate::env::ServerEnv;
use crate::model::{Actor, Timestamp, shown};
use crate::store;

#[derive(Serialize)]
struct Purged {
    before: Timestamp,
    rows: u64,
    dry_run: bool,
}

pub async fn run(env: &ServerEnv, command: Command, out: &Output) -> Result<ExitCode, Failure> {
    let Command::Purge { before, dry_run } = command;
    let before = Timestamp::parse(&before)
        .map_err(|e| Failure::usage(format!("--before: {e}, not {}", shown(&before))))?;
    let latest = env.store().now().await?.minus(MIN_AGE);
    if before > latest {
        return Err(Failure::usage(format!("--before {before}: must be two days ago at least: {latest}")));
    }
    let rows = if dry_run { count(env, before, out).await? } else { delete(env, before, out).await? };
    out.result(&Purged { before, rows, dry_run }, |purged| {
        let done = if dry_run { "would be deleted" } else { "were deleted" };
        format!("{} usage records before {before} {done}", purged.rows)
    })
}

async fn count(env: &ServerEnv, before: Timestamp, out: &Output) -> Result<u64, Failure> {
    let progress = out.progress("counted");
    let mut purge = Purge::before(before, PurgeMode::Count);
    while purge.next_slice(env.store()).await? {
        progress.reached(purge.rows());
    }
    Ok(purge.rows())
}

async fn delete(env: &ServerEnv, before: Timestamp, out: &Output) -> Result<u64, Failure> {
    if env.config().server.read_only {
        return Err(Error::ReadOnly.into());
    }
    let store = env.store();
    store.raise_usage_floor(before.plus(BEHIND_FLOOR)).await?;
    let waiting = out.progress("waiting until every instance has heard of it");
    tokio::time::sleep(FLOOR_KNOWN_AFTER).await;
    drop(waiting);
    let progress = out.progress("deleted");
    let mut purge = Purge::before(before, PurgeMode::Delete);
    let result = async {
        while purge.next_slice(store).await? {
            progress.reached(purge.rows());
            tokio::time::sleep(SLICE_PAUSE).await;
        }
        Ok::<_, store::Error>(())
    };
    let result = result.await;
    // What was deleted is noted, even where it came to an early end.
    store.note_usage_purge(&Actor::command_line(), before, purge.rows()).await?;
    result?;
    Ok(purge.rows())
}
