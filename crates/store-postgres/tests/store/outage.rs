//! A server that is away, comes back, or freezes.

use std::{
    process::Command,
    sync::Arc,
    time::{Duration, Instant},
};

use balance_domain::ports::{BalanceRepo, Reply, RepoError};
use balance_postgres_harness::{Options, Server};
use balance_store_conformance::{
    SetClock, Teller, audit,
    teller::{deposit_of, under, user},
};
use balance_store_postgres::PostgresOptions;

use crate::database::open;

fn impatient(server: &Server) -> PostgresOptions {
    PostgresOptions { deadline: Duration::from_millis(700), ..PostgresOptions::new(server.url("postgres")) }
}

fn durable() -> Server {
    Server::start(Options { durable: true, ..Options::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_was_away_at_start_is_found_when_it_comes() {
    let server = durable();
    server.stop();
    let clock = SetClock::default();
    let store = open(impatient(&server), &clock);
    assert!(matches!(store.ready().await, Err(RepoError::Unavailable(_))));
    assert!(matches!(store.migrate().await, Err(RepoError::Unavailable(_))));
    let teller = Teller::new(Arc::new(store.clone()), clock.clone());
    let answer = store.execute(vec![under("k", deposit_of(1, 5)).into()]).await;
    assert!(matches!(answer, Err(RepoError::Unavailable(_))), "{answer:?}");
    server.restart();
    store.migrate().await.unwrap();
    store.ready().await.unwrap();
    assert!(!teller.accepted(under("k", deposit_of(1, 5))).await.is_replay);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_acknowledged_and_stale_connections_go_unnoticed() {
    let server = durable();
    let clock = SetClock::default();
    let store = open(PostgresOptions::new(server.url("postgres")), &clock);
    store.migrate().await.unwrap();
    let teller = Teller::new(Arc::new(store), clock.clone());
    let mut acknowledged = 0;
    for round in 0..5 {
        for n in 0..20 {
            teller.accepted(under(&format!("{round}-{n}"), deposit_of(n % 4 + 1, 1))).await;
            acknowledged += 1;
        }
        server.kill_9();
        server.restart();
        // The first call after the restart is a read or a write, on connections that are dead.
        if round % 2 == 0 {
            assert!(teller.store().accounts(vec![user(1)]).await.unwrap()[0].is_some());
        }
        assert!(teller.accepted(under(&format!("{round}-0"), deposit_of(1, 1))).await.is_replay);
    }
    assert_eq!(audit(teller.store()).await.paid_in, acknowledged);
}

/// The kernel goes on acknowledging what a frozen server is sent: only the store's own deadline helps.
/// A batch under locks that the server never began: nothing was executed.
#[tokio::test(flavor = "multi_thread")]
async fn a_frozen_server_is_an_outage_in_time() {
    let write = while_frozen(|options| options.recent_accounts_max = 0).await;
    assert!(matches!(write, Err(RepoError::Unavailable(_))), "{write:?}");
}

/// A batch without a look-up is sent as a whole, and may happen when the server wakes up: it must not be called not
/// executed.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_frozen_server_was_sent_whole_is_unknown() {
    let write = while_frozen(|_| {}).await;
    assert!(matches!(write, Err(RepoError::Unknown(_))), "{write:?}");
}

/// The error of a write that is made while all processes of the server are stopped; reads report an outage, and
/// afterwards the same command has its effect once.
async fn while_frozen(change: impl FnOnce(&mut PostgresOptions)) -> Result<Vec<Reply>, RepoError> {
    let server = durable();
    let mut options = impatient(&server);
    change(&mut options);
    let clock = SetClock::default();
    let store = open(options, &clock);
    store.migrate().await.unwrap();
    let teller = Teller::new(Arc::new(store), clock.clone());
    teller.deposit(1, 100).await;
    let backends = server.psql(
        "postgres",
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()",
    );
    let mut processes: Vec<String> = backends.lines().map(str::to_owned).collect();
    processes.push(server.pid().to_string());
    let signal =
        |name: &str| assert!(Command::new("kill").arg(name).args(&processes).status().unwrap().success());
    signal("-STOP");
    let start = Instant::now();
    let write = teller.store().execute(vec![under("k", deposit_of(1, 5)).into()]).await;
    let read = teller.store().accounts(vec![user(1)]).await;
    let took = start.elapsed();
    signal("-CONT");
    assert!(matches!(read, Err(RepoError::Unavailable(_))), "{read:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
    teller.accepted(under("k", deposit_of(1, 5))).await;
    assert_eq!(teller.balance(1).await, (105, 0));
    audit(teller.store()).await;
    write
}
