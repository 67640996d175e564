//! Commits whose outcome is unknown, and commits that are refused: nothing is done twice, nothing acknowledged is
//! lost, nothing refused is acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use balance_domain::{
    Command, Submission,
    ports::{BalanceRepo, RepoError},
};
use balance_postgres_harness::{Options, Server};
use balance_store_conformance::{
    SetClock, Teller, audit,
    teller::{deposit_of, transfer_of, under, user},
};
use balance_store_postgres::statements;

use crate::database::{Database, client, open, options};

/// The driver hides the tag by which the server tells that it rolled back instead.
#[tokio::test]
async fn a_commit_of_an_aborted_transaction_is_an_error() {
    let database = Database::migrated().await;
    let client = client(&database.server.url(&database.name)).await;
    let failed = "BEGIN; SELECT 1 / 0";
    client.batch_execute(failed).await.unwrap_err();
    client.batch_execute("COMMIT").await.expect("this is what the driver says of a rollback");
    client.batch_execute(failed).await.unwrap_err();
    let refused = client.batch_execute(statements::COMMIT_ALONE).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "25P02");
}

/// All statements succeed, and then the commit does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_is_never_acknowledged() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    teller.deposit(1, 100).await;
    database.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; \
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON operations DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let told = teller.store().execute(vec![under("k", deposit_of(1, 5)).into()]).await;
    assert!(matches!(told, Err(RepoError::Internal(_))), "{told:?}");
    database.sql("DROP TRIGGER refuse ON operations");
    assert_eq!(teller.balance(1).await, (100, 0));
    assert!(!teller.accepted(under("k", deposit_of(1, 5))).await.is_replay);
    assert_eq!(teller.balance(1).await, (105, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_before_the_commit_is_replaced_unnoticed() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    teller.deposit(1, 100).await;
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute("BEGIN; SELECT FROM accounts WHERE user_id = 1 FOR UPDATE").await.unwrap();
    let store = teller.store().clone();
    let batch = vec![under("k", deposit_of(1, 5)).into()];
    let waiting = tokio::spawn(async move { store.execute(batch).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let killed = database.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    assert_eq!(killed, "1");
    other.batch_execute("COMMIT").await.unwrap();
    let replies = waiting.await.unwrap().unwrap();
    assert!(!replies[0].as_ref().unwrap()[0].is_replay);
    assert_eq!(teller.balance(1).await, (105, 0));
}

/// Connections die at random moments, commits included, while two instances work.
#[tokio::test(flavor = "multi_thread")]
async fn killed_connections_neither_lose_nor_double_anything() {
    const CALLS: i64 = 400;
    let database = Database::migrated().await;
    let instances = [database.store.clone(), database.another(|_| {})];
    let teller = Teller::new(Arc::new(instances[0].clone()), database.clock.clone());
    for id in 1..=8 {
        teller.deposit(id, 1_000).await;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let killer = tokio::spawn({
        let (is_over, url) = (is_over.clone(), database.server.url(&database.name));
        async move {
            let client = client(&url).await;
            let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                        WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let mut killed = 0;
            while !is_over.load(Ordering::Acquire) {
                killed += client.query_one(kill, &[]).await.unwrap().get::<_, i64>(0);
                tokio::time::sleep(Duration::from_millis(15)).await;
            }
            killed
        }
    });
    let work = instances.into_iter().enumerate().map(|(instance, store)| {
        tokio::spawn(async move {
            let mut first_times = 0;
            for n in 0..CALLS {
                let transfer = transfer_of(n % 8 + 1, (n + 3) % 8 + 1, 1);
                let batch: Vec<Submission> = vec![
                    under(&format!("d-{instance}-{n}"), deposit_of(n % 8 + 1, 2)).into(),
                    under(&format!("t-{instance}-{n}"), transfer).into(),
                ];
                // What cannot be told in time may be asked again for ever.
                let replies = loop {
                    match store.execute(batch.clone()).await {
                        Ok(replies) => break replies,
                        Err(RepoError::Unavailable(_) | RepoError::Unknown(_)) => {}
                        Err(other) => panic!("{other}"),
                    }
                };
                first_times += replies.iter().filter(|reply| !reply.as_ref().unwrap()[0].is_replay).count();
            }
            first_times
        })
    });
    for worker in work.collect::<Vec<_>>() {
        assert!(worker.await.unwrap() > 0);
    }
    is_over.store(true, Ordering::Release);
    assert!(killer.await.unwrap() > 20, "too few connections were killed to say anything");
    let survivor = database.another(|_| {});
    let summary = audit(&(Arc::new(survivor) as Arc<dyn balance_store_conformance::Store>)).await;
    assert_eq!(summary.paid_in, i128::from(8 * 1_000 + 2 * CALLS * 2));
    assert_eq!(summary.operations, u64::try_from(8 + 2 * CALLS * 3).unwrap());
}

/// A commit waits for a standby that does not exist: it has happened here, but nobody may be told so.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_no_standby_confirms_is_unknown_and_its_repeat_a_replay() {
    let server = Server::start(Options { durable: true, ..Options::default() });
    let mut given = options(&server.url("postgres"));
    given.deadline = Duration::from_millis(800);
    let clock = SetClock::default();
    let store = open(given, &clock);
    store.migrate().await.unwrap();
    let teller = Teller::new(Arc::new(store), clock.clone());
    teller.deposit(1, 100).await;
    let standbys = |names: &str| {
        server.psql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{names}'"));
        server.psql("postgres", "SELECT pg_reload_conf()");
    };
    standbys("ghost");
    tokio::time::sleep(Duration::from_millis(300)).await;

    let told = teller.store().execute(vec![under("cut-off", deposit_of(1, 5)).into()]).await;
    assert!(matches!(told, Err(RepoError::Unknown(_))), "{told:?}");

    // Somebody cancels the wait: the server commits here all the same and warns.
    let store = teller.store().clone();
    let waiting =
        tokio::spawn(async move { store.execute(vec![under("warned", deposit_of(2, 7)).into()]).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let waits = "wait_event = 'SyncRep'";
    server.psql("postgres", &format!("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE {waits}"));
    let told = waiting.await.unwrap();
    assert!(matches!(told, Err(RepoError::Unknown(_))), "{told:?}");

    standbys("");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(teller.accepted(under("cut-off", deposit_of(1, 5))).await.is_replay);
    assert!(teller.accepted(under("warned", deposit_of(2, 7))).await.is_replay);
    assert_eq!((teller.balance(1).await, teller.balance(2).await), ((105, 0), (7, 0)));
}

/// The commit of a close lands while its connection is cut: running it again finds the account closed.
#[tokio::test(flavor = "multi_thread")]
async fn a_close_whose_connection_broke_at_the_commit_has_succeeded() {
    let server = Server::start(Options { durable: true, ..Options::default() });
    let clock = SetClock::default();
    let store = open(options(&server.url("postgres")), &clock);
    store.migrate().await.unwrap();
    let teller = Teller::new(Arc::new(store), clock.clone());
    teller.deposit(1, 100).await;
    teller.withdraw(1, 100).await;
    server.psql("postgres", "ALTER SYSTEM SET synchronous_standby_names = 'ghost'");
    server.psql("postgres", "SELECT pg_reload_conf()");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let store = teller.store().clone();
    let close = vec![Submission::from(Command::Close { user_id: user(1) })];
    let closing = tokio::spawn(async move { store.execute(close).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let killed = server.psql(
        "postgres",
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
    );
    assert_eq!(killed, "1");
    let replies = closing.await.unwrap().unwrap();
    assert!(replies[0].is_ok(), "{replies:?}");
    assert_eq!(server.psql("postgres", "SELECT closed FROM accounts"), "t");
}
