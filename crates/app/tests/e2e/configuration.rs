//! The command line and the configuration, from the outside.

use std::fs;

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
    let printed = world.run(&["config"]);
    assert!(printed.status.success());
    let printed = text(&printed.stdout);
    assert!(
        printed.contains("currency = \"EUR\"") && printed.contains("# BALANCE_HTTP__WORKERS"),
        "{printed}"
    );
    fs::write(world.folder().join("other.toml"), &printed).unwrap();
    let again = world.run(&["config", "--config", "other.toml"]);
    assert_eq!(text(&again.stdout), printed);
    let missing = world.run(&["config", "--config", "missing.toml"]);
    assert_eq!(missing.status.code(), Some(2));
    assert!(text(&missing.stderr).contains("missing.toml"));
}

#[test]
fn help_says_what_there_is() {
    let help = World::new(Store::Sqlite).run(&["--help"]);
    let help = text(&help.stdout);
    for word in ["serve", "migrate", "report", "audit", "keys", "openapi", "backup", "config", "--config"] {
        assert!(help.contains(word), "{word} is not in {help}");
    }
    let unknown = World::new(Store::Sqlite).run(&["mint-money"]);
    assert_eq!(unknown.status.code(), Some(2));
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
