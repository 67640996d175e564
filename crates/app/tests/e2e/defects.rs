//! One test per defect of the service that this one replaces, by number, end to end. What needs a clock or a
//! failing driver is tested deeper down as well, under the same number.

mod failures;

use std::{fs, time::Duration};

use serde_json::{Value, json};

use self::failures::{
    defect_03_a_commit_that_fails_is_never_answered_as_done,
    defect_08_a_report_that_cannot_be_written_is_not_answered_as_done,
    defect_14_callers_need_a_key_and_learn_nothing_about_the_database,
};
use crate::harness::{World, new_key, on_every_store};

on_every_store!(
    defect_01_release_pays_back_what_was_reserved_not_what_the_caller_names,
    defect_02_amounts_that_are_not_positive_are_refused_everywhere,
    defect_03_a_commit_that_fails_is_never_answered_as_done,
    defect_04_amounts_are_exact,
    defect_05_expiry_survives_a_crash_and_belongs_to_its_own_reservation,
    defect_06_every_movement_is_in_the_history,
    defect_07_a_repeated_deposit_deposits_once,
    defect_08_reports_are_exact_ordered_and_the_same_every_time,
    defect_08_a_report_that_cannot_be_written_is_not_answered_as_done,
    defect_09_a_reservation_is_shown_only_to_whom_names_all_of_it,
    defect_10_times_are_utc_whatever_the_zone_of_machine_and_books,
    defect_11_two_services_of_one_order_are_two_reservations,
    defect_12_a_user_can_be_deleted,
    defect_13_names_are_data_and_never_sql,
    defect_14_callers_need_a_key_and_learn_nothing_about_the_database,
    defect_15_transfers_in_both_directions_never_fail,
    defect_16_no_get_needs_a_body,
    defect_17_parallel_withdrawals_never_overdraw,
);

fn order(user: i64, service: i64, order: i64) -> Value {
    json!({"user_id": user, "service_id": service, "order_id": order})
}

async fn defect_01_release_pays_back_what_was_reserved_not_what_the_caller_names(world: World) {
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a")]).await;
    api.deposit(1, 100).await;
    api.reserve(1, 1, 1, 40).await;
    let mut more = order(1, 1, 1);
    more["amount"] = json!(1_000_000);
    assert_eq!(api.post("/reservations/release", more).await.status, 400);
    assert_eq!(api.balance(1).await, (60, 40));
    let released = api.post("/reservations/release", order(1, 1, 1)).await.expect(200);
    assert_eq!((&released["amount"], &released["released"]), (&json!(40), &json!(40)));
    assert_eq!(api.balance(1).await, (100, 0));
    api.post("/reservations/release", order(1, 1, 1)).await.refused(409, "reservation_released");
    assert_eq!(api.balance(1).await, (100, 0));
}

async fn defect_02_amounts_that_are_not_positive_are_refused_everywhere(world: World) {
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a")]).await;
    api.deposit(1, 100).await;
    api.deposit(2, 100).await;
    api.reserve(1, 1, 1, 40).await;
    for amount in [0, -1, -100, i64::MIN] {
        for (path, mut body) in [
            ("/users/1/deposits", json!({})),
            ("/users/1/withdrawals", json!({})),
            ("/transfers", json!({"from_user_id": 1, "to_user_id": 2})),
            ("/reservations", order(1, 1, 2)),
            ("/reservations/capture", order(1, 1, 1)),
            ("/reservations/refund", order(1, 1, 1)),
        ] {
            body["amount"] = json!(amount);
            api.post(path, body).await.refused(400, "invalid_amount");
        }
    }
    assert_eq!((api.balance(1).await, api.balance(2).await), ((60, 40), (100, 0)));
    assert_eq!(api.history(1).await.len(), 2);
}

async fn defect_04_amounts_are_exact(world: World) {
    let server = world.start();
    let api = &server.api;
    for text in ["{\"amount\": 0.15}", "{\"amount\": 15.0}", "{\"amount\": 1e2}", "{\"amount\": \"15\"}"] {
        api.post_text("/users/1/deposits", text).await.refused(400, "invalid_amount");
    }
    for _ in 0..20 {
        api.deposit(1, 15).await;
    }
    assert_eq!(api.balance(1).await, (300, 0));
    api.deposit(2, 16_777_217).await;
    assert_eq!(api.balance(2).await, (16_777_217, 0), "a 32-bit float cannot hold this");
    api.deposit(3, 9_007_199_254_740_991).await;
    assert_eq!(api.balance(3).await, (9_007_199_254_740_991, 0));
    let over = api.post("/users/3/deposits", json!({"amount": 1})).await;
    over.refused(422, "balance_limit_exceeded");
}

async fn defect_05_expiry_survives_a_crash_and_belongs_to_its_own_reservation(world: World) {
    let world = world.with("BALANCE_SWEEP_INTERVAL_MS", "50");
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a")]).await;
    api.deposit(1, 1_000).await;
    let mut short = order(1, 1, 1);
    (short["amount"], short["expires_in_seconds"]) = (json!(300), json!(2));
    let first = api.post("/reservations", short).await.expect(201);
    // The same order again: the first one's deadline must not touch the second one.
    api.reserve(1, 1, 2, 50).await;
    api.post("/reservations/release", order(1, 1, 2)).await.expect(200);
    let mut short = order(1, 1, 3);
    (short["amount"], short["expires_in_seconds"]) = (json!(70), json!(1));
    api.post("/reservations", short).await.expect(201);
    api.post("/reservations/release", order(1, 1, 3)).await.expect(200);
    api.reserve(1, 1, 3, 90).await;
    server.kill();

    let server = world.start();
    let api = &server.api;
    let read = api.get("/reservations?user_id=1&service_id=1&order_id=1").await.expect(200);
    assert_eq!(read["expires_at"], first["expires_at"], "a restart moved the deadline");
    tokio::time::sleep(Duration::from_millis(2_100)).await;
    assert_eq!(api.balance(1).await, (910, 90));
    let history = api.history(1).await;
    let expired: Vec<_> = history.iter().filter(|o| o["kind"] == "expire").collect();
    assert_eq!(expired.len(), 1, "{expired:?}");
    assert_eq!((&expired[0]["amount"], &expired[0]["order_id"]), (&json!(300), &json!(1)));
    assert_eq!(expired[0]["created_at"], first["expires_at"], "it expired at its deadline");
    let second = api.get("/reservations?user_id=1&service_id=1&order_id=3").await.expect(200);
    assert_eq!((&second["state"], &second["amount"]), (&json!("active"), &json!(90)));
}

async fn defect_06_every_movement_is_in_the_history(world: World) {
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a")]).await;
    api.deposit(1, 100).await;
    api.post("/users/1/deposits", json!({"amount": 50, "comment": "second"})).await.expect(201);
    api.reserve(1, 1, 1, 60).await;
    api.post("/reservations/release", order(1, 1, 1)).await.expect(200);
    api.post("/transfers", json!({"from_user_id": 1, "to_user_id": 2, "amount": 30, "comment": "rent"}))
        .await
        .expect(201);
    let seen: Vec<_> = api
        .history(1)
        .await
        .iter()
        .map(|o| {
            (
                o["kind"].as_str().unwrap().to_owned(),
                o["available_after"].as_i64(),
                o["reserved_after"].as_i64(),
            )
        })
        .collect();
    let expected = [
        ("deposit", 100, 0),
        ("deposit", 150, 0),
        ("reserve", 90, 60),
        ("release", 150, 0),
        ("transfer_out", 120, 0),
    ];
    assert_eq!(
        seen,
        expected.map(|(kind, available, reserved)| (kind.to_owned(), Some(available), Some(reserved)))
    );
    let other = &api.history(2).await[0];
    assert_eq!(
        (&other["kind"], &other["amount"], &other["counterparty_user_id"], &other["comment"]),
        (&json!("transfer_in"), &json!(30), &json!(1), &json!("rent"))
    );
}

async fn defect_07_a_repeated_deposit_deposits_once(world: World) {
    let server = world.start();
    let key = new_key();
    let body = json!({"amount": 100, "comment": "top up"});
    let first = server.api.post_as("/users/1/deposits", &key, body.clone()).await;
    first.expect(201);
    assert_eq!(first.header("idempotency-replayed"), "");
    for _ in 0..3 {
        let again = server.api.post_as("/users/1/deposits", &key, body.clone()).await;
        assert_eq!((again.status, &again.bytes), (201, &first.bytes));
        assert_eq!(again.header("idempotency-replayed"), "true");
    }
    let other = server.api.post_as("/users/1/deposits", &key, json!({"amount": 101})).await;
    other.refused(422, "idempotency_key_reused");
    server.kill();

    let server = world.start();
    let again = server.api.post_as("/users/1/deposits", &key, body).await;
    assert_eq!((again.status, &again.bytes), (201, &first.bytes), "after a crash");
    assert_eq!(server.api.balance(1).await, (100, 0));
    let without = server.api.request(reqwest::Method::POST, "/api/v1/users/1/deposits");
    let refused = crate::harness::Api::send(without.json(&json!({"amount": 1}))).await;
    refused.refused(400, "idempotency_key_required");
}

async fn defect_08_reports_are_exact_ordered_and_the_same_every_time(world: World) {
    let world = world.with("BALANCE_ACCOUNTING_ZONE", "UTC");
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "b"), (2, "a"), (3, "unused"), (4, "B")]).await;
    let month = api.deposit(1, 9_000_000_000_000_000).await["created_at"].as_str().unwrap()[..7].to_owned();
    for (service, amount) in [(1, 16_777_217), (2, 8_000_000_000_000_001), (4, 1)] {
        api.reserve(1, service, 1, amount).await;
        api.post("/reservations/capture", order(1, service, 1)).await.expect(200);
    }
    let builds = (0..16).map(|_| {
        let (api, month) = (api.clone(), month.clone());
        tokio::spawn(async move { api.post("/reports/revenue", json!({"month": month})).await.expect(201) })
    });
    let mut sums = Vec::new();
    for build in builds.collect::<Vec<_>>() {
        sums.push(build.await.unwrap()["sha256"].as_str().unwrap().to_owned());
    }
    sums.dedup();
    assert_eq!(sums.len(), 1, "{sums:?}");
    let file = api.get(&format!("/reports/revenue/{month}.csv")).await;
    assert_eq!(file.text(), "service;revenue\n\"B\";0.01\n\"a\";80000000000000.01\n\"b\";167772.17\n");
    assert_eq!(
        fs::read_dir(world.folder().join("reports"))
            .unwrap()
            .filter(|e| { e.as_ref().unwrap().file_name().to_string_lossy().ends_with(".csv") })
            .count(),
        1
    );
    let future = api.post("/reports/revenue", json!({"month": "9000-01"})).await;
    assert!((400..500).contains(&future.status), "{future:?}");
    assert_eq!(api.get("/reports/revenue/2001-01").await.status, 404);
}

async fn defect_09_a_reservation_is_shown_only_to_whom_names_all_of_it(world: World) {
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a"), (2, "b")]).await;
    api.deposit(1, 100).await;
    api.deposit(2, 100).await;
    api.reserve(1, 1, 1, 40).await;
    let found = api.get("/reservations?user_id=1&service_id=1&order_id=1").await.expect(200);
    assert_eq!((&found["user_id"], &found["amount"]), (&json!(1), &json!(40)));
    for (user, service, order) in [(2, 1, 1), (1, 2, 1), (1, 1, 2)] {
        let path = format!("/reservations?user_id={user}&service_id={service}&order_id={order}");
        assert_eq!(api.get(&path).await.status, 404, "{path}");
    }
    for path in ["/reservations", "/reservations?user_id=1", "/reservations?service_id=1&order_id=1"] {
        assert_eq!(api.get(path).await.status, 400, "{path}");
    }
}

async fn defect_10_times_are_utc_whatever_the_zone_of_machine_and_books(world: World) {
    let world = world.with("TZ", "Asia/Vladivostok").with("BALANCE_ACCOUNTING_ZONE", "America/New_York");
    let server = world.start();
    let api = &server.api;
    let made = api.deposit(1, 1).await;
    let read = api.history(1).await.remove(0);
    let text = made["created_at"].as_str().unwrap();
    assert_eq!(read["created_at"], text, "it reads as it was answered");
    assert!(text.ends_with('Z') && text.len() == "2026-11-24T09:30:00.000000Z".len(), "{text}");
    // The HTTP date header is UTC by definition.
    let date = api.get_raw("/health/live").await;
    let hour_and_minute = &date.header("date")[17..22];
    let minutes = |text: &str| text[..2].parse::<i64>().unwrap() * 60 + text[3..5].parse::<i64>().unwrap();
    let apart = (minutes(&text[11..16]) - minutes(hour_and_minute)).rem_euclid(24 * 60);
    assert!(apart <= 1 || apart >= 24 * 60 - 1, "{text} and {hour_and_minute}");
}

async fn defect_11_two_services_of_one_order_are_two_reservations(world: World) {
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a"), (2, "b")]).await;
    api.deposit(1, 100).await;
    api.reserve(1, 1, 7, 10).await;
    api.reserve(1, 2, 7, 20).await;
    let mut again = order(1, 1, 7);
    again["amount"] = json!(10);
    api.post("/reservations", again).await.refused(409, "reservation_exists");
    assert_eq!(api.balance(1).await, (70, 30));
    api.post("/reservations/release", order(1, 1, 7)).await.expect(200);
    assert_eq!(api.balance(1).await, (80, 20));
    api.post("/reservations/capture", order(1, 2, 7)).await.expect(200);
    assert_eq!(api.balance(1).await, (80, 0));
}

async fn defect_12_a_user_can_be_deleted(world: World) {
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a")]).await;
    let key = new_key();
    let body = json!({"amount": 100, "comment": "canary-personal"});
    let first = api.post_as("/users/1/deposits", &key, body.clone()).await;
    first.expect(201);
    api.reserve(1, 1, 1, 100).await;
    api.delete("/users/1").await.refused(409, "account_not_empty");
    api.post("/reservations/capture", order(1, 1, 1)).await.expect(200);
    assert_eq!(api.delete("/users/1").await.status, 204);
    for path in ["/users/1/balance", "/users/1/operations", "/users/1/reservations"] {
        api.get(path).await.refused(410, "account_closed");
    }
    api.post("/users/1/deposits", json!({"amount": 1})).await.refused(410, "account_closed");
    assert_eq!(api.delete("/users/2").await.status, 404);
    let replay = api.post_as("/users/1/deposits", &key, body).await;
    assert!(!replay.text().contains("canary-personal") || replay.status != 201, "{}", replay.text());
    assert!(server.stop().success());
    assert!(world.audit().contains("revenue       100"), "the books keep the amounts");
}

async fn defect_13_names_are_data_and_never_sql(world: World) {
    let server = world.start();
    let api = &server.api;
    let names = [
        "'); drop table services; --",
        "\"; delete from accounts; --",
        "a', 1), (99, 'b",
        "$1",
        "\\'; select pg_sleep(10); --",
        "%s %d ${x} {0}",
    ];
    let services: Vec<_> = (1..).zip(names).collect();
    api.add_services(&services).await;
    for (id, name) in services {
        assert_eq!(api.get(&format!("/services/{id}")).await.expect(200)["name"], name);
        let comment = json!({"amount": 1, "comment": name});
        let made = api.post_as("/users/1/deposits", &format!("k'{id};--"), comment).await.expect(201);
        assert_eq!(made["comment"], name);
    }
    assert_eq!(api.get("/services/99").await.status, 404);
    let comments: Vec<_> =
        api.history(1).await.iter().map(|o| o["comment"].as_str().unwrap().to_owned()).collect();
    assert_eq!(comments, names);
}

async fn defect_15_transfers_in_both_directions_never_fail(world: World) {
    let server = world.start();
    let api = &server.api;
    api.deposit(1, 10_000).await;
    api.deposit(2, 10_000).await;
    let callers = (0..32).map(|caller| {
        let api = api.clone();
        tokio::spawn(async move {
            let (from, to) = if caller % 2 == 0 { (1, 2) } else { (2, 1) };
            for _ in 0..10 {
                let body = json!({"from_user_id": from, "to_user_id": to, "amount": 7});
                api.post("/transfers", body).await.expect(201);
            }
        })
    });
    for caller in callers.collect::<Vec<_>>() {
        caller.await.unwrap();
    }
    assert_eq!((api.balance(1).await, api.balance(2).await), ((10_000, 0), (10_000, 0)));
    assert!(server.stop().success());
    world.audit();
}

async fn defect_16_no_get_needs_a_body(world: World) {
    let server = world.start();
    let document = server.api.get_raw("/openapi.json").await.expect(200);
    let paths = document["paths"].as_object().unwrap();
    let gets: Vec<_> = paths.iter().filter_map(|(path, item)| Some((path, item.get("get")?))).collect();
    assert!(gets.len() >= 9, "{}", gets.len());
    for (path, get) in gets {
        assert!(get.get("requestBody").is_none(), "{path}");
    }
    server.api.deposit(1, 1).await;
    server.api.get("/users/1/operations?sort=-amount&limit=1").await.expect(200);
}

async fn defect_17_parallel_withdrawals_never_overdraw(world: World) {
    let server = world.start();
    let api = &server.api;
    api.deposit(1, 100).await;
    let callers = (0..50).map(|_| {
        let api = api.clone();
        tokio::spawn(async move { api.post("/users/1/withdrawals", json!({"amount": 3})).await })
    });
    let mut paid = 0;
    for caller in callers.collect::<Vec<_>>() {
        let answer = caller.await.unwrap();
        if answer.status == 201 {
            paid += 3;
            assert!(answer.json()["available_after"].as_i64().unwrap() >= 0);
        } else {
            answer.refused(422, "insufficient_funds");
        }
    }
    assert_eq!(paid, 99);
    assert_eq!(api.balance(1).await, (1, 0));
}
