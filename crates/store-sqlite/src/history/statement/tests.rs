//! Each order and filter of a page must read its index, and none may sort an account's whole history.

use balance_domain::{Limit, OperationFilter, UserId};

use super::*;
use crate::schema;

const SORTS: [OperationSort; 4] = [
    OperationSort::NewestFirst,
    OperationSort::OldestFirst,
    OperationSort::LargestFirst,
    OperationSort::SmallestFirst,
];

fn query(sort: OperationSort, filter: OperationFilter) -> OperationQuery {
    OperationQuery { user_id: UserId::new(1).unwrap(), filter, sort, after: None, limit: Limit::default() }
}

fn deep(mut query: OperationQuery) -> OperationQuery {
    query.after = Some(OperationPosition { amount: Amount::new(7).unwrap(), seq: 900_000 });
    query
}

/// The plan for the late part of a history of a million.
fn late_plan(query: &OperationQuery) -> String {
    let mut connection = Connection::open_in_memory().unwrap();
    schema::migrate(&mut connection).unwrap();
    let (_, late) = Seqs { first: 1, last: 1_000_000 }.split();
    let statement = Statement::new(query, late, None, 51);
    schema::plan(&connection, &statement.sql)
}

fn check(query: &OperationQuery, search: &str) {
    let plan = late_plan(query);
    assert!(plan.contains(search), "{query:?}\nwanted {search}\nfound  {plan}");
    assert!(!plan.contains("TEMP B-TREE"), "{query:?}\n{plan}");
}

#[test]
fn each_order_reads_its_index_on_the_first_and_on_a_deep_page() {
    for sort in SORTS {
        let first = query(sort, OperationFilter::default());
        if Order::of(sort).is_by_amount() {
            check(&first, "operations_by_amount (user_id=?)");
            let bound = if Order::of(sort).is_descending() { "<" } else { ">" };
            check(&deep(first), &format!("operations_by_amount (user_id=? AND (amount,seq){bound}(?,?))"));
        } else {
            check(&first, "operations_by_seq (user_id=? AND seq>? AND seq<?)");
        }
    }
}

#[test]
fn each_filter_by_time_order_reads_its_index() {
    for sort in [OperationSort::NewestFirst, OperationSort::OldestFirst] {
        let kind = OperationFilter { kind: Some(OperationKind::Refund), ..OperationFilter::default() };
        check(&query(sort, kind.clone()), "operations_by_kind (user_id=? AND kind=? AND seq>? AND seq<?)");
        let service = OperationFilter { service_id: ServiceId::new(1).ok(), ..kind };
        check(
            &query(sort, service.clone()),
            "operations_by_service (user_id=? AND service_id=? AND seq>? AND seq<?)",
        );
        let order = OperationFilter { order_id: OrderId::new(1).ok(), ..service };
        check(&query(sort, order), "operations_by_order (user_id=? AND order_id=? AND seq>? AND seq<?)");
    }
}

#[test]
fn each_filter_by_amount_reads_its_index_on_the_first_and_on_a_deep_page() {
    for sort in [OperationSort::LargestFirst, OperationSort::SmallestFirst] {
        let bound = if Order::of(sort).is_descending() { "<" } else { ">" };
        let kind = OperationFilter { kind: Some(OperationKind::Refund), ..OperationFilter::default() };
        let of_kind = query(sort, kind.clone());
        check(&of_kind, "operations_by_kind_amount (user_id=? AND kind=?)");
        let behind = format!("(amount,seq){bound}(?,?))");
        check(&deep(of_kind), &format!("operations_by_kind_amount (user_id=? AND kind=? AND {behind}"));
        for filter in [OperationFilter::default(), kind] {
            let filter = OperationFilter { service_id: ServiceId::new(1).ok(), ..filter };
            let of_service = query(sort, filter);
            check(&of_service, "operations_by_service_amount (user_id=? AND service_id=?)");
            let search = format!("operations_by_service_amount (user_id=? AND service_id=? AND {behind}");
            check(&deep(of_service), &search);
        }
    }
}

#[test]
fn bounds_of_amount_bound_what_is_read_by_amount() {
    let filter = OperationFilter {
        min_amount: Amount::new(5).ok(),
        max_amount: Amount::new(9).ok(),
        ..OperationFilter::default()
    };
    let plan = "operations_by_amount (user_id=? AND amount>? AND amount<?)";
    check(&query(OperationSort::LargestFirst, filter.clone()), plan);
    check(&query(OperationSort::SmallestFirst, filter), plan);
}

#[test]
fn few_are_looked_up_and_sorted() {
    let (_, late) = Seqs { first: 1, last: 1_000_000 }.split();
    let filter = OperationFilter { kind: Some(OperationKind::Refund), ..OperationFilter::default() };
    let statement = Statement::new(&query(OperationSort::LargestFirst, filter), late, Some(BY_KIND), 51);
    assert!(statement.sql.contains("INDEXED BY operations_by_kind WHERE"), "{}", statement.sql);
}

#[test]
fn an_order_is_looked_up_whatever_the_sort() {
    let filter = OperationFilter { order_id: OrderId::new(1).ok(), ..OperationFilter::default() };
    let plan = late_plan(&query(OperationSort::LargestFirst, filter));
    assert!(plan.contains("operations_by_order (user_id=? AND order_id=?"), "{plan}");
}

#[test]
fn ranges_are_split_where_the_indexes_begin() {
    let split = |first, last| {
        let (early, late) = Seqs { first, last }.split();
        ((early.seqs.first, early.seqs.last), (late.seqs.first, late.seqs.last))
    };
    assert_eq!(split(1, 5_000), ((1, 1_000), (1_001, 5_000)));
    assert_eq!(split(4_000, 9_000), ((4_000, 1_000), (4_000, 9_000)), "nothing early in it");
    assert_eq!(split(4_000, 4_999), ((4_000, 4_999), (5_000, 4_999)), "short: all read by seq");
    assert_eq!(split(1, 0), ((1, 0), (1, 0)), "no operations");
    assert_eq!(split(1, 1_001), ((1, 1_000), (1_001, 1_001)));
}

#[test]
fn the_bound_of_the_indexes_is_the_bound_of_the_queries() {
    let first = include_str!("../../../../../migrations/sqlite/V1__ledger.sql");
    let second = include_str!("../../../../../migrations/sqlite/V2__add_history_indexes.sql");
    let of_history = |migration: &str| migration.matches(&format!("WHERE seq > {EARLY}")).count();
    assert_eq!((of_history(first), of_history(second)), (4, 2));
    let (_, late) = Seqs { first: 1, last: 2 * EARLY }.split();
    let statement =
        Statement::new(&query(OperationSort::NewestFirst, OperationFilter::default()), late, None, 1);
    assert!(statement.sql.contains(&format!("seq > {EARLY}")), "{}", statement.sql);
}
