//! The rows of the in-process ledger: what a table is to a database.

use std::collections::{BTreeMap, HashMap};

use balance_domain::{
    Account, AccountAsOf, Changes, IdempotencyKey, LoadedService, Moment, Needs, Operation, OperationFilter,
    OperationPosition, OperationQuery, OperationSort, Page, Period, RecordedOperation, Reservation,
    ReservationKey, ReservationPosition, ReservationQuery, Rows, ServiceId, ServiceStatus, UserId,
};

/// All tables.
#[derive(Clone, Default)]
pub(super) struct Tables {
    pub(super) accounts: BTreeMap<UserId, Account>,
    pub(super) operations: BTreeMap<UserId, Vec<RecordedOperation>>,
    pub(super) reservations: BTreeMap<ReservationKey, Reservation>,
    pub(super) services: BTreeMap<ServiceId, LoadedService>,
    keys: HashMap<(UserId, IdempotencyKey), usize>,
}

impl Tables {
    pub(super) fn add_service(&mut self, id: ServiceId) {
        self.services.insert(id, LoadedService { id, status: ServiceStatus::Active, is_used: false });
    }

    /// The operations that answer for the keys.
    pub(super) fn keyed(&self, needs: &Needs) -> Vec<RecordedOperation> {
        needs.keys.iter().filter_map(|(user_id, key)| self.by_key(*user_id, key)).cloned().collect()
    }

    pub(super) fn by_key(&self, user_id: UserId, key: &IdempotencyKey) -> Option<&RecordedOperation> {
        let position = *self.keys.get(&(user_id, key.clone()))?;
        self.operations.get(&user_id)?.get(position)
    }

    /// What a batch must see; the keys are loaded apart.
    pub(super) fn load(&self, needs: &Needs, keyed: Vec<RecordedOperation>, moment: Moment) -> Rows {
        let named = needs.reservations.iter().filter_map(|key| self.reservations.get(key));
        let due = needs.accounts.iter().flat_map(|user_id| self.due(*user_id, moment));
        Rows {
            accounts: needs
                .accounts
                .iter()
                .filter_map(|user_id| self.accounts.get(user_id))
                .copied()
                .collect(),
            keyed_operations: keyed,
            reservations: named.chain(due).copied().collect(),
            services: needs.services.iter().filter_map(|id| self.services.get(id)).copied().collect(),
            backlog: Vec::new(),
        }
    }

    pub(super) fn due(&self, user_id: UserId, moment: Moment) -> impl Iterator<Item = &Reservation> {
        self.of_user(user_id).filter(move |reservation| reservation.is_due(moment.now()))
    }

    fn of_user(&self, user_id: UserId) -> impl Iterator<Item = &Reservation> {
        self.reservations
            .iter()
            .filter(move |(key, _)| key.user_id == user_id)
            .map(|(_, reservation)| reservation)
    }

    pub(super) fn apply(&mut self, changes: &Changes) {
        self.accounts.extend(changes.accounts.iter().map(|account| (account.user_id, *account)));
        self.reservations.extend(changes.reservations.iter().map(|r| (r.key, *r)));
        for recorded in &changes.operations {
            let operations = self.operations.entry(recorded.operation.user_id).or_default();
            if let Some(key) = &recorded.operation.idempotency_key {
                self.keys.insert((recorded.operation.user_id, key.clone()), operations.len());
            }
            operations.push(recorded.clone());
        }
        for id in &changes.services_used {
            if let Some(service) = self.services.get_mut(id) {
                service.is_used = true;
            }
        }
    }

    pub(super) fn account_as_of(&self, user_id: UserId, moment: Moment) -> Option<AccountAsOf> {
        let recorded = *self.accounts.get(&user_id)?;
        let has_due = self.due(user_id, moment).next().is_some();
        Some(AccountAsOf { at: moment.now(), recorded, has_due })
    }

    pub(super) fn operations_page(&self, query: &OperationQuery) -> Page<Operation, OperationPosition> {
        let position = |op: &Operation| OperationPosition { amount: op.amount, seq: op.seq };
        let mut rows: Vec<Operation> = self
            .operations
            .get(&query.user_id)
            .into_iter()
            .flatten()
            .map(|recorded| recorded.operation.clone())
            .filter(|op| matches(&query.filter, op))
            .collect();
        let rank = |position: &OperationPosition| match query.sort {
            OperationSort::NewestFirst => (-position.seq, 0),
            OperationSort::OldestFirst => (position.seq, 0),
            OperationSort::LargestFirst => (-position.amount.get(), -position.seq),
            OperationSort::SmallestFirst => (position.amount.get(), position.seq),
        };
        rows.sort_by_key(|op| rank(&position(op)));
        if let Some(after) = &query.after {
            rows.retain(|op| rank(&position(op)) > rank(after));
        }
        rows.truncate(usize::from(query.limit.get()) + 1);
        Page::from_surplus(rows, query.limit, position)
    }

    pub(super) fn reservations_page(
        &self,
        query: &ReservationQuery,
    ) -> Page<Reservation, ReservationPosition> {
        let position = |r: &Reservation| ReservationPosition {
            created_at: r.created_at,
            service_id: r.key.service_id,
            order_id: r.key.order_id,
        };
        let rank = |p: &ReservationPosition| std::cmp::Reverse((p.created_at, p.service_id, p.order_id));
        let mut rows: Vec<Reservation> = self
            .of_user(query.user_id)
            .copied()
            .filter(|reservation| query.state.is_none_or(|state| state == reservation.state))
            .filter(|reservation| query.after.is_none_or(|after| rank(&position(reservation)) > rank(&after)))
            .collect();
        rows.sort_by_key(|reservation| rank(&position(reservation)));
        rows.truncate(usize::from(query.limit.get()) + 1);
        Page::from_surplus(rows, query.limit, position)
    }

    /// Captures and refunds whose time lies in the period.
    pub(super) fn revenue(&self, period: Period) -> Vec<(ServiceId, i128, i128)> {
        use balance_domain::OperationKind::{Capture, Refund};
        let mut sums: BTreeMap<ServiceId, (i128, i128)> = BTreeMap::new();
        for op in self.operations.values().flatten().map(|recorded| &recorded.operation) {
            if let Some(service_id) = op.service_id
                && matches!(op.kind, Capture | Refund)
                && period.contains(op.created_at)
            {
                let sum = sums.entry(service_id).or_default();
                *(if op.kind == Capture { &mut sum.0 } else { &mut sum.1 }) += i128::from(op.amount.get());
            }
        }
        sums.into_iter().map(|(id, (captured, refunded))| (id, captured, refunded)).collect()
    }
}

fn matches(filter: &OperationFilter, op: &Operation) -> bool {
    filter.kind.is_none_or(|kind| kind == op.kind)
        && (filter.service_id.is_none() || filter.service_id == op.service_id)
        && (filter.order_id.is_none() || filter.order_id == op.order_id)
        && filter.from.is_none_or(|from| op.created_at >= from)
        && filter.to.is_none_or(|to| op.created_at < to)
        && filter.min_amount.is_none_or(|amount| op.amount >= amount)
        && filter.max_amount.is_none_or(|amount| op.amount <= amount)
}
