//! Accounts as this instance wrote them last, so that most batches need not look into the database first.
//!
//! Nothing here is true by itself: somebody else may have written since. A batch that is decided on it has the database
//! confirm every account, by its version, in the statement that writes. A reader has it confirmed by the statement that
//! reads the others.
//!
//! An account is kept with all of its active reservations, or not at all.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
};

use balance_domain::{
    AccountAsOf, Changes, KnownAccount, LoadedService, Moment, Needs, Reservation, ServiceId, ServiceStatus,
    UserId,
    ports::{AccountReads, OperationTotal, OperationTotals},
    reservations_of,
};
use hashlink::LruCache;

use crate::values::RowVersion;

/// Which version the row of an account has.
pub(crate) type Versions = HashMap<UserId, RowVersion>;

/// An account with its active reservations, as the row of this version has it.
#[derive(Clone, Debug)]
pub(crate) struct CachedAccount {
    pub(crate) account: KnownAccount,
    pub(crate) version: RowVersion,
}

impl CachedAccount {
    /// The account at this moment, if its row is still of this version.
    pub(crate) fn as_of(&self, moment: Moment) -> (RowVersion, AccountAsOf) {
        (self.version, self.account.as_of(moment))
    }
}

/// What a committed batch has done.
pub(crate) struct Written<'a> {
    pub(crate) changes: &'a Changes,
    /// The versions that it was decided on.
    pub(crate) before: &'a Versions,
    /// The versions that its accounts have now.
    pub(crate) after: &'a Versions,
    /// Reservations that were read for it and were active, by key.
    pub(crate) active: &'a [Reservation],
    /// Services that were confirmed to take reservations.
    pub(crate) services: &'a [ServiceId],
}

/// The accounts that this instance wrote last, the least recently used evicted first.
pub(crate) struct AccountCache(Mutex<Inner>);

struct Inner {
    accounts: LruCache<UserId, CachedAccount>,
    /// Those that take reservations and have been reserved for.
    services: HashSet<ServiceId>,
    reads: AccountReads,
    operations: OperationTotals,
}

impl AccountCache {
    /// Keeps at most as many accounts; none with 0.
    pub(crate) fn new(accounts_max: usize) -> Self {
        Self(Mutex::new(Inner {
            accounts: LruCache::new(accounts_max),
            services: HashSet::new(),
            reads: AccountReads::default(),
            operations: OperationTotals::default(),
        }))
    }

    /// What is cached of the accounts and services that a batch names.
    pub(crate) fn of_batch(&self, needs: &Needs) -> (HashMap<UserId, CachedAccount>, Vec<ServiceId>) {
        let mut inner = self.lock();
        let accounts = needs.accounts.iter();
        let accounts = accounts.filter_map(|user| Some((*user, inner.accounts.get(user)?.clone()))).collect();
        let services = needs.services.iter().filter(|id| inner.services.contains(*id)).copied().collect();
        (accounts, services)
    }

    /// What is cached of each of these users. It does not count as a use: what is read and never written makes room for
    /// what is written.
    pub(crate) fn of_readers<T>(
        &self,
        users: &[UserId],
        read: impl Fn(&CachedAccount) -> T,
    ) -> Vec<Option<T>> {
        let inner = self.lock();
        users.iter().map(|user| inner.accounts.peek(user).map(&read)).collect()
    }

    /// Counts accounts that were read, and evicts those that had to be looked up and are still cached as they were when
    /// that proved wrong.
    pub(crate) fn have_read(&self, confirmed: usize, looked_up: &[(UserId, Option<RowVersion>)]) {
        let mut inner = self.lock();
        inner.reads.confirmed += confirmed as u64;
        inner.reads.looked_up += looked_up.len() as u64;
        for (user, cached) in looked_up {
            if cached.is_some() && inner.version(*user) == *cached {
                inner.accounts.remove(user);
            }
        }
    }

    pub(crate) fn account_reads(&self) -> AccountReads {
        self.lock().reads
    }

    /// What was committed, by kind.
    pub(crate) fn operations(&self) -> Vec<OperationTotal> {
        self.lock().operations.all()
    }

    /// Evicts what a snapshot of these accounts and services has proved stale.
    pub(crate) fn compare(
        &self,
        found: impl IntoIterator<Item = (UserId, Option<RowVersion>)>,
        services: &[ServiceId],
        loaded: &[LoadedService],
    ) {
        let mut inner = self.lock();
        for (user, version) in found {
            if inner.version(user).is_some_and(|cached| version != Some(cached)) {
                inner.accounts.remove(&user);
            }
        }
        for id in services {
            let is_fit = |service: &LoadedService| service.is_used && service.status == ServiceStatus::Active;
            if loaded.iter().any(|service| service.id == *id && is_fit(service)) {
                inner.services.insert(*id);
            } else {
                inner.services.remove(id);
            }
        }
    }

    /// Keeps accounts as they were written, those of which all active reservations are known.
    pub(crate) fn learn(&self, written: &Written<'_>) {
        let mut inner = self.lock();
        inner.operations.add(&written.changes.operations);
        for account in &written.changes.accounts {
            let user = account.user_id;
            let cached = inner.accounts.remove(&user);
            if account.seq == 0 {
                // A row that was claimed, and is no account yet.
                continue;
            }
            let Some(version) = written.after.get(&user) else { continue };
            let cached = cached.filter(|cached| written.before.get(&user) == Some(&cached.version));
            let active = cached.map_or_else(
                || reservations_of(written.active, user).to_vec(),
                |cached| cached.account.into_active(),
            );
            if let Some(account) = KnownAccount::of(*account, active, &written.changes.reservations) {
                inner.accounts.insert(user, CachedAccount { account, version: *version });
            }
        }
        inner.services.extend(written.services);
    }

    /// Nobody leaves it half changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn version(&self, user: UserId) -> Option<RowVersion> {
        self.accounts.peek(&user).map(|cached| cached.version)
    }
}

#[cfg(test)]
mod tests;
