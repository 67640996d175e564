//! The feed's order: what is not committed yet is waited for, and nothing else is.

use std::{sync::Arc, time::Duration};

use balance_domain::{
    EventFilter, EventLimit, EventPosition, EventQuery,
    ports::{EventRepo, FeedError},
};
use balance_store_conformance::{
    Harness, Teller,
    teller::{deposit_of, under},
};
use balance_store_postgres::PostgresStore;

use crate::database::{Database, client, end_sessions, options};

/// A row by hand in the same table, whose number is drawn like a batch's.
const BY_HAND: &str = "\
INSERT INTO accounts VALUES (77, 5, 0, 1, now(), 1, 77, false);
INSERT INTO operations (user_id, seq, amount, available_after, reserved_after, created_at, bucket, kind, actor)
    VALUES (77, 1, 5, 5, 0, now(), 77, 'transfer_in', 'anonymous')";

/// The ids of everything that can be shown.
async fn shown(store: &impl EventRepo) -> Vec<String> {
    let (filter, limit) = (EventFilter::default(), EventLimit::new(1_000).unwrap());
    let page = store.events(EventQuery { after: EventPosition::EARLIEST, filter, limit }).await.unwrap();
    assert!(page.is_end);
    page.events.iter().map(balance_domain::Event::id).collect()
}

/// Looks again until this is shown: the head follows within a look or two.
async fn until_shown(store: &impl EventRepo, expected: &[&str]) {
    for _ in 0..200 {
        if shown(store).await == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?} is shown, not {expected:?}", shown(store).await);
}

#[tokio::test]
async fn what_is_not_committed_is_waited_for_and_then_comes_first() {
    for ends_with in ["COMMIT", "ROLLBACK"] {
        let database = Database::migrated().await;
        let teller = Teller::new(database.store(), database.clock.clone());
        teller.deposit(1, 100).await;
        assert_eq!(shown(&database.store).await, ["1-1"]);
        let slow = client(&database.server.url(&database.name)).await;
        slow.batch_execute("BEGIN").await.unwrap();
        slow.batch_execute(BY_HAND).await.unwrap();
        teller.deposit(2, 100).await;
        for _ in 0..20 {
            assert_eq!(shown(&database.store).await, ["1-1"], "2-1 has the higher number");
        }
        let head = database.store.events_head().await.unwrap();
        slow.batch_execute(ends_with).await.unwrap();
        let expected: &[&str] = if ends_with == "COMMIT" { &["1-1", "77-1", "2-1"] } else { &["1-1", "2-1"] };
        until_shown(&database.store, expected).await;
        let rest =
            EventQuery { after: head, filter: EventFilter::default(), limit: EventLimit::new(10).unwrap() };
        let rest = database.store.events(rest).await.unwrap();
        assert_eq!(rest.events.len(), expected.len() - 1, "a place that was given out skips nothing");
    }
}

/// A transaction that writes elsewhere, in this database or another one, holds nothing up, however long it takes.
#[tokio::test]
async fn foreign_transactions_do_not_hold_the_feed_up() {
    let database = Database::migrated().await;
    let other = Database::migrated().await;
    let teller = Teller::new(database.store(), database.clock.clone());
    let here = client(&database.server.url(&database.name)).await;
    here.batch_execute("CREATE TABLE notes (a int); BEGIN; INSERT INTO notes VALUES (1)").await.unwrap();
    let there = client(&other.server.url(&other.name)).await;
    there.batch_execute("BEGIN").await.unwrap();
    there.batch_execute(BY_HAND).await.unwrap();
    let reader = client(&database.server.url(&database.name)).await;
    let read = "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM operations";
    reader.batch_execute(read).await.unwrap();
    teller.deposit(1, 100).await;
    assert_eq!(shown(&database.store).await, ["1-1"], "at once");
}

/// Batches that fail leave gaps in the numbers, which nobody waits for.
#[tokio::test]
async fn numbers_that_were_drawn_for_nothing_are_passed_over() {
    let database = Database::migrated().await;
    let teller = Teller::new(database.store(), database.clock.clone());
    teller.deposit(1, 100).await;
    database.sql("SELECT nextval('operation_batches') FROM generate_series(1, 50)");
    teller.deposit(1, 100).await;
    assert_eq!(shown(&database.store).await, ["1-1", "1-2"]);
}

/// Writers at two instances, a follower at a third: every event once, each account in its order, no place skips any.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_at_another_instance_misses_nothing() {
    let database = Database::migrated().await;
    let (writers, rounds) = (8, 30);
    let mut tasks = Vec::new();
    for writer in 0..writers {
        let teller = Arc::new(Teller::new(Arc::new(database.another(|_| {})), database.clock.clone()));
        tasks.push(tokio::spawn(async move {
            for round in 0..rounds {
                let deposit = deposit_of(1 + (writer + round) % 4, 10);
                teller.accepted(under(&format!("{writer}-{round}"), deposit)).await;
            }
        }));
    }
    let follower = database.another(|_| {});
    let (mut place, mut seen, mut looks_after) = (EventPosition::EARLIEST, Vec::new(), 0);
    loop {
        let is_over = tasks.iter().all(tokio::task::JoinHandle::is_finished);
        let (filter, limit) = (EventFilter::default(), EventLimit::new(5).unwrap());
        let page = follower.events(EventQuery { after: place, filter, limit }).await.unwrap();
        place = page.next;
        seen.extend(page.events.iter().map(balance_domain::Event::id));
        // The head follows within a look or two.
        looks_after += usize::from(is_over && page.is_end);
        if looks_after == 5 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(seen.len(), usize::try_from(writers * rounds).unwrap());
    for user in 1..=4 {
        let of_user = seen.iter().filter(|id| id.starts_with(&format!("{user}-")));
        let expected: Vec<String> = (1..=writers * rounds / 4).map(|seq| format!("{user}-{seq}")).collect();
        assert!(of_user.eq(expected.iter()), "user {user}: {seen:?}");
    }
}

/// A copy carries the numbers: a restored ledger goes on behind them, and a place that lies behind its end is refused,
/// also once the ledger has grown past it.
#[tokio::test]
async fn a_restored_ledger_goes_on_and_knows_what_was_taken_back() {
    let Database { server, name, store, clock } = Database::migrated().await;
    Teller::new(Arc::new(store.clone()), clock.clone()).deposit(1, 100).await;
    let before = store.events_head().await.unwrap();
    drop(store);
    end_sessions(server, &name);
    let copy = server.create_database(Some(&name));
    let page =
        |after| EventQuery { after, filter: EventFilter::default(), limit: EventLimit::new(10).unwrap() };
    let store = PostgresStore::new(options(&server.url(&name)), Arc::new(clock.clone())).unwrap();
    Teller::new(Arc::new(store.clone()), clock.clone()).deposit(3, 5).await;
    let ahead = store.events(page(before)).await.unwrap().next;

    let restored = PostgresStore::new(options(&server.url(&copy)), Arc::new(clock.clone())).unwrap();
    assert!(matches!(restored.events(page(ahead)).await, Err(FeedError::Ahead)));
    assert_eq!(restored.events(page(before)).await.unwrap().events, []);
    Teller::new(Arc::new(restored.clone()), clock.clone()).deposit(2, 5).await;
    assert_eq!(shown(&restored).await, ["1-1", "2-1"]);
    assert!(
        matches!(restored.events(page(ahead)).await, Err(FeedError::Ahead)),
        "another batch has the number now"
    );
}
