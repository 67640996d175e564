//! Calls that only say what would happen.

use serde_json::{Value, json};

use super::world::{Reply, World, call, get, post};

async fn funded() -> World {
    let world = World::new().await;
    let app = world.app().await;
    call(&app, post("/api/v1/users/1/deposits", "start", &json!({ "amount": 1000 }))).await;
    world
}

/// The answer without what tells the two apart: the time of the request, and that it was a dry run.
fn comparable(reply: &Reply) -> Value {
    let mut body = reply.json();
    if let Some(fields) = body.as_object_mut() {
        for name in ["dry_run", "request_id", "instance"] {
            fields.remove(name);
        }
    }
    body
}

#[actix_web::test]
async fn every_money_call_says_first_what_it_then_does() {
    let world = funded().await;
    let app = world.app().await;
    let order = |more: Value| {
        let mut body = json!({ "user_id": 1, "service_id": 7, "order_id": 1 });
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        body
    };
    let batch = json!({ "mode": "atomic", "commands": [
        { "kind": "deposit", "idempotency_key": "b1", "user_id": 1, "amount": 5 },
        { "kind": "withdrawal", "idempotency_key": "b2", "user_id": 1, "amount": 5 },
    ] });
    let mixed = json!({ "mode": "independent", "commands": [
        { "kind": "deposit", "idempotency_key": "m1", "user_id": 1, "amount": 5 },
        { "kind": "withdrawal", "idempotency_key": "m2", "user_id": 1, "amount": 900_000 },
    ] });
    for (path, body) in [
        ("/api/v1/users/1/deposits", json!({ "amount": 100 })),
        ("/api/v1/users/1/withdrawals", json!({ "amount": 100 })),
        ("/api/v1/users/1/withdrawals", json!({ "amount": 900_000 })),
        ("/api/v1/transfers", json!({ "from_user_id": 1, "to_user_id": 2, "amount": 10 })),
        ("/api/v1/reservations", order(json!({ "amount": 50 }))),
        ("/api/v1/reservations/extend", order(json!({ "expires_in_seconds": 60 }))),
        ("/api/v1/reservations/capture", order(json!({ "amount": 40 }))),
        ("/api/v1/reservations/refund", order(json!({ "amount": 10 }))),
        ("/api/v1/reservations/release", order(json!({}))),
        ("/api/v1/batches", batch),
        ("/api/v1/batches", mixed),
    ] {
        let key = format!("k{path}{body}").replace(|c: char| !c.is_ascii_alphanumeric(), "-");
        let before = call(&app, get("/api/v1/users/1/balance")).await.json()["version"].clone();
        let dry = call(&app, post(&format!("{path}?dry_run=true"), &key, &body)).await;
        assert_eq!(dry.json()["dry_run"], true, "{dry:?}");
        assert_eq!(dry.header("location"), "", "what it would make is nowhere");
        assert_eq!(call(&app, get("/api/v1/users/1/balance")).await.json()["version"], before, "{path}");
        let wet = call(&app, post(&format!("{path}?dry_run=false"), &key, &body)).await;
        assert_eq!(wet.json().get("dry_run"), None, "{wet:?}");
        assert_eq!((dry.status, comparable(&dry)), (wet.status, comparable(&wet)), "{path}");
        assert_eq!(wet.header("idempotency-replayed"), "", "the key was not used up: {path}");
    }
}

#[actix_web::test]
async fn a_repeat_is_foreseen_as_one_and_a_wrong_value_refused() {
    let world = funded().await;
    let app = world.app().await;
    let again = post("/api/v1/users/1/deposits?dry_run=true", "start", &json!({ "amount": 1000 }));
    let reply = call(&app, again).await;
    assert_eq!((reply.status, reply.header("idempotency-replayed")), (201, "true"));
    let refused = call(&app, post("/api/v1/users/1/deposits?dry_run=1", "x", &json!({ "amount": 1 }))).await;
    assert_eq!(refused.refusal(), (400, "invalid_type".to_owned()));
}

#[actix_web::test]
async fn holds_of_all_users_are_found_page_by_page() {
    let world = funded().await;
    let app = world.app().await;
    for id in 1..=3 {
        call(&app, post(&format!("/api/v1/users/{id}/deposits"), "d", &json!({ "amount": 100 }))).await;
        let hold = json!({
            "user_id": id, "service_id": 7, "order_id": id * 10, "amount": 1, "expires_in_seconds": 1000 - id * 100,
        });
        assert_eq!(call(&app, post("/api/v1/reservations", "r", &hold)).await.status, 201);
    }
    let search = |query: &str| get(&format!("/api/v1/reservations/search{query}"));
    let users = |reply: &Reply| {
        let data = reply.json()["data"].as_array().cloned().unwrap();
        data.iter().map(|row| row["user_id"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    let first = call(&app, search("?limit=2")).await;
    assert_eq!((users(&first), &first.json()["covers"]), (vec![3, 2], &json!("active")), "{first:?}");
    let cursor = first.json()["next_cursor"].as_str().unwrap().to_owned();
    let second = call(&app, search(&format!("?limit=2&cursor={cursor}"))).await;
    assert_eq!((users(&second), &second.json()["next_cursor"]), (vec![1], &Value::Null));
    assert_eq!(users(&call(&app, search("?order_id=20")).await), [2]);
    assert_eq!(users(&call(&app, search("?sort=-created_at")).await), [3, 2, 1]);
    assert_eq!(users(&call(&app, search("?state=captured")).await), Vec::<i64>::new());
    let other = call(&app, search(&format!("?service_id=7&cursor={cursor}"))).await;
    assert_eq!(other.refusal(), (400, "invalid_cursor".to_owned()));
}
