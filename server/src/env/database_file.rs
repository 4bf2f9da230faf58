//! The file of an embedded database, whatever name it is reached by: links, mounts and relative paths.

use std::collections::BTreeMap;
use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::error::OpenError;

/// A command holds the lock for an instant to learn whether a server does, so one refusal may be chance.
const ATTEMPTS: u32 = 25;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(20);

/// The descriptors of this process. SQLite locks the file by fcntl(2), and closing any descriptor of a file drops
/// every such lock that the process has on it: there is one for each file, and it is closed after SQLite's own.
static OPEN: Mutex<BTreeMap<Identity, Weak<Descriptor>>> = Mutex::new(BTreeMap::new());

/// A file system, and a file of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    device: u64,
    inode: u64,
}

impl From<&Metadata> for Identity {
    fn from(metadata: &Metadata) -> Self {
        Self { device: metadata.dev(), inode: metadata.ino() }
    }
}

struct Descriptor {
    file: File,
    /// Whether an instance of this process serves the file: flock(2) does not lock out the descriptor that has it.
    served: Mutex<bool>,
}

/// An embedded database's file, open for as long as this lives.
pub(super) struct DatabaseFile {
    path: PathBuf,
    named: PathBuf,
    empty: bool,
    descriptor: Arc<Descriptor>,
    served: Option<Served>,
}

/// Frees the database for the next server. The system does the same when the process ends, however it ends.
struct Served {
    descriptor: Arc<Descriptor>,
    _beside: File,
}

impl Drop for Served {
    fn drop(&mut self) {
        *self.descriptor.served.lock().unwrap_or_else(PoisonError::into_inner) = false;
        // It fails only for a descriptor that is not open.
        let _unlocked = self.descriptor.file.unlock();
    }
}

impl DatabaseFile {
    /// Opens the file, which is made where there is none.
    pub fn open_or_make(named: &Path) -> Result<Self, OpenError> {
        if let Some(folder) = named.parent().filter(|f| !f.as_os_str().is_empty()) {
            std::fs::create_dir_all(folder).map_err(failed(folder))?;
        }
        // The rights that SQLite gives a file it makes.
        Self::open_with(named, OpenOptions::new().read(true).write(true).create(true).mode(0o644))
    }

    /// Opens the file of a database that is there. A mistyped path must not become an empty database.
    pub fn open(named: &Path) -> Result<Self, OpenError> {
        match Self::open_with(named, OpenOptions::new().read(true)) {
            Ok(file) if file.empty => Err(OpenError::NoDatabase(named.to_owned())),
            Err(OpenError::File { error, .. }) if error.kind() == ErrorKind::NotFound => {
                Err(OpenError::NoDatabase(named.to_owned()))
            }
            result => result,
        }
    }

    fn open_with(named: &Path, how: &OpenOptions) -> Result<Self, OpenError> {
        let mut open = OPEN.lock().unwrap_or_else(PoisonError::into_inner);
        let there = std::fs::metadata(named).ok();
        // To open a pipe is to wait for its other end.
        if there.as_ref().is_some_and(|metadata| !metadata.is_file()) {
            return Err(failed(named)(io::Error::other("it is not a regular file")));
        }
        let known = there.and_then(|metadata| open.get(&Identity::from(&metadata)).and_then(Weak::upgrade));
        let descriptor = match known {
            Some(descriptor) => descriptor,
            None => Arc::new(Descriptor {
                file: how.open(named).map_err(failed(named))?,
                served: Mutex::new(false),
            }),
        };
        let metadata = descriptor.file.metadata().map_err(failed(named))?;
        open.retain(|_, descriptor| descriptor.strong_count() > 0);
        open.insert(Identity::from(&metadata), Arc::downgrade(&descriptor));
        // SQLite keeps its log beside the file that a symbolic link leads to, and so is all else found there.
        let path = named.canonicalize().map_err(failed(named))?;
        Ok(Self { path, named: named.to_owned(), empty: metadata.len() == 0, descriptor, served: None })
    }

    /// The file without links in its path.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether nothing was ever stored in it.
    pub fn is_empty(&self) -> bool {
        self.empty
    }

    /// Where the encryption key may be: beside the name that was given, and beside the file itself.
    pub fn key_files(&self) -> [PathBuf; 2] {
        [beside(&self.named, ".key"), beside(&self.path, ".key")]
    }

    /// Locks out every other server, by the file itself and not by a name of it. The file `.lock` beside it shows
    /// which name it is served under, and is the only lock that earlier releases know.
    pub fn serve(&mut self) -> Result<(), OpenError> {
        let locked = || OpenError::Locked(self.named.clone());
        let mut served = self.descriptor.served.lock().unwrap_or_else(PoisonError::into_inner);
        if *served || !retry_for_a_moment(|| try_lock(&self.descriptor.file)).map_err(failed(&self.path))? {
            return Err(locked());
        }
        let path = beside(&self.path, ".lock");
        let lock = || {
            let open = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
            let beside = open.map_err(failed(&path))?;
            let free = retry_for_a_moment(|| try_lock(&beside)).map_err(failed(&path))?;
            if free { Ok(beside) } else { Err(locked()) }
        };
        match lock() {
            Ok(beside) => {
                *served = true;
                drop(served);
                self.served = Some(Served { descriptor: self.descriptor.clone(), _beside: beside });
                Ok(())
            }
            Err(error) => {
                let _unlocked = self.descriptor.file.unlock();
                Err(error)
            }
        }
    }

    /// Refuses a file that is being served under another name, which must be a hard link or the mount of a single
    /// file: SQLite's log is beside that name, and who looks for it beside this one destroys the database.
    pub fn demand_same_name_as_server(&self) -> Result<(), OpenError> {
        // Kept meanwhile: to look at the lock is to give it up where this process has it.
        let served = self.descriptor.served.lock().unwrap_or_else(PoisonError::into_inner);
        if *served {
            return Ok(());
        }
        let path = beside(&self.path, ".lock");
        let same = retry_for_a_moment(|| {
            if is_free(&self.descriptor.file)? {
                return Ok(true);
            }
            match File::open(&path) {
                Ok(lock) => is_free(&lock).map(|free| !free),
                Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
                Err(error) => Err(error),
            }
        });
        if same.map_err(failed(&path))? { Ok(()) } else { Err(OpenError::OtherName(self.named.clone())) }
    }

    /// How many names the file has: links that are not symbolic.
    pub fn names(&self) -> u64 {
        self.descriptor.file.metadata().map_or(1, |metadata| metadata.nlink())
    }
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

fn failed(path: &Path) -> impl Fn(io::Error) -> OpenError + '_ {
    |error| OpenError::File { path: path.to_owned(), error }
}

fn try_lock(file: &File) -> io::Result<bool> {
    match file.try_lock() {
        Ok(()) => Ok(true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn is_free(file: &File) -> io::Result<bool> {
    match file.try_lock_shared() {
        Ok(()) => file.unlock().map(|()| true),
        Err(TryLockError::WouldBlock) => Ok(false),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

fn retry_for_a_moment(mut attempt: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
    for _ in 1..ATTEMPTS {
        if attempt()? {
            return Ok(true);
        }
        std::thread::sleep(BETWEEN_ATTEMPTS);
    }
    attempt()
}
