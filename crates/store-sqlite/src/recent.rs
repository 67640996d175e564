//! Accounts as they were committed last, so that most balances are told, and most commands decided, without a look at their rows.
//!
//! What stands here is true: the file belongs to this process, and nobody but its writer changes an account. The writer
//! takes out what it is about to commit and puts it back once that is durable. In between the file is asked, which
//! may show the commit a moment before it is answered; so nobody is told of an older state than somebody was told of before.
//! Should somebody change the file from outside all the same, the writer notices before it decides, and all is forgotten.
//!
//! Accounts are learned from writes alone: what is read and never written would push out what is written, and what a
//! reader has seen may be old by the time that it is kept.

use std::{
    array,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
};

use balance_domain::{Account, AccountAsOf, Timestamp, UserId, ports::AccountReads};
use hashlink::LruCache;
use rusqlite::Connection;

/// So that readers and the writer rarely wait for each other. A power of two.
const SHARDS: usize = 16;

/// The accounts that were written last, the least recently written forgotten first.
pub(crate) struct Recent {
    shards: [Mutex<Shard>; SHARDS],
    looked_up: AtomicU64,
    /// What SQLite calls the version of the file: it counts what other connections than the writer's commit.
    data_version: AtomicI64,
}

struct Shard {
    accounts: LruCache<UserId, Account>,
    recalled: u64,
}

impl Recent {
    /// Keeps about so many accounts at most; none with 0.
    pub(crate) fn new(accounts_max: usize) -> Self {
        let shard =
            |_| Mutex::new(Shard { accounts: LruCache::new(accounts_max.div_ceil(SHARDS)), recalled: 0 });
        Self { shards: array::from_fn(shard), looked_up: AtomicU64::new(0), data_version: AtomicI64::new(0) }
    }

    /// The account at `now`, for a reader; `None` where the file must be asked. What is due of an account that has money
    /// reserved is not known here.
    pub(crate) fn recall(&self, user_id: UserId, now: Timestamp) -> Option<AccountAsOf> {
        let mut shard = self.shard(user_id);
        let recorded = *shard.accounts.peek(&user_id).filter(|account| account.reserved == 0)?;
        shard.recalled += 1;
        Some(AccountAsOf { at: now, recorded, due_count: 0, due_remaining: 0 })
    }

    /// Forgets everything if somebody else has written since the last time. For the writer, within its transaction.
    pub(crate) fn confirm(&self, writer: &Connection) -> rusqlite::Result<()> {
        let version = writer.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.data_version.swap(version, Ordering::Relaxed) != version {
            self.shards.iter().for_each(|shard| lock(shard).accounts.clear());
        }
        Ok(())
    }

    /// The account as it was committed last, for the writer.
    pub(crate) fn account(&self, user_id: UserId) -> Option<Account> {
        self.shard(user_id).accounts.peek(&user_id).copied()
    }

    /// Takes out accounts that are about to be committed otherwise.
    pub(crate) fn forget(&self, accounts: &[Account]) {
        for account in accounts {
            self.shard(account.user_id).accounts.remove(&account.user_id);
        }
    }

    /// Keeps accounts as they were committed.
    pub(crate) fn remember(&self, accounts: &[Account]) {
        for account in accounts {
            self.shard(account.user_id).accounts.insert(account.user_id, *account);
        }
    }

    /// Counts accounts that the file was asked for.
    pub(crate) fn have_looked_up(&self, count: usize) {
        self.looked_up.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// How balances that were read came about.
    pub(crate) fn account_reads(&self) -> AccountReads {
        let recalled = self.shards.iter().map(|shard| lock(shard).recalled).sum();
        AccountReads { confirmed: recalled, looked_up: self.looked_up.load(Ordering::Relaxed) }
    }

    fn shard(&self, user_id: UserId) -> MutexGuard<'_, Shard> {
        // Ids are often given out one after the other, and often in steps of a power of two.
        let mixed = user_id.get().unsigned_abs().wrapping_mul(0x9E37_79B9_7F4A_7C15);
        lock(&self.shards[(mixed >> 60) as usize % SHARDS])
    }
}

/// Nobody leaves it half changed, so a poisoned lock is as good as any.
fn lock(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
