//! What the model answers to questions: everything is listed, filtered and sorted, then cut to a page.

use balance_domain::{
    AccountAsOf, IdempotencyKey, Limit, Moment, Operation, OperationFilter, OperationPosition,
    OperationQuery, OperationSort, Page, Reservation, ReservationKey, ReservationPosition, ReservationQuery,
    ReservationSearch, ReservationState, SearchPosition, SearchSort, Timestamp, UserId,
};

use super::{World, expiry::is_due};

impl World {
    pub(super) fn account_as_of(&self, user_id: UserId, moment: Moment) -> Option<AccountAsOf> {
        let book = self.books.get(&user_id)?;
        let has_due = book.reservations.values().any(|reservation| is_due(reservation, moment.now()));
        Some(AccountAsOf { at: moment.now(), recorded: book.account(), has_due })
    }

    pub(super) fn reservation(&self, key: ReservationKey) -> Option<Reservation> {
        self.books.get(&key.user_id)?.reservations.get(&(key.service_id, key.order_id)).copied()
    }

    pub(super) fn reservations_page(
        &self,
        query: &ReservationQuery,
    ) -> Page<Reservation, ReservationPosition> {
        let mut rows: Vec<Reservation> = self
            .books
            .get(&query.user_id)
            .into_iter()
            .flat_map(|book| book.reservations.values())
            .copied()
            .filter(|reservation| query.state.is_none_or(|state| reservation.state == state))
            .collect();
        let order = |p: &ReservationPosition| (p.created_at, p.service_id, p.order_id);
        rows.sort_by_key(|reservation| std::cmp::Reverse(order(&place_of(reservation))));
        if let Some(after) = query.after {
            rows.retain(|reservation| order(&place_of(reservation)) < order(&after));
        }
        cut(rows, query.limit, place_of)
    }

    pub(super) fn search(
        &self,
        search: &ReservationSearch,
        now: Timestamp,
    ) -> Page<Reservation, SearchPosition> {
        let place = |reservation: &Reservation| {
            let SearchPosition { at, user_id, service_id, order_id } =
                SearchPosition::behind(reservation, search.sort);
            (at, user_id, service_id, order_id)
        };
        let mut rows: Vec<Reservation> = self
            .books
            .values()
            .flat_map(|book| book.reservations.values())
            .copied()
            .filter(|row| {
                row.state == ReservationState::Active
                    && row.expires_at > now
                    && search.service_id.is_none_or(|id| row.key.service_id == id)
                    && search.order_id.is_none_or(|id| row.key.order_id == id)
                    && search.expires_before.is_none_or(|before| row.expires_at < before)
            })
            .collect();
        rows.sort_by_key(place);
        if search.sort == SearchSort::NewestFirst {
            rows.reverse();
        }
        if let Some(SearchPosition { at, user_id, service_id, order_id }) = search.after {
            let after = (at, user_id, service_id, order_id);
            rows.retain(|row| match search.sort {
                SearchSort::SoonestFirst => place(row) > after,
                SearchSort::NewestFirst => place(row) < after,
            });
        }
        cut(rows, search.limit, |row| SearchPosition::behind(row, search.sort))
    }

    pub(super) fn operations_page(&self, query: &OperationQuery) -> Page<Operation, OperationPosition> {
        let mut rows: Vec<Operation> = self
            .books
            .get(&query.user_id)
            .into_iter()
            .flat_map(|book| &book.operations)
            .map(|recorded| recorded.operation.clone())
            .filter(|operation| wanted(operation, &query.filter))
            .collect();
        match query.sort {
            OperationSort::OldestFirst => rows.sort_by_key(|row| row.seq),
            OperationSort::NewestFirst => rows.sort_by_key(|row| -row.seq),
            OperationSort::SmallestFirst => rows.sort_by_key(|row| (row.amount.get(), row.seq)),
            OperationSort::LargestFirst => rows.sort_by_key(|row| (-row.amount.get(), -row.seq)),
        }
        if let Some(after) = query.after {
            rows.retain(|row| match query.sort {
                OperationSort::OldestFirst => row.seq > after.seq,
                OperationSort::NewestFirst => row.seq < after.seq,
                OperationSort::SmallestFirst => (row.amount, row.seq) > (after.amount, after.seq),
                OperationSort::LargestFirst => (row.amount, row.seq) < (after.amount, after.seq),
            });
        }
        cut(rows, query.limit, |row| OperationPosition { amount: row.amount, seq: row.seq })
    }

    pub(super) fn operation_by_key(&self, user_id: UserId, key: &IdempotencyKey) -> Option<Operation> {
        let operations = &self.books.get(&user_id)?.operations;
        operations
            .iter()
            .find(|recorded| recorded.operation.idempotency_key.as_ref() == Some(key))
            .map(|recorded| recorded.operation.clone())
    }

    pub(super) fn due_users(&self, now: Timestamp, users_max: u32) -> Vec<UserId> {
        let mut due: Vec<(Timestamp, UserId)> = self
            .books
            .values()
            .filter_map(|book| {
                let of_book = book.reservations.values().filter(|reservation| is_due(reservation, now));
                Some((of_book.map(|reservation| reservation.expires_at).min()?, book.user_id))
            })
            .collect();
        due.sort_unstable();
        due.truncate(users_max.try_into().unwrap_or(usize::MAX));
        due.into_iter().map(|(_, user_id)| user_id).collect()
    }
}

const fn place_of(reservation: &Reservation) -> ReservationPosition {
    ReservationPosition {
        created_at: reservation.created_at,
        service_id: reservation.key.service_id,
        order_id: reservation.key.order_id,
    }
}

fn wanted(operation: &Operation, filter: &OperationFilter) -> bool {
    filter.kind.is_none_or(|kind| operation.kind == kind)
        && (filter.service_id.is_none() || operation.service_id == filter.service_id)
        && (filter.order_id.is_none() || operation.order_id == filter.order_id)
        && filter.from.is_none_or(|from| operation.created_at >= from)
        && filter.to.is_none_or(|to| operation.created_at < to)
        && filter.min_amount.is_none_or(|min| operation.amount >= min)
        && filter.max_amount.is_none_or(|max| operation.amount <= max)
}

fn cut<T, P>(mut rows: Vec<T>, limit: Limit, place: impl Fn(&T) -> P) -> Page<T, P> {
    let rows_max = usize::from(limit.get());
    let has_more = rows.len() > rows_max;
    rows.truncate(rows_max);
    let next = rows.last().filter(|_| has_more).map(place);
    Page { items: rows, next }
}
