//! A collector that is unreachable or silent: requests are unaffected, losses are counted, a stop does not hang.

use std::{
    fs,
    net::TcpListener,
    time::{Duration, Instant},
};

use crate::{
    harness::{Server, Store, World},
    otel::collector::Collector,
};

/// Users that deposit side by side.
const USERS: i64 = 16;

/// Makes `times` deposits for each user, all answered 201; returns the longest time of one.
async fn deposit(server: &Server, times: i64) -> Duration {
    let callers: Vec<_> = (1..=USERS)
        .map(|user| {
            let api = server.api.clone();
            tokio::spawn(async move {
                let mut longest = Duration::ZERO;
                for _ in 0..times {
                    let started = Instant::now();
                    api.deposit(user, 1).await;
                    longest = longest.max(started.elapsed());
                }
                longest
            })
        })
        .collect();
    let mut longest = Duration::ZERO;
    for caller in callers {
        longest = longest.max(caller.await.unwrap());
    }
    longest
}

async fn figure(server: &Server, name: &str) -> u64 {
    let text = server.api.get_raw("/metrics").await.text();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.unwrap_or_else(|| panic!("{name} is not in {text}")).trim().parse().unwrap()
}

const SENT: &str = "balance_spans_sent_total";
const QUEUE_FULL: &str = "balance_spans_lost_total{reason=\"queue_full\"}";
const SEND_FAILED: &str = "balance_spans_lost_total{reason=\"send_failed\"}";

/// Waits until a figure is at least so much.
async fn wait_for(server: &Server, name: &str, least: u64) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while figure(server, name).await < least {
        assert!(Instant::now() < deadline, "{name} does not reach {least}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn a_collector_that_is_away_costs_spans_and_no_request() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let away = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let world = World::new(Store::Sqlite).with("BALANCE_OTEL__ENDPOINT", &away);
    let server = world.start();
    deposit(&server, 20).await;
    wait_for(&server, SEND_FAILED, 600).await;
    assert_eq!(figure(&server, SENT).await, 0);
    assert_eq!(server.api.balance(1).await, (20, 0));
    assert!(server.stop().success());
    let said = fs::read_to_string(world.stdout_path()).unwrap();
    assert_eq!(said.matches("spans cannot be sent").count(), 1, "{said}");
    world.audit();
}

#[tokio::test]
async fn a_collector_that_never_answers_costs_spans_and_no_request() {
    let collector = Collector::silent();
    let world = World::new(Store::Sqlite).with("BALANCE_OTEL__ENDPOINT", &collector.endpoint);
    let server = world.start();
    // More than the queue holds: each deposit is two spans and a part of a third.
    let longest = deposit(&server, 320).await;
    assert!(longest < Duration::from_secs(4), "a request waited for the collector: {longest:?}");
    wait_for(&server, QUEUE_FULL, 1).await;
    assert_eq!(figure(&server, SENT).await, 0);
    assert_eq!(server.api.balance(1).await, (320, 0));
    let started = Instant::now();
    assert!(server.stop().success());
    assert!(started.elapsed() < Duration::from_secs(6), "{:?}", started.elapsed());
    world.audit();
}

#[tokio::test]
async fn spans_that_arrive_are_counted() {
    let collector = Collector::start();
    let world = World::new(Store::Sqlite).with("BALANCE_OTEL__ENDPOINT", &collector.endpoint);
    let server = world.start();
    deposit(&server, 1).await;
    // The batches are fewer than the calls.
    wait_for(&server, SENT, 2 * USERS.unsigned_abs() + 1).await;
    assert_eq!(figure(&server, QUEUE_FULL).await + figure(&server, SEND_FAILED).await, 0);
}

/// The names of the threads of a server.
fn threads(server: &Server) -> Vec<String> {
    let tasks = format!("/proc/{}/task", server.pid().as_raw_nonzero());
    let names = fs::read_dir(tasks).unwrap();
    names.map(|task| fs::read_to_string(task.unwrap().path().join("comm")).unwrap()).collect()
}

#[tokio::test]
async fn without_a_collector_nothing_of_it_runs() {
    let is_sender = |name: &String| name.starts_with("OpenTelemetry");
    let collector = Collector::start();
    let world = World::new(Store::Sqlite);
    let server = world.start();
    server.api.deposit(1, 1).await;
    assert!(!threads(&server).iter().any(is_sender));
    assert!(!server.api.get_raw("/metrics").await.text().contains("balance_spans"));
    assert!(server.stop().success());
    let world = world.with("BALANCE_OTEL__ENDPOINT", &collector.endpoint);
    let server = world.start();
    assert!(threads(&server).iter().any(is_sender), "{:?}", threads(&server));
}
