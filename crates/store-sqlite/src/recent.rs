//! A cache of committed accounts, each with all of its active reservations, from which most balances are answered.
//! Commands are decided on the file alone.
//!
//! Entries are never stale: the file belongs to this process, and only its writer changes an account. The writer
//! evicts what it is about to commit and caches it again once that is durable. In between, reads go to the file,
//! which may show the commit shortly before it is acknowledged; the older entry is evicted by then, so reads are
//! monotonic across callers. If another process changes the file, the writer's next transaction notices and clears
//! the cache.
//!
//! Accounts are learned from writes alone: what is read and never written would push out what is written, and what a
//! reader has seen may be old by the time that it is kept.

use std::{
    array,
    collections::HashMap,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use balance_domain::{
    AccountAsOf, Changes, KnownAccount, Moment, UserId,
    ports::{AccountReads, OperationTotals},
};
use hashlink::LruCache;

/// Enough shards for readers and the writer to rarely wait for each other.
const SHARD_BITS: u32 = 4;
const SHARDS: usize = 1 << SHARD_BITS;

/// The accounts that were written last, the least recently written forgotten first.
pub(crate) struct Recent {
    shards: [Mutex<Shard>; SHARDS],
    looked_up: AtomicU64,
    operations: OperationTotals,
}

/// What was known of accounts before they were written.
pub(crate) type Taken = HashMap<UserId, KnownAccount>;

struct Shard {
    accounts: LruCache<UserId, KnownAccount>,
    recalled: u64,
}

impl Recent {
    /// Keeps about `accounts_max` accounts; none with 0.
    pub(crate) fn new(accounts_max: usize) -> Self {
        let shard =
            |_| Mutex::new(Shard { accounts: LruCache::new(accounts_max.div_ceil(SHARDS)), recalled: 0 });
        Self {
            shards: array::from_fn(shard),
            looked_up: AtomicU64::new(0),
            operations: OperationTotals::default(),
        }
    }

    /// The account at this moment, for a reader; `None` where the file must be asked.
    pub(crate) fn recall(&self, user_id: UserId, moment: Moment) -> Option<AccountAsOf> {
        let mut shard = self.shard(user_id);
        let account = shard.accounts.peek(&user_id)?.as_of(moment);
        shard.recalled += 1;
        Some(account)
    }

    /// After another process has written.
    pub(crate) fn forget_all(&self) {
        self.shards.iter().for_each(|shard| lock(shard).accounts.clear());
    }

    /// Takes out the accounts that are about to be committed otherwise.
    pub(crate) fn take(&self, changes: &Changes) -> Taken {
        let take = |user_id| Some((user_id, self.shard(user_id).accounts.remove(&user_id)?));
        changes.accounts.iter().filter_map(|account| take(account.user_id)).collect()
    }

    /// Caches accounts as they were committed, if all of their active reservations are known; `before` is what was
    /// evicted for the transaction.
    pub(crate) fn learn(&self, mut before: Taken, changes: &Changes) {
        self.operations.add(&changes.operations);
        for account in &changes.accounts {
            let user_id = account.user_id;
            let active = before.remove(&user_id).map(KnownAccount::into_active).unwrap_or_default();
            if let Some(known) = KnownAccount::of(*account, active, &changes.reservations) {
                self.shard(user_id).accounts.insert(user_id, known);
            }
        }
    }

    /// Counts accounts that the file was asked for.
    pub(crate) fn have_looked_up(&self, count: usize) {
        self.looked_up.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// What was committed.
    pub(crate) fn operations(&self) -> &OperationTotals {
        &self.operations
    }

    /// How balances that were read came about.
    pub(crate) fn account_reads(&self) -> AccountReads {
        let recalled = self.shards.iter().map(|shard| lock(shard).recalled).sum();
        AccountReads { confirmed: recalled, looked_up: self.looked_up.load(Ordering::Relaxed) }
    }

    fn shard(&self, user_id: UserId) -> MutexGuard<'_, Shard> {
        // Ids are often consecutive, or in steps of a power of two: the highest bits of the product depend on all
        // bits.
        let mixed = user_id.get().unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        lock(&self.shards[(mixed >> (u64::BITS - SHARD_BITS)) as usize])
    }
}

/// No code leaves it half changed, so poisoning does not matter.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
