use sageapi_contract::{ExitCode, MigrationResult, Verdict};

use super::args;
use super::failure::Failure;
use super::output::Output;
use crate::config::Config;
use crate::env::{OpenError, Role, ServerEnv};
use crate::store::{Migrate, MigrateError, MigrationStep, OwnerCheck, SchemaState};

pub async fn run(config: Config, args: args::Migrate, out: &Output) -> Result<ExitCode, Failure> {
    let only_look = args.plan || args.status;
    let env = ServerEnv::open(config, if only_look { Role::Command } else { Role::Setup })?;
    let looked = if only_look {
        env.store().schema_state(OwnerCheck::Owner(args.owner.as_deref())).await.map_err(MigrateError::from)
    } else {
        let how = Migrate { owner: args.owner.clone(), take_over: args.take_over };
        let progress = out.progress("migrations");
        let tell = |step: &MigrationStep| {
            progress.step(format!("migration {}", step.name), step.done, step.total);
        };
        env.store().migrate_telling(&how, &tell).await
    };
    env.shut_down().await;
    let (result, code) = match looked {
        Ok(state) => {
            let code = state.verdict.exit_code(only_look);
            (result_of(&state, only_look), code)
        }
        Err(MigrateError::Store(error)) if error.is_unavailable() => {
            (unreachable(&error.to_string()), ExitCode::Unavailable)
        }
        // 70: another attempt may succeed, but this one failed.
        Err(error) => return Err(OpenError::from(error).into()),
    };
    let line = result.to_json().map_err(|e| Failure::internal(e.to_string()))?;
    if let Some(file) = &args.result_file {
        std::fs::write(file, &line).map_err(|e| Failure::internal(format!("{}: {e}", file.display())))?;
    }
    if out.is_json() || args.plan || !args.status {
        out.text(&line)?;
    } else {
        out.text(&describe(&result))?;
    }
    Ok(code)
}

fn result_of(state: &SchemaState, only_look: bool) -> MigrationResult {
    let version = |n: i64| u32::try_from(n).unwrap_or(0);
    let message = match state.verdict {
        Verdict::Forward if !only_look => format!("migrated from version {} to {}", state.from, state.to),
        _ => state.message.clone(),
    };
    MigrationResult {
        v: MigrationResult::VERSION,
        verdict: state.verdict,
        from: version(state.from),
        to: version(state.to),
        pending: state.pending.clone(),
        compatible_with_running: state.compatible_with_running,
        owner: state.owner.clone(),
        message,
    }
}

fn unreachable(message: &str) -> MigrationResult {
    MigrationResult {
        v: MigrationResult::VERSION,
        verdict: Verdict::Unreachable,
        from: 0,
        to: 0,
        pending: Vec::new(),
        compatible_with_running: false,
        owner: None,
        message: message.to_owned(),
    }
}

fn describe(result: &MigrationResult) -> String {
    let mut text = format!("{}\nversion {} of {}", result.message, result.from, result.to);
    if let Some(owner) = &result.owner {
        text += &format!("\nclaimed by {owner}");
    }
    for name in &result.pending {
        text += &format!("\npending  {name}");
    }
    text
}
