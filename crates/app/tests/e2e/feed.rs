//! The feed as its consumers see it: pages, streams, and places that outlive the service.

use std::time::{Duration, Instant};

use reqwest::{Method, Response};
use serde_json::json;

use crate::harness::{Api, Follower, World, on_every_store};

on_every_store!(
    a_follower_goes_on_after_a_restart,
    a_stream_brings_events_as_they_happen_and_resumes,
    a_stop_ends_streams_and_long_polls,
);

/// A stream behind this place.
async fn stream(api: &Api, last_event_id: &str) -> Response {
    let request = api.request(Method::GET, "/api/v1/events?types=balance.operation.*");
    let request = request.header("Accept", "text/event-stream").header("Last-Event-ID", last_event_id);
    let response = request.send().await.unwrap();
    assert_eq!(
        (response.status().as_u16(), &response.headers()["content-type"]),
        (200, &"text/event-stream".parse().unwrap())
    );
    response
}

/// Reads until `count` events came: their `id` lines and their data.
async fn read(response: &mut Response, count: usize) -> Vec<(String, serde_json::Value)> {
    let mut text = String::new();
    loop {
        let whole = text.rfind("\n\n").map_or("", |end| &text[..end]);
        let events: Vec<_> =
            whole.split("\n\n").filter(|event| event.contains("data: ")).map(event).collect();
        if events.len() >= count {
            return events;
        }
        let piece = tokio::time::timeout(Duration::from_secs(20), response.chunk()).await.unwrap().unwrap();
        text.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
}

fn event(text: &str) -> (String, serde_json::Value) {
    let field = |name: &str| text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    (field("id: ").to_owned(), serde_json::from_str(field("data: ")).unwrap())
}

async fn a_follower_goes_on_after_a_restart(world: World) {
    let mut follower = Follower::default();
    let server = world.start();
    server.api.add_services(&[(1, "a")]).await;
    for user in 1..=3 {
        server.api.deposit(user, 100).await;
        server.api.reserve(user, 1, user, 30).await;
    }
    follower.catch_up(&server.api).await;
    assert!(server.stop().success());
    let server = world.start();
    server
        .api
        .post("/transfers", json!({"from_user_id": 1, "to_user_id": 4, "amount": 10}))
        .await
        .expect(201);
    let order = json!({"user_id": 2, "service_id": 1, "order_id": 2, "amount": 10});
    server.api.post("/reservations/capture", order).await.expect(200);
    follower.catch_up(&server.api).await;
    let mut histories = Vec::new();
    for user in 1..=4 {
        histories.push((user, server.api.history(user).await));
    }
    follower.insists_on(&histories);
    assert_eq!(follower.doubles, 0);
    assert!(server.stop().success());
}

async fn a_stream_brings_events_as_they_happen_and_resumes(world: World) {
    let server = world.start();
    let api = &server.api;
    api.deposit(1, 100).await;
    let mut first = stream(api, "earliest").await;
    assert_eq!(read(&mut first, 1).await[0].1["id"], "1-1");
    let begun = Instant::now();
    api.deposit(2, 5).await;
    let events = read(&mut first, 1).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(
        (&events[0].1["id"], &events[0].1["type"]),
        (&json!("2-1"), &json!("balance.operation.deposit"))
    );
    drop(first);
    api.deposit(3, 5).await;
    let mut second = stream(api, &events[0].0).await;
    assert_eq!(read(&mut second, 1).await[0].1["id"], "3-1", "it goes on where the last one broke");
    assert!(server.stop().success());
}

async fn a_stop_ends_streams_and_long_polls(world: World) {
    let server = world.start();
    let mut open = stream(&server.api, "latest").await;
    let api = server.api.clone();
    let poll = tokio::spawn(async move { api.get("/events?cursor=latest&wait=25").await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let begun = Instant::now();
    assert!(tokio::task::spawn_blocking(move || server.stop()).await.unwrap().success());
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert_eq!(poll.await.unwrap().expect(200)["data"], json!([]));
    assert!(open.chunk().await.is_ok_and(|rest| rest.is_none_or(|rest| !rest.starts_with(b"data"))));
}
