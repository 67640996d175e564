//! Which ledger a start opens: a ledger keeps what it is, and nothing opens another one by mistake.

use std::{fs, process::Stdio};

use serde_json::{Value, json};

use crate::harness::{Api, Server, Store, World, on_every_store};

on_every_store!(
    a_ledger_is_the_same_at_every_start,
    other_values_than_the_ledgers_are_refused,
    files_follow_the_decimals_of_the_currency,
);

/// What a start said about the ledger.
fn said(server: &Server) -> Value {
    let line = server.said.iter().find(|line| line.contains("\"serving\"")).unwrap();
    serde_json::from_str(line).unwrap()
}

async fn ledger(api: &Api) -> Value {
    api.get("/ledger").await.expect(200)
}

/// Ends a command that must not run: its status and what it said.
fn refused(world: &World, arguments: &[&str]) -> String {
    let output = world.run(arguments);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {said}");
    said
}

async fn a_ledger_is_the_same_at_every_start(world: World) {
    let server = world.start();
    server.api.until_ready(200).await;
    let first = ledger(&server.api).await;
    assert_eq!(first["id"].as_str().unwrap().len(), 32, "{first}");
    let store = if world.store == Store::Sqlite { "sqlite" } else { "postgres" };
    let kept = json!({
        "id": first["id"], "currency": "RUB", "currency_decimals": 2, "accounting_zone": "Europe/Moscow",
        "store": store, "schema_version": first["schema_version"],
    });
    assert_eq!(first, kept);
    assert_eq!((&said(&server)["new"], &said(&server)["accounts"]), (&json!(true), &json!(0)));
    server.api.deposit(1, 500).await;
    server.stop();

    let server = world.start();
    server.api.until_ready(200).await;
    assert_eq!(ledger(&server.api).await, first);
    assert_eq!((&said(&server)["new"], &said(&server)["accounts"]), (&json!(false), &json!(1)));
}

async fn other_values_than_the_ledgers_are_refused(world: World) {
    let world = world.with("BALANCE_CURRENCY", "EUR").with("BALANCE_ACCOUNTING_ZONE", "Europe/Berlin");
    assert!(world.run(&["migrate"]).status.success());
    let world = world.with("BALANCE_CURRENCY", "USD");
    for command in [&["serve"][..], &["report", "2026-01"], &["migrate"]] {
        let said = refused(&world, command);
        let expected = "made with currency EUR with 2 decimals, and USD with 2 decimals is configured";
        assert!(said.contains(expected) && !said.contains("zone"), "{said}");
    }
    let world = world.with("BALANCE_CURRENCY", "EUR").with("BALANCE_ACCOUNTING_ZONE", "UTC");
    for command in [&["serve"][..], &["report", "2026-01"]] {
        let said = refused(&world, command);
        assert!(said.contains("made with accounting_zone Europe/Berlin, and UTC is configured"), "{said}");
    }
    assert_eq!(
        fs::read_dir(world.folder().join("reports")).map_or(0, Iterator::count),
        0,
        "no report was made"
    );
    let world = world.with("BALANCE_ACCOUNTING_ZONE", "europe/berlin");
    let server = world.start();
    server.api.until_ready(200).await;
    assert_eq!(ledger(&server.api).await["accounting_zone"], "Europe/Berlin");
}

async fn files_follow_the_decimals_of_the_currency(world: World) {
    let world = world.with("BALANCE_CURRENCY", "KWD").with("BALANCE_ACCOUNTING_ZONE", "UTC");
    let server = world.start();
    server.api.until_ready(200).await;
    let api = &server.api;
    api.add_services(&[(7, "Taxi")]).await;
    api.deposit(1, 12_345).await;
    api.reserve(1, 7, 1, 12_345).await;
    let order = json!({"user_id": 1, "service_id": 7, "order_id": 1, "amount": 12_345});
    let captured = api.post("/reservations/capture", order).await.expect(200);
    let month = captured["created_at"].as_str().unwrap()[..7].to_owned();
    let built = api.post("/reports/revenue", json!({"month": month})).await.expect(201);
    assert_eq!(
        api.get_raw(built["url"].as_str().unwrap()).await.text(),
        "service;revenue\n\"Taxi\";12.345\n"
    );
    let excel = api.get(&format!("/reports/revenue/{month}.csv?for=excel")).await.text();
    assert!(excel.contains(";12,345;") && excel.contains("\"KWD\""), "{excel}");
    let opened = api.get_raw("/console/users/1").await.text();
    assert!(opened.contains("12.345"), "{opened}");
}

/// A final report that is not what the books say is found, and named with its sums.
#[tokio::test]
async fn an_audit_recounts_final_months() {
    let world = World::new(Store::Postgres);
    let server = world.start();
    server.api.until_ready(200).await;
    server.api.add_services(&[(7, "Taxi")]).await;
    let built = server.api.post("/reports/revenue", json!({"month": "2026-01"})).await.expect(201);
    assert_eq!(built["final"], true);
    assert!(server.stop().success());
    assert!(world.audit().contains("final months  1 (recounted, 0 sums differ)"));
    let url = world.variable("BALANCE_DATABASE_URL");
    crate::harness::run_sql(url, "INSERT INTO report_lines VALUES ('2026-01', 0, 7, 'Taxi', 5, 1)");
    let output = world.run(&["audit"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let difference = "month 2026-01, service 7: the final report says captured 5, refunded 1; the books say captured 0, \
                      refunded 0";
    assert!(said.contains(difference) && said.ends_with("NOT CLEAN\n"), "{said}");
    let json = world.run(&["audit", "--json"]);
    let json: Value = serde_json::from_slice(&json.stdout).unwrap();
    assert_eq!((&json["clean"], &json["month_differences"]), (&json!(false), &json!([difference])));
}

/// A database that comes up late and holds another ledger ends the service as one that was there at once.
#[tokio::test]
async fn another_ledger_that_appears_later_ends_the_service() {
    let world = World::new(Store::Postgres).with("BALANCE_CURRENCY", "EUR");
    let url = world.variable("BALANCE_DATABASE_URL").to_owned();
    let (server, database) = url.rsplit_once('/').unwrap();
    assert!(world.run(&["migrate"]).status.success());
    let hidden = format!("{database}_hidden");
    let rename = |from: &str, to: &str| {
        crate::harness::run_sql(
            &format!("{server}/postgres"),
            &format!("ALTER DATABASE {from} RENAME TO {to}"),
        );
    };
    rename(database, &hidden);
    let world = world.with("BALANCE_CURRENCY", "USD");
    let running = world.start();
    running.api.until_ready(503).await;
    rename(&hidden, database);
    assert_eq!(running.wait().code(), Some(2));
}

#[test]
fn no_ledger_is_made_where_none_was_named() {
    let world = World::unconfigured().with("BALANCE_LISTEN", "127.0.0.1:0");
    for arguments in [&["serve"][..], &["migrate"], &["keys", "list"]] {
        let said = refused(&world, arguments);
        assert!(
            said.contains("there is no ledger yet in SQLite file /") && said.contains("database_url"),
            "{said}"
        );
        assert!(said.contains("data/balance.db"), "{said}");
    }
    assert!(!world.folder().join("data/balance.db").exists(), "nothing was made");
    // By name it is made, and from then on found.
    let named = world.with("BALANCE_DATABASE_URL", "sqlite:data/balance.db");
    assert!(named.run(&["migrate"]).status.success());
    let world = named.without("BALANCE_DATABASE_URL");
    assert!(world.run(&["keys", "list"]).status.success());
}

#[test]
fn whom_others_reach_has_a_named_ledger() {
    for arguments in [&["--listen", "0.0.0.0:0", "--behind-proxy"][..], &["--behind-proxy"]] {
        let said = refused(&World::unconfigured(), arguments);
        assert!(said.contains("database_url (BALANCE_DATABASE_URL): must be set"), "{said}");
    }
    let slashes = World::unconfigured().with("BALANCE_DATABASE_URL", "sqlite://data/x.db");
    let said = refused(&slashes, &["serve"]);
    assert!(said.contains("is sqlite:data/x.db meant?"), "{said}");
}

/// Anyone who types `balance` in an empty folder gets a ledger to try.
#[test]
fn with_nothing_configured_a_ledger_is_made() {
    let world = World::unconfigured();
    let output = world.command(&["keys", "list"]).stderr(Stdio::piped()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(world.folder().join("data/balance.db").exists());
}
