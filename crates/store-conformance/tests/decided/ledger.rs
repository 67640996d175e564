//! The ledger port: the script that every store runs, on maps. Load, decide, write.

use std::{collections::BTreeSet, sync::Arc};

use async_trait::async_trait;
use balance_domain::{
    AccountAsOf, Changes, DryRun, IdempotencyKey, LoadedService, Moment, Needs, Operation, OperationPosition,
    OperationQuery, OperationSort, Page, Reservation, ReservationKey, ReservationPosition, ReservationQuery,
    ReservationSearch, ReservationState, Rows, SearchPosition, SearchSort, Submission, Timestamp, UserId,
    decide_batch_by, dry_run,
    ports::{BalanceRepo, Clock, LedgerSink, Reply, RepoError},
};

use crate::tables::{DecidedStore, Tables};

impl Tables {
    fn load(&self, needs: &Needs, moment: Moment) -> Rows {
        let of_accounts = needs.accounts.iter().flat_map(|user| self.reservations_of(*user));
        let due = of_accounts.filter(|reservation| reservation.is_due(moment.now()));
        let named = needs.reservations.iter().filter_map(|key| self.reservations.get(key));
        let keyed = needs.keys.iter().filter_map(|scope| Some((scope.0, *self.keys.get(scope)?)));
        let services = needs.services.iter().filter_map(|id| self.services.get(id));
        Rows {
            accounts: needs.accounts.iter().filter_map(|user| self.accounts.get(user)).copied().collect(),
            keyed_operations: keyed.map(|(user, place)| self.operations[&user][place].clone()).collect(),
            reservations: named.chain(due).copied().collect(),
            services: services
                .map(|service| LoadedService {
                    id: service.id,
                    status: service.status,
                    is_used: self.used.contains_key(&service.id),
                })
                .collect(),
            backlog: Vec::new(),
        }
    }

    fn write(&mut self, changes: Changes) {
        for recorded in changes.operations {
            let user_id = recorded.operation.user_id;
            let history = self.operations.entry(user_id).or_default();
            assert_eq!(usize::try_from(recorded.operation.seq).unwrap(), history.len() + 1);
            if let Some(key) = &recorded.operation.idempotency_key {
                let earlier = self.keys.insert((user_id, key.clone()), history.len());
                assert_eq!(earlier, None, "a key is written once");
            }
            history.push(recorded);
        }
        self.accounts.extend(changes.accounts.into_iter().map(|account| (account.user_id, account)));
        self.reservations.extend(changes.reservations.into_iter().map(|r| (r.key, r)));
        self.used.extend(changes.services_used.into_iter().map(|id| (id, true)));
        for user_id in changes.closed {
            for recorded in self.operations.entry(user_id).or_default() {
                recorded.operation.comment = None;
            }
        }
    }

    fn as_of(&self, user_id: UserId, moment: Moment) -> Option<AccountAsOf> {
        let recorded = *self.accounts.get(&user_id)?;
        let has_due = self.reservations_of(user_id).any(|reservation| reservation.is_due(moment.now()));
        Some(AccountAsOf { at: moment.now(), recorded, has_due })
    }
}

#[async_trait]
impl BalanceRepo for DecidedStore {
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        let mut tables = self.tables();
        let ahead = if submissions.len() > 1 { self.batches_ahead } else { 0 };
        let now = Timestamp::from_micros(self.clock.now().micros() + ahead).unwrap();
        let moment = tables.closed(Moment::new(now, Moment::TOLERANCE));
        let rows = tables.load(&Needs::of(&submissions), moment);
        let decided = decide_batch_by(self.decider, rows, &submissions, moment);
        tables.list(&decided.changes);
        tables.write(decided.changes);
        Ok(decided.replies)
    }

    async fn accounts(&self, user_ids: Vec<UserId>) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        let tables = self.tables();
        let moment = self.clock.moment()?;
        Ok(user_ids.into_iter().map(|user_id| tables.as_of(user_id, moment)).collect())
    }

    async fn reservation(&self, key: ReservationKey) -> Result<Option<Reservation>, RepoError> {
        Ok(self.tables().reservations.get(&key).copied())
    }

    async fn reservations(
        &self,
        query: ReservationQuery,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError> {
        let tables = self.tables();
        let place = |r: &Reservation| (r.created_at, r.key.service_id, r.key.order_id);
        let mut rows: Vec<Reservation> = tables
            .reservations_of(query.user_id)
            .copied()
            .filter(|reservation| query.state.is_none_or(|state| state == reservation.state))
            .filter(|reservation| {
                query.after.is_none_or(|a| place(reservation) < (a.created_at, a.service_id, a.order_id))
            })
            .collect();
        rows.sort_by_key(place);
        rows.reverse();
        Ok(Page::from_surplus(rows, query.limit, |r| ReservationPosition {
            created_at: r.created_at,
            service_id: r.key.service_id,
            order_id: r.key.order_id,
        }))
    }

    async fn operations(
        &self,
        query: OperationQuery,
    ) -> Result<Page<Operation, OperationPosition>, RepoError> {
        let tables = self.tables();
        let all = tables.operations.get(&query.user_id).into_iter().flatten();
        let mut rows: Vec<Operation> = all.map(|recorded| recorded.operation.clone()).collect();
        let filter = &query.filter;
        rows.retain(|row| {
            filter.kind.is_none_or(|kind| row.kind == kind)
                && filter.service_id.is_none_or(|id| row.service_id == Some(id))
                && filter.order_id.is_none_or(|id| row.order_id == Some(id))
                && filter.from.is_none_or(|from| row.created_at >= from)
                && filter.to.is_none_or(|to| row.created_at < to)
                && filter.min_amount.is_none_or(|min| row.amount >= min)
                && filter.max_amount.is_none_or(|max| row.amount <= max)
        });
        let by_amount = matches!(query.sort, OperationSort::LargestFirst | OperationSort::SmallestFirst);
        let place = |amount, seq| (if by_amount { Some(amount) } else { None }, seq);
        rows.sort_by_key(|row| place(row.amount, row.seq));
        let is_down = matches!(query.sort, OperationSort::NewestFirst | OperationSort::LargestFirst);
        if is_down {
            rows.reverse();
        }
        if let Some(after) = query.after {
            let after = place(after.amount, after.seq);
            rows.retain(|row| {
                let here = place(row.amount, row.seq);
                if is_down { here < after } else { here > after }
            });
        }
        Ok(Page::from_surplus(rows, query.limit, |row| OperationPosition {
            amount: row.amount,
            seq: row.seq,
        }))
    }

    async fn dry_run(&self, submissions: Vec<Submission>) -> Result<DryRun, RepoError> {
        let moment = self.tables().closed(self.clock.moment()?);
        Ok(dry_run(self.tables().load(&Needs::of(&submissions), moment), &submissions, moment))
    }

    async fn search_reservations(
        &self,
        search: ReservationSearch,
    ) -> Result<Page<Reservation, SearchPosition>, RepoError> {
        let place = |row: &Reservation| {
            let SearchPosition { at, user_id, service_id, order_id } =
                SearchPosition::behind(row, search.sort);
            (at, user_id, service_id, order_id)
        };
        let is_after = |row: &Reservation, after: SearchPosition| {
            let after = (after.at, after.user_id, after.service_id, after.order_id);
            if search.sort == SearchSort::NewestFirst { place(row) < after } else { place(row) > after }
        };
        let now = self.clock.moment()?.now();
        let mut rows: Vec<Reservation> = self.tables().reservations.values().copied().collect();
        rows.retain(|row| {
            row.state == ReservationState::Active
                && row.expires_at > now
                && search.service_id.is_none_or(|id| id == row.key.service_id)
                && search.order_id.is_none_or(|id| id == row.key.order_id)
                && search.expires_before.is_none_or(|before| row.expires_at < before)
                && search.after.is_none_or(|after| is_after(row, after))
        });
        rows.sort_by_key(place);
        if search.sort == SearchSort::NewestFirst {
            rows.reverse();
        }
        Ok(Page::from_surplus(rows, search.limit, |row| SearchPosition::behind(row, search.sort)))
    }

    async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError> {
        let tables = self.tables();
        let place = tables.keys.get(&(user_id, key));
        Ok(place.map(|place| tables.operations[&user_id][*place].operation.clone()))
    }

    async fn due_users(&self, users_max: u32) -> Result<Vec<UserId>, RepoError> {
        let now = self.clock.now();
        let tables = self.tables();
        let mut due: Vec<&Reservation> = tables.reservations.values().filter(|r| r.is_due(now)).collect();
        due.sort_by_key(|reservation| reservation.expires_at);
        let mut seen = BTreeSet::new();
        let mut users: Vec<UserId> = due.into_iter().map(|reservation| reservation.key.user_id).collect();
        users.retain(|user| seen.insert(*user));
        users.truncate(users_max.try_into().unwrap());
        Ok(users)
    }

    async fn scan(&self, sink: Arc<dyn LedgerSink>) -> Result<(), RepoError> {
        let tables = self.tables();
        sink.begin(tables.accounts.len().try_into().unwrap());
        for account in tables.accounts.values() {
            sink.account(*account);
            for recorded in tables.operations.get(&account.user_id).into_iter().flatten() {
                sink.operation(recorded.clone());
            }
            for reservation in tables.reservations_of(account.user_id) {
                sink.reservation(*reservation);
            }
        }
        Ok(())
    }

    async fn ready(&self) -> Result<(), RepoError> {
        Ok(())
    }
}
