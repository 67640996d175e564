//! A synchronous standby that is away: whatever ends the wait for it, and however often a caller repeats, what was
//! acknowledged is there after its promotion.

use std::{sync::Arc, time::Duration};

use balance_domain::{
    Month, RevenueReport, Submission,
    ports::{BalanceRepo, RepoError, ReportRepo},
};
use balance_postgres_harness::{Options, Server};
use balance_store_conformance::{
    SetClock, Teller, audit,
    teller::{at, deposit_of, under},
};
use balance_store_postgres::{PostgresOptions, PostgresStore};

use crate::database::{open, options};

/// A server and its standby, which must confirm every commit and has stopped.
struct Pair {
    primary: Server,
    standby: Server,
}

impl Pair {
    /// Two servers with a ledger in which user 1 has 100.
    async fn with_some_money() -> Self {
        let primary = Server::start(Options { durable: true, ..Options::default() });
        let store = store(&primary);
        store.migrate().await.unwrap();
        Teller::new(Arc::new(store), SetClock::default()).deposit(1, 100).await;
        let standby = primary.standby("s1");
        demand(&primary, "s1").await;
        standby.stop();
        Self { primary, standby }
    }

    /// The primary is lost, the standby takes over.
    async fn fail_over(&self) -> Teller {
        self.primary.kill_9();
        self.standby.restart();
        self.standby.promote();
        demand(&self.standby, "").await;
        let teller = Teller::new(Arc::new(store(&self.standby)), SetClock::default());
        assert_eq!(teller.balance(1).await, (100, 0), "what nobody acknowledged is gone");
        assert!(!teller.accepted(deposit("b")).await.is_replay);
        audit(teller.store()).await;
        teller
    }

    /// Sessions that wait for the standby.
    fn waiting(&self) -> bool {
        self.primary.psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            != "0"
    }

    fn end_the_wait(&self, function: &str) {
        let end = format!("SELECT {function}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
        self.primary.psql("postgres", &end);
    }
}

/// Which standby must confirm commits.
async fn demand(server: &Server, name: &str) {
    server.psql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{name}'"));
    server.psql("postgres", "SELECT pg_reload_conf()");
    // Statements of sessions that have not read it yet would prove nothing.
    while server.psql("postgres", "SHOW synchronous_standby_names") != name {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    tokio::time::sleep(Duration::from_millis(300)).await;
}

fn store(server: &Server) -> PostgresStore {
    let url = server.url("postgres");
    open(PostgresOptions { deadline: Duration::from_secs(3), ..options(&url) }, &SetClock::default())
}

fn deposit(key: &str) -> balance_domain::MoneyCommand {
    under(key, deposit_of(1, 50))
}

async fn try_deposit(store: &PostgresStore) -> Result<(), RepoError> {
    let replies = store.execute(vec![Submission::from(deposit("b"))]).await?;
    // A refusal would be a lie as well.
    replies[0].as_ref().unwrap();
    Ok(())
}

/// Deposits while the standby is away, ends the wait in this way, and repeats: no answer may be yes.
async fn is_never_acknowledged(pair: &Pair, store: PostgresStore, end: impl FnOnce(&Pair)) {
    let first = tokio::spawn({
        let store = store.clone();
        async move { try_deposit(&store).await }
    });
    while !pair.waiting() {
        assert!(!first.is_finished(), "{:?}", first.await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    end(pair);
    let first = first.await.unwrap();
    assert!(matches!(first, Err(RepoError::Unknown(_))), "{first:?}");
    for _ in 0..2 {
        let repeated = try_deposit(&store).await;
        assert!(matches!(repeated, Err(RepoError::Unknown(_) | RepoError::Unavailable(_))), "{repeated:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_terminated_acknowledges_nothing() {
    let pair = Pair::with_some_money().await;
    let store = store(&pair.primary);
    is_never_acknowledged(&pair, store, |pair| pair.end_the_wait("pg_terminate_backend")).await;
    pair.fail_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_is_cancelled_acknowledges_nothing() {
    let pair = Pair::with_some_money().await;
    let store = store(&pair.primary);
    is_never_acknowledged(&pair, store, |pair| pair.end_the_wait("pg_cancel_backend")).await;
    pair.fail_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wait_that_ends_with_a_restart_acknowledges_nothing() {
    let pair = Pair::with_some_money().await;
    let store = store(&pair.primary);
    is_never_acknowledged(&pair, store, |pair| pair.primary.restart()).await;
    pair.fail_over().await;
}

/// The warning that tells of a cancelled wait cannot be switched off for the sessions of the service.
#[tokio::test(flavor = "multi_thread")]
async fn no_setting_hides_that_a_wait_was_cancelled() {
    let pair = Pair::with_some_money().await;
    demand(&pair.primary, "").await;
    for setting in ["DATABASE postgres", "ROLE postgres", "SYSTEM"] {
        pair.primary.psql("postgres", &format!("ALTER {setting} SET client_min_messages = 'error'"));
    }
    demand(&pair.primary, "s1").await;
    let store = store(&pair.primary);
    is_never_acknowledged(&pair, store, |pair| pair.end_the_wait("pg_cancel_backend")).await;
    pair.fail_over().await;
}

/// With `local` the server would not wait for the standby at all, so sessions have a setting of their own: also those
/// that were there before a standby was demanded.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_commits_past_its_standby_is_made_to_wait() {
    let pair = Pair::with_some_money().await;
    demand(&pair.primary, "").await;
    pair.primary.psql("postgres", "ALTER DATABASE postgres SET synchronous_commit = 'local'");
    let store = store(&pair.primary);
    try_deposit(&store).await.unwrap();
    demand(&pair.primary, "nobody").await;
    for attempt in 0..3 {
        let said = try_deposit(&store).await;
        assert!(
            matches!(said, Err(RepoError::Unknown(_) | RepoError::Unavailable(_))),
            "attempt {attempt}: {said:?}"
        );
    }
}

/// A final report that is found is as good as built, so it is confirmed as well.
#[tokio::test(flavor = "multi_thread")]
async fn a_final_report_is_not_answered_before_the_standby_has_it() {
    let pair = Pair::with_some_money().await;
    let store = store(&pair.primary);
    let report = RevenueReport {
        month: Month::new(2026, 10).unwrap(),
        is_final: true,
        built_at: at("2026-11-24T09:30:00Z"),
        lines: vec![],
    };
    for attempt in 0..3 {
        let saved = store.save_report(report.clone()).await;
        assert!(matches!(saved, Err(RepoError::Unknown(_))), "attempt {attempt}: {saved:?}");
        // Until then it holds the row.
        pair.end_the_wait("pg_terminate_backend");
    }
    let teller = pair.fail_over().await;
    assert_eq!(teller.store().report(report.month).await.unwrap(), None);
}

/// An audit reads a standby, and leaves the server that serves alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_can_be_audited() {
    let primary = Server::start(Options { durable: true, ..Options::default() });
    let served = store(&primary);
    served.migrate().await.unwrap();
    Teller::new(Arc::new(served), SetClock::default()).deposit(1, 100).await;
    let standby = primary.standby("s1");
    while standby.psql("postgres", "SELECT sum(available) FROM accounts") != "100" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let on_standby = store(&standby);
    let refused = on_standby.ready().await;
    assert!(matches!(refused, Err(RepoError::Unavailable(_))), "it serves nobody: {refused:?}");
    let summary = audit(&(Arc::new(on_standby) as Arc<dyn balance_store_conformance::Store>)).await;
    assert_eq!(summary.paid_in, 100);
}
