//! What `deploy/` says, done with the real binary: the example configuration loads, and under the environment of
//! compose.yaml the service may be there before its database.

use std::{
    fs,
    io::Write,
    net::SocketAddr,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use balance_postgres_harness::{Options, Server as Postgres};
use serde_json::json;
use yaml_rust2::{Yaml, YamlLoader};

use crate::harness::{Api, World};

const COMPOSE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/compose.yaml"));
const OWNER_PASSWORD: &str = "8f14e45fceea167a";
const APP_PASSWORD: &str = "c9f0f895fb98ab91";

/// How long a database takes to come up that was started together with the service.
const DATABASE_TAKES: Duration = Duration::from_millis(3_500);

#[test]
fn the_example_configuration_loads_and_is_what_is_in_effect_without_one() {
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/balance.example.toml");
    let printed = World::unconfigured().run(&["config"]);
    assert_eq!(String::from_utf8(printed.stdout).unwrap(), fs::read_to_string(example).unwrap());
    let loaded = World::unconfigured().run(&["config", "--config", example]);
    assert!(loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stderr));
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

/// The secrets of deploy/.env.
fn secrets(admin_key: &str) -> [(&'static str, &str); 4] {
    [
        ("POSTGRES_PASSWORD", "0a1b2c"),
        ("BALANCE_OWNER_PASSWORD", OWNER_PASSWORD),
        ("BALANCE_APP_PASSWORD", APP_PASSWORD),
        ("BALANCE_ADMIN_KEY", admin_key),
    ]
}

/// An installation with the environment of a service in compose.yaml and nothing else.
fn composed(name: &str, postgres: &Postgres, admin_key: &str) -> World {
    let service = service(name);
    let environment = service["environment"].as_hash().unwrap();
    assert!(!environment.is_empty());
    environment.iter().fold(World::unconfigured(), |world, (name, value)| {
        let value = outside(&interpolated(value.as_str().unwrap(), &secrets(admin_key)), &world, postgres);
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

/// Whether the check of compose.yaml finds the service well. Only the port is another than in the container.
fn is_healthy(world: &World, address: SocketAddr) -> bool {
    let words = health_check("balance");
    assert_eq!(words[0], "balance");
    let listen = format!("0.0.0.0:{}", address.port());
    let mut arguments: Vec<_> = words[1..].iter().map(String::as_str).collect();
    arguments.extend(["--listen", &listen]);
    world.run(&arguments).status.success()
}

/// A command with the tools of PostgreSQL in its path that talks to this server.
fn beside(postgres: &Postgres, program: &str) -> Command {
    let path = std::env::join_paths([postgres.bin(), "/usr/bin".as_ref(), "/bin".as_ref()]).unwrap();
    let mut command = Command::new(program);
    command.env("PATH", path).env("PGHOST", "127.0.0.1").env("PGPORT", postgres.port().to_string());
    command.stdout(Stdio::null());
    command
}

/// Whether the check of compose.yaml finds the database well.
fn is_database_healthy(postgres: &Postgres) -> bool {
    let words = health_check("postgres");
    beside(postgres, &words[0]).args(&words[1..]).status().unwrap().success()
}

/// Makes database and roles as the image of PostgreSQL does.
fn make_roles(postgres: &Postgres) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/postgres/roles.sh");
    let mut command = beside(postgres, script);
    command.env("BALANCE_OWNER_PASSWORD", OWNER_PASSWORD).env("BALANCE_APP_PASSWORD", APP_PASSWORD);
    assert!(command.status().unwrap().success());
}

#[tokio::test]
async fn under_compose_the_service_may_be_there_before_its_database_and_owns_nothing_in_it() {
    // Durable: nothing in compose.yaml allows less.
    let postgres = Postgres::start(Options { durable: true, ..Options::default() });
    make_roles(&postgres);
    postgres.stop();
    let admin_key = format!("bal_{}_{}", "0123456789ab", "5e".repeat(32));
    let world = composed("balance", &postgres, &admin_key);

    let server = world.start();
    let api = server.api.with_token(&admin_key);
    let started = Instant::now();
    assert!(!is_database_healthy(&postgres) && !is_healthy(&world, server.address));
    while started.elapsed() < DATABASE_TAKES {
        api.get_raw("/health/live").await.expect(200);
        api.get_raw("/health/ready").await.expect(503);
        api.post("/users/1/deposits", json!({"amount": 1})).await.refused(503, "unavailable");
        tokio::time::sleep(Duration::from_millis(500)).await;
    }

    postgres.restart();
    assert!(is_database_healthy(&postgres));
    api.get_raw("/health/ready").await.expect(503);
    let migrated = composed("migrate", &postgres, &admin_key).run(&["migrate"]);
    assert!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
    let schema_is_there = Instant::now();
    api.until_ready(200).await;
    println!("ready {:?} after the schema", schema_is_there.elapsed());
    assert!(is_healthy(&world, server.address));
    live_a_little(&api).await;
    server.api.get("/users/1/balance").await.refused(401, "unauthenticated");
    assert!(server.stop().success());
    assert!(world.folder().join("logs").read_dir().unwrap().next().is_some(), "logs are in the volume");
    world.audit();
    let owned = postgres
        .psql("balance", "SELECT count(*) FROM pg_class WHERE pg_get_userbyid(relowner) = 'balance_app'");
    assert_eq!(owned.trim(), "0");
    let listed = world.run(&["keys", "list", "--json"]);
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
}

/// Something of every kind that writes: the role that serves must be allowed all of it.
async fn live_a_little(api: &Api) {
    api.add_services(&[(1, "Delivery"), (2, "Taxi")]).await;
    api.deposit(1, 100).await;
    api.post("/transfers", json!({"from_user_id": 1, "to_user_id": 2, "amount": 10})).await.expect(201);
    api.post("/users/2/withdrawals", json!({"amount": 10})).await.expect(201);
    let order = json!({"user_id": 1, "service_id": 1, "order_id": 1});
    api.reserve(1, 1, 1, 40).await;
    api.post(
        "/reservations/extend",
        json!({"user_id": 1, "service_id": 1, "order_id": 1, "expires_in_seconds": 900}),
    )
    .await
    .expect(200);
    api.post("/reservations/capture", order).await.expect(200);
    api.post("/reservations/refund", json!({"user_id": 1, "service_id": 1, "order_id": 1, "amount": 5}))
        .await
        .expect(200);
    assert_eq!(api.delete("/users/2").await.status, 204);
    assert_eq!(api.delete("/services/2").await.status, 204);
    let month = &api.history(1).await[0]["created_at"].as_str().unwrap()[..7].to_owned();
    api.post("/reports/revenue", json!({ "month": month })).await.expect(201);
    assert_eq!(api.balance(1).await, (55, 0));
}

/// The commands of a page between two lines of it, block by block.
fn blocks<'p>(page: &'p str, chapter: &str) -> Vec<&'p str> {
    let (_, rest) = page.split_once(chapter).unwrap();
    let (chapter, _) = rest.split_once("\n## ").unwrap();
    chapter.split("```sh\n").skip(1).map(|block| block.split_once("\n```").unwrap().0).collect()
}

/// README's chapter on PostgreSQL to the letter, but for the port, and with the binary that is there.
#[test]
fn readmes_postgresql_works_as_written_for_a_role_of_least_rights() {
    let readme = include_str!("../../../../README.md");
    let blocks = blocks(readme, "\n## On PostgreSQL, for others to call\n");
    let [make, run] = blocks.as_slice() else { panic!("the chapter has other blocks now: {blocks:#?}") };
    let postgres = Postgres::start(Options { durable: true, ..Options::default() });

    // Without a terminal the password is read from standard input, twice.
    let mut making = beside(&postgres, "setsid");
    making.args(["--wait", "bash", "-euc", make]).env("PGUSER", "postgres").stdin(Stdio::piped());
    let mut making = making.spawn().unwrap();
    making.stdin.take().unwrap().write_all(b"secret\nsecret\n").unwrap();
    assert!(making.wait().unwrap().success());

    let world = World::unconfigured().with("BALANCE_LISTEN", "127.0.0.1:0");
    let is_ours = |line: &&str| !line.starts_with("cargo install");
    let commands: Vec<_> = run.lines().filter(is_ours).collect();
    let commands = commands.join("\n").replace("@localhost/", &format!("@127.0.0.1:{}/", postgres.port()));
    let (commands, serve) = commands.rsplit_once('\n').unwrap();
    assert_eq!(serve, "balance serve");
    let serve =
        format!("{commands}\n(timeout --foreground --preserve-status --signal=INT 5 balance serve) 2>&1");
    let output = world.shell(&serve).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("bal_") && said.contains("PostgreSQL balance@127.0.0.1:"), "{said}");
    assert!(said.contains("\"access\":\"keys\"") && !said.contains("secret"), "{said}");
}
