//! What `deploy/` says, done with the real binary: the example configuration loads, and under the environment of
//! compose.yaml the service may be there before its database.

use std::{
    fs,
    net::SocketAddr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use balance_postgres_harness::{Options, Server as Postgres};
use serde_json::json;
use yaml_rust2::{Yaml, YamlLoader};

use crate::harness::World;

const COMPOSE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/compose.yaml"));
const PASSWORD: &str = "8f14e45fceea167a";

/// How long a database takes to come up that was started together with the service.
const DATABASE_TAKES: Duration = Duration::from_millis(3_500);

#[test]
fn the_example_configuration_loads_and_is_what_is_in_effect_without_one() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/balance.example.toml");
    let printed = World::unconfigured().run(&["config", "--config", example]);
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), fs::read_to_string(example).unwrap());
}

/// One service of compose.yaml.
fn service(name: &str) -> Yaml {
    let documents = YamlLoader::load_from_str(COMPOSE).unwrap();
    let service = documents[0]["services"][name].clone();
    assert!(!service.is_badvalue(), "compose.yaml has no service {name}");
    service
}

/// Replaces `${NAME:?what to do}` with values, as compose does with those of deploy/.env.
fn interpolated(text: &str, secrets: &[(&str, &str)]) -> String {
    let mut text = text.to_owned();
    while let Some(start) = text.find("${") {
        let end = start + text[start..].find('}').unwrap();
        let name = text[start + 2..end].split(':').next().unwrap();
        let (_, value) = secrets.iter().find(|(known, _)| *known == name).unwrap();
        text.replace_range(start..=end, value);
    }
    text
}

/// Inside of a container this is the network and the volume; here it is this machine and the world's folder.
fn outside(text: &str, world: &World, postgres: &Postgres) -> String {
    text.replace("@postgres:5432/", &format!("@127.0.0.1:{}/", postgres.port()))
        .replace("0.0.0.0:8080", "0.0.0.0:0")
        .replace("/var/lib/balance", world.folder().to_str().unwrap())
}

/// An installation with the environment of the service in compose.yaml and nothing else.
fn composed(postgres: &Postgres, admin_key: &str) -> World {
    let secrets = [("POSTGRES_PASSWORD", PASSWORD), ("BALANCE_ADMIN_KEY", admin_key)];
    let service = service("balance");
    let environment = service["environment"].as_hash().unwrap();
    assert!(!environment.is_empty());
    environment.iter().fold(World::unconfigured(), |world, (name, value)| {
        let value = outside(&interpolated(value.as_str().unwrap(), &secrets), &world, postgres);
        world.with(name.as_str().unwrap(), &value)
    })
}

/// The health check of a service in compose.yaml, as a command.
fn health_check(name: &str) -> Vec<String> {
    let service = service(name);
    let words: Vec<_> = service["healthcheck"]["test"].as_vec().unwrap().iter().map(Yaml::as_str).collect();
    let words: Vec<_> = words.into_iter().map(|word| word.unwrap().to_owned()).collect();
    match words[0].as_str() {
        "CMD" => words[1..].to_vec(),
        "CMD-SHELL" => vec!["sh".into(), "-c".into(), words[1].clone()],
        other => panic!("{other} is no kind of health check"),
    }
}

/// Whether the check of compose.yaml finds the service well.
fn is_healthy(address: SocketAddr) -> bool {
    let inside = "127.0.0.1:8080";
    let words = health_check("balance");
    assert!(words.iter().any(|word| word.contains(inside)), "{words:?}");
    let words: Vec<_> =
        words.iter().map(|word| word.replace(inside, &format!("127.0.0.1:{}", address.port()))).collect();
    let mut check = Command::new(&words[0]);
    let check = check.args(&words[1..]).stdout(Stdio::null()).stderr(Stdio::null());
    check.status().unwrap().success()
}

/// Whether the check of compose.yaml finds the database well.
fn is_database_healthy(postgres: &Postgres) -> bool {
    let words = health_check("postgres");
    let path = std::env::join_paths([postgres.bin(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    let mut check = Command::new(&words[0]);
    check.args(&words[1..]).env("PATH", path).env("PGHOST", "127.0.0.1");
    check.env("PGPORT", postgres.port().to_string()).stdout(Stdio::null());
    check.status().unwrap().success()
}

#[tokio::test]
async fn under_compose_the_service_may_be_there_before_its_database() {
    // Durable: nothing in compose.yaml allows less.
    let postgres = Postgres::start(Options { durable: true, ..Options::default() });
    postgres.psql("postgres", &format!("CREATE ROLE balance LOGIN PASSWORD '{PASSWORD}'"));
    postgres.psql("postgres", "CREATE DATABASE balance OWNER balance");
    postgres.stop();
    let admin_key = format!("bal_{}_{}", "0123456789ab", "5e".repeat(32));
    let world = composed(&postgres, &admin_key);

    let server = world.start();
    let api = server.api.with_token(&admin_key);
    let started = Instant::now();
    assert!(!is_database_healthy(&postgres) && !is_healthy(server.address));
    while started.elapsed() < DATABASE_TAKES {
        api.get_raw("/health/live").await.expect(200);
        api.get_raw("/health/ready").await.expect(503);
        api.post("/users/1/deposits", json!({"amount": 1})).await.refused(503, "unavailable");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    postgres.restart();
    let database_is_there = Instant::now();
    assert!(is_database_healthy(&postgres));
    api.until_ready(200).await;
    println!("ready {:?} after the database", database_is_there.elapsed());
    assert!(is_healthy(server.address));
    api.deposit(1, 10).await;
    assert_eq!(api.balance(1).await, (10, 0));
    server.api.get("/users/1/balance").await.refused(401, "unauthenticated");
    assert!(server.stop().success());
    assert!(world.folder().join("logs").read_dir().unwrap().next().is_some(), "logs are in the volume");
    world.audit();
}
