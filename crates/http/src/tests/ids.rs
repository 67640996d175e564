//! Ids are exact for callers whose numbers are not: requests take strings of digits, and a setting answers them.

use serde_json::{Value, json};

use super::world::{World, call, get, post, post_text};

const LARGEST: &str = "9223372036854775807";

#[actix_web::test]
async fn requests_take_ids_as_numbers_or_as_strings_of_digits() {
    let world = World::new().await;
    let app = world.app().await;
    let deposit = json!({ "amount": 100 });
    call(&app, post(&format!("/api/v1/users/{LARGEST}/deposits"), "d", &deposit)).await;
    let order = |id: &str, key| {
        let body = format!(r#"{{"user_id":{id},"service_id":7,"order_id":{id},"amount":5}}"#);
        post_text("/api/v1/reservations", key, &body)
    };
    let as_text = call(&app, order(&format!("\"{LARGEST}\""), "r")).await;
    assert_eq!(as_text.status, 201, "{as_text:?}");
    assert!(as_text.text.contains(&format!("\"order_id\":{LARGEST},")), "{as_text:?}");
    let as_number = call(&app, order(LARGEST, "r")).await;
    assert_eq!(
        (as_number.status, as_number.header("idempotency-replayed")),
        (201, "true"),
        "the same request"
    );
    let batch = format!(
        r#"{{"mode":"atomic","commands":[{{"kind":"transfer","idempotency_key":"t","from_user_id":"{LARGEST}","to_user_id":"2","amount":1}}]}}"#
    );
    assert_eq!(call(&app, post_text("/api/v1/batches", "-", &batch)).await.status, 200);
    let services = json!({ "services": [{ "id": "8", "name": "Eight" }] });
    assert_eq!(call(&app, post("/api/v1/services", "-", &services)).await.status, 201);
}

#[actix_web::test]
async fn what_is_no_id_is_refused_in_both_forms() {
    let world = World::new().await;
    let app = world.app().await;
    let refused = [
        "\"\"",
        "\"0\"",
        "\"-1\"",
        "\"+1\"",
        "\"01\"",
        "\" 1\"",
        "\"1 \"",
        "\"1.0\"",
        "\"1e3\"",
        "\"٣\"",
        "\"9223372036854775808\"",
        "9223372036854775808",
        "0",
        "-1",
        "1.0",
        "true",
        "null",
        "[1]",
    ];
    for id in refused {
        let body = format!(r#"{{"from_user_id":{id},"to_user_id":2,"amount":1}}"#);
        let reply = call(&app, post_text("/api/v1/transfers", "k", &body)).await;
        assert_eq!(reply.refusal(), (400, "invalid_id".to_owned()), "{id}");
    }
    let reply = call(&app, post_text("/api/v1/users/1/deposits", "k", r#"{"amount":"5"}"#)).await;
    assert_eq!(reply.refusal(), (400, "invalid_amount".to_owned()), "an amount is a number");
}

/// Every id in a body, wherever it stands.
fn ids_in(body: &Value) -> Vec<Value> {
    const NAMES: [&str; 7] =
        ["user_id", "from_user_id", "to_user_id", "counterparty_user_id", "service_id", "order_id", "id"];
    match body {
        Value::Array(items) => items.iter().flat_map(ids_in).collect(),
        Value::Object(fields) => {
            let own = fields.iter().filter(|(name, _)| NAMES.contains(&name.as_str()));
            let own: Vec<Value> = own.map(|(_, value)| value.clone()).collect();
            own.into_iter().chain(fields.values().flat_map(ids_in)).collect()
        }
        _ => Vec::new(),
    }
}

#[actix_web::test]
async fn a_setting_answers_every_id_as_a_string_and_nothing_else() {
    let world = World::with(|_| {}, |settings| settings.ids_as_strings = true).await;
    let app = world.app().await;
    let order = json!({ "user_id": 1, "service_id": 7, "order_id": LARGEST, "amount": 40 });
    let transfer = json!({ "from_user_id": 1, "to_user_id": 2, "amount": 10 });
    let batch = json!({ "mode": "independent", "commands": [
        { "kind": "deposit", "idempotency_key": "b", "user_id": 3, "amount": 1 },
        { "kind": "extend", "user_id": 1, "service_id": 7, "order_id": LARGEST, "expires_in_seconds": 60 },
    ] });
    let mut seen = 0;
    for request in [
        post("/api/v1/users/1/deposits", "d", &json!({ "amount": 100 })),
        post("/api/v1/reservations", "r", &order),
        post("/api/v1/transfers", "t", &transfer),
        post("/api/v1/batches", "-", &batch),
        post("/api/v1/services", "-", &json!({ "services": [{ "id": 8, "name": "Eight" }] })),
        get("/api/v1/users/1/balance"),
        get("/api/v1/users/1/operations"),
        get("/api/v1/users/1/reservations"),
        get("/api/v1/services/8"),
    ] {
        let reply = call(&app, request).await;
        assert!(reply.status < 300, "{reply:?}");
        let ids = ids_in(&reply.json());
        assert!(!ids.is_empty() && ids.iter().all(Value::is_string), "{reply:?}");
        assert!(!reply.text.contains("\"amount\":\""), "{reply:?}");
        seen += ids.len();
    }
    assert!(seen > 20, "{seen}");
}

#[actix_web::test]
async fn the_document_says_which_of_both() {
    let world = World::with(|_| {}, |settings| settings.ids_as_strings = true).await;
    let app = world.app().await;
    let document = call(&app, get("/openapi.json")).await.json();
    let user = &document["components"]["schemas"]["BalanceBody"]["properties"]["user_id"];
    assert_eq!((&user["type"], &user["pattern"]), (&json!("string"), &json!("^[1-9][0-9]{0,18}$")));
    let parameter = &document["paths"]["/api/v1/users/{user_id}/balance"]["get"]["parameters"][0];
    assert_eq!((&parameter["name"], &parameter["schema"]["type"]), (&json!("user_id"), &json!("string")));
    let examples = ids_in(&document["components"]["schemas"]["OperationBody"]["example"]);
    assert!(!examples.is_empty() && examples.iter().all(Value::is_string), "{examples:?}");
    let usual = crate::openapi::document();
    assert_eq!(usual["components"]["schemas"]["BalanceBody"]["properties"]["user_id"]["type"], "integer");
}
