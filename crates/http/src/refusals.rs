//! Refused requests in the log: a few of each kind one by one, the others summed up. Anybody can be refused as fast as
//! they like, and must not fill a disk with it.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};

use crate::{limits::per_second, problem::Code};

/// Lines a second for each code, and as many for everything that needs no key.
const LINES_PER_SECOND: u32 = 10;

/// What was refused and not logged by itself. Clones share it.
#[derive(Clone)]
pub struct Refusals(Arc<Inner>);

struct Inner {
    lines: DefaultKeyedRateLimiter<Kind>,
    unlogged: Vec<AtomicU64>,
}

/// What shares a number of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Requests that were refused with this code.
    Refused(Code),
    /// What was underneath.
    Cause(Code),
    /// Requests that need no key: health, metrics, the document, the page.
    Public,
}

impl Default for Refusals {
    fn default() -> Self {
        let unlogged = (0..=Code::ALL.len()).map(|_| AtomicU64::new(0)).collect();
        Self(Arc::new(Inner {
            lines: RateLimiter::keyed(Quota::per_second(per_second(LINES_PER_SECOND))),
            unlogged,
        }))
    }
}

impl Refusals {
    /// Whether there is a line of its own for it. What has none is counted, causes apart: they belong to a request.
    pub(crate) fn has_line(&self, kind: Kind) -> bool {
        if self.0.lines.check_key(&kind).is_ok() {
            return true;
        }
        match kind {
            Kind::Refused(code) => self.0.unlogged[code as usize].fetch_add(1, Ordering::Relaxed),
            Kind::Public => self.0.unlogged[Code::ALL.len()].fetch_add(1, Ordering::Relaxed),
            Kind::Cause(_) => 0,
        };
        false
    }

    /// Writes a line for each kind of request that was not logged one by one since the last time; to be called every
    /// few seconds.
    pub fn sum_up(&self) {
        let kinds = Code::ALL.iter().map(|code| code.as_str()).chain(["public"]);
        for (unlogged, code) in self.0.unlogged.iter().zip(kinds) {
            let requests = unlogged.swap(0, Ordering::Relaxed);
            if requests > 0 {
                tracing::info!(target: "balance::request", code, requests, "requests that have no line of their own");
            }
        }
    }
}
