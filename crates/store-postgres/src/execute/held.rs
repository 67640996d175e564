//! Accounts that somebody else holds for long, and how the rest of a batch gets past them.
//!
//! A batch locks all of its accounts, so that one that stays locked (a session of `psql`, an instance that froze) would
//! hold up everybody in the batch and in the lane behind it. So when a lock was not to be had within `lock_timeout`,
//! the store asks which accounts are held. What does not need them runs as a batch of its own; the rest gets
//! one more try, which waits for [`LOCK_BRIEFLY`] only. Whoever fails then is told [`RepoError::Unavailable`]: nothing
//! of it was executed, and it may be asked again. Waiting until the deadline would help nobody more: the replies of a
//! batch are given together, so everybody else would wait as well.
//!
//! Held accounts are remembered for a while, and the next batches go this way at once: they lose [`LOCK_BRIEFLY`], not
//! `lock_timeout` each.
//!
//! The order of submissions is kept for every account: one that touches a held account goes last, and so does
//! every later one that shares an account with it.

use std::{
    collections::{HashMap, HashSet},
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use balance_domain::{
    Needs, Submission, UserId,
    ports::{Reply, RepoError},
};
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

/// A batch in two parts, each in the batch's order.
pub(super) struct Parts {
    /// Touches no held account.
    pub(super) free: Vec<Submission>,
    /// Touches a held account, or comes after something that does and shares an account with it.
    pub(super) stuck: Vec<Submission>,
    is_stuck: Vec<bool>,
}

impl Parts {
    pub(super) fn of(submissions: &[Submission], mut held: HashSet<UserId>) -> Self {
        let mut parts = Self { free: Vec::new(), stuck: Vec::new(), is_stuck: Vec::new() };
        for submission in submissions {
            let accounts = Needs::of(std::slice::from_ref(submission)).accounts;
            let is_stuck = accounts.iter().any(|user| held.contains(user));
            parts.is_stuck.push(is_stuck);
            if is_stuck {
                held.extend(accounts);
                parts.stuck.push(submission.clone());
            } else {
                parts.free.push(submission.clone());
            }
        }
        parts
    }

    /// The replies of both parts in the order of the batch.
    pub(super) fn merged(self, free: Vec<Reply>, stuck: Vec<Reply>) -> Vec<Reply> {
        let (mut free, mut stuck) = (free.into_iter(), stuck.into_iter());
        let next = |is_stuck| if is_stuck { stuck.next() } else { free.next() };
        let missing = || Err(RepoError::Internal("a part of a batch has too few replies".into()).into());
        self.is_stuck.into_iter().map(next).map(|reply| reply.unwrap_or_else(missing)).collect()
    }
}

#[cfg(test)]
mod tests {
    use balance_domain::{Action, Amount, Command, IdempotencyKey, MoneyCommand};

    use super::*;

    fn user(id: i64) -> UserId {
        UserId::new(id).unwrap()
    }

    fn about(id: i64) -> Submission {
        Command::Expire { user_id: user(id) }.into()
    }

    fn transfer(from: i64, to: i64) -> Submission {
        let action = Action::Transfer { from: user(from), to: user(to), amount: Amount::MIN };
        MoneyCommand { action, key: IdempotencyKey::new("k").unwrap(), comment: None }.into()
    }

    #[test]
    fn the_order_of_every_account_is_kept() {
        let batch = [about(2), about(1), transfer(3, 1), about(3), transfer(4, 3), about(4), about(5)];
        let parts = Parts::of(&batch, HashSet::from([user(1)]));
        assert_eq!(parts.free, [about(2), about(5)]);
        assert_eq!(parts.stuck, [about(1), transfer(3, 1), about(3), transfer(4, 3), about(4)]);
        let told = |what: &str| Err(RepoError::Internal(what.to_owned().into()).into());
        let merged =
            parts.merged(["2", "5"].map(told).into(), ["1", "3-1", "3", "4-3", "4"].map(told).into());
        let expected: Vec<Reply> = ["2", "1", "3-1", "3", "4-3", "4", "5"].map(told).into();
        assert_eq!(format!("{merged:?}"), format!("{expected:?}"));
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
