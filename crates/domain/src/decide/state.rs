//! The rows of a batch in memory: what was loaded, plus what was decided so far.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{
    Account, Comment, Fact, Fingerprint, IdempotencyKey, Moment, MoneyCommand, Receipt, RecordedOperation,
    Reservation, ReservationKey, ServiceId, ServiceStatus, UserId,
    decide::{Needs, posting},
};

/// A service as a batch sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadedService {
    /// The service.
    pub id: ServiceId,
    /// Whether it takes new reservations.
    pub status: ServiceStatus,
    /// Whether a reservation was ever made for it.
    pub is_used: bool,
}

/// A key that was answered before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The meaning of the first request, but for its comment.
    pub fingerprint: Fingerprint,
    /// Its comment; `None` also once it was erased.
    pub comment: Option<Comment>,
    /// Its receipt.
    pub receipt: Receipt,
}

impl Answered {
    /// Whether the request, which has this fingerprint, is the first one again. The fingerprint says whether there
    /// was a comment; of one that was erased nothing more is known, so any will do.
    pub(super) fn has_meaning_of(&self, command: &MoneyCommand, fingerprint: Fingerprint) -> bool {
        self.fingerprint == fingerprint && (self.comment.is_none() || self.comment == command.comment)
    }
}

/// How many reservations expire in one transaction at most, so that no one waits for the backlog of another.
pub const EXPIRIES_MAX: usize = 2_000;

/// What a store loaded under its locks: the rows of [`Needs`], and the due reservations of the accounts, of which it
/// loads [`EXPIRIES_MAX`] at most, of each account the earliest deadlines first. Rows that do not exist are left out; a
/// row may come twice (named and due). Order does not matter.
#[derive(Clone, Debug, Default)]
pub struct Rows {
    /// Accounts.
    pub accounts: Vec<Account>,
    /// The operations that answer for the keys.
    pub keyed_operations: Vec<RecordedOperation>,
    /// Reservations, named ones and due ones.
    pub reservations: Vec<Reservation>,
    /// Services.
    pub services: Vec<LoadedService>,
    /// Users with more due reservations than were loaded: only the expiry of those that were is decided now.
    pub backlog: Vec<UserId>,
}

/// What is to be written. Rows are whole and final; a row comes once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Accounts to write over.
    pub accounts: Vec<Account>,
    /// Reservations to insert or write over.
    pub reservations: Vec<Reservation>,
    /// Operations to append, in order.
    pub operations: Vec<RecordedOperation>,
    /// Services to mark as used.
    pub services_used: Vec<ServiceId>,
    /// Users whose free text is to be erased, operations of this very batch included.
    pub closed: Vec<UserId>,
    /// What happened and is no operation, in order.
    pub facts: Vec<Fact>,
}

/// The rows that decisions are made on.
#[derive(Clone, Debug, Default)]
pub struct State {
    accounts: HashMap<UserId, Account>,
    answered: HashMap<(UserId, IdempotencyKey), Answered>,
    reservations: HashMap<ReservationKey, Reservation>,
    services: HashMap<ServiceId, LoadedService>,
    /// Users who have a due reservation that their account does not hold the money of. See [`State::account`].
    damaged: HashSet<UserId>,
}

impl State {
    /// Takes the loaded rows and expires what is due at this moment, each at its own deadline, the earliest first.
    /// The second value is what that changed.
    ///
    /// Never panics: one user's damaged rows must not take the neighbours' commands with them.
    pub fn new(rows: Rows, moment: Moment) -> (Self, Changes) {
        let mut state = Self {
            accounts: rows.accounts.into_iter().map(|account| (account.user_id, account)).collect(),
            answered: rows.keyed_operations.iter().filter_map(answered).collect(),
            reservations: rows.reservations.into_iter().map(|r| (r.key, r)).collect(),
            services: rows.services.into_iter().map(|service| (service.id, service)).collect(),
            damaged: HashSet::new(),
        };
        let changes = state.expire_due(moment);
        (state, changes)
    }

    /// Reserves room for the answers of `commands`, so that the table of keys, the largest, does not grow step by
    /// step.
    pub(super) fn reserve(&mut self, commands_count: usize) {
        self.answered.reserve(commands_count);
    }

    fn expire_due(&mut self, moment: Moment) -> Changes {
        let mut due: Vec<Reservation> =
            self.reservations.values().filter(|r| r.is_due(moment.now())).copied().collect();
        due.sort_unstable_by_key(|reservation| (reservation.expires_at, reservation.key));
        let mut changes = Changes::default();
        let mut accounts = BTreeMap::new();
        for reservation in due {
            let user_id = reservation.key.user_id;
            let mut account = self.accounts.get(&user_id).copied().unwrap_or(Account::unopened(user_id));
            let Some((reservation, operation)) = posting::expire(&mut account, reservation, moment) else {
                self.damaged.insert(user_id);
                continue;
            };
            self.accounts.insert(user_id, account);
            self.reservations.insert(reservation.key, reservation);
            accounts.insert(user_id, account);
            changes.operations.push(operation);
            changes.reservations.push(reservation);
        }
        changes.accounts = accounts.into_values().collect();
        changes
    }

    /// The user's account; an unopened one if there is none.
    ///
    /// # Panics
    ///
    /// If a due reservation of the user could not be expired: stored rows contradict each other. The batch turns
    /// that into a failure of the submissions of this one user.
    pub fn account(&self, user_id: UserId) -> Account {
        assert!(
            !self.damaged.contains(&user_id),
            "user {user_id} does not hold the money of a due reservation"
        );
        self.accounts.get(&user_id).copied().unwrap_or(Account::unopened(user_id))
    }

    /// What this key of this user was answered.
    pub fn answered(&self, user_id: UserId, key: &IdempotencyKey) -> Option<&Answered> {
        self.answered.get(&(user_id, key.clone()))
    }

    /// A reservation.
    pub fn reservation(&self, key: ReservationKey) -> Option<Reservation> {
        self.reservations.get(&key).copied()
    }

    /// A service.
    pub fn service(&self, id: ServiceId) -> Option<LoadedService> {
        self.services.get(&id).copied()
    }

    /// A copy of the rows that are needed: what an all-or-nothing submission is tried on.
    pub(super) fn excerpt(&self, needs: &Needs) -> Self {
        fn only<'a, K: Clone + Eq + std::hash::Hash + 'a, V: Clone>(
            rows: &HashMap<K, V>,
            keys: impl IntoIterator<Item = &'a K>,
        ) -> HashMap<K, V> {
            keys.into_iter().filter_map(|key| Some((key.clone(), rows.get(key)?.clone()))).collect()
        }
        Self {
            accounts: only(&self.accounts, &needs.accounts),
            answered: only(&self.answered, &needs.keys),
            reservations: only(&self.reservations, &needs.reservations),
            services: only(&self.services, &needs.services),
            damaged: self.damaged.clone(),
        }
    }

    /// Makes a decision part of the state that the next command is decided on.
    pub fn apply(&mut self, changes: &Changes) {
        self.accounts.extend(changes.accounts.iter().map(|account| (account.user_id, *account)));
        self.reservations.extend(changes.reservations.iter().map(|r| (r.key, *r)));
        self.answered.extend(changes.operations.iter().filter_map(answered));
        for id in &changes.services_used {
            if let Some(service) = self.services.get_mut(id) {
                service.is_used = true;
            }
        }
        for user_id in &changes.closed {
            self.erase_comments(*user_id);
        }
    }

    /// A repeat after the closing is answered as if the receipt came from the store: without the free text.
    fn erase_comments(&mut self, user_id: UserId) {
        for ((owner, _), answered) in &mut self.answered {
            if *owner != user_id {
                continue;
            }
            answered.comment = None;
            if let Receipt::Operation(operation) = &mut answered.receipt {
                operation.comment = None;
            }
        }
    }
}

fn answered(recorded: &RecordedOperation) -> Option<((UserId, IdempotencyKey), Answered)> {
    let scope = (recorded.operation.user_id, recorded.operation.idempotency_key.clone()?);
    let comment = recorded.operation.comment.clone();
    Some((scope, Answered { fingerprint: recorded.fingerprint?, comment, receipt: recorded.receipt() }))
}
