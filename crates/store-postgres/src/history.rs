//! Pages of a user's operations, quick in every order and with every filter, for accounts with millions of them.
//!
//! Each order has an index that yields it, so that a page reads little more than what it shows, unless a filter
//! drops most rows on the way. Indexes other than that of `seq` leave out an account's first 1,000 operations, which
//! are read beside them. Filters are taken in by what they allow:
//! - `from` and `to` become bounds of `seq`, found by bisection: recorded time never runs backwards within an
//!   account and `seq` has no gaps. Writers pay nothing for it.
//! - a service or an order has an index of its own in the order of time.
//! - amounts have an index, one kind by kind, and one of each service kind by kind, from which the order is merged.
//! - where filter and order do not fit one index, the filter's index is asked whether it has few rows: then
//!   those are sorted, otherwise they are frequent enough that reading in order soon finds a page of them.

mod sql;

use balance_domain::{
    Amount, Operation, OperationFilter, OperationKind, OperationPosition, OperationQuery, OperationSort,
    Page, Timestamp, ports::RepoError,
};
use tokio_postgres::{Row, types::ToSql};

use crate::{
    PostgresStore,
    error::Failure,
    rows::{self, column},
    values::{At, bucket},
};
use sql::Source;

#[cfg(test)]
pub(crate) use sql::planned;

/// This many rows are read and sorted for one page in a few milliseconds.
const FEW: i64 = 4_000;

/// The operations to look at: `first_seq <= seq < end_seq`.
#[derive(Clone, Copy, Debug)]
struct Window {
    first_seq: i64,
    end_seq: i64,
}

impl Window {
    const ALL: Self = Self { first_seq: 1, end_seq: i64::MAX };

    /// Neighbours are read twice as fast as rows from all over.
    const fn is_few(self) -> bool {
        self.end_seq.saturating_sub(self.first_seq) <= 2 * FEW
    }
}

impl PostgresStore {
    pub(crate) async fn operations_page(
        &self,
        query: &OperationQuery,
    ) -> Result<Page<Operation, OperationPosition>, RepoError> {
        let window = self.window(query).await?;
        let source = self.source(query, window).await?;
        let rows = self.page_rows(query, window, source).await?;
        let operations = rows.iter().map(|row| rows::operation(row, 0)).collect::<Result<Vec<_>, Failure>>();
        Ok(Page::from_surplus(operations.map_err(Failure::into_error)?, query.limit, |operation| {
            OperationPosition { amount: operation.amount, seq: operation.seq }
        }))
    }

    /// The times asked for as numbers of operations.
    async fn window(&self, query: &OperationQuery) -> Result<Window, RepoError> {
        let OperationFilter { from, to, .. } = query.filter;
        if from.is_none() && to.is_none() {
            return Ok(Window::ALL);
        }
        let (from, to) = (At(from.unwrap_or(Timestamp::MIN)), to.map(At));
        let user = query.user_id;
        let rows = self.read(sql::WINDOW, &[&bucket(user), &user.get(), &from, &to]).await?;
        let mut window = Window::ALL;
        for row in &rows {
            let seq = column(row, 1).map_err(Failure::into_error)?;
            if column(row, 0).map_err(Failure::into_error)? {
                window.end_seq = seq;
            } else {
                window.first_seq = seq;
            }
        }
        Ok(window)
    }

    /// Where the page is read from.
    async fn source(&self, query: &OperationQuery, window: Window) -> Result<Source, RepoError> {
        let filter = &query.filter;
        let is_by_amount = matches!(query.sort, OperationSort::LargestFirst | OperationSort::SmallestFirst);
        if window.is_few() {
            return Ok(if is_by_amount { Source::FewOfWindow } else { Source::InOrder });
        }
        if let Some(order) = filter.order_id {
            if !is_by_amount {
                return Ok(Source::OrderInOrder);
            }
            let is_few = self.is_few(sql::COUNT_ORDER, query, &[&order.get()]).await?;
            return Ok(if is_few { Source::FewOfOrder } else { Source::InOrder });
        }
        if filter.service_id.is_some() {
            return Ok(Source::ServiceInOrder);
        }
        if is_by_amount {
            return Ok(if filter.kind.is_some() { Source::KindInOrder } else { Source::InOrder });
        }
        let is_narrowed = filter.kind.is_some() || filter.min_amount.is_some() || filter.max_amount.is_some();
        if is_narrowed {
            let (least, most) = amounts(filter);
            if self.is_few(sql::COUNT_KINDS, query, &[&least, &most, &kinds(filter)]).await? {
                return Ok(Source::FewOfKinds);
            }
        }
        Ok(Source::InOrder)
    }

    async fn is_few(
        &self,
        count: &str,
        query: &OperationQuery,
        of: &[&(dyn ToSql + Sync)],
    ) -> Result<bool, RepoError> {
        let (bucket, user) = (bucket(query.user_id), query.user_id.get());
        let most = FEW + 1;
        let mut values: Vec<&(dyn ToSql + Sync)> = vec![&bucket, &user, &most];
        values.extend(of);
        let rows = self.read(count, &values).await?;
        let counted = rows.first().map_or(Ok(0), |row| column::<i64>(row, 0)).map_err(Failure::into_error)?;
        Ok(counted <= FEW)
    }

    async fn page_rows(
        &self,
        query: &OperationQuery,
        window: Window,
        source: Source,
    ) -> Result<Vec<Row>, RepoError> {
        let filter = &query.filter;
        let after = query.after.unwrap_or(behind_nothing(query.sort));
        let (least, most) = amounts(filter);
        self.read(
            &sql::page(source, query.sort),
            &[
                &bucket(query.user_id),
                &query.user_id.get(),
                &window.first_seq,
                &window.end_seq,
                &least,
                &most,
                &kinds(filter),
                &filter.service_id.map(balance_domain::ServiceId::get),
                &filter.order_id.map(balance_domain::OrderId::get),
                &after.amount.get(),
                &after.seq,
                &(i64::from(query.limit.get()) + 1),
            ],
        )
        .await
    }
}

/// The kinds to look for: those that can be on a service or an order, where one is asked for.
fn kinds(filter: &OperationFilter) -> Vec<&'static str> {
    let may_pass = |kind: &OperationKind| match filter.kind {
        Some(wanted) => *kind == wanted,
        None => kind.is_on_reservation() || (filter.service_id.is_none() && filter.order_id.is_none()),
    };
    OperationKind::ALL.into_iter().filter(may_pass).map(OperationKind::as_str).collect()
}

fn amounts(filter: &OperationFilter) -> (i64, i64) {
    (filter.min_amount.unwrap_or(Amount::MIN).get(), filter.max_amount.unwrap_or(Amount::MAX).get())
}

/// The position before all rows of this order.
const fn behind_nothing(sort: OperationSort) -> OperationPosition {
    match sort {
        OperationSort::NewestFirst | OperationSort::LargestFirst => {
            OperationPosition { amount: Amount::MAX, seq: i64::MAX }
        }
        OperationSort::OldestFirst | OperationSort::SmallestFirst => {
            OperationPosition { amount: Amount::MIN, seq: 0 }
        }
    }
}
