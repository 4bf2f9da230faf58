//! Programs that are not ours: interpreters and compilers of other languages.

use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

/// A compiler may have to run first.
const DONE_WITHIN: Duration = Duration::from_mins(5);

/// Runs a program to its end and gives what it printed. One that is not there fails the test, naming the package that
/// brings it.
pub async fn run(command: &mut Command, package: &str) -> String {
    let what = format!("{:?}", command.as_std());
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output();
    let output = tokio::time::timeout(DONE_WITHIN, output).await;
    let output = output.unwrap_or_else(|_| panic!("{what} did not end within {DONE_WITHIN:?}"));
    let output =
        output.unwrap_or_else(|e| panic!("{what}: {e}; install it with: apt-get install -y {package}"));
    assert!(output.status.success(), "{what}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("it prints UTF-8")
}
