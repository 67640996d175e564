//! Files that are removed from a running store: it must not go on acknowledging what no restart will find.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use balance_domain::ports::{BalanceRepo, RepoError};
use tempfile::TempDir;

use crate::teller::{Opened, accept, balance, deposit, money, open};

async fn store() -> (Opened, PathBuf, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let store = open(&path);
    accept(&store, vec![money(deposit(1, 100), "before")], 0).await;
    store.ready().await.unwrap();
    (store, path, folder)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    format!("{}{suffix}", path.display()).into()
}

/// Not ready, and no write is accepted, as soon as anyone asks whether it is.
async fn refuses(store: &Opened, why: &str) {
    let unready = store.ready().await.unwrap_err();
    assert!(unready.to_string().contains(why), "{unready}");
    let refused = store.at(1).execute(vec![money(deposit(1, 1), "after")]).await.unwrap_err();
    assert!(
        matches!(&refused, RepoError::Unavailable(cause) if cause.to_string().contains(why)),
        "{refused}"
    );
}

#[tokio::test]
async fn a_file_that_was_removed_is_noticed_at_once() {
    for suffix in ["", "-wal", "-shm"] {
        let (store, path, _folder) = store().await;
        fs::remove_file(beside(&path, suffix)).unwrap();
        refuses(&store, "was removed or replaced").await;
        assert_eq!(balance(&store, 1, 1).await, Some((100, 0)), "reads go on");
    }
}

#[tokio::test]
async fn a_file_that_was_replaced_is_noticed_at_once() {
    for suffix in ["", "-wal", "-shm"] {
        let (store, path, folder) = store().await;
        let other = folder.path().join("other");
        fs::copy(beside(&path, suffix), &other).unwrap();
        fs::rename(&other, beside(&path, suffix)).unwrap();
        refuses(&store, "was removed or replaced").await;
    }
}

#[tokio::test]
async fn a_folder_that_was_moved_is_noticed_at_once() {
    let (store, path, folder) = store().await;
    let moved = tempfile::tempdir_in(folder.path().parent().unwrap()).unwrap();
    fs::rename(folder.path(), moved.path()).unwrap();
    refuses(&store, "was removed or replaced").await;
    drop(store);
    assert!(!path.exists());
    assert_eq!(balance(&open(&moved.path().join("balance.db")), 1, 1).await, Some((100, 0)));
}

/// As `cp old.db balance.db` does it.
#[tokio::test]
async fn a_file_that_was_overwritten_by_a_shorter_one_is_noticed() {
    let (store, path, _folder) = store().await;
    drop(store);
    let store = open(&path);
    File::options().write(true).open(&path).unwrap().set_len(4096).unwrap();
    refuses(&store, "was overwritten").await;
}

#[tokio::test]
async fn a_file_that_was_removed_is_noticed_by_those_who_write() {
    let (store, path, _folder) = store().await;
    fs::remove_file(&path).unwrap();
    let removed = Instant::now();
    for n in 0.. {
        match store.at(1).execute(vec![money(deposit(1, 1), &format!("after-{n}"))]).await {
            Ok(_) => assert!(removed.elapsed() < Duration::from_secs(2), "{n} were accepted"),
            Err(refused) => return assert!(refused.to_string().contains("was removed"), "{refused}"),
        }
    }
}

#[tokio::test]
async fn a_file_that_was_removed_is_noticed_without_any_call() {
    let (store, path, folder) = store().await;
    fs::rename(&path, folder.path().join("other.db")).unwrap();
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    // Back before the first call.
    fs::rename(folder.path().join("other.db"), &path).unwrap();
    refuses(&store, "was removed or replaced").await;
}

/// A lock of another program needs no restart: once it is released, work goes on.
#[tokio::test]
async fn a_foreign_lock_turns_unready_until_it_is_released() {
    let (store, path, _folder) = store().await;
    let shell = rusqlite::Connection::open(&path).unwrap();
    shell.execute_batch("BEGIN IMMEDIATE").unwrap();
    let begun = Instant::now();
    let refused = store.at(1).execute(vec![money(deposit(1, 1), "beside")]).await.unwrap_err();
    assert!(matches!(refused, RepoError::Unavailable(_)), "{refused:?}");
    assert!(begun.elapsed() < Duration::from_secs(20));
    store.ready().await.unwrap_err();
    shell.execute_batch("ROLLBACK").unwrap();
    store.ready().await.unwrap();
    accept(&store, vec![money(deposit(1, 1), "beside")], 1).await;
}
