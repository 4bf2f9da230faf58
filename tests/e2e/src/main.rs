//! SageAPI on a real Kubernetes node, from `helm install` to deletion.
//!
//! It runs within the network namespace of a node that `sageapi-test-cluster` brought up, beside a
//! MariaDB and a simulated platform, and knows the product as anybody does: a chart, manifests,
//! kubectl, HTTP.
#![expect(clippy::disallowed_methods, reason = "it measures how long things take")]
#![expect(clippy::print_stdout, reason = "it is a command for people")]

mod figures;
mod installation;
mod load;
mod scenario;
mod show;
mod steps;
mod surroundings;
mod waiting;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Why it cannot go on, in words.
type Failure = Box<dyn std::error::Error>;

/// SageAPI on a real Kubernetes node.
#[derive(Parser)]
#[command(name = "sageapi-e2e", version, max_term_width = 100)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Go through everything, and print what was measured
    Run {
        #[command(flatten)]
        surroundings: Surroundings,
        /// How long to watch an operator that has nothing to do, in seconds
        #[arg(long, default_value_t = 60, value_name = "SECONDS")]
        idle: u64,
    },
    /// Install operator and examples, and say how to use them
    Install {
        #[command(flatten)]
        surroundings: Surroundings,
    },
    /// Send some signed requests, as a pod of the cluster does
    Client {
        /// http://host:port
        #[arg(long)]
        base: String,
        /// The key's id
        #[arg(long)]
        key: String,
        /// The key's secret
        #[arg(long, env = "SECRET", hide_env_values = true)]
        secret: String,
    },
}

#[derive(clap::Args)]
struct Surroundings {
    /// Name of the node, which is up
    #[arg(long)]
    node: String,
    /// Where sageapi-upstream-sim is [default: beside this program]
    #[arg(long)]
    programs: Option<PathBuf>,
    /// Where the images are
    #[arg(long, default_value = "target/images")]
    images: PathBuf,
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Run { surroundings, idle } => scenario::run(&surroundings, idle),
        Command::Install { surroundings } => show::install(&surroundings).map(|()| true),
        Command::Client { base, key, secret } => load::client(&base, &key, &secret).map(|()| true),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(failure) => {
            eprintln!("sageapi-e2e: {failure}");
            ExitCode::FAILURE
        }
    }
}
