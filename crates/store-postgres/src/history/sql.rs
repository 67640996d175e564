//! The statements of history pages, put together from fixed parts: no text of a caller is among them.

use balance_domain::OperationSort;

/// Which rows a page is chosen from, and how they are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// All rows, through the index of the order asked for.
    InOrder,
    /// One service's, through its index of the order asked for.
    ServiceInOrder,
    /// One kind's, through its index by amount.
    KindInOrder,
    /// One order's, through its index, which is in the order of time.
    OrderInOrder,
    /// Few rows, sorted.
    FewOfWindow,
    FewOfOrder,
    FewOfKinds,
}

/// The first `seq` at or behind each of two instants: `(is_end, seq)`, the second only if `$4` is not null.
/// Bisection over the account's operations, one look into the primary key for each halving.
pub(super) const WINDOW: &str = "\
WITH RECURSIVE search (is_end, instant, low, high) AS (
    SELECT given.is_end, given.instant, 1::bigint, a.seq + 1
    FROM accounts a CROSS JOIN (VALUES (false, $3::timestamptz), (true, $4::timestamptz)) AS given (is_end, instant)
    WHERE a.bucket = $1 AND a.user_id = $2 AND given.instant IS NOT NULL
    UNION ALL
    SELECT s.is_end, s.instant,
        CASE WHEN o.created_at < s.instant THEN o.seq + 1 ELSE s.low END,
        CASE WHEN o.created_at < s.instant THEN s.high ELSE o.seq END
    FROM search s
    CROSS JOIN LATERAL (
        SELECT seq, created_at FROM operations
        WHERE bucket = $1 AND user_id = $2 AND seq = (s.low + s.high) / 2
        OFFSET 0
    ) AS o
    WHERE s.low < s.high
)
SELECT is_end, low FROM search WHERE low = high";

/// How many operations of an order there are behind the first 1,000, counted up to `$3`.
pub(super) const COUNT_ORDER: &str = "\
SELECT count(*) FROM (
    SELECT FROM operations WHERE bucket = $1 AND user_id = $2 AND order_id = $4 AND seq > 1000 LIMIT $3
) AS counted";

/// The same of some kinds (`$6`) within a range of amounts.
pub(super) const COUNT_KINDS: &str = "\
SELECT count(*) FROM (
    SELECT FROM unnest($6::text[]) AS wanted (kind)
    CROSS JOIN LATERAL (
        SELECT FROM operations
        WHERE bucket = $1 AND user_id = $2 AND kind = wanted.kind AND amount BETWEEN $4 AND $5 AND seq > 1000
        LIMIT $3
    ) AS o
    LIMIT $3
) AS counted";

/// Columns of a page; see [`rows::operation`](crate::rows::operation).
const COLUMNS: &str = "o.user_id, o.seq, o.kind, o.amount, o.available_after, o.reserved_after, o.service_id, \
    o.order_id, o.counterparty_user_id, o.comment, o.idempotency_key, o.created_at, o.actor";

/// One page: `$1` bucket, `$2` user, `$3` first and `$4` end seq, `$5` least and `$6` most amount, `$7` kinds,
/// `$8` service, `$9` order, `$10` amount and `$11` seq of the position to start behind, `$12` rows.
///
/// The indexes other than that of `seq` leave out an account's first 1,000 operations: see the migration.
/// These are read by `seq` beside them, and the page is merged from both.
///
/// `+ 0` keeps a condition out of an index that is not the one meant: a planner without statistics takes
/// every condition for a sharp one.
pub(super) fn page(source: Source, sort: OperationSort) -> String {
    let is_by_amount = matches!(sort, OperationSort::LargestFirst | OperationSort::SmallestFirst);
    match source {
        // True of every row: it is what the index says, and by what the planner knows that this one is meant.
        Source::InOrder if is_by_amount => split(sort, &rows(sort, &by_amount("o.reserved_after >= 0"))),
        Source::InOrder => rows(sort, &in_order("true")),
        Source::KindInOrder => split(sort, &by_kind(sort, "true")),
        Source::ServiceInOrder if is_by_amount => split(sort, &by_kind(sort, "o.service_id = $8")),
        Source::ServiceInOrder => split(sort, &indexed(sort, "o.service_id = $8")),
        Source::OrderInOrder => split(sort, &indexed(sort, "o.order_id = $9")),
        Source::FewOfWindow => rows(sort, &few("seq >= $3 AND seq < $4")),
        Source::FewOfOrder => split(sort, &rows(sort, &few("order_id = $9 AND seq > 1000"))),
        Source::FewOfKinds => split(sort, &rows(sort, &few_of_kinds())),
    }
}

/// A page of the rows that an index has, and of the first ones, which it has not.
fn split(sort: OperationSort, indexed: &str) -> String {
    let first = rows(sort, &few("seq <= 1000"));
    let order = order(sort);
    format!("SELECT * FROM (({indexed}) UNION ALL ({first})) AS o ORDER BY {order} LIMIT $12")
}

/// The page of an index in the order of time.
fn indexed(sort: OperationSort, condition: &str) -> String {
    rows(sort, &in_order(&format!("{condition} AND o.seq > 1000")))
}

/// The rows of an index in the order of amounts. It has `seq` too, so that what a period leaves out is passed over
/// within it.
fn by_amount(condition: &str) -> String {
    format!(
        "operations o WHERE o.bucket = $1 AND o.user_id = $2 AND {condition} AND o.seq > 1000 \
         AND o.seq >= $3 AND o.seq < $4 AND o.amount >= $5 AND o.amount <= $6"
    )
}

/// The page in the order of amounts: that of each kind from an index of kinds, and of those the first rows.
fn by_kind(sort: OperationSort, condition: &str) -> String {
    let page = rows(sort, &by_amount(&format!("{condition} AND o.kind = wanted.kind")));
    let order = order(sort);
    format!(
        "SELECT o.* FROM unnest($7::text[]) AS wanted (kind) CROSS JOIN LATERAL ({page}) AS o \
         ORDER BY {order} LIMIT $12"
    )
}

const fn order(sort: OperationSort) -> &'static str {
    match sort {
        OperationSort::NewestFirst => "o.seq DESC",
        OperationSort::OldestFirst => "o.seq",
        OperationSort::LargestFirst => "o.amount DESC, o.seq DESC",
        OperationSort::SmallestFirst => "o.amount, o.seq",
    }
}

/// The page of one source.
fn rows(sort: OperationSort, from: &str) -> String {
    let position = match sort {
        OperationSort::NewestFirst => "o.seq < $11 AND $10::bigint > 0",
        OperationSort::OldestFirst => "o.seq > $11 AND $10::bigint > 0",
        OperationSort::LargestFirst => "(o.amount, o.seq) < ($10, $11)",
        OperationSort::SmallestFirst => "(o.amount, o.seq) > ($10, $11)",
    };
    let order = order(sort);
    format!(
        "SELECT {COLUMNS} FROM {from} AND {position} \
         AND array_position($7::text[], o.kind) IS NOT NULL AND ($8::bigint IS NULL OR o.service_id + 0 = $8) AND ($9::bigint IS NULL OR o.order_id + 0 = $9) \
         ORDER BY {order} LIMIT $12"
    )
}

fn in_order(condition: &str) -> String {
    format!(
        "operations o WHERE o.bucket = $1 AND o.user_id = $2 AND o.seq >= $3 AND o.seq < $4 \
         AND o.amount + 0 >= $5 AND o.amount + 0 <= $6 AND {condition}"
    )
}

/// `OFFSET 0` has the rows fetched first and sorted then.
fn few(condition: &str) -> String {
    format!(
        "(SELECT * FROM operations WHERE bucket = $1 AND user_id = $2 AND {condition} OFFSET 0) AS o \
         WHERE o.seq >= $3 AND o.seq < $4 AND o.amount >= $5 AND o.amount <= $6"
    )
}

/// [`few`] of some kinds within the range of amounts.
fn few_of_kinds() -> String {
    "(SELECT o.* FROM unnest($7::text[]) AS wanted (kind) CROSS JOIN LATERAL (\
         SELECT * FROM operations WHERE bucket = $1 AND user_id = $2 AND kind = wanted.kind \
         AND amount BETWEEN $5 AND $6 AND seq > 1000 OFFSET 0) AS o OFFSET 0) AS o \
     WHERE o.seq >= $3 AND o.seq < $4"
        .to_owned()
}

/// See `plans`.
#[cfg(test)]
pub(crate) fn planned() -> Vec<(String, &'static [&'static str])> {
    use OperationSort::{LargestFirst, NewestFirst, OldestFirst, SmallestFirst};
    let looks: [(&str, &'static [&'static str]); 3] = [
        (WINDOW, &["accounts_pkey", "operations_pkey"]),
        (COUNT_ORDER, &["operations_by_order"]),
        (COUNT_KINDS, &["operations_by_kind"]),
    ];
    let by_time: [(Source, &'static [&'static str]); 4] = [
        (Source::InOrder, &["operations_pkey"]),
        (Source::ServiceInOrder, &["operations_by_service", "operations_pkey"]),
        (Source::OrderInOrder, &["operations_by_order", "operations_pkey"]),
        (Source::FewOfKinds, &["operations_by_kind", "operations_pkey"]),
    ];
    let by_amount: [(Source, &'static [&'static str]); 5] = [
        (Source::InOrder, &["operations_by_amount", "operations_pkey"]),
        (Source::KindInOrder, &["operations_by_kind", "operations_pkey"]),
        (Source::ServiceInOrder, &["operations_by_service_amount", "operations_pkey"]),
        (Source::FewOfWindow, &["operations_pkey"]),
        (Source::FewOfOrder, &["operations_by_order", "operations_pkey"]),
    ];
    let mut planned: Vec<_> = looks.into_iter().map(|(sql, indexes)| (sql.to_owned(), indexes)).collect();
    for (sorts, sources) in
        [([NewestFirst, OldestFirst], &by_time[..]), ([LargestFirst, SmallestFirst], &by_amount[..])]
    {
        for sort in sorts {
            planned.extend(sources.iter().map(|(source, indexes)| (page(*source, sort), *indexes)));
        }
    }
    planned
}
