//! The time that a decision is made at.

use std::time::Duration;

use crate::Timestamp;

/// What a store knows of time in the transaction that it decides in: what the clock shows, how far the clocks of one
/// ledger may differ, and up to when the books are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    now: Timestamp,
    tolerance_micros: i64,
    closed_until: Timestamp,
}

impl Moment {
    /// How far the clocks of one ledger may differ, unless configured.
    pub const TOLERANCE: Duration = Duration::MAX;

    /// The clock shows `now`; no month is closed.
    pub fn new(now: Timestamp, tolerance: Duration) -> Self {
        let tolerance_micros = i64::try_from(tolerance.as_micros()).unwrap_or(i64::MAX);
        Self { now, tolerance_micros, closed_until: Timestamp::MIN }
    }

    /// The same moment where the books are closed up to an instant.
    #[must_use]
    pub const fn closed_until(self, closed_until: Timestamp) -> Self {
        Self { closed_until, ..self }
    }

    /// Up to when the books are closed: nothing is dated before this.
    pub const fn open_from(self) -> Timestamp {
        self.closed_until
    }

    /// What the clock shows.
    pub const fn now(self) -> Timestamp {
        self.now
    }

    /// The time of the next operation of an account whose last one has the time `last_at`: now, but neither in a closed
    /// month nor before the last one.
    ///
    /// A last time that is further ahead than clocks may differ comes from a clock that was wrong. It is not
    /// followed: it would date all that comes, and everyone whom the account trades with.
    pub fn next(self, last_at: Timestamp) -> Timestamp {
        self.not_before(self.now, last_at)
    }

    /// The time of the expiry of a reservation with this deadline: the deadline, however late it is recorded, under the
    /// same bounds.
    pub fn expiry(self, deadline: Timestamp, last_at: Timestamp) -> Timestamp {
        self.not_before(deadline, last_at)
    }

    fn not_before(self, at: Timestamp, last_at: Timestamp) -> Timestamp {
        let at = at.max(self.closed_until);
        if self.is_ahead(last_at) { at } else { at.max(last_at) }
    }

    /// Whether a recorded time can only come from a clock that was wrong.
    pub fn is_ahead(self, recorded: Timestamp) -> bool {
        let open = self.now.max(self.closed_until);
        recorded.micros().saturating_sub(open.micros()) > self.tolerance_micros
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(micros: i64) -> Timestamp {
        Timestamp::from_micros(micros).unwrap()
    }

    #[test]
    fn an_account_is_continued_in_order_up_to_the_tolerance() {
        let moment = Moment::new(at(5_000_000), Duration::from_secs(1));
        for (last_at, next) in [(0, 5_000_000), (5_400_000, 5_400_000), (6_000_000, 6_000_000)] {
            assert_eq!(moment.next(at(last_at)), at(next), "{last_at}");
        }
        assert_eq!(moment.next(at(6_000_001)), at(5_000_000), "a damaged time is not followed");
        assert_eq!(moment.expiry(at(3_000_000), at(6_000_001)), at(3_000_000));
    }

    #[test]
    fn nothing_is_dated_into_a_closed_month() {
        let moment = Moment::new(at(5_000_000), Duration::from_secs(1)).closed_until(at(5_500_000));
        assert_eq!(moment.next(at(0)), at(5_500_000));
        assert_eq!(moment.next(at(6_500_000)), at(6_500_000));
        assert_eq!(moment.next(at(6_500_001)), at(5_500_000));
        assert_eq!(moment.expiry(at(5_200_000), at(0)), at(5_500_000));
        assert_eq!(moment.now(), at(5_000_000));
    }
}
