//! Where the build puts things.

use std::path::{Path, PathBuf};

/// The root of the workspace.
pub fn workspace() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().and_then(Path::parent).expect("this crate is two folders below the root").to_owned()
}

/// The folder of the profile that this executable was built under, such as `target/debug`.
pub fn profile_folder() -> PathBuf {
    let exe = std::env::current_exe().expect("the system tells the path of an executable");
    let folder = exe.parent().expect("an executable is in a folder");
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("deps" | "examples") => folder.parent().expect("deps is in the profile's folder").to_owned(),
        _ => folder.to_owned(),
    }
}

/// The target folder.
pub fn target_folder() -> PathBuf {
    profile_folder().parent().expect("a profile is in the target folder").to_owned()
}
