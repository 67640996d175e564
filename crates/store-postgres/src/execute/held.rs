//! Accounts that somebody else holds for long, and how the rest of a batch gets past them.
//!
//! A batch locks all of its accounts, so that one that stays locked (a session of `psql`, an instance that froze) would
//! hold up everybody in the batch and in the lane behind it. So when a lock was not to be had within `lock_timeout`,
//! the store asks which accounts are held. What does not need them runs as a batch of its own; the rest gets
//! one more try, which waits for [`LOCK_BRIEFLY`] only. Whoever fails then is told [`Unavailable`](balance_domain::ports::RepoError::Unavailable): nothing
//! of it was executed, and it may be asked again. Waiting until the deadline would help nobody more: the replies of a
//! batch are given together, so everybody else would wait as well.
//!
//! Held accounts are remembered for a while, and the next batches go this way at once: they lose [`LOCK_BRIEFLY`], not
//! `lock_timeout` each.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use balance_domain::{Needs, Submission, UserId};
use tokio::time::{Instant, timeout_at};

use crate::{PostgresStore, failure::Failure, records::Records, rows};

/// How long a lock is waited for that was held for long a moment ago: longer than other batches hold theirs.
pub(super) const LOCK_BRIEFLY: Duration = Duration::from_millis(100);

/// How long an account counts as held that nobody has found to be free since.
const REMEMBERED_FOR: Duration = Duration::from_secs(10);

/// Which of these accounts exist and are locked by somebody else. What it locks itself is free again when it ends.
pub const HELD: &str = "\
SELECT a.user_id
FROM unnest($1::account_ref[]) AS n
CROSS JOIN LATERAL (
    SELECT bucket, user_id FROM accounts WHERE bucket = n.bucket AND user_id = n.user_id OFFSET 0
) AS a
LEFT JOIN LATERAL (
    SELECT true AS is_free FROM accounts
    WHERE bucket = a.bucket AND user_id = a.user_id FOR UPDATE SKIP LOCKED
) AS f ON true
WHERE f.is_free IS NULL";

/// The accounts that were held when somebody looked last, and until when that is believed.
#[derive(Default)]
pub(crate) struct Held(Mutex<HashMap<UserId, Instant>>);

impl Held {
    /// Held as far as anybody knows.
    pub(super) fn known(&self, now: Instant) -> HashSet<UserId> {
        let mut held = self.lock();
        if held.is_empty() {
            return HashSet::new();
        }
        held.retain(|_, until| now < *until);
        held.keys().copied().collect()
    }

    /// Of all that were looked at, these are held and the others are not.
    pub(super) fn note(&self, all: &[UserId], held: &HashSet<UserId>) {
        let until = Instant::now() + REMEMBERED_FOR;
        let mut known = self.lock();
        for user in all {
            if held.contains(user) {
                known.insert(*user, until);
            } else {
                known.remove(user);
            }
        }
    }

    /// Nobody panics while he holds this lock.
    fn lock(&self) -> MutexGuard<'_, HashMap<UserId, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl PostgresStore {
    /// Asks which accounts of these submissions are held by somebody else, and notes it. None where that cannot be
    /// found out: then the batch is just tried again.
    pub(super) async fn find_held(&self, submissions: &[Submission], deadline: Instant) -> HashSet<UserId> {
        let accounts = Needs::of(submissions).accounts;
        let looking = timeout_at(deadline, self.look(&accounts)).await;
        let held = match looking.unwrap_or_else(|_| Err(Failure::Lost("no answer in time".into()))) {
            Ok(held) => held,
            Err(failure) => {
                tracing::warn!(?failure, "nobody knows which accounts are held");
                return HashSet::new();
            }
        };
        self.held().note(&accounts, &held);
        tracing::warn!(users = ?held, "accounts are held by somebody else");
        held
    }

    async fn look(&self, accounts: &[UserId]) -> Result<HashSet<UserId>, Failure> {
        let mut lease = self.lease().await?;
        let found = lease.session().query(HELD, &[&Records(accounts)]).await?;
        lease.give_back();
        found.iter().map(|row| rows::id(row, 0)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    #[test]
    fn what_was_found_free_or_not_looked_at_for_long_is_not_held() {
        let held = Held::default();
        held.note(&[user(1), user(2), user(3)], &HashSet::from([user(1), user(2)]));
        assert_eq!(held.known(Instant::now()), HashSet::from([user(1), user(2)]));
        held.note(&[user(2)], &HashSet::new());
        assert_eq!(held.known(Instant::now()), HashSet::from([user(1)]));
        assert_eq!(held.known(Instant::now() + REMEMBERED_FOR), HashSet::new());
    }
}
