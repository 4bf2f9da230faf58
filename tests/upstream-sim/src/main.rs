//! The simulator as a process.

mod args;

use std::io::{ErrorKind, Write};
use std::process::ExitCode;

use clap::Parser;
use sageapi_upstream_sim::Sim;
use sageapi_upstream_sim::world::World;
use serde_json::json;
use tokio::signal::unix::{SignalKind, signal};

use self::args::Args;

type Failure = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    // Else a log that nobody reads any more ends the process.
    let logs = tracing_subscriber::fmt().log_internal_errors(false);
    logs.with_max_level(args.log_level).with_writer(std::io::stderr).init();
    match run(args).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!("{error}");
            // 69, as the server says it: what this needs cannot be had.
            ExitCode::from(69)
        }
    }
}

async fn run(args: Args) -> Result<(), Failure> {
    if args.print_world.is_some() {
        return print(&format!("{:#}", World::new(args.counts()).describe()));
    }
    // Before the ready line: who reads it may send the signal at once.
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let sim = Sim::start(args.into_options()).await?;
    print(&json!({"listen": sim.feed_addr, "control": sim.control_addr}).to_string())?;
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping");
    sim.stop().await;
    Ok(())
}

/// A reader that closes the pipe early, like `head`, is not an error.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}
