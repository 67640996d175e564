//! The bounds in time: the server's and the store's own. Each fires here, and the store works on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, Instant},
};

use balance_domain::{
    Month, RevenueReport,
    ports::{RepoError, ReportRepo},
};
use balance_store_conformance::{
    Teller, audit,
    teller::{at, deposit_of, order, reserve_of, under},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream, tcp::OwnedReadHalf, tcp::OwnedWriteHalf},
};

use crate::database::{Database, client};

const MONTH: (i16, i8) = (2026, 10);

fn month() -> Month {
    Month::new(MONTH.0, MONTH.1).unwrap()
}

/// Makes the insertion of operations (or reports) take half a minute.
fn slow_down(database: &Database, table: &str) {
    database.sql(&format!(
        "CREATE FUNCTION sleep() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(30); RETURN NEW; END $$; \
         CREATE TRIGGER sleep BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION sleep()"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_statement_that_takes_too_long_is_ended_by_the_server() {
    let database = Database::migrated().await;
    let store = database.another(|options| {
        options.statement_timeout = Duration::from_millis(200);
    });
    let teller = Teller::new(Arc::new(store), database.clock.clone());
    teller.deposit(1, 100).await;
    slow_down(&database, "operations");
    let start = Instant::now();
    let answer = teller.store().execute(vec![under("k", deposit_of(1, 5)).into()]).await;
    assert!(
        matches!(&answer, Err(RepoError::Unavailable(why)) if why.to_string().contains("SQLSTATE 57014")),
        "{answer:?}"
    );
    assert!(start.elapsed() < Duration::from_secs(15), "{:?}", start.elapsed());
    database.sql("DROP TRIGGER sleep ON operations");
    assert!(!teller.accepted(under("k", deposit_of(1, 5))).await.is_replay);
    assert_eq!(teller.balance(1).await, (105, 0));
    audit(teller.store()).await;
}

/// The write of a batch does not reach the server, which ends the transaction; the batch is retried.
#[tokio::test(flavor = "multi_thread")]
async fn a_transaction_that_is_left_idle_is_ended_by_the_server() {
    let database = Database::migrated().await;
    let relay = Relay::before(database.server.port()).await;
    let store = database.another(|options| {
        options.url =
            options.url.replace(&format!(":{}/", database.server.port()), &format!(":{}/", relay.port));
        options.idle_in_transaction_timeout = Duration::from_millis(200);
    });
    let teller = Teller::new(Arc::new(store), database.clock.clone());
    teller.add_services(&[7]).await;
    teller.deposit(1, 100).await;
    let ended = "SELECT pg_sleep(0.3); SELECT sessions_fatal FROM pg_stat_database WHERE datname = current_database()";
    assert_eq!(database.sql(ended).trim(), "0");
    // The first reservation for a service marks it, which takes a transaction of several statements.
    relay.state.store(Relay::AWAITS_BEGIN, Ordering::SeqCst);
    assert!(!teller.accepted(under("k", reserve_of(order(1, 7, 1), 5, 60))).await.is_replay);
    assert_eq!(relay.state.load(Ordering::SeqCst), Relay::OPEN, "something was held back");
    assert_eq!(teller.balance(1).await, (95, 5));
    audit(teller.store()).await;
    let start = Instant::now();
    while database.sql(ended).trim() != "1" {
        assert!(start.elapsed() < Duration::from_secs(10), "the server ended no session");
    }
}

/// A read is tried again, but not beyond the deadline of the call.
#[tokio::test(flavor = "multi_thread")]
async fn all_attempts_of_a_read_share_one_deadline() {
    let database = Database::migrated().await;
    let store = database.another(|options| {
        options.lock_timeout = Duration::from_millis(1_500);
        options.deadline = Duration::from_secs(2);
    });
    let other = client(&database.server.url(&database.name)).await;
    other.batch_execute("BEGIN; LOCK TABLE reports IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let start = Instant::now();
    let answer = store.report(month()).await;
    assert!(matches!(answer, Err(RepoError::Unavailable(_))), "{answer:?}");
    // Three attempts with a deadline each would take 4.5 seconds.
    assert!(start.elapsed() < Duration::from_millis(3_900), "{:?}", start.elapsed());
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(store.report(month()).await.unwrap(), None);
}

/// Between its begin and its commit, too, work waits no longer than the deadline.
#[tokio::test(flavor = "multi_thread")]
async fn the_work_of_a_transaction_has_a_deadline() {
    let database = Database::migrated().await;
    let store = database.another(|options| {
        options.statement_timeout = Duration::from_mins(1);
        options.deadline = Duration::from_millis(700);
    });
    slow_down(&database, "reports");
    let report = RevenueReport {
        month: month(),
        is_final: false,
        built_at: at("2026-11-24T09:30:00Z"),
        lines: vec![],
    };
    let start = Instant::now();
    let answer = store.save_report(report.clone()).await;
    assert!(matches!(answer, Err(RepoError::Unavailable(_))), "{answer:?}");
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    database.sql("DROP TRIGGER sleep ON reports");
    // The same connections work again; on a busy machine a call may miss so short a deadline.
    let start = Instant::now();
    while store.save_report(report.clone()).await.is_err() {
        assert!(start.elapsed() < Duration::from_secs(20), "reports cannot be saved any more");
    }
    assert_eq!(store.report(month()).await.unwrap(), Some(report));
}

/// Stands between store and server. On demand it lets the next BEGIN of a batch pass and holds back what comes after it
/// until the server has closed that connection.
struct Relay {
    port: u16,
    state: Arc<AtomicU8>,
}

impl Relay {
    const OPEN: u8 = 0;
    const AWAITS_BEGIN: u8 = 1;
    const HOLDS_BACK: u8 = 2;

    async fn before(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(AtomicU8::new(Self::OPEN));
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((store, _)) = listener.accept().await {
                let server = TcpStream::connect(("127.0.0.1", upstream)).await.unwrap();
                let (from_store, to_store) = store.into_split();
                let (from_server, to_server) = server.into_split();
                tokio::spawn(down(from_server, to_store));
                tokio::spawn(up(from_store, to_server, shared.clone()));
            }
        });
        Self { port, state }
    }
}

async fn down(mut from: OwnedReadHalf, mut to: OwnedWriteHalf) {
    drop(tokio::io::copy(&mut from, &mut to).await);
}

async fn up(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: Arc<AtomicU8>) {
    let mut piece = vec![0; 64 * 1024];
    while let Ok(read @ 1..) = from.read(&mut piece).await {
        let step = |from, to| state.compare_exchange(from, to, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if step(Relay::HOLDS_BACK, Relay::OPEN) {
            // The store closes when it has heard of the server's end; what was held back is never delivered.
            while let Ok(1..) = from.read(&mut piece).await {}
            return;
        }
        if piece[..read].windows(15).any(|text| text == b"BEGIN ISOLATION") {
            step(Relay::AWAITS_BEGIN, Relay::HOLDS_BACK);
        }
        if to.write_all(&piece[..read]).await.is_err() {
            return;
        }
    }
}
