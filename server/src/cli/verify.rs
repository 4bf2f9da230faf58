use sageapi_contract::ExitCode;

use super::failure::Failure;
use super::output::Output;
use crate::domain::verify;
use crate::env::ServerEnv;

pub async fn run(env: &ServerEnv, out: &Output) -> Result<ExitCode, Failure> {
    let progress = out.progress("records");
    if progress.is_shown() {
        progress.expect(env.store().number_of_records().await?);
    }
    let result = verify::verify(env.store(), |seen| progress.reached(seen.records)).await;
    drop(progress);
    let verified = result?;
    out.result(&verified, |v| match &v.difference {
        None => format!("{} customers, {} records: everything adds up", v.customers, v.records),
        Some(difference) => format!("DIFFERENCE {difference}"),
    })?;
    Ok(if verified.difference.is_some() { ExitCode::Difference } else { ExitCode::Done })
}
