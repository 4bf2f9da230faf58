use sageapi_contract::ExitCode;

use super::failure::Failure;
use super::output::{Output, progress, progress_done};
use crate::domain::verify;
use crate::env::ServerEnv;

pub async fn run(env: &ServerEnv, out: &Output) -> Result<ExitCode, Failure> {
    let mut shown = 0;
    let result = verify::verify(env.store(), |seen| {
        if seen.records >= shown {
            shown = seen.records + 50_000;
            progress(&format!("{} customers, {} records", seen.customers, seen.records));
        }
    })
    .await;
    progress_done();
    let verified = result?;
    out.result(&verified, |v| match &v.difference {
        None => format!("{} customers, {} records: everything adds up", v.customers, v.records),
        Some(difference) => format!("DIFFERENCE {difference}"),
    })?;
    Ok(if verified.difference.is_some() { ExitCode::Difference } else { ExitCode::Done })
}
