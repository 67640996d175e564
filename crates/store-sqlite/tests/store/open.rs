//! Opening: the folder, the lock, the schema.

use std::{
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::Path,
};

use balance_domain::ports::{BalanceRepo, RepoError};
use balance_store_sqlite::{SqliteOptions, SqliteStore};

use crate::kill::Victim;
use crate::teller::{accept, balance, clock, deposit, money, open};

#[test]
fn a_missing_folder_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("data/of/balance.db");
    drop(open(&path));
    assert!(path.is_file());
}

#[test]
fn a_folder_that_cannot_be_made_is_named() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("data"), "a file, not a folder").unwrap();
    let refused =
        SqliteStore::open(&folder.path().join("data/balance.db"), SqliteOptions::default(), clock()).err();
    let refused = refused.unwrap();
    assert!(matches!(refused, RepoError::Unavailable(_)), "{refused:?}");
    assert!(refused.to_string().contains("cannot create the folder"), "{refused}");
}

#[test]
fn a_file_that_is_open_is_not_opened_again_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let (alias, hard_link) = (folder.path().join("alias.db"), folder.path().join("hard.db"));
    let first = open(&path);
    symlink(&path, &alias).unwrap();
    fs::hard_link(&path, &hard_link).unwrap();
    let locks = posix_locks(folder.path());
    for name in [&path, &alias, &hard_link] {
        assert!(refusal(name).contains("is in use by another process"), "{}", refusal(name));
        assert!(SqliteStore::migrate(name).is_err());
    }
    assert_eq!(posix_locks(folder.path()), locks, "a refusal takes no lock of the first away");
    drop(first);
    assert!(refusal(&path).contains("more than one name"), "its log would not be found under the other");
    fs::remove_file(&hard_link).unwrap();
    drop(open(&path));
}

/// How many byte ranges are locked of the files of this folder.
fn posix_locks(folder: &Path) -> usize {
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().metadata().unwrap().ino());
    let ours: Vec<String> = files.map(|inode| format!(":{inode}")).collect();
    let locks = fs::read_to_string("/proc/locks").unwrap();
    let is_ours = |line: &&str| {
        line.contains("POSIX")
            && line.split_whitespace().any(|word| ours.iter().any(|one| word.ends_with(one)))
    };
    locks.lines().filter(is_ours).count()
}

/// A volume that is still empty, and a name on it that leads nowhere yet.
#[test]
fn a_link_to_a_file_that_does_not_exist_yet_means_that_file() {
    let folder = tempfile::tempdir().unwrap();
    let (path, link) = (folder.path().join("volume/balance.db"), folder.path().join("balance.db"));
    fs::create_dir(folder.path().join("volume")).unwrap();
    symlink("volume/balance.db", &link).unwrap();
    let first = open(&link);
    assert!(path.is_file() && folder.path().join("volume/balance.db-wal").is_file());
    for name in [&path, &link] {
        assert!(refusal(name).contains("is in use by another process"), "{}", refusal(name));
    }
    drop(first);
    drop(open(&path));
}

#[test]
fn another_process_is_refused_under_every_name_until_the_first_is_killed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let link = folder.path().join("link.db");
    symlink("balance.db", &link).unwrap();
    // Under the link, that leads nowhere yet.
    let mut first = Victim::start(&link);
    first.answers(20);
    for name in [&path, &link] {
        assert!(refusal(name).contains("is in use by another process"), "{}", refusal(name));
    }
    let before = first.answers(0);
    assert!(first.answers(20) > before, "it goes on");
    first.kill();
    drop(open(&path));
}

fn refusal(path: &Path) -> String {
    SqliteStore::open(path, SqliteOptions::default(), clock()).err().unwrap().to_string()
}

#[test]
fn only_the_last_clone_closes_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let first = open(&path);
    let second = first.clone();
    drop(first);
    assert!(SqliteStore::open(&path, SqliteOptions::default(), clock()).is_err());
    drop(second);
    assert!(!folder.path().join("balance.db-wal").exists(), "closing copies the log back and removes it");
    drop(open(&path));
}

#[test]
fn without_migrations_an_empty_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let options = SqliteOptions { migrate: false, ..SqliteOptions::default() };
    let refused = SqliteStore::open(&path, options, clock()).err().unwrap();
    assert!(refused.to_string().contains("run the migrations"), "{refused}");
    SqliteStore::migrate(&path).unwrap();
    drop(SqliteStore::open(&path, options, clock()).unwrap());
}

#[test]
fn something_else_than_a_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    fs::write(&path, "month;service;revenue\n".repeat(100)).unwrap();
    let refused = SqliteStore::open(&path, SqliteOptions::default(), clock()).err().unwrap();
    assert!(matches!(refused, RepoError::Internal(_)), "{refused:?}");
}

#[tokio::test]
async fn a_newer_schema_is_not_ready_and_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let store = open(&path);
    store.ready().await.unwrap();
    let newer = "INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')";
    rusqlite::Connection::open(&path).unwrap().execute(newer, []).unwrap();
    assert!(matches!(store.ready().await, Err(RepoError::Unavailable(_))));
    drop(store);
    let refused = SqliteStore::open(&path, SqliteOptions::default(), clock()).err().unwrap();
    assert!(refused.to_string().contains("use a newer binary"), "{refused}");
}

#[tokio::test]
async fn what_was_answered_is_there_after_opening_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    for round in 1..=3 {
        let store = open(&path);
        accept(&store, vec![money(deposit(1, 100), &format!("round {round}").replace(' ', "-"))], round)
            .await;
        assert_eq!(balance(&store, 1, round).await, Some((100 * round, 0)));
    }
}
