use clap::Subcommand;

#[derive(Debug, Subcommand)]
pub enum Usage {
    /// Delete usage records that were received, and happened, before a time
    ///
    /// The sums by day stay, and so do the charges. From then on usage that happened before the day after TIME is refused
    /// (event_too_old), since it could not be told apart from what was deleted; this cannot be taken back. TIME must be at
    /// least two days ago. Can run beside a live server: instances first get 20 seconds to hear of it. Stopped half-way, run
    /// it again. usage.retention deletes the same by itself.
    ///
    /// Example: sageapi-server usage purge --before 2027-01-01T00:00:00Z --dry-run
    Purge {
        /// Records strictly before this time, such as 2027-01-01T00:00:00Z
        #[arg(long, value_name = "TIME")]
        before: String,
        /// Only count what would be deleted; change nothing
        #[arg(long)]
        dry_run: bool,
    },
}
