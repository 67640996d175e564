//! Secrets and personal text stay where they belong: not in logs, errors, metrics or what the process prints.

use std::{fs, path::Path};

use serde_json::{Value, json};

use crate::harness::{Api, Store, World, on_every_store, run_sql};

on_every_store!(no_secret_is_in_logs_errors_or_metrics,);

const SECRET: &str = "ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a7ca4a";

fn files_below(folder: &Path) -> Vec<String> {
    fs::read_dir(folder).unwrap().map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap()).collect()
}

async fn no_secret_is_in_logs_errors_or_metrics(world: World) {
    let token = format!("bal_0123456789ab_{SECRET}");
    let mut world = world.with("BALANCE_ADMIN_KEY", &token).with("BALANCE_LOG", "debug");
    if world.store == Store::Postgres {
        let url = world.variable("BALANCE_DATABASE_URL").to_owned();
        run_sql(&url, "create role shop superuser login password 'canary-password'");
        let url = url.replace("postgres@", "shop:canary-password@");
        world = world.with("BALANCE_DATABASE_URL", &url);
    }
    let server = world.start();
    let api = server.api.with_token(&token);
    api.add_services(&[(1, "canary-service")]).await;
    let mut answers = Vec::new();
    let body = json!({"amount": 5, "comment": "canary-comment"});
    api.post_as("/users/1/deposits", "canary-key", body.clone()).await.expect(201);
    answers.push(
        api.post_as("/users/1/deposits", "canary-key", json!({"amount": 6, "comment": "canary-comment"}))
            .await,
    );
    answers
        .push(api.post_text("/users/1/deposits", "{\"amount\":1,\"canary-field\":\"canary-value\"}").await);
    answers.push(api.post_text("/users/1/deposits", "{\"amount\":\"canary-value\"}").await);
    answers.push(api.get("/users/1/operations?cursor=canary-cursor").await);
    answers.push(server.api.with_token(&token.replace("a4a7", "a4a8")).get("/users/1/balance").await);
    let authorisation = server.api.request(reqwest::Method::GET, "/api/v1/users/1/balance");
    answers.push(Api::send(authorisation.header("Authorization", "Basic canary-basic")).await);
    let metrics = server.api.get_raw("/metrics").await.text();
    let said = server.said.join("\n");
    for answer in &answers {
        assert!((400..500).contains(&answer.status), "{answer:?}");
        let text = answer.text().replace("canary-field", "");
        assert!(!text.contains("canary-value") && !text.contains(&SECRET[..12]), "{text}");
    }
    assert!(server.stop().success());

    let mut places = files_below(&world.folder().join("logs"));
    assert!(!places.is_empty(), "no log file was written");
    check_lines(&places[0]);
    places.extend([fs::read_to_string(world.stdout_path()).unwrap(), metrics, said]);
    for place in places {
        for canary in ["canary", &SECRET[..12]] {
            if let Some(at) = place.find(canary) {
                let around = &place[at.saturating_sub(200)..(at + 100).min(place.len())];
                panic!("{canary} leaked: {around}");
            }
        }
    }
}

/// Each line of the log file is one JSON object with a time, a level and a message; requests have their id.
fn check_lines(log: &str) {
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert!(lines.iter().all(|line| line["timestamp"].is_string() && line["level"].is_string()));
    let requests = lines.iter().filter(|line| line["request_id"].is_string() && line["status"] == 201);
    assert!(requests.count() >= 2, "{log}");
}
