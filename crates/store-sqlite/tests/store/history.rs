//! Long histories: every order and filter, page by page, against a plain filter and sort in memory.

use std::ops::Range;

use crate::teller::{
    Opened, accept, add_service, amount, at, audit, audited, deposit, money, open, order, query, reserve,
    service, transfer, user,
};
use balance_domain::{
    Action, Amount, Limit, Operation, OperationFilter, OperationKind, OperationQuery, OperationSort, OrderId,
    ReservationKey, ReservationQuery, ReservationState, Timestamp, ports::BalanceRepo,
};

const SORTS: [OperationSort; 4] = [
    OperationSort::NewestFirst,
    OperationSort::OldestFirst,
    OperationSort::LargestFirst,
    OperationSort::SmallestFirst,
];

/// Gives user 1 exactly `count` operations, of every kind, with and without keys, and another user rows that must
/// never show. `seconds` advances with each call.
async fn grow_to(store: &Opened, count: i64, seconds: &mut i64) {
    loop {
        *seconds += 1;
        let n = *seconds;
        let missing = count - last_seq(store, n).await;
        let key = |what: &str| format!("{what}-{n}");
        // Amounts repeat, so that equal ones are ordered by seq. Some orders expire, a minute later.
        let batch = match missing {
            0 => return,
            1..150 => vec![money(deposit(1, n * 7 % 50 + 1), &key("in"))],
            _ => vec![
                money(deposit(1, n * 7 % 50 + 1), &key("in")),
                money(deposit(2, 3), &key("in")),
                money(transfer(2, 1, 3), &key("over")),
                money(reserve(order(1, n), n % 5 + 1), &key("set-aside")),
                match n % 10 {
                    0 => money(deposit(1, 60), &key("again")),
                    _ => money(capture_one(order(1, n)), &key("take")),
                },
            ],
        };
        accept(store, batch, n).await;
    }
}

/// The rest of it, if any, is given back, without a key of its own.
fn capture_one(reservation: ReservationKey) -> Action {
    Action::Capture { reservation: reservation.into(), amount: Some(amount(1)), is_final: true }
}

async fn last_seq(store: &Opened, seconds: i64) -> i64 {
    let account = store.at(seconds).accounts(vec![user(1)]).await.unwrap().remove(0);
    account.map_or(0, |account| account.recorded.seq)
}

fn filters() -> Vec<OperationFilter> {
    let all = OperationFilter::default();
    let kind = |kind| OperationFilter { kind: Some(kind), ..all.clone() };
    let period = |from, to| OperationFilter { from: Some(at(from)), to: Some(at(to)), ..all.clone() };
    let amounts =
        OperationFilter { min_amount: Amount::new(4).ok(), max_amount: Amount::new(20).ok(), ..all.clone() };
    vec![
        // More than a thousand pass these two, past the first thousand operations.
        kind(OperationKind::Deposit),
        OperationFilter { min_amount: Amount::new(2).ok(), ..all.clone() },
        kind(OperationKind::Capture),
        kind(OperationKind::Refund),
        OperationFilter { service_id: Some(service(1)), ..all.clone() },
        OperationFilter { service_id: Some(service(9)), ..all.clone() },
        OperationFilter { order_id: OrderId::new(1_000).ok(), ..all.clone() },
        OperationFilter { order_id: OrderId::new(10).ok(), service_id: Some(service(1)), ..all.clone() },
        period(100, 200),
        period(300, 900),
        period(1_100, 5_000),
        period(-100, -50),
        OperationFilter { from: Some(at(600)), kind: Some(OperationKind::Deposit), ..all.clone() },
        OperationFilter { to: Some(at(600)), ..amounts.clone() },
        amounts,
        all,
    ]
}

fn expected(all: &[Operation], filter: &OperationFilter, sort: OperationSort) -> Vec<i64> {
    let mut rows: Vec<&Operation> = all.iter().filter(|operation| matches(operation, filter)).collect();
    match sort {
        OperationSort::NewestFirst => rows.sort_by_key(|o| std::cmp::Reverse(o.seq)),
        OperationSort::OldestFirst => rows.sort_by_key(|o| o.seq),
        OperationSort::LargestFirst => rows.sort_by_key(|o| std::cmp::Reverse((o.amount, o.seq))),
        OperationSort::SmallestFirst => rows.sort_by_key(|o| (o.amount, o.seq)),
    }
    rows.into_iter().map(|operation| operation.seq).collect()
}

fn matches(operation: &Operation, filter: &OperationFilter) -> bool {
    filter.kind.is_none_or(|kind| operation.kind == kind)
        && filter.service_id.is_none_or(|id| operation.service_id == Some(id))
        && filter.order_id.is_none_or(|id| operation.order_id == Some(id))
        && filter.from.is_none_or(|from| operation.created_at >= from)
        && filter.to.is_none_or(|to| operation.created_at < to)
        && filter.min_amount.is_none_or(|min| operation.amount >= min)
        && filter.max_amount.is_none_or(|max| operation.amount <= max)
}

async fn all_pages(
    store: &Opened,
    filter: &OperationFilter,
    sort: OperationSort,
    limit: u16,
) -> Vec<Operation> {
    let mut query =
        OperationQuery { filter: filter.clone(), limit: Limit::new(limit).unwrap(), ..query(1, sort) };
    let mut rows = Vec::new();
    loop {
        let page = store.operations(query.clone()).await.unwrap();
        assert!(page.items.len() <= usize::from(limit));
        rows.extend(page.items);
        match page.next {
            None => return rows,
            next => query.after = next,
        }
    }
}

/// All of user 1's operations by `seq`, after a look at every page of every filter in every order.
async fn checked(store: &Opened, count: usize) -> Vec<Operation> {
    let all = all_pages(store, &OperationFilter::default(), OperationSort::OldestFirst, 200).await;
    assert!(all.iter().zip(1..).all(|(operation, seq)| operation.seq == seq));
    assert_eq!(all.len(), count);
    for filter in filters() {
        for sort in SORTS {
            let found = all_pages(store, &filter, sort, 170).await;
            let found: Vec<i64> = found.iter().map(|operation| operation.seq).collect();
            assert_eq!(found, expected(&all, &filter, sort), "{count}: {sort:?} {filter:?}");
        }
    }
    let made = all.iter().rev().filter(|operation| operation.kind == OperationKind::Reserve);
    let made: Vec<_> = made.map(|reserve| (reserve.created_at, reserve.order_id.unwrap())).collect();
    assert_eq!(all_reservations(store, None).await, made, "{count}");
    let captured = all.iter().filter(|operation| operation.kind == OperationKind::Capture).count();
    assert_eq!(all_reservations(store, Some(ReservationState::Captured)).await.len(), captured, "{count}");
    all
}

/// When they were made and for which order, page by page. Each order is reserved for once.
async fn all_reservations(store: &Opened, state: Option<ReservationState>) -> Vec<(Timestamp, OrderId)> {
    let limit = Limit::new(170).unwrap();
    let mut query = ReservationQuery { user_id: user(1), state, after: None, limit };
    let mut rows = Vec::new();
    loop {
        let page = store.at(1_000_000).reservations(query.clone()).await.unwrap();
        rows.extend(page.items.iter().map(|found| (found.created_at, found.key.order_id)));
        match page.next {
            None => return rows,
            next => query.after = next,
        }
    }
}

#[tokio::test]
async fn every_filter_in_every_order_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("balance.db"));
    add_service(&store).await;
    let (mut seconds, mut all) = (0, Vec::new());
    // Up to 999 no index of history has any of them, 1,000 are listed, and what follows is in the indexes.
    for count in [1, 300, 999, 1_000, 1_001, 1_040, 5_600] {
        grow_to(&store, count, &mut seconds).await;
        all = checked(&store, count.try_into().unwrap()).await;
    }
    assert!(all.iter().any(|operation| operation.amount == amount(60)));
    for kind in [OperationKind::TransferIn, OperationKind::Expire, OperationKind::Release] {
        assert!(
            all[..1_000].iter().any(|operation| operation.kind == kind),
            "early ones without a key: {kind:?}"
        );
    }
    let met =
        filters().iter().filter(|filter| all.iter().any(|operation| matches(operation, filter))).count();
    assert_eq!(met, filters().len() - 3, "no refunds, no service 9, nothing before the first day");
    audited(&store).await;
}

/// Two accounts get past their first thousand in one transaction, one by many operations, one by its last.
#[tokio::test]
async fn histories_become_long_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("balance.db"));
    add_service(&store).await;
    let reserves = |range: Range<i64>| range.map(|n| money(reserve(order(1, n), 1), &format!("k{n}")));
    let deposits = |range: Range<i64>| range.map(|n| money(deposit(2, 1), &format!("k{n}")));
    let opening = std::iter::once(money(deposit(1, 9_000), "in"));
    accept(&store, opening.chain(reserves(1..990)).chain(deposits(0..999)).collect(), 0).await;
    accept(&store, reserves(990..1_300).chain(deposits(999..1_000)).collect(), 1).await;
    checked(&store, 1_300).await;
    let newest = OperationQuery { limit: Limit::new(3).unwrap(), ..query(2, OperationSort::NewestFirst) };
    let page = store.operations(newest).await.unwrap();
    let seqs: Vec<i64> = page.items.iter().map(|operation| operation.seq).collect();
    assert_eq!(seqs, [1_000, 999, 998]);
    audited(&store).await;
}

#[tokio::test]
async fn the_audit_finds_lists_that_are_not_whole() {
    let wrong = [
        "DELETE FROM early_operations WHERE seq = 1000",
        "UPDATE early_operations SET operation_id = operation_id + 1 WHERE seq = 7",
        "UPDATE reservations SET is_listed = 0 WHERE order_id = 5",
    ];
    for sql in wrong {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("balance.db");
        let store = open(&path);
        add_service(&store).await;
        grow_to(&store, 1_000, &mut 0).await;
        audited(&store).await;
        assert_eq!(rusqlite::Connection::open(&path).unwrap().execute(sql, []).unwrap(), 1, "{sql}");
        let found = audit(&store).await.differences;
        assert_eq!(found.len(), 1, "{sql}: {found:?}");
        assert!(found[0].what.contains("not listed"), "{sql}: {found:?}");
    }
}
