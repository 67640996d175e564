//! Accounts that somebody else keeps locked, and how a batch gets past them.
//!
//! A batch locks the accounts that it writes, so that one that stays locked (a session of `psql`, an instance that
//! froze) would hold up everybody in the batch and in the lane behind it. So when a lock was not to be had within
//! `lock_timeout`, the store asks which accounts are locked. What does not need them runs as a batch of its own;
//! the rest gets one more try, which waits for [`LOCK_BRIEFLY`] only. What fails then is
//! [`Unavailable`](balance_domain::ports::RepoError::Unavailable): nothing of it was executed, and it may be asked
//! again. Waiting until the deadline would help nobody more: the replies of a batch are given together, so
//! everybody else would wait as well.
//!
//! Locked accounts are kept in mind for a while, and the next batches go this way at once: they lose
//! [`LOCK_BRIEFLY`], not `lock_timeout` each.

use std::{collections::HashSet, time::Duration};

use balance_domain::{
    Needs, Submission, UserId,
    ports::{Reply, RepoError},
};
use tokio::time::{Instant, timeout_at};

use crate::{
    PostgresStore, error::Failure, records::Records, rows, statements::LOCKED_BY_OTHERS, store::query,
};

use super::{Bounds, parts::Parts};

/// How long a lock is waited for that was held for long a moment ago: longer than other batches hold theirs.
const LOCK_BRIEFLY: Duration = Duration::from_millis(100);

impl PostgresStore {
    /// Runs what does not need these accounts, then gives the rest one brief try.
    pub(super) async fn run_around(
        &self,
        locked: HashSet<UserId>,
        submissions: &[Submission],
        bounds: Bounds,
    ) -> Result<Vec<Reply>, RepoError> {
        let parts = Parts::of(submissions, locked);
        let first = Box::pin(self.run_whole(&parts.first, bounds)).await?;
        let briefly = Bounds { lock_timeout: Some(LOCK_BRIEFLY), ..bounds };
        match Box::pin(self.run_whole(&parts.apart, briefly)).await {
            // Nothing has been answered yet: it is the whole batch that failed.
            Err(error) if parts.first.is_empty() => Err(error),
            apart => Ok(parts.answered(first, apart)),
        }
    }

    /// Asks which accounts of these submissions are locked by somebody else, and notes it. None where that cannot be
    /// found out: then the batch is just tried again.
    pub(super) async fn find_locked(&self, submissions: &[Submission], deadline: Instant) -> HashSet<UserId> {
        let accounts = Needs::of(submissions).accounts;
        let looking = timeout_at(deadline, self.locked_by_others(&accounts)).await;
        let locked = match looking.unwrap_or_else(|_| Err(Failure::late())) {
            Ok(locked) => locked,
            Err(failure) => {
                tracing::warn!(?failure, "it is not known which accounts are locked");
                return HashSet::new();
            }
        };
        self.contention().note_locked(&accounts, &locked);
        tracing::warn!(users = ?locked, "accounts are locked by somebody else");
        locked
    }

    async fn locked_by_others(&self, accounts: &[UserId]) -> Result<HashSet<UserId>, Failure> {
        let lease = self.lease_for_batch().await?;
        let found = query(lease.client(), LOCKED_BY_OTHERS, &[&Records(accounts)]).await;
        let found = lease.used(found)?;
        found.iter().map(|row| rows::id(row, 0)).collect()
    }
}
