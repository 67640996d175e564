//! Clocks that are wrong, moved with libfaketime under the real binary: what a step or a wrong start costs, which is
//! time and never money.

use std::fs;

use serde_json::json;

use crate::harness::{Answer, Server, Store, World, on_every_store};

on_every_store!(
    a_step_of_the_clock_moves_no_money_until_it_is_undone,
    a_start_behind_what_is_recorded_waits_until_it_is_accepted
);

/// Where Debian and Ubuntu have the library (deploy/ci/prepare).
fn library() -> String {
    let folders = ["x86_64-linux-gnu", "aarch64-linux-gnu"];
    let paths = folders.map(|folder| format!("/usr/lib/{folder}/faketime/libfaketimeMT.so.1"));
    let found = paths.into_iter().find(|path| fs::exists(path).unwrap());
    found.unwrap_or_else(|| panic!("libfaketime is missing: run deploy/ci/prepare"))
}

/// An installation whose wall clock is off by what stands in the file `time`; the monotonic clock goes on as it does.
fn with_moved_clock(world: World) -> World {
    let file = world.folder().join("time");
    let world = world
        .with("LD_PRELOAD", &library())
        .with("FAKETIME_TIMESTAMP_FILE", file.to_str().unwrap())
        .with("FAKETIME_NO_CACHE", "1")
        .with("FAKETIME_DONT_FAKE_MONOTONIC", "1");
    set(&world, "+0");
    world
}

fn set(world: &World, offset: &str) {
    fs::write(world.folder().join("time"), offset).unwrap();
}

async fn deposit(server: &Server) -> Answer {
    server.api.post("/users/1/deposits", json!({ "amount": 1 })).await
}

fn refused(answer: &Answer) {
    answer.refused(503, "clock_unsafe");
    assert_eq!(answer.json()["executed"], "no", "{answer:?}");
}

async fn a_step_of_the_clock_moves_no_money_until_it_is_undone(world: World) {
    let world = with_moved_clock(world);
    let server = world.start();
    server.api.deposit(1, 1_000).await;
    server.api.add_services(&[(7, "Delivery")]).await;
    server.api.reserve(1, 7, 1, 300).await;
    for step in ["+1h", "-1h", "+40d", "-40d", "+2", "-2"] {
        set(&world, step);
        refused(&deposit(&server).await);
        refused(&server.api.get("/users/1/balance").await);
        server.api.until_ready(503).await;
        set(&world, "+0");
        server.api.until_ready(200).await;
        deposit(&server).await.expect(201);
    }
    // Within the tolerance nobody is disturbed.
    set(&world, "+0.5");
    deposit(&server).await.expect(201);
    set(&world, "+0");
    // No sweep of a wrong clock has ended the reservation, and no deadline has moved.
    let captured = server
        .api
        .post("/reservations/capture", json!({ "user_id": 1, "service_id": 7, "order_id": 1 }))
        .await;
    captured.expect(200);
    assert!(server.stop().success());
    world.without("LD_PRELOAD").audit();
}

/// A start with a clock that is ahead is seen by nobody on one machine. The next start with the right clock is: it does
/// not go on as if nothing had been, and goes on once an operator says which clock was right.
async fn a_start_behind_what_is_recorded_waits_until_it_is_accepted(world: World) {
    let world = with_moved_clock(world);
    if world.store == Store::Postgres {
        // There the clock of the server says so at once.
        set(&world, "+40d");
        let server = world.start();
        refused(&deposit(&server).await);
        set(&world, "+0");
        server.api.until_ready(200).await;
        deposit(&server).await.expect(201);
        assert!(server.stop().success());
        return;
    }
    set(&world, "+40d");
    let server = world.start();
    server.api.deposit(1, 1_000).await;
    assert!(server.stop().success());
    set(&world, "+0");
    let server = world.start();
    refused(&deposit(&server).await);
    assert!(server.stop().success());
    let world = world.with("BALANCE_CLOCK__ACCEPTED_UNTIL", "2999-01-01T00:00:00Z");
    let server = world.start();
    let made = deposit(&server).await.expect(201);
    let by_right_clock = made["created_at"].as_str().unwrap();
    assert!(by_right_clock < now_in_a_week().as_str(), "{made}");
    // Whom the account trades with is not dragged along either.
    let transfer = json!({ "from_user_id": 1, "to_user_id": 2, "amount": 1 });
    let paid = server.api.post("/transfers", transfer).await.expect(201);
    assert!(paid["created_at"].as_str().unwrap() < now_in_a_week().as_str(), "{paid}");
    assert!(server.stop().success());
    let audit = world.without("LD_PRELOAD").run(&["audit"]);
    let found = String::from_utf8_lossy(&audit.stdout).into_owned();
    assert!(found.starts_with("user 1: operation 2: is earlier than the one before it"), "{found}");
}

/// In RFC 3339, as the answers have it.
fn now_in_a_week() -> String {
    let since_epoch = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
    let micros = i64::try_from(since_epoch.as_micros()).unwrap() + 7 * 86_400_000_000;
    balance_domain::Timestamp::from_micros(micros).unwrap().to_string()
}
