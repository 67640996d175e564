//! The writer after things that must not happen: panics, a full disk, a disk in doubt.

use std::time::{Duration, Instant};

use balance_domain::{
    Action, Amount, Comment, IdempotencyKey, MoneyCommand, Submission, Timestamp, UserId,
    ports::{BalanceRepo, RepoError},
};
use rusqlite::{
    ErrorCode,
    hooks::{AuthAction, AuthContext, Authorization, TransactionOperation},
};
use tempfile::TempDir;

use super::*;
use crate::error::repo_error;
use crate::store::{SqliteOptions, SqliteStore};

fn store() -> (SqliteStore, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = SqliteStore::open(
        &folder.path().join("balance.db"),
        SqliteOptions::default(),
        Arc::new(Timestamp::MAX),
    )
    .unwrap();
    (store, folder)
}

fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

fn deposit(user_id: UserId, key: String) -> Submission {
    let action = Action::Deposit { user_id, amount: Amount::MIN };
    let comment = Comment::new("c".repeat(Comment::BYTES_MAX)).ok();
    MoneyCommand { action, key: IdempotencyKey::new(key).unwrap(), comment }.into()
}

fn deposits(name: &str, count: usize) -> Vec<Submission> {
    (0..count).map(|n| deposit(user(1), format!("{name}-{n}"))).collect()
}

/// As the file has it: several accounts are never recalled.
async fn recorded(store: &SqliteStore) -> i64 {
    let account = store.accounts(vec![user(1), user(1)]).await.unwrap().remove(0);
    account.map_or(0, |account| account.recorded.seq)
}

fn recalled(store: &SqliteStore, id: i64) -> Option<i64> {
    store.recall_account(user(id)).map(|account| account.recorded.seq)
}

fn insert_service(connection: &Connection) -> rusqlite::Result<usize> {
    connection.execute("INSERT INTO services (id, name, retired, used) VALUES (7, 'half', 0, 0)", [])
}

#[tokio::test]
async fn a_panic_fails_one_caller_and_is_rolled_back() {
    let (store, _folder) = store();
    let panicked: Result<(), _> = store
        .writer()
        .run(|session| {
            session.transaction(|connection| {
                insert_service(connection).unwrap();
                panic!("on purpose");
            })
        })
        .await;
    assert!(matches!(panicked, Err(RepoError::Unknown(_))), "{panicked:?}");
    let left: i64 = store
        .readers()
        .read(|connection| connection.query_row("SELECT count(*) FROM services", [], |row| row.get(0)))
        .await
        .unwrap();
    assert_eq!(left, 0);
    assert!(store.execute(deposits("after", 1)).await.unwrap()[0].is_ok());
}

#[tokio::test]
async fn a_full_file_executes_nothing_and_work_goes_on_when_there_is_space() {
    let (store, _folder) = store();
    store.execute(deposits("before", 1)).await.unwrap()[0].as_ref().unwrap();
    set_pages_max(&store, 1).await;
    let refused = store.execute(deposits("full", 200)).await;
    assert!(matches!(refused, Err(RepoError::Unavailable(_))), "{refused:?}");
    assert_eq!(recorded(&store).await, 1, "reads go on, and nothing was executed");
    // A page that is there already can still be written.
    store.ready().await.unwrap();

    set_pages_max(&store, 1_000_000).await;
    let replies = store.execute(deposits("full", 200)).await.unwrap();
    assert!(replies.iter().all(|reply| reply.as_ref().is_ok_and(|accepted| !accepted[0].is_replay)));
    assert_eq!(recorded(&store).await, 201);
}

/// The file may not grow past this many pages, or past what it has: SQLite then fails as on a full disk.
async fn set_pages_max(store: &SqliteStore, pages: u32) {
    store
        .writer()
        .run(move |session| {
            session.connection().pragma_update(None, "max_page_count", pages).map_err(repo_error)
        })
        .await
        .unwrap();
}

#[tokio::test]
async fn a_disk_in_doubt_refuses_writes_until_the_file_is_reopened() {
    let (store, folder) = store();
    store.execute(deposits("before", 1)).await.unwrap()[0].as_ref().unwrap();
    store.writer().health.set_broken("a sync failed".into());
    let refused = store.execute(deposits("after", 1)).await;
    assert!(matches!(refused, Err(RepoError::Unavailable(_))), "{refused:?}");
    assert!(matches!(store.ready().await, Err(RepoError::Unavailable(_))));
    assert_eq!(recorded(&store).await, 1, "reads go on");
    drop(store);

    let store = SqliteStore::open(
        &folder.path().join("balance.db"),
        SqliteOptions::default(),
        Arc::new(Timestamp::MAX),
    )
    .unwrap();
    assert!(store.execute(deposits("after", 1)).await.unwrap()[0].is_ok());
}

/// One COMMIT is refused and can be rolled back, the other leaves the outcome unknown.
#[tokio::test]
async fn a_commit_that_fails_leaves_nothing_to_recall() {
    for is_certain in [true, false] {
        let (store, _folder) = store();
        let before = [1, 2].map(|id| deposit(user(id), "before".to_owned()));
        store.execute(before.to_vec()).await.unwrap();
        let fail = move |session: &mut Session| {
            if is_certain {
                let sql = "CREATE TEMP TABLE parents (id INTEGER PRIMARY KEY);
                           CREATE TEMP TABLE children (id REFERENCES parents (id) DEFERRABLE INITIALLY DEFERRED);
                           CREATE TEMP TRIGGER orphans AFTER INSERT ON main.operations
                           BEGIN INSERT INTO children VALUES (1); END";
                session.connection().execute_batch(sql).map_err(repo_error)
            } else {
                // SQLite names BEGIN and ROLLBACK apart: this is COMMIT.
                let forbid = |context: AuthContext<'_>| match context.action {
                    AuthAction::Transaction { operation: TransactionOperation::Unknown } => {
                        Authorization::Deny
                    }
                    _ => Authorization::Allow,
                };
                session.connection().authorizer(Some(forbid)).map_err(repo_error)
            }
        };
        store.writer().run(fail).await.unwrap();
        let failed = store.execute(deposits("lost", 1)).await;
        match failed {
            Err(RepoError::Internal(_)) => assert!(is_certain),
            Err(RepoError::Unknown(_)) => assert!(!is_certain),
            other => panic!("{other:?}"),
        }
        assert_eq!((recalled(&store, 1), recalled(&store, 2)), (None, Some(1)), "nor are others forgotten");
        assert_eq!(recorded(&store).await, 1);
    }
}

#[tokio::test]
async fn a_caller_who_left_does_not_stop_the_work() {
    let (store, _folder) = store();
    let (begun, has_begun) = std::sync::mpsc::channel();
    let blocker = tokio::spawn({
        let store = store.clone();
        async move {
            let hold = move |_: &mut Session| {
                begun.send(()).unwrap();
                std::thread::sleep(Duration::from_millis(100));
                Ok(())
            };
            store.writer().run(hold).await
        }
    });
    tokio::task::spawn_blocking(move || has_begun.recv().unwrap()).await.unwrap();
    let gone = tokio::time::timeout(Duration::from_millis(10), store.execute(deposits("gone", 1)));
    assert!(gone.await.is_err());
    blocker.await.unwrap().unwrap();
    assert!(store.execute(deposits("gone", 1)).await.unwrap()[0].as_ref().unwrap()[0].is_replay);
}

/// Rounds begin at 100 pages, and the thread copies until `rest_pages` are left.
async fn set_short_rounds(store: &SqliteStore, rest_pages: u32) {
    let set = move |session: &mut Session| {
        session.checkpoints.round_pages = 100;
        session.checkpoints.due_at = 100;
        session.checkpoints.rest_pages = rest_pages;
        Ok(())
    };
    store.writer().run(set).await.unwrap();
}

/// Deposits in a batch, each with the longest comment.
const BATCH: usize = 50;

async fn deposit_in_batches(store: &SqliteStore, name: &str, batches: usize) {
    for batch in 0..batches {
        store.execute(deposits(&format!("{name}-{batch}"), BATCH)).await.unwrap();
    }
}

async fn log_pages(store: &SqliteStore) -> u32 {
    store.writer().run(|session| Ok(session.checkpoints.log_pages())).await.unwrap()
}

/// How many batches it takes is a matter of the disk: while the thread flushes, the log grows.
async fn deposit_until_the_log_restarts(store: &SqliteStore, name: &str) {
    let patience = Instant::now() + Duration::from_mins(1);
    let mut before = log_pages(store).await;
    for batch in 0.. {
        deposit_in_batches(store, &format!("{name}-{batch}"), 1).await;
        let now = log_pages(store).await;
        if now < before {
            return;
        }
        assert!(Instant::now() < patience, "the log only grows: {now} pages after {batch} batches");
        before = now;
    }
}

#[tokio::test]
async fn the_log_is_copied_back_once_it_is_long() {
    let (store, folder) = store();
    set_short_rounds(&store, 100).await;
    let file_bytes = || std::fs::metadata(folder.path().join("balance.db")).unwrap().len();
    store.execute(vec![deposit(user(2), "once".to_owned())]).await.unwrap();
    deposit_until_the_log_restarts(&store, "first").await;
    // All but the last batch, which is the first one in the new log.
    let copied = usize::try_from(recorded(&store).await).unwrap() - BATCH;
    let least = u64::try_from(copied * Comment::BYTES_MAX).unwrap();
    assert!(copied > 0 && file_bytes() > least, "{copied} deposits, {} bytes in the file", file_bytes());
    deposit_until_the_log_restarts(&store, "second").await;
    assert_eq!(recalled(&store, 2), Some(1), "that was nobody else's writing");
}

#[tokio::test]
async fn the_log_restarts_after_a_long_read() {
    let (store, folder) = store();
    set_short_rounds(&store, 1).await;
    let reader = Connection::open(folder.path().join("balance.db")).unwrap();
    reader.execute_batch("BEGIN; SELECT * FROM accounts").unwrap();
    deposit_in_batches(&store, "beside", 100).await;
    let held_up = log_pages(&store).await;
    assert!(held_up > 500, "what is read stays in the log: {held_up} pages");
    assert_eq!(recorded(&store).await, 5_000);
    reader.execute_batch("COMMIT").unwrap();
    deposit_until_the_log_restarts(&store, "after").await;
    assert!(recorded(&store).await > 5_000);
}

#[test]
fn the_second_line_is_a_constraint() {
    let connection = crate::schema::migrated();
    for sql in [
        "INSERT INTO accounts VALUES (1, 0, -1, 0, 1, 0)",
        "INSERT INTO accounts VALUES (1, 0, 0, -1, 1, 0)",
        "INSERT INTO reservations VALUES (1, 1, 1, 'active', 5, 3, 3, 0, 0, 0, 1, 0)",
        "INSERT INTO reservations VALUES (1, 1, 1, 'active', 5, 5, 0, 0, 0, 0, 1, 0)",
        "INSERT INTO reservations VALUES (1, 1, 1, 'captured', 5, 3, 1, 0, 0, 0, 1, 0)",
        "INSERT INTO reservations VALUES (1, 1, 1, 'captured', 5, 5, 0, 6, 0, 0, 1, 0)",
        "INSERT INTO early_operations VALUES (1, 1001, 1)",
    ] {
        let refused = connection.execute(sql, []).unwrap_err();
        assert_eq!(refused.sqlite_error_code(), Some(ErrorCode::ConstraintViolation), "{sql}");
    }
}
