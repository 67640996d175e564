//! Starting and stopping: nothing accepted goes unanswered, one process per file, deadlines outlive processes.

use std::{
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Api, Server, Store, World, new_key, on_every_store};

on_every_store!(
    a_stop_under_load_answers_every_accepted_request,
    a_restart_keeps_deadlines_and_without_the_sweeper_answers_are_right,
    it_is_ready_within_a_second,
);

/// Deposits of 1 until the server is gone; how many were answered 201, and which keys were not answered.
async fn deposit_until_gone(api: Api, user: i64, is_stopping: Arc<AtomicBool>) -> (i64, Vec<String>) {
    let (mut done, mut unanswered) = (0, Vec::new());
    loop {
        let key = new_key();
        let request = api.keyed(&format!("/users/{user}/deposits"), &key, &json!({"amount": 1}));
        match Api::try_send(request).await {
            Ok(answer) if answer.status == 201 => done += 1,
            Ok(answer) => {
                // While it stops, a refusal is an answer too; it must say that nothing was executed.
                assert_eq!(answer.status, 503, "{}", answer.text());
                assert!(is_stopping.load(Ordering::Relaxed));
                assert_eq!(answer.json()["executed"], "no");
            }
            Err(error) if error.is_connect() => return (done, unanswered),
            // An idle connection that was closed in the moment of sending: HTTP cannot tell that apart.
            Err(_) => unanswered.push(key),
        }
    }
}

/// A few times; as often as `BALANCE_STOPS` says before a release.
async fn a_stop_under_load_answers_every_accepted_request(world: World) {
    #[expect(clippy::disallowed_methods, reason = "how long to test is not the product's configuration")]
    let stops = std::env::var("BALANCE_STOPS").map_or(3, |count| count.parse().unwrap());
    let mut answered = 0;
    for stop in 1..=stops {
        answered += stop_under_load(&world, stop).await;
    }
    println!(
        "{stops} stops of {:?}: {answered} deposits answered and there, none executed and not answered",
        world.store
    );
    world.audit();
}

/// How many deposits were answered.
async fn stop_under_load(world: &World, stop: i64) -> i64 {
    let server = world.start();
    let is_stopping = Arc::new(AtomicBool::new(false));
    // Users of its own, so that balances tell what this stop did.
    let users = stop * 100..stop * 100 + 16;
    let callers: Vec<_> = users
        .clone()
        .map(|user| tokio::spawn(deposit_until_gone(server.api.clone(), user, Arc::clone(&is_stopping))))
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    is_stopping.store(true, Ordering::Relaxed);
    let started = Instant::now();
    server.signal(Signal::TERM);
    let mut outcomes = Vec::new();
    for caller in callers {
        outcomes.push(caller.await.unwrap());
    }
    let status = server.wait();
    assert!(status.success(), "{status}");
    assert!(started.elapsed() < Duration::from_secs(10), "{:?}", started.elapsed());

    let server = world.start();
    let mut answered = 0;
    for (user, (done, unanswered)) in users.zip(outcomes) {
        assert!(done > 0);
        let mut executed = 0;
        for key in &unanswered {
            let found = server.api.get(&format!("/users/{user}/operations/by-key/{key}")).await.status;
            executed += i64::from(found == 200);
        }
        assert_eq!(executed, 0, "user {user}: executed and not answered");
        assert_eq!(server.api.balance(user).await, (done, 0));
        answered += done;
    }
    assert!(server.stop().success());
    answered
}

async fn a_restart_keeps_deadlines_and_without_the_sweeper_answers_are_right(world: World) {
    let world = world.with("BALANCE_SWEEP_INTERVAL_MS", "0").with("BALANCE_RESERVATION_TTL_SECONDS", "2");
    let server = world.start();
    server.api.add_services(&[(1, "a")]).await;
    server.api.deposit(1, 100).await;
    let made = server.api.reserve(1, 1, 1, 40).await;
    assert!(server.stop().success());

    let server = world.start();
    let api = &server.api;
    let read = api.get("/reservations?user_id=1&service_id=1&order_id=1").await.expect(200);
    assert_eq!(read["expires_at"], made["expires_at"]);
    assert_eq!(read["state"], "active");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(api.balance(1).await, (100, 0));
    let order = json!({"user_id": 1, "service_id": 1, "order_id": 1});
    api.post("/reservations/capture", order).await.refused(409, "reservation_expired");
    api.post("/users/1/withdrawals", json!({"amount": 100})).await.expect(201);
    assert_eq!(api.balance(1).await, (0, 0));
    let kinds: Vec<_> = api.history(1).await.iter().map(|o| o["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(kinds, ["deposit", "reserve", "expire", "withdrawal"]);
    assert!(server.stop().success());
    world.audit();
}

async fn it_is_ready_within_a_second(world: World) {
    world.start().stop();
    // The best of three: others work on this machine too.
    let ready_in = |server: &Server| server.started_in;
    let best = (0..3).map(|_| ready_in(&world.start())).min().unwrap();
    assert!(best < Duration::from_secs(1), "{best:?}");
    let server = world.start();
    server.api.get_raw("/health/ready").await.expect(200);
    assert!(server.said.iter().any(|line| line.contains("/swagger/index.html")), "{:?}", server.said);
}

#[tokio::test]
async fn a_second_signal_quits_at_once() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    // A caller in the middle of its body keeps the first signal waiting.
    let mut stream = TcpStream::connect(server.address).unwrap();
    let half = "POST /api/v1/users/1/deposits HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\n\
                Content-Type: application/json\r\nContent-Length: 12\r\n\r\n{";
    std::io::Write::write_all(&mut stream, half.as_bytes()).unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    server.signal(Signal::TERM);
    tokio::time::sleep(Duration::from_millis(300)).await;
    let started = Instant::now();
    server.signal(Signal::INT);
    assert_eq!(server.wait().code(), Some(130));
    assert!(started.elapsed() < Duration::from_secs(1), "{:?}", started.elapsed());
}

/// The database is away at start, comes, is killed and comes again: typed refusals, no restart of ours needed.
#[tokio::test]
async fn the_database_may_come_late_and_go_away() {
    let postgres = balance_postgres_harness::Server::start(balance_postgres_harness::Options::default());
    let url = postgres.url(&postgres.create_database(None));
    postgres.stop();
    let world = World::new(Store::Sqlite).with("BALANCE_DATABASE_URL", &url);
    let server = world.start();
    let api = &server.api;
    api.get_raw("/health/live").await.expect(200);
    api.post("/users/1/deposits", json!({"amount": 1})).await.refused(503, "unavailable");

    postgres.restart();
    api.until_ready(200).await;
    api.deposit(1, 10).await;

    postgres.kill_9();
    let key = new_key();
    let lost = api.post_as("/users/1/deposits", &key, json!({"amount": 5})).await;
    assert_eq!(lost.status, 503, "{}", lost.text());
    assert_ne!(lost.header("retry-after"), "");
    api.until_ready(503).await;
    postgres.restart();
    api.until_ready(200).await;
    api.post_as("/users/1/deposits", &key, json!({"amount": 5})).await.expect(201);
    assert_eq!(api.balance(1).await, (15, 0));
    assert!(server.stop().success());
    world.audit();
}
