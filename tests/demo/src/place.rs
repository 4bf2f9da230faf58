//! Where the demo keeps its files, where its programs are, and which ports it takes.

use std::fs::{File, OpenOptions, TryLockError};
use std::net::{Ipv4Addr, TcpListener};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sageapi_contract::{ADMIN_PORT, HTTP_PORT};

use crate::Failure;
use crate::show::say;

/// Port of the simulated platform's feed.
const FEED_PORT: u16 = 7080;
/// Port on which the simulated platform takes commands.
const CONTROL_PORT: u16 = 7081;
/// How many ports are tried, from the usual one upwards.
const TRIES: u16 = 100;

/// The demo's surroundings.
pub struct Place {
    /// The folder of everything that is written.
    pub folder: PathBuf,
    /// What the database begins with.
    pub seed: PathBuf,
    /// The program `sageapi-server`.
    pub server: PathBuf,
    /// The program `sageapi-upstream-sim`.
    pub simulator: PathBuf,
    /// Port of the REST API.
    pub http: u16,
    /// Port of probes, metrics and health.
    pub admin: u16,
    /// Port of the simulated platform's feed.
    pub feed: u16,
    /// Port on which the simulated platform takes commands.
    pub control: u16,
    /// Held while the demo runs: two in one folder would be in each other's way.
    _lock: File,
}

impl Place {
    /// Makes the folder, finds the programs beside this one, and chooses ports.
    pub fn prepare(folder: &Path, seed: &Path) -> Result<Self, Failure> {
        if !seed.exists() {
            return Err(
                format!("{} is not here: run this at the root of the repository", seed.display()).into()
            );
        }
        std::fs::create_dir_all(folder).map_err(|e| format!("{}: {e}", folder.display()))?;
        let lock = lock(folder)?;
        let mut taken = Vec::new();
        let mut port = |what, usual| choose(what, usual, &mut taken);
        let (http, admin) = (port("the REST API", HTTP_PORT)?, port("probes and metrics", ADMIN_PORT)?);
        let (feed, control) = (
            port("the simulated platform", FEED_PORT)?,
            port("the simulated platform's commands", CONTROL_PORT)?,
        );
        Ok(Self {
            folder: folder.to_owned(),
            seed: seed.to_owned(),
            server: beside_us("sageapi-server")?,
            simulator: beside_us("sageapi-upstream-sim")?,
            http,
            admin,
            feed,
            control,
            _lock: lock,
        })
    }

    /// A file of the folder.
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// An address of the REST API.
    pub fn api(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/api/v1{path}", self.http)
    }

    /// An address of the port of probes, metrics and health.
    pub fn admin(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.admin)
    }

    /// An address of the simulated platform's commands.
    pub fn control(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/control{path}", self.control)
    }
}

/// Writes a file that its owner alone may read; it is never there half-written.
pub fn write_private(path: &Path, text: &str) -> Result<(), Failure> {
    use std::io::Write as _;
    let failed = |e| format!("{}: {e}", path.display());
    let draft = path.with_extension("new");
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&draft)
        .map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&draft, path).map_err(failed)?;
    Ok(())
}

fn lock(folder: &Path) -> Result<File, Failure> {
    let path = folder.join("lock");
    let file = File::create(&path).map_err(|e| format!("{}: {e}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let folder = folder.display();
            Err(format!("another `make run` is up in {folder}/: end it with Ctrl-C in its terminal first")
                .into())
        }
        Err(TryLockError::Error(e)) => Err(format!("{}: {e}", path.display()).into()),
    }
}

/// The usual port, or the next one that nobody listens on.
fn choose(what: &str, usual: u16, taken: &mut Vec<u16>) -> Result<u16, Failure> {
    let free = |port: &u16| !taken.contains(port) && TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok();
    let port = (usual..usual.saturating_add(TRIES)).find(free);
    let port = port.ok_or_else(|| format!("no port is free for {what} from {usual} upwards"))?;
    if port != usual {
        say(&format!("Port {usual} is taken: {what} will listen on {port}."));
    }
    taken.push(port);
    Ok(port)
}

/// A program that cargo built into the folder of this one; relative to here if it can be.
fn beside_us(name: &str) -> Result<PathBuf, Failure> {
    let us = std::env::current_exe()?;
    let path = us.with_file_name(name);
    if !path.exists() {
        return Err(format!("{} is not there: build it with `cargo build -p {name}`", path.display()).into());
    }
    let here = std::env::current_dir()?;
    Ok(path.strip_prefix(&here).map_or_else(|_| path.clone(), Path::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_passed_over_and_none_is_chosen_twice() {
        let holder = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let usual = holder.local_addr().unwrap().port().min(u16::MAX - TRIES);
        let mut taken = Vec::new();
        let first = choose("one", usual, &mut taken).unwrap();
        let second = choose("another", usual, &mut taken).unwrap();
        assert_ne!(first, holder.local_addr().unwrap().port());
        assert_ne!(first, second);
    }

    #[test]
    fn secrets_are_readable_by_their_owner_alone() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.secret");
        std::fs::write(&path, "left by somebody").unwrap();
        write_private(&path, "new").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "new");
    }
}
