//! What a store tells operators of itself.

use std::sync::atomic::{AtomicU64, Ordering};

use async_trait::async_trait;

use crate::{OperationKind, RecordedOperation, Timestamp, ports::RepoError};

/// The connections, in one look at them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connections {
    /// At most as many are open.
    pub max: usize,
    /// Lent out.
    pub in_use: usize,
    /// Open and free.
    pub idle: usize,
    /// Calls that wait for one.
    pub waiting: usize,
}

/// Batches that were decided on cached rows, which the database confirms while it writes, since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OptimisticBatches {
    /// Everything was as cached.
    pub confirmed: u64,
    /// Something was not, or the outcome was unknown: the batch was retried on rows that were read again.
    pub repeated: u64,
}

/// How the balances came about that were read, since the store was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AccountReads {
    /// From the cache, which the database confirmed, or which nobody else can have changed.
    pub confirmed: u64,
    /// Not cached, or stale.
    pub looked_up: u64,
}

/// What a store says of the time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StoreTimes {
    /// What the store's own clock shows, where it has another than this machine.
    pub clock: Option<Timestamp>,
    /// The newest recorded time, as far as the store knows it without a search.
    pub newest: Option<Timestamp>,
}

/// The operations of one kind that were committed since the store was opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OperationTotal {
    /// Their kind.
    pub kind: OperationKind,
    /// How many.
    pub count: u64,
    /// What they moved together, in minor units.
    pub amount: u64,
}

/// Adds up what a store commits, by kind. Costs two additions for each operation.
#[derive(Debug, Default)]
pub struct OperationTotals([(AtomicU64, AtomicU64); OperationKind::ALL.len()]);

impl OperationTotals {
    /// Counts operations that have just been committed.
    pub fn add(&self, committed: &[RecordedOperation]) {
        for RecordedOperation { operation, .. } in committed {
            let (count, amount) = &self.0[operation.kind as usize];
            count.fetch_add(1, Ordering::Relaxed);
            amount.fetch_add(operation.amount.get().unsigned_abs(), Ordering::Relaxed);
        }
    }

    /// What was counted so far, every kind once.
    pub fn all(&self) -> Vec<OperationTotal> {
        let total = |(kind, (count, amount)): (_, &(AtomicU64, AtomicU64))| OperationTotal {
            kind,
            count: count.load(Ordering::Relaxed),
            amount: amount.load(Ordering::Relaxed),
        };
        OperationKind::ALL.into_iter().zip(&self.0).map(total).collect()
    }
}

/// Figures of a store. No rule asks for them, and they hold up nobody.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait StoreFigures: Send + Sync + 'static {
    /// How many reservations are active now, or `count_max` if there are more. Costs what `count_max` says,
    /// however large the ledger.
    async fn active_reservations(&self, count_max: u32) -> Result<u64, RepoError>;

    /// How many accounts there are, or `count_max` if there are more.
    async fn accounts_up_to(&self, count_max: u32) -> Result<u64, RepoError>;

    /// What the clock of this machine can be held against.
    async fn times(&self) -> Result<StoreTimes, RepoError>;

    /// How many connections there are, and who waits for one. Where one more connection writes, it is not among
    /// them: what waits for that is in the queue of commands.
    fn connections(&self) -> Connections;

    /// What was committed since the store was opened, every kind of operation once.
    fn operations(&self) -> Vec<OperationTotal>;

    /// How well optimism pays. A store that never writes so has none.
    fn optimistic_batches(&self) -> OptimisticBatches {
        OptimisticBatches::default()
    }

    /// How well it pays to cache accounts. A store that caches none reports nothing.
    fn account_reads(&self) -> AccountReads {
        AccountReads::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The counters are found by the kind's place in the list.
    #[test]
    fn kinds_stand_in_their_order() {
        for (place, kind) in OperationKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, place);
        }
        assert!(OperationTotals::default().all().iter().all(|total| total.count + total.amount == 0));
    }
}
