//! Migrations and what a database must be like to be worked with.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use balance_domain::{
    Timestamp,
    ports::{BalanceRepo, RepoError},
};
use balance_postgres_harness::{Options, Server, shared};
use balance_store_conformance::{
    SetClock, Teller,
    teller::{deposit_of, under},
};
use balance_store_postgres::{PostgresOptions, PostgresStore};

use crate::database::{Database, open, options};

async fn readiness(store: &PostgresStore) -> String {
    match store.ready().await {
        Ok(()) => "ready".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn eight_instances_that_start_together_migrate_once() {
    let server = shared();
    let name = server.create_database(None);
    let starts = (0..8).map(|_| {
        let store = open(options(&server.url(&name)), &SetClock::default());
        tokio::spawn(async move {
            store.migrate().await.unwrap();
            store.ready().await.unwrap();
        })
    });
    for start in starts.collect::<Vec<_>>() {
        start.await.unwrap();
    }
    assert_eq!(
        server.psql(
            &name,
            "SELECT string_agg(version::text, ',' ORDER BY version) FROM refinery_schema_history"
        ),
        "1"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schema_is_known_exactly_or_not_at_all() {
    let server = shared();
    let name = server.create_database(None);
    let store = open(options(&server.url(&name)), &SetClock::default());
    assert!(readiness(&store).await.contains("balance migrate"), "nothing was migrated");
    store.migrate().await.unwrap();
    store.migrate().await.unwrap();
    assert_eq!(readiness(&store).await, "ready");
    server.psql(&name, "ALTER TYPE account_version RENAME TO not_made_yet");
    let outdated = open(options(&server.url(&name)), &SetClock::default());
    let answer = outdated.accounts(Vec::new()).await;
    assert!(
        matches!(&answer, Err(RepoError::Unavailable(cause)) if cause.to_string().contains("balance migrate")),
        "{answer:?}"
    );
    server.psql(&name, "ALTER TYPE not_made_yet RENAME TO account_version");
    server.psql(
        &name,
        "INSERT INTO refinery_schema_history SELECT 99, 'later', applied_on, '1' FROM refinery_schema_history \
         WHERE version = 1",
    );
    assert!(readiness(&store).await.contains("version 99"), "a newer binary was here");
    server.psql(&name, "DELETE FROM refinery_schema_history WHERE version = 99");
    server.psql(&name, "UPDATE refinery_schema_history SET checksum = '1'");
    assert_ne!(readiness(&store).await, "ready", "another migration of the same number was here");
}

/// Instances are upgraded one after the other: the older ones go on beside what was only added, and start again too.
#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_that_was_only_added_to_is_worked_with() {
    let server = shared();
    let name = server.create_database(None);
    let store = open(options(&server.url(&name)), &SetClock::default());
    store.migrate().await.unwrap();
    let record = |version: i32, called: &str| {
        server.psql(
            &name,
            &format!(
                "INSERT INTO refinery_schema_history \
                 SELECT {version}, '{called}', applied_on, '1' FROM refinery_schema_history WHERE version = 1"
            ),
        );
    };
    record(2, "add_labels");
    assert_eq!(readiness(&store).await, "ready");
    store.migrate().await.unwrap();
    assert_eq!(server.psql(&name, "SELECT max(version) FROM refinery_schema_history"), "2");
    record(3, "split_operations");
    record(4, "add_more_labels");
    store.migrate().await.unwrap();
    assert!(readiness(&store).await.contains("version 4"), "{}", readiness(&store).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_could_lose_commits_are_refused() {
    let database = Database::migrated().await;
    let strict = |url: &str| open(PostgresOptions::new(url), &SetClock::default());
    let store = strict(&database.server.url(&database.name));
    let answer = store.ready().await;
    assert!(matches!(answer, Err(RepoError::Unavailable(_))), "{answer:?}");
    assert!(
        readiness(&store).await.contains("fsync off, full_page_writes off"),
        "{}",
        readiness(&store).await
    );
    assert!(store.migrate().await.is_err());

    let durable = Server::start(Options { durable: true, ..Options::default() });
    let store = strict(&durable.url("postgres"));
    store.migrate().await.unwrap();
    assert_eq!(readiness(&store).await, "ready");
    durable.psql("postgres", "ALTER ROLE postgres SET synchronous_commit = off");
    let store = strict(&durable.url("postgres"));
    assert!(readiness(&store).await.contains("synchronous_commit off"), "{}", readiness(&store).await);
}

/// Connections live for long, and settings can be changed under them: nothing may be acknowledged that a crash
/// would take back.
#[tokio::test(flavor = "multi_thread")]
async fn settings_that_change_under_a_running_store_are_noticed() {
    let server = Server::start(Options { durable: true, ..Options::default() });
    let clock = SetClock::default();
    let store = open(PostgresOptions::new(server.url("postgres")), &clock);
    store.migrate().await.unwrap();
    let teller = Teller::new(Arc::new(store.clone()), clock);
    teller.deposit(1, 100).await;
    let set = |what: &str| {
        server.psql("postgres", &format!("ALTER SYSTEM {what}"));
        server.psql("postgres", "SELECT pg_reload_conf()");
    };

    set("SET full_page_writes = off");
    let start = Instant::now();
    loop {
        match store.execute(vec![teller.fresh(deposit_of(1, 1)).into()]).await {
            Err(RepoError::Unavailable(why)) if why.to_string().contains("full_page_writes off") => break,
            answer => assert!(start.elapsed() < Duration::from_secs(30), "{answer:?}"),
        }
    }
    assert!(readiness(&store).await.contains("full_page_writes off"));
    set("RESET full_page_writes");
    while store.ready().await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(90), "not ready again");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    teller.deposit(1, 1).await;

    // What a session can keep it keeps; a new one is refused.
    set("SET synchronous_commit = off");
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(readiness(&store).await, "ready");
    let ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'balance'";
    server.psql("postgres", ended);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert!(readiness(&store).await.contains("synchronous_commit off"), "{}", readiness(&store).await);
}

/// How transactions are isolated is not left to the database.
#[tokio::test(flavor = "multi_thread")]
async fn the_isolation_that_a_database_defaults_to_makes_no_difference() {
    let database = Database::migrated().await;
    let set = format!("ALTER DATABASE {} SET default_transaction_isolation = 'serializable'", database.name);
    database.sql(&set);
    let stores = [database.another(|_| {}), database.another(|_| {})];
    let teller = Teller::new(Arc::new(stores[0].clone()), database.clock.clone());
    teller.deposit(1, 1).await;
    let work = stores.iter().enumerate().map(|(instance, store)| {
        let store = store.clone();
        tokio::spawn(async move {
            for n in 0..50 {
                let batch = vec![under(&format!("{instance}-{n}"), deposit_of(1, 1)).into()];
                assert!(store.execute(batch).await.unwrap()[0].is_ok());
            }
        })
    });
    for worker in work.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    assert_eq!(teller.balance(1).await, (101, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_is_read_only_is_unavailable() {
    let database = Database::migrated().await;
    database.sql(&format!("ALTER DATABASE {} SET default_transaction_read_only = on", database.name));
    let answer = database.store.ready().await;
    assert!(matches!(answer, Err(RepoError::Unavailable(_))), "{answer:?}");
}

#[tokio::test]
async fn options_are_checked_and_never_printed_with_their_secret() {
    assert!(PostgresStore::new(PostgresOptions::new("not a url"), Arc::new(Timestamp::MIN)).is_err());
    let options = PostgresOptions::new("postgres://user:hunter2@db.example/balance?sslmode=disable");
    let shown = format!("{options:?} {:?}", open(options.clone(), &SetClock::default()));
    assert!(!shown.contains("hunter2"), "{shown}");
}
