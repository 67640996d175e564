//! A server, or a network, that stops anywhere: every call to the store ends in time, and the next one finds a
//! connection.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::{
    net::SocketAddr,
    sync::Arc,
    time::{Duration, Instant},
};

use balance_domain::{
    Month, RevenueReport,
    ports::{ApiKeyRepo, BalanceRepo, ReportRepo, ServiceRepo},
};
use balance_faults::pgproxy::{Fault, Proxy, Rule, Side, Trigger};
use balance_postgres_harness::{Options, Server, shared};
use balance_store_conformance::{
    SetClock, Teller, audit,
    teller::{at, deposit_of, order, reserve_of, under, user},
};
use balance_store_postgres::{PostgresOptions, PostgresStore};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};

/// The longest that any call may take, of a store whose deadline is [`DEADLINE`], on a busy machine.
const PATIENCE: Duration = Duration::from_secs(15);
const DEADLINE: Duration = Duration::from_millis(500);

/// The deadline of a store that is to succeed.
const PATIENT: Duration = Duration::from_secs(20);

fn store_at(port: u16, database: &str, deadline: Duration) -> PostgresStore {
    let options = PostgresOptions {
        connections_max: 4,
        batches_max: 1,
        wait_timeout: deadline,
        connect_timeout: deadline,
        deadline,
        lock_timeout: Duration::from_millis(50),
        allow_unsafe_durability: true,
        ..PostgresOptions::new(format!("postgres://postgres@127.0.0.1:{port}/{database}"))
    };
    PostgresStore::new(options, Arc::new(SetClock::default())).unwrap()
}

fn upstream(server: &Server) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], server.port()))
}

/// Every kind of call, the deposit to a locked account among them, which is rolled back.
async fn every_call(store: &PostgresStore, round: usize) {
    let key = |name: &str| format!("{name}-{round}");
    let deposit = |id| vec![under(&key("deposit"), deposit_of(id, 5)).into()];
    in_time("ready", store.ready()).await;
    in_time("a deposit", store.execute(deposit(1))).await;
    in_time("its replay", store.execute(deposit(1))).await;
    in_time("a locked deposit", store.execute(deposit(2))).await;
    let order_id = i64::try_from(round).unwrap() + 1;
    in_time(
        "a reservation",
        store.execute(vec![under(&key("reserve"), reserve_of(order(1, 7, order_id), 1, 60)).into()]),
    )
    .await;
    in_time("a balance", store.accounts(vec![user(1), user(3)])).await;
    in_time("a look-up", store.reservation(order(1, 7, 1))).await;
    in_time("users with due reservations", store.due_users(10)).await;
    in_time("services", store.service(balance_store_conformance::teller::service(7))).await;
    in_time("API keys", store.api_keys()).await;
    let report = RevenueReport {
        month: Month::new(2026, 10).unwrap(),
        is_final: false,
        built_at: at("2026-11-24T09:30:00Z"),
        lines: vec![],
    };
    in_time("a report", store.save_report(report)).await;
    in_time("migrating", store.migrate()).await;
}

async fn in_time<T>(what: &str, call: impl Future<Output = T>) {
    let begun = Instant::now();
    let ended = timeout(PATIENCE, call).await;
    assert!(ended.is_ok(), "{what} has no end: {:?}", begun.elapsed());
}

/// Mostly this waits for deadlines: so several go through the messages side by side, each on a database of its own.
#[tokio::test(flavor = "multi_thread")]
async fn whatever_message_is_never_answered_every_call_ends_and_the_next_one_works() {
    const AT_ONCE: usize = 4;
    let stalled: usize =
        at_once((1..=AT_ONCE).map(|first| stall_every(first, AT_ONCE)).collect()).await.iter().sum();
    assert!(stalled > 30, "only {stalled} messages were held back");
}

/// Holds back the message of this number, for good, then each `step`-th after it, while every kind of call is made;
/// until there is none of that number. How many were held back.
async fn stall_every(first: usize, step: usize) -> usize {
    let server = shared();
    let name = server.create_database(None);
    let direct = store_at(server.port(), &name, PATIENT);
    direct.migrate().await.unwrap();
    let teller = Teller::new(Arc::new(direct), SetClock::default());
    teller.add_services(&[7]).await;
    for id in 1..=3 {
        teller.deposit(id, 1_000).await;
    }
    let (holder, connection) =
        tokio_postgres::connect(&server.url(&name), tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    holder.batch_execute("BEGIN; SELECT FROM accounts WHERE user_id = 2 FOR UPDATE").await.unwrap();

    let proxy = Proxy::start(upstream(server)).await.unwrap();
    let mut stalled = 0;
    for n in (first..).step_by(step) {
        let side = if stalled % 2 == 0 { Side::Before } else { Side::After };
        let store = store_at(proxy.address().port(), &name, DEADLINE);
        let fired = proxy.fired();
        let trigger = Trigger::Message(n.try_into().unwrap());
        proxy.arm(Rule { trigger, side, fault: Fault::Stall(Duration::from_mins(10)) });
        every_call(&store, n).await;
        if proxy.fired() == fired {
            break;
        }
        stalled += 1;
        // With a deadline so short, a busy machine takes some attempts.
        let patience = Instant::now() + Duration::from_mins(1);
        while store.ready().await.is_err() {
            assert!(Instant::now() < patience, "after message {n} the store does not recover");
            sleep(Duration::from_millis(20)).await;
        }
        proxy.cut_all();
    }
    drop(holder);
    audit(teller.store()).await;
    stalled
}

/// Passes what the server says in two pieces, cut at this byte of the connection, or in pieces of one byte each.
async fn cutting(server: SocketAddr, at: Option<usize>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let server = TcpStream::connect(server).await.unwrap();
            client.set_nodelay(true).unwrap();
            server.set_nodelay(true).unwrap();
            let (mut from_client, mut to_client) = client.into_split();
            let (mut from_server, mut to_server) = server.into_split();
            tokio::spawn(async move { tokio::io::copy(&mut from_client, &mut to_server).await });
            tokio::spawn(async move {
                let (mut piece, mut passed) = (vec![0; 64 * 1024], 0);
                while let Ok(length @ 1..) = from_server.read(&mut piece).await {
                    let cuts: Vec<usize> = match at {
                        Some(at) => {
                            (at > passed && at < passed + length).then(|| at - passed).into_iter().collect()
                        }
                        None => (1..length).collect(),
                    };
                    let mut begin = 0;
                    for end in cuts.into_iter().chain([length]) {
                        if to_client.write_all(&piece[begin..end]).await.is_err() {
                            return;
                        }
                        begin = end;
                        if at.is_some() && end < length {
                            sleep(Duration::from_millis(2)).await;
                        }
                        tokio::task::yield_now().await;
                    }
                    passed += length;
                }
            });
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn connecting_works_however_the_bytes_of_the_server_are_cut() {
    /// More than the server says until a connection is set up and the schema has been looked at.
    const BYTES: usize = 1_500;
    const AT_ONCE: usize = 16;

    let server = shared();
    let name = server.create_database(None);
    let patient = |port| store_at(port, &name, PATIENT);
    patient(server.port()).migrate().await.unwrap();
    let every_byte = patient(cutting(upstream(server), None).await);
    every_byte.ready().await.unwrap();
    let mut cuts: Vec<usize> = (1..BYTES).collect();
    while !cuts.is_empty() {
        let some = cuts.split_off(cuts.len().saturating_sub(AT_ONCE));
        let mut connecting = Vec::new();
        for at in some {
            let store = patient(cutting(upstream(server), Some(at)).await);
            connecting.push(async move { (at, store.ready().await) });
        }
        for (at, ready) in at_once(connecting).await {
            assert!(ready.is_ok(), "cut at byte {at}: {ready:?}");
        }
    }
}

/// Runs all of them at the same time.
async fn at_once<T: Send + 'static>(all: Vec<impl Future<Output = T> + Send + 'static>) -> Vec<T> {
    let running: Vec<_> = all.into_iter().map(tokio::spawn).collect();
    let mut ended = Vec::new();
    for one in running {
        ended.push(one.await.unwrap());
    }
    ended
}

/// A private server that has frozen while one instance waits for its turn to migrate.
#[tokio::test(flavor = "multi_thread")]
async fn migrating_ends_where_the_server_freezes() {
    let server = Server::start(Options::default());
    let store = store_at(server.port(), "postgres", DEADLINE);
    let processes = || {
        let pid = i32::try_from(server.pid()).unwrap();
        rustix::process::Pid::from_raw(pid).unwrap()
    };
    rustix::process::kill_process(processes(), rustix::process::Signal::STOP).unwrap();
    in_time("migrating", store.migrate()).await;
    rustix::process::kill_process(processes(), rustix::process::Signal::CONT).unwrap();
    let patience = Instant::now() + Duration::from_secs(30);
    while store.migrate().await.is_err() {
        assert!(Instant::now() < patience, "it does not recover");
    }
}
