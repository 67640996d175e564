//! `kill -9` under load, again and again: every confirmed operation is there exactly once, and what was not
//! answered is settled by asking again under the same key. A follower of the feed, whose place outlives the service,
//! misses nothing.
//!
//! `BALANCE_KILLS` says how often (3 unless given).

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use crate::harness::{Answer, Api, Follower, World, new_key, on_every_store};

on_every_store!(killed_under_load_nothing_confirmed_is_lost_or_doubled,);

const CALLERS: u64 = 16;
const USERS: u64 = 6;

fn kills() -> usize {
    std::env::var_os("BALANCE_KILLS").map_or(3, |kills| kills.to_str().unwrap().parse().unwrap())
}

/// A request that was sent, and what its caller knows about it.
#[derive(Clone, Debug)]
struct Sent {
    path: String,
    key: String,
    body: Value,
    /// The body of the success; `None` while the outcome is unknown.
    confirmed: Option<Vec<u8>>,
}

/// Money-moving requests from one caller until `is_over`. Refusals have no effect and are not recorded.
async fn load(api: Api, caller: u64, round: u64, is_over: Arc<AtomicBool>) -> Vec<Sent> {
    let mut sent = Vec::new();
    let mut random = caller * 7_919 + round * 104_729 + 1;
    let mut next = move |bound: u64| {
        // xorshift: the same caller and round send the same requests.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % bound
    };
    let mut order = (round << 40) + (caller << 20) + 1;
    while !is_over.load(Ordering::Relaxed) {
        let (user, other, amount) = (1 + next(USERS), 1 + next(USERS), 1 + next(50));
        order += 1;
        for (path, body) in plan(next(5), user, other, amount, order) {
            let mut request = Sent { path, key: new_key(), body, confirmed: None };
            match Api::try_send(api.keyed(&request.path, &request.key, &request.body)).await {
                Ok(answer) if answer.status < 300 => request.confirmed = Some(answer.bytes),
                Ok(answer) if answer.json()["executed"] == "no" => {
                    assert_ne!(answer.status, 500, "{}", answer.text());
                    break;
                }
                Err(error) if error.is_connect() => return sent,
                Ok(_) | Err(_) => {}
            }
            let is_known = request.confirmed.is_some();
            sent.push(request);
            if !is_known {
                break;
            }
        }
    }
    sent
}

/// One thing that a caller wants, in one or two requests.
fn plan(kind: u64, user: u64, other: u64, amount: u64, order: u64) -> Vec<(String, Value)> {
    let reservation = json!({"user_id": user, "service_id": 1, "order_id": order});
    let mut reserve = reservation.clone();
    reserve["amount"] = json!(amount);
    let transfer = json!({"from_user_id": user, "to_user_id": other, "amount": amount});
    let end = if order.is_multiple_of(2) { "capture" } else { "release" };
    match kind {
        0 => vec![(format!("/users/{user}/deposits"), json!({"amount": amount, "comment": "load"}))],
        1 => vec![(format!("/users/{user}/withdrawals"), json!({"amount": amount}))],
        2 => vec![("/transfers".into(), transfer)],
        _ => vec![("/reservations".into(), reserve), (format!("/reservations/{end}"), reservation)],
    }
}

/// Asks again until there is an answer that says what happened.
async fn settle(api: &Api, request: &Sent) -> Answer {
    loop {
        let answer = Api::send(api.keyed(&request.path, &request.key, &request.body)).await;
        if answer.status != 503 {
            return answer;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn killed_under_load_nothing_confirmed_is_lost_or_doubled(world: World) {
    let mut paid_in: i64 = 0;
    let (mut confirmed, mut unknown, mut unknown_done) = (0, 0, 0);
    {
        let server = world.start();
        server.api.add_services(&[(1, "a")]).await;
        for user in 1..=USERS {
            server.api.deposit(i64::try_from(user).unwrap(), 1_000).await;
            paid_in += 1_000;
        }
        server.kill();
    }
    let mut follower = Follower::default();
    for round in 0..kills() as u64 {
        let server = world.start();
        let is_over = Arc::new(AtomicBool::new(false));
        let callers: Vec<_> = (0..CALLERS)
            .map(|caller| tokio::spawn(load(server.api.clone(), caller, round, Arc::clone(&is_over))))
            .collect();
        // Another moment each time: in the middle of a start's first batches, or deep in the run.
        let killed_at = Instant::now() + Duration::from_millis(120 + round * 211 % 700);
        while Instant::now() < killed_at {
            follower.step(&server.api, 0).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        server.kill();
        is_over.store(true, Ordering::Relaxed);

        let server = world.start();
        for caller in callers {
            for request in caller.await.unwrap() {
                let again = settle(&server.api, &request).await;
                let is_replay = again.header("idempotency-replayed") == "true";
                if let Some(first) = &request.confirmed {
                    confirmed += 1;
                    assert_eq!(&again.bytes, first, "{request:?} was confirmed");
                    assert!(is_replay, "{request:?} happened twice");
                } else {
                    unknown += 1;
                    unknown_done += i32::from(is_replay);
                }
                let is_done = again.status < 300;
                if is_done && request.path.starts_with("/users/") {
                    let amount = request.body["amount"].as_i64().unwrap();
                    paid_in += if request.path.ends_with("deposits") { amount } else { -amount };
                }
            }
        }
        let histories = one_operation_per_key(&server.api).await;
        follower.catch_up(&server.api).await;
        follower.insists_on(&histories);
        assert!(server.stop().success());
        let audit = world.audit();
        assert!(audit.contains(&format!("paid in       {paid_in} ")), "{paid_in} was paid in: {audit}");
    }
    eprintln!(
        "{:?}: {} kills, {confirmed} confirmed operations all there once; {unknown} unanswered, of which \
         {unknown_done} had happened; {} events followed",
        world.store,
        kills(),
        follower.events.len()
    );
    assert!(confirmed > 0);
}

async fn one_operation_per_key(api: &Api) -> Vec<(i64, Vec<Value>)> {
    let mut histories = Vec::new();
    for user in 1..=USERS {
        let user = i64::try_from(user).unwrap();
        let history = api.history(user).await;
        let mut keys = HashMap::new();
        for (position, operation) in (1..).zip(&history) {
            assert_eq!(operation["seq"], position, "a gap in the history of user {user}");
            if let Some(key) = operation["idempotency_key"].as_str() {
                assert_eq!(keys.insert(key, position), None, "{key} happened twice");
            }
        }
        histories.push((user, history));
    }
    histories
}
