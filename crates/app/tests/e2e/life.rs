//! The whole life of money, from the first deposit to a closed account.

use std::{fs, time::Duration};

use reqwest::Method;
use serde_json::{Value, json};

use crate::harness::{Api, Server, World, on_every_store};

on_every_store!(
    the_whole_life_of_money,
    services_come_and_go,
    history_pages_sorts_and_filters,
    batches_are_independent_or_atomic,
    reservations_are_listed_extended_and_read_as_they_are_now,
    a_request_can_be_looked_up_by_its_key,
    the_process_answers_for_itself,
);

fn reservation(user: i64, service: i64, order: i64) -> Value {
    json!({"user_id": user, "service_id": service, "order_id": order})
}

fn with(mut body: Value, name: &str, value: impl Into<Value>) -> Value {
    body[name] = value.into();
    body
}

/// This month in the accounting zone, as the service itself sees it.
fn month_of(operation: &Value) -> String {
    operation["created_at"].as_str().unwrap()[..7].to_owned()
}

async fn the_whole_life_of_money(world: World) {
    let world = world.with("BALANCE_ACCOUNTING_ZONE", "UTC");
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "Delivery"), (2, "=Taxi; \"fast\"")]).await;

    let first = api.deposit(1, 100_000).await;
    assert_eq!(
        (&first["seq"], &first["available_after"], &first["kind"]),
        (&json!(1), &json!(100_000), &json!("deposit"))
    );
    let month = month_of(&first);

    api.reserve(1, 1, 10, 30_000).await;
    assert_eq!(api.balance(1).await, (70_000, 30_000));
    let captured = api
        .post("/reservations/capture", with(with(reservation(1, 1, 10), "amount", 12_345), "comment", "half"))
        .await
        .expect(200);
    assert_eq!(
        (&captured["state"], &captured["captured"], &captured["released"]),
        (&json!("captured"), &json!(12_345), &json!(17_655))
    );
    assert_eq!(api.balance(1).await, (87_655, 0));

    let refunded =
        api.post("/reservations/refund", with(reservation(1, 1, 10), "amount", 345)).await.expect(200);
    assert_eq!(refunded["refunded"], 345);
    assert_eq!(api.balance(1).await, (88_000, 0));

    api.reserve(1, 2, 10, 5_000).await;
    api.post("/reservations/release", reservation(1, 2, 10)).await.expect(200);
    assert_eq!(api.balance(1).await, (88_000, 0));
    api.reserve(1, 2, 11, 15).await;
    api.post("/reservations/capture", reservation(1, 2, 11)).await.expect(200);

    expires_by_itself(api).await;
    report_adds_up(&world, &server, &month).await;

    api.post("/transfers", json!({"from_user_id": 1, "to_user_id": 2, "amount": 985})).await.expect(201);
    api.post("/users/1/withdrawals", json!({"amount": 87_000, "comment": "to the card"})).await.expect(201);
    assert_eq!(api.balance(1).await, (0, 0));
    let kinds: Vec<_> = api.history(1).await.iter().map(|o| o["kind"].as_str().unwrap().to_owned()).collect();
    assert_eq!(
        kinds,
        [
            "deposit",
            "reserve",
            "capture",
            "release",
            "refund",
            "reserve",
            "release",
            "reserve",
            "capture",
            "reserve",
            "expire",
            "transfer_out",
            "withdrawal"
        ]
    );
    assert_eq!(api.delete("/users/1").await.status, 204);
    api.get("/users/1/balance").await.refused(410, "account_closed");
    assert_eq!(api.balance(2).await, (985, 0));

    assert!(server.stop().success());
    world.audit();
}

async fn expires_by_itself(api: &Api) {
    let body = with(with(reservation(1, 1, 12), "amount", 500), "expires_in_seconds", 1);
    api.post("/reservations", body).await.expect(201);
    assert_eq!(api.balance(1).await.1, 500);
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    assert_eq!(api.balance(1).await, (87_985, 0));
    let late = api.post("/reservations/capture", reservation(1, 1, 12)).await;
    late.refused(409, "reservation_expired");
    let read = api.get("/reservations?user_id=1&service_id=1&order_id=12").await.expect(200);
    assert_eq!((&read["state"], &read["released"]), (&json!("expired"), &json!(500)));
}

async fn report_adds_up(world: &World, server: &Server, month: &str) {
    let api = &server.api;
    let built = api.post("/reports/revenue", json!({"month": month})).await.expect(201);
    assert_eq!(
        (&built["rows"], &built["total"], &built["final"]),
        (&json!(2), &json!(12_015), &json!(false))
    );
    let csv = "service;revenue\n\"'=Taxi; \"\"fast\"\"\";0.15\n\"Delivery\";120.00\n";
    let url = built["url"].as_str().unwrap();
    let path = url.strip_prefix(api.origin()).unwrap_or(url);
    let file = api.get_raw(path).await;
    file.expect(200);
    assert_eq!(file.text(), csv);
    assert_eq!(file.header("content-type"), "text/csv; charset=utf-8");
    assert!(file.header("content-disposition").starts_with("attachment"), "{:?}", file.headers);
    let on_disk = fs::read_to_string(world.folder().join(format!("reports/revenue-{month}.csv"))).unwrap();
    assert_eq!(on_disk, csv);
    let figures = api.get(&format!("/reports/revenue/{month}")).await.expect(200);
    let text = figures.to_string();
    for part in ["\"captured\":12345", "\"refunded\":345", "\"net\":12000", "\"captured\":15"] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
}

async fn services_come_and_go(world: World) {
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a"), (2, "b")]).await;
    let taken = json!({"services": [{"id": 3, "name": "c"}, {"id": 1, "name": "d"}]});
    assert_eq!(api.post("/services", taken).await.status, 409);
    let same_name = json!({"services": [{"id": 3, "name": "b"}]});
    assert_eq!(api.post("/services", same_name).await.status, 409);
    assert_eq!(api.get("/services/3").await.status, 404, "all or nothing");

    assert_eq!(api.patch("/services/2", json!({"name": "bee"})).await.expect(200)["name"], "bee");
    assert_eq!(api.patch("/services/2", json!({"name": "a"})).await.status, 409);
    let names: Vec<_> = api.get("/services").await.expect(200)["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|service| service["name"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["a", "bee"]);

    api.deposit(1, 100).await;
    api.reserve(1, 1, 1, 40).await;
    assert_eq!(api.delete("/services/2").await.status, 204);
    assert_eq!(api.get("/services/2").await.status, 404, "it was never used");
    assert_eq!(api.delete("/services/1").await.status, 204);
    assert_eq!(api.get("/services/1").await.expect(200)["name"], "a", "it was used");
    let again = with(reservation(1, 1, 2), "amount", 1);
    api.post("/reservations", again).await.refused(409, "service_retired");
    api.post("/reservations/capture", reservation(1, 1, 1)).await.expect(200);
}

async fn history_pages_sorts_and_filters(world: World) {
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a")]).await;
    for amount in [500, 100, 300, 100, 400] {
        api.deposit(1, amount).await;
    }
    api.reserve(1, 1, 7, 300).await;

    let amounts = |page: Value| -> Vec<(i64, i64)> {
        page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|o| (o["amount"].as_i64().unwrap(), o["seq"].as_i64().unwrap()))
            .collect()
    };
    for (query, expected) in [
        ("", vec![(300, 6), (400, 5), (100, 4), (300, 3), (100, 2), (500, 1)]),
        ("?sort=created_at", vec![(500, 1), (100, 2), (300, 3), (100, 4), (400, 5), (300, 6)]),
        ("?sort=amount", vec![(100, 2), (100, 4), (300, 3), (300, 6), (400, 5), (500, 1)]),
        ("?sort=-amount", vec![(500, 1), (400, 5), (300, 6), (300, 3), (100, 4), (100, 2)]),
        ("?kind=reserve", vec![(300, 6)]),
        ("?service_id=1&order_id=7", vec![(300, 6)]),
        ("?min_amount=300&max_amount=400", vec![(300, 6), (400, 5), (300, 3)]),
        ("?to=2001-01-01T00:00:00Z", vec![]),
        (
            "?from=2001-01-01T00:00:00Z&sort=amount&kind=deposit",
            vec![(100, 2), (100, 4), (300, 3), (400, 5), (500, 1)],
        ),
    ] {
        let page = api.get(&format!("/users/1/operations{query}")).await.expect(200);
        assert_eq!(amounts(page), expected, "{query}");
    }

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        // A writer between two pages must neither hide nor repeat a row.
        api.deposit(1, 100).await;
        let page = api.get(&format!("/users/1/operations?sort=created_at&limit=2{cursor}")).await.expect(200);
        let next = page["next_cursor"].as_str().map(str::to_owned);
        seen.extend(amounts(page).into_iter().map(|(_, seq)| seq));
        let Some(next) = next.filter(|_| seen.len() < 12) else { break };
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, (1..=i64::try_from(seen.len()).unwrap()).collect::<Vec<_>>());
}

async fn batches_are_independent_or_atomic(world: World) {
    let server = world.start();
    let api = &server.api;
    let deposit = |key: &str, user: i64, amount: i64| json!({"kind": "deposit", "idempotency_key": key, "user_id": user, "amount": amount});
    let withdrawal = |key: &str, user: i64, amount: i64| json!({"kind": "withdrawal", "idempotency_key": key, "user_id": user, "amount": amount});

    let commands = [deposit("a", 1, 100), withdrawal("b", 1, 500), withdrawal("c", 1, 30)];
    let independent =
        api.post("/batches", json!({"mode": "independent", "commands": commands})).await.expect(200);
    assert_eq!(api.balance(1).await, (70, 0), "{independent}");
    assert!(independent.to_string().contains("insufficient_funds"), "{independent}");

    let commands = [deposit("d", 1, 100), withdrawal("e", 1, 500)];
    let atomic = api.post("/batches", json!({"mode": "atomic", "commands": commands})).await;
    assert!(String::from_utf8_lossy(&atomic.bytes).contains("insufficient_funds"), "{atomic:?}");
    assert_eq!(api.balance(1).await, (70, 0), "all or nothing");

    let commands = [deposit("a", 1, 100), withdrawal("f", 1, 1)];
    api.post("/batches", json!({"mode": "atomic", "commands": commands})).await.expect(200);
    assert_eq!(api.balance(1).await, (69, 0), "a repeated command has no second effect");
}

async fn reservations_are_listed_extended_and_read_as_they_are_now(world: World) {
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a")]).await;
    api.deposit(1, 1_000).await;
    let made = api.reserve(1, 1, 1, 100).await;
    let soon = with(with(reservation(1, 1, 2), "amount", 200), "expires_in_seconds", 1);
    api.post("/reservations", soon).await.expect(201);
    let extended = api
        .post("/reservations/extend", with(reservation(1, 1, 1), "expires_in_seconds", 7_200))
        .await
        .expect(200);
    assert!(extended["expires_at"].as_str() > made["expires_at"].as_str(), "{extended}");
    tokio::time::sleep(Duration::from_millis(1_050)).await;

    for (query, orders) in [("", vec![2, 1]), ("?state=active", vec![1]), ("?state=expired", vec![2])] {
        let page = api.get(&format!("/users/1/reservations{query}")).await.expect(200);
        let found: Vec<_> =
            page["data"].as_array().unwrap().iter().map(|r| r["order_id"].as_i64().unwrap()).collect();
        assert_eq!(found, orders, "{query}");
    }
    let late = api.post("/reservations/extend", with(reservation(1, 1, 2), "expires_in_seconds", 60)).await;
    late.refused(409, "reservation_expired");
}

async fn a_request_can_be_looked_up_by_its_key(world: World) {
    let server = world.start();
    let api = &server.api;
    let made = api.post_as("/users/1/deposits", "order/17", json!({"amount": 5})).await.expect(201);
    assert_eq!(api.get("/users/1/operations/by-key/order%2F17").await.expect(200), made);
    assert_eq!(api.get("/users/1/operations/by-key/other").await.status, 404);
    assert_eq!(api.get("/users/2/operations/by-key/order%2F17").await.status, 404);
}

async fn the_process_answers_for_itself(world: World) {
    let server = world.start();
    let api = &server.api;
    api.deposit(1, 5).await;
    api.get_raw("/health/live").await.expect(200);
    api.get_raw("/health/ready").await.expect(200);
    let metrics = api.get_raw("/metrics").await.text();
    for series in
        ["balance_http_requests_total", "process_resident_memory_bytes", "balance_log_lines_lost_total"]
    {
        assert!(metrics.contains(series), "{series} is not in {metrics}");
    }
    let document = api.get_raw("/openapi.json").await.expect(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3."));
    let printed = world.run(&["openapi"]);
    assert_eq!(serde_json::from_slice::<Value>(&printed.stdout).unwrap(), document);
    let page = api.get_raw("/swagger/index.html").await;
    assert!(page.status == 200 && page.header("content-type").starts_with("text/html"), "{page:?}");
    let request = api.request(Method::GET, "/api/v1/users/1/balance").header("X-Request-Id", "from-caller-1");
    assert_eq!(Api::send(request).await.header("x-request-id"), "from-caller-1");
}
