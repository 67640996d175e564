//! When keys were used and whom they did not let in, until it is written down.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicI64, Ordering},
    },
};

use balance_domain::{ApiKey, ApiKeyId, Fact, Scope, Timestamp};

const MICROS_PER_MINUTE: i64 = 60_000_000;

/// A key, and when it was used.
pub(super) struct Known {
    pub(super) key: Arc<ApiKey>,
    /// The minute of its last use, since 1970; 0 for none.
    used_minute: AtomicI64,
}

impl Known {
    pub(super) fn new(key: ApiKey, before: Option<&Self>) -> Self {
        let written = key.last_used_at.map_or(0, minute_of);
        let used_minute = before.map_or(0, |before| before.used_minute.load(Ordering::Relaxed)).max(written);
        Self { key: Arc::new(key), used_minute: used_minute.into() }
    }

    /// Most calls of a minute only read: all workers share this line of memory.
    pub(super) fn note_use(&self, now: Timestamp) {
        let minute = minute_of(now);
        if self.used_minute.load(Ordering::Relaxed) < minute {
            self.used_minute.store(minute, Ordering::Relaxed);
        }
    }

    /// The use that is not written down yet.
    pub(super) fn unwritten_use(&self) -> Option<(ApiKeyId, Timestamp)> {
        let minute = self.used_minute.load(Ordering::Relaxed);
        let at = Timestamp::from_micros(minute * MICROS_PER_MINUTE).ok()?;
        (minute > self.key.last_used_at.map_or(0, minute_of)).then_some((self.key.id, at))
    }
}

const fn minute_of(time: Timestamp) -> i64 {
    time.micros().div_euclid(MICROS_PER_MINUTE)
}

/// How often each known key was refused, by the scope that it lacks; `None` if it is not live or its secret was wrong.
/// There are never more entries than keys times scopes: strangers leave none.
#[derive(Default)]
pub(super) struct Refusals(Mutex<HashMap<(ApiKeyId, Option<Scope>), i64>>);

impl Refusals {
    pub(super) fn note(&self, key: ApiKeyId, lacking: Option<Scope>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner).entry((key, lacking)).or_default() += 1;
    }

    /// The refusals since the last call.
    pub(super) fn take(&self, now: Timestamp) -> Vec<Fact> {
        let taken = std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner));
        let fact = |((id, lacking), count)| Fact::access_refused(id, lacking, count, now);
        taken.into_iter().map(fact).collect()
    }
}
