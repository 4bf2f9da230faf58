//! Commands that run to their end.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use crate::error::{Error, Result};

/// So much of what a failed command printed is passed on.
const TOLD: usize = 2000;

/// Runs a command; what it printed to standard output.
pub fn run(command: &mut Command) -> Result<String> {
    let output = output(command)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failure(command, &output))
}

/// Runs a command that reads `input`; what it printed to standard output.
pub fn run_with(command: &mut Command, input: &str) -> Result<String> {
    let program = command.get_program().to_string_lossy().into_owned();
    let start = |cause| Error::Start { program: program.clone(), cause };
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map_err(start)?;
    if let Some(mut stdin) = child.stdin.take() {
        // A command that has ended already says why by itself.
        let _ = stdin.write_all(input.as_bytes());
    }
    let output = child.wait_with_output().map_err(start)?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    Err(failure(command, &output))
}

/// Runs a command that may fail.
pub fn output(command: &mut Command) -> Result<Output> {
    let program = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).output().map_err(|cause| Error::Start { program, cause })
}

/// The error of a command that failed.
pub fn failure(command: &Command, output: &Output) -> Error {
    let said = if output.stderr.trim_ascii().is_empty() { &output.stdout } else { &output.stderr };
    Error::Command { command: shown(command), said: format!("{}: {}", output.status, end_of(said)) }
}

/// The command as one would write it.
pub fn shown(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy().into_owned()];
    words.extend(command.get_args().map(|arg| arg.to_string_lossy().into_owned()));
    words.join(" ")
}

/// The last part of a text.
pub fn end_of(text: &[u8]) -> String {
    let text = text.trim_ascii();
    String::from_utf8_lossy(&text[text.len().saturating_sub(TOLD)..]).into_owned()
}

/// A program on the PATH, or in one of these folders, or where only root looks.
pub fn find(program: &str, besides: &[&str]) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let places = std::env::split_paths(&path).chain(besides.iter().chain(&usual).map(PathBuf::from));
    places.map(|place| place.join(program)).find(|path| path.is_file())
}
