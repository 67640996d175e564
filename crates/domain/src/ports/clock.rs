//! The one place where time comes from.

use crate::{Moment, Timestamp};

/// The clock cannot be trusted: what it shows differs from a reference by more than clocks may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the clock of this machine is {} ms {} {reference}", .offset_micros.unsigned_abs() / 1_000, side(*.offset_micros))]
pub struct ClockUnsafe {
    /// What the clock shows minus what it should show, in microseconds.
    pub offset_micros: i64,
    /// What it was held against.
    pub reference: &'static str,
}

const fn side(offset_micros: i64) -> &'static str {
    if offset_micros < 0 { "behind" } else { "ahead of" }
}

/// Tells the time.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: Send + Sync + 'static {
    /// What the clock shows, to the microsecond. May step.
    fn now(&self) -> Timestamp;

    /// The time for a decision, unless the clock cannot be trusted. Stores read it where the decision is made:
    /// under the locks, or with the snapshot that is confirmed.
    fn moment(&self) -> Result<Moment, ClockUnsafe> {
        Ok(Moment::new(self.now(), Moment::TOLERANCE))
    }
}

/// A clock that stands still, for what does not depend on the time.
impl Clock for Timestamp {
    fn now(&self) -> Timestamp {
        *self
    }
}
