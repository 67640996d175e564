//! The feed over HTTP.

use actix_web::test::TestRequest;
use balance_domain::{Actor, ApiKeyId, Timestamp, ports::ApiKeyRepo};
use serde_json::{Value, json};

use super::world::{Reply, START, TestApp, World, call, delete, get, post};

async fn events(app: &TestApp, query: &str) -> Reply {
    call(app, get(&format!("/api/v1/events{query}"))).await
}

async fn page(app: &TestApp, query: &str) -> (Vec<Value>, String) {
    let reply = events(app, query).await;
    assert_eq!(reply.status, 200, "{query}: {reply:?}");
    let body = reply.json();
    (body["data"].as_array().unwrap().clone(), body["next_cursor"].as_str().unwrap().to_owned())
}

async fn deposit(app: &TestApp, user: i64, key: &str) {
    let path = format!("/api/v1/users/{user}/deposits");
    assert_eq!(call(app, post(&path, key, &json!({ "amount": 100 }))).await.status, 201);
}

fn ids(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["id"].as_str().unwrap()).collect()
}

/// An event is a `CloudEvent` whose data is what history shows.
#[actix_web::test]
async fn an_event_carries_the_operation_as_history_shows_it() {
    let world = World::new().await;
    let app = world.app().await;
    deposit(&app, 42, "a").await;
    let order = json!({ "user_id": 42, "service_id": 7, "order_id": 1, "amount": 30 });
    assert_eq!(call(&app, post("/api/v1/reservations", "b", &order)).await.status, 201);
    let (data, next) = page(&app, "?types=balance.operation.*").await;
    assert_eq!(ids(&data), ["42-1", "42-2"]);
    let ledger = call(&app, get("/api/v1/ledger")).await.json();
    assert_eq!(data[0]["source"], format!("urn:balance:{}", ledger["id"].as_str().unwrap()));
    let history = call(&app, get("/api/v1/users/42/operations?sort=created_at")).await.json();
    for (event, operation) in data.iter().zip(history["data"].as_array().unwrap()) {
        assert_eq!(
            (&event["specversion"], &event["datacontenttype"]),
            (&json!("1.0"), &json!("application/json"))
        );
        assert_eq!(event["type"], format!("balance.operation.{}", operation["kind"].as_str().unwrap()));
        assert_eq!((&event["subject"], &event["time"]), (&json!("users/42"), &operation["created_at"]));
        for (name, value) in operation.as_object().unwrap() {
            assert_eq!(&event["data"][name], value, "{name}");
        }
    }
    assert!(data[0]["data"].get("reservation").is_none());
    assert_eq!(
        (&data[1]["data"]["reservation"]["state"], &data[1]["data"]["reservation"]["reserved"]),
        (&json!("active"), &json!(30))
    );
    assert_eq!(page(&app, &format!("?cursor={next}")).await, (vec![], next));
}

/// A reader goes on where it was, `latest` begins with what is to come, and filters leave out.
#[actix_web::test]
async fn cursors_lead_through_the_feed() {
    let world = World::new().await;
    let app = world.app().await;
    for user in 1..=3 {
        deposit(&app, user, "k").await;
    }
    let (first, next) = page(&app, "?limit=2&types=balance.operation.*").await;
    assert_eq!(ids(&first), ["1-1", "2-1"]);
    let (second, next) = page(&app, &format!("?cursor={next}&limit=2")).await;
    assert_eq!(ids(&second), ["3-1"]);
    let (none, latest) = page(&app, "?cursor=latest").await;
    assert!(none.is_empty());
    assert_eq!(latest, next);
    deposit(&app, 2, "l").await;
    assert_eq!(ids(&page(&app, &format!("?cursor={latest}")).await.0), ["2-2"]);
    assert_eq!(ids(&page(&app, "?user_id=2").await.0), ["2-1", "2-2"]);
    assert_eq!(
        ids(&page(&app, "?types=balance.operation.capture,balance.operation.refund").await.0),
        [""; 0]
    );
    assert_eq!(ids(&page(&app, "?service_id=7").await.0), [""; 0]);
}

/// Closing an account is an event: who holds its texts must erase them.
#[actix_web::test]
async fn closing_an_account_is_an_event_with_its_actor() {
    let world = World::new().await;
    let app = world.app().await;
    deposit(&app, 1, "a").await;
    assert_eq!(
        call(&app, post("/api/v1/users/1/withdrawals", "b", &json!({ "amount": 100 }))).await.status,
        201
    );
    assert_eq!(call(&app, delete("/api/v1/users/1")).await.status, 204);
    let (data, _) = page(&app, "?types=balance.account.*").await;
    assert_eq!(data.len(), 1);
    assert_eq!(
        (&data[0]["type"], &data[0]["subject"]),
        (&json!("balance.account.closed"), &json!("users/1"))
    );
    assert_eq!(data[0]["data"], json!({ "actor": "anonymous", "user_id": 1 }));
}

/// A long poll answers with the first event that comes, or with nothing after its time.
#[actix_web::test]
async fn a_long_poll_waits_for_an_event() {
    let world = World::new().await;
    let app = world.app().await;
    let (_, cursor) = page(&app, "?cursor=latest").await;
    let begun = std::time::Instant::now();
    let (data, _) = page(&app, &format!("?cursor={cursor}&wait=1")).await;
    assert!(data.is_empty() && begun.elapsed().as_millis() >= 1000);
    let begun = std::time::Instant::now();
    let query = format!("?cursor={cursor}&wait=25&user_id=1");
    let write = async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        deposit(&app, 2, "not-wanted").await;
        deposit(&app, 1, "wanted").await;
    };
    let ((data, _), ()) = futures::join!(page(&app, &query), write);
    assert_eq!(ids(&data), ["1-1"]);
    assert!(begun.elapsed().as_secs() < 10);
}

#[actix_web::test]
async fn what_is_wrong_with_a_question_is_said() {
    let world = World::new().await;
    let app = world.app().await;
    let (_, cursor) = page(&app, "").await;
    for (query, code) in [
        ("?cursor=first", "invalid_cursor"),
        ("?cursor=AUMFYDAvM8OcAAAAAAAAE4gAAAAAAAAABA", "invalid_cursor"),
        ("?limit=0", "invalid_limit"),
        ("?limit=1001", "invalid_limit"),
        ("?types=", "invalid_event_type"),
        ("?types=capture", "invalid_event_type"),
        ("?types=balance.operation.capture,", "invalid_event_type"),
        ("?wait=26", "invalid_wait"),
        ("?wait=-1", "invalid_wait"),
        ("?user_id=0", "invalid_id"),
        ("?type=balance.operation.capture", "unknown_parameter"),
    ] {
        assert_eq!(events(&app, query).await.refusal(), (400, code.to_owned()), "{query}");
    }
    assert_eq!(events(&app, &format!("?cursor={cursor}&limit=1000&wait=0")).await.status, 200);
    // The same installation before it was restored to an earlier state.
    deposit(&app, 1, "k").await;
    let (_, ahead) = page(&app, "").await;
    let restored = World::new().await;
    let app = restored.app().await;
    let refused = events(&app, &format!("?cursor={ahead}")).await;
    assert_eq!(refused.refusal(), (409, "cursor_ahead".to_owned()));
}

/// Those who wait have a bound; those who do not wait are answered all the same.
#[actix_web::test]
async fn only_so_many_may_wait() {
    let world = World::with_followers(1).await;
    let app = world.app().await;
    let (_, cursor) = page(&app, "?cursor=latest").await;
    let query = format!("?cursor={cursor}&wait=1");
    let (first, second) = futures::join!(events(&app, &query), events(&app, &query));
    let mut codes = [first.status, second.status];
    codes.sort_unstable();
    assert_eq!(codes, [200, 503]);
    let refused = if first.status == 503 { first } else { second };
    assert_eq!((refused.refusal().1.as_str(), refused.header("retry-after")), ("too_many_followers", "5"));
    assert_eq!(events(&app, &query).await.status, 200, "the place is free again");
}

/// A stream may last an hour; a key that is revoked lasts two seconds.
#[actix_web::test]
async fn a_key_that_is_revoked_reads_nothing_more() {
    let world = World::new().await;
    let app = world.app().await;
    let wish = json!({ "name": "analyst", "scopes": ["events:read"] });
    let made = call(&app, post("/api/v1/keys", "-", &wish)).await.json();
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap().to_owned());
    let (id, now) = (ApiKeyId::new(id).unwrap(), Timestamp::from_micros(START).unwrap());
    let with_key = |request: TestRequest| request.insert_header(("x-api-key", token.clone()));
    let poll = with_key(get("/api/v1/events?cursor=latest&wait=25"));
    let stream = with_key(get("/api/v1/events?cursor=latest")).insert_header(("accept", "text/event-stream"));
    let revoke = async {
        tokio::time::sleep(std::time::Duration::from_millis(150)).await;
        world.store.revoke_api_key(id, Actor::CommandLine, now).await.unwrap();
        world.shared.api.access.refresh().await.unwrap();
    };
    let begun = std::time::Instant::now();
    let (poll, stream, ()) = futures::join!(call(&app, poll), call(&app, stream), revoke);
    assert_eq!(poll.refusal(), (401, "key_revoked".to_owned()));
    assert_eq!((stream.status, stream.text.contains("data:")), (200, false), "it began, and ended");
    assert!(begun.elapsed().as_secs() < 10);
}
