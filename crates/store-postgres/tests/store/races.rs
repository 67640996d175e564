//! Several instances of the service on one database.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use balance_domain::{
    Removal, Submission,
    ports::{BalanceRepo, ServiceRepo},
};
use balance_store_conformance::{
    SetClock, Teller, audit,
    teller::{amount, deposit_of, name, order, reserve_of, service, transfer_of, under, user},
};
use balance_store_postgres::PostgresStore;

use crate::database::Database;

#[tokio::test(flavor = "multi_thread")]
async fn opposing_transfers_of_two_instances_never_deadlock() {
    const USERS: i64 = 6;
    let database = Database::migrated().await;
    let instances = [database.store.clone(), database.another(|_| {})];
    let teller = Teller::new(Arc::new(instances[0].clone()), database.clock.clone());
    for id in 1..=USERS {
        teller.deposit(id, 10_000).await;
    }
    let work = (0..8).map(|worker: i64| {
        let store = instances[usize::try_from(worker % 2).unwrap()].clone();
        tokio::spawn(async move {
            for n in 0..60 {
                // Batches of several pairs, each the other way round than the other instance's.
                let batch = (0..4).map(|m| {
                    let (a, b) = ((n + m) % USERS + 1, (n + m + 1 + m % 3) % USERS + 1);
                    let (from, to) = if worker % 2 == 0 { (a, b) } else { (b, a) };
                    Submission::from(under(&format!("{worker}-{n}-{m}"), transfer_of(from, to, 1)))
                });
                let replies = store.execute(batch.collect()).await.unwrap();
                assert!(replies.iter().all(Result::is_ok), "{replies:?}");
            }
        })
    });
    for worker in work.collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    let summary = audit(teller.store()).await;
    assert_eq!((summary.paid_in, summary.operations), (60_000, 6 + 8 * 60 * 4 * 2));
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(database.sql(deadlocks), "0");
}

#[tokio::test(flavor = "multi_thread")]
async fn accounts_made_by_two_instances_at_once_are_one() {
    const ROUNDS: i64 = 25;
    let database = Database::migrated().await;
    let instances = [database.store.clone(), database.another(|_| {})];
    let teller = Teller::new(Arc::new(instances[0].clone()), database.clock.clone());
    teller.deposit(1, 1_000_000).await;
    let opened = Arc::new(AtomicI64::new(0));
    for round in 0..ROUNDS {
        let work = (0..6).map(|worker: i64| {
            let store = instances[usize::try_from(worker % 2).unwrap()].clone();
            let opened = opened.clone();
            tokio::spawn(async move {
                // Each names the same ten new users, existing and unknown ones between them, in another order.
                let batch = (0..10).map(|n| {
                    let new = 100 + round * 10 + (n * 7 + worker) % 10;
                    let key = format!("{round}-{worker}-{n}");
                    match n % 3 {
                        0 => Submission::from(under(&key, transfer_of(1, new, 1))),
                        1 => under(&key, deposit_of(new, 1)).into(),
                        _ => under(&key, reserve_of(order(new, 9, n + 1), 1, 60)).into(),
                    }
                });
                let replies = store.execute(batch.collect()).await.unwrap();
                let deposits = replies.iter().enumerate().filter(|(n, reply)| n % 3 == 1 && reply.is_ok());
                opened.fetch_add(i64::try_from(deposits.count()).unwrap(), Ordering::Relaxed);
            })
        });
        for worker in work.collect::<Vec<_>>() {
            worker.await.unwrap();
        }
    }
    let summary = audit(teller.store()).await;
    assert_eq!(summary.paid_in, i128::from(1_000_000 + opened.load(Ordering::Relaxed)));
    assert_eq!(opened.load(Ordering::Relaxed), ROUNDS * 6 * 3);
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(database.sql(deadlocks), "0");
}

/// Either the service was used and is retired, or it is gone and nobody has a reservation for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_removal_comes_wholly_before_or_after_a_reserve() {
    let database = Database::migrated().await;
    let other = database.another(|_| {});
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    for id in 1..=4 {
        teller.deposit(id, 1_000_000).await;
    }
    let mut removals = [0, 0];
    for id in 1..=60 {
        database.store.add_services(vec![(service(id), name(&format!("s-{id}")))]).await.unwrap().unwrap();
        let reserves = (1..=4).map(|user_id| {
            let store = database.store.clone();
            tokio::spawn(async move {
                let reserve = under(&format!("r-{id}"), reserve_of(order(user_id, id, 1), 1, 600));
                store.execute(vec![reserve.into()]).await.unwrap()[0].is_ok()
            })
        });
        let reserves: Vec<_> = reserves.collect();
        if id % 3 == 0 {
            tokio::task::yield_now().await;
        }
        let removal = other.remove_service(service(id)).await.unwrap().unwrap();
        let late = under(&format!("late-{id}"), reserve_of(order(1, id, 2), 1, 600));
        assert!(teller.submit(late).await.is_err(), "accepted after the removal's reply");
        let mut accepted = 0;
        for reserve in reserves {
            accepted += i32::from(reserve.await.unwrap());
        }
        let kept = database.store.service(service(id)).await.unwrap();
        match removal {
            Removal::Deleted => assert_eq!((accepted, kept), (0, None), "service {id}"),
            Removal::Retired => assert!(accepted > 0 && kept.is_some(), "service {id}: {accepted}"),
        }
        removals[usize::from(removal == Removal::Retired)] += 1;
    }
    assert!(removals.iter().all(|count| *count > 0), "only one of both ways was met: {removals:?}");
    audit(teller.store()).await;
}

/// Nothing is cached, so that every attempt reads a snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn without_a_cache_one_key_at_two_instances_at_once_has_one_effect() {
    let database = Database::migrated().await;
    let instance = || database.another(|options| options.recent_accounts_max = 0);
    one_key_at_once_has_one_effect([instance(), instance()]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_at_two_instances_at_once_has_one_effect() {
    let database = Database::migrated().await;
    one_key_at_once_has_one_effect([database.store.clone(), database.another(|_| {})]).await;
}

async fn one_key_at_once_has_one_effect(instances: [PostgresStore; 2]) {
    let teller = Teller::new(Arc::new(instances[0].clone()), SetClock::default());
    for round in 0..40 {
        // Half of the rounds open the account with the race.
        let user_id = if round % 2 == 0 { 1 } else { 100 + round };
        let calls = (0..8).map(|n| {
            let store = instances[n % 2].clone();
            let batch = vec![under(&format!("k-{round}"), deposit_of(user_id, 5)).into()];
            tokio::spawn(async move { store.execute(batch).await.unwrap().remove(0).unwrap().remove(0) })
        });
        let mut first_times = 0;
        let mut receipts = Vec::new();
        for call in calls.collect::<Vec<_>>() {
            let accepted = call.await.unwrap();
            first_times += i32::from(!accepted.is_replay);
            receipts.push(accepted.receipt);
        }
        assert_eq!(first_times, 1);
        assert!(receipts.windows(2).all(|pair| pair[0] == pair[1]), "{receipts:?}");
    }
    assert_eq!(teller.account(1).await.unwrap().available, amount(20 * 5).get());
    assert_eq!(teller.account(101).await.map(|account| account.user_id), Some(user(101)));
}
