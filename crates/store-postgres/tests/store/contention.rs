//! Others in the way: locks that are held too long, deadlocks, connections that run out, callers who go away.

use std::{sync::Arc, time::Duration};

use balance_domain::ports::{BalanceRepo, RepoError};
use balance_store_conformance::{
    Teller, audit,
    teller::{deposit_of, transfer_of, under, user},
};

use crate::database::{Database, client};

const LOCK_1: &str = "SELECT FROM accounts WHERE user_id = 1 FOR UPDATE";
const LOCK_2: &str = "SELECT FROM accounts WHERE user_id = 2 FOR UPDATE";

#[tokio::test(flavor = "multi_thread")]
async fn an_account_that_stays_locked_is_an_outage_in_time_and_nothing_happened() {
    let database = Database::migrated().await;
    let store = database.another(|options| {
        options.lock_timeout = Duration::from_millis(100);
        options.deadline = Duration::from_millis(700);
    });
    let teller = Teller::new(Arc::new(store));
    teller.deposit(1, 100).await;
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute(&format!("BEGIN; {LOCK_1}")).await.unwrap();
    let start = std::time::Instant::now();
    let told = teller.store().execute(vec![under("k", deposit_of(1, 5)).into()], teller.now()).await;
    assert!(matches!(told, Err(RepoError::Unavailable(_))), "{told:?}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(teller.balance(1).await, (100, 0));
    teller.accepted(under("k", deposit_of(1, 5))).await;
    assert_eq!(teller.balance(1).await, (105, 0));
}

/// The other side waits longer before it looks for a deadlock, so that the store is the one that is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_deadlock_is_tried_again() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()));
    teller.deposit(1, 100).await;
    teller.deposit(2, 100).await;
    // The store locks user 2 after user 1 or the other way round; the other client does the opposite.
    let (first, second) =
        if user(1).bucket() < user(2).bucket() { (LOCK_1, LOCK_2) } else { (LOCK_2, LOCK_1) };
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute(&format!("SET deadlock_timeout = '20s'; BEGIN; {second}")).await.unwrap();
    let store = teller.store().clone();
    let now = teller.now();
    let batch = vec![under("k", transfer_of(1, 2, 30)).into()];
    let transfer = tokio::spawn(async move { store.execute(batch, now).await });
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
    let store = database.another(|options| options.connections_max = 1);
    let teller = Arc::new(Teller::new(Arc::new(store)));
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
        options.connections_max = 1;
        options.wait_timeout = Duration::from_millis(50);
    });
    let teller = Teller::new(Arc::new(store));
    teller.deposit(1, 1).await;
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute(&format!("BEGIN; {LOCK_1}")).await.unwrap();
    let store = teller.store().clone();
    let (now, batch) = (teller.now(), vec![under("waits", deposit_of(1, 1)).into()]);
    let waiting = tokio::spawn(async move { store.execute(batch, now).await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    let told = teller.store().execute(vec![under("late", deposit_of(2, 1)).into()], now).await;
    assert!(matches!(told, Err(RepoError::Overloaded)), "{told:?}");
    other.batch_execute("COMMIT").await.unwrap();
    assert!(waiting.await.unwrap().is_ok());
}

/// A caller who hangs up leaves no open transaction and no dirty connection behind.
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_call_leaves_no_transaction_behind() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()));
    teller.deposit(1, 100).await;
    for wait_micros in (0..3_000).step_by(60) {
        let store = database.store.clone();
        let (now, batch) = (teller.now(), vec![teller.fresh(deposit_of(1, 1)).into()]);
        let call = tokio::spawn(async move { store.execute(batch, now).await });
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
    let teller = Teller::new(Arc::new(database.store.clone()));
    // User 7 has the 300 longest due reservations, users 1 to 5 one each behind them.
    database.sql(
        "INSERT INTO reservations SELECT u, 1, o, 10, 0, 0, 0, timestamptz '2026-01-01', \
             timestamptz '2026-01-02' + o * interval '1 second', o, 0, 'active' \
         FROM (SELECT 7, o FROM generate_series(1, 300) o UNION ALL SELECT 6 - o, 400 + o FROM generate_series(1, 5) o) \
             AS made (u, o)",
    );
    let due = async |users_max| teller.store().due_users(teller.now(), users_max).await.unwrap();
    assert_eq!(due(0).await, []);
    assert_eq!(due(3).await, [user(7), user(5), user(4)]);
    assert_eq!(due(100).await, [user(7), user(5), user(4), user(3), user(2), user(1)]);
}
