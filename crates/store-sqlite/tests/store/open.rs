//! Opening: the folder, the lock, the schema.

use balance_domain::ports::{BalanceRepo, RepoError};
use balance_store_sqlite::{SqliteOptions, SqliteStore};

use crate::teller::{accept, balance, deposit, money, open};

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
    std::fs::write(folder.path().join("data"), "a file, not a folder").unwrap();
    let refused = SqliteStore::open(&folder.path().join("data/balance.db"), SqliteOptions::default()).err();
    let refused = refused.unwrap();
    assert!(matches!(refused, RepoError::Unavailable(_)), "{refused:?}");
    assert!(refused.to_string().contains("cannot create the folder"), "{refused}");
}

#[test]
fn a_file_that_is_open_is_not_opened_again_under_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let alias = folder.path().join("alias.db");
    let first = open(&path);
    std::os::unix::fs::symlink(&path, &alias).unwrap();
    for name in [&path, &alias] {
        let refused = SqliteStore::open(name, SqliteOptions::default()).err().unwrap();
        assert!(refused.to_string().contains("is in use by another process"), "{refused}");
        assert!(SqliteStore::migrate(name).is_err());
    }
    drop(first);
    drop(open(&path));
}

#[test]
fn only_the_last_clone_closes_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let first = open(&path);
    let second = first.clone();
    drop(first);
    assert!(SqliteStore::open(&path, SqliteOptions::default()).is_err());
    drop(second);
    assert!(!folder.path().join("balance.db-wal").exists(), "closing copies the log back and removes it");
    drop(open(&path));
}

#[test]
fn without_migrations_an_empty_file_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let options = SqliteOptions { migrate: false, ..SqliteOptions::default() };
    let refused = SqliteStore::open(&path, options).err().unwrap();
    assert!(refused.to_string().contains("run the migrations"), "{refused}");
    SqliteStore::migrate(&path).unwrap();
    drop(SqliteStore::open(&path, options).unwrap());
}

#[test]
fn something_else_than_a_database_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    std::fs::write(&path, "month;service;revenue\n".repeat(100)).unwrap();
    let refused = SqliteStore::open(&path, SqliteOptions::default()).err().unwrap();
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
    let refused = SqliteStore::open(&path, SqliteOptions::default()).err().unwrap();
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
