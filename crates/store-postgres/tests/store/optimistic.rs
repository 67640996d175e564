//! Batches that are decided on what the store remembers: whatever somebody else has changed since is noticed by the
//! statements that write, and the batch runs again under locks.

use std::{sync::Arc, time::Duration};

use balance_domain::{
    Command, Rejection, ReservationState, Submission,
    ports::{BalanceRepo, OptimisticBatches, StoreFigures},
};
use balance_postgres_harness::{Options, Server};
use balance_store_conformance::{
    Teller, audit,
    teller::{
        capture_of, deposit_of, order, rejection_of, reserve_of, seconds, service, transfer_of, under, user,
        withdrawal_of,
    },
};
use balance_store_postgres::{PostgresOptions, PostgresStore};

use crate::{
    database::{Database, client, options},
    gate::Gate,
};

/// One store that remembers, and another one on the same database.
struct Two {
    database: Database,
    here: Teller,
    there: Teller,
}

impl Two {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With a change of the options of the store that remembers.
    async fn with(change: impl FnOnce(&mut PostgresOptions)) -> Self {
        let mut database = Database::migrated().await;
        database.store = database.another(change);
        let here = Teller::new(Arc::new(database.store.clone()));
        let there = Teller::new(Arc::new(database.another(|_| {})));
        // The keys of the two must not meet.
        for _ in 0..100_000 {
            there.fresh(deposit_of(1, 1));
        }
        Self { database, here, there }
    }

    fn batches(&self) -> OptimisticBatches {
        self.database.store.optimistic_batches()
    }

    /// What `work` did at this store, by the number of batches: confirmed, repeated.
    async fn counted<T>(&self, work: impl Future<Output = T>) -> (T, (u64, u64)) {
        let before = self.batches();
        let done = work.await;
        let after = self.batches();
        (done, (after.confirmed - before.confirmed, after.repeated - before.repeated))
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_store_has_written_itself_needs_no_look() {
    let two = Two::new().await;
    let teller = &two.here;
    teller.add_services(&[9]).await;
    for id in [1, 2] {
        teller.deposit(id, 100).await;
    }
    teller.reserve(order(1, 9, 1), 10, 60).await;
    teller.capture(order(1, 9, 1), None).await;
    let work = async {
        teller.deposit(1, 5).await;
        teller.withdraw(1, 5).await;
        teller.transfer(1, 2, 20).await;
        teller.reserve(order(1, 9, 2), 30, 60).await;
        teller.extend(order(1, 9, 2), 90).await;
        teller.capture_part(order(1, 9, 2), 10).await;
        teller.release(order(1, 9, 2)).await;
    };
    let ((), counts) = two.counted(work).await;
    assert_eq!(counts, (7, 0));
    assert_eq!((teller.balance(1).await, teller.balance(2).await), ((60, 0), (120, 0)));
    audit(teller.store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_or_repeated_is_answered_by_the_database() {
    let two = Two::new().await;
    let teller = &two.here;
    teller.deposit(1, 100).await;
    let first = teller.accepted(under("k", deposit_of(1, 5))).await;
    two.there.deposit(1, 1_000).await;

    // Too much as far as this store knows, and not too much in truth.
    let (_, counts) = two.counted(teller.withdraw(1, 600)).await;
    assert_eq!(counts, (0, 0), "it was not even tried");
    assert_eq!(teller.balance(1).await, (505, 0));
    teller.deposit(1, 1).await;

    let (again, counts) = two.counted(teller.accepted(under("k", deposit_of(1, 5)))).await;
    assert!(again.is_replay);
    assert_eq!(again.receipt, first.receipt);
    assert_eq!(counts, (0, 1), "the index over keys refused it");
    let reused = teller.rejected(under("k", deposit_of(1, 6))).await;
    assert_eq!(reused, Rejection::IdempotencyKeyReused);
    audit(teller.store()).await;
}

/// One account that was overtaken, or one key that comes again, does not make the store forget the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_not_confirmed_leaves_right_what_was_right() {
    let two = Two::new().await;
    let teller = &two.here;
    teller.add_services(&[9]).await;
    for id in 1..=4 {
        teller.deposit(id, 100).await;
        teller.reserve(order(id, 9, 1), 10, 600).await;
    }
    two.there.deposit(4, 1).await;
    let deposits = || (1..=4).map(|id| teller.fresh(deposit_of(id, 1)).into()).collect::<Vec<Submission>>();
    let (_, counts) = two.counted(teller.batch(deposits())).await;
    assert_eq!(counts, (0, 1));
    let captures = (1..=3).map(|id| teller.fresh(capture_of(order(id, 9, 1), None)).into()).collect();
    let (_, counts) = two.counted(teller.batch(captures)).await;
    assert_eq!(counts, (1, 0), "their reservations are known as before");
    audit(teller.store()).await;
}

/// Who is refused after somebody else was faster is not tried without a look for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_found_to_be_wrong_is_forgotten_also_where_nothing_is_written() {
    let two = Two::new().await;
    two.here.deposit(1, 100).await;
    two.there.withdraw(1, 100).await;
    let (_, counts) = two.counted(two.here.refused(withdrawal_of(1, 100))).await;
    assert_eq!(counts, (0, 1));
    let (_, counts) = two.counted(two.here.refused(withdrawal_of(1, 100))).await;
    assert_eq!(counts, (0, 0));
}

/// Also not in the company of others: what is refused is not written, so nothing confirms it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_among_others_is_answered_by_the_database() {
    let two = Two::new().await;
    let teller = &two.here;
    for id in 1..=8 {
        teller.deposit(id, 100).await;
    }
    two.there.deposit(1, 1_000).await;
    let mut batch: Vec<Submission> = (2..=8).map(|id| teller.fresh(deposit_of(id, 1)).into()).collect();
    batch.insert(3, teller.fresh(withdrawal_of(1, 600)).into());
    let (replies, counts) = two.counted(teller.batch(batch)).await;
    assert!(replies.iter().all(Result::is_ok), "{replies:?}");
    assert_eq!(counts, (1, 0));
    assert_eq!(teller.balance(1).await, (500, 0));
    audit(teller.store()).await;
}

/// The order of an account's commands is kept where one of them goes under locks.
#[tokio::test(flavor = "multi_thread")]
async fn a_refused_command_and_what_follows_it_go_under_locks_in_their_order() {
    let two = Two::new().await;
    let teller = &two.here;
    for id in 1..=8 {
        teller.deposit(id, 100).await;
    }
    let mut batch: Vec<Submission> =
        (2..=8).map(|id| teller.fresh(deposit_of(id, 1)).into()).collect::<Vec<_>>();
    batch.extend([deposit_of(1, 1), withdrawal_of(1, 102)].map(|action| teller.fresh(action).into()));
    batch.push(teller.fresh(deposit_of(1, 1)).into());
    let (replies, counts) = two.counted(teller.batch(batch)).await;
    let refused: Vec<usize> = (0..10).filter(|index| replies[*index].is_err()).collect();
    assert_eq!(refused, [8], "{replies:?}");
    assert_eq!(rejection_of(&replies[8]), Some(Rejection::InsufficientFunds { available: 101 }));
    assert_eq!(counts, (1, 0));
    let seqs: Vec<i64> = teller.history(1).await.iter().map(|operation| operation.available_after).collect();
    assert_eq!(seqs, [100, 101, 102]);
    audit(teller.store()).await;
}

/// Each of these leaves what the store remembers of user 1 wrong in another way.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_another_instance_changed_is_noticed() {
    let two = Two::new().await;
    let (here, there) = (&two.here, &two.there);
    here.add_services(&[9]).await;
    here.deposit(1, 1_000).await;
    here.deposit(2, 1_000).await;
    here.deposit(3, 1_000).await;
    here.reserve(order(3, 9, 1), 10, 600).await;

    there.deposit(1, 7).await;
    let (_, counts) = two.counted(here.deposit(1, 1)).await;
    assert_eq!(counts, (0, 1), "a deposit");

    there.transfer(2, 1, 7).await;
    let (_, counts) = two.counted(here.withdraw(1, 1)).await;
    assert_eq!(counts, (0, 1), "a transfer");

    there.reserve(order(1, 9, 1), 50, 600).await;
    let (refused, counts) = two.counted(here.refused(reserve_of(order(1, 9, 1), 50, 600))).await;
    assert_eq!(refused, Rejection::ReservationExists);
    assert_eq!(counts, (0, 1), "a reservation");

    there.capture(order(3, 9, 1), None).await;
    let (refused, counts) = two.counted(here.refused(capture_of(order(3, 9, 1), None))).await;
    assert_eq!(refused, Rejection::ReservationCaptured);
    assert_eq!(counts, (0, 1), "a capture");
    assert_eq!(here.balance(1).await, (964, 50));
    audit(here.store()).await;
}

/// An extension moves no money and leaves no operation: only the version of the account's row tells of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadline_that_another_instance_moved_is_noticed() {
    let two = Two::new().await;
    let (here, there) = (&two.here, &two.there);
    here.add_services(&[9]).await;
    for id in [1, 2] {
        here.deposit(id, 100).await;
        here.reserve(order(id, 9, 1), 10, 60).await;
        here.deposit(id, 1).await;
    }

    // Shorter: it is over before anything that comes after its new deadline.
    there.extend(order(1, 9, 1), 10).await;
    here.pass(11);
    let (_, counts) = two.counted(here.deposit(1, 1)).await;
    assert_eq!(counts, (0, 1));
    let kinds: Vec<_> = here.history(1).await.iter().map(|operation| operation.kind.as_str()).collect();
    assert_eq!(kinds, ["deposit", "reserve", "deposit", "expire", "deposit"]);

    // Longer: it must not expire when its old deadline comes.
    there.extend(order(2, 9, 1), 600).await;
    here.pass(61);
    let (_, counts) = two.counted(here.deposit(2, 1)).await;
    assert_eq!(counts, (0, 1));
    assert_eq!(here.found(order(2, 9, 1)).await.state, ReservationState::Active);
    audit(here.store()).await;
}

/// What is due expires by time alone, also of an account that nobody looks at first.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_due_expires_first() {
    let two = Two::new().await;
    let here = &two.here;
    here.add_services(&[9]).await;
    here.deposit(1, 100).await;
    here.reserve(order(1, 9, 1), 60, 60).await;
    here.reserve(order(1, 9, 2), 30, 600).await;
    here.pass(60);
    let (_, counts) = two.counted(here.withdraw(1, 70)).await;
    assert_eq!(counts, (1, 0));
    assert_eq!(here.balance(1).await, (0, 30));
    assert_eq!(here.found(order(1, 9, 1)).await.state, ReservationState::Expired);

    // The order may be reserved for again, which this store cannot know without looking.
    here.deposit(1, 5).await;
    let (_, counts) = two.counted(here.reserve(order(1, 9, 1), 5, 60)).await;
    assert_eq!(counts, (0, 1));
    audit(here.store()).await;
}

/// An account is remembered with all of its reservations or not at all: one that was never seen here is due, too.
#[tokio::test(flavor = "multi_thread")]
async fn what_another_instance_reserved_expires_first() {
    let two = Two::new().await;
    let (here, there) = (&two.here, &two.there);
    there.add_services(&[9]).await;
    there.deposit(1, 100).await;
    there.reserve(order(1, 9, 1), 60, 60).await;
    here.deposit(1, 1).await;
    here.pass(60);
    let (_, counts) = two.counted(here.deposit(1, 1)).await;
    assert_eq!(counts, (0, 0), "not all of its reservations are known");
    let kinds: Vec<_> = here.history(1).await.iter().map(|operation| operation.kind.as_str()).collect();
    assert_eq!(kinds, ["deposit", "reserve", "deposit", "expire", "deposit"]);
    let (_, counts) = two.counted(here.deposit(1, 1)).await;
    assert_eq!(counts, (1, 0), "now they are");
    audit(here.store()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_service_that_another_instance_retired_takes_no_reservation() {
    let two = Two::new().await;
    let (here, there) = (&two.here, &two.there);
    here.add_services(&[9]).await;
    here.deposit(1, 100).await;
    here.reserve(order(1, 9, 1), 1, 60).await;
    let (_, counts) = two.counted(here.reserve(order(1, 9, 2), 1, 60)).await;
    assert_eq!(counts, (1, 0));
    there.store().remove_service(service(9)).await.unwrap().unwrap();
    let (refused, counts) = two.counted(here.refused(reserve_of(order(1, 9, 3), 1, 60))).await;
    assert_eq!(refused, Rejection::ServiceRetired(service(9)));
    assert_eq!(counts, (0, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_account_takes_nothing() {
    let two = Two::new().await;
    let (here, there) = (&two.here, &two.there);
    here.deposit(1, 100).await;
    here.withdraw(1, 100).await;
    there.close(1).await;
    let (refused, counts) = two.counted(here.refused(deposit_of(1, 1))).await;
    assert_eq!(refused, Rejection::AccountClosed(user(1)));
    assert_eq!(counts, (0, 1));
}

/// Rows that came or went past every store: by hand, or because the database was restored.
#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_is_not_as_it_was_left_is_noticed() {
    let two = Two::new().await;
    let here = &two.here;
    here.deposit(1, 100).await;
    here.deposit(2, 100).await;
    two.database.sql("UPDATE accounts SET available = available WHERE user_id = 1");
    let (_, counts) = two.counted(here.deposit(1, 1)).await;
    assert_eq!(counts, (0, 1));
    two.database.sql("DELETE FROM operations WHERE user_id = 2; DELETE FROM accounts WHERE user_id = 2");
    let (operation, counts) = two.counted(here.deposit(2, 1)).await;
    assert_eq!(counts, (0, 1));
    assert_eq!((operation.seq, operation.available_after), (1, 1));
    audit(here.store()).await;
}

/// A server that was started at another time may have less than the one before.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_remembered_beyond_a_restart_of_the_server() {
    let server = Server::start(Options { durable: true, ..Options::default() });
    let store = PostgresStore::new(options(&server.url("postgres"))).unwrap();
    store.migrate().await.unwrap();
    let teller = Teller::new(Arc::new(store.clone()));
    teller.deposit(1, 100).await;
    teller.deposit(1, 1).await;
    assert_eq!(store.optimistic_batches(), OptimisticBatches { confirmed: 1, repeated: 0 });
    server.restart();
    let _ = teller.store().ready().await;
    teller.deposit(1, 1).await;
    assert_eq!(store.optimistic_batches(), OptimisticBatches { confirmed: 1, repeated: 0 });
    teller.deposit(1, 1).await;
    assert_eq!(store.optimistic_batches(), OptimisticBatches { confirmed: 2, repeated: 0 });
}

/// While somebody else writes the same accounts, hardly anything is tried that then has to run again.
#[tokio::test(flavor = "multi_thread")]
async fn failing_again_and_again_makes_it_rare() {
    let two = Two::with(|options| options.recent_rest_max = Duration::from_secs(10)).await;
    two.here.deposit(1, 1).await;
    let start = tokio::time::Instant::now();
    let mut calls = 0;
    while start.elapsed() < Duration::from_secs(2) {
        two.there.deposit(1, 1).await;
        two.here.deposit(1, 1).await;
        calls += 1;
    }
    let repeated = two.batches().repeated;
    assert!((1..=8).contains(&repeated), "{repeated} of {calls}");
    assert_eq!(two.here.balance(1).await, (1 + 2 * calls, 0));
}

/// Two instances and no order at all: sums and histories are right, and nobody waits for each other in a circle.
#[tokio::test(flavor = "multi_thread")]
async fn two_instances_on_the_same_accounts_lose_nothing() {
    const USERS: i64 = 40;
    let two = Two::new().await;
    let stores = [two.database.store.clone(), two.database.another(|_| {})];
    for id in 1..=USERS {
        two.here.deposit(id, 1_000).await;
    }
    let now = two.here.now();
    let work = (0..4).map(|worker: i64| {
        let store = stores[usize::try_from(worker % 2).unwrap()].clone();
        tokio::spawn(async move {
            for n in 0..80 {
                let batch = (0..3).map(|m| {
                    let (from, to) = ((n * 7 + m * 3 + worker) % USERS + 1, (n * 5 + m + 11) % USERS + 1);
                    let action = if from == to { deposit_of(from, 1) } else { transfer_of(from, to, 1) };
                    Submission::from(under(&format!("{worker}-{n}-{m}"), action))
                });
                let replies = store.execute(batch.collect(), now).await.unwrap();
                assert!(replies.iter().all(Result::is_ok), "{replies:?}");
            }
        })
    });
    for worker in work.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    audit(two.here.store()).await;
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(two.database.sql(deadlocks), "0");
}

/// The transaction was sent, and its connection broke before it could even begin: it holds no lock that the next attempt
/// would wait for, and must not happen after that one.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_begins_after_its_connection_broke_does_nothing() {
    let database = Database::migrated().await;
    let gate = Gate::before(database.server.port()).await;
    let store = database.another(|options| {
        options.url = gate.url(&options.url, database.server.port());
    });
    let teller = Teller::new(Arc::new(store.clone()));
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
async fn what_was_committed_and_not_answered_is_told_as_done() {
    let database = Database::migrated().await;
    let gate = Gate::before(database.server.port()).await;
    let store = database.another(|options| {
        options.url = gate.url(&options.url, database.server.port());
    });
    let teller = Teller::new(Arc::new(store.clone()));
    teller.add_services(&[9]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 9, 1), 10, 60).await;
    // So that a transfer to 2 takes the time of 1 forward, and an extension after it would be another one.
    teller.pass(20);
    teller.deposit(2, 100).await;
    teller.pass(-20);

    let extend = || Command::Extend { reservation: order(1, 9, 1), ttl: seconds(90) };
    for (action, left) in [(transfer_of(1, 2, 5), (85, 10)), (capture_of(order(1, 9, 1), None), (85, 0))] {
        gate.lose_next_answer();
        let money = Command::Money(teller.fresh(action));
        let accepted = teller.submit(Submission(vec![extend(), money])).await.unwrap();
        assert!(accepted.iter().all(|accepted| !accepted.is_replay), "{accepted:?}");
        assert_eq!(teller.balance(1).await, left);
    }
    assert_eq!(store.optimistic_batches().repeated, 2);
    audit(teller.store()).await;
}

/// What was learned through a connection to the server before says nothing of the one that took over, even where that has
/// the same transaction's number in the same place.
#[tokio::test(flavor = "multi_thread")]
async fn what_an_old_server_said_is_not_believed_of_the_new_one() {
    let start = || {
        let settings = vec!["autovacuum=off".to_owned()];
        Server::start(Options { durable: true, settings, ..Options::default() })
    };
    let (old, new) = (start(), start());
    for server in [&old, &new] {
        PostgresStore::new(options(&server.url("postgres"))).unwrap().migrate().await.unwrap();
    }
    let gate = Gate::before(old.port()).await;
    let store = PostgresStore::new(options(&gate.url(&old.url("postgres"), old.port()))).unwrap();
    let here = Arc::new(Teller::new(Arc::new(store.clone())));
    // What both have, as replication would have brought it.
    let there = Teller::new(Arc::new(PostgresStore::new(options(&new.url("postgres"))).unwrap()));
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
    let version = "SELECT xmin, ctid FROM accounts WHERE user_id = 1";
    assert_eq!(
        old.psql("postgres", version),
        new.psql("postgres", version),
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

/// A removal that waits in between does not make a batch without locks and one under locks wait for each other.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_of_a_service_closes_no_circle_of_waiting() {
    let two = Two::new().await;
    let (here, there) = (&two.here, &two.there);
    here.add_services(&[9, 8]).await;
    here.deposit(1, 100).await;
    here.reserve(order(1, 9, 1), 1, 60).await;
    // As a batch under locks does it: the account first, services in a later statement.
    let locked = client(&two.database.server.url(&two.database.name)).await;
    locked.batch_execute("BEGIN; SELECT FROM accounts WHERE user_id = 1 FOR UPDATE").await.unwrap();
    let (_, (), waited) = tokio::join!(
        here.reserve(order(1, 9, 2), 1, 60),
        async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            there.store().remove_service(service(8)).await.unwrap().unwrap();
        },
        async {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let start = tokio::time::Instant::now();
            locked.batch_execute("SELECT FROM services WHERE id = 9").await.unwrap();
            let waited = start.elapsed();
            locked.batch_execute("COMMIT").await.unwrap();
            waited
        }
    );
    // The server would find and break the circle after a second.
    assert!(waited < Duration::from_millis(600), "{waited:?}");
}

/// Under locks nothing uses the statement that went stale, so nothing else would close that connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_connection_with_a_stale_statement_is_not_kept() {
    let two = Two::new().await;
    two.here.deposit(1, 100).await;
    two.database.sql(
        "DROP TYPE account_change; CREATE TYPE account_change AS (bucket smallint, user_id bigint, \
         available bigint, reserved bigint, seq bigint, last_at timestamptz, closed boolean, transaction xid, place tid)",
    );
    let (_, counts) = two.counted(two.here.deposit(1, 1)).await;
    assert_eq!(counts, (0, 1));
    let (_, counts) = two.counted(two.here.deposit(1, 1)).await;
    assert_eq!(counts, (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retired_service_is_learned_from_the_refusal() {
    let two = Two::new().await;
    let (here, there) = (&two.here, &two.there);
    here.add_services(&[9]).await;
    here.deposit(1, 100).await;
    here.reserve(order(1, 9, 1), 1, 60).await;
    there.store().remove_service(service(9)).await.unwrap().unwrap();
    for expected in [(0, 1), (0, 0)] {
        let (_, counts) = two.counted(here.refused(reserve_of(order(1, 9, 2), 1, 60))).await;
        assert_eq!(counts, expected);
    }
}
