//! How much one caller may ask for: a quota of commands per API key, or per peer address while there are no keys; and
//! how often a peer may fail to show a key.

use std::{
    net::{IpAddr, Ipv6Addr},
    num::NonZeroU32,
    sync::atomic::{AtomicU64, Ordering},
    time::Instant,
};

use balance_domain::ApiKey;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter, clock::Clock as _};

use crate::problem::{Code, Problem};

/// How often callers who went quiet are forgotten, in seconds.
const FORGET_EVERY_SECONDS: u64 = 60;

/// Addresses that have a quota each; others share one, so that nobody can fill memory with addresses.
const PEERS_MAX: usize = 10_000;

/// How often a peer may fail to show a key, per second, and at once: a client that is set up wrongly should read why.
const FAILURES_PER_SECOND: NonZeroU32 = per_second(20);
const FAILURES_AT_ONCE: NonZeroU32 = per_second(500);

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
            None => Self::peer(peer),
        }
    }

    /// Who has an IPv6 address has at least 2^64 of them.
    fn peer(peer: Option<IpAddr>) -> Self {
        Self::Peer(peer.map(|peer| match peer.to_canonical() {
            IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & !u128::from(u64::MAX)).into(),
            ip @ IpAddr::V4(_) => ip,
        }))
    }
}

/// The quotas of all callers.
pub(crate) struct RateLimit {
    limiter: Option<DefaultKeyedRateLimiter<Caller>>,
    started: Instant,
    forgotten_at_seconds: AtomicU64,
}

impl RateLimit {
    /// As many per second and caller, and as many at once; 0 means no limit.
    pub(crate) fn new(per_second: u32) -> Self {
        Self::with(NonZeroU32::new(per_second).map(Quota::per_second))
    }

    /// For callers without a key that is right.
    pub(crate) fn of_failures() -> Self {
        Self::with(Some(Quota::per_second(FAILURES_PER_SECOND).allow_burst(FAILURES_AT_ONCE)))
    }

    fn with(quota: Option<Quota>) -> Self {
        Self {
            limiter: quota.map(RateLimiter::keyed),
            started: Instant::now(),
            forgotten_at_seconds: AtomicU64::new(0),
        }
    }

    /// Counts as much against a caller's quota, or says when to come back.
    pub(crate) fn check(&self, caller: Caller, weight: usize) -> Result<(), Problem> {
        let Some(limiter) = &self.limiter else { return Ok(()) };
        let Some(weight) = u32::try_from(weight).ok().and_then(NonZeroU32::new) else { return Ok(()) };
        self.forget_the_quiet(limiter);
        let caller = match caller {
            Caller::Peer(Some(_)) if limiter.len() >= PEERS_MAX => Caller::Peer(None),
            caller => caller,
        };
        match limiter.check_key_n(&caller, weight) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(refused)) => {
                let wait = refused.wait_time_from(limiter.clock().now());
                let seconds = u32::try_from(wait.as_secs()).unwrap_or(u32::MAX).saturating_add(1);
                Err(Problem::retry(Code::RateLimited, seconds))
            }
            Err(most) => {
                let detail = format!(
                    "{weight} commands are more than the {} a second that are allowed: split them",
                    most.0
                );
                Err(Problem::with_detail(Code::RateLimited, detail))
            }
        }
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
            limiter.shrink_to_fit();
        }
    }
}

/// A rate that is no setting.
pub(crate) const fn per_second(rate: u32) -> NonZeroU32 {
    match NonZeroU32::new(rate) {
        Some(rate) => rate,
        None => NonZeroU32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use actix_web::http::header::HeaderMap;

    use super::*;
    use crate::context::Context;

    fn peer(text: &str) -> Caller {
        Caller::peer(Some(text.parse().unwrap()))
    }

    #[test]
    fn each_caller_has_a_quota_of_its_own() {
        let limit = RateLimit::new(2);
        let caller = peer("127.0.0.1");
        assert!(limit.check(caller, 1).is_ok());
        assert!(limit.check(caller, 1).is_ok());
        let refused = limit.check(caller, 1).unwrap_err();
        assert_eq!(refused.code(), Code::RateLimited);
        assert!(
            refused.answer("/", &Context::of(&HeaderMap::new(), None)).headers().contains_key("retry-after")
        );
        assert!(limit.check(Caller::Key(7), 1).is_ok());
    }

    #[test]
    fn zero_means_no_limit() {
        let limit = RateLimit::new(0);
        assert!((0..10_000).all(|_| limit.check(Caller::Key(1), 1_000).is_ok()));
    }

    #[test]
    fn each_command_counts_against_the_quota() {
        let limit = RateLimit::new(100);
        assert!(limit.check(Caller::Key(1), 60).is_ok());
        assert!(limit.check(Caller::Key(1), 60).is_err());
        assert!(limit.check(Caller::Key(1), 40).is_ok());
        let never = limit.check(Caller::Key(2), 101).unwrap_err();
        assert!(never.detail().contains("split"), "{never}");
        assert!(limit.check(Caller::Key(2), 100).is_ok(), "what was refused does not count");
    }

    #[test]
    fn addresses_do_not_fill_memory_and_a_network_is_one_caller() {
        assert_eq!(peer("2001:db8::1"), peer("2001:db8::ffff:1"));
        assert_ne!(peer("2001:db8::1"), peer("2001:db8:0:1::1"));
        assert_eq!(peer("::ffff:10.0.0.1"), peer("10.0.0.1"));
        let limit = RateLimit::new(1);
        let many = (0..20_000_u32).map(|number| Caller::peer(Some(IpAddr::V4(number.into()))));
        let let_in = many.filter(|caller| limit.check(*caller, 1).is_ok()).count();
        assert!((PEERS_MAX..PEERS_MAX + 100).contains(&let_in), "{let_in}");
        assert!(limit.limiter.unwrap().len() <= PEERS_MAX + 1);
    }
}
