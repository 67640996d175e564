//! A disk without space, for real: it refuses and loses nothing, and work goes on by itself.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use balance_domain::{
    Submission,
    ports::{BalanceRepo, RepoError},
};
use balance_store_conformance::small_disk::{fill, small_disk};
use balance_store_sqlite::{SqliteOptions, SqliteStore};

use crate::teller::{Opened, accept, audited, clock, commented, deposit, open, user};

/// What is left in KiB when the filling begins: the refusal hits another write each time.
const SPARE: [u64; 9] = [0, 4, 8, 12, 16, 24, 32, 64, 256];

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_says_no_and_work_goes_on_when_there_is_space() {
    let test = "full_disk::a_full_disk_says_no_and_work_goes_on_when_there_is_space";
    let Some(disk) = small_disk(test, 24) else { return };
    let store = open(&disk.join("balance.db"));
    let mut paid_in = 0;
    for spare in SPARE {
        for length in [1, 40] {
            let ballast = fill(&disk, spare);
            let refused =
                deposit_until_refused(&store, &format!("{spare}-{length}"), length, &mut paid_in).await;
            assert_eq!(held(&store).await, paid_in, "reads go on, and nothing of it was executed");
            drop(ballast);
            for reply in store.at(0).execute(refused).await.unwrap() {
                assert!(!reply.unwrap()[0].is_replay);
                paid_in += 1;
            }
        }
    }
    assert_eq!(audited(&store).await.paid_in, i128::from(paid_in));
    drop(store);
    assert_eq!(held(&open(&disk.join("balance.db"))).await, paid_in);
}

#[tokio::test]
async fn a_disk_that_takes_nothing_is_unready_until_it_does() {
    let Some(disk) = small_disk("full_disk::a_disk_that_takes_nothing_is_unready_until_it_does", 8) else {
        return;
    };
    let path = disk.join("balance.db");
    drop(open(&path));
    let store = open(&path);
    let ballast = fill(&disk, 0);
    store.ready().await.unwrap();
    assert!(matches!(store.at(0).execute(batch("full", 1)).await, Err(RepoError::Unavailable(_))));
    for _ in 0..3 {
        assert!(matches!(store.ready().await, Err(RepoError::Unavailable(_))));
    }
    drop(ballast);
    store.ready().await.unwrap();
    accept(&store, batch("full", 1), 0).await;
}

/// As a killed process leaves it: whatever the disk, what is there is served.
#[tokio::test]
async fn a_log_is_made_durable_on_a_full_disk() {
    let Some(disk) = small_disk("full_disk::a_log_is_made_durable_on_a_full_disk", 24) else { return };
    let killed = disk.join("killed.db");
    let store = open(&killed);
    accept(&store, batch("before", 500), 0).await;
    let path = disk.join("balance.db");
    for suffix in ["", "-wal"] {
        fs::copy(with(&killed, suffix), with(&path, suffix)).unwrap();
    }
    drop(store);
    // SQLite cannot read a log without 32 KiB of index.
    let ballast = fill(&disk, 40);
    let store = open(&path);
    assert_eq!(held(&store).await, 500);
    assert!(matches!(store.at(0).execute(batch("full", 500)).await, Err(RepoError::Unavailable(_))));
    drop(ballast);
    accept(&store, batch("after", 1), 0).await;
    assert_eq!(audited(&store).await.paid_in, 501);
}

#[tokio::test]
async fn a_file_that_cannot_be_written_is_refused() {
    let Some(disk) = small_disk("full_disk::a_file_that_cannot_be_written_is_refused", 8) else { return };
    let path = disk.join("balance.db");
    drop(open(&path));
    let remounted = Command::new("mount").args(["-o", "remount,ro"]).arg(&disk).status().unwrap();
    assert!(remounted.success());
    let refused = SqliteStore::open(&path, SqliteOptions::default(), clock()).err().unwrap();
    assert!(refused.to_string().contains("to write"), "{refused}");
}

async fn deposit_until_refused(
    store: &Opened,
    name: &str,
    length: usize,
    paid_in: &mut i64,
) -> Vec<Submission> {
    for n in 0.. {
        let submissions = batch(&format!("{name}-{n}"), length);
        match store.at(0).execute(submissions.clone()).await {
            Ok(replies) => {
                *paid_in += i64::try_from(replies.into_iter().map(Result::unwrap).count()).unwrap();
            }
            Err(RepoError::Unavailable(_)) => return submissions,
            Err(other) => panic!("{other:?}"),
        }
    }
    unreachable!()
}

/// Deposits of one unit to one user, each with a long comment.
fn batch(name: &str, length: usize) -> Vec<Submission> {
    let comment = "c".repeat(200);
    (0..length).map(|n| commented(deposit(1, 1), &format!("{name}-{n}"), &comment)).collect()
}

/// As the file has it: several accounts are never recalled from memory.
async fn held(store: &Opened) -> i64 {
    let account = store.at(0).accounts(vec![user(1), user(1)]).await.unwrap().remove(0);
    account.map_or(0, |account| account.recorded.available)
}

fn with(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
