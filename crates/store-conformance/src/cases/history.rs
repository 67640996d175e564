//! Listing operations: order, pages, filters.

use balance_domain::{
    Operation, OperationFilter, OperationKind, OperationPosition, OperationQuery, OperationSort,
};

use crate::teller::{Teller, amount, failed, limit, order, service, user};

const SORTS: [OperationSort; 4] = [
    OperationSort::NewestFirst,
    OperationSort::OldestFirst,
    OperationSort::LargestFirst,
    OperationSort::SmallestFirst,
];

async fn some_history(teller: &Teller) {
    teller.add_services(&[7, 8]).await;
    for minor in [500, 3, 500, 70, 3, 500, 9_007_199_254_700_000, 1] {
        teller.deposit(1, minor).await;
        teller.deposit(2, minor).await;
        teller.pass(1);
    }
    teller.reserve(order(1, 7, 1), 70, 600).await;
    teller.reserve(order(1, 8, 1), 500, 600).await;
    teller.pass(1);
    teller.capture(order(1, 7, 1), Some(67)).await;
    teller.release(order(1, 8, 1)).await;
    teller.transfer(1, 2, 3).await;
    teller.withdraw(1, 1).await;
}

/// Every order, in pages of every size: no gap, no repeat, equal amounts by number.
pub async fn pages_of_every_size_give_the_same_list(teller: Teller) {
    some_history(&teller).await;
    let all = teller.history(1).await;
    assert_eq!(all.len(), 15);
    for sort in SORTS {
        let mut expected = all.clone();
        match sort {
            OperationSort::OldestFirst => {}
            OperationSort::NewestFirst => expected.reverse(),
            OperationSort::SmallestFirst => expected.sort_by_key(|o| (o.amount, o.seq)),
            OperationSort::LargestFirst => {
                expected.sort_by_key(|o| (o.amount, o.seq));
                expected.reverse();
            }
        }
        for rows in [1, 2, 3, 4, 5, 7, 14, 15, 16, 200] {
            let listed = teller.listed(1, sort, OperationFilter::default(), rows).await;
            assert_eq!(listed, expected, "{sort:?} in pages of {rows}");
        }
    }
}

/// The last page says that it is the last, even when it is full.
pub async fn a_full_last_page_has_no_next(teller: Teller) {
    for _ in 0..4 {
        teller.deposit(1, 5).await;
    }
    for sort in SORTS {
        let query = |rows, after| OperationQuery {
            user_id: user(1),
            filter: OperationFilter::default(),
            sort,
            after,
            limit: limit(rows),
        };
        let full = teller.store().operations(query(4, None)).await.unwrap_or_else(|e| failed(&e));
        assert_eq!((full.items.len(), full.next), (4, None));
        let first = teller.store().operations(query(3, None)).await.unwrap_or_else(|e| failed(&e));
        let place = first.items.last().map(|o| OperationPosition { amount: o.amount, seq: o.seq });
        assert_eq!(first.next, place);
        let rest = teller.store().operations(query(3, place)).await.unwrap_or_else(|e| failed(&e));
        assert_eq!((rest.items.len(), rest.next), (1, None));
    }
}

/// A user without operations has an empty history; users do not see each other's.
pub async fn a_history_holds_only_its_users_operations(teller: Teller) {
    some_history(&teller).await;
    assert!(teller.history(3).await.is_empty());
    assert!(teller.history(2).await.iter().all(|operation| operation.user_id == user(2)));
    assert_eq!(teller.history(2).await.len(), 9);
}

/// Each filter keeps what it names, alone and with others, in every order and with small pages.
pub async fn filters_keep_what_they_name(teller: Teller) {
    some_history(&teller).await;
    let all = teller.history(1).await;
    for filter in filters(&all) {
        let mut expected: Vec<Operation> = all.iter().filter(|o| keeps(&filter, o)).cloned().collect();
        for sort in SORTS {
            let mut listed = teller.listed(1, sort, filter.clone(), 2).await;
            listed.sort_by_key(|operation| operation.seq);
            assert_eq!(listed, expected, "{filter:?} {sort:?}");
        }
        expected.reverse();
        let newest = teller.listed(1, OperationSort::NewestFirst, filter.clone(), 200).await;
        assert_eq!(newest, expected, "{filter:?}");
    }
}

fn filters(all: &[Operation]) -> Vec<OperationFilter> {
    let none = OperationFilter::default;
    let middle = all[4].created_at;
    let mut filters: Vec<OperationFilter> =
        OperationKind::ALL.map(|kind| OperationFilter { kind: Some(kind), ..none() }).to_vec();
    for id in [7, 8, 9] {
        filters.push(OperationFilter { service_id: Some(service(id)), ..none() });
    }
    for id in [1, 2] {
        filters.push(OperationFilter { order_id: Some(order(1, 7, id).order_id), ..none() });
    }
    filters.push(OperationFilter { from: Some(middle), ..none() });
    filters.push(OperationFilter { to: Some(middle), ..none() });
    filters.push(OperationFilter { from: Some(middle), to: Some(middle), ..none() });
    filters.push(OperationFilter { from: Some(all[2].created_at), to: Some(all[9].created_at), ..none() });
    for minor in [1, 3, 4, 500, 501, 9_007_199_254_740_991] {
        filters.push(OperationFilter { min_amount: Some(amount(minor)), ..none() });
        filters.push(OperationFilter { max_amount: Some(amount(minor)), ..none() });
    }
    filters.push(OperationFilter {
        min_amount: Some(amount(3)),
        max_amount: Some(amount(500)),
        kind: Some(OperationKind::Deposit),
        from: Some(all[1].created_at),
        ..none()
    });
    filters.push(OperationFilter {
        service_id: Some(service(8)),
        order_id: Some(order(1, 7, 1).order_id),
        kind: Some(OperationKind::Release),
        ..none()
    });
    filters
}

fn keeps(filter: &OperationFilter, operation: &Operation) -> bool {
    let time = operation.created_at;
    let money = operation.amount;
    [
        filter.kind.is_none_or(|kind| kind == operation.kind),
        filter.service_id.is_none_or(|id| Some(id) == operation.service_id),
        filter.order_id.is_none_or(|id| Some(id) == operation.order_id),
        filter.from.is_none_or(|from| from <= time),
        filter.to.is_none_or(|to| time < to),
        filter.min_amount.is_none_or(|min| min <= money),
        filter.max_amount.is_none_or(|max| money <= max),
    ]
    .into_iter()
    .all(|kept| kept)
}

/// A position of an operation that no longer matches the filter, or never did, is still a place.
pub async fn any_position_is_a_place(teller: Teller) {
    for minor in [5, 10, 5, 10, 5] {
        teller.deposit(1, minor).await;
    }
    for (sort, seq, minor, expected) in [
        (OperationSort::SmallestFirst, 4, 5, vec![5, 2, 4]),
        (OperationSort::SmallestFirst, 99, 7, vec![2, 4]),
        (OperationSort::LargestFirst, 3, 10, vec![2, 5, 3, 1]),
        (OperationSort::LargestFirst, 1, 7, vec![5, 3, 1]),
        (OperationSort::NewestFirst, 3, 1, vec![2, 1]),
        (OperationSort::OldestFirst, 3, 1, vec![4, 5]),
        (OperationSort::OldestFirst, 99, 1, vec![]),
    ] {
        let query = OperationQuery {
            user_id: user(1),
            filter: OperationFilter::default(),
            sort,
            after: Some(OperationPosition { amount: amount(minor), seq }),
            limit: limit(50),
        };
        let page = teller.store().operations(query).await.unwrap_or_else(|error| failed(&error));
        let numbers: Vec<i64> = page.items.iter().map(|operation| operation.seq).collect();
        assert_eq!(numbers, expected, "{sort:?} behind {minor} of {seq}");
    }
}
