//! Python packages for tests.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

/// Packages may have to be downloaded.
const INSTALLED_WITHIN: Duration = Duration::from_mins(5);
/// A script does not run longer.
const ENDS_WITHIN: Duration = Duration::from_mins(2);

/// Python in an environment with the packages that a file of `tests/process/python` lists, made in `folder` on first
/// use.
pub async fn with(requirements: &str, folder: &Path) -> PathBuf {
    let requirements = Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(requirements);
    let text =
        std::fs::read_to_string(&requirements).unwrap_or_else(|e| panic!("{}: {e}", requirements.display()));
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    let folder = folder.join(format!("python-{:016x}", hasher.finish()));
    let (python, complete) = (folder.join("bin/python"), folder.join("complete"));
    if complete.is_file() {
        return python;
    }
    // A half-made one of an interrupted run is of no use.
    let _ = std::fs::remove_dir_all(&folder);
    step(
        Command::new("python3").args(["-m", "venv"]).arg(&folder),
        "install it with: apt-get install -y python3-venv",
    )
    .await;
    let mut pip = Command::new(&python);
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-input",
        "--requirement",
    ]);
    step(pip.arg(requirements), "it needs PyPI, or a mirror that pip is configured for").await;
    std::fs::write(complete, "").unwrap();
    python
}

/// Runs a script of `tests/process/python` with a task on its standard input; gives the JSON lines that it prints.
pub async fn run(python: &Path, script: &str, task: &Value) -> Vec<Value> {
    let mut command = Command::new(python);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("python").join(script));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(task.to_string().as_bytes()).await.unwrap();
    drop(stdin);
    let output = tokio::time::timeout(ENDS_WITHIN, child.wait_with_output()).await;
    let output = output.unwrap_or_else(|_| panic!("{script} runs longer than {ENDS_WITHIN:?}")).unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn step(command: &mut Command, advice: &str) {
    let what = format!("{command:?}");
    let output = tokio::time::timeout(INSTALLED_WITHIN, command.kill_on_drop(true).output()).await;
    let output =
        output.unwrap_or_else(|_| panic!("{what} did not end within {INSTALLED_WITHIN:?}; {advice}"));
    let output = output.unwrap_or_else(|e| panic!("{what}: {e}; {advice}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{what} failed; {advice}\n{}", String::from_utf8_lossy(&said));
}
