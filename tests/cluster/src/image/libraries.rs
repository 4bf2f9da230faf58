//! What a program is linked to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::commands;
use crate::error::{Error, Result};

/// What the C library opens by name when it looks up a host.
const OPENED_BY_NAME: [&str; 2] = ["libnss_dns.so.2", "libnss_files.so.2"];

/// The shared libraries that a program needs, as `ldd` names them; none for a static one.
pub fn of(binary: &Path) -> Result<BTreeSet<PathBuf>> {
    if !binary.exists() {
        return Err(Error::Missing(format!("{} is missing; build it first", binary.display())));
    }
    let output = commands::output(Command::new("ldd").arg(binary))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || said.contains("statically linked") {
        let complaint = String::from_utf8_lossy(&output.stderr);
        // That is how ldd greets a static program.
        if said.contains("statically linked") || complaint.contains("not a dynamic executable") {
            return Ok(BTreeSet::new());
        }
        return Err(Error::Unexpected(format!("ldd {}: {}", binary.display(), complaint.trim())));
    }
    let mut libraries = BTreeSet::new();
    for line in said.lines() {
        libraries.extend(named(line)?);
    }
    let beside =
        |name| libraries.iter().find(|path| path.ends_with("libc.so.6")).map(|c| c.with_file_name(name));
    let opened: Vec<_> = OPENED_BY_NAME.into_iter().filter_map(beside).filter(|path| path.exists()).collect();
    libraries.extend(opened);
    Ok(libraries)
}

/// The path in one line of ldd's; the kernel's own library has none.
fn named(line: &str) -> Result<Option<PathBuf>> {
    let line = line.trim();
    let (name, path) = line.split_once(" => ").unwrap_or(("", line));
    if path.starts_with("not found") {
        return Err(Error::Missing(format!("the shared library {name} is missing")));
    }
    Ok(path.split_whitespace().next().filter(|path| path.starts_with('/')).map(PathBuf::from))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ldd_names_libraries_by_their_paths() {
        let path = |line| named(line).unwrap().map(|path| path.display().to_string());
        assert_eq!(path("\tlinux-vdso.so.1 (0x00007ffc)"), None);
        assert_eq!(path("\tlibm.so.6 => /lib/x/libm.so.6 (0x00007f)").as_deref(), Some("/lib/x/libm.so.6"));
        assert_eq!(path("\t/lib64/ld-linux.so.2 (0x00007f)").as_deref(), Some("/lib64/ld-linux.so.2"));
    }

    #[test]
    fn a_library_that_is_not_there_is_named() {
        let why = named("\tlibgone.so.1 => not found").unwrap_err();
        assert!(why.to_string().contains("libgone.so.1"));
    }
}
