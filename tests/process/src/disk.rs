//! A small disk to fill up.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::process::Command;

use tempfile::TempDir;

fn is_root() -> bool {
    // The owner of what this process may see of itself is who it runs as.
    std::fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// A small disk of its own; needs root.
#[derive(Debug)]
pub struct Disk {
    mount: PathBuf,
}

impl Disk {
    /// So many megabytes. `None`, and said, where this process may not mount.
    pub fn mount(megabytes: usize) -> Option<Self> {
        let mount = TempDir::with_prefix("sageapi-disk-").unwrap().keep();
        let options = format!("size={megabytes}m");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(&mount).output();
        if mounted.as_ref().is_ok_and(|output| output.status.success()) {
            return Some(Self { mount });
        }
        let _ = std::fs::remove_dir(mount);
        let in_ci = std::env::var("CI").is_ok_and(|ci| ci == "true");
        assert!(!(in_ci && is_root()), "no small disk can be mounted to fill it up: {mounted:?}");
        // What is not tried must be said; what a test prints otherwise is shown only when it fails.
        let said = b"NO DISK IS FILLED UP, because a small one cannot be mounted; run it as root\n";
        let _ = std::io::stderr().write_all(said);
        None
    }

    /// A folder on it.
    pub fn folder(&self) -> TempDir {
        TempDir::new_in(&self.mount).unwrap()
    }

    fn ballast(&self) -> PathBuf {
        self.mount.join("ballast")
    }

    /// Fills it up to the last byte.
    pub fn fill(&self) {
        let mut file = std::fs::File::create(self.ballast()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![7; size]).is_ok() {}
        }
    }

    /// Makes the room that [`Self::fill`] took.
    pub fn free(&self) {
        std::fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.mount).status();
        let _ = std::fs::remove_dir(&self.mount);
    }
}
