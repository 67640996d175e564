//! Many callers at once: no kopeck lost, none made, one effect per key.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{World, new_key, on_every_store};

on_every_store!(
    sixty_four_callers_on_one_account,
    the_same_key_at_once_has_one_effect,
    reserves_and_captures_of_one_account_stay_exact,
);

const CALLERS: i64 = 64;

async fn sixty_four_callers_on_one_account(world: World) {
    let server = world.start();
    let api = &server.api;
    api.deposit(1, 1_000).await;
    let callers = (0..CALLERS).map(|caller| {
        let api = api.clone();
        tokio::spawn(async move {
            let mut sum = 0;
            for round in 0..10 {
                let amount = 1 + (caller * 7 + round * 13) % 90;
                let kind = if (caller + round) % 3 == 0 { "deposits" } else { "withdrawals" };
                let answer = api.post(&format!("/users/1/{kind}"), json!({"amount": amount})).await;
                match (answer.status, kind) {
                    (201, "deposits") => sum += amount,
                    (201, _) => sum -= amount,
                    _ => answer.refused(422, "insufficient_funds"),
                }
                let (available, reserved) = api.balance(1).await;
                assert!(available >= 0 && reserved == 0, "{available} {reserved}");
            }
            sum
        })
    });
    let mut sum = 1_000;
    for caller in callers.collect::<Vec<_>>() {
        sum += caller.await.unwrap();
    }
    assert_eq!(api.balance(1).await, (sum, 0));

    let history = api.history(1).await;
    let mut balance = 0;
    for (position, operation) in (1..).zip(&history) {
        assert_eq!(operation["seq"], position, "a gap");
        let amount = operation["amount"].as_i64().unwrap();
        balance += if operation["kind"] == "deposit" { amount } else { -amount };
        assert_eq!(operation["available_after"], balance, "{operation}");
        assert!(balance >= 0);
    }
    assert!(server.stop().success());
    world.audit();
}

async fn the_same_key_at_once_has_one_effect(world: World) {
    let server = world.start();
    let api = &server.api;
    for round in 1..=5 {
        let key = new_key();
        let callers = (0..CALLERS).map(|_| {
            let (api, key) = (api.clone(), key.clone());
            tokio::spawn(async move { api.post_as("/users/1/deposits", &key, json!({"amount": 10})).await })
        });
        let mut bodies = BTreeSet::new();
        let mut first_times = 0;
        for caller in callers.collect::<Vec<_>>() {
            let answer = caller.await.unwrap();
            answer.expect(201);
            first_times += i32::from(answer.header("idempotency-replayed").is_empty());
            bodies.insert(answer.bytes);
        }
        assert_eq!((bodies.len(), first_times), (1, 1));
        assert_eq!(api.balance(1).await, (round * 10, 0));
    }
}

async fn reserves_and_captures_of_one_account_stay_exact(world: World) {
    let server = world.start();
    let api = &server.api;
    api.add_services(&[(1, "a"), (2, "b")]).await;
    api.deposit(1, 10_000).await;
    let callers = (0..CALLERS).map(|caller| {
        let api = api.clone();
        tokio::spawn(async move {
            let order = |amount: Option<i64>| -> Value {
                let mut body = json!({"user_id": 1, "service_id": 1 + caller % 2, "order_id": caller + 1});
                if let Some(amount) = amount {
                    body["amount"] = json!(amount);
                }
                body
            };
            api.post("/reservations", order(Some(100))).await.expect(201);
            match caller % 3 {
                0 => drop(api.post("/reservations/release", order(None)).await.expect(200)),
                1 => drop(api.post("/reservations/capture", order(Some(40))).await.expect(200)),
                _ => {
                    api.post("/reservations/capture", order(None)).await.expect(200);
                    api.post("/reservations/refund", order(Some(10))).await.expect(200);
                }
            }
            match caller % 3 {
                0 => 0,
                1 => 40,
                _ => 90,
            }
        })
    });
    let mut revenue = 0;
    for caller in callers.collect::<Vec<_>>() {
        revenue += caller.await.unwrap();
    }
    assert_eq!(api.balance(1).await, (10_000 - revenue, 0));
    assert!(server.stop().success());
    assert!(world.audit().contains(&format!("revenue       {revenue} ")));
}
