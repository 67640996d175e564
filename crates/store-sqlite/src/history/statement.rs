//! The statement for one part of a page: which index it reads, which rows it leaves out.

use balance_domain::{
    Amount, Operation, OperationKind, OperationPosition, OperationQuery, OperationSort, OrderId, ServiceId,
};
use rusqlite::{Connection, params_from_iter, types::Value};

use crate::{
    early::{self, EARLY, ids_of_user},
    rows::{operation, operation_columns},
};

pub(super) const BY_SEQ: &str = "operations_by_seq";
pub(super) const BY_AMOUNT: &str = "operations_by_amount";
pub(super) const BY_KIND: &str = "operations_by_kind";
pub(super) const BY_KIND_AMOUNT: &str = "operations_by_kind_amount";
pub(super) const BY_SERVICE: &str = "operations_by_service";
pub(super) const BY_SERVICE_AMOUNT: &str = "operations_by_service_amount";
pub(super) const BY_ORDER: &str = "operations_by_order";

/// Goes from a list of places to their rows.
const FETCH: &str = ") CROSS JOIN operations NOT INDEXED ON operations.id = place WHERE user_id = ?1";

/// A range of `seq`, both ends included; empty if `last < first`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Seqs {
    pub(super) first: i64,
    pub(super) last: i64,
}

impl Seqs {
    /// What comes behind the position in an order by `seq`.
    pub(super) fn behind(self, order: Order, after: Option<OperationPosition>) -> Self {
        match after {
            None => self,
            Some(after) if order.is_descending() => {
                Self { last: self.last.min(after.seq.saturating_sub(1)), ..self }
            }
            Some(after) => Self { first: self.first.max(after.seq.saturating_add(1)), ..self },
        }
    }

    /// Those that come first in an order by `seq`.
    pub(super) fn first_in(self, order: Order, count: usize) -> Self {
        let count = i64::try_from(count).unwrap_or(i64::MAX);
        if order.is_descending() {
            Self { first: self.first.max(self.last.saturating_sub(count - 1)), ..self }
        } else {
            Self { last: self.last.min(self.first.saturating_add(count - 1)), ..self }
        }
    }

    /// The part that the indexes of history leave out, and the part that they have, for operations up to `last_seq`.
    pub(super) fn split(self, last_seq: i64) -> (Part, Part) {
        let early_source = if early::are_listed(last_seq) { Source::List } else { Source::Keys };
        let early = Part { seqs: Self { last: self.last.min(EARLY), ..self }, source: early_source };
        let late = Part { seqs: Self { first: self.first.max(EARLY + 1), ..self }, source: Source::Index };
        (early, late)
    }

    pub(super) const fn is_empty(self) -> bool {
        self.last < self.first
    }

    const fn count(self) -> i64 {
        self.last - self.first + 1
    }
}

/// A range of `seq`, all of which is found in the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) seqs: Seqs,
    pub(super) source: Source,
}

/// Where the operations of a part are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// Early ones of a short history, by the indexes of keys.
    Keys,
    /// Early ones of a long history, by their list.
    List,
    /// Late ones, by an index of history.
    Index,
}

impl Part {
    /// Whether it is worth while to choose among the indexes. A short range is all read by `seq`, wherever it lies.
    pub(super) fn is_long(self) -> bool {
        self.source == Source::Index && self.seqs.count() > EARLY
    }
}

/// An order as SQL has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Order {
    Seq { descending: bool },
    Amount { descending: bool },
}

impl Order {
    pub(super) const fn of(sort: OperationSort) -> Self {
        match sort {
            OperationSort::NewestFirst => Self::Seq { descending: true },
            OperationSort::OldestFirst => Self::Seq { descending: false },
            OperationSort::LargestFirst => Self::Amount { descending: true },
            OperationSort::SmallestFirst => Self::Amount { descending: false },
        }
    }

    pub(super) const fn is_descending(self) -> bool {
        match self {
            Self::Seq { descending } | Self::Amount { descending } => descending,
        }
    }

    pub(super) const fn is_by_amount(self) -> bool {
        matches!(self, Self::Amount { .. })
    }
}

/// SQL with its values.
pub(super) struct Statement {
    sql: String,
    values: Vec<Value>,
}

impl Statement {
    /// Up to `rows_max` rows of the part; `narrow` is the index of a filter that few late operations pass.
    pub(super) fn new(
        query: &OperationQuery,
        part: Part,
        narrow: Option<&'static str>,
        rows_max: usize,
    ) -> Self {
        let order = Order::of(query.sort);
        let mut statement = Self {
            sql: concat!("SELECT ", operation_columns!(), " FROM ").to_owned(),
            values: vec![query.user_id.get().into()],
        };
        statement.find(query, part, narrow);
        // Where places were chosen by it already, the rows themselves must agree.
        statement.restrict(" AND seq >= ", part.seqs.first);
        statement.restrict(" AND seq <= ", part.seqs.last);
        statement.filter(query);
        if order.is_by_amount() {
            statement.start_behind(order, query.after);
        }
        statement.order(order, rows_max);
        statement
    }

    pub(super) fn rows(self, connection: &Connection) -> rusqlite::Result<Vec<Operation>> {
        let mut statement = connection.prepare_cached(&self.sql)?;
        statement.query_map(params_from_iter(self.values), operation)?.collect()
    }

    fn find(&mut self, query: &OperationQuery, part: Part, narrow: Option<&'static str>) {
        match part.source {
            // Operations count on from 1, so the ranks of their rowids are their numbers.
            Source::Keys => {
                self.sql.push_str(concat!("(SELECT id AS place FROM ", ids_of_user!()));
                self.restrict(" ORDER BY id LIMIT ", part.seqs.count());
                self.restrict(" OFFSET ", part.seqs.first - 1);
                self.sql.push_str(FETCH);
            }
            Source::List => {
                self.sql.push_str("(SELECT operation_id AS place FROM early_operations WHERE user_id = ?1");
                self.restrict(" AND seq >= ", part.seqs.first);
                self.restrict(" AND seq <= ", part.seqs.last);
                self.sql.push_str(FETCH);
            }
            Source::Index => {
                self.sql.push_str("operations INDEXED BY ");
                self.sql.push_str(index_for(query, part, narrow));
                // Word for word as in the migrations: that is how SQLite knows that the index has all of these rows.
                self.sql.push_str(" WHERE user_id = ?1 AND seq > ");
                self.sql.push_str(&EARLY.to_string());
            }
        }
    }

    fn restrict(&mut self, condition: &str, value: impl Into<Value>) {
        self.sql.push_str(condition);
        self.bind(value);
    }

    fn bind(&mut self, value: impl Into<Value>) {
        self.values.push(value.into());
        self.sql.push('?');
        self.sql.push_str(&self.values.len().to_string());
    }

    fn filter(&mut self, query: &OperationQuery) {
        let filter = &query.filter;
        if let Some(kind) = filter.kind.map(OperationKind::as_str) {
            self.restrict(" AND kind = ", kind.to_owned());
        }
        if let Some(service_id) = filter.service_id.map(ServiceId::get) {
            self.restrict(" AND service_id = ", service_id);
        }
        if let Some(order_id) = filter.order_id.map(OrderId::get) {
            self.restrict(" AND order_id = ", order_id);
        }
        if let Some(min) = filter.min_amount.map(Amount::get) {
            self.restrict(" AND amount >= ", min);
        }
        if let Some(max) = filter.max_amount.map(Amount::get) {
            self.restrict(" AND amount <= ", max);
        }
    }

    fn start_behind(&mut self, order: Order, after: Option<OperationPosition>) {
        let Some(after) = after else { return };
        self.sql.push_str(if order.is_descending() {
            " AND (amount, seq) < ("
        } else {
            " AND (amount, seq) > ("
        });
        self.bind(after.amount.get());
        self.sql.push_str(", ");
        self.bind(after.seq);
        self.sql.push(')');
    }

    fn order(&mut self, order: Order, rows_max: usize) {
        self.sql.push_str(match order {
            Order::Seq { descending: true } => " ORDER BY seq DESC LIMIT ",
            Order::Seq { descending: false } => " ORDER BY seq LIMIT ",
            Order::Amount { descending: true } => " ORDER BY amount DESC, seq DESC LIMIT ",
            Order::Amount { descending: false } => " ORDER BY amount, seq LIMIT ",
        });
        self.bind(i64::try_from(rows_max).unwrap_or(i64::MAX));
    }
}

/// The index that reads the least of a late part. An order has a handful of operations, which are sorted if necessary,
/// as are those of a selective filter. Otherwise there is an index of each filter in each order; rows that a second
/// filter rejects are skipped, by amount within the index.
fn index_for(query: &OperationQuery, part: Part, narrow: Option<&'static str>) -> &'static str {
    let filter = &query.filter;
    if !part.is_long() {
        BY_SEQ
    } else if filter.order_id.is_some() {
        BY_ORDER
    } else if let Some(index) = narrow {
        index
    } else {
        let is_by_amount = Order::of(query.sort).is_by_amount();
        match (filter.service_id, filter.kind) {
            (Some(_), _) if is_by_amount => BY_SERVICE_AMOUNT,
            (Some(_), _) => BY_SERVICE,
            (None, Some(_)) if is_by_amount => BY_KIND_AMOUNT,
            (None, Some(_)) => BY_KIND,
            (None, None) if is_by_amount => BY_AMOUNT,
            (None, None) => BY_SEQ,
        }
    }
}

#[cfg(test)]
mod tests;
