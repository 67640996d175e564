//! API keys over HTTP.

use balance_domain::{ApiKey, Scope, ports::ApiKeyRepo};
use serde_json::{Value, json};

use super::world::{Reply, START, TestApp, World, call, delete, get, post};

async fn create(app: &TestApp, token: &str, body: &Value) -> Reply {
    call(app, post("/api/v1/keys", "-", body).insert_header(("x-api-key", token))).await
}

async fn stored(world: &World) -> Vec<ApiKey> {
    world.store.api_keys().await.unwrap().keys
}

/// The first key closes the door behind it; every answer but the first hides the token.
#[actix_web::test]
async fn a_key_is_made_used_listed_and_revoked() {
    let world = World::new().await;
    let app = world.app().await;
    let made = create(&app, "", &json!({ "name": "operator", "scopes": ["admin"] })).await;
    assert_eq!(made.status, 201, "{made:?}");
    let admin = made.json()["token"].as_str().unwrap().to_owned();
    assert!(made.json()["expires_at"].is_null());
    assert_eq!(call(&app, get("/api/v1/keys")).await.refusal(), (401, "unauthenticated".to_owned()));

    let wish = json!({ "name": "shop", "scopes": ["reserve", "deposit", "reserve"], "expires_in_days": 30 });
    let made = create(&app, &admin, &wish).await;
    assert_eq!(made.status, 201, "{made:?}");
    let made = made.json();
    let (id, token) = (made["id"].as_str().unwrap().to_owned(), made["token"].as_str().unwrap().to_owned());
    assert_eq!(token[..17], format!("bal_{id}_"));
    assert_eq!(made["scopes"], json!(["deposit", "reserve"]));
    assert_eq!(made["expires_at"], "2026-12-24T09:30:00.000000Z");
    let deposit = || {
        post("/api/v1/users/1/deposits", "k", &json!({ "amount": 5 }))
            .insert_header(("x-api-key", token.clone()))
    };
    let answer = call(&app, deposit()).await;
    assert_eq!((answer.status, answer.json()["actor"].clone()), (201, json!(format!("key:{id}"))));

    world.pass(61);
    assert_eq!(call(&app, deposit()).await.status, 201);
    assert!(
        world.shared.api.access.settle().await.unwrap().is_empty(),
        "nobody was refused with a known key"
    );
    let listed = call(&app, get("/api/v1/keys").insert_header(("x-api-key", admin.clone()))).await;
    assert!(!listed.text.contains(&token[17..]) && !listed.text.contains("secret"), "{listed:?}");
    let shop = listed.json()["data"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap().clone();
    assert_eq!(
        (&shop["name"], &shop["last_used_at"]),
        (&json!("shop"), &json!("2026-11-24T09:31:00.000000Z"))
    );

    let revoke = |id: &str| delete(&format!("/api/v1/keys/{id}")).insert_header(("x-api-key", admin.clone()));
    assert_eq!(call(&app, revoke(&id)).await.status, 204);
    assert_eq!(call(&app, deposit()).await.refusal(), (401, "key_revoked".to_owned()), "at once");
    assert_eq!(call(&app, revoke(&id)).await.status, 204, "twice is once");
    assert_eq!(call(&app, revoke("00000000abcd")).await.refusal(), (404, "key_not_found".to_owned()));
    let revoked = stored(&world).await.into_iter().find(|key| key.id.as_str() == id).unwrap();
    assert_eq!(revoked.revoked_at.map(balance_domain::Timestamp::micros), Some(START + 61_000_000));
}

/// A refusal of a known key leaves a fact; strangers leave none.
#[actix_web::test]
async fn refusals_of_known_keys_are_counted() {
    let world = World::new().await;
    let app = world.app().await;
    let made = create(&app, "", &json!({ "name": "reader", "scopes": ["balance:read"] })).await.json();
    let (id, token) = (made["id"].as_str().unwrap(), made["token"].as_str().unwrap());
    let with = |key: String| call(&app, get("/api/v1/keys").insert_header(("x-api-key", key)));
    for _ in 0..2 {
        assert_eq!(with(token.to_owned()).await.status, 403);
        assert_eq!(with(format!("bal_{id}_{}", "0".repeat(64))).await.status, 401);
        assert_eq!(with(format!("bal_00000000abcd_{}", "0".repeat(64))).await.status, 401);
    }
    let mut facts: Vec<_> = world.shared.api.access.settle().await.unwrap();
    facts.sort_by_key(|fact| fact.details.len());
    let shown: Vec<_> =
        facts.iter().map(|fact| (fact.subject.as_str(), format!("{:?}", fact.details))).collect();
    assert_eq!(shown.len(), 2, "{shown:?}");
    assert!(shown[0].1.contains("unauthenticated") && shown[0].1.contains("Number(2)"), "{shown:?}");
    assert!(shown[1].1.contains("forbidden") && shown[1].1.contains(r#""admin""#), "{shown:?}");
    assert!(shown.iter().all(|(subject, _)| *subject == format!("keys/{id}")));
    assert!(world.shared.api.access.settle().await.unwrap().is_empty(), "once");
}

#[actix_web::test]
async fn wishes_that_make_no_sense_are_refused() {
    let world = World::new().await;
    let app = world.app().await;
    let base = json!({ "name": "n", "scopes": ["admin"] });
    let with = |field: &str, value: Value| {
        let mut body = base.clone();
        body[field] = value;
        body
    };
    let many: Vec<&str> = std::iter::repeat_n("admin", Scope::ALL.len() + 1).collect();
    for (body, code, pointer) in [
        (with("name", json!(" ")), "invalid_key_name", "/name"),
        (with("scopes", json!([])), "invalid_scope", "/scopes"),
        (with("scopes", json!("admin")), "invalid_scope", "/scopes"),
        (with("scopes", json!(["root"])), "invalid_scope", "/scopes"),
        (with("scopes", json!(many)), "invalid_scope", "/scopes"),
        (with("expires_in_days", json!(0)), "invalid_expires_in_days", "/expires_in_days"),
        (with("expires_in_days", json!(3651)), "invalid_expires_in_days", "/expires_in_days"),
        (with("expires_in_days", json!(null)), "invalid_expires_in_days", "/expires_in_days"),
        (with("secret", json!("mine")), "unknown_field", "/secret"),
        (json!({ "name": "n" }), "missing_field", "/scopes"),
    ] {
        let reply = create(&app, "", &body).await;
        assert_eq!(reply.refusal(), (400, code.to_owned()), "{body}");
        assert_eq!(reply.json()["errors"][0]["pointer"], pointer, "{body}");
    }
    assert!(stored(&world).await.is_empty());
}
