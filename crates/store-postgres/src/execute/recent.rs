//! Accounts as this instance wrote them last, so that most batches need not look into the database first.
//!
//! Nothing here is true by itself: somebody else may have written since. It is what a batch is decided on before anything
//! is known for certain; `optimistic` then has the database confirm all of it in the transaction that writes. A reader has
//! it confirmed by the statement that reads the rest.
//!
//! An account is kept with all of its active reservations. Commands that need more than that (an ended reservation, a new
//! account, a service that nothing was reserved for) do not go this way.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use balance_domain::{
    AccountAsOf, Action, Changes, Command, KnownAccount, LoadedService, Moment, Reservation, ReservationKey,
    Rows, ServiceId, ServiceStatus, Submission, Timestamp, UserId,
    ports::{AccountReads, OptimisticBatches},
    reservations_of,
};
use hashlink::LruCache;
use tokio::time::Instant;

use crate::values::RowVersion;

use super::write::Versions;

/// How long nothing is tried this way after it failed once: twice as long each time, until it succeeds again.
const REST_MIN: Duration = Duration::from_millis(10);

/// The time of one server, by a number. What was learned through a connection to one server says nothing of another: one that
/// took over may have less, and different rows in the same places.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Era(u64);

/// What is known of one user.
pub(super) struct Known {
    account: KnownAccount,
    version: RowVersion,
}

impl Known {
    fn recalled(&self, moment: Moment) -> Recalled {
        Recalled { version: self.version, account: self.account.as_of(moment) }
    }
}

/// What a batch was decided on, taken out: two batches are never decided on the same.
#[derive(Default)]
pub(super) struct Taken {
    known: HashMap<UserId, Known>,
    services: Vec<ServiceId>,
    era: Era,
}

impl Taken {
    /// The rows that the batch is decided on.
    pub(super) fn rows(&self) -> Rows {
        // As it has to be: the write counts those that are.
        let service =
            |id: &ServiceId| LoadedService { id: *id, status: ServiceStatus::Active, is_used: true };
        Rows {
            accounts: self.known.values().map(|known| known.account.account()).collect(),
            keyed_operations: Vec::new(),
            reservations: self.known.values().flat_map(|known| known.account.active()).copied().collect(),
            services: self.services.iter().map(service).collect(),
            backlog: Vec::new(),
        }
    }

    /// The server that all of this is known of.
    pub(super) fn era(&self) -> Era {
        self.era
    }

    /// The services that money is reserved for.
    pub(super) fn services(&self) -> &[ServiceId] {
        &self.services
    }

    /// Which version the account's row had.
    pub(super) fn version(&self, user_id: UserId) -> Option<RowVersion> {
        self.known.get(&user_id).map(|known| known.version)
    }
}

/// What a reader may be told of an account if its row is still of this version.
pub(crate) struct Recalled {
    pub(crate) version: RowVersion,
    pub(crate) account: AccountAsOf,
}

/// What an attempt under locks has seen before it wrote.
pub(super) struct Seen {
    pub(super) era: Option<Era>,
    /// All that it asked for.
    pub(super) accounts: Vec<UserId>,
    /// Of those that exist.
    pub(super) versions: Versions,
    /// By key.
    pub(super) active: Vec<Reservation>,
    pub(super) services: Vec<LoadedService>,
}

/// The accounts that this instance had to do with last.
pub(crate) struct Recent(Mutex<Inner>);

struct Inner {
    accounts: LruCache<UserId, Known>,
    /// Those that may be reserved for and have been before.
    services: HashSet<ServiceId>,
    /// When the server was started that all of this is known of.
    server: Option<Timestamp>,
    era: Era,
    /// Until when, and how long that is in all.
    resting: Option<(Instant, Duration)>,
    rest_max: Duration,
    batches: OptimisticBatches,
    reads: AccountReads,
}

impl Recent {
    /// Keeps so many accounts at most; none with 0.
    pub(crate) fn new(accounts_max: usize, rest_max: Duration) -> Self {
        Self(Mutex::new(Inner {
            accounts: LruCache::new(accounts_max),
            services: HashSet::new(),
            server: None,
            era: Era::default(),
            resting: None,
            rest_max,
            batches: OptimisticBatches::default(),
            reads: AccountReads::default(),
        }))
    }

    /// A connection was made, to a server that was started at this time. If that is another one than before, everything is
    /// forgotten, and an era begins.
    pub(crate) fn connected(&self, started_at: Timestamp) -> Era {
        let mut inner = self.lock();
        if inner.server != Some(started_at) {
            inner.server = Some(started_at);
            inner.era.0 += 1;
            inner.accounts.clear();
            inner.services.clear();
        }
        inner.era
    }

    pub(crate) fn batches(&self) -> OptimisticBatches {
        self.lock().batches
    }

    pub(crate) fn account_reads(&self) -> AccountReads {
        self.lock().reads
    }

    /// What is known of each of these users at this moment, and only of the server that the connection of this era leads to. It does
    /// not count as a use: what is read and never written makes room for what is written.
    pub(crate) fn recall(&self, era: Option<Era>, users: &[UserId], moment: Moment) -> Vec<Option<Recalled>> {
        let inner = self.lock();
        let accounts = (era == Some(inner.era)).then_some(&inner.accounts);
        users.iter().map(|user| Some(accounts?.peek(user)?.recalled(moment))).collect()
    }

    /// Counts accounts that were read, and forgets of those that had to be looked up what was recalled and proved wrong.
    pub(crate) fn have_read(&self, confirmed: usize, looked_up: &[(UserId, Option<RowVersion>)]) {
        let mut inner = self.lock();
        inner.reads.confirmed += confirmed as u64;
        inner.reads.looked_up += looked_up.len() as u64;
        for (user_id, recalled) in looked_up {
            // It may have been learned anew meanwhile.
            if recalled.is_some() && inner.accounts.peek(user_id).map(|known| known.version) == *recalled {
                inner.accounts.remove(user_id);
            }
        }
    }

    /// Tells which submissions can be decided on what is known; `None` while this rests or knows nothing.
    pub(super) fn judge(&self, now: Instant) -> Option<impl Fn(&Submission) -> bool> {
        let inner = self.lock();
        let is_awake = inner.resting.is_none_or(|(until, _)| now >= until) && !inner.accounts.is_empty();
        is_awake.then_some(move |submission: &Submission| {
            submission.commands.iter().all(|command| inner.knows_enough_for(command))
        })
    }

    /// Takes what these submissions, which were judged well, are decided on; `None` if some of it is gone by now.
    pub(super) fn take(&self, submissions: &[Submission]) -> Option<Taken> {
        let mut inner = self.lock();
        let mut taken = Taken { era: inner.era, ..Taken::default() };
        for command in submissions.iter().flat_map(|submission| &submission.commands) {
            for user_id in command.user_ids() {
                if !taken.known.contains_key(&user_id) {
                    let Some(known) = inner.accounts.remove(&user_id) else {
                        inner.put_back(taken);
                        return None;
                    };
                    taken.known.insert(user_id, known);
                }
            }
            if let Command::Money(command) = command
                && let Action::Reserve { reservation, .. } = command.action
            {
                taken.services.push(reservation.service_id);
            }
        }
        taken.services.sort_unstable();
        taken.services.dedup();
        Some(taken)
    }

    /// Nothing became of it, or nobody knows. What is wrong about it is noticed by who next tries.
    pub(super) fn put_back(&self, taken: Taken) {
        self.lock().put_back(taken);
    }

    /// All of it was confirmed and is now as written.
    pub(super) fn confirmed(&self, mut taken: Taken, changes: &Changes, written: &Versions) {
        for account in &changes.accounts {
            let known = taken.known.remove(&account.user_id);
            let Some(version) = written.get(&account.user_id) else { continue };
            let active = known.map(|known| known.account.into_active()).unwrap_or_default();
            if let Some(known) = KnownAccount::of(*account, active, &changes.reservations) {
                taken.known.insert(account.user_id, Known { account: known, version: *version });
            }
        }
        let mut inner = self.lock();
        inner.resting = None;
        inner.batches.confirmed += 1;
        inner.put_back(taken);
    }

    /// It failed: somebody else writes the same accounts, or keys and reservations come twice. Tried again after a rest.
    pub(super) fn rest(&self, now: Instant) {
        let mut inner = self.lock();
        let wait = inner.resting.map_or(REST_MIN, |(_, wait)| wait * 2).min(inner.rest_max);
        inner.resting = Some((now + wait, wait));
        inner.batches.repeated += 1;
    }

    /// Learns what an attempt under locks has read and written. What was remembered of its accounts stays where it turned
    /// out to be right.
    pub(super) fn learn(&self, seen: &Seen, changes: &Changes, written: &Versions) {
        let mut inner = self.lock();
        if seen.era != Some(inner.era) {
            return;
        }
        let mut right = Taken { era: inner.era, ..Taken::default() };
        for user_id in &seen.accounts {
            let Some(known) = inner.accounts.remove(user_id) else { continue };
            if seen.versions.get(user_id) == Some(&known.version) {
                right.known.insert(*user_id, known);
            }
        }
        for account in &changes.accounts {
            let user_id = account.user_id;
            let active = right.known.remove(&user_id).map(|known| known.account.into_active());
            let Some(version) = written.get(&user_id) else { continue };
            let active = active.unwrap_or_else(|| reservations_of(&seen.active, user_id).to_vec());
            if let Some(known) = KnownAccount::of(*account, active, &changes.reservations) {
                inner.accounts.insert(user_id, Known { account: known, version: *version });
            }
        }
        inner.put_back(right);
        for service in &seen.services {
            let is_used = service.is_used || changes.services_used.contains(&service.id);
            if is_used && service.status == ServiceStatus::Active {
                inner.services.insert(service.id);
            } else {
                inner.services.remove(&service.id);
            }
        }
    }

    /// Nobody leaves it half changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn put_back(&mut self, taken: Taken) {
        if taken.era == self.era {
            for (user_id, known) in taken.known {
                self.accounts.insert(user_id, known);
            }
        }
    }

    /// Whether the command would be accepted and written, as far as can be told. Only what is written is confirmed, so
    /// a command that may be accepted without a trace does not go this way.
    fn knows_enough_for(&self, command: &Command) -> bool {
        let has = |key: ReservationKey| {
            self.accounts.peek(&key.user_id).is_some_and(|known| known.account.has(key))
        };
        match command {
            Command::Money(money) => match money.action {
                Action::Deposit { .. } | Action::Withdraw { .. } | Action::Transfer { .. } => {
                    command.user_ids().all(|user_id| self.accounts.contains_key(&user_id))
                }
                Action::Reserve { reservation, .. } => {
                    self.accounts.contains_key(&reservation.user_id)
                        && self.services.contains(&reservation.service_id)
                }
                Action::Capture { reservation, .. } | Action::Release { reservation } => has(reservation),
                Action::Refund { .. } => false,
            },
            Command::Extend { reservation, .. } => has(*reservation),
            Command::Expire { .. } | Command::Close { .. } => false,
        }
    }
}

#[cfg(test)]
mod tests;
