//! How much may be queued, how large a batch may grow, and how many batches run side by side.

use std::time::Duration;

use crate::queue::Limits;

/// The shortest waiting time that differs from ordinary scheduling.
const QUEUE_AGE_MIN: Duration = Duration::from_millis(10);

/// Bounds of [`GroupCommit`](crate::GroupCommit). A zero counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupCommitOptions {
    /// How many batches of commands may commit side by side, `1 ..=` [`GroupCommitOptions::LANES_MAX`]: 1 for a
    /// store with one writer (SQLite), 2-4 for PostgreSQL. A submission goes to the lane of its users.
    pub lanes: usize,
    /// Commands in one batch at most; a single call with more in one lane goes alone. Larger batches share more pages
    /// of the store (docs/performance.md), but on a slow store all of them wait for one long transaction, which on
    /// PostgreSQL has `database.deadline_ms`.
    pub batch_commands_max: usize,
    /// How many commands may wait in one lane. A call that finds the lane empty is taken whatever its size.
    pub queue_commands_max: usize,
    /// How many bytes (roughly) may wait in one lane. Same exception.
    pub queue_bytes_max: usize,
    /// Maximum time in the queue, at least 10 ms. Enforced only while the backlog exceeds one batch, when older calls
    /// are refused and nothing joins behind them, or while the store is unavailable, when they get the error of the
    /// batch before them. A shorter backlog only waits for one slow commit.
    pub queue_age_max: Duration,
    /// How many merged reads of balances may run side by side. A second one halves the batch size: it takes nearly
    /// every call out of the queue as it arrives, and a read of one costs as much as one of ten
    /// (docs/performance.md).
    pub read_batches_max: usize,
    /// How many users' balances are merged into one read at most; same rule as `batch_commands_max`.
    pub read_batch_users_max: usize,
    /// How many users' balances may wait to be read; same rule as `queue_commands_max`.
    pub read_queue_users_max: usize,
}

impl GroupCommitOptions {
    /// There are no more buckets than this.
    pub const LANES_MAX: usize = 256;

    pub(crate) fn write_limits(&self) -> Limits {
        Limits {
            in_flight_max: 1,
            batch_count_max: self.batch_commands_max.max(1),
            queue_count_max: self.queue_commands_max.max(1),
            queue_bytes_max: self.queue_bytes_max.max(1),
            queue_age_max: self.queue_age_max.max(QUEUE_AGE_MIN),
        }
    }

    pub(crate) fn read_limits(&self) -> Limits {
        Limits {
            in_flight_max: self.read_batches_max.max(1),
            batch_count_max: self.read_batch_users_max.max(1),
            queue_count_max: self.read_queue_users_max.max(1),
            queue_bytes_max: self.queue_bytes_max.max(1),
            queue_age_max: self.queue_age_max.max(QUEUE_AGE_MIN),
        }
    }
}

/// One lane, one read at a time, batches of 2,000, and a queue that a store of 10,000 commands a second clears in one
/// second.
impl Default for GroupCommitOptions {
    fn default() -> Self {
        Self {
            lanes: 1,
            batch_commands_max: 2_000,
            queue_commands_max: 10_000,
            queue_bytes_max: 16 * 1024 * 1024,
            queue_age_max: Duration::from_secs(2),
            read_batches_max: 1,
            read_batch_users_max: 1_000,
            read_queue_users_max: 20_000,
        }
    }
}
