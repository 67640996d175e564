//! API keys: over HTTP, and on the command line beside a running service.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Api, World, on_every_store};

on_every_store!(the_command_line_makes_and_revokes_keys_beside_a_running_service, keys_are_managed_over_http);

/// What a command of the binary printed.
fn said(world: &World, arguments: &[&str]) -> String {
    let output = world.run(arguments);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    text.trim().to_owned()
}

/// Waits until a call with the key is answered so.
async fn until(api: &Api, status: u16) {
    let deadline = Instant::now() + Duration::from_secs(10);
    while api.get("/services").await.status != status {
        assert!(Instant::now() < deadline, "the service does not answer {status}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn the_command_line_makes_and_revokes_keys_beside_a_running_service(world: World) {
    let server = world.start();
    server.api.deposit(1, 100).await;
    let token = said(&world, &["keys", "create", "--name", "operator", "--scope", "admin"]);
    until(&server.api, 401).await;
    let admin = server.api.with_token(&token);
    until(&admin, 200).await;
    let id = &token[4..16];
    assert_eq!(admin.deposit(1, 5).await["actor"], format!("key:{id}"));
    assert!(said(&world, &["keys", "list"]).contains(id));
    said(&world, &["keys", "revoke", id]);
    until(&admin, 401).await;
    let other = said(&world, &["keys", "create", "--name", "again", "--scope", "admin"]);
    let other = server.api.with_token(&other);
    until(&other, 200).await;
    assert_eq!(other.balance(1).await, (105, 0));
    let facts = other.get("/events?types=balance.key.*").await.expect(200);
    let shown: Vec<_> = facts["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|event| (&event["type"], &event["data"]["actor"]))
        .collect();
    let by_hand = json!("command_line");
    let (created, revoked) = (json!("balance.key.created"), json!("balance.key.revoked"));
    assert_eq!(shown, [(&created, &by_hand), (&revoked, &by_hand), (&created, &by_hand)]);
    assert!(server.stop().success());
    world.audit();
}

async fn keys_are_managed_over_http(world: World) {
    said(&world, &["migrate"]);
    let token = said(&world, &["keys", "create", "--name", "operator", "--scope", "admin"]);
    let server = world.start();
    let admin = server.api.with_token(&token);
    let wish = json!({"name": "shop", "scopes": ["deposit", "history:read"], "expires_in_days": 1});
    let made = admin.post("/keys", wish).await.expect(201);
    let shop = server.api.with_token(made["token"].as_str().unwrap());
    let id = made["id"].as_str().unwrap();
    let deposit = shop.deposit(7, 100).await;
    assert_eq!(deposit["actor"], format!("key:{id}"));
    assert_eq!(shop.history(7).await, [deposit]);
    shop.get("/keys").await.refused(403, "forbidden");
    let metrics = admin.get_raw("/metrics").await.text();
    let figure = format!("balance_api_key_expires_in_seconds{{key_id=\"{id}\"}} ");
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut shown = metrics;
    while !shown.contains(&figure) {
        assert!(Instant::now() < deadline, "{shown}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        shown = admin.get_raw("/metrics").await.text();
    }
    let seconds: f64 = shown.lines().find_map(|line| line.strip_prefix(&figure)).unwrap().parse().unwrap();
    assert!((86_000.0..=86_400.0).contains(&seconds), "{seconds}");
    assert_eq!(admin.delete(&format!("/keys/{id}")).await.status, 204);
    shop.get("/users/7/operations").await.refused(401, "key_revoked");
    let listed = admin.get("/keys").await.expect(200);
    let listed = listed["data"].as_array().unwrap().iter().find(|key| key["id"] == id).unwrap().clone();
    assert!(listed["revoked_at"].is_string() && listed.get("token").is_none(), "{listed}");
    assert!(server.stop().success());
}
