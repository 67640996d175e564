//! Migrations and what a database must be like to be worked with.

use std::sync::Arc;

use balance_domain::{
    Timestamp,
    ports::{BalanceRepo, RepoError},
};
use balance_postgres_harness::{Options, Server, shared};
use balance_store_conformance::SetClock;
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
