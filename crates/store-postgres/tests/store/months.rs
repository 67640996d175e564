//! Months are closed by a fact that every batch confirms in its own transaction: what is under way when the books are
//! closed comes wholly before that, or is dated behind it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use balance_domain::{
    Period, Timestamp,
    ports::{BalanceRepo, Clock, RepoError, ReportRepo},
};
use balance_store_conformance::{
    SetClock, Teller, audit,
    teller::{at, capture_of, deposit_of, order, under},
};
use tokio::net::TcpListener;

use crate::{
    database::{Database, client, open, options},
    gate::Gate,
};

const LOCK: &str = "BEGIN; LOCK TABLE books IN ACCESS EXCLUSIVE MODE; \
                    UPDATE books SET closed_until = '2026-12-01T00:00:00Z'";

fn end() -> Timestamp {
    at("2026-12-01T00:00:00Z")
}

fn november() -> Period {
    Period { start: at("2026-11-01T00:00:00Z"), end: end() }
}

/// What November's captures and refunds come to.
async fn sums(store: &impl ReportRepo) -> Vec<(i128, i128)> {
    let lines = store.revenue(november()).await.unwrap();
    lines.iter().map(|line| (line.captured, line.refunded)).collect()
}

/// User 1 has money set aside twice, known to this teller's instance; it is a second before the end of November.
async fn before_the_end(teller: &Teller) {
    teller.set_now(at("2026-11-30T23:59:59Z"));
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    teller.reserve(order(1, 7, 1), 30, 600).await;
    teller.reserve(order(1, 7, 2), 20, 600).await;
    teller.capture(order(1, 7, 1), None).await;
}

/// Until somebody waits for a lock.
async fn somebody_waits(database: &Database) {
    let sql = "SELECT count(*) FROM pg_stat_activity \
               WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while database.sql(sql) == "0" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The statement that writes takes its lock on the books before its snapshot: one that waited for the closing sees it.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_waited_for_the_closing_is_dated_behind_it() {
    let database = Database::migrated().await;
    let teller = Arc::new(Teller::new(Arc::new(database.store.clone()), database.clock.clone()));
    before_the_end(&teller).await;
    let closing = client(&database.server.url(&database.name)).await;
    closing.batch_execute(LOCK).await.unwrap();
    // A movement of a cached account, and one that opens an account.
    let captured = tokio::spawn({
        let teller = Arc::clone(&teller);
        async move { teller.capture(order(1, 7, 2), None).await }
    });
    let opened = tokio::spawn({
        let teller = Arc::clone(&teller);
        async move { teller.deposit(2, 5).await }
    });
    somebody_waits(&database).await;
    closing.batch_execute("COMMIT").await.unwrap();
    captured.await.unwrap();
    assert_eq!(opened.await.unwrap().created_at, end());
    assert_eq!(teller.history(1).await.last().unwrap().created_at, end());
    assert_eq!(sums(&database.store).await, [(30, 0)]);
    audit(teller.store()).await;
}

/// An instance is paused with a capture in its socket; another closes the month; the capture arrives.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_arrives_after_the_closing_writes_nothing() {
    let database = Database::migrated().await;
    let upstream = database.server.port();
    let gate = Gate::before(upstream).await;
    let mut through = options(&gate.url(&database.server.url(&database.name), upstream));
    through.deadline = Duration::from_millis(600);
    through.connect_timeout = Duration::from_millis(200);
    let paused = Teller::new(Arc::new(open(through, &database.clock)), database.clock.clone());
    before_the_end(&paused).await;
    // From now on nothing of that instance gets through.
    let nowhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    gate.lead_to(nowhere.local_addr().unwrap().port());
    gate.hold_next();
    let capture = vec![under("late", capture_of(order(1, 7, 2), None)).into()];
    let unknown = paused.store().execute(capture.clone()).await;
    assert!(matches!(unknown, Err(RepoError::Unknown(_))), "{unknown:?}");

    database.clock.set(end());
    database.store.close_books(end()).await.unwrap();
    let closed = sums(&database.store).await;
    assert_eq!(closed, [(30, 0)]);
    gate.let_go().await;
    assert_eq!(sums(&database.store).await, closed, "what arrived late was not written");

    // Sent again, as a caller does, it belongs to December, even where the clock is behind.
    database.clock.set(at("2026-11-30T23:59:59.5Z"));
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    let replies = database.store.execute(capture).await.unwrap();
    assert!(replies[0].is_ok(), "{replies:?}");
    assert_eq!(teller.history(1).await.last().unwrap().created_at, end());
    assert_eq!(sums(&database.store).await, closed);
    audit(teller.store()).await;
}

/// A batch whose commit waits, for a standby or a disk, holds the closing up, which gives up before the others wait
/// long.
#[tokio::test(flavor = "multi_thread")]
async fn a_closing_waits_for_commits_under_way_and_not_for_long() {
    let database = Database::migrated().await;
    let store = database.another(|options| options.deadline = Duration::from_secs(5));
    let teller = Teller::new(Arc::new(store.clone()), database.clock.clone());
    before_the_end(&teller).await;
    let under_way = client(&database.server.url(&database.name)).await;
    under_way.batch_execute("BEGIN; SELECT closed_until FROM books").await.unwrap();
    let started = Instant::now();
    let refused = store.close_books(end()).await;
    assert!(matches!(refused, Err(RepoError::Unavailable(_))), "{refused:?}");
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(teller.deposit(1, 1).await.created_at, teller.now(), "nothing was closed");
    under_way.batch_execute("COMMIT").await.unwrap();
    store.close_books(end()).await.unwrap();
    assert_eq!(teller.deposit(1, 1).await.created_at, end());
}

/// Batches that lock their rows first take part in no circle with a closing.
#[tokio::test(flavor = "multi_thread")]
async fn closings_beside_contended_batches_complete() {
    let database = Database::migrated().await;
    let stores = [database.store.clone(), database.another(|_| {}), database.another(|_| {})];
    database.clock.set(at("2026-11-30T23:59:59Z"));
    let mut tasks = tokio::task::JoinSet::new();
    for (number, store) in stores.iter().cloned().enumerate() {
        tasks.spawn(async move {
            for call in 0..60 {
                let batch = vec![under(&format!("{number}-{call}"), deposit_of(1 + call % 2, 1)).into()];
                store.execute(batch).await.unwrap();
            }
        });
    }
    let clock: SetClock = database.clock.clone();
    let closer = stores[2].clone();
    tasks.spawn(async move {
        for hour in 1..=20 {
            let until = Timestamp::from_micros(clock.now().micros() + hour * 3_600_000_000).unwrap();
            closer.close_books(until).await.unwrap();
        }
    });
    tasks.join_all().await;
    let teller = Teller::new(Arc::new(stores[0].clone()), database.clock.clone());
    assert_eq!(teller.balance(1).await.0 + teller.balance(2).await.0, 180);
    audit(teller.store()).await;
}
