//! API keys: made and taken back on the command line, in force within seconds, each for its scopes only.

use std::{process::Output, time::Duration};

use serde_json::json;

use crate::harness::{Server, Store, World, on_every_store};

on_every_store!(
    keys_open_what_their_scopes_say_and_die_when_revoked,
    without_keys_only_this_machine_is_served
);

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn make_key(world: &World, scopes: &str) -> String {
    let output = world.run(&["keys", "create", "--name", "billing", "--scope", scopes]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let token = text(&output.stdout).trim().to_owned();
    assert_eq!((token.len(), &token[..4]), (4 + 12 + 1 + 64, "bal_"), "{token}");
    token
}

/// With SQLite the file belongs to the running service; on PostgreSQL keys are managed while it runs.
fn change_keys<T>(world: &World, server: &mut Option<Server>, change: impl FnOnce() -> T) -> T {
    let must_stop = world.store == Store::Sqlite;
    if must_stop && let Some(running) = server.take() {
        assert!(running.stop().success());
    }
    let changed = change();
    if server.is_none() {
        *server = Some(world.start());
    } else {
        std::thread::sleep(Duration::from_millis(2_500));
    }
    changed
}

async fn keys_open_what_their_scopes_say_and_die_when_revoked(world: World) {
    let mut server = Some(world.start());
    let token = change_keys(&world, &mut server, || make_key(&world, "deposit,balance:read"));
    let api = server.as_ref().unwrap().api.clone();
    api.get("/users/1/balance").await.refused(401, "unauthenticated");
    let caller = api.with_token(&token);
    caller.deposit(1, 5).await;
    assert_eq!(caller.balance(1).await, (5, 0));
    caller.post("/users/1/withdrawals", json!({"amount": 1})).await.refused(403, "forbidden");
    caller.get("/users/1/operations").await.refused(403, "forbidden");
    caller.delete("/users/1").await.refused(403, "forbidden");

    let id = token[4..16].to_owned();
    let revoked: Output = change_keys(&world, &mut server, || world.run(&["keys", "revoke", &id]));
    assert!(text(&revoked.stdout).contains("revoked"), "{revoked:?}");
    let api = server.as_ref().unwrap().api.clone();
    api.with_token(&token).get("/users/1/balance").await.refused(401, "key_revoked");
    api.get("/users/1/balance").await.refused(401, "unauthenticated");

    let listed = change_keys(&world, &mut server, || world.run(&["keys", "list"]));
    let listed = text(&listed.stdout);
    assert!(listed.contains(&id) && listed.contains("revoked") && listed.contains("billing"), "{listed}");
    assert!(!listed.contains(&token[17..]), "{listed}");
    drop(server);
    let unknown = world.run(&["keys", "revoke", "ffffffffffff"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}

/// Nobody who has not made a key has an open service on the network.
async fn without_keys_only_this_machine_is_served(world: World) {
    let server = world.start();
    server.api.deposit(1, 5).await;
    assert!(server.stop().success());

    let world = world.with("BALANCE_LISTEN", "0.0.0.0:0").with("BALANCE_BEHIND_PROXY", "true");
    let refused = world.run(&["serve"]);
    let said = text(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("balance keys create") && said.contains("BALANCE_ADMIN_KEY"), "{said}");
}
