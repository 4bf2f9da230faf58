//! Go, and how far its compiler has got.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use super::{FOLDER_VARIABLE, KUBERNETES};
use crate::commands;
use crate::error::{Error, Result};

/// The release of Go that the newest of the modules asks for.
const RELEASE: (u32, u32) = (1, 26);
/// How often it is said how far a build is.
const REPORT_INTERVAL: Duration = Duration::from_secs(10);
/// Lines kept of what a build says besides the names of packages.
const LINES: usize = 40;

/// A go that is new enough.
pub struct Go(PathBuf);

impl Go {
    /// On the PATH, or where its installer puts it.
    pub fn find() -> Result<Self> {
        let (major, minor) = RELEASE;
        let advice = format!(
            "install Go {major}.{minor} or newer from https://go.dev/dl, or set {FOLDER_VARIABLE} to a folder with the programs of Kubernetes {KUBERNETES}"
        );
        let Some(go) = commands::find("go", &["/usr/local/go/bin"]) else {
            return Err(Error::Missing(format!("go is missing; {advice}")));
        };
        let said = commands::run(Command::new(&go).args(["env", "GOVERSION"]))?;
        match release(&said) {
            Some(release) if release >= RELEASE => Ok(Self(go)),
            _ => Err(Error::Missing(format!("{} is {}, too old; {advice}", go.display(), said.trim()))),
        }
    }

    /// The program.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Runs a build that names each package as it is compiled (`-v`), and says from time to time how far it is.
    #[expect(clippy::disallowed_methods, reason = "people want to know how long it takes")]
    pub fn run(&self, command: &mut Command, packages: &[String]) -> Result<()> {
        let started = Instant::now();
        let total = self.count(command, packages);
        let shown = commands::shown(command);
        let program = self.0.display().to_string();
        let start = |cause| Error::Start { program: program.clone(), cause };
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(start)?;
        let mut progress = Progress::default();
        let mut said_at = started;
        // Read beside: while Go links, it says nothing for long.
        let (sender, lines) = mpsc::sync_channel(64);
        let stderr = child.stderr.take();
        let reader = std::thread::spawn(move || {
            let lines = stderr.into_iter().flat_map(|stderr| BufReader::new(stderr).lines());
            lines.map_while(std::result::Result::ok).try_for_each(|line| sender.send(line))
        });
        loop {
            match lines.recv_timeout(REPORT_INTERVAL) {
                Ok(line) => progress.take(&line),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
            if said_at.elapsed() >= REPORT_INTERVAL {
                said_at = Instant::now();
                eprintln!("    {}, {} s", progress.say(total), started.elapsed().as_secs());
            }
        }
        let _ended = reader.join();
        let status = child.wait().map_err(start)?;
        if !status.success() {
            let said = format!("{status}: {}", progress.other.join("\n"));
            return Err(Error::Command { command: shown, said });
        }
        eprintln!("    done, {} s", started.elapsed().as_secs());
        Ok(())
    }

    /// How many packages there are to compile, those that Go has compiled before included.
    fn count(&self, build: &Command, packages: &[String]) -> Option<usize> {
        // Of a release nothing is known before it is downloaded.
        let released = packages.iter().any(|package| package.contains('@'));
        let folder = build.get_current_dir().filter(|_| !released)?;
        let mut list = Command::new(&self.0);
        list.current_dir(folder).env("CGO_ENABLED", "0").args(["list", "-deps"]).args(packages);
        commands::run(&mut list).ok().map(|list| list.lines().count())
    }
}

/// What a build has said so far.
#[derive(Debug, Default)]
struct Progress {
    compiled: usize,
    downloaded: usize,
    other: Vec<String>,
}

impl Progress {
    fn take(&mut self, line: &str) {
        if line.starts_with("go: downloading ") {
            self.downloaded += 1;
        } else if line.contains(char::is_whitespace) || line.is_empty() {
            self.other.push(line.to_owned());
            self.other.drain(..self.other.len().saturating_sub(LINES));
        } else {
            self.compiled += 1;
        }
    }

    fn say(&self, total: Option<usize>) -> String {
        match (self.compiled, total) {
            (0, _) if self.downloaded == 0 => "getting ready".to_owned(),
            (0, _) => format!("{} modules downloaded", self.downloaded),
            (compiled, Some(total)) => format!("{compiled} of at most {total} packages compiled"),
            (compiled, None) => format!("{compiled} packages compiled"),
        }
    }
}

/// `go1.26.8` is (1, 26).
fn release(said: &str) -> Option<(u32, u32)> {
    let mut fields = said.trim().strip_prefix("go")?.split(['.', '-', ' ']);
    let major = fields.next()?.parse().ok()?;
    let minor: String = fields.next()?.chars().take_while(char::is_ascii_digit).collect();
    Some((major, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_release_of_go_is_read_from_what_it_says() {
        assert_eq!(release("go1.26.8\n"), Some((1, 26)));
        assert_eq!(release("go1.27rc1"), Some((1, 27)));
        assert_eq!(release("devel"), None);
        assert!(release("go1.9") < Some(RELEASE));
    }

    #[test]
    fn packages_are_counted_and_what_else_is_said_is_kept() {
        let mut progress = Progress::default();
        progress.take("go: downloading k8s.io/api v0.34.4");
        assert_eq!(progress.say(Some(9)), "1 modules downloaded");
        for line in ["internal/cpu", "k8s.io/api/core/v1", "# k8s.io/api/core/v1", "x.go:1:2: undefined: y"] {
            progress.take(line);
        }
        assert_eq!(progress.say(Some(9)), "2 of at most 9 packages compiled");
        assert_eq!(progress.other, ["# k8s.io/api/core/v1", "x.go:1:2: undefined: y"]);
    }
}
