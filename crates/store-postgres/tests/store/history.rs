//! Histories long enough for every way of reading a page, against a plain filter and sort in memory.

use balance_domain::{
    Limit, Operation, OperationFilter, OperationKind, OperationQuery, OperationSort, OrderId,
    ports::BalanceRepo,
};
use balance_store_conformance::teller::{amount, at_micros, service, user};
use balance_store_postgres::PostgresStore;

use crate::database::Database;

const SORTS: [OperationSort; 4] = [
    OperationSort::NewestFirst,
    OperationSort::OldestFirst,
    OperationSort::LargestFirst,
    OperationSort::SmallestFirst,
];

/// When the history begins; operation `n` happened `n` seconds later, every tenth together with the one before.
const START: &str = "2026-01-01T00:00:00Z";

/// 15,000 operations: services 1 (most), 2 (few, long ago) and none; amounts repeat, large ones are rare.
fn long_history(database: &Database) {
    let user_id = user(1);
    database.sql(&format!(
        "INSERT INTO accounts VALUES (1, 5, 0, 15000, now(), 1, {bucket}, false); \
         INSERT INTO operations (user_id, seq, amount, available_after, reserved_after, created_at, service_id, \
                 order_id, bucket, kind, actor) \
             SELECT 1, n, CASE WHEN n % 500 = 0 THEN 100000 + n % 7 ELSE 1 + n * 7 % 50 END, 1, 0, \
                 timestamptz '{START}' + (n - (n % 10 = 0)::int) * interval '1 second', \
                 CASE WHEN n % 3 = 0 THEN NULL WHEN n BETWEEN 100 AND 400 THEN 2 ELSE 1 END, \
                 CASE WHEN n % 3 = 0 THEN NULL WHEN n % 2 = 0 THEN 7 ELSE n / 10 + 1 END, \
                 {bucket}, CASE WHEN n % 3 = 0 THEN 'deposit' WHEN n % 3 = 1 THEN 'capture' ELSE 'refund' END, 'anonymous' \
             FROM generate_series(1, 15000) n",
        bucket = user_id.bucket(),
    ));
}

fn filters() -> Vec<OperationFilter> {
    let all = OperationFilter::default();
    let start: balance_domain::Timestamp = START.parse().unwrap();
    let second = |n: i64| Some(at_micros(start.micros() + n * 1_000_000));
    let amounts = |min, max| OperationFilter {
        min_amount: Some(amount(min)),
        max_amount: Some(amount(max)),
        ..OperationFilter::default()
    };
    let of = |id: i64| OperationFilter { service_id: Some(service(id)), ..OperationFilter::default() };
    let order = |id: i64| OperationFilter { order_id: OrderId::new(id).ok(), ..OperationFilter::default() };
    vec![
        all.clone(),
        OperationFilter { kind: Some(OperationKind::Refund), ..all.clone() },
        OperationFilter { kind: Some(OperationKind::Expire), ..all.clone() },
        of(1),
        of(2),
        of(3),
        order(7),
        order(30),
        OperationFilter { service_id: Some(service(2)), ..order(30) },
        amounts(100_000, 200_000),
        amounts(10, 40),
        OperationFilter { kind: Some(OperationKind::Deposit), ..amounts(10, 12) },
        OperationFilter { from: second(500), to: second(700), ..all.clone() },
        OperationFilter { from: second(9), to: second(9), ..all.clone() },
        OperationFilter { from: second(9), to: second(11), ..all.clone() },
        OperationFilter { from: second(1_000), to: second(14_000), ..all.clone() },
        OperationFilter { from: second(20_000), ..all.clone() },
        OperationFilter { to: second(-5), ..all.clone() },
        OperationFilter { to: second(5_000), ..of(1) },
        OperationFilter { kind: Some(OperationKind::Capture), ..of(1) },
        OperationFilter { kind: Some(OperationKind::Capture), to: second(5_000), ..all.clone() },
        OperationFilter { from: second(5_000), ..amounts(100_000, 200_000) },
        OperationFilter { from: second(200), to: second(300), ..of(2) },
    ]
}

fn expected(all: &[Operation], filter: &OperationFilter, sort: OperationSort) -> Vec<i64> {
    let matches = |operation: &&Operation| {
        filter.kind.is_none_or(|kind| operation.kind == kind)
            && filter.service_id.is_none_or(|id| operation.service_id == Some(id))
            && filter.order_id.is_none_or(|id| operation.order_id == Some(id))
            && filter.from.is_none_or(|from| operation.created_at >= from)
            && filter.to.is_none_or(|to| operation.created_at < to)
            && filter.min_amount.is_none_or(|min| operation.amount >= min)
            && filter.max_amount.is_none_or(|max| operation.amount <= max)
    };
    let mut rows: Vec<&Operation> = all.iter().filter(matches).collect();
    rows.sort_by_key(|row| match sort {
        OperationSort::NewestFirst => (0, -row.seq),
        OperationSort::OldestFirst => (0, row.seq),
        OperationSort::LargestFirst => (-row.amount.get(), -row.seq),
        OperationSort::SmallestFirst => (row.amount.get(), row.seq),
    });
    rows.into_iter().map(|operation| operation.seq).collect()
}

/// Page by page, up to `rows_max` rows.
async fn pages(
    store: &PostgresStore,
    filter: &OperationFilter,
    sort: OperationSort,
    rows_max: usize,
) -> Vec<Operation> {
    let limit = Limit::new(200).unwrap();
    let mut query = OperationQuery { user_id: user(1), filter: filter.clone(), sort, after: None, limit };
    let mut rows = Vec::new();
    while rows.len() < rows_max {
        let page = store.operations(query.clone()).await.unwrap();
        rows.extend(page.items);
        match page.next {
            None => break,
            next => query.after = next,
        }
    }
    rows
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_in_every_order_page_by_page() {
    let database = Database::migrated().await;
    long_history(&database);
    let all =
        pages(&database.store, &OperationFilter::default(), OperationSort::OldestFirst, usize::MAX).await;
    assert_eq!(all.len(), 15_000);
    for filter in filters() {
        for sort in SORTS {
            let found = pages(&database.store, &filter, sort, 1_000).await;
            let found: Vec<i64> = found.iter().map(|operation| operation.seq).collect();
            let mut expected = expected(&all, &filter, sort);
            expected.truncate(found.len().max(expected.len().min(1_000)));
            assert_eq!(found, expected, "{sort:?} {filter:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_has_no_history() {
    let database = Database::migrated().await;
    let start: balance_domain::Timestamp = START.parse().unwrap();
    let period = OperationFilter { from: Some(start), to: Some(start), ..OperationFilter::default() };
    for filter in [OperationFilter::default(), period] {
        assert_eq!(pages(&database.store, &filter, OperationSort::NewestFirst, 10).await, []);
    }
}
