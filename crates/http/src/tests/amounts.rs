//! An amount is an integer of minor units on every route that takes one.

use serde_json::{Value, json};

use super::world::{World, call, post_text};

/// Each call that takes an amount: its path, and a body that would be accepted but for `AMOUNT`.
const ROUTES: [(&str, &str); 6] = [
    ("/api/v1/users/1/deposits", r#"{"amount":AMOUNT}"#),
    ("/api/v1/users/1/withdrawals", r#"{"amount":AMOUNT}"#),
    ("/api/v1/transfers", r#"{"from_user_id":1,"to_user_id":2,"amount":AMOUNT}"#),
    ("/api/v1/reservations", r#"{"user_id":1,"service_id":7,"order_id":1,"amount":AMOUNT}"#),
    ("/api/v1/reservations/capture", r#"{"user_id":1,"service_id":7,"order_id":1,"amount":AMOUNT}"#),
    ("/api/v1/reservations/refund", r#"{"user_id":1,"service_id":7,"order_id":1,"amount":AMOUNT}"#),
];

/// The same in a batch.
const COMMANDS: [&str; 6] = [
    r#"{"kind":"deposit","idempotency_key":"k","user_id":1,"amount":AMOUNT}"#,
    r#"{"kind":"withdrawal","idempotency_key":"k","user_id":1,"amount":AMOUNT}"#,
    r#"{"kind":"transfer","idempotency_key":"k","from_user_id":1,"to_user_id":2,"amount":AMOUNT}"#,
    r#"{"kind":"reserve","idempotency_key":"k","user_id":1,"service_id":7,"order_id":1,"amount":AMOUNT}"#,
    r#"{"kind":"capture","idempotency_key":"k","user_id":1,"service_id":7,"order_id":1,"amount":AMOUNT}"#,
    r#"{"kind":"refund","idempotency_key":"k","user_id":1,"service_id":7,"order_id":1,"amount":AMOUNT}"#,
];

const NO_AMOUNTS: [&str; 24] = [
    "0",
    "-0",
    "-1",
    "-9223372036854775808",
    "9007199254740992",
    "9223372036854775807",
    "9223372036854775808",
    "18446744073709551616",
    "1e400",
    "-1e400",
    "1.0",
    "0.15",
    "1e2",
    "1E2",
    "0.1e1",
    "\"1\"",
    "\"\"",
    "null",
    "true",
    "false",
    "[]",
    "[1]",
    "{}",
    "{\"amount\":1}",
];

#[actix_web::test]
async fn defect_02_negative_zero_and_otherwise_odd_amounts_are_refused_on_every_route() {
    let world = World::new().await;
    let app = world.app().await;
    for (path, body) in ROUTES {
        for amount in NO_AMOUNTS {
            let reply = call(&app, post_text(path, "k", &body.replace("AMOUNT", amount))).await;
            assert_eq!(reply.refusal(), (400, "invalid_amount".to_owned()), "{path} {amount}");
            let errors = reply.json()["errors"].clone();
            let detail = "an amount is an integer of minor units from 1 to 9007199254740991";
            let expected = json!([{ "pointer": "/amount", "code": "invalid_amount", "detail": detail }]);
            assert_eq!(errors, expected, "{path} {amount}");
        }
    }
}

#[actix_web::test]
async fn defect_02_the_same_amounts_are_refused_inside_a_batch() {
    let world = World::new().await;
    let app = world.app().await;
    for command in COMMANDS {
        for amount in NO_AMOUNTS {
            let good = COMMANDS[0].replace("AMOUNT", "1");
            let bad = command.replace("AMOUNT", amount);
            let body = format!(r#"{{"mode":"independent","commands":[{good},{bad}]}}"#);
            let reply = call(&app, post_text("/api/v1/batches", "k", &body)).await;
            assert_eq!(reply.refusal(), (400, "invalid_amount".to_owned()), "{command} {amount}");
            assert_eq!(reply.json()["errors"][0]["pointer"], "/commands/1/amount");
        }
    }
    let history = call(&app, super::world::get("/api/v1/users/1/operations")).await;
    assert_eq!(history.refusal(), (404, "account_not_found".to_owned()), "nothing of any batch happened");
}

#[actix_web::test]
async fn the_smallest_and_the_largest_amount_are_accepted() {
    let world = World::new().await;
    let app = world.app().await;
    for (key, amount) in [("a", 1_i64), ("b", (1 << 53) - 2)] {
        let body = json!({ "amount": amount }).to_string();
        let reply = call(&app, post_text("/api/v1/users/1/deposits", key, &body)).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        assert_eq!(reply.json()["amount"], amount);
    }
    let largest = Value::from((1_i64 << 53) - 1);
    let balance = call(&app, super::world::get("/api/v1/users/1/balance")).await;
    assert_eq!(balance.json()["available"], largest);
    let body = r#"{"amount":1}"#;
    let reply = call(&app, post_text("/api/v1/users/1/deposits", "c", body)).await;
    assert_eq!(reply.refusal(), (422, "balance_limit_exceeded".to_owned()));
}
