//! How much may be queued, how large a batch may grow, and how many batches run side by side.

use std::time::Duration;

use crate::queue::Limits;

/// The shortest waiting time that can be told from ordinary scheduling.
const QUEUE_AGE_MIN: Duration = Duration::from_millis(10);

/// Bounds of [`GroupCommit`](crate::GroupCommit). A zero counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupCommitOptions {
    /// How many batches of commands may commit side by side, `1 ..=` [`GroupCommitOptions::LANES_MAX`]: 1 for a
    /// store with one writer (SQLite), 2-4 for PostgreSQL. A submission goes to the lane of its users.
    pub lanes: usize,
    /// How many commands are merged at most. A single call with more in one lane goes alone. The more, the more pages of the
    /// store they share (docs/performance.md); the slower a store, the longer they all wait for one transaction, which
    /// on PostgreSQL has `database.deadline_ms`.
    pub batch_commands_max: usize,
    /// How many commands may wait in one lane. A call that finds the lane empty is taken whatever its size.
    pub queue_commands_max: usize,
    /// How many bytes (roughly) may wait in one lane. Same exception.
    pub queue_bytes_max: usize,
    /// How long a call may wait in a queue that holds more than one batch carries. One that waited longer is
    /// refused when its turn comes, and while it is there nothing joins the queue behind it. A shorter queue leaves
    /// whole with the next batch and only waits for one slow commit: its calls are refused for their age only
    /// where the store is away, with what the batch before them was told. At least 10 ms: less would refuse
    /// calls that only wait for a thread.
    pub queue_age_max: Duration,
    /// How many merged reads of balances may run side by side. A second one takes nearly every call out of the queue
    /// as it comes, and a read of one costs the store as much as one of ten: docs/performance.md.
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

/// One lane, one read at a time, batches of 2,000, and a queue that a store doing 10,000 commands a second clears in one second.
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
