//! Another server takes over, with the cache warm: a standby that has everything that was acknowledged, or one that
//! lost the last commits.

use std::{sync::Arc, time::Duration};

use balance_domain::{
    Submission,
    ports::{BalanceRepo, OptimisticBatches, RepoError, StoreFigures},
};
use balance_postgres_harness::{Options, Server};
use balance_store_conformance::{
    SetClock, Teller, audit,
    teller::{deposit_of, order, under, withdrawal_of},
};
use balance_store_postgres::{PostgresOptions, PostgresStore};

use crate::{
    database::{open, options},
    gate::Gate,
};

/// A primary and its standby, and a store whose connections can be led to either.
struct Pair {
    primary: Server,
    standby: Server,
    gate: Gate,
    store: PostgresStore,
    teller: Teller,
}

impl Pair {
    async fn new(is_synchronous: bool) -> Self {
        let primary = Server::start(Options { durable: true, ..Options::default() });
        let gate = Gate::before(primary.port()).await;
        let url = primary.url("postgres");
        let given =
            PostgresOptions { deadline: Duration::from_secs(3), ..options(&gate.url(&url, primary.port())) };
        let clock = SetClock::default();
        let store = open(given, &clock);
        store.migrate().await.unwrap();
        let standby = primary.standby("s1");
        let teller = Teller::new(Arc::new(store.clone()), clock);
        let pair = Self { primary, standby, gate, store, teller };
        pair.demand(if is_synchronous { "s1" } else { "" }).await;
        pair
    }

    /// From now on this standby must confirm commits; none if it has no name.
    async fn demand(&self, standby: &str) {
        self.primary.psql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'"));
        self.primary.psql("postgres", "SELECT pg_reload_conf()");
        let wanted = if standby.is_empty() { "async" } else { "sync" };
        while self.primary.psql("postgres", "SELECT sync_state FROM pg_stat_replication") != wanted {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Has the standby stop taking part, so that it lacks what is written from now on.
    fn stop_replication(&self) {
        self.standby.psql("postgres", "ALTER SYSTEM SET primary_conninfo = ''");
        self.standby.psql("postgres", "SELECT pg_reload_conf()");
        while self.primary.psql("postgres", "SELECT count(*) FROM pg_stat_replication") != "0" {
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The primary is lost, the standby takes over.
    async fn fail_over(&self) {
        self.primary.kill_9();
        self.standby.promote();
        self.gate.lead_to(self.standby.port());
        while self.store.ready().await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

fn deposit(key: &str, id: i64, amount: i64) -> Vec<Submission> {
    vec![under(key, deposit_of(id, amount)).into()]
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cache_outlives_a_fail_over_that_lost_nothing() {
    let pair = Pair::new(true).await;
    let teller = &pair.teller;
    teller.add_services(&[9]).await;
    for id in 1..=4 {
        teller.deposit(id, 100).await;
        teller.reserve(order(id, 9, 1), 10, 600).await;
    }
    let before = pair.store.optimistic_batches();
    pair.fail_over().await;
    for id in 1..=4 {
        teller.deposit(id, 1).await;
        teller.capture(order(id, 9, 1), None).await;
        assert_eq!(teller.balance(id).await, (91, 0));
    }
    let OptimisticBatches { confirmed, repeated } = pair.store.optimistic_batches();
    assert_eq!((confirmed - before.confirmed, repeated), (8, before.repeated));
    audit(teller.store()).await;
}

/// The standby is asynchronous and lacks the last commits, which the cache knows. Another instance then writes
/// operations of the same numbers, which leave the rows in the same places.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_fail_over_lost_is_not_believed() {
    let pair = Pair::new(false).await;
    let teller = &pair.teller;
    for id in 1..=2 {
        teller.deposit(id, 100).await;
    }
    while pair.standby.psql("postgres", "SELECT sum(available) FROM accounts") != "200" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    pair.stop_replication();
    for id in 1..=2 {
        teller.deposit(id, 1_000).await;
    }
    pair.fail_over().await;
    let clock = SetClock::default();
    let other = open(options(&pair.standby.url("postgres")), &clock);
    let other = Teller::new(Arc::new(other), clock);
    other.accepted(under("theirs", deposit_of(1, 7))).await;

    assert_eq!((teller.balance(1).await, teller.balance(2).await), ((107, 0), (100, 0)));
    for id in 1..=2 {
        let refused = teller.batch(vec![under("much", withdrawal_of(id, 900)).into()]).await;
        assert!(refused[0].is_err(), "withdrawn from what is not there: {refused:?}");
        teller.accepted(under("ours", deposit_of(id, 1))).await;
    }
    assert_eq!((teller.balance(1).await, teller.balance(2).await), ((108, 0), (101, 0)));
    audit(teller.store()).await;
}

/// Whatever ends the wait for the standby: what is answered as accepted is there after the fail-over.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_on_the_standby() {
    for how in ["pg_cancel_backend", "pg_terminate_backend"] {
        let pair = Pair::new(true).await;
        pair.teller.deposit(1, 100).await;
        pair.stop_replication();
        let store = pair.teller.store().clone();
        let first = tokio::spawn(async move { store.execute(deposit("b", 1, 50)).await });
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        while pair.primary.psql("postgres", waiting) == "0" {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let end = format!("SELECT {how}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        pair.primary.psql("postgres", &end);
        let first = first.await.unwrap();
        assert!(matches!(first, Err(RepoError::Unknown(_))), "{how}: {first:?}");
        let repeat = pair.teller.store().execute(deposit("b", 1, 50)).await;
        assert!(!matches!(&repeat, Ok(replies) if replies[0].is_ok()), "{how}: {repeat:?}");

        pair.fail_over().await;
        assert_eq!(pair.teller.balance(1).await, (100, 0), "{how}");
        assert!(!pair.teller.accepted(under("b", deposit_of(1, 50))).await.is_replay);
        audit(pair.teller.store()).await;
    }
}
