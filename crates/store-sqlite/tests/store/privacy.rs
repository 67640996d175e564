//! Who may read the files of a ledger: the user that the service runs as, whatever the umask says.

use std::{
    fs::{self, Permissions},
    os::unix::fs::{MetadataExt, PermissionsExt, symlink},
    path::Path,
    process::Command,
};

use balance_store_sqlite::{SqliteOptions, SqliteStore};

use crate::teller::{accept, clock, deposit, money, open};

/// Set for the process that has a umask of its own.
const FOLDER: &str = "BALANCE_TEST_UMASK_FOLDER";

#[tokio::test]
async fn files_are_private_whatever_the_umask() {
    if let Some(folder) = folder_of_its_own() {
        return write_everything(Path::new(&folder)).await;
    }
    for umask in ["000", "022", "077", "277"] {
        let folder = tempfile::tempdir().unwrap();
        let status = Command::new("sh")
            .args(["-c", r#"umask "$1" && shift && exec "$@""#, "sh", umask])
            .arg(std::env::current_exe().unwrap())
            .args(["privacy::files_are_private_whatever_the_umask", "--exact"])
            .env(FOLDER, folder.path())
            .status()
            .unwrap();
        assert!(status.success(), "umask {umask}");
    }
}

#[expect(clippy::disallowed_methods, reason = "how the inner process recognises itself")]
fn folder_of_its_own() -> Option<String> {
    std::env::var(FOLDER).ok()
}

async fn write_everything(folder: &Path) {
    let path = folder.join("data/of/balance.db");
    let store = open(&path);
    accept(&store, vec![money(deposit(1, 100), "one")], 0).await;
    let copy = folder.join("data/of/copy.db");
    SqliteStore::backup(&path, &copy).unwrap();
    assert_eq!(mode(&folder.join("data")) & 0o077, 0);
    assert_eq!(mode(&folder.join("data/of")) & 0o077, 0);
    let mut names: Vec<_> =
        fs::read_dir(folder.join("data/of")).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    assert_eq!(names.len(), 4, "{names:?}");
    for name in names {
        assert_eq!(mode(&name), 0o600, "{}", name.display());
    }
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o7777
}

/// As a restore by `cp` leaves it.
#[tokio::test]
async fn files_that_others_could_read_become_private() {
    let folder = tempfile::tempdir().unwrap();
    let (path, log) = (folder.path().join("balance.db"), folder.path().join("balance.db-wal"));
    drop(open(&path));
    fs::write(&log, "").unwrap();
    for name in [&path, &log] {
        fs::set_permissions(name, Permissions::from_mode(0o644)).unwrap();
    }
    let store = open(&path);
    accept(&store, vec![money(deposit(1, 100), "one")], 0).await;
    for suffix in ["balance.db", "balance.db-wal", "balance.db-shm"] {
        assert_eq!(mode(&folder.path().join(suffix)), 0o600, "{suffix}");
    }
}

/// A link planted in the folder must not lead a write, or a change of mode, to a file elsewhere.
#[test]
fn a_log_that_is_a_link_is_refused_and_its_target_untouched() {
    for suffix in ["-wal", "-shm"] {
        let folder = tempfile::tempdir().unwrap();
        let (path, target) = (folder.path().join("balance.db"), folder.path().join("target"));
        drop(open(&path));
        fs::write(&target, "precious").unwrap();
        fs::set_permissions(&target, Permissions::from_mode(0o644)).unwrap();
        symlink(&target, folder.path().join(format!("balance.db{suffix}"))).unwrap();
        let refused = SqliteStore::open(&path, SqliteOptions::default(), clock()).err().unwrap();
        assert!(refused.to_string().contains("is not a file"), "{refused}");
        assert_eq!((fs::read(&target).unwrap(), mode(&target)), (b"precious".to_vec(), 0o644));
    }
}

#[test]
fn a_copy_is_not_written_through_a_link() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy, target) =
        (folder.path().join("balance.db"), folder.path().join("copy.db"), folder.path().join("target"));
    drop(open(&path));
    fs::write(&target, "precious").unwrap();
    symlink(&target, folder.path().join("copy.db.part")).unwrap();
    SqliteStore::backup(&path, &copy).unwrap();
    assert_eq!(fs::read(&target).unwrap(), b"precious");
    assert_eq!(mode(&copy), 0o600);
    let dangling = folder.path().join("dangling.db");
    symlink(folder.path().join("nowhere"), &dangling).unwrap();
    SqliteStore::backup(&path, &dangling).unwrap_err();
    assert!(!folder.path().join("nowhere").exists());
}
