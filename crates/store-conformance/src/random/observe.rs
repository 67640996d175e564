//! Everything that a reader can learn of one seed's users and services, in comparable pieces.

use std::{fmt::Debug, sync::Arc};

use balance_domain::{
    Command, IdempotencyKey, OperationFilter, OperationKind, OperationQuery, OperationSort, Period,
    ReservationKey, ReservationQuery, ReservationState, Timestamp, UserId, ports::RepoError,
};

use super::{
    namespace::Namespace,
    script::{Script, Step},
};
use crate::{
    Store,
    teller::{amount, at, limit},
};

/// One question and its answer, in words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Observed {
    pub(super) question: String,
    pub(super) answer: String,
}

/// Asks a store about one seed and writes the answers down.
pub(super) struct Observer<'a> {
    store: &'a Arc<dyn Store>,
    ids: Namespace,
    seen: Vec<Observed>,
}

/// What is read in the middle of a history: everything that depends on the time of asking.
pub(super) async fn glance(store: &Arc<dyn Store>, seed: u64) -> Vec<Observed> {
    let mut observer = Observer { store, ids: Namespace::of(seed), seen: Vec::new() };
    observer.accounts().await;
    observer.reservations().await;
    observer.due_users().await;
    observer.seen
}

/// What is read at the end of a history.
pub(super) async fn inspect(store: &Arc<dyn Store>, script: &Script) -> Vec<Observed> {
    let mut observer = Observer { store, ids: Namespace::of(script.seed), seen: Vec::new() };
    observer.accounts().await;
    observer.reservations().await;
    observer.due_users().await;
    for user in observer.ids.users() {
        observer.history(user).await;
    }
    for (user, key) in keys(script) {
        let found = store.operation_by_key(user, key.clone()).await;
        observer.note(format!("operation of user {user} by key {key}"), &found);
    }
    observer.revenue(script.end()).await;
    observer.services().await;
    observer.seen
}

impl Observer<'_> {
    fn note<T: Debug>(&mut self, question: String, answer: &Result<T, RepoError>) {
        self.seen.push(Observed { question, answer: format!("{answer:?}") });
    }

    async fn accounts(&mut self) {
        let answer = self.store.accounts(self.ids.users()).await;
        self.note("accounts".to_owned(), &answer);
        // A store may go other ways for one user than for several.
        for user_id in self.ids.users() {
            let answer = self.store.accounts(vec![user_id]).await;
            self.note(format!("account of user {user_id}"), &answer);
        }
    }

    async fn reservations(&mut self) {
        let states = [
            None,
            Some(ReservationState::Active),
            Some(ReservationState::Captured),
            Some(ReservationState::Released),
            Some(ReservationState::Expired),
        ];
        for user_id in self.ids.users() {
            for state in states {
                let mut query = ReservationQuery { user_id, state, after: None, limit: limit(3) };
                loop {
                    let page = self.store.reservations(query.clone()).await;
                    self.note(format!("reservations {query:?}"), &page);
                    query.after = page.ok().and_then(|page| page.next);
                    if query.after.is_none() {
                        break;
                    }
                }
            }
        }
        for user_id in self.ids.users() {
            for (service_id, order_id) in self.ids.services().into_iter().zip(Namespace::orders()) {
                let key = ReservationKey { user_id, service_id, order_id };
                let answer = self.store.reservation(key).await;
                self.note(format!("reservation {key:?}"), &answer);
            }
        }
    }

    /// Other seeds have due users as well: of this one's only who and in which order, equals aside.
    async fn due_users(&mut self) {
        let mut answer = self.store.due_users(u32::MAX / 2).await;
        if let Ok(users) = &mut answer {
            users.retain(|user| self.ids.owns_user(*user));
            users.sort_unstable();
        }
        self.note("due users".to_owned(), &answer);
    }

    async fn history(&mut self, user_id: UserId) {
        let sorts = [
            OperationSort::NewestFirst,
            OperationSort::OldestFirst,
            OperationSort::LargestFirst,
            OperationSort::SmallestFirst,
        ];
        for sort in sorts {
            self.pages(user_id, sort, OperationFilter::default(), 7).await;
        }
        for (filter, sort) in self.filters().into_iter().zip(sorts.into_iter().cycle()) {
            self.pages(user_id, sort, filter, 3).await;
        }
    }

    fn filters(&self) -> Vec<OperationFilter> {
        let none = OperationFilter::default;
        let edge = at("2026-11-30T21:00:00Z");
        vec![
            OperationFilter { service_id: self.ids.services().first().copied(), ..none() },
            OperationFilter { order_id: Some(Namespace::orders()[0]), ..none() },
            OperationFilter { kind: Some(OperationKind::Expire), ..none() },
            OperationFilter { kind: Some(OperationKind::Deposit), min_amount: Some(amount(100)), ..none() },
            OperationFilter { from: Some(edge), ..none() },
            OperationFilter { to: Some(edge), max_amount: Some(amount(1000)), ..none() },
        ]
    }

    async fn pages(&mut self, user_id: UserId, sort: OperationSort, filter: OperationFilter, rows: u16) {
        let mut query = OperationQuery { user_id, filter, sort, after: None, limit: limit(rows) };
        loop {
            let page = self.store.operations(query.clone()).await;
            self.note(format!("operations {query:?}"), &page);
            query.after = page.ok().and_then(|page| page.next);
            if query.after.is_none() {
                return;
            }
        }
    }

    async fn revenue(&mut self, end: Timestamp) {
        let edge = at("2026-11-30T21:00:00Z");
        let (first, last) = (at("2000-01-01T00:00:00Z"), Timestamp::MAX);
        for (start, end) in [(first, last), (first, edge), (edge, last), (first, end)] {
            let mut lines = self.store.revenue(Period { start, end }).await;
            if let Ok(lines) = &mut lines {
                lines.retain(|line| self.ids.owns_service(line.service_id));
                lines.sort_by_key(|line| line.service_id);
            }
            self.note(format!("revenue from {start} to {end}"), &lines);
        }
    }

    async fn services(&mut self) {
        for id in self.ids.services() {
            let service = self.store.service(id).await;
            self.note(format!("service {id}"), &service);
        }
    }
}

/// Every key of the history, with everybody who may have used it.
fn keys(script: &Script) -> Vec<(UserId, IdempotencyKey)> {
    let mut keys = Vec::new();
    for step in &script.steps {
        let Step::Submit { submissions, .. } = step else { continue };
        for command in submissions.iter().flat_map(|submission| &submission.commands) {
            if let Command::Money(command) = command {
                keys.push((command.action.user_id(), command.key.clone()));
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}
