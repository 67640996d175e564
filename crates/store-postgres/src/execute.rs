//! Batches: one attempt after the other until the outcome is certain, or time is up.
//!
//! A commit that was sent and not answered may have happened. Then the same batch runs again, through the same
//! locks: they are held until the old commit has landed or was lost, and keys turn what did happen into replays.
//!
//! The first attempt is made without locks where everything that it needs was here a moment ago: see `optimistic`. An
//! account that somebody else holds for long must not hold up the others: see `held`.

mod attempt;
mod held;
mod load;
mod optimistic;
mod parts;
mod recent;
mod reconcile;
mod write;

use std::{collections::HashSet, time::Duration};

use balance_domain::{
    Moment, Needs, Rows, Submission, UserId, decide_batch,
    ports::{Cause, Reply, RepoError, SubmitError},
};
use tokio::time::{Instant, timeout_at};

use crate::{PostgresStore, failure::Failure, store::jitter};
use attempt::{Progress, attempt};
use held::LOCK_BRIEFLY;
use parts::{Parts, each_failed};
use reconcile::reconcile;

pub use held::HELD;
pub(crate) use held::Held;
pub(crate) use recent::{Era, Recalled, Recent};

/// How often others may be in the way of one batch.
const CONTENTIONS_MAX: u32 = 8;

/// What to do with a batch after an attempt.
enum Verdict {
    Done(Vec<Reply>),
    Again(Duration),
    /// An account may be held by somebody else.
    Around(Duration, Cause),
    Split,
    Failed(RepoError),
}

/// When a batch runs, and how long it may take.
#[derive(Clone, Copy)]
struct Bounds {
    moment: Moment,
    deadline: Instant,
    /// How long the server waits for a lock, where that is not as usual.
    lock_timeout: Option<Duration>,
}

impl PostgresStore {
    /// Runs a batch to its end.
    pub(crate) async fn run(
        &self,
        submissions: &[Submission],
        moment: Moment,
    ) -> Result<Vec<Reply>, RepoError> {
        let bounds =
            Bounds { moment, deadline: Instant::now() + self.options().deadline, lock_timeout: None };
        let held = self.held().known(Instant::now());
        if held.is_empty() {
            return self.run_optimistically(submissions, bounds).await;
        }
        self.run_around(held, submissions, bounds).await
    }

    /// Runs a batch under locks.
    async fn run_within(&self, submissions: &[Submission], bounds: Bounds) -> Result<Vec<Reply>, RepoError> {
        self.run_again(submissions, bounds, Vec::new()).await
    }

    /// The same after attempts that may have been committed: `open` are their answers.
    async fn run_again(
        &self,
        submissions: &[Submission],
        bounds: Bounds,
        open: Vec<Vec<Reply>>,
    ) -> Result<Vec<Reply>, RepoError> {
        let Bounds { moment, deadline, lock_timeout } = bounds;
        if submissions.iter().all(|submission| submission.commands.is_empty()) {
            return Ok(decide_batch(Rows::default(), submissions, moment).replies);
        }
        let mut batch = Batch { submissions, deadline, open, attempts: 0, contentions: 0 };
        loop {
            let mut progress = Progress::default();
            let attempt = Box::pin(attempt(self, submissions, moment, lock_timeout, &mut progress));
            let result = timeout_at(deadline, attempt).await;
            let result =
                result.unwrap_or_else(|_| Err(Failure::Lost("the database did not answer in time".into())));
            match batch.judge(result, progress) {
                Verdict::Done(replies) => {
                    if lock_timeout.is_some() {
                        self.held().note(&Needs::of(submissions).accounts, &HashSet::new());
                    }
                    return Ok(replies);
                }
                Verdict::Failed(error) => return Err(error),
                Verdict::Again(wait) => tokio::time::sleep(wait).await,
                Verdict::Split => return self.halves(submissions, bounds).await,
                Verdict::Around(wait, cause) => {
                    let held = self.find_held(submissions, deadline).await;
                    if lock_timeout.is_some() {
                        return Ok(each_failed(submissions, &RepoError::Unavailable(cause)).collect());
                    }
                    if !held.is_empty() {
                        return self.run_around(held, submissions, bounds).await;
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Runs what does not need these accounts, then gives the rest one brief try.
    async fn run_around(
        &self,
        held: HashSet<UserId>,
        submissions: &[Submission],
        bounds: Bounds,
    ) -> Result<Vec<Reply>, RepoError> {
        let parts = Parts::of(submissions, held, |_, _| false);
        let first = Box::pin(self.run_within(&parts.first, bounds)).await?;
        let briefly = Bounds { lock_timeout: Some(LOCK_BRIEFLY), ..bounds };
        match Box::pin(self.run_within(&parts.apart, briefly)).await {
            // Nothing has been answered yet: it is the whole batch that failed.
            Err(error) if parts.first.is_empty() => Err(error),
            apart => Ok(parts.answered(first, apart)),
        }
    }

    /// Runs the halves one after the other: in the end the poisoned command fails alone.
    async fn halves(&self, submissions: &[Submission], bounds: Bounds) -> Result<Vec<Reply>, RepoError> {
        let (first, second) = submissions.split_at(submissions.len() / 2);
        let mut replies = Box::pin(self.run_within(first, bounds)).await?;
        match Box::pin(self.run_within(second, bounds)).await {
            Ok(more) => replies.extend(more),
            // The first half may be durable: from here on every submission answers for itself.
            Err(error) => replies.extend(each_failed(second, &error)),
        }
        Ok(replies)
    }
}

/// What is known of a batch after some attempts.
struct Batch<'a> {
    submissions: &'a [Submission],
    deadline: Instant,
    /// The answers of attempts whose commit was sent and not answered.
    open: Vec<Vec<Reply>>,
    attempts: u32,
    contentions: u32,
}

impl Batch<'_> {
    fn judge(&mut self, result: Result<Vec<Reply>, Failure>, progress: Progress) -> Verdict {
        self.attempts += 1;
        let failure = match result {
            Ok(replies) => {
                return Verdict::Done(reconcile(self.submissions, std::mem::take(&mut self.open), replies));
            }
            Err(failure) => failure,
        };
        self.open.extend(progress.commit_sent);
        tracing::warn!(attempt = self.attempts, open = self.open.len(), ?failure, "a batch did not succeed");
        self.after(failure)
    }

    fn after(&mut self, failure: Failure) -> Verdict {
        let may_repeat = match &failure {
            Failure::Lost(_) | Failure::Away(_) => true,
            // While an earlier commit is open, its backend may be the one that holds the lock: this batch stays whole.
            Failure::Locked(cause) if self.open.is_empty() => {
                return Verdict::Around(jitter(self.attempts), cause.clone());
            }
            Failure::Contention(_) | Failure::Locked(_) | Failure::Duplicate(_) => {
                self.contentions += 1;
                let most = if matches!(failure, Failure::Duplicate(_)) { 1 } else { CONTENTIONS_MAX };
                self.contentions <= most
            }
            Failure::Busy | Failure::Unconfirmed(_) | Failure::Data(_) | Failure::Defect(_) => false,
        };
        let wait = jitter(self.attempts);
        if may_repeat && Instant::now() + wait < self.deadline {
            return Verdict::Again(wait);
        }
        if !self.open.is_empty() {
            return Verdict::Failed(failure.into_unknown());
        }
        match failure {
            Failure::Data(_) | Failure::Duplicate(_) if self.submissions.len() > 1 => Verdict::Split,
            Failure::Data(cause) | Failure::Duplicate(cause) => {
                Verdict::Done(vec![Err(SubmitError::Failed(RepoError::Internal(cause)))])
            }
            other => Verdict::Failed(other.into_error()),
        }
    }
}
