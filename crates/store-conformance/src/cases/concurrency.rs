//! Many callers at once.

use std::{collections::BTreeSet, sync::Arc};

use balance_domain::{OperationFilter, OperationQuery, OperationSort, Rejection, UserId};
use tokio::task::JoinSet;

use crate::{
    audited::audit,
    teller::{
        Teller, amount, capture_of, deposit_of, failed, limit, order, rejection_of, release_of, reserve_of,
        transfer_of, under, user, withdrawal_of,
    },
};

/// Runs the tasks side by side and waits for all; a panic of one is the panic of the case.
async fn side_by_side<T: Send + 'static>(
    tasks: impl IntoIterator<Item = impl Future<Output = T> + Send + 'static>,
) -> Vec<T> {
    tasks.into_iter().collect::<JoinSet<T>>().join_all().await
}

/// The defect of another solution: two parallel withdrawals overdrew the account. Of 64 that each take a
/// tenth, ten succeed.
pub async fn defect_17_parallel_withdrawals_never_overdraw(teller: Teller) {
    teller.deposit(1, 100).await;
    let teller = Arc::new(teller);
    let tasks = (0..64).map(|_| {
        let teller = Arc::clone(&teller);
        async move { teller.submit(teller.fresh(withdrawal_of(1, 10))).await }
    });
    let replies = side_by_side(tasks).await;
    assert_eq!(replies.iter().filter(|reply| reply.is_ok()).count(), 10);
    for refused in replies.iter().filter(|reply| reply.is_err()) {
        assert!(matches!(rejection_of(refused), Some(Rejection::InsufficientFunds { available: 0..10 })));
    }
    assert_eq!(teller.balance(1).await, (0, 0));
    let history = teller.history(1).await;
    assert!(history.iter().all(|operation| operation.available_after >= 0));
    assert_eq!(history.len(), 11);
    audit(teller.store()).await;
}

/// 64 tasks deposit and withdraw on one account; the sum is exact and the numbers have no gap.
pub async fn parallel_movements_add_up(teller: Teller) {
    teller.deposit(1, 10_000).await;
    let teller = Arc::new(teller);
    let tasks = (1..=64).map(|number| {
        let teller = Arc::clone(&teller);
        async move {
            for _ in 0..5 {
                teller.deposit(1, number).await;
                teller.withdraw(1, 2).await;
            }
        }
    });
    side_by_side(tasks).await;
    assert_eq!(teller.balance(1).await, (10_000 + 5 * (64 * 65 / 2) - 5 * 64 * 2, 0));
    let numbers: Vec<i64> = teller.history(1).await.iter().map(|operation| operation.seq).collect();
    assert_eq!(numbers, (1..=641).collect::<Vec<i64>>());
    audit(teller.store()).await;
}

/// The same request from 64 tasks has one effect, and all get the one receipt.
pub async fn one_key_from_many_tasks_has_one_effect(teller: Teller) {
    teller.deposit(1, 1000).await;
    let teller = Arc::new(teller);
    for round in 0..5 {
        let text = format!("same-{round}");
        let tasks = (0..64).map(|_| {
            let (teller, command) = (Arc::clone(&teller), under(&text, withdrawal_of(1, 10)));
            async move { teller.accepted(command).await }
        });
        let mut accepted = side_by_side(tasks).await;
        assert_eq!(accepted.iter().filter(|accepted| !accepted.is_replay).count(), 1);
        accepted.dedup_by(|a, b| a.receipt == b.receipt);
        assert_eq!(accepted.len(), 1, "one receipt");
    }
    assert_eq!(teller.balance(1).await, (950, 0));
}

/// One key with 64 meanings: one is accepted, the others are refused.
pub async fn one_key_with_many_meanings_is_given_once(teller: Teller) {
    let teller = Arc::new(teller);
    let tasks = (1..=64).map(|minor| {
        let teller = Arc::clone(&teller);
        async move { teller.submit(under("k", deposit_of(1, minor))).await }
    });
    let replies = side_by_side(tasks).await;
    let refused = replies.iter().filter_map(rejection_of).collect::<Vec<_>>();
    assert_eq!(refused, [Rejection::IdempotencyKeyReused; 63]);
    assert_eq!(teller.history(1).await.len(), 1);
}

/// Transfers there and back, each in its own task and in batches, come to an end and lose nothing.
pub async fn opposing_transfers_complete(teller: Teller) {
    let users = [1, 2, 3, i64::MAX];
    for id in users {
        teller.deposit(id, 1000).await;
    }
    let teller = Arc::new(teller);
    let tasks = (0..32_usize).map(|task| {
        let teller = Arc::clone(&teller);
        async move {
            for round in 0..6_usize {
                let from = users[(task + round) % 4];
                let to = users[(task + round + 1 + task % 3) % 4];
                let there = teller.fresh(transfer_of(from, to, 7));
                let back = teller.fresh(transfer_of(to, from, 7));
                if task % 2 == 0 {
                    teller.batch(vec![there.into(), back.into()]).await;
                } else {
                    assert!(teller.submit(there).await.is_ok());
                }
            }
        }
    });
    side_by_side(tasks).await;
    let mut total = 0;
    for id in users {
        total += teller.balance(id).await.0;
    }
    assert_eq!(total, 4000);
    audit(teller.store()).await;
}

/// Unknown accounts that many touch at once come into being once.
pub async fn an_account_is_opened_once(teller: Teller) {
    teller.deposit(1000, 1000).await;
    let teller = Arc::new(teller);
    let tasks = (0..64).map(|task: i64| {
        let teller = Arc::clone(&teller);
        async move {
            let id = task % 4 + 1;
            if task % 8 < 4 { teller.deposit(id, 1).await } else { teller.transfer(1000, id, 1).await }
        }
    });
    side_by_side(tasks).await;
    for id in 1..=4 {
        assert_eq!(teller.balance(id).await, (16, 0));
    }
    audit(teller.store()).await;
}

/// A reservation is captured or released, never both, and captured once.
pub async fn a_reservation_ends_once(teller: Teller) {
    teller.add_services(&[7]).await;
    teller.deposit(1, 1000).await;
    let teller = Arc::new(teller);
    for order_id in 1..=8 {
        let key = order(1, 7, order_id);
        let tasks = (0..16).map(|task| {
            let teller = Arc::clone(&teller);
            async move {
                let reserve = teller.submit(teller.fresh(reserve_of(key, 100, 600))).await.is_ok();
                let action = if task % 2 == 0 { capture_of(key, None) } else { release_of(key) };
                (reserve, task % 2 == 0 && teller.submit(teller.fresh(action)).await.is_ok())
            }
        });
        let outcomes = side_by_side(tasks).await;
        assert!(outcomes.iter().any(|(reserved, _)| *reserved));
        assert!(outcomes.iter().filter(|(_, captured)| *captured).count() <= 1);
    }
    audit(teller.store()).await;
}

/// Paging through history while others write shows no gap and no repeat, in every order.
pub async fn paging_while_others_write_has_no_gap_and_no_repeat(teller: Teller) {
    for round in 0..100 {
        teller.deposit(1, round % 7 + 1).await;
    }
    let teller = Arc::new(teller);
    let writer = {
        let teller = Arc::clone(&teller);
        tokio::spawn(async move {
            for round in 0..150 {
                teller.deposit(1, round % 9 + 1).await;
            }
        })
    };
    let readers = [
        OperationSort::NewestFirst,
        OperationSort::OldestFirst,
        OperationSort::LargestFirst,
        OperationSort::SmallestFirst,
    ]
    .map(|sort| {
        let teller = Arc::clone(&teller);
        async move {
            for rows in [3, 7, 20] {
                check_pages(&teller, sort, rows).await;
            }
        }
    });
    side_by_side(readers).await;
    assert!(writer.await.is_ok(), "the writer failed");
    assert_eq!(teller.history(1).await.len(), 250);
}

/// What was there before the first page must be listed once; what comes later may be, once.
async fn check_pages(teller: &Teller, sort: OperationSort, rows: u16) {
    let before = teller.account(1).await.map_or(0, |account| account.seq);
    let listed = teller.listed(1, sort, OperationFilter::default(), rows).await;
    let numbers: BTreeSet<i64> = listed.iter().map(|operation| operation.seq).collect();
    assert_eq!(numbers.len(), listed.len(), "{sort:?}: a repeat");
    assert!((1..=before).all(|seq| numbers.contains(&seq)), "{sort:?}: a gap");
    let is_ordered = listed.is_sorted_by(|a, b| match sort {
        OperationSort::NewestFirst => a.seq > b.seq,
        OperationSort::OldestFirst => a.seq < b.seq,
        OperationSort::LargestFirst => (a.amount, a.seq) > (b.amount, b.seq),
        OperationSort::SmallestFirst => (a.amount, a.seq) < (b.amount, b.seq),
    });
    assert!(is_ordered, "{sort:?}: out of order");
}

/// Every read is one snapshot: money that only moves between two accounts is always complete.
pub async fn balances_of_two_accounts_are_of_one_moment(teller: Teller) {
    teller.deposit(1, 1000).await;
    teller.deposit(2, 1000).await;
    let teller = Arc::new(teller);
    let writers: Vec<_> = [(1, 2), (2, 1)]
        .into_iter()
        .map(|(from, to)| {
            let teller = Arc::clone(&teller);
            tokio::spawn(async move {
                for _ in 0..60 {
                    teller.submit(teller.fresh(transfer_of(from, to, 13))).await.ok();
                }
            })
        })
        .collect();
    let both: Vec<UserId> = [1, 2].map(user).to_vec();
    for _ in 0..60 {
        let accounts = teller.store().accounts(both.clone()).await;
        let accounts = accounts.unwrap_or_else(|error| failed(&error));
        let total: i64 = accounts.iter().flatten().map(|account| account.recorded.total()).sum();
        assert_eq!(total, 2000, "{accounts:?}");
    }
    for writer in writers {
        assert!(writer.await.is_ok(), "a writer failed");
    }
}

/// A reader sees what was answered before it asked.
pub async fn a_reader_sees_every_answer_given_before(teller: Teller) {
    let teller = Arc::new(teller);
    let tasks = (1..=16).map(|id| {
        let teller = Arc::clone(&teller);
        async move {
            for round in 1..=10 {
                let operation = teller.deposit(id, 1).await;
                assert_eq!(teller.balance(id).await, (round, 0));
                let query = OperationQuery {
                    user_id: user(id),
                    filter: OperationFilter { min_amount: Some(amount(1)), ..OperationFilter::default() },
                    sort: OperationSort::NewestFirst,
                    after: None,
                    limit: limit(1),
                };
                let page = teller.store().operations(query).await.unwrap_or_else(|error| failed(&error));
                assert_eq!(page.items, [operation]);
            }
        }
    });
    side_by_side(tasks).await;
}

/// The books add up at every moment while others write.
pub async fn a_scan_while_others_write_adds_up(teller: Teller) {
    teller.add_services(&[7]).await;
    for id in 1..=4 {
        teller.deposit(id, 1000).await;
    }
    let teller = Arc::new(teller);
    let writers: Vec<_> = (1..=4)
        .map(|id| {
            let teller = Arc::clone(&teller);
            tokio::spawn(async move {
                for order_id in 1..=15 {
                    teller.submit(teller.fresh(transfer_of(id, id % 4 + 1, 3))).await.ok();
                    teller.submit(teller.fresh(reserve_of(order(id, 7, order_id), 5, 600))).await.ok();
                    teller.submit(teller.fresh(capture_of(order(id, 7, order_id), Some(2)))).await.ok();
                }
            })
        })
        .collect();
    for _ in 0..10 {
        audit(teller.store()).await;
    }
    for writer in writers {
        assert!(writer.await.is_ok(), "a writer failed");
    }
    audit(teller.store()).await;
}
