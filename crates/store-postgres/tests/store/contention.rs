//! Others in the way: locks that are held too long, deadlocks, connections that run out, callers who go away.

use std::{sync::Arc, time::Duration};

use balance_domain::{
    Month, Submission,
    ports::{BalanceRepo, Reply, RepoError, ReportRepo, SubmitError},
};
use balance_store_conformance::{
    Teller, audit,
    teller::{deposit_of, order, reserve_of, transfer_of, under, user},
};

use crate::database::{Database, client};

const LOCK_1: &str = "SELECT FROM accounts WHERE user_id = 1 FOR UPDATE";
/// The store is there, and this account is not to be had.
fn is_unavailable(reply: &Reply) -> bool {
    matches!(reply, Err(SubmitError::Failed(RepoError::Unavailable(_))))
}

const LOCK_2: &str = "SELECT FROM accounts WHERE user_id = 2 FOR UPDATE";

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_stays_locked_is_an_outage_in_time_and_nothing_happened() {
    let database = Database::migrated().await;
    let store = database.another(|options| {
        options.lock_timeout = Duration::from_millis(200);
        options.deadline = Duration::from_secs(5);
    });
    let teller = Teller::new(Arc::new(store), database.clock.clone());
    teller.deposit(1, 100).await;
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute(&format!("BEGIN; {LOCK_1}")).await.unwrap();
    let start = std::time::Instant::now();
    let answer = teller.store().execute(vec![under("k", deposit_of(1, 5)).into()]).await.unwrap();
    assert!(is_unavailable(&answer[0]), "{answer:?}");
    assert!(start.elapsed() < Duration::from_secs(8), "{:?}", start.elapsed());
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(teller.balance(1).await, (100, 0));
    teller.accepted(under("k", deposit_of(1, 5))).await;
    assert_eq!(teller.balance(1).await, (105, 0));
}

/// The neighbours wait for one lock timeout, the next batch for a moment only.
#[tokio::test(flavor = "multi_thread")]
async fn one_locked_account_does_not_hold_up_the_others_of_its_batch() {
    const LOCK_TIMEOUT: Duration = Duration::from_secs(2);
    let database = Database::migrated().await;
    let store = database.another(|options| options.lock_timeout = LOCK_TIMEOUT);
    let teller = Teller::new(Arc::new(store), database.clock.clone());
    for id in 1..=4 {
        teller.deposit(id, 100).await;
    }
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute(&format!("BEGIN; {LOCK_1}")).await.unwrap();
    let batch = |round: &str| -> Vec<Submission> {
        let key = |n: i32| format!("{round}-{n}");
        vec![
            under(&key(0), deposit_of(2, 5)).into(),
            under(&key(1), deposit_of(1, 5)).into(),
            under(&key(2), transfer_of(3, 1, 5)).into(),
            under(&key(3), deposit_of(3, 5)).into(),
            under(&key(4), deposit_of(4, 5)).into(),
            // Opens its account.
            under(&key(5), deposit_of(5, 5)).into(),
        ]
    };
    for (round, within) in [("first", LOCK_TIMEOUT * 2), ("second", LOCK_TIMEOUT / 2)] {
        let start = std::time::Instant::now();
        let replies = teller.batch(batch(round)).await;
        assert!(start.elapsed() < within, "the {round} batch took {:?}", start.elapsed());
        for n in [0, 4, 5] {
            assert!(replies[n].is_ok(), "{replies:?}");
        }
        for n in [1, 2, 3] {
            assert!(is_unavailable(&replies[n]), "{replies:?}");
        }
    }
    other.batch_execute("COMMIT").await.unwrap();
    for round in ["first", "second"] {
        let replies = teller.batch(batch(round)).await;
        let replays = replies.iter().map(|reply| reply.as_ref().unwrap()[0].is_replay);
        assert_eq!(replays.collect::<Vec<_>>(), [true, false, false, false, true, true]);
    }
    for (id, balance) in [(1, 120), (2, 110), (3, 100), (4, 110), (5, 10)] {
        assert_eq!(teller.balance(id).await, (balance, 0), "user {id}");
    }
    audit(teller.store()).await;
    let timeout = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    assert_eq!(database.sql(timeout), "0");
}

/// A lock that is not an account's: nobody is to blame, and the batch stays whole.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_on_something_else_is_waited_for_until_the_deadline() {
    let database = Database::migrated().await;
    let store = database.another(|options| options.lock_timeout = Duration::from_millis(200));
    let teller = Teller::new(Arc::new(store), database.clock.clone());
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute("BEGIN; LOCK TABLE services IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let store = teller.store().clone();
    let batch = vec![under("k", reserve_of(order(1, 7, 1), 5, 60)).into()];
    let waiting = tokio::spawn(async move { store.execute(batch).await });
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert!(!waiting.is_finished());
    other.batch_execute("COMMIT").await.unwrap();
    assert!(waiting.await.unwrap().unwrap()[0].is_ok());
}

/// Reads that wait for the server take no connection away from batches, nor from readiness checks.
#[tokio::test(flavor = "multi_thread")]
async fn reads_that_wait_keep_no_money_from_moving() {
    let database = Database::migrated().await;
    let store = database.another(|options| {
        options.connections_max = 4;
        options.batches_max = 1;
        options.wait_timeout = Duration::from_millis(500);
        options.deadline = Duration::from_secs(4);
        options.lock_timeout = Duration::from_mins(1);
    });
    let teller = Teller::new(Arc::new(store.clone()), database.clock.clone());
    teller.deposit(1, 100).await;
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute("BEGIN; LOCK TABLE reports IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let start = std::time::Instant::now();
    let reads: Vec<_> = (0..12)
        .map(|_| {
            let store = store.clone();
            tokio::spawn(async move { store.report(Month::new(2026, 10).unwrap()).await })
        })
        .collect();
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while database.sql(waiting) != "2" {
        assert!(start.elapsed() < Duration::from_secs(3), "the reads do not wait");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    for _ in 0..10 {
        teller.deposit(1, 1).await;
    }
    store.ready().await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    let mut counts = [0, 0];
    for read in reads {
        match read.await.unwrap() {
            Ok(report) => {
                assert_eq!(report, None);
                counts[0] += 1;
            }
            Err(RepoError::Overloaded | RepoError::Unavailable(_)) => counts[1] += 1,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(counts[0] > 0, "{counts:?}");
    assert_eq!(
        store.report(Month::new(2026, 10).unwrap()).await.unwrap(),
        None,
        "every share was given back"
    );
}

/// The other side waits longer before it looks for a deadlock, so that the store is the one that is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    teller.deposit(1, 100).await;
    teller.deposit(2, 100).await;
    // The store locks user 2 after user 1 or the other way round; the other client does the opposite.
    let (first, second) =
        if user(1).bucket() < user(2).bucket() { (LOCK_1, LOCK_2) } else { (LOCK_2, LOCK_1) };
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute(&format!("SET deadlock_timeout = '20s'; BEGIN; {second}")).await.unwrap();
    let store = teller.store().clone();
    let batch = vec![under("k", transfer_of(1, 2, 30)).into()];
    let transfer = tokio::spawn(async move { store.execute(batch).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    other.batch_execute(first).await.unwrap();
    other.batch_execute("COMMIT").await.unwrap();
    assert!(transfer.await.unwrap().unwrap()[0].is_ok());
    assert_eq!((teller.balance(1).await, teller.balance(2).await), ((70, 0), (130, 0)));
    assert_eq!(
        database.sql("SELECT deadlocks > 0 FROM pg_stat_database WHERE datname = current_database()"),
        "t"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_serves_many_callers() {
    let database = Database::migrated().await;
    let store = database.another(|options| options.batches_max = 1);
    let teller = Arc::new(Teller::new(Arc::new(store), database.clock.clone()));
    let calls = (0..64).map(|n| {
        let teller = teller.clone();
        tokio::spawn(async move { teller.deposit(n % 5 + 1, 1).await })
    });
    for call in calls.collect::<Vec<_>>() {
        call.await.unwrap();
    }
    assert_eq!(audit(teller.store()).await.paid_in, 64);
}

#[tokio::test(flavor = "multi_thread")]
async fn when_all_connections_stay_busy_the_answer_is_overloaded() {
    let database = Database::migrated().await;
    let store = database.another(|options| {
        options.batches_max = 1;
        options.wait_timeout = Duration::from_millis(50);
    });
    let teller = Teller::new(Arc::new(store), database.clock.clone());
    teller.deposit(1, 1).await;
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute(&format!("BEGIN; {LOCK_1}")).await.unwrap();
    let store = teller.store().clone();
    let batch = vec![under("waits", deposit_of(1, 1)).into()];
    let waiting = tokio::spawn(async move { store.execute(batch).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let answer = teller.store().execute(vec![under("late", deposit_of(2, 1)).into()]).await;
    assert!(matches!(answer, Err(RepoError::Overloaded)), "{answer:?}");
    other.batch_execute("COMMIT").await.unwrap();
    assert!(waiting.await.unwrap().is_ok());
}

/// A caller who hangs up leaves no open transaction and no dirty connection behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_leaves_no_transaction_behind() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    teller.deposit(1, 100).await;
    for wait_micros in (0..3_000).step_by(60) {
        let store = database.store.clone();
        let batch = vec![teller.fresh(deposit_of(1, 1)).into()];
        let call = tokio::spawn(async move { store.execute(batch).await });
        tokio::time::sleep(Duration::from_micros(wait_micros)).await;
        call.abort();
        let _cancelled = call.await;
        teller.deposit(1, 1).await;
    }
    audit(teller.store()).await;
    let open = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() \
                AND state LIKE 'idle in transaction%'";
    for _ in 0..100 {
        if database.sql(open) == "0" {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("a transaction stayed open");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_longest_due_come_first_however_many_are_due_of_one_user() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    // User 7 has the 300 longest due reservations, users 1 to 5 one each behind them.
    database.sql(
        "INSERT INTO reservations SELECT u, 1, o, 10, 0, 0, 0, timestamptz '2026-01-01', \
             timestamptz '2026-01-02' + o * interval '1 second', o, 0, 'active' \
         FROM (SELECT 7, o FROM generate_series(1, 300) o UNION ALL SELECT 6 - o, 400 + o FROM generate_series(1, 5) o) \
             AS made (u, o)",
    );
    let due = async |users_max| teller.store().due_users(users_max).await.unwrap();
    assert_eq!(due(0).await, []);
    assert_eq!(due(3).await, [user(7), user(5), user(4)]);
    assert_eq!(due(100).await, [user(7), user(5), user(4), user(3), user(2), user(1)]);
}
