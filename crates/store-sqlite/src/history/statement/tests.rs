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
    let connection = schema::migrated();
    let (_, late) = Seqs { first: 1, last: 1_000_000 }.split(1_000_000);
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
    let (_, late) = Seqs { first: 1, last: 1_000_000 }.split(1_000_000);
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
        let (early, late) = Seqs { first, last }.split(9_000);
        ((early.seqs.first, early.seqs.last), (late.seqs.first, late.seqs.last))
    };
    assert_eq!(split(1, 5_000), ((1, 1_000), (1_001, 5_000)));
    assert_eq!(split(4_000, 9_000), ((4_000, 1_000), (4_000, 9_000)), "nothing early in it");
    assert_eq!(split(1, 1_000), ((1, 1_000), (1_001, 1_000)), "nothing late in it");
    assert_eq!(split(1, 0), ((1, 0), (1_001, 0)), "no operations");
    assert_eq!(split(1, 1_001), ((1, 1_000), (1_001, 1_001)));
}

#[test]
fn early_operations_are_listed_from_the_last_of_them_on() {
    let source = |last_seq| Seqs { first: 1, last: last_seq }.split(last_seq).0.source;
    assert_eq!([1, 999, 1_000, 1_001].map(source), [Source::Keys, Source::Keys, Source::List, Source::List]);
}

#[test]
fn a_short_range_is_read_by_seq() {
    let kind = OperationFilter { kind: Some(OperationKind::Refund), ..OperationFilter::default() };
    let index = |last| {
        let late = Part { seqs: Seqs { first: 4_000, last }, source: Source::Index };
        index_for(&query(OperationSort::LargestFirst, kind.clone()), late, None)
    };
    assert_eq!((index(4_999), index(5_000)), (BY_SEQ, BY_KIND_AMOUNT));
}

#[test]
fn a_page_of_everything_is_a_range_of_seq() {
    let seqs = Seqs { first: 11, last: 500 };
    let (down, up) = (Order::Seq { descending: true }, Order::Seq { descending: false });
    assert_eq!(seqs.first_in(down, 51), Seqs { first: 450, last: 500 });
    assert_eq!(seqs.first_in(up, 51), Seqs { first: 11, last: 61 });
    assert_eq!((seqs.first_in(down, 1_000), seqs.first_in(up, 1_000)), (seqs, seqs));
}

#[test]
fn positions_beyond_all_numbers_have_nothing_behind_them() {
    let seqs = Seqs { first: 1, last: 500 };
    let at = |seq| Some(OperationPosition { amount: Amount::MIN, seq });
    assert!(seqs.behind(Order::Seq { descending: false }, at(i64::MAX)).is_empty());
    assert!(seqs.behind(Order::Seq { descending: true }, at(i64::MIN)).is_empty());
}

#[test]
fn early_operations_are_fetched_by_their_rowids_alone() {
    let connection = schema::migrated();
    for sort in SORTS {
        for last_seq in [60, 1_000_000] {
            let (early, _) = Seqs { first: 5, last: 60 }.split(last_seq);
            let kind = OperationFilter { kind: Some(OperationKind::Refund), ..OperationFilter::default() };
            for filter in [OperationFilter::default(), kind] {
                let statement = Statement::new(&query(sort, filter), early, None, 51);
                let plan = schema::plan(&connection, &statement.sql);
                assert!(plan.contains("SEARCH operations USING INTEGER PRIMARY KEY (rowid=?)"), "{plan}");
                assert!(!plan.contains("SCAN operations"), "{plan}");
                let found_by = match early.source {
                    Source::Keys => {
                        "SEARCH operations USING COVERING INDEX operations_by_key (user_id=? AND "
                    }
                    _ => "SEARCH early_operations USING PRIMARY KEY (user_id=? AND seq>? AND seq<?)",
                };
                assert!(plan.contains(found_by), "{plan}");
            }
        }
    }
}

#[test]
fn the_bound_of_the_indexes_is_the_bound_of_the_queries() {
    let schema = include_str!("../../../../../migrations/sqlite/V1__ledger.sql");
    assert_eq!(schema.matches(&format!("WHERE seq > {EARLY}")).count(), 7);
    assert!(schema.contains(&format!("BETWEEN 1 AND {EARLY})")));
    let (_, late) = Seqs { first: 1, last: 2 * EARLY }.split(2 * EARLY);
    let statement =
        Statement::new(&query(OperationSort::NewestFirst, OperationFilter::default()), late, None, 1);
    assert!(statement.sql.contains(&format!("seq > {EARLY}")), "{}", statement.sql);
}
