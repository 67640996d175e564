//! The command line and the configuration, from the outside.

use std::{fs, process::Stdio};

use serde_json::{Value, json};

use crate::harness::{Store, World, on_every_store};

on_every_store!(migrations_and_reports_run_from_the_command_line,);

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_mistake_is_reported_at_once() {
    let world = World::new(Store::Sqlite)
        .with("BALANCE_LISTEN", "nowhere")
        .with("BALANCE_DATABASE_URL", "mysql://root:canary-password@host/db")
        .with("BALANCE_HTTP__WORKERS", "many")
        .with("BALANCE_ADMIN_KEY", "canary-key")
        .with("BALANCE_NO_SUCH_KEY", "1");
    fs::write(world.folder().join("balance.toml"), "currency = \"roubles\"\n[log_file]\nfile = \"x\"\n")
        .unwrap();
    for command in ["serve", "audit", "config"] {
        let output = world.run(&[command]);
        let said = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        for name in [
            "listen (BALANCE_LISTEN)",
            "database_url (BALANCE_DATABASE_URL)",
            "http.workers (BALANCE_HTTP__WORKERS)",
            "admin_key (BALANCE_ADMIN_KEY)",
            "no_such_key (BALANCE_NO_SUCH_KEY)",
            "currency (BALANCE_CURRENCY)",
            "log_file.file (BALANCE_LOG_FILE__FILE)",
        ] {
            assert!(said.contains(name), "{name} is not in {said}");
        }
        assert!(!said.contains("canary"), "{said}");
    }
}

#[cfg(not(feature = "otel"))]
#[test]
fn a_binary_without_traces_says_so_instead_of_sending_none() {
    let output =
        World::new(Store::Sqlite).with("BALANCE_OTEL__ENDPOINT", "http://127.0.0.1:4318").run(&["serve"]);
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains("BALANCE_OTEL__ENDPOINT") && said.contains("--features otel"), "{said}");
}

#[test]
fn the_configuration_in_effect_can_be_printed_and_used_again() {
    let world = World::new(Store::Sqlite).with("BALANCE_CURRENCY", "EUR");
    let printed = world.run(&["config", "--listen", "127.0.0.1:1"]);
    assert!(printed.status.success());
    let printed = text(&printed.stdout);
    for line in [
        "currency = \"EUR\" # from BALANCE_CURRENCY",
        "listen = \"127.0.0.1:1\" # from --listen",
        "# BALANCE_HTTP__WORKERS",
    ] {
        assert!(printed.contains(line), "{line} is not in {printed}");
    }
    fs::write(world.folder().join("other.toml"), &printed).unwrap();
    let again = World::unconfigured().run(&[
        "config",
        "--json",
        "--config",
        world.folder().join("other.toml").to_str().unwrap(),
    ]);
    let again: Value = serde_json::from_slice(&again.stdout).unwrap();
    assert_eq!(again["listen"]["value"], "127.0.0.1:1");
    assert!(again["currency"]["origin"].as_str().unwrap().ends_with("other.toml"), "{again}");
    assert_eq!(again["otel.sample_ratio"], json!({"value": "1", "origin": again["currency"]["origin"]}));
    let missing = world.run(&["config", "--config", "missing.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("missing.toml"));
}

#[test]
fn help_says_what_there_is() {
    let help = World::new(Store::Sqlite).run(&["--help"]);
    let help = text(&help.stdout);
    for word in
        ["serve", "migrate", "report", "audit", "keys", "openapi", "backup", "config", "--config", "--listen"]
    {
        assert!(help.contains(word), "{word} is not in {help}");
    }
    let unknown = World::new(Store::Sqlite).run(&["serv"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("'serve'"), "{}", text(&unknown.stderr));
}

#[test]
fn a_program_can_read_what_commands_print() {
    let world = World::new(Store::Sqlite);
    let json = |arguments: &[&str]| -> Value {
        let output = world.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    };
    let made = json(&["keys", "create", "--json", "--name", "shop", "--scope", "deposit"]);
    assert!(made["token"].as_str().unwrap().starts_with("bal_"), "{made}");
    let id = made["id"].as_str().unwrap();
    assert_eq!(json(&["keys", "revoke", id, "--json"])["state"], "revoked");
    let listed = json(&["keys", "list", "--json"]);
    assert_eq!((&listed[0]["id"], &listed[0]["scopes"]), (&made["id"], &json!(["deposit"])));
    assert!(listed[0].get("token").is_none());
    let audit = json(&["audit", "--json"]);
    assert_eq!(
        (&audit["clean"], &audit["paid_in"], &audit["differences"]),
        (&json!(true), &json!(0), &json!([]))
    );
    let report = json(&["report", "2024-01", "--json"]);
    assert_eq!((&report["rows"], &report["final"]), (&json!(0), &json!(true)));
    assert!(report["file"].as_str().unwrap().ends_with("revenue-2024-01.csv"));
    let version = json(&["version", "--json"]);
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
    assert!(text(&world.run(&["--version"]).stdout).contains(version["commit"].as_str().unwrap()));
}

#[test]
fn shells_and_manuals_are_served() {
    let world = World::unconfigured();
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&world.run(&["completions", shell]).stdout);
        for word in ["doctor", "database-url", "revoke"] {
            assert!(script.contains(word), "{word} is not in the completions of {shell}");
        }
    }
    let manual = text(&world.run(&["man"]).stdout);
    assert!(manual.starts_with(".ie") || manual.contains(".TH balance 1"), "{manual}");
    assert!(manual.contains("http\\-workers") && !manual.contains("admin\\-key"), "every flag is in it");
}

/// `balance openapi | head -n 1`
#[test]
fn a_reader_that_went_away_is_no_error() {
    let mut child = World::unconfigured()
        .command(&["openapi"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(141), String::new()));
}

async fn migrations_and_reports_run_from_the_command_line(world: World) {
    for _ in 0..2 {
        let output = world.run(&["migrate"]);
        assert!(output.status.success(), "{}", text(&output.stderr));
    }
    let report = world.run(&["report", "2024-01"]);
    let said = text(&report.stdout);
    assert!(report.status.success(), "{}", text(&report.stderr));
    for part in ["revenue-2024-01.csv", "rows", "total", "sha256", "final"] {
        assert!(said.contains(part), "{part} is not in {said}");
    }
    let file = fs::read_to_string(world.folder().join("reports/revenue-2024-01.csv")).unwrap();
    assert_eq!(file, "service;revenue\n");
    for month in ["9000-01", "2024-13"] {
        assert_eq!(world.run(&["report", month]).status.code(), Some(2));
    }
    world.audit();
}
