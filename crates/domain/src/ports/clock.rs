//! The one place where time comes from.

use crate::Timestamp;

/// Tells the time.
#[cfg_attr(feature = "mock", mockall::automock)]
pub trait Clock: Send + Sync + 'static {
    /// Now, to the microsecond. May step back; the rules cope.
    fn now(&self) -> Timestamp;
}
