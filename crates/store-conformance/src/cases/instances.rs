//! Several processes at one store.

use std::sync::Arc;

use tokio::task::JoinSet;

use balance_domain::{Period, Submission, Timestamp};

use crate::{
    Harness,
    audited::audit,
    cases::identity::{identity, make, recorded},
    teller::{
        Teller, at, at_micros, capture_of, deposit_of, failed, order, reserve_of, transfer_of, under,
        withdrawal_of,
    },
};

const INSTANCES: usize = 3;

async fn tellers<H: Harness>(harness: &H) -> Vec<Arc<Teller>> {
    let stores = harness.instances(INSTANCES).await;
    assert_eq!(stores.len(), INSTANCES);
    stores.into_iter().map(|store| Arc::new(Teller::new(store, harness.clock()))).collect()
}

/// The same request at every instance at once has one effect.
pub async fn one_key_at_every_instance_has_one_effect<H: Harness>(harness: H) {
    let tellers = tellers(&harness).await;
    tellers[0].accepted(under("first", deposit_of(1, 1000))).await;
    for round in 0..20 {
        let mut tasks = JoinSet::new();
        for task in 0..12 {
            let teller = Arc::clone(&tellers[task % INSTANCES]);
            let command = under(&format!("same-{round}"), withdrawal_of(1, 10));
            tasks.spawn(async move { teller.accepted(command).await });
        }
        let mut accepted = tasks.join_all().await;
        assert_eq!(accepted.iter().filter(|accepted| !accepted.is_replay).count(), 1);
        accepted.dedup_by(|a, b| a.receipt == b.receipt);
        assert_eq!(accepted.len(), 1, "one receipt");
    }
    assert_eq!(tellers[1].balance(1).await, (800, 0));
}

/// Transfers in batches of opposite order at every instance complete and lose nothing.
pub async fn opposing_batches_at_every_instance_complete<H: Harness>(harness: H) {
    let tellers = tellers(&harness).await;
    for id in 1..=6 {
        tellers[0].deposit(id, 1000).await;
    }
    let mut tasks = JoinSet::new();
    for (number, teller) in tellers.iter().enumerate() {
        let teller = Arc::clone(teller);
        tasks.spawn(async move {
            for round in 0..15 {
                let pairs = (1..=6_i64).map(|id| (id, id % 6 + 1));
                let mut actions: Vec<_> = pairs.map(|(from, to)| transfer_of(from, to, 3)).collect();
                if number % 2 == 1 {
                    actions.reverse();
                }
                let batch = actions.into_iter().enumerate().map(|(position, action)| {
                    Submission::from(under(&format!("i{number}-r{round}-{position}"), action))
                });
                let replies = teller.batch(batch.collect()).await;
                assert!(replies.iter().all(Result::is_ok), "{replies:?}");
            }
        });
    }
    tasks.join_all().await;
    for id in 1..=6 {
        assert_eq!(tellers[2].balance(id).await, (1000, 0));
    }
    audit(tellers[1].store()).await;
}

/// What one instance answered, the others see at once; money is spent at one of them only.
pub async fn instances_share_one_ledger<H: Harness>(harness: H) {
    let tellers = tellers(&harness).await;
    tellers[0].accepted(under("first", deposit_of(1, 100))).await;
    for (round, teller) in (1..=10).zip(tellers.iter().cycle()) {
        assert_eq!(teller.balance(1).await, (100 - 10 * (round - 1), 0));
        teller.accepted(under(&format!("round-{round}"), withdrawal_of(1, 10))).await;
    }
    let mut tasks = JoinSet::new();
    tellers[0].accepted(under("second", deposit_of(1, 10))).await;
    for (number, teller) in tellers.iter().enumerate() {
        let teller = Arc::clone(teller);
        tasks.spawn(async move {
            teller.submit(under(&format!("last-{number}"), withdrawal_of(1, 10))).await.is_ok()
        });
    }
    let spent = tasks.join_all().await;
    assert_eq!(spent.into_iter().filter(|spent| *spent).count(), 1);
    drop(harness);
}

/// Instances that start together on a new ledger agree on what it is, and so does a later start.
pub async fn instances_find_the_same_ledger<H: Harness>(harness: H) {
    let instances = harness.instances(INSTANCES).await;
    let mut tasks = JoinSet::new();
    for (store, number) in instances.iter().cloned().zip(1..) {
        tasks.spawn(async move { make(store.as_ref(), identity(number, "JPY", "Asia/Tokyo")).await });
    }
    tasks.join_all().await;
    let first = recorded(harness.store().as_ref()).await;
    assert!(first.is_some_and(|first| first.identity.currency.decimals() == 0), "{first:?}");
    for store in instances {
        assert_eq!(recorded(store.as_ref()).await, first);
    }
    let harness = harness.reopen().await;
    assert_eq!(recorded(harness.store().as_ref()).await, first);
}

/// What one instance closes is closed for those that have the accounts cached and a clock that is behind.
pub async fn a_month_is_closed_for_every_instance<H: Harness>(harness: H) {
    let tellers = tellers(&harness).await;
    let end = at("2026-12-01T00:00:00Z");
    tellers[0].set_now(at("2026-11-30T23:59:59Z"));
    for (teller, user) in tellers.iter().zip(1..) {
        teller.deposit(user, 100).await;
        teller.deposit(user, 100).await;
    }
    tellers[0].store().close_books(end).await.unwrap_or_else(|error| failed(&error));
    for (teller, user) in tellers.iter().zip(1..) {
        assert_eq!(teller.deposit(user, 1).await.created_at, end);
        assert_eq!(teller.transfer(user, 9, 1).await.created_at, end);
    }
    audit(tellers[0].store()).await;
}

/// While instances capture on both sides of the end of a month, another closes it: its sums, taken right after that,
/// are those at every later time. Many rounds, since it is a race.
pub async fn final_sums_hold_while_instances_write<H: Harness>(harness: H) {
    const USERS: i64 = 4;
    const ROUNDS: i64 = 12;
    let tellers = tellers(&harness).await;
    tellers[0].set_now(at("2026-11-01T00:00:00Z"));
    tellers[0].add_services(&[7]).await;
    for user in 1..=USERS {
        tellers[0].deposit(user, 1_000_000).await;
    }
    let mut closed = Vec::new();
    for round in 1..=ROUNDS {
        // Periods of an hour: what is closed need not be a month of the calendar.
        let start = tellers[0].now();
        let end = at_micros(start.micros() + 3_600_000_000);
        tellers[0].set_now(at_micros(end.micros() - 1));
        let mut tasks = JoinSet::new();
        for user in 1..=USERS {
            let teller = Arc::clone(&tellers[usize::try_from(user).unwrap_or_default() % INSTANCES]);
            tasks.spawn(async move {
                for one in 0..8 {
                    let key = order(user, 7, round * 100 + one);
                    let name = |what: &str| format!("{what}-{round}-{one}");
                    teller.accepted(under(&name("reserve"), reserve_of(key, 10, 86_400))).await;
                    teller.accepted(under(&name("capture"), capture_of(key, None))).await;
                }
            });
        }
        let closing = Arc::clone(&tellers[0]);
        let sums = tokio::spawn(async move {
            // Some of the captures are done by then, some are under way, some come later.
            tokio::task::yield_now().await;
            closing.store().close_books(end).await.unwrap_or_else(|error| failed(&error));
            closing.store().revenue(Period { start, end }).await.unwrap_or_else(|error| failed(&error))
        });
        tasks.join_all().await;
        closed.push((Period { start, end }, sums.await.unwrap_or_default()));
        tellers[0].set_now(end);
        for (period, sums) in &closed {
            let counted = tellers[1].store().revenue(*period).await.unwrap_or_else(|error| failed(&error));
            assert_eq!(&counted, sums, "{period:?}");
        }
    }
    let all: i128 = closed.iter().flat_map(|(_, sums)| sums).map(|line| line.captured).sum();
    let after = Period { start: tellers[0].now(), end: Timestamp::MAX };
    let rest = tellers[0].store().revenue(after).await.unwrap_or_else(|error| failed(&error));
    let rest: i128 = rest.iter().map(|line| line.captured).sum();
    assert_eq!(all + rest, i128::from(USERS * ROUNDS * 8 * 10), "nothing is lost on the way");
    audit(tellers[0].store()).await;
}
