//! A PostgreSQL that is unreachable or partly locked by another session: which calls get which answer, and when.

use std::time::{Duration, Instant};

use balance_postgres_harness::{Options, Server};
use serde_json::json;

use crate::harness::{Answer, Api, Store, World, run_sql};

/// Concurrent deposits, one for each of the users 1, 2, 3, ….
async fn deposits(api: &Api, users: i64) -> Vec<Answer> {
    let calls = (1..=users).map(|user| {
        let api = api.clone();
        tokio::spawn(async move { api.post(&format!("/users/{user}/deposits"), json!({"amount": 1})).await })
    });
    let mut answers = Vec::new();
    for call in calls.collect::<Vec<_>>() {
        answers.push(call.await.unwrap());
    }
    answers
}

/// Most of them wait longer than a queue may age, behind a batch that looks for the database until its deadline.
#[tokio::test]
async fn an_unreachable_database_is_unavailable_and_never_overloaded() {
    let database = Server::start(Options::default());
    let world = World::new(Store::Postgres)
        .with("BALANCE_DATABASE_URL", &database.url("postgres"))
        .with("BALANCE_DATABASE__DEADLINE_MS", "1500")
        .with("BALANCE_GROUP_COMMIT__QUEUE_AGE_MS_MAX", "300");
    let server = world.start();
    server.api.deposit(1, 1).await;
    database.kill_9();
    for answer in deposits(&server.api, 20).await {
        answer.refused(503, "unavailable");
        assert_eq!(answer.json()["executed"], "no", "{answer:?}");
    }
    database.restart();
    let start = Instant::now();
    while server.api.post("/users/1/deposits", json!({"amount": 1})).await.status != 201 {
        assert!(start.elapsed() < Duration::from_secs(30), "the service does not come back");
    }
    assert!(server.stop().success());
    world.audit();
}

/// Somebody holds the row of user 1 for long. Only who needs it is refused.
#[tokio::test]
async fn one_locked_account_does_not_take_down_its_lane() {
    const USERS: i64 = 60;
    let world = World::new(Store::Postgres);
    let server = world.start();
    for answer in deposits(&server.api, USERS).await {
        answer.expect(201);
    }
    let url = world.variable("BALANCE_DATABASE_URL").to_owned();
    let hold = "SELECT FROM accounts WHERE user_id = 1 FOR UPDATE; SELECT pg_sleep(9)";
    let holder = tokio::task::spawn_blocking({
        let url = url.clone();
        move || run_sql(&url, hold)
    });
    let sleeps =
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'";
    while run_sql(&url, sleeps) != "1" {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // The lock timeout is 3 s; afterwards the account is known to be held.
    for within in [Duration::from_secs(6), Duration::from_millis(2_500)] {
        let start = Instant::now();
        let answers = deposits(&server.api, USERS).await;
        assert!(start.elapsed() < within, "it took {:?}", start.elapsed());
        let (first, others) = answers.split_first().unwrap();
        first.refused(503, "unavailable");
        for answer in others {
            answer.expect(201);
        }
    }
    assert!(!holder.is_finished(), "the account was not held all the time");
    holder.await.unwrap();
    for answer in deposits(&server.api, USERS).await {
        answer.expect(201);
    }
    assert_eq!((server.api.balance(1).await, server.api.balance(2).await), ((2, 0), (4, 0)));
    assert!(server.stop().success());
    world.audit();
}
