//! Many commands in one request.

use serde_json::{Value, json};

use super::world::{Reply, TestApp, World, call, get, post};

async fn batch(app: &TestApp, mode: &str, commands: Value) -> Reply {
    call(app, post("/api/v1/batches", "-", &json!({ "mode": mode, "commands": commands }))).await
}

fn every_kind() -> Value {
    let ids = |order: i64| json!({ "user_id": 1, "service_id": 7, "order_id": order });
    let with = |order: i64, more: Value| {
        let mut command = ids(order);
        command.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        command
    };
    json!([
        { "kind": "deposit", "idempotency_key": "1", "user_id": 1, "amount": 1000, "comment": "in" },
        { "kind": "withdrawal", "idempotency_key": "2", "user_id": 1, "amount": 10 },
        { "kind": "transfer", "idempotency_key": "3", "from_user_id": 1, "to_user_id": 2, "amount": 20 },
        with(5, json!({ "kind": "reserve", "idempotency_key": "4", "amount": 100, "expires_in_seconds": 60 })),
        with(5, json!({ "kind": "extend", "expires_in_seconds": 600 })),
        with(5, json!({ "kind": "capture", "idempotency_key": "5", "amount": 60, "final": true })),
        with(5, json!({ "kind": "refund", "idempotency_key": "6", "amount": 10 })),
        with(6, json!({ "kind": "reserve", "idempotency_key": "7", "amount": 100 })),
        with(6, json!({ "kind": "release", "idempotency_key": "8" })),
    ])
}

#[actix_web::test]
async fn commands_of_every_kind_answer_as_their_single_calls_do() {
    for mode in ["independent", "atomic"] {
        let world = World::new().await;
        let app = world.app().await;
        let reply = batch(&app, mode, every_kind()).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        let answer = reply.json();
        assert_eq!(answer["mode"], mode);
        let statuses: Vec<_> = answer["results"].as_array().unwrap().iter().map(|r| &r["status"]).collect();
        assert_eq!(statuses, [201, 201, 201, 201, 200, 200, 200, 201, 200], "{mode}");
        assert_eq!(answer["results"][2]["operation"]["kind"], "transfer_out");
        assert_eq!(answer["results"][5]["reservation"]["captured"], 60);
        assert_eq!(answer["results"][5]["reservation"]["released"], 40);
        assert!(answer["results"][4]["reservation"].get("operation_seq").is_none());

        let single = call(&app, get("/api/v1/users/1/operations/by-key/1")).await.json();
        assert_eq!(answer["results"][0]["operation"], single);
        let balance = call(&app, get("/api/v1/users/1/balance")).await.json();
        assert_eq!(balance["available"], 1000 - 10 - 20 - 60 + 10);
    }
}

#[actix_web::test]
async fn independent_commands_do_not_disturb_each_other() {
    let world = World::new().await;
    let app = world.app().await;
    let commands = json!([
        { "kind": "deposit", "idempotency_key": "1", "user_id": 1, "amount": 10 },
        { "kind": "withdrawal", "idempotency_key": "2", "user_id": 1, "amount": 11 },
        { "kind": "withdrawal", "idempotency_key": "3", "user_id": 9, "amount": 1 },
        { "kind": "deposit", "idempotency_key": "1", "user_id": 1, "amount": 10 },
    ]);
    let answer = batch(&app, "independent", commands).await.json();
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results[0]["replayed"], false);
    assert_eq!(
        results[1],
        json!({
            "index": 1, "status": 422, "replayed": false, "code": "insufficient_funds",
            "detail": "only 10 minor units are available", "executed": "no",
        })
    );
    assert_eq!((&results[2]["status"], &results[2]["code"]), (&json!(404), &json!("account_not_found")));
    assert_eq!((&results[3]["status"], &results[3]["replayed"]), (&json!(201), &json!(true)));
    assert_eq!(results[3]["operation"], results[0]["operation"]);
}

#[actix_web::test]
async fn an_atomic_batch_happens_whole_or_not_at_all() {
    let world = World::new().await;
    let app = world.app().await;
    let commands = json!([
        { "kind": "deposit", "idempotency_key": "1", "user_id": 1, "amount": 10 },
        { "kind": "withdrawal", "idempotency_key": "2", "user_id": 1, "amount": 11 },
    ]);
    let reply = batch(&app, "atomic", commands).await;
    assert_eq!(reply.refusal(), (422, "insufficient_funds".to_owned()));
    assert_eq!(reply.json()["executed"], "no");
    assert_eq!(reply.json()["errors"][0]["pointer"], "/commands/1");
    let nothing = call(&app, get("/api/v1/users/1/balance")).await;
    assert_eq!(nothing.refusal(), (404, "account_not_found".to_owned()));
}

#[actix_web::test]
async fn a_command_has_the_fields_of_its_kind_and_no_others() {
    let world = World::new().await;
    let app = world.app().await;
    let commands = every_kind();
    let all = [
        ("idempotency_key", json!("x")),
        ("user_id", json!(1)),
        ("from_user_id", json!(1)),
        ("to_user_id", json!(2)),
        ("service_id", json!(7)),
        ("order_id", json!(1)),
        ("amount", json!(1)),
        ("final", json!(true)),
        ("expires_in_seconds", json!(60)),
        ("comment", json!("x")),
        ("kindness", json!(1)),
    ];
    let document = crate::openapi::document();
    for command in commands.as_array().unwrap() {
        let kind = command["kind"].as_str().unwrap();
        let name = format!("{}{}Command", kind[..1].to_uppercase(), &kind[1..]);
        let schema = &document["components"]["schemas"][&name];
        let required = schema["required"].as_array().unwrap();
        for (field, value) in &all {
            let mut with = command.clone();
            with[*field] = value.clone();
            let reply = batch(&app, "independent", json!([with])).await;
            let belongs = schema["properties"].get(*field).is_some();
            if belongs {
                assert_eq!(reply.status, 200, "{kind} with {field}: {reply:?}");
            } else {
                assert_eq!(reply.refusal(), (400, "unknown_field".to_owned()), "{kind} with {field}");
                assert_eq!(reply.json()["errors"][0]["pointer"], format!("/commands/0/{field}"));
            }
            let mut without = command.clone();
            without.as_object_mut().unwrap().remove(*field);
            let reply = batch(&app, "independent", json!([without])).await;
            if required.contains(&json!(field)) {
                assert_eq!(reply.refusal(), (400, "missing_field".to_owned()), "{kind} without {field}");
                assert_eq!(reply.json()["errors"][0]["pointer"], format!("/commands/0/{field}"));
            } else {
                assert_eq!(reply.status, 200, "{kind} without {field}: {reply:?}");
            }
        }
    }
}

#[actix_web::test]
async fn malformed_batches_are_distinguished() {
    let world = World::new().await;
    let app = world.app().await;
    let one = json!({ "kind": "deposit", "idempotency_key": "1", "user_id": 1, "amount": 1 });
    let many = |count: usize| Value::Array(vec![one.clone(); count]);
    let table = [
        ("atomic", json!([]), "/commands", "invalid_items"),
        ("atomic", json!({}), "/commands", "invalid_items"),
        ("atomic", many(1001), "/commands", "invalid_items"),
        ("maybe", many(1), "/mode", "invalid_mode"),
        ("atomic", json!([1]), "/commands/0", "invalid_type"),
        ("atomic", json!([["deposit"]]), "/commands/0", "invalid_type"),
        ("atomic", json!([{}]), "/commands/0/kind", "missing_field"),
        ("atomic", json!([{ "kind": "gift" }]), "/commands/0/kind", "invalid_kind"),
        ("atomic", json!([{ "kind": null }]), "/commands/0/kind", "invalid_kind"),
        ("atomic", json!([one, { "kind": "extend" }]), "/commands/1/user_id", "missing_field"),
    ];
    for (mode, commands, pointer, code) in table {
        let reply = batch(&app, mode, commands.clone()).await;
        assert_eq!(reply.refusal(), (400, code.to_owned()), "{commands}: {reply:?}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{commands}");
    }
    assert_eq!(batch(&app, "independent", many(1000)).await.status, 200);
}
