//! A SQLite file that is reached by several names has one server, one log and one key.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "this is a test")]

use std::collections::BTreeSet;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use sageapi_process_tests::installation::Ended;
use sageapi_test_support::app::variables;
use sageapi_test_support::database::{Kind, TestDatabase, wanted};
use sageapi_test_support::server::{ServerBuilder, ServerProcess, run};

fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

/// A server whose key is beside its file.
fn server(path: &Path) -> ServerBuilder {
    ServerProcess::builder(&url(path)).without("SAGEAPI_AUTH_ENCRYPTION_KEY")
}

async fn command(path: &Path, key_beside: bool, args: &[&str]) -> Ended {
    let mut env = variables(&url(path));
    if key_beside {
        env.remove("SAGEAPI_AUTH_ENCRYPTION_KEY");
    }
    Ended::of(&run("sageapi-server", args, env).await)
}

/// A file or folder at a second place; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    /// None where this process may not mount.
    fn of(what: &Path, at: &Path) -> Option<Self> {
        let done = Command::new("mount").arg("--bind").args([what, at]).output();
        done.is_ok_and(|output| output.status.success()).then(|| Self(at.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// A folder with names of a database file: those that share its log, and those that do not.
struct Names {
    log_shared: Vec<PathBuf>,
    log_elsewhere: Vec<PathBuf>,
    _mounts: Vec<Mount>,
}

impl Names {
    fn of(file: &Path) -> Self {
        let folder = file.parent().unwrap();
        let other = folder.join("other");
        std::fs::create_dir(&other).unwrap();
        let name = file.file_name().unwrap();
        let (symbolic, folder_link) = (other.join("symbolic.db"), other.join("folder"));
        symlink(file, &symbolic).unwrap();
        symlink(folder, &folder_link).unwrap();
        let mut log_shared =
            vec![symbolic, folder_link.join(name), folder.join("other/.././other/..").join(name)];
        let hard = other.join("hard.db");
        std::fs::hard_link(file, &hard).unwrap();
        let mut log_elsewhere = vec![hard];
        let (mounted_folder, mounted_file) = (other.join("mounted"), other.join("mounted.db"));
        std::fs::create_dir(&mounted_folder).unwrap();
        std::fs::write(&mounted_file, "").unwrap();
        let mut mounts = Vec::new();
        if let Some(mount) = Mount::of(folder, &mounted_folder) {
            log_shared.push(mounted_folder.join(name));
            mounts.push(mount);
        }
        if let Some(mount) = Mount::of(file, &mounted_file) {
            log_elsewhere.push(mounted_file);
            mounts.push(mount);
        }
        Self { log_shared, log_elsewhere, _mounts: mounts }
    }

    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        self.log_shared.iter().chain(&self.log_elsewhere)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_servers_do_not_serve_one_file_by_whatever_names() {
    if !wanted(Kind::Sqlite) {
        return;
    }
    let place = TestDatabase::fresh(Kind::Sqlite).await;
    let file = place.folder().join("sage.db");
    assert_eq!(command(&file, false, &["migrate"]).await.code, 0);
    let names = Names::of(&file);
    for served in [&file, &names.log_shared[0], names.log_elsewhere.last().unwrap()] {
        let mut first = ServerProcess::builder(&url(served)).start().await;
        for other in std::iter::once(&file).chain(names.all()) {
            let second = command(other, false, &["serve"]).await;
            assert_eq!(second.code, 75, "{} beside {}: {second:?}", other.display(), served.display());
            assert!(second.stderr.contains("another serving process"), "{second:?}");
        }
        first.sigterm();
        assert_eq!(first.wait().await.code(), Some(0), "{}", served.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_beside_a_server_is_refused_by_a_name_under_which_the_log_would_be_another() {
    if !wanted(Kind::Sqlite) {
        return;
    }
    let place = TestDatabase::fresh(Kind::Sqlite).await;
    let file = place.folder().join("sage.db");
    assert_eq!(command(&file, false, &["migrate"]).await.code, 0);
    let names = Names::of(&file);
    let mut server = ServerProcess::builder(&url(&names.log_shared[0])).start().await;
    assert_eq!(command(&file, false, &["customer", "create", "org_a"]).await.code, 0);
    for name in &names.log_shared {
        let shown = command(name, false, &["customer", "show", "org_a"]).await;
        assert_eq!(shown.code, 0, "{}: {shown:?}", name.display());
    }
    for name in &names.log_elsewhere {
        for args in [&["customer", "show", "org_a"][..], &["migrate"], &["verify"]] {
            let ended = command(name, false, args).await;
            assert_eq!(ended.code, 64, "{}: {args:?}: {ended:?}", name.display());
            assert!(ended.stderr.contains("under another name"), "{ended:?}");
        }
    }
    server.sigterm();
    assert_eq!(server.wait().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_has_one_key_whatever_name_it_is_reached_by() {
    if !wanted(Kind::Sqlite) {
        return;
    }
    let place = TestDatabase::fresh(Kind::Sqlite).await;
    let file = place.folder().join("sage.db");
    assert_eq!(command(&file, true, &["migrate"]).await.code, 0);
    let names = Names::of(&file);
    for name in &names.log_shared {
        let created = command(name, true, &["key", "create", "--platform", "--scopes", "users:read"]).await;
        assert_eq!(created.code, 0, "{}: {created:?}", name.display());
        let mut served = server(name).start().await;
        served.sigterm();
        assert_eq!(served.wait().await.code(), Some(0), "{}", name.display());
    }
    for name in &names.log_elsewhere {
        for args in [&["serve"][..], &["migrate"], &["key", "list"]] {
            let ended = command(name, true, args).await;
            assert_eq!(ended.code, 64, "{}: {args:?}: {ended:?}", name.display());
            assert!(ended.stderr.contains("encryption key is not there"), "{ended:?}");
        }
    }
    let keys = Command::new("find").arg(place.folder()).args(["-name", "*.key", "-printf", "%i\\n"]).output();
    let keys = String::from_utf8(keys.unwrap().stdout).unwrap();
    assert_eq!(keys.lines().collect::<BTreeSet<_>>().len(), 1, "no second key");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_beside_a_link_is_found_as_earlier_releases_left_it() {
    if !wanted(Kind::Sqlite) {
        return;
    }
    let place = TestDatabase::fresh(Kind::Sqlite).await;
    let (file, link) = (place.folder().join("sage.db"), place.folder().join("link.db"));
    assert_eq!(command(&file, true, &["migrate"]).await.code, 0);
    symlink(&file, &link).unwrap();
    std::fs::rename(place.folder().join("sage.db.key"), place.folder().join("link.db.key")).unwrap();
    let mut served = server(&link).start().await;
    served.sigterm();
    assert_eq!(served.wait().await.code(), Some(0));
}
