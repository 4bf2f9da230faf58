//! Benchmarks: SageAPI's server, as a process built for release, against the bare components that it is made of, in
//! the same run on the same machine. `make bench` builds and runs it.

#![expect(clippy::disallowed_methods, reason = "a benchmark reads the clock")]
#![expect(clippy::print_stdout, reason = "its results are what this program is for")]

mod bare;
mod child;
mod chunked;
mod database;
mod generator;
mod ids;
mod machine;
mod measures;
mod outcome;
mod raw;
mod report;
mod request;
mod server;
mod stat;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use self::database::Kind;
use self::measures::Measure;

#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// What a benchmark ends with when it cannot measure.
type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Benchmarks of SageAPI.
#[derive(Parser)]
#[command(name = "sageapi-load", version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure everything, print it, and write results.json and results.md
    Run(Run),
    /// The bare server that the API is compared with: a constant body and nothing else
    Bare {
        /// Where it listens
        #[arg(long)]
        listen: SocketAddr,
        /// How large its answers' bodies are
        #[arg(long)]
        bytes: usize,
    },
}

/// What to measure, and how long.
#[derive(clap::Args)]
pub struct Run {
    /// Short rounds: whether it works, not how fast it is
    #[arg(long)]
    quick: bool,
    /// Measure these only; can be repeated
    #[arg(long, value_enum, value_name = "MEASURE")]
    only: Vec<Measure>,
    /// Measure the ledger, and usage, on these only [default: all for the ledger, sqlite and mariadb for usage]; MySQL takes
    /// root, and debootstrap the first time
    #[arg(long, value_enum, value_name = "DATABASE")]
    on: Vec<Kind>,
    /// Records that the ledger has, and usage records [default: 1000000, or a few thousand with --quick]
    #[arg(long, value_name = "COUNT")]
    records: Option<usize>,
    /// Where the results go
    #[arg(long, default_value = "target/bench", value_name = "FOLDER")]
    out: PathBuf,
    /// Where sageapi-server and sageapi-upstream-sim are [default: beside this program]
    #[arg(long, value_name = "FOLDER")]
    bin: Option<PathBuf>,
}

impl Run {
    /// What is measured and written down at a time: the ledger and usage on one database after another, all else once.
    fn parts(&self, measure: Measure) -> Vec<(Measure, Kind)> {
        let kinds = measure.kinds();
        let on = if self.on.is_empty() || kinds.len() == 1 { kinds } else { &self.on };
        on.iter().map(|kind| (measure, *kind)).collect()
    }
}

fn main() -> ExitCode {
    let done = match Args::parse().command {
        Command::Run(run) => measures::run(&run),
        Command::Bare { listen, bytes } => bare::serve(listen, bytes),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sageapi-load: {error}");
            ExitCode::FAILURE
        }
    }
}
