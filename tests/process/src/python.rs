//! Python packages for tests.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::process::Command;

/// Packages may have to be downloaded.
const INSTALLED_WITHIN: Duration = Duration::from_mins(5);

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

async fn step(command: &mut Command, advice: &str) {
    let what = format!("{command:?}");
    let output = tokio::time::timeout(INSTALLED_WITHIN, command.kill_on_drop(true).output()).await;
    let output =
        output.unwrap_or_else(|_| panic!("{what} did not end within {INSTALLED_WITHIN:?}; {advice}"));
    let output = output.unwrap_or_else(|e| panic!("{what}: {e}; {advice}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{what} failed; {advice}\n{}", String::from_utf8_lossy(&said));
}
