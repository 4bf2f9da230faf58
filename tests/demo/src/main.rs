//! What `make run` runs: SageAPI beside a simulated platform on an embedded database, and a tour of
//! real signed requests with their real answers.
//!
//! It knows the server as anybody does: two programs, a configuration file, HTTP. What it sends is
//! what `sageapi-server sign` prints, so every request that is shown can be repeated with curl.

mod children;
mod credentials;
mod curl;
mod place;
mod setup;
mod show;
mod tour;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{SignalKind, signal};

use children::Children;
use place::Place;
use show::say;

/// Why the demo cannot go on, in words for its user.
type Failure = Box<dyn std::error::Error>;

/// SageAPI beside a simulated platform, and a tour of signed requests.
#[derive(Parser)]
#[command(name = "sageapi-demo", version, max_term_width = 100)]
struct Args {
    /// End after the tour; the exit code tells whether every answer was as expected
    #[arg(long)]
    once: bool,
    /// Directory of all state; a second run continues from it
    #[arg(long, default_value = "run", value_name = "FOLDER")]
    folder: PathBuf,
    /// What the database begins with
    #[arg(long, default_value = "init/data.json", value_name = "FILE")]
    seed: PathBuf,
}

/// One thread: children are told to end with the thread that started them, which lives to the end.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let mut children = Children::new();
    let done = tokio::select! {
        done = run(&args, &mut children) => done,
        stopped = asked_to_stop() => stopped.map(|()| true),
    };
    children.stop().await;
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            show::complain(&failure.to_string());
            ExitCode::FAILURE
        }
    }
}

/// Gives whether everything went as expected.
async fn run(args: &Args, children: &mut Children) -> Result<bool, Failure> {
    let place = Place::prepare(&args.folder, &args.seed)?;
    let keys = setup::bring_up(&place, children).await?;
    let unexpected = tour::take(&place, &keys).await?;
    show::summary(&place, &keys);
    for complaint in &unexpected {
        show::complain(&format!("not as expected: {complaint}"));
    }
    if !args.once {
        say("\nEverything stays up until Ctrl-C.");
        return Err(children.first_to_end().await);
    }
    Ok(unexpected.is_empty())
}

/// Waits for Ctrl-C, SIGTERM, or the end of the terminal.
async fn asked_to_stop() -> Result<(), Failure> {
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    say("\nStopping.");
    Ok(())
}
