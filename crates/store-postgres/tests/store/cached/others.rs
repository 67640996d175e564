//! What another instance, or somebody with a shell, has changed since.

use super::*;

/// Each of these makes what is cached of user 1 stale in another way.
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
    here.deposit(2, 100).await;
    here.reserve(order(2, 9, 1), 10, 60).await;
    here.deposit(2, 1).await;

    // It must not expire when its old deadline comes.
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

/// An account is cached with all of its reservations or not at all: one that was never seen here is due, too.
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

/// While another instance writes the same accounts, hardly any optimistic attempt fails.
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
    let work = (0..4).map(|worker: i64| {
        let store = stores[usize::try_from(worker % 2).unwrap()].clone();
        tokio::spawn(async move {
            for n in 0..80 {
                let batch = (0..3).map(|m| {
                    let (from, to) = ((n * 7 + m * 3 + worker) % USERS + 1, (n * 5 + m + 11) % USERS + 1);
                    let action = if from == to { deposit_of(from, 1) } else { transfer_of(from, to, 1) };
                    Submission::from(under(&format!("{worker}-{n}-{m}"), action))
                });
                let replies = store.execute(batch.collect()).await.unwrap();
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

/// A removal that waits in between does not make a batch without locks and one under locks wait for each other.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_of_a_service_closes_no_circle_of_waiting() {
    let two = Two::new().await;
    let (here, there) = (&two.here, &two.there);
    here.add_services(&[9, 8]).await;
    here.deposit(1, 100).await;
    here.reserve(order(1, 9, 1), 1, 60).await;
    // As a batch does it that locks its rows first.
    let locked = client(&two.database.server.url(&two.database.name)).await;
    let lock =
        "BEGIN; LOCK TABLE services IN ACCESS SHARE MODE; SELECT FROM accounts WHERE user_id = 1 FOR UPDATE";
    locked.batch_execute(lock).await.unwrap();
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
