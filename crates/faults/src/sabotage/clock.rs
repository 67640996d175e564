//! A clock for the proofs: it runs ten times as fast as the real one, in coarse steps, and passes the end of
//! a month on the way, so that some operations fall exactly on the edge and reservations end within a second.

use std::time::Instant;

use balance_domain::{AccountingZone, Month, Timestamp, ports::Clock};

/// How much faster than real time.
const SPEED: i64 = 10;
/// The step, in microseconds.
const STEP_MICROS: i64 = 100_000;
/// How long before the month's end it starts, in microseconds.
const LEAD_MICROS: i64 = 4_000_000;

/// See the module.
pub(super) struct EdgeClock {
    started: Instant,
    start_micros: i64,
}

impl EdgeClock {
    /// Starts shortly before the end of the month.
    pub(super) fn new(zone: &AccountingZone, month: Month) -> Self {
        Self { started: Instant::now(), start_micros: zone.period(month).end.micros() - LEAD_MICROS }
    }
}

impl Clock for EdgeClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX / SPEED);
        let micros = self.start_micros + elapsed * SPEED;
        Timestamp::from_micros(micros - micros.rem_euclid(STEP_MICROS)).unwrap_or(Timestamp::MAX)
    }
}
