//! The wall clock: the only place of the workspace that reads it, and the guard that says whether it can be trusted.
//!
//! A wall clock that steps damages deadlines and months for good, so it is held against clocks that do not: at every
//! reading against the machine's monotonic clock, at start against the newest time that the ledger has recorded, and
//! on PostgreSQL every few seconds against the clock of the server. While it is off by more than the tolerance, no
//! decision is made; it goes on by itself once the clock is right.

use std::{
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use balance_domain::{
    Moment, Timestamp,
    ports::{Clock, ClockUnsafe},
};

/// The operating system's clock, cut to microseconds: the finest time that every store keeps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    /// A clock set outside the years 1970 to 9999 is read as the nearer end.
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

/// No comparison found the clock ahead or behind.
const FITS: i64 = 0;

const MONOTONIC: &str = "the monotonic clock";
const REFERENCE: &str = "the clock of the database";
const RECORDED: &str = "the newest time that is recorded";

/// The system's clock under guard. Clones are one guard.
#[derive(Clone)]
pub(crate) struct GuardedClock(Arc<Guard>);

struct Guard {
    source: Source,
    tolerance_micros: i64,
    /// What the wall clock has shown when the monotonic clock stood at 0, as far as it was right then.
    start_micros: AtomicI64,
    /// How far the wall clock is from that of the database, if it is too far.
    reference_offset: AtomicI64,
    /// The newest recorded time.
    recorded_micros: AtomicI64,
}

/// Where the time comes from: in tests from elsewhere.
struct Source {
    wall: fn() -> Timestamp,
    monotonic: fn() -> Duration,
}

impl GuardedClock {
    /// Takes the clock as right until something says otherwise.
    pub(crate) fn new(tolerance: Duration) -> Self {
        Self::of(Source { wall: || SystemClock.now(), monotonic }, tolerance)
    }

    fn of(source: Source, tolerance: Duration) -> Self {
        let start_micros = micros_of((source.wall)(), (source.monotonic)());
        Self(Arc::new(Guard {
            source,
            tolerance_micros: i64::try_from(tolerance.as_micros()).unwrap_or(i64::MAX),
            start_micros: AtomicI64::new(start_micros),
            reference_offset: AtomicI64::new(FITS),
            recorded_micros: AtomicI64::new(i64::MIN),
        }))
    }

    /// What the monotonic clock shows, to be taken before another clock is asked.
    pub(crate) fn mark(&self) -> Duration {
        (self.0.source.monotonic)()
    }

    /// The clock of the database showed `theirs` at some time between the mark and now. A wall clock that agrees with
    /// it is right, whatever it showed before: also after a step that put it right, or a machine that was suspended.
    pub(crate) fn compare(&self, theirs: Timestamp, mark: Duration) {
        let (wall, monotonic) = ((self.0.source.wall)(), (self.0.source.monotonic)());
        let waited = i64::try_from(monotonic.saturating_sub(mark).as_micros()).unwrap_or(i64::MAX);
        // Somewhere in the time that was waited; half of it either way decides nothing.
        let offset = wall.micros() - theirs.micros() - waited / 2;
        if offset.abs().saturating_sub(waited / 2) > self.0.tolerance_micros {
            self.0.reference_offset.store(offset, Ordering::Relaxed);
        } else {
            self.0.reference_offset.store(FITS, Ordering::Relaxed);
            self.0.start_micros.store(micros_of(wall, monotonic), Ordering::Relaxed);
        }
    }

    /// The ledger has recorded this time, which was now once.
    pub(crate) fn recorded(&self, newest: Option<Timestamp>) {
        self.0.recorded_micros.store(newest.map_or(i64::MIN, Timestamp::micros), Ordering::Relaxed);
    }

    /// What the clock shows minus what it should show, as far as that is known, in seconds.
    #[expect(clippy::cast_precision_loss, reason = "a figure for people")]
    pub(crate) fn offset_seconds(&self) -> f64 {
        let wall = (self.0.source.wall)();
        let offset = match self.0.fault(wall) {
            Some(fault) => fault.offset_micros,
            None => self.0.step(wall),
        };
        offset as f64 / 1e6
    }
}

impl Guard {
    /// How far the wall clock has moved otherwise than the monotonic one.
    fn step(&self, wall: Timestamp) -> i64 {
        micros_of(wall, (self.source.monotonic)()).saturating_sub(self.start_micros.load(Ordering::Relaxed))
    }

    fn fault(&self, wall: Timestamp) -> Option<ClockUnsafe> {
        let beyond = |offset_micros: i64, tolerances: i64, reference| {
            (offset_micros.saturating_abs() > self.tolerance_micros.saturating_mul(tolerances))
                .then_some(ClockUnsafe { offset_micros, reference })
        };
        let recorded = self.recorded_micros.load(Ordering::Relaxed);
        let behind = wall.micros().saturating_sub(recorded).min(FITS);
        // What another instance recorded may be ahead of the right time by a tolerance, while this clock is behind by
        // one.
        beyond(self.reference_offset.load(Ordering::Relaxed), 1, REFERENCE)
            .or_else(|| beyond(self.step(wall), 1, MONOTONIC))
            .or_else(|| beyond(behind, 2, RECORDED))
    }
}

impl Clock for GuardedClock {
    fn now(&self) -> Timestamp {
        (self.0.source.wall)()
    }

    fn moment(&self) -> Result<Moment, ClockUnsafe> {
        let wall = (self.0.source.wall)();
        match self.0.fault(wall) {
            Some(fault) => Err(fault),
            // Two clocks that are within the tolerance of a third are within twice that of each other.
            None => Ok(Moment::new(wall, Duration::from_micros(self.0.tolerance_micros.unsigned_abs()) * 2)),
        }
    }
}

fn micros_of(wall: Timestamp, monotonic: Duration) -> i64 {
    wall.micros().saturating_sub(i64::try_from(monotonic.as_micros()).unwrap_or(i64::MAX))
}

/// The time since the machine was started, which nobody sets. Where the system has it, that of a clock which goes on
/// while the machine is suspended.
fn monotonic() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = rustix::time::ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = rustix::time::ClockId::Monotonic;
    let time = rustix::time::clock_gettime(clock);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    thread_local! {
        static WALL: Cell<i64> = const { Cell::new(0) };
        static MONOTONIC_SECONDS: Cell<u64> = const { Cell::new(0) };
    }

    const START: i64 = 1_795_512_600;

    fn wall(seconds: i64) {
        WALL.set(START + seconds);
    }

    fn pass(seconds: u64) {
        MONOTONIC_SECONDS.set(MONOTONIC_SECONDS.get() + seconds);
        WALL.set(WALL.get() + seconds.cast_signed());
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_micros((START + seconds) * 1_000_000).unwrap()
    }

    fn guarded() -> GuardedClock {
        wall(0);
        let source = Source {
            wall: || Timestamp::from_micros(WALL.get() * 1_000_000).unwrap(),
            monotonic: || Duration::from_secs(MONOTONIC_SECONDS.get()),
        };
        GuardedClock::of(source, Duration::from_secs(1))
    }

    fn fault(clock: &GuardedClock) -> Option<(i64, &'static str)> {
        clock.moment().err().map(|fault| (fault.offset_micros / 1_000_000, fault.reference))
    }

    #[test]
    fn the_time_is_now_in_utc() {
        // 2024-01-01 and 2100-01-01: seconds, milliseconds or nanoseconds would be far outside.
        let now = SystemClock.now().micros();
        assert!((1_704_067_200_000_000..4_102_444_800_000_000).contains(&now), "{now}");
        assert!(GuardedClock::new(Duration::from_secs(1)).moment().is_ok());
    }

    #[test]
    fn a_step_is_noticed_at_the_next_reading_and_forgiven_once_it_is_undone() {
        let clock = guarded();
        for step in [3_600, -3_600, 40 * 86_400, -40 * 86_400, 2, -2] {
            pass(60);
            assert_eq!(fault(&clock), None);
            WALL.set(WALL.get() + step);
            assert_eq!(fault(&clock), Some((step, MONOTONIC)));
            pass(60);
            assert_eq!(fault(&clock), Some((step, MONOTONIC)));
            WALL.set(WALL.get() - step);
            assert_eq!(fault(&clock), None, "{step}");
        }
        WALL.set(WALL.get() + 1);
        assert_eq!(fault(&clock), None, "within the tolerance");
    }

    #[test]
    fn the_clock_of_the_database_decides() {
        let clock = guarded();
        let mark = clock.mark();
        clock.compare(at(-7_200), mark);
        assert_eq!(fault(&clock), Some((7_200, REFERENCE)));
        wall(-7_200);
        clock.compare(at(-7_200), mark);
        assert_eq!(fault(&clock), None, "the step has put it right");
        // An answer that took ten seconds says nothing finer than that.
        let mark = clock.mark();
        pass(10);
        clock.compare(at(-7_200), mark);
        assert_eq!(fault(&clock), None);
    }

    #[test]
    fn a_clock_behind_what_is_recorded_waits_for_it() {
        let clock = guarded();
        clock.recorded(Some(at(30)));
        assert_eq!(fault(&clock), Some((-30, RECORDED)));
        pass(29);
        assert_eq!(fault(&clock), None);
        clock.recorded(Some(at(3_600)));
        assert_eq!(fault(&clock), Some((-3_571, RECORDED)));
        assert!((clock.offset_seconds() + 3_571.0).abs() < 0.1);
        clock.recorded(None);
        assert_eq!(fault(&clock), None);
    }
}
