//! Who was in the way of batches lately, so that the next ones take another way at once.
//!
//! What is decided on the cache, or on a snapshot, and conflicts with what others have written meanwhile was done
//! in vain. After a conflict nothing is tried that way for a while, twice as long each time until it succeeds
//! again. And an account that somebody keeps locked is left out of batches for a while: see `execute::around`.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use balance_domain::{UserId, ports::OptimisticBatches};
use tokio::time::Instant;

/// How long nothing is tried in a way that failed once.
const REST_MIN: Duration = Duration::from_millis(10);

/// How long an account counts as locked that nobody has found to be free since.
const LOCKED_FOR: Duration = Duration::from_secs(10);

/// What a batch is decided on, from the quickest to the surest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Course {
    /// Cached rows, and a snapshot of what is not cached.
    Cached,
    /// A snapshot of everything.
    Fresh,
    /// The same, with the account rows locked first.
    Locked,
}

/// Who was in the way of batches lately.
pub(crate) struct Contention(Mutex<Inner>);

struct Inner {
    cached: Rest,
    fresh: Rest,
    rest_max: Duration,
    batches: OptimisticBatches,
    /// Accounts that somebody else kept locked, and until when that is believed.
    locked: HashMap<UserId, Instant>,
}

/// How long a course is not taken.
#[derive(Default)]
struct Rest(Option<(Instant, Duration)>);

impl Rest {
    fn is_over(&self, now: Instant) -> bool {
        self.0.is_none_or(|(until, _)| now >= until)
    }

    fn begin(&mut self, now: Instant, most: Duration) {
        let wait = self.0.map_or(REST_MIN, |(_, wait)| wait * 2).min(most);
        self.0 = Some((now + wait, wait));
    }
}

impl Contention {
    /// Rests last at most as long.
    pub(crate) fn new(rest_max: Duration) -> Self {
        Self(Mutex::new(Inner {
            cached: Rest::default(),
            fresh: Rest::default(),
            rest_max,
            batches: OptimisticBatches::default(),
            locked: HashMap::new(),
        }))
    }

    /// The quickest course that has not failed lately.
    pub(crate) fn course(&self, now: Instant) -> Course {
        let inner = self.lock();
        match (inner.fresh.is_over(now), inner.cached.is_over(now)) {
            (false, _) => Course::Locked,
            (true, false) => Course::Fresh,
            (true, true) => Course::Cached,
        }
    }

    /// A batch was written as decided, which rested on cached rows or not.
    pub(crate) fn succeeded(&self, course: Course, on_cached: bool) {
        let mut inner = self.lock();
        match course {
            Course::Cached if on_cached => {
                inner.cached = Rest::default();
                inner.batches.confirmed += 1;
            }
            Course::Cached | Course::Fresh => inner.fresh = Rest::default(),
            Course::Locked => {}
        }
    }

    /// A batch was not written, because somebody else was faster.
    pub(crate) fn conflicted(&self, course: Course, on_cached: bool, now: Instant) {
        let mut inner = self.lock();
        let rest_max = inner.rest_max;
        match course {
            Course::Cached if on_cached => {
                inner.cached.begin(now, rest_max);
                inner.batches.repeated += 1;
            }
            Course::Cached | Course::Fresh => inner.fresh.begin(now, rest_max),
            Course::Locked => {}
        }
    }

    /// A batch that rested on cached rows is attempted again, because nobody knows whether it was written.
    pub(crate) fn lost(&self) {
        self.lock().batches.repeated += 1;
    }

    /// How many batches were decided on cached rows, and what became of them.
    pub(crate) fn optimistic_batches(&self) -> OptimisticBatches {
        self.lock().batches
    }

    /// Accounts that are locked as far as anybody knows.
    pub(crate) fn locked_accounts(&self, now: Instant) -> HashSet<UserId> {
        let mut inner = self.lock();
        if inner.locked.is_empty() {
            return HashSet::new();
        }
        inner.locked.retain(|_, until| now < *until);
        inner.locked.keys().copied().collect()
    }

    /// Of all that were looked at, these are locked and the others are not.
    pub(crate) fn note_locked(&self, all: &[UserId], locked: &HashSet<UserId>) {
        let until = Instant::now() + LOCKED_FOR;
        let mut inner = self.lock();
        for user in all {
            if locked.contains(user) {
                inner.locked.insert(*user, until);
            } else {
                inner.locked.remove(user);
            }
        }
    }

    /// Nobody leaves it half changed, so a poisoned lock is as good as any.
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    #[test]
    fn a_course_that_failed_rests_twice_as_long_each_time() {
        let contention = Contention::new(Duration::from_millis(25));
        let now = Instant::now();
        let after = |millis| contention.course(now + Duration::from_millis(millis));
        assert_eq!(after(0), Course::Cached);
        for (rest, next) in [(10, 20), (20, 25), (25, 25)] {
            contention.conflicted(Course::Cached, true, now);
            assert_eq!((after(rest - 1), after(rest)), (Course::Fresh, Course::Cached), "before {next}");
        }
        contention.conflicted(Course::Fresh, false, now);
        assert_eq!((after(9), after(10), after(25)), (Course::Locked, Course::Fresh, Course::Cached));
        contention.succeeded(Course::Fresh, false);
        assert_eq!(after(9), Course::Fresh);
        contention.succeeded(Course::Cached, true);
        assert_eq!(after(0), Course::Cached);
        contention.conflicted(Course::Cached, true, now);
        assert_eq!((after(9), after(10)), (Course::Fresh, Course::Cached));
        assert_eq!(contention.optimistic_batches(), OptimisticBatches { confirmed: 1, repeated: 4 });
    }

    #[test]
    fn an_account_that_was_found_free_or_not_looked_at_for_long_is_not_locked() {
        let contention = Contention::new(Duration::ZERO);
        contention.note_locked(&[user(1), user(2), user(3)], &HashSet::from([user(1), user(2)]));
        assert_eq!(contention.locked_accounts(Instant::now()), HashSet::from([user(1), user(2)]));
        contention.note_locked(&[user(2)], &HashSet::new());
        assert_eq!(contention.locked_accounts(Instant::now()), HashSet::from([user(1)]));
        assert_eq!(contention.locked_accounts(Instant::now() + LOCKED_FOR), HashSet::new());
    }
}
