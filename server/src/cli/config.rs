use sageapi_contract::ExitCode;

use super::args::Config as Command;
use super::failure::Failure;
use super::output::Output;
use crate::config::{self, Loaded};

pub fn run(
    command: &Command,
    load: impl FnOnce() -> Result<Loaded, Failure>,
    out: &Output,
) -> Result<ExitCode, Failure> {
    match command {
        Command::Docs => out.text(&config::docs()),
        Command::Schema => {
            let schema = serde_json::to_string_pretty(&config::schema());
            out.text(&schema.map_err(|e| Failure::internal(e.to_string()))?)
        }
        Command::Check => {
            let loaded = load()?;
            crate::env::check(&loaded.config)?;
            let file = loaded.file.as_ref().map(|f| f.display().to_string());
            let json = serde_json::json!({"file": file, "warnings": &loaded.warnings});
            out.result(&json, |_| config::check_report(&loaded))
        }
        Command::Print => {
            let loaded = load()?;
            out.result(&config::values(&loaded), |_| config::print(&loaded))
        }
    }
}
