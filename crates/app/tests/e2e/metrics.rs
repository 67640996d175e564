//! `/metrics`: everything that the dashboard and the alarms ask for is there, with values, and explained.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Api, Store, World, on_every_store};

on_every_store!(what_dashboard_and_alarms_ask_for_is_offered_and_explained, figures_tell_what_happened);

const DASHBOARD: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/grafana/dashboards/balance.json"));
const ALARMS: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/prometheus/alerts.yml"));
const MANUAL: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/operations.md"));

/// Names of metrics in any text.
fn names(text: &str) -> BTreeSet<String> {
    text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_')
        .filter(|word| word.starts_with("balance_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

/// Of a Prometheus that others share, at any interval of scrapes, and for someone who does not know the metrics.
#[test]
fn every_panel_is_explained_has_a_unit_and_follows_the_variables() {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let variables = dashboard["templating"]["list"].as_array().unwrap().iter().map(|each| &each["name"]);
    assert_eq!(variables.collect::<Vec<_>>(), ["datasource", "job", "instance"]);
    let panels = dashboard["panels"].as_array().unwrap().iter().filter(|panel| panel["type"] != "row");
    let mut count = 0;
    for panel in panels {
        count += 1;
        assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{panel}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{panel}");
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{panel}");
        for target in panel["targets"].as_array().unwrap() {
            let asked = target["expr"].as_str().unwrap();
            let metrics = names(asked).len();
            assert!(asked.matches(r#"job=~"$job",instance=~"$instance""#).count() >= metrics, "{asked}");
            assert_eq!(
                asked.matches("rate(").count(),
                asked.matches("[$__rate_interval]").count(),
                "{asked}"
            );
        }
    }
    assert!(count >= 20, "{count}");
}

/// The figures of this moment by name and labels.
async fn figures(api: &Api) -> BTreeMap<String, f64> {
    let text = api.get_raw("/metrics").await.text();
    let lines = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    lines
        .map(|line| {
            let (name, value) = line.rsplit_once(' ').unwrap();
            (name.to_owned(), value.parse().unwrap())
        })
        .collect()
}

/// A little of everything, a refusal too.
async fn do_something(api: &Api) {
    api.add_services(&[(1, "a")]).await;
    api.deposit(1, 100).await;
    api.reserve(1, 1, 1, 40).await;
    api.post("/users/1/withdrawals", json!({"amount": 1_000})).await.refused(422, "insufficient_funds");
    api.balance(1).await;
}

/// What the manual says of a histogram holds for its parts.
fn is_explained(name: &str, explained: &BTreeSet<String>) -> bool {
    let parts = ["_bucket", "_sum", "_count"];
    let whole = parts.iter().find_map(|part| name.strip_suffix(part)).unwrap_or(name);
    explained.contains(name) || explained.contains(whole) || name.starts_with("process_")
}

async fn what_dashboard_and_alarms_ask_for_is_offered_and_explained(world: World) {
    let server = world.start();
    do_something(&server.api).await;
    let mut text = server.api.get_raw("/metrics").await.text();
    // Last: from here on calls need a key.
    let key = ["keys", "create", "--name", "n", "--scope", "report", "--expires-in-days", "1"];
    assert!(world.run(&key).status.success());
    let deadline = Instant::now() + Duration::from_secs(15);
    while !text.contains("balance_api_key_expires_in_seconds") {
        assert!(Instant::now() < deadline, "{text}");
        tokio::time::sleep(Duration::from_millis(100)).await;
        text = server.api.get_raw("/metrics").await.text();
    }
    let offered = names(&text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join("\n"));
    let chapter = MANUAL.split("\n## ").find(|chapter| chapter.starts_with("Watching")).unwrap();
    let explained = names(chapter);
    for (place, text) in [("the dashboard", DASHBOARD), ("an alarm", ALARMS)] {
        let asked = names(text);
        assert!(asked.len() > 4, "{place}: {asked:?}");
        for name in asked {
            assert!(offered.contains(&name), "{place} asks for {name}, which is not offered");
            assert!(
                is_explained(&name, &explained),
                "{place} asks for {name}, which operations.md leaves out"
            );
        }
    }
    for name in &offered {
        assert!(is_explained(name, &explained), "operations.md leaves {name} out");
    }
    for name in &explained {
        let is_offered = offered.iter().any(|offered| offered.starts_with(name.as_str()));
        assert!(is_offered, "operations.md explains {name}, which is not offered");
    }
    for name in offered.iter().filter(|name| name.starts_with("balance_")) {
        let has_help = text.lines().any(|line| {
            line.strip_prefix("# HELP ").is_some_and(|help| name.starts_with(help.split(' ').next().unwrap()))
        });
        assert!(has_help, "{name} comes without a help text");
    }
}

async fn figures_tell_what_happened(world: World) {
    let server = world.start();
    do_something(&server.api).await;
    let seen = figures(&server.api).await;
    let route = r#"method="POST",route="/api/v1/users/{user_id}/deposits""#;
    let info = seen.keys().find(|name| name.starts_with("balance_build_info{")).unwrap();
    let store = if world.store == Store::Sqlite { "sqlite" } else { "postgres" };
    for label in [format!("version=\"{}\"", env!("CARGO_PKG_VERSION")), format!("store=\"{store}\"")] {
        assert!(info.contains(&label), "{label} is not in {info}");
    }
    for (name, expected) in [
        ("balance_ready".to_owned(), 1.0),
        (r#"balance_operations_total{kind="deposit"}"#.to_owned(), 1.0),
        (r#"balance_operations_amount_total{kind="deposit"}"#.to_owned(), 100.0),
        (r#"balance_operations_amount_total{kind="reserve"}"#.to_owned(), 40.0),
        (r#"balance_operations_total{kind="withdrawal"}"#.to_owned(), 0.0),
        (format!(r#"balance_http_requests_total{{{route},status="201"}}"#), 1.0),
        (format!("balance_http_request_duration_seconds_count{{{route}}}"), 1.0),
        (format!(r#"balance_http_request_duration_seconds_bucket{{{route},le="+Inf"}}"#), 1.0),
        (r#"balance_rejections_total{code="insufficient_funds"}"#.to_owned(), 1.0),
        ("balance_batch_commands_sum".to_owned(), 3.0),
        ("balance_batch_wait_seconds_count".to_owned(), 3.0),
        ("balance_batch_duration_seconds_count".to_owned(), 3.0),
        (r#"balance_queue_commands{lane="0"}"#.to_owned(), 0.0),
        (r#"balance_overloaded_total{work="write"}"#.to_owned(), 0.0),
        (r#"balance_log_lines_lost_total{sink="stdout"}"#.to_owned(), 0.0),
        ("balance_store_connections_max".to_owned(), 16.0),
        ("balance_store_waiting".to_owned(), 0.0),
    ] {
        assert_eq!(seen.get(&name), Some(&expected), "{name} in {seen:#?}");
    }
    assert!(seen["balance_batch_duration_seconds_sum"] > 0.0);
    assert!(seen["balance_sweeper_lag_seconds"] < 10.0);
    assert!(seen["process_resident_memory_bytes"] > 1e6);
    let connections = |state| seen[&format!(r#"balance_store_connections{{state="{state}"}}"#)];
    assert!(connections("idle") + connections("in_use") >= 1.0);

    // Counted at the start, and then twice a minute.
    assert!(server.stop().success());
    let server = world.start();
    let deadline = Instant::now() + Duration::from_secs(10);
    while figures(&server.api).await.get("balance_reservations_active") != Some(&1.0) {
        assert!(Instant::now() < deadline, "the active reservation is not counted");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
