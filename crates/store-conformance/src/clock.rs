//! A clock for tests: it shows what it was set to.

use std::sync::{
    Arc,
    atomic::{AtomicI64, Ordering},
};

use balance_domain::{Timestamp, ports::Clock};

/// A clock that stands still until it is set. Clones are the same clock.
#[derive(Clone, Debug)]
pub struct SetClock(Arc<AtomicI64>);

impl SetClock {
    /// A clock that shows this.
    pub fn new(now: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(now.micros())))
    }

    /// Sets it, back or forth.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.micros(), Ordering::SeqCst);
    }
}

/// A clock that shows 2026-11-24T09:30:00Z.
impl Default for SetClock {
    fn default() -> Self {
        Self(Arc::new(AtomicI64::new(1_795_512_600_000_000)))
    }
}

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).unwrap_or(Timestamp::MAX)
    }
}
