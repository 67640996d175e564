//! The wall clock: the only place of the workspace that reads it.

use std::time::{SystemTime, UNIX_EPOCH};

use balance_domain::{Timestamp, ports::Clock};

/// The operating system's clock, cut to microseconds: the finest time that every store keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    /// A clock set outside the years 1970 to 9999 is read as the nearer end; money rules only ask that time
    /// does not run backwards within an account, and see to that themselves.
    fn now(&self) -> Timestamp {
        #[expect(clippy::disallowed_methods, reason = "this is the one clock that everybody else is given")]
        let now = SystemTime::now();
        let since_epoch = now.duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since_epoch.as_micros())
            .ok()
            .and_then(|micros| Timestamp::from_micros(micros).ok())
            .unwrap_or(Timestamp::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_now_in_utc() {
        // 2024-01-01 and 2100-01-01: seconds, milliseconds or nanoseconds would be far outside.
        let now = SystemClock.now().micros();
        assert!((1_704_067_200_000_000..4_102_444_800_000_000).contains(&now), "{now}");
    }
}
