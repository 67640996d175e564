//! What the service says: when it starts, and in its log, to programs and to people.

use std::{fs, process::Command};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Api, Server, Store, World, on_every_store};

on_every_store!(a_start_says_what_it_serves);

async fn a_start_says_what_it_serves(world: World) {
    let (server, said) = started(&world);
    let (ledger, place) = match world.store {
        Store::Sqlite => ("SQLite file /", "/balance.db"),
        Store::Postgres => ("PostgreSQL postgres@127.0.0.1:", "/d"),
    };
    let named = said["ledger"].as_str().unwrap();
    assert!(named.starts_with(ledger) && named.contains(place), "{said}");
    assert_eq!(said["api"], format!("http://{}/api/v1", server.address));
    assert_eq!(said["page"], format!("http://{}/swagger/index.html", server.address));
    assert_eq!((&said["access"], &said["failure"]), (&json!("open"), &Value::Null));
    assert_eq!(said["version"], env!("CARGO_PKG_VERSION"));
    assert!(said["commit"].is_string());
    assert!(server.stop().success());
}

/// A service that had reached its database by the time it spoke, which takes a moment on a busy machine.
fn started(world: &World) -> (Server, Value) {
    for _ in 0..20 {
        let server = world.start();
        let said: Value = serde_json::from_str(server.said.last().unwrap()).unwrap();
        if said["failure"].is_null() {
            return (server, said);
        }
        assert!(server.stop().success());
    }
    panic!("it never reaches its database in time");
}

/// The lines that the servers of a world have logged as JSON.
fn lines(world: &World) -> Vec<Value> {
    let text = fs::read_to_string(world.stdout_path()).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn a_refusal_has_its_code_a_wrong_path_itself_and_a_probe_no_line() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    let api = &server.api;
    api.post("/users/1/withdrawals", json!({"amount": 1})).await.refused(404, "account_not_found");
    api.get_raw("/api/v1/usres/1/balance?token=canary").await.refused(404, "route_not_found");
    api.post("/users/1/balance", json!({})).await.refused(405, "method_not_allowed");
    for quiet in ["/health/live", "/health/ready", "/metrics", "/openapi.json", "/swagger/index.html"] {
        assert_eq!(api.get_raw(quiet).await.status, 200);
    }
    assert!(server.stop().success());
    let lines = lines(&world);
    let requests: Vec<_> = lines.iter().filter(|line| line["target"] == "balance::request").collect();
    let seen: Vec<_> = requests.iter().map(|line| (&line["status"], &line["code"], &line["path"])).collect();
    assert_eq!(
        seen,
        [
            (&json!(404), &json!("account_not_found"), &Value::Null),
            (&json!(404), &json!("route_not_found"), &json!("/api/v1/usres/1/balance")),
            (&json!(405), &json!("method_not_allowed"), &json!("/api/v1/users/1/balance")),
        ]
    );
}

#[tokio::test]
async fn people_read_one_short_line_for_each_request() {
    let world = World::new(Store::Sqlite).with("BALANCE_LOG_FORMAT", "text");
    let server = world.start();
    server.api.deposit(42, 5).await;
    let path = format!("/nix/{}", "x".repeat(1_000));
    let request = server.api.request(Method::GET, &path).header("x-request-id", "abc");
    Api::send(request).await.refused(404, "route_not_found");
    assert!(server.stop().success());
    let log = fs::read_to_string(world.stdout_path()).unwrap();
    let after_time = |line: &str| line.split_once("  ").unwrap().1.to_owned();
    let lines: Vec<_> = log.lines().map(after_time).filter(|line| !line.starts_with("INFO")).collect();
    let [made, lost] = lines.as_slice() else { panic!("{log}") };
    assert!(made.starts_with("201 POST /api/v1/users/{user_id}/deposits  "), "{made}");
    assert!(made.contains(" user_id=42 operation_seq=1") && !made.contains("request_id"), "{made}");
    assert!(lost.starts_with("404 GET /nix/xxx") && lost.contains(" request_id=abc code=route_not_found"));
    assert!(lost.len() < 300, "{lost}");
    assert!(!log.contains('\u{1b}'), "colours are for terminals");
}

/// Runs the service for a moment where it thinks that a person looks on, and gives what that person sees.
fn on_a_terminal(world: &World) -> String {
    let serve = format!("timeout --foreground --signal=INT 3 {} serve", env!("CARGO_BIN_EXE_balance"));
    let mut script = Command::new("script");
    let script = script.args(["--quiet", "--return", "--flush", "--command", &serve, "/dev/null"]);
    let output = world.in_here(script).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_person_at_a_terminal_sees_a_block_and_then_colours_unless_unwanted() {
    let seen = on_a_terminal(&World::new(Store::Sqlite));
    let block = seen.split("keys    none").next().unwrap();
    for line in ["  ledger  SQLite file /", "  API     http://127.0.0.1:", "/swagger/index.html"] {
        assert!(block.contains(line), "{line} is not in {seen}");
    }
    assert!(seen.contains("\u{1b}[2mINFO\u{1b}[0m serving"), "{seen:?}");
    for (name, value) in [("NO_COLOR", "1"), ("TERM", "dumb")] {
        let seen = on_a_terminal(&World::new(Store::Sqlite).with(name, value));
        assert!(seen.contains("INFO serving") && !seen.contains('\u{1b}'), "{seen:?}");
    }
}
