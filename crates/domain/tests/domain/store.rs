//! A store in memory that does what every store does: load what the batch names and what is due, decide, write
//! the changes. It checks on the way that changes stay within what a store has locked.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use balance_domain::{
    Accepted, Account, Audit, AuditSummary, Changes, IdempotencyKey, LoadedService, Needs, RecordedOperation,
    Rejection, Reservation, ReservationKey, Rows, ServiceId, ServiceStatus, Submission, Timestamp, UserId,
    decide_batch,
    ports::{LedgerSink, Reply, SubmitError},
};

use crate::script::{moment, service};

/// A reply that can be compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Accepted(Vec<Accepted>),
    Rejected(usize, Rejection),
    Failed(String),
}

impl From<Reply> for Answer {
    fn from(reply: Reply) -> Self {
        match reply {
            Ok(accepted) => Self::Accepted(accepted),
            Err(SubmitError::Rejected { index, rejection }) => Self::Rejected(index, rejection),
            Err(error @ (SubmitError::Failed(_) | SubmitError::Postponed(_))) => {
                Self::Failed(error.to_string())
            }
        }
    }
}

/// All rows of a ledger.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Store {
    pub(crate) accounts: BTreeMap<UserId, Account>,
    pub(crate) operations: BTreeMap<(UserId, i64), RecordedOperation>,
    pub(crate) reservations: BTreeMap<ReservationKey, Reservation>,
    pub(crate) services: BTreeMap<ServiceId, LoadedService>,
    keys: BTreeMap<(UserId, IdempotencyKey), i64>,
}

impl Store {
    /// Services 1 and 2 take reservations, 3 is retired, no other exists.
    pub(crate) fn new() -> Self {
        let mut store = Self::default();
        for (id, status) in
            [(1, ServiceStatus::Active), (2, ServiceStatus::Active), (3, ServiceStatus::Retired)]
        {
            let id = service(id);
            store.services.insert(id, LoadedService { id, status, is_used: false });
        }
        store
    }

    /// Runs one batch.
    pub(crate) fn execute(&mut self, submissions: &[Submission], now: Timestamp) -> Vec<Answer> {
        let needs = Needs::of(submissions);
        let decided = decide_batch(self.load(&needs, now), submissions, moment(now));
        assert_eq!(decided.replies.len(), submissions.len(), "one reply per submission");
        self.write(decided.changes, &needs);
        decided.replies.into_iter().map(Answer::from).collect()
    }

    /// The rows that a batch must see. A reservation that is named and due comes twice.
    pub(crate) fn load(&self, needs: &Needs, now: Timestamp) -> Rows {
        let named = needs.reservations.iter().filter_map(|key| self.reservations.get(key));
        let due =
            self.reservations.values().filter(|r| r.is_due(now) && needs.accounts.contains(&r.key.user_id));
        let seq = |(user_id, key): &(UserId, IdempotencyKey)| {
            Some((*user_id, *self.keys.get(&(*user_id, key.clone()))?))
        };
        Rows {
            accounts: needs.accounts.iter().filter_map(|user| self.accounts.get(user).copied()).collect(),
            keyed_operations: needs
                .keys
                .iter()
                .filter_map(seq)
                .map(|at| self.operations[&at].clone())
                .collect(),
            reservations: named.chain(due).copied().collect(),
            services: needs.services.iter().filter_map(|id| self.services.get(id).copied()).collect(),
            backlog: Vec::new(),
        }
    }

    fn write(&mut self, changes: Changes, needs: &Needs) {
        let mut written = BTreeSet::new();
        for account in changes.accounts {
            let user_id = account.user_id;
            assert!(written.insert(user_id), "account {user_id} comes twice");
            assert!(needs.accounts.contains(&user_id), "account {user_id} was not locked");
            let is_new = self.accounts.insert(user_id, account).is_none();
            assert!(!is_new || needs.creates.contains(&user_id), "account {user_id} appeared unasked");
        }
        let mut written = BTreeSet::new();
        for reservation in changes.reservations {
            assert!(written.insert(reservation.key), "{:?} comes twice", reservation.key);
            self.reservations.insert(reservation.key, reservation);
        }
        for recorded in changes.operations {
            let (user_id, seq) = (recorded.operation.user_id, recorded.operation.seq);
            if let Some(key) = recorded.operation.idempotency_key.clone() {
                assert_eq!(self.keys.insert((user_id, key), seq), None, "a key is answered once");
            }
            assert_eq!(self.operations.insert((user_id, seq), recorded), None, "seq is given once");
        }
        let mut written = BTreeSet::new();
        for id in changes.services_used {
            assert!(written.insert(id), "service {id} comes twice");
            self.services.get_mut(&id).unwrap().is_used = true;
        }
        for user_id in changes.closed {
            self.erase_comments(user_id);
        }
    }

    fn erase_comments(&mut self, user_id: UserId) {
        let history = self.operations.values_mut().filter(|recorded| recorded.operation.user_id == user_id);
        history.for_each(|recorded| recorded.operation.comment = None);
    }

    /// The books as the auditor sees them.
    pub(crate) fn audit(&self) -> AuditSummary {
        let audit = Arc::new(Audit::default());
        audit.begin(self.accounts.len() as u64);
        for account in self.accounts.values() {
            audit.account(*account);
            for recorded in self.history(account.user_id) {
                audit.operation(recorded.clone());
            }
            let own = self.reservations.values().filter(|r| r.key.user_id == account.user_id);
            own.for_each(|reservation| audit.reservation(*reservation));
        }
        audit.finish()
    }

    /// A user's operations by `seq`.
    pub(crate) fn history(&self, user_id: UserId) -> impl Iterator<Item = &RecordedOperation> {
        self.operations.range((user_id, i64::MIN)..=(user_id, i64::MAX)).map(|(_, recorded)| recorded)
    }

    /// The operations that someone asked for.
    pub(crate) fn history_of_requests(&self) -> Vec<&RecordedOperation> {
        self.operations.values().filter(|recorded| recorded.fingerprint.is_some()).collect()
    }
}
