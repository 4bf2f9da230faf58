//! The commands. stdout carries the result alone; logs and progress go to stderr.

mod args;
mod config;
mod customers;
mod failure;
mod keys;
mod migrate;
mod output;
mod progress;
mod seed;
mod serve;
mod sign;
mod sync;
mod verify;

use std::collections::BTreeMap;
use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser as _};
use sageapi_contract::ExitCode;

use crate::config::{Config, Loaded};
use crate::env::{Role, ServerEnv};
use crate::telemetry::tracing::{LogFormat, OtlpConfig};
use args::{Args, Command};
use failure::Failure;
use output::Output;

/// Runs the command that the arguments name, in the given environment.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let args = match Args::try_parse_from(args) {
        Ok(args) => args,
        Err(error) => {
            // Whether the terminal takes the text changes nothing about how the command ends.
            let _ = error.print();
            return match error.kind() {
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => ExitCode::Done,
                _ => ExitCode::Usage,
            };
        }
    };
    let out = Output::new(args.output, args.quiet);
    let result = crate::config::environment(variables)
        .map_err(Failure::from)
        .and_then(|env| dispatch(args, &env, &out));
    match result {
        Ok(code) => code,
        Err(failure) => {
            output::complain(&failure);
            failure.code
        }
    }
}

fn dispatch(args: Args, env: &BTreeMap<String, String>, out: &Output) -> Result<ExitCode, Failure> {
    let load =
        || crate::config::load(args.config.as_deref(), env, &crate::config::read_file).map_err(Failure::from);
    match args.command {
        Command::Version => out.version(),
        Command::Openapi => out.text(&crate::http::openapi::document()),
        Command::Completion { shell } => out.text(&completion(shell)),
        Command::Sign(sign) => sign::run(&sign, out),
        Command::Config(command) => config::run(&command, load, out),
        Command::Serve => start(load()?, Role::Serve, async |loaded| serve::run(loaded.config).await),
        Command::Migrate(migrate) => {
            start(load()?, Role::Command, async |loaded| migrate::run(loaded.config, migrate, out).await)
        }
        command => start(load()?, Role::Command, async |loaded| {
            let role = if matches!(command, Command::Seed { .. }) { Role::Setup } else { Role::Command };
            let env = ServerEnv::open(loaded.config, role)?;
            let result = match env.prepare().await {
                Ok(_) => with_store(command, &env, out).await,
                Err(error) => Err(error.into()),
            };
            env.shut_down().await;
            result
        }),
    }
}

async fn with_store(command: Command, env: &ServerEnv, out: &Output) -> Result<ExitCode, Failure> {
    match command {
        Command::Sync(sync) => sync::run(env, &sync, out).await,
        Command::Seed { file } => seed::run(env, &file, out).await,
        Command::Customer(command) => customers::run(env, command, out).await,
        Command::Key(command) => keys::run(env, command, out).await,
        Command::Verify => verify::run(env, out).await,
        Command::Serve
        | Command::Migrate(_)
        | Command::Config(_)
        | Command::Openapi
        | Command::Completion { .. }
        | Command::Sign(_)
        | Command::Version => Err(Failure::internal("this command does not use the database")),
    }
}

fn completion(shell: clap_complete::Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Args::command(), "sageapi-server", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Runs a command within a runtime, with logs set up; spans still queued are sent at the end.
fn start(
    loaded: Loaded,
    role: Role,
    work: impl AsyncFnOnce(Loaded) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|e| Failure::internal(format!("the runtime cannot start: {e}")))?;
    runtime.block_on(async {
        let guard = init_telemetry(&loaded.config, role)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let result = work(loaded).await;
        guard.shutdown().await;
        result
    })
}

/// Tells this process from others in traces: host and process id.
fn instance_name() -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{}-{}", host.trim(), std::process::id())
}

fn init_telemetry(config: &Config, role: Role) -> Result<crate::telemetry::tracing::Guard, Failure> {
    let otlp = config.telemetry.otlp_endpoint.as_ref().map(|endpoint| OtlpConfig {
        endpoint: endpoint.clone(),
        sampling_ratio: config.telemetry.sampling_ratio,
        service_version: env!("CARGO_PKG_VERSION").to_owned(),
        instance: instance_name(),
    });
    let format = match config.log.format {
        crate::config::LogFormat::Json => LogFormat::Json,
        crate::config::LogFormat::Text => LogFormat::Text,
    };
    // A command is run by a person: what it does it says itself, and logs only what is amiss.
    let (level, format, otlp) = match role {
        Role::Serve => (config.log.level.as_str(), format, otlp),
        Role::Setup | Role::Command => ("warn", LogFormat::Text, None),
    };
    crate::telemetry::tracing::init(level, format, otlp)
        .map_err(|e| Failure::usage(format!("telemetry: {e}")))
}
