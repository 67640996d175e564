//! The bugs.

use serde::Serialize;

use crate::checker::Condition;

/// One bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Bug {
    /// Locks are taken in the order of the request: two opposite transfers wait for each other.
    UnsortedLocks,
    /// Keys are looked up before the accounts are locked.
    KeyCheckBeforeLock,
    /// Nothing is locked: read, decide, write.
    LostUpdate,
    /// The answer goes out before the commit is durable, and then the machine stops.
    ReplyBeforeCommit,
    /// The commit failed and its answer was ignored.
    CommitTagIgnored,
    /// A commit with an unknown outcome is retried under another key.
    RetryWithoutKey,
    /// A commit with an unknown outcome is called a failure.
    UnknownCalledFailed,
    /// Balances are read from a stale copy.
    StaleRead,
    /// A retry is answered with the current state instead of the first answer.
    ReplayOfToday,
    /// Reservations end when the sweeper runs, not at their deadline.
    ExpiryBySweeperOnly,
    /// The first instant of the next month is counted too.
    WrongMonthEdge,
    /// Months are those of UTC.
    MonthInUtc,
    /// A refund is checked against the capture alone, not against earlier refunds.
    LostRefundCap,
    /// Amounts pass through 32-bit floats and are rounded up.
    AmountRounding,
    /// A refused command uses up a number.
    SequenceGap,
    /// Sometimes the second half of a transfer is not written.
    HalfTransfer,
    /// Releases are not written to the history.
    ReleaseNotRecorded,
}

impl Bug {
    /// Every bug.
    pub const ALL: [Self; 17] = [
        Self::UnsortedLocks,
        Self::KeyCheckBeforeLock,
        Self::LostUpdate,
        Self::ReplyBeforeCommit,
        Self::CommitTagIgnored,
        Self::RetryWithoutKey,
        Self::UnknownCalledFailed,
        Self::StaleRead,
        Self::ReplayOfToday,
        Self::ExpiryBySweeperOnly,
        Self::WrongMonthEdge,
        Self::MonthInUtc,
        Self::LostRefundCap,
        Self::AmountRounding,
        Self::SequenceGap,
        Self::HalfTransfer,
        Self::ReleaseNotRecorded,
    ];

    /// Whether it needs crashes to show.
    pub const fn needs_crashes(self) -> bool {
        matches!(self, Self::ReplyBeforeCommit)
    }

    /// The conditions of which at least one must catch it: being caught by accident does not count.
    pub const fn caught_by(self) -> &'static [Condition] {
        use Condition::{
            Answered, Bank, Durable, Keys, Reads, RealTimeOrder, Replay, Report, Reservations, Sequence,
        };
        match self {
            Self::UnsortedLocks => &[Answered],
            Self::KeyCheckBeforeLock | Self::RetryWithoutKey | Self::UnknownCalledFailed => &[Keys],
            Self::LostUpdate => &[Sequence, Replay, Durable],
            Self::ReplyBeforeCommit | Self::CommitTagIgnored | Self::AmountRounding => &[Durable],
            Self::StaleRead => &[Reads, RealTimeOrder],
            Self::ReplayOfToday => &[Durable, Reservations],
            Self::ExpiryBySweeperOnly => &[Reads, Reservations],
            Self::LostRefundCap => &[Reservations],
            Self::WrongMonthEdge | Self::MonthInUtc => &[Report],
            Self::SequenceGap | Self::ReleaseNotRecorded => &[Sequence],
            Self::HalfTransfer => &[Bank, Replay],
        }
    }
}
