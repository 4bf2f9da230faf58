//! What is measured, and for how long.

mod balance;
mod booking;
mod charges;
mod durability;
mod export;
mod ledger;
mod lists;
mod memory;
mod mirror;
mod sign_in;
mod start;
mod usage;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::ValueEnum;

use crate::database::Kind;
use crate::report::{Line, Report};
use crate::server::Programs;
use crate::{Failure, Run};

/// Connections of every load.
const CONNECTIONS: usize = 16;

/// A group of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Measure {
    /// Signed GET /balance against a bare hyper server
    #[value(alias = "1")]
    Balance,
    /// Signed POST /accounting against plain transactions
    #[value(alias = "2")]
    Booking,
    /// Mirroring users against multi-row inserts, and its memory
    #[value(alias = "3")]
    Mirror,
    /// Resident memory, idle and after many requests
    #[value(alias = "4")]
    Memory,
    /// From the start of the process to ready
    #[value(alias = "5")]
    Start,
    /// The ledger with a million records in it: balances, charges, batches, lists, the export, memory
    #[value(alias = "6")]
    Ledger,
    /// Users: their requests and refreshes, and what logins cost in memory and give away by their time
    #[value(alias = "7")]
    SignIn,
    /// Usage and quotas with a million usage records: records, checks, what others notice, sums, lists, the export, memory
    #[value(alias = "8")]
    Usage,
}

impl Measure {
    /// On what it is measured, one after another. One of them: it chooses by itself.
    pub const fn kinds(self) -> &'static [Kind] {
        match self {
            Self::Ledger => &Kind::ALL,
            Self::Usage => &Kind::ROOTLESS,
            _ => &[Kind::Sqlite],
        }
    }
}

/// How much to measure.
struct Effort {
    rounds: usize,
    round: Duration,
    users: usize,
    requests: usize,
    starts: usize,
    records: usize,
    usage_records: usize,
    customers: usize,
    logins: usize,
}

impl Effort {
    fn of(quick: bool) -> Self {
        if quick {
            // A debug build on SQLite has to be through with the ledger in well under a minute.
            let round = Duration::from_millis(300);
            Self {
                rounds: 3,
                round,
                users: 10_000,
                requests: 50_000,
                starts: 3,
                records: 20_000,
                usage_records: 5000,
                customers: 200,
                logins: 50,
            }
        } else {
            let round = Duration::from_secs(5);
            Self {
                rounds: 5,
                round,
                users: 100_000,
                requests: 1_000_000,
                starts: 10,
                records: 1_000_000,
                usage_records: 1_000_000,
                customers: 10_000,
                logins: 2000,
            }
        }
    }
}

/// Measures what is asked for, prints it and writes it down.
pub fn run(args: &Run) -> Result<(), Failure> {
    let folder = match &args.bin {
        Some(folder) => folder.clone(),
        None => std::env::current_exe()?.parent().map(PathBuf::from).unwrap_or_default(),
    };
    // Children run elsewhere.
    let programs = Programs { folder: fs::canonicalize(folder)? };
    let mut effort = Effort::of(args.quick);
    effort.records = args.records.unwrap_or(effort.records);
    effort.usage_records = args.records.unwrap_or(effort.usage_records);
    let cores = std::thread::available_parallelism()?.get();
    let mut report = Report { cores, load_shares_cores: true, quick: args.quick, lines: Vec::new() };
    fs::create_dir_all(&args.out)?;
    let asked = |measure: &&Measure| args.only.is_empty() || args.only.contains(measure);
    for (measure, kind) in
        Measure::value_variants().iter().filter(asked).flat_map(|measure| args.parts(*measure))
    {
        let started = Instant::now();
        let lines = match measure {
            Measure::Balance => balance::measure(&programs, &effort),
            Measure::Booking => booking::measure(&programs, &effort),
            Measure::Mirror => mirror::measure(&programs, &effort),
            Measure::Memory => memory::measure(&programs, &effort),
            Measure::Start => start::measure(&programs, &effort),
            Measure::Ledger => ledger::measure(&programs, &effort, kind),
            Measure::SignIn => sign_in::measure(&programs, &effort),
            Measure::Usage => usage::measure(&programs, &effort, kind),
        };
        let name = if measure.kinds().len() > 1 { kind.name() } else { "" };
        let lines: Vec<Line> = lines.map_err(|error| format!("{measure:?} {name}: {error}"))?;
        eprintln!("measured {measure:?} {name} in {:.0} s", started.elapsed().as_secs_f64());
        report.lines.extend(lines);
        // After each, so that what was measured stays if a later one fails.
        fs::write(args.out.join("results.json"), serde_json::to_string_pretty(&report)? + "\n")?;
        fs::write(args.out.join("results.md"), report.markdown()?)?;
    }
    println!("{}", report.markdown()?);
    Ok(())
}

/// For figures of memory.
#[expect(clippy::cast_precision_loss, reason = "bytes of memory are far below 2^52")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}

/// A figure without rounds is a mistake of this program.
fn no_rounds() -> Failure {
    "no round was run".into()
}
