use sageapi_contract::ExitCode;

use super::failure::Failure;
use super::output::Output;
use crate::domain::verify;
use crate::env::ServerEnv;

pub async fn run(env: &ServerEnv, out: &Output) -> Result<ExitCode, Failure> {
    let progress = out.progress("records");
    if progress.is_shown() {
        let usage = env.store().number_of_usage_records().await?;
        progress.expect(env.store().number_of_records().await? + usage);
    }
    let reached = |seen: &verify::Verified| progress.reached(seen.records + seen.usage_records);
    let result = verify::verify(env.store(), reached).await;
    drop(progress);
    let verified = result?;
    out.result(&verified, |v| match &v.difference {
        None => {
            let verify::Verified { customers, records, usage_records, .. } = v;
            format!(
                "{customers} customers, {records} records, {usage_records} usage records: everything adds up"
            )
        }
        Some(difference) => format!("DIFFERENCE {difference}"),
    })?;
    Ok(if verified.difference.is_some() { ExitCode::Difference } else { ExitCode::Done })
}
