//! The commands. stdout carries the result alone; logs and progress go to stderr.

mod args;
mod audit;
mod config;
mod customers;
mod failure;
mod groups;
mod keys;
mod migrate;
mod output;
mod password;
mod progress;
mod seed;
mod serve;
mod sessions;
mod sign;
mod sync;
mod usage;
mod users;
mod verify;

use std::collections::BTreeMap;
use std::ffi::OsString;

use sageapi_contract::ExitCode;
use sageapi_runtime::command;
use sageapi_runtime::telemetry::{self, LogFormat, Otlp};

use crate::config::{Config, Loaded};
use crate::env::{Role, ServerEnv};
use crate::telemetry::tracing::SERVICE;
use args::{Args, Command};
use failure::Failure;
use output::Output;

const PROGRAM: &str = "sageapi-server";

/// Runs the command that the arguments name, in the given environment.
pub fn run(
    args: impl IntoIterator<Item = OsString>,
    variables: impl IntoIterator<Item = (OsString, OsString)>,
) -> ExitCode {
    let args: Args = match command::parse(args) {
        Ok(args) => args,
        Err(code) => return code,
    };
    let out = Output::new(args.output, args.quiet);
    let result = crate::config::environment(variables)
        .map_err(Failure::from)
        .and_then(|env| dispatch(args, &env, &out));
    match result {
        Ok(code) => code,
        Err(failure) => {
            command::print_error(PROGRAM, &failure);
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
        Command::Completion { shell } => out.text(&command::completion::<Args>(PROGRAM, shell)),
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
        Command::User(command) => users::run(env, command, out).await,
        Command::Group(command) => groups::run(env, command, out).await,
        Command::Session(command) => sessions::run(env, command, out).await,
        Command::Audit(command) => audit::run(env, command, out).await,
        Command::Usage(command) => usage::run(env, command, out).await,
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

/// Runs a command within a runtime, with logs set up; spans still queued are sent at the end.
fn start(
    loaded: Loaded,
    role: Role,
    work: impl AsyncFnOnce(Loaded) -> Result<ExitCode, Failure>,
) -> Result<ExitCode, Failure> {
    let run = async {
        let guard = init_telemetry(&loaded.config, role)?;
        for warning in &loaded.warnings {
            tracing::warn!("{warning}");
        }
        let result = work(loaded).await;
        guard.shutdown().await;
        result
    };
    command::block_on(run).map_err(|e| Failure::internal(format!("the runtime cannot start: {e}")))?
}

fn init_telemetry(config: &Config, role: Role) -> Result<telemetry::Guard, Failure> {
    let otlp = config.telemetry.otlp_endpoint.clone().map(|endpoint| Otlp {
        endpoint,
        sampling_ratio: config.telemetry.sampling_ratio,
        instance: format!("{}-{}", command::host_name(), std::process::id()),
    });
    // A command prints its results to the person who runs it, and logs only problems.
    let (level, format, otlp) = match role {
        Role::Serve => (config.log.level.as_str(), config.log.format, otlp),
        Role::Setup | Role::Command => ("warn", LogFormat::Text, None),
    };
    telemetry::init(&SERVICE, level, format, otlp).map_err(|e| Failure::usage(format!("telemetry: {e}")))
}
