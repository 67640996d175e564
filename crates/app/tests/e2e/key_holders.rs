//! Callers with a key who take more than their share, and keys that are gone, damaged or too old.

use std::{
    io::{Read, Write},
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Api, Server, Store, World, new_key, on_every_store, run_sql};

on_every_store!(
    the_limit_counts_commands,
    a_greedy_key_does_not_starve_another,
    many_reports_stop_nothing_else
);

/// A key with these scopes; no server may run on SQLite.
fn key(world: &World, scopes: &str) -> String {
    assert!(world.run(&["migrate"]).status.success());
    let output = world.run(&["keys", "create", "--name", "test", "--scope", scopes]);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

fn batch(commands: usize) -> Value {
    let commands: Vec<_> = (0..commands)
        .map(
            |n| json!({"kind": "deposit", "idempotency_key": new_key(), "user_id": n % 100 + 1, "amount": 1}),
        )
        .collect();
    json!({"mode": "independent", "commands": commands})
}

async fn the_limit_counts_commands(world: World) {
    let world = world.with("BALANCE_HTTP__COMMANDS_PER_SECOND", "25");
    let server = world.start();
    let started = Instant::now();
    let mut done = 0;
    for _ in 0..40 {
        let answer = server.api.post("/batches", batch(20)).await;
        match answer.status {
            200 => done += 20,
            _ => answer.refused(429, "rate_limited"),
        }
    }
    let most = 25.0 + 25.0 * started.elapsed().as_secs_f64();
    assert!(done > 0 && f64::from(done) <= most, "{done} commands, {most} allowed");
    server.api.post("/batches", batch(26)).await.refused(429, "rate_limited");
}

/// One key keeps 16 batches of a thousand under way; another one makes single deposits and is never refused.
async fn a_greedy_key_does_not_starve_another(world: World) {
    let world = world.with("BALANCE_HTTP__COMMANDS_PER_SECOND", "0");
    let (greedy, modest) = (key(&world, "deposit"), key(&world, "deposit"));
    let server = world.start();
    let flood: Vec<_> = (0..16)
        .map(|_| {
            let api = server.api.with_token(&greedy);
            tokio::spawn(async move {
                let mut done = 0;
                loop {
                    let answer = api.post("/batches", batch(1_000)).await;
                    if answer.status == 200 {
                        done += 1;
                    } else {
                        answer.refused(503, "overloaded");
                        tokio::time::sleep(Duration::from_millis(100)).await;
                    }
                    tokio::task::yield_now().await;
                    if done > 1_000 {
                        return;
                    }
                }
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let api = server.api.with_token(&modest);
    let mut worst = Duration::ZERO;
    for _ in 0..30 {
        let started = Instant::now();
        api.deposit(1_000, 1).await;
        worst = worst.max(started.elapsed());
    }
    println!("beside 16 batches of 1,000: at worst {worst:?}");
    assert!(worst < Duration::from_secs(3), "{worst:?}");
    flood.iter().for_each(tokio::task::JoinHandle::abort);
}

/// Nothing of the body is waited for, and nothing of it kept.
#[tokio::test]
async fn without_a_scope_a_batch_is_refused_before_its_body() {
    let world = World::new(Store::Sqlite);
    let reporter = key(&world, "report");
    let server = world.start();
    let address = server.address;
    let head = format!(
        "POST /api/v1/batches HTTP/1.1\r\nHost: x\r\nX-Api-Key: {reporter}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000000\r\n\r\n"
    );
    let (said, took) = tokio::task::spawn_blocking(move || {
        let started = Instant::now();
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = vec![0; 4096];
        let read = stream.read(&mut answer).unwrap();
        (String::from_utf8_lossy(&answer[..read]).into_owned(), started.elapsed())
    })
    .await
    .unwrap();
    assert!(said.starts_with("HTTP/1.1 403") && said.contains("\"forbidden\""), "{said}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}

/// Bodies that were begun and not ended: a few of them fit, and others still get theirs through.
#[tokio::test]
async fn parked_bodies_have_a_bound() {
    let world = World::new(Store::Sqlite).with("BALANCE_HTTP__BODIES_BYTES_MAX", &(8 << 20).to_string());
    let (greedy, modest) = (key(&world, "deposit"), key(&world, "deposit"));
    let server = world.start();
    let address = server.address;
    let head = format!(
        "POST /api/v1/batches HTTP/1.1\r\nHost: x\r\nX-Api-Key: {greedy}\r\nContent-Type: application/json\r\n\
         Content-Length: 1000000\r\n\r\n"
    );
    let parked: Vec<_> = (0..20)
        .map(|_| {
            let head = head.clone();
            tokio::task::spawn_blocking(move || {
                let mut stream = TcpStream::connect(address).unwrap();
                stream.write_all(head.as_bytes()).unwrap();
                // The service may have refused and closed before it has read everything.
                let _ = stream.write_all(&vec![b' '; 900_000]);
                let mut answer = vec![0; 4096];
                let read = stream.read(&mut answer).unwrap_or(0);
                String::from_utf8_lossy(&answer[..read]).into_owned()
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let other = server.api.with_token(&modest).post("/batches", batch(1_000)).await;
    assert_eq!(other.status, 200, "{}", other.text());
    let mut refused = 0;
    for answer in parked {
        let said = answer.await.unwrap();
        // The two that fit wait for the rest of their body, in vain.
        refused += usize::from(said.contains("\"overloaded\"") || said.is_empty());
    }
    assert!((17..=18).contains(&refused), "{refused} of 20 were refused");
}

async fn many_reports_stop_nothing_else(world: World) {
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a")]).await;
    let month = api.deposit(1, 1_000).await["created_at"].as_str().unwrap()[..7].to_owned();
    let reports: Vec<_> = (0..300)
        .map(|_| {
            let (api, month) = (api.clone(), month.clone());
            tokio::spawn(async move { api.post("/reports/revenue", json!({"month": month})).await.status })
        })
        .collect();
    let started = Instant::now();
    api.history(1).await;
    api.get("/users/1/operations/by-key/none").await.refused(404, "operation_not_found");
    assert_eq!(api.get_raw("/health/ready").await.status, 200);
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    for report in reports {
        let status = report.await.unwrap();
        assert!([201, 503].contains(&status), "{status}");
    }
    let mode =
        |path: &str| std::fs::metadata(world.folder().join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("reports"), mode("logs")), (0o700, 0o700));
    assert_eq!(mode(&format!("reports/revenue-{month}.csv")), 0o600);
}

/// A folder that hangs: reports are refused within seconds, and nothing else notices.
#[tokio::test]
async fn a_report_folder_that_hangs_stops_nothing_else() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a")]).await;
    let month = api.deposit(1, 1).await["created_at"].as_str().unwrap()[..7].to_owned();
    api.post("/reports/revenue", json!({"month": month})).await.expect(201);
    let folder = world.folder().join("reports");
    std::fs::remove_file(folder.join(format!("revenue-{month}.csv"))).unwrap();
    let lock = std::fs::File::open(folder.join(".revenue.lock")).unwrap();
    lock.lock().unwrap();
    let reports: Vec<_> = (0..100)
        .map(|n| {
            let (api, month) = (api.clone(), month.clone());
            tokio::spawn(async move {
                let started = Instant::now();
                let answer = if n % 2 == 0 {
                    api.post("/reports/revenue", json!({"month": month})).await
                } else {
                    api.get(&format!("/reports/revenue/{month}.csv")).await
                };
                (answer.status, started.elapsed())
            })
        })
        .collect();
    tokio::time::sleep(Duration::from_millis(500)).await;
    let started = Instant::now();
    for _ in 0..10 {
        api.history(1).await;
        api.deposit(1, 1).await;
        assert_eq!(api.get_raw("/health/ready").await.status, 200);
    }
    assert!(started.elapsed() < Duration::from_secs(4), "{:?}", started.elapsed());
    for report in reports {
        let (status, took) = report.await.unwrap();
        assert_eq!(status, 503);
        assert!(took < Duration::from_secs(15), "{took:?}");
    }
    drop(lock);
    api.post("/reports/revenue", json!({"month": month})).await.expect(201);
}

async fn soon(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(5);
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn balance_status(server: &Server, token: Option<&str>) -> u16 {
    let api = token.map_or_else(|| server.api.clone(), |token| server.api.with_token(token));
    api.get("/users/1/balance").await.status
}

/// Neither an emptied table nor a proxy that is declared makes an open service.
#[tokio::test]
async fn keys_that_vanish_open_nothing() {
    let world = World::new(Store::Postgres);
    let url = world.variable("BALANCE_DATABASE_URL").to_owned();
    assert!(world.run(&["migrate"]).status.success());
    let admin = key(&world, "admin");
    let server = world.start();
    server.api.with_token(&admin).deposit(1, 5).await;
    run_sql(&url, "DELETE FROM api_keys");
    soon("the key still works", async || balance_status(&server, Some(&admin)).await == 401).await;
    for _ in 0..10 {
        assert_eq!(balance_status(&server, None).await, 401);
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    server.api.post("/users/1/deposits", json!({"amount": 1})).await.refused(401, "unauthenticated");
    let other = key(&world, "admin");
    soon("a new key does not work", async || balance_status(&server, Some(&other)).await == 200).await;
    assert!(server.stop().success());
    run_sql(&url, "DELETE FROM api_keys");
    let server = world.start();
    assert_eq!(balance_status(&server, None).await, 401, "the ledger keeps that it had keys");
}

#[tokio::test]
async fn behind_a_proxy_there_must_be_a_key() {
    let world = World::new(Store::Sqlite).with("BALANCE_BEHIND_PROXY", "true");
    let refused = world.run(&["serve"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert_eq!(refused.status.code(), Some(2), "{said}");
    assert!(said.contains("balance keys create") && said.contains("BALANCE_ADMIN_KEY"), "{said}");
    let admin = key(&world, "admin");
    let server = world.start();
    assert_eq!(balance_status(&server, None).await, 401);
    assert_eq!(balance_status(&server, Some(&admin)).await, 404);
}

/// Without keys a browser on this machine is no way in for the pages of strangers.
#[tokio::test]
async fn without_keys_another_name_of_this_machine_is_not_served() {
    let world = World::new(Store::Sqlite);
    let server = world.start();
    let request = |host: &str, origin: Option<&str>| {
        let request = server.api.keyed("/users/1/deposits", &new_key(), &json!({"amount": 1}));
        let request = request.header("Host", host);
        match origin {
            Some(origin) => request.header("Origin", origin),
            None => request,
        }
    };
    Api::send(request("evil.example", None)).await.refused(403, "host_not_allowed");
    Api::send(request("localhost", Some("http://evil.example"))).await.refused(403, "host_not_allowed");
    Api::send(request("localhost", Some("http://localhost:3000"))).await.expect(201);
    assert_eq!(server.api.balance(1).await, (1, 0));
}

/// A scope of a later version and a damaged row stop nobody from being let in, or from being revoked.
#[tokio::test]
async fn rows_that_cannot_be_read_stop_nothing() {
    let world = World::new(Store::Postgres);
    let url = world.variable("BALANCE_DATABASE_URL").to_owned();
    assert!(world.run(&["migrate"]).status.success());
    let (first, second) = (key(&world, "admin"), key(&world, "balance:read"));
    run_sql(
        &url,
        &format!(
            "UPDATE api_keys SET scopes = scopes || '{{payout:approve}}' WHERE id = '{}'",
            &second[4..16]
        ),
    );
    run_sql(
        &url,
        "INSERT INTO api_keys (id, name, scopes, secret_hash, created_at) SELECT 'ffffffffffff', 'damaged', '{deposit}', \
         secret_hash, '-infinity' FROM api_keys LIMIT 1",
    );
    let server = world.start();
    server.api.with_token(&first).deposit(1, 1).await;
    assert_eq!(balance_status(&server, Some(&second)).await, 200, "what it knows of the scopes holds");
    assert!(world.run(&["keys", "revoke", &first[4..16]]).status.success());
    soon("the revoked key still works", async || balance_status(&server, Some(&first)).await == 401).await;
    server.api.with_token(&first).get("/users/1/balance").await.refused(401, "key_revoked");
    let listed = world.run(&["keys", "list"]);
    assert!(listed.status.success(), "{listed:?}");
    assert!(String::from_utf8_lossy(&listed.stderr).contains("payout:approve"), "{listed:?}");
}

/// Keys that cannot be read are trusted for half a minute.
#[tokio::test]
async fn keys_that_are_too_old_let_nobody_in() {
    let world = World::new(Store::Postgres);
    let url = world.variable("BALANCE_DATABASE_URL").to_owned();
    assert!(world.run(&["migrate"]).status.success());
    let admin = key(&world, "admin");
    let server = world.start();
    let api = server.api.with_token(&admin);
    api.deposit(1, 5).await;
    run_sql(&url, "ALTER TABLE api_keys RENAME TO away");
    let gone_at = Instant::now();
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert_eq!(api.balance(1).await, (5, 0), "the last keys stay in force for a while");
    let deadline = gone_at + Duration::from_secs(40);
    while api.get("/users/1/balance").await.status != 503 {
        assert!(Instant::now() < deadline, "nobody notices that the keys are too old");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    assert!(gone_at.elapsed() > Duration::from_secs(27), "{:?}", gone_at.elapsed());
    assert_eq!(server.api.get_raw("/health/ready").await.status, 503);
    let metrics = server.api.get_raw("/metrics").await.text();
    let age = metrics.lines().find_map(|line| line.strip_prefix("balance_api_keys_age_seconds ")).unwrap();
    assert!(age.parse::<f64>().unwrap() > 29.0, "{age}");
    run_sql(&url, "ALTER TABLE away RENAME TO api_keys");
    soon("nobody is let in again", async || balance_status(&server, Some(&admin)).await == 200).await;
}

/// A key that is revoked while its body dribbles in is not served.
#[tokio::test]
async fn the_key_is_judged_again_after_a_slow_body() {
    let world = World::new(Store::Postgres);
    assert!(world.run(&["migrate"]).status.success());
    let (admin, other) = (key(&world, "admin"), key(&world, "admin"));
    let server = world.start();
    server.api.with_token(&other).deposit(1, 1).await;
    let head = format!(
        "POST /api/v1/users/1/deposits HTTP/1.1\r\nHost: x\r\nX-Api-Key: {admin}\r\nIdempotency-Key: slow\r\n\
         Content-Type: application/json\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{{\"amount\""
    );
    let mut stream = TcpStream::connect(server.address).unwrap();
    stream.write_all(head.as_bytes()).unwrap();
    assert!(world.run(&["keys", "revoke", &admin[4..16]]).status.success());
    soon("the revoked key still works", async || balance_status(&server, Some(&admin)).await == 401).await;
    stream.write_all(b":1}").unwrap();
    let said = tokio::task::spawn_blocking(move || {
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    })
    .await
    .unwrap();
    assert!(said.starts_with("HTTP/1.1 401") && said.contains("\"key_revoked\""), "{said}");
    assert_eq!(server.api.with_token(&other).balance(1).await, (1, 0));
}
