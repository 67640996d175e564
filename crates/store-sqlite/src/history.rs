//! Pages of one account's history, in four orders and through any filter.
//!
//! `seq` counts without gaps and time never runs backwards within an account, so a range of time is a range of
//! `seq`, found by counting or by bisection: writers pay for no index by time.
//!
//! The indexes of history leave out an account's first operations (`early`). A page therefore has two parts: the early
//! operations, few enough to be filtered and sorted, and the late ones, read from the index that fits the filter and
//! the order.

mod narrow;
mod statement;

use balance_domain::{
    IdempotencyKey, Operation, OperationFilter, OperationPosition, OperationQuery, OperationSort, Page,
    Timestamp, UserId,
};
use rusqlite::{Connection, OptionalExtension};

use crate::{
    early::{self, EARLY, early_count},
    rows::{operation, operation_columns},
};
use statement::{Order, Part, Seqs, Statement};

const TIME_OF_LATE: &str = concat!(
    "SELECT created_at FROM operations INDEXED BY operations_by_seq WHERE user_id = ?1 AND seq = ?2 AND seq > ",
    early_count!()
);

const BY_KEY: &str = concat!(
    "SELECT ",
    operation_columns!(),
    " FROM operations INDEXED BY operations_by_key WHERE user_id = ?1 AND idempotency_key = ?2"
);

/// The operation that answers for a key.
pub(crate) fn by_key(
    connection: &Connection,
    user_id: UserId,
    key: &IdempotencyKey,
) -> rusqlite::Result<Option<Operation>> {
    connection.prepare_cached(BY_KEY)?.query_row((user_id.get(), key.as_str()), operation).optional()
}

/// A page of recorded operations.
pub(crate) fn page(
    connection: &Connection,
    query: &OperationQuery,
) -> rusqlite::Result<Page<Operation, OperationPosition>> {
    let last_seq = early::last_seq(connection, query.user_id)?;
    let seqs = seqs_of_period(connection, query, last_seq)?;
    let mut rows = match query.sort {
        OperationSort::NewestFirst | OperationSort::OldestFirst => by_seq(connection, query, seqs, last_seq)?,
        OperationSort::LargestFirst | OperationSort::SmallestFirst => {
            by_amount(connection, query, seqs, last_seq)?
        }
    };
    rows.truncate(wanted(query));
    Ok(Page::from_surplus(rows, query.limit, |last| OperationPosition { amount: last.amount, seq: last.seq }))
}

/// One row more than the page has: it tells whether another page follows.
fn wanted(query: &OperationQuery) -> usize {
    usize::from(query.limit.get()) + 1
}

/// The part that comes first in the order is read first; the other only fills up.
fn by_seq(
    connection: &Connection,
    query: &OperationQuery,
    seqs: Seqs,
    last_seq: i64,
) -> rusqlite::Result<Vec<Operation>> {
    let order = Order::of(query.sort);
    let mut seqs = seqs.behind(order, query.after);
    if takes_all_of_a_period(&query.filter) {
        seqs = seqs.first_in(order, wanted(query));
    }
    let (early, late) = seqs.split(last_seq);
    let parts = if order.is_descending() { [late, early] } else { [early, late] };
    let mut rows = Vec::new();
    for part in parts {
        let missing = wanted(query) - rows.len();
        if missing > 0 {
            rows.extend(read(connection, query, part, missing)?);
        }
    }
    Ok(rows)
}

/// Both parts give their first rows in the order; the first of both together are the page.
fn by_amount(
    connection: &Connection,
    query: &OperationQuery,
    seqs: Seqs,
    last_seq: i64,
) -> rusqlite::Result<Vec<Operation>> {
    let (early, late) = seqs.split(last_seq);
    let mut rows = read(connection, query, early, wanted(query))?;
    rows.extend(read(connection, query, late, wanted(query))?);
    rows.sort_unstable_by_key(|operation| (operation.amount, operation.seq));
    if Order::of(query.sort).is_descending() {
        rows.reverse();
    }
    Ok(rows)
}

fn read(
    connection: &Connection,
    query: &OperationQuery,
    part: Part,
    rows_max: usize,
) -> rusqlite::Result<Vec<Operation>> {
    if part.seqs.is_empty() {
        return Ok(Vec::new());
    }
    let narrow = if part.is_long() { narrow::index(connection, query)? } else { None };
    Statement::new(query, part, narrow, rows_max).rows(connection)
}

/// Whether no operation of the period is left out.
fn takes_all_of_a_period(filter: &OperationFilter) -> bool {
    *filter == OperationFilter { from: filter.from, to: filter.to, ..OperationFilter::default() }
}

/// The operations of `from <= created_at < to`, as a range of `seq`.
fn seqs_of_period(connection: &Connection, query: &OperationQuery, last_seq: i64) -> rusqlite::Result<Seqs> {
    let first_at_or_after =
        |instant: Timestamp| first_seq_at_or_after(connection, query.user_id, instant, last_seq);
    Ok(Seqs {
        first: query.filter.from.map_or(Ok(1), first_at_or_after)?,
        last: query.filter.to.map_or(Ok(last_seq), |to| first_at_or_after(to).map(|seq| seq - 1))?,
    })
}

/// Counts a short history, bisects a long one; `last_seq + 1` if all are earlier.
fn first_seq_at_or_after(
    connection: &Connection,
    user_id: UserId,
    instant: Timestamp,
    last_seq: i64,
) -> rusqlite::Result<i64> {
    if !early::are_listed(last_seq) {
        return Ok(early::count_before(connection, user_id, instant)? + 1);
    }
    let mut time_of_late = connection.prepare_cached(TIME_OF_LATE)?;
    let (mut low, mut high) = (1, last_seq + 1);
    while low < high {
        let middle = low + (high - low) / 2;
        let created_at: i64 = if middle > EARLY {
            time_of_late.query_row((user_id.get(), middle), |row| row.get(0))?
        } else {
            early::time_of_listed(connection, user_id, middle)?
        };
        if created_at < instant.micros() {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}
