use sageapi_contract::ExitCode;
use sageapi_runtime::command;
use serde::Serialize;

use super::PROGRAM;
use super::args::Format;
use super::failure::Failure;
use super::progress::Progress;

/// Where results go, and in which form.
#[derive(Debug, Clone, Copy)]
pub struct Output {
    format: Format,
    quiet: bool,
}

impl Output {
    pub fn new(format: Format, quiet: bool) -> Self {
        Self { format, quiet }
    }

    /// A line that shows how far long work is.
    pub fn progress(self, what: &'static str) -> Progress {
        Progress::new(what, self.quiet)
    }

    /// Prints a result: as JSON, or in the words of `text`.
    pub fn result<T: Serialize>(
        &self,
        value: &T,
        text: impl FnOnce(&T) -> String,
    ) -> Result<ExitCode, Failure> {
        let line = match self.format {
            Format::Text => text(value),
            Format::Json => serde_json::to_string(value).map_err(|e| Failure::internal(e.to_string()))?,
        };
        self.text(&line)
    }

    /// Prints text as it is, whatever the format.
    #[expect(clippy::unused_self, reason = "results go through the one Output, whatever their form")]
    pub fn text(&self, text: &str) -> Result<ExitCode, Failure> {
        let end = if text.ends_with('\n') { "" } else { "\n" };
        command::print(&format!("{text}{end}")).map_err(|e| Failure::internal(format!("stdout: {e}")))?;
        Ok(ExitCode::Done)
    }

    pub fn is_json(self) -> bool {
        self.format == Format::Json
    }

    pub fn version(&self) -> Result<ExitCode, Failure> {
        #[derive(Serialize)]
        struct Version {
            version: &'static str,
        }
        self.result(&Version { version: env!("CARGO_PKG_VERSION") }, |v| format!("{PROGRAM} {}", v.version))
    }
}
