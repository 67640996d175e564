//! How many requests one caller may send: a quota per API key, or per peer address while there are no keys.

use std::{
    net::IpAddr,
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use balance_domain::ApiKey;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

/// How often callers who went quiet are forgotten, in seconds.
const FORGET_EVERY_SECONDS: u64 = 60;

/// Whose quota a request counts against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Caller {
    Key(u64),
    Peer(Option<IpAddr>),
}

impl Caller {
    /// The caller with this key, or at this address.
    pub(crate) fn of(key: Option<&ApiKey>, peer: Option<IpAddr>) -> Self {
        match key {
            // 12 hexadecimal digits always fit.
            Some(key) => Self::Key(u64::from_str_radix(key.id.as_str(), 16).unwrap_or_default()),
            None => Self::Peer(peer),
        }
    }
}

/// The quotas of all callers.
pub(crate) struct RateLimit {
    limiter: Option<DefaultKeyedRateLimiter<Caller>>,
    started: Instant,
    forgotten_at_seconds: AtomicU64,
}

impl RateLimit {
    /// Requests per second and caller, with bursts of as many; 0 means no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        Self {
            limiter: NonZeroU32::new(per_second).map(|rate| RateLimiter::keyed(Quota::per_second(rate))),
            started: Instant::now(),
            forgotten_at_seconds: AtomicU64::new(0),
        }
    }

    /// Counts a request; how many seconds to wait if the quota is used up.
    pub(crate) fn wait_seconds(&self, caller: Caller) -> Option<u32> {
        let limiter = self.limiter.as_ref()?;
        self.forget_the_quiet(limiter);
        let refused = limiter.check_key(&caller).err()?;
        let wait = refused.wait_time_from(limiter.clock().now());
        Some(u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1))
    }

    /// Once a minute the request that notices it clears away callers whose quota is full again; without that
    /// every address ever seen would stay in memory.
    fn forget_the_quiet(&self, limiter: &DefaultKeyedRateLimiter<Caller>) {
        let now = self.started.elapsed().as_secs();
        let last = self.forgotten_at_seconds.load(Ordering::Relaxed);
        let is_due = now >= last + FORGET_EVERY_SECONDS;
        if is_due
            && self
                .forgotten_at_seconds
                .compare_exchange(last, now, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
        {
            limiter.retain_recent();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_caller_has_a_quota_of_its_own() {
        let limit = RateLimit::new(2);
        let caller = Caller::Peer(Some([127, 0, 0, 1].into()));
        assert_eq!(limit.wait_seconds(caller), None);
        assert_eq!(limit.wait_seconds(caller), None);
        assert_eq!(limit.wait_seconds(caller), Some(1));
        assert_eq!(limit.wait_seconds(Caller::Key(7)), None);
    }

    #[test]
    fn zero_means_no_limit() {
        let limit = RateLimit::new(0);
        assert!((0..10_000).all(|_| limit.wait_seconds(Caller::Key(1)).is_none()));
    }
}
