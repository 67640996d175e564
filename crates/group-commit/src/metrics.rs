//! Metrics of the queues and batches.

use metrics::{
    Counter, Gauge, Histogram, Unit, counter, describe_counter, describe_gauge, describe_histogram, gauge,
    histogram,
};

/// Registers the help texts of all metrics of this crate with the installed recorder.
pub fn describe() {
    describe_histogram!("balance_batch_commands", Unit::Count, "Commands that were committed together.");
    describe_histogram!(
        "balance_batch_wait_seconds",
        Unit::Seconds,
        "How long the oldest call of a batch had waited in the queue."
    );
    describe_histogram!(
        "balance_batch_duration_seconds",
        Unit::Seconds,
        "How long a batch took in the store, its commit included."
    );
    describe_gauge!("balance_queue_commands", Unit::Count, "Commands that wait, by lane.");
    describe_histogram!("balance_read_batch_accounts", Unit::Count, "Accounts that were read together.");
    describe_histogram!(
        "balance_read_batch_wait_seconds",
        Unit::Seconds,
        "How long the oldest call of a merged read had waited in the queue."
    );
    describe_histogram!(
        "balance_read_batch_duration_seconds",
        Unit::Seconds,
        "How long a merged read took in the store."
    );
    describe_gauge!("balance_read_queue_accounts", Unit::Count, "Accounts that wait to be read.");
    describe_counter!(
        "balance_overloaded_total",
        Unit::Count,
        "Calls refused because too much was queued or they had waited too long, by kind of work."
    );
}

/// The handles of one lane, looked up once.
pub(crate) struct LaneMetrics {
    /// Units per batch.
    pub(crate) batch_count: Histogram,
    /// Age of the oldest call of a batch.
    pub(crate) wait_seconds: Histogram,
    /// Time in the store.
    pub(crate) duration_seconds: Histogram,
    /// Units that wait.
    pub(crate) queued: Gauge,
    /// Calls refused.
    pub(crate) overloaded: Counter,
}

pub(crate) fn for_writes(lane: usize) -> LaneMetrics {
    LaneMetrics {
        batch_count: histogram!("balance_batch_commands"),
        wait_seconds: histogram!("balance_batch_wait_seconds"),
        duration_seconds: histogram!("balance_batch_duration_seconds"),
        queued: gauge!("balance_queue_commands", "lane" => lane.to_string()),
        overloaded: counter!("balance_overloaded_total", "work" => "write"),
    }
}

pub(crate) fn for_reads() -> LaneMetrics {
    LaneMetrics {
        batch_count: histogram!("balance_read_batch_accounts"),
        wait_seconds: histogram!("balance_read_batch_wait_seconds"),
        duration_seconds: histogram!("balance_read_batch_duration_seconds"),
        queued: gauge!("balance_read_queue_accounts"),
        overloaded: counter!("balance_overloaded_total", "work" => "read"),
    }
}

/// A count as metrics want it. Exact up to `2^32`, far beyond any bound here.
pub(crate) fn number(count: usize) -> f64 {
    u32::try_from(count).unwrap_or(u32::MAX).into()
}
