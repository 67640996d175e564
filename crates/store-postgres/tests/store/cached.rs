//! Batches that are decided on cached rows: the writing statement notices what another instance has changed since,
//! and the batch is retried on a snapshot.

mod connections;
mod others;
mod reads;

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
use balance_store_postgres::PostgresOptions;

use crate::{
    database::{Database, client, options},
    gate::Gate,
};

/// One store with a cache, and another one on the same database.
struct Two {
    database: Database,
    here: Teller,
    there: Teller,
}

impl Two {
    async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// With a change of the options of the store with the cache.
    async fn with(change: impl FnOnce(&mut PostgresOptions)) -> Self {
        let mut database = Database::migrated().await;
        database.store = database.another(change);
        let here = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
        let there = Teller::new(Arc::new(database.another(|_| {})), database.clock.clone());
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
