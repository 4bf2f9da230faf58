//! What the command lines of all programs do alike.

use std::ffi::OsString;
use std::io::{self, ErrorKind, Write as _};

use clap::error::ErrorKind as ClapErrorKind;
use clap::{CommandFactory, Parser};
use clap_complete::Shell;
use sageapi_contract::ExitCode;

/// Parses the command line. Otherwise the help, the version or the usage error has been printed, and the process ends
/// with the code.
///
/// # Errors
/// The exit code.
pub fn parse<A: Parser>(args: impl IntoIterator<Item = OsString>) -> Result<A, ExitCode> {
    A::try_parse_from(args).map_err(|error| {
        // Failing to print it does not change how the command ends.
        let _ = error.print();
        match error.kind() {
            ClapErrorKind::DisplayHelp | ClapErrorKind::DisplayVersion => ExitCode::Done,
            _ => ExitCode::Usage,
        }
    })
}

/// The completion script of a program for a shell.
pub fn completion<A: CommandFactory>(program: &str, shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut A::command(), program, &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

/// Prints a result on stdout. A reader that closes the pipe early, like `head`, is not an error.
///
/// # Errors
/// Those of the operating system.
pub fn print(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => Err(error),
        _ => Ok(()),
    }
}

/// Prints an error on stderr, after the name of the program.
pub fn print_error(program: &str, error: &dyn std::fmt::Display) {
    let _ = writeln!(io::stderr(), "{program}: {error}");
}

/// Runs the work of a command on all cores.
///
/// # Errors
/// Those of the operating system, before the work begins.
pub fn block_on<F: Future>(work: F) -> io::Result<F::Output> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?.block_on(work))
}

/// The name of this host, empty if unknown.
pub fn host_name() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default().trim().to_owned()
}
