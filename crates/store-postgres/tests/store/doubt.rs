//! Commits whose outcome is unknown, and commits that are refused: nothing is done twice, nothing acknowledged is
//! lost, nothing refused is acknowledged.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use balance_domain::{
    Command, Submission,
    ports::{BalanceRepo, Reply, RepoError},
};
use balance_postgres_harness::{Options, Server};
use balance_store_conformance::{
    SetClock, Teller, audit,
    teller::{deposit_of, transfer_of, under, user},
};
use balance_store_postgres::PostgresOptions;

use tokio::task::JoinHandle;

use crate::database::{Database, client, open, options};

/// All statements succeed, and then the commit does not.
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_commit_is_never_acknowledged() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    teller.deposit(1, 100).await;
    database.sql(
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'no'; END $$; \
         CREATE CONSTRAINT TRIGGER refuse AFTER INSERT ON operations DEFERRABLE INITIALLY DEFERRED \
             FOR EACH ROW EXECUTE FUNCTION refuse()",
    );
    let answer = teller.store().execute(vec![under("k", deposit_of(1, 5)).into()]).await;
    assert!(matches!(answer, Err(RepoError::Internal(_))), "{answer:?}");
    database.sql("DROP TRIGGER refuse ON operations");
    assert_eq!(teller.balance(1).await, (100, 0));
    assert!(!teller.accepted(under("k", deposit_of(1, 5))).await.is_replay);
    assert_eq!(teller.balance(1).await, (105, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_breaks_before_the_commit_is_replaced_unnoticed() {
    let database = Database::migrated().await;
    let teller = Teller::new(Arc::new(database.store.clone()), database.clock.clone());
    teller.deposit(1, 100).await;
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute("BEGIN; SELECT FROM accounts WHERE user_id = 1 FOR UPDATE").await.unwrap();
    let store = teller.store().clone();
    let batch = vec![under("k", deposit_of(1, 5)).into()];
    let waiting = tokio::spawn(async move { store.execute(batch).await });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let killed = database.sql(
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
         WHERE datname = current_database() AND wait_event_type = 'Lock'",
    );
    assert_eq!(killed, "1");
    other.batch_execute("COMMIT").await.unwrap();
    let replies = waiting.await.unwrap().unwrap();
    assert!(!replies[0].as_ref().unwrap()[0].is_replay);
    assert_eq!(teller.balance(1).await, (105, 0));
}

/// Connections die at random moments, commits included, while two instances work.
#[tokio::test(flavor = "multi_thread")]
async fn killed_connections_neither_lose_nor_double_anything() {
    const CALLS: i64 = 150;
    let database = Database::migrated().await;
    let instances = [database.store.clone(), database.another(|_| {})];
    let teller = Teller::new(Arc::new(instances[0].clone()), database.clock.clone());
    for id in 1..=8 {
        teller.deposit(id, 1_000).await;
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let killer = tokio::spawn({
        let (is_over, answered) = (is_over.clone(), answered.clone());
        let url = database.server.url(&database.name);
        async move {
            let client = client(&url).await;
            let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                        WHERE datname = current_database() AND pid <> pg_backend_pid()";
            let mut killed = 0;
            while !is_over.load(Ordering::Acquire) {
                killed += client.query_one(kill, &[]).await.unwrap().get::<_, i64>(0);
                // On a busy machine connecting may take longer than any fixed time.
                let enough = answered.load(Ordering::Acquire) + rand::random_range(1..8);
                while answered.load(Ordering::Acquire) < enough && !is_over.load(Ordering::Acquire) {
                    tokio::time::sleep(Duration::from_millis(1)).await;
                }
                tokio::time::sleep(Duration::from_millis(rand::random_range(0..15))).await;
            }
            killed
        }
    });
    let work = instances.into_iter().enumerate().map(|(instance, store)| {
        let answered = answered.clone();
        tokio::spawn(async move {
            let mut first_times = 0;
            for n in 0..CALLS {
                let transfer = transfer_of(n % 8 + 1, (n + 3) % 8 + 1, 1);
                let batch: Vec<Submission> = vec![
                    under(&format!("d-{instance}-{n}"), deposit_of(n % 8 + 1, 2)).into(),
                    under(&format!("t-{instance}-{n}"), transfer).into(),
                ];
                // What is not decided in time may be retried for ever.
                let replies = loop {
                    match store.execute(batch.clone()).await {
                        Ok(replies) => break replies,
                        Err(RepoError::Unavailable(_) | RepoError::Unknown(_)) => {}
                        Err(other) => panic!("{other}"),
                    }
                };
                answered.fetch_add(1, Ordering::AcqRel);
                first_times += replies.iter().filter(|reply| !reply.as_ref().unwrap()[0].is_replay).count();
            }
            first_times
        })
    });
    for worker in work.collect::<Vec<_>>() {
        assert!(worker.await.unwrap() > 0);
    }
    is_over.store(true, Ordering::Release);
    assert!(killer.await.unwrap() > 20, "too few connections were killed to say anything");
    let survivor = database.another(|_| {});
    let summary = audit(&(Arc::new(survivor) as Arc<dyn balance_store_conformance::Store>)).await;
    assert_eq!(summary.paid_in, i128::from(8 * 1_000 + 2 * CALLS * 2));
    assert_eq!(summary.operations, u64::try_from(8 + 2 * CALLS * 3).unwrap());
}

/// A server whose commits wait for a standby that does not exist, as soon as one is demanded.
struct Unconfirmed {
    server: Server,
    teller: Teller,
}

impl Unconfirmed {
    /// Nothing is demanded yet. Users 1 to 3 have 100 each, which is cached.
    async fn new(deadline: Duration) -> Self {
        let server = Server::start(Options { durable: true, ..Options::default() });
        let clock = SetClock::default();
        let store = open(PostgresOptions { deadline, ..options(&server.url("postgres")) }, &clock);
        store.migrate().await.unwrap();
        let teller = Teller::new(Arc::new(store), clock);
        for id in 1..=3 {
            teller.deposit(id, 100).await;
        }
        Self { server, teller }
    }

    /// From now on this standby must confirm commits; none if it has no name.
    async fn demand(&self, standby: &str) {
        self.server.psql("postgres", &format!("ALTER SYSTEM SET synchronous_standby_names = '{standby}'"));
        self.server.psql("postgres", "SELECT pg_reload_conf()");
        tokio::time::sleep(Duration::from_millis(300)).await;
    }

    /// Begins a batch and waits until its commit waits for the standby.
    async fn begin(&self, batch: Vec<Submission>) -> JoinHandle<Result<Vec<Reply>, RepoError>> {
        let store = self.teller.store().clone();
        let running = tokio::spawn(async move { store.execute(batch).await });
        while self
            .server
            .psql("postgres", "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            == "0"
        {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        running
    }

    /// Runs a batch that must not be answered as done.
    async fn assert_unanswered(&self, batch: Vec<Submission>) {
        let answer = self.teller.store().execute(batch).await;
        let is_done = matches!(&answer, Ok(replies) if replies.iter().any(Result::is_ok));
        assert!(!is_done, "answered before any standby had it: {answer:?}");
    }

    /// Ends what nobody waits for any more: the server goes on waiting for the standby.
    async fn end_waits(&self) {
        self.server.psql(
            "postgres",
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
        );
        let start = std::time::Instant::now();
        while self.waits() {
            assert!(start.elapsed() < Duration::from_secs(20), "the waits do not end");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    fn waits(&self) -> bool {
        let waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        self.server.psql("postgres", waiting) != "0"
    }
}

fn deposit_once() -> Vec<Submission> {
    vec![under("once", deposit_of(1, 5)).into()]
}

/// A commit that no standby has confirmed has happened here, and would be lost with this server: nobody may be
/// answered.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_that_no_standby_confirms_is_unknown_and_so_is_its_repeat() {
    let unconfirmed = Unconfirmed::new(Duration::from_millis(2_500)).await;
    unconfirmed.demand("ghost").await;
    let deposit = |id| vec![under("once", deposit_of(id, 5)).into()];
    for (id, how) in [(1, ""), (2, "pg_cancel_backend"), (3, "pg_terminate_backend")] {
        let running = unconfirmed.begin(deposit(id)).await;
        if !how.is_empty() {
            // Not until none is left: the retry begins to wait at once.
            let end = format!("SELECT {how}(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'");
            unconfirmed.server.psql("postgres", &end);
        }
        let first = running.await.unwrap();
        assert!(matches!(first, Err(RepoError::Unknown(_))), "{how}: {first:?}");
        // Unknown where it finds the first done; where that still waits it may also be refused, for its lock.
        unconfirmed.assert_unanswered(deposit(id)).await;
        unconfirmed.end_waits().await;
        unconfirmed.assert_unanswered(deposit(id)).await;
        unconfirmed.end_waits().await;
    }
    unconfirmed.server.restart();
    unconfirmed.assert_unanswered(deposit(1)).await;
    unconfirmed.demand("").await;
    for id in 1..=3 {
        assert!(unconfirmed.teller.accepted(under("once", deposit_of(id, 5))).await.is_replay);
        assert_eq!(unconfirmed.teller.balance(id).await, (105, 0));
    }
}

/// Settings of the database cannot keep the warning of an unconfirmed commit from the service.
#[tokio::test(flavor = "multi_thread")]
async fn a_quiet_server_still_warns_of_a_commit_that_no_standby_confirmed() {
    let unconfirmed = Unconfirmed::new(Duration::from_millis(2_500)).await;
    unconfirmed.server.psql("postgres", "ALTER DATABASE postgres SET client_min_messages = 'error'");
    let clock = SetClock::default();
    let given = options(&unconfirmed.server.url("postgres"));
    let store = open(PostgresOptions { deadline: Duration::from_millis(2_500), ..given }, &clock);
    let unconfirmed = Unconfirmed { teller: Teller::new(Arc::new(store), clock), ..unconfirmed };
    unconfirmed.demand("ghost").await;
    let running = unconfirmed.begin(deposit_once()).await;
    let end = "SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    unconfirmed.server.psql("postgres", end);
    let answer = running.await.unwrap();
    assert!(matches!(answer, Err(RepoError::Unknown(_))), "{answer:?}");
}

/// The commit lands while its connection is cut. What finds that done is answered once the standby has confirmed it.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_broken_connection_committed_is_answered_when_it_is_confirmed() {
    let close = || vec![Submission::from(Command::Close { user_id: user(2) })];
    for (batch, done) in [
        (deposit_once(), "SELECT available = 105 FROM accounts WHERE user_id = 1"),
        (close(), "SELECT closed FROM accounts WHERE user_id = 2"),
    ] {
        let unconfirmed = Unconfirmed::new(Duration::from_secs(20)).await;
        unconfirmed.teller.withdraw(2, 100).await;
        unconfirmed.demand("ghost").await;
        let running = unconfirmed.begin(batch).await;
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        unconfirmed.server.psql("postgres", end);
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert!(!running.is_finished(), "answered before any standby had it");
        assert_eq!(unconfirmed.server.psql("postgres", done), "t");
        unconfirmed.demand("").await;
        let replies = running.await.unwrap().unwrap();
        let accepted = replies[0].as_ref().unwrap();
        assert!(!accepted[0].is_replay, "this call did it: {accepted:?}");
    }
}
