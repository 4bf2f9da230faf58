use sageapi_contract::ExitCode;
use serde::Serialize;

use super::args;
use super::failure::Failure;
use super::output::Output;
use crate::env::ServerEnv;
use crate::model::Entity;
use crate::sync::RunReport;

#[derive(Serialize)]
struct Ran {
    entity: &'static str,
    snapshot: bool,
    pages: u64,
    upserts: u64,
    deletes: u64,
    swept: u64,
    quarantined: u64,
    seconds: f64,
}

impl From<RunReport> for Ran {
    fn from(r: RunReport) -> Self {
        Self {
            entity: r.entity.as_str(),
            snapshot: r.snapshot,
            pages: r.pages,
            upserts: r.upserts,
            deletes: r.deletes,
            swept: r.swept,
            quarantined: r.quarantined,
            seconds: r.elapsed.as_secs_f64(),
        }
    }
}

pub async fn run(env: &ServerEnv, args: &args::Sync, out: &Output) -> Result<ExitCode, Failure> {
    let entities = match &args.entity {
        None => Entity::ALL.to_vec(),
        Some(name) => vec![Entity::parse(name).ok_or_else(|| {
            Failure::usage(format!("entity {name:?}: must be users, pricing, llmage or uapi"))
        })?],
    };
    let mut ran: Vec<Ran> = Vec::new();
    for entity in entities {
        // The feed does not say how much it has.
        let progress = out.progress(entity.as_str());
        let report = env.sync().run_once(entity, &|r: &RunReport| progress.reached(r.rows())).await;
        drop(progress);
        ran.push(report?.into());
    }
    out.result(&ran, |ran| {
        let line = |r: &Ran| {
            let kind = if r.snapshot { "snapshot" } else { "changes" };
            let rest = format!("{} deleted, {} swept, {} quarantined", r.deletes, r.swept, r.quarantined);
            format!(
                "{:<8} {kind}: {} rows in {} pages, {rest}, {:.1} s\n",
                r.entity, r.upserts, r.pages, r.seconds
            )
        };
        ran.iter().map(line).collect()
    })
}
