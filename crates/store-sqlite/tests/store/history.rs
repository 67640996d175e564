//! Long histories: every order and filter, page by page, against a plain filter and sort in memory.

use crate::teller::{
    accept, add_service, amount, at, capture, deposit, money, open, order, reserve, service, user,
};
use balance_domain::{
    Amount, Limit, Operation, OperationFilter, OperationKind, OperationQuery, OperationSort, OrderId,
    ports::BalanceRepo,
};
use balance_store_sqlite::SqliteStore;

const SORTS: [OperationSort; 4] = [
    OperationSort::NewestFirst,
    OperationSort::OldestFirst,
    OperationSort::LargestFirst,
    OperationSort::SmallestFirst,
];

/// An account with 3,600 operations, and one beside it whose rows must never show.
async fn long_history(store: &SqliteStore) {
    add_service(store).await;
    for n in 0..1_800 {
        // Amounts repeat, so that equal ones are told apart by seq.
        let batch = vec![
            money(deposit(1, n * 7 % 50 + 1), &format!("in-{n}")),
            money(deposit(2, 3), &format!("in-{n}")),
            match n % 3 {
                0 => money(deposit(1, 60), &format!("again-{n}")),
                1 => money(reserve(order(1, n), n % 5 + 1), &format!("set-aside-{n}")),
                _ => money(capture(order(1, n - 1)), &format!("take-{n}")),
            },
        ];
        accept(store, batch, n).await;
    }
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
    store: &SqliteStore,
    filter: &OperationFilter,
    sort: OperationSort,
    limit: u16,
) -> Vec<Operation> {
    let mut query = OperationQuery {
        user_id: user(1),
        filter: filter.clone(),
        sort,
        after: None,
        limit: Limit::new(limit).unwrap(),
    };
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

#[tokio::test]
async fn every_filter_in_every_order_page_by_page() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(&folder.path().join("balance.db"));
    long_history(&store).await;
    let all = all_pages(&store, &OperationFilter::default(), OperationSort::OldestFirst, 200).await;
    assert_eq!(all.len(), 3_600);
    assert!(all.iter().zip(1..).all(|(operation, seq)| operation.seq == seq));
    assert!(all.iter().any(|operation| operation.amount == amount(60)));
    for filter in filters() {
        for sort in SORTS {
            let found = all_pages(&store, &filter, sort, 170).await;
            let found: Vec<i64> = found.iter().map(|operation| operation.seq).collect();
            assert_eq!(found, expected(&all, &filter, sort), "{sort:?} {filter:?}");
        }
    }
}
