//! Where the build puts things.

use std::path::PathBuf;

use crate::error::{Error, Result};

/// The folder of the profile that this executable was built under, such as `target/debug`.
pub fn profile_folder() -> Result<PathBuf> {
    let exe = std::env::current_exe().map_err(Error::at("/proc/self/exe"))?;
    let parts: Vec<_> = exe.ancestors().collect();
    let in_deps = parts.get(1).and_then(|folder| folder.file_name()).is_some_and(|name| name == "deps");
    let folder = parts.get(if in_deps { 2 } else { 1 });
    folder.map(|folder| folder.to_path_buf()).ok_or_else(|| Error::Unexpected("no target folder".into()))
}

/// The target folder.
pub fn target_folder() -> Result<PathBuf> {
    let profile = profile_folder()?;
    Ok(profile.parent().unwrap_or(&profile).to_owned())
}
