//! Copies of a ledger, in use or not.

use std::{fs, path::Path};

use balance_domain::ports::BalanceRepo;
use balance_store_sqlite::{SqliteOptions, SqliteStore};

use crate::teller::{accept, audited, balance, clock, deposit, money, open};

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_is_whole_while_work_goes_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let store = open(&path);
    accept(&store, vec![money(deposit(1, 100), "before")], 0).await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for n in 0..300 {
                accept(&store, vec![money(deposit(n % 7 + 1, 1), &format!("during-{n}"))], n).await;
            }
        }
    });
    let copy = folder.path().join("copy.db");
    tokio::task::block_in_place(|| SqliteStore::backup(&path, &copy)).unwrap();
    writing.await.unwrap();
    assert!(
        SqliteStore::open(&path, SqliteOptions::default(), clock()).is_err(),
        "the store still has its lock"
    );

    let copied = open(&copy);
    let summary = audited(&copied).await;
    assert!(summary.paid_in >= 100 && summary.paid_in <= 400, "{}", summary.paid_in);
    assert!(balance(&copied, 1, 1_000).await.unwrap().0 >= 100);
    accept(&copied, vec![money(deposit(1, 1), "after")], 1_000).await;
}

#[tokio::test]
async fn a_copy_never_overwrites_and_leaves_no_part_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("balance.db");
    let store = open(&path);
    let copy = folder.path().join("copy.db");
    fs::write(&copy, "precious").unwrap();
    assert!(refused(&path, &copy).contains("exists already"));
    assert_eq!(fs::read(&copy).unwrap(), b"precious");
    refused(&path, &folder.path().join("missing/copy.db"));
    assert!(!folder.path().join("copy.db.part").exists());
    assert!(store.at(0).accounts(Vec::new()).await.unwrap().is_empty(), "the store goes on");
}

/// A wrong path must not become a good backup of nothing.
#[test]
fn what_is_no_ledger_is_not_copied() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("balance.db"), folder.path().join("copy.db"));
    assert!(refused(&path, &copy).contains("balance.db"));
    assert!(!path.exists());
    fs::write(&path, "").unwrap();
    assert!(refused(&path, &copy).contains("holds no ledger"));
    fs::write(&path, "month;service;revenue\n".repeat(100)).unwrap();
    refused(&path, &copy);
    assert!(!copy.exists());
}

/// The copy before an upgrade is made with whichever binary is at hand.
#[test]
fn a_schema_is_copied_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("balance.db"), folder.path().join("copy.db"));
    drop(open(&path));
    let newer = "INSERT INTO refinery_schema_history VALUES (99, 'later', '2030-01-01T00:00:00Z', '1')";
    rusqlite::Connection::open(&path).unwrap().execute(newer, []).unwrap();
    SqliteStore::backup(&path, &copy).unwrap();
    let said = SqliteStore::open(&copy, SqliteOptions::default(), clock()).err().unwrap().to_string();
    assert!(said.contains("has schema version 99"), "{said}");
}

fn refused(from: &Path, to: &Path) -> String {
    SqliteStore::backup(from, to).unwrap_err().to_string()
}
