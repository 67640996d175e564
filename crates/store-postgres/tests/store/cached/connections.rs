//! Connections that break or go stale, and servers that are started again or taken over from.

use balance_store_conformance::SetClock;

use super::*;
use crate::database::open;

/// Versions are numbers that no other history has: what is cached is as good after a restart.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_cached_lives_through_a_restart_of_the_server() {
    let server = Server::start(Options { durable: true, ..Options::default() });
    let clock = SetClock::default();
    let store = open(options(&server.url("postgres")), &clock);
    store.migrate().await.unwrap();
    let teller = Teller::new(Arc::new(store.clone()), clock.clone());
    teller.deposit(1, 100).await;
    teller.deposit(1, 1).await;
    assert_eq!(store.optimistic_batches(), OptimisticBatches { confirmed: 1, repeated: 0 });
    server.restart();
    // The connection turns out to be broken.
    tokio::time::sleep(Duration::from_millis(300)).await;
    teller.deposit(1, 1).await;
    assert_eq!(store.optimistic_batches(), OptimisticBatches { confirmed: 2, repeated: 0 });
    assert_eq!(teller.balance(1).await, (102, 0));
}

/// The transaction was sent, and its connection broke before it could even begin: it holds no lock that the next
/// attempt would wait for, and must not happen after that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_begins_after_its_connection_broke_does_nothing() {
    let database = Database::migrated().await;
    let gate = Gate::before(database.server.port()).await;
    let store = database.another(|options| {
        options.url = gate.url(&options.url, database.server.port());
    });
    let teller = Teller::new(Arc::new(store.clone()), database.clock.clone());
    teller.deposit(1, 100).await;
    gate.hold_next();
    let sent = teller.fresh(withdrawal_of(1, 60));
    assert!(!teller.accepted(sent.clone()).await.is_replay);
    assert_eq!(teller.balance(1).await, (40, 0));
    gate.let_go().await;
    assert_eq!(teller.balance(1).await, (40, 0));
    assert!(teller.accepted(sent).await.is_replay);
    assert_eq!(store.optimistic_batches().repeated, 1);
    audit(teller.store()).await;
}

/// The commit happened and its answer was lost: the second run finds nothing left to extend, and must not say so.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_committed_and_not_answered_is_reported_as_done() {
    let database = Database::migrated().await;
    let gate = Gate::before(database.server.port()).await;
    let store = database.another(|options| {
        options.url = gate.url(&options.url, database.server.port());
    });
    let teller = Teller::new(Arc::new(store.clone()), database.clock.clone());
    teller.add_services(&[9]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 9, 1), 10, 60).await;
    // So that a transfer to 2 takes the time of 1 forward, and an extension after it would be another one.
    teller.pass(20);
    teller.deposit(2, 100).await;
    teller.pass(-20);

    let extend = || Command::Extend { reservation: order(1, 9, 1).into(), ttl: seconds(90) };
    for (action, left) in [(transfer_of(1, 2, 5), (85, 10)), (capture_of(order(1, 9, 1), None), (85, 0))] {
        gate.lose_next_answer();
        let money = Command::Money(teller.fresh(action));
        let accepted = teller.submit(Submission::from(vec![extend(), money])).await.unwrap();
        assert!(accepted.iter().all(|accepted| !accepted.is_replay), "{accepted:?}");
        assert_eq!(teller.balance(1).await, left);
    }
    assert_eq!(store.optimistic_batches().repeated, 2);
    audit(teller.store()).await;
}

/// What was learned through a connection to the server before says nothing of the one that took over, even where
/// that has the same transaction's number in the same place.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_server_said_is_not_believed_of_the_new_one() {
    let start = || {
        let settings = vec!["autovacuum=off".to_owned()];
        Server::start(Options { durable: true, settings, ..Options::default() })
    };
    let (old, new) = (start(), start());
    for server in [&old, &new] {
        open(options(&server.url("postgres")), &SetClock::default()).migrate().await.unwrap();
    }
    let gate = Gate::before(old.port()).await;
    let clock = SetClock::default();
    let store = open(options(&gate.url(&old.url("postgres"), old.port())), &clock);
    let here = Arc::new(Teller::new(Arc::new(store.clone()), clock.clone()));
    // What both have, as replication would have brought it.
    let there = Teller::new(Arc::new(open(options(&new.url("postgres")), &clock)), clock.clone());
    for teller in [&*here, &there] {
        teller.accepted(under("a", deposit_of(1, 100))).await;
    }
    there.accepted(under("b", deposit_of(2, 1))).await;

    // The new server takes over while a call is under way at the old one, which keeps its connection.
    let other = client(&old.url("postgres")).await;
    other.batch_execute("BEGIN; LOCK TABLE operations IN SHARE MODE").await.unwrap();
    let waiting = tokio::spawn({
        let here = here.clone();
        async move { here.accepted(under("b", deposit_of(2, 1))).await }
    });
    tokio::time::sleep(Duration::from_millis(300)).await;
    gate.lead_to(new.port());
    here.store().ready().await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    waiting.await.unwrap();
    here.store().ready().await.unwrap();

    // The last that the old one takes; the new one has something else in the same place.
    here.accepted(under("c", deposit_of(1, 50))).await;
    there.accepted(under("d", deposit_of(1, 7))).await;
    let place = "SELECT ctid, seq FROM accounts WHERE user_id = 1";
    assert_eq!(
        old.psql("postgres", place),
        new.psql("postgres", place),
        "the test needs them to be the same"
    );
    old.psql(
        "postgres",
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'balance'",
    );
    tokio::time::sleep(Duration::from_millis(200)).await;
    here.accepted(under("e", deposit_of(1, 1))).await;
    assert_eq!(there.balance(1).await, (108, 0));
    audit(there.store()).await;
}

/// Otherwise every later batch would fail on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_a_stale_statement_is_replaced() {
    let two = Two::with(|options| options.batches_max = 1).await;
    two.here.deposit(1, 100).await;
    two.database.sql(
        "DROP TYPE account_row; CREATE TYPE account_row AS (bucket smallint, user_id bigint, available bigint, \
         reserved bigint, seq bigint, last_at timestamptz, closed boolean, version bigint, expected bigint, place tid)",
    );
    for _ in 0..2 {
        let (_, counts) = two.counted(two.here.deposit(1, 1)).await;
        assert_eq!(counts, (1, 0));
    }
    assert_eq!(two.here.balance(1).await, (102, 0));
}
