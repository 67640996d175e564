//! Batches: one attempt after the other until the outcome is certain, or time is up.
//!
//! A commit that was sent and not answered may have happened. Then the same batch runs again, through the same
//! locks: they are held until the old commit has landed or was lost, and keys turn what did happen into replays.

mod attempt;
mod load;
mod reconcile;
mod write;

use std::time::Duration;

use balance_domain::{
    Rows, Submission, Timestamp, decide_batch,
    ports::{Reply, RepoError, SubmitError},
};
use tokio::time::{Instant, timeout_at};

use crate::{PostgresStore, failure::Failure, store::jitter};
use attempt::{Progress, attempt};
use reconcile::reconcile;

/// How often others may be in the way of one batch.
const CONTENTIONS_MAX: u32 = 8;

/// What to do with a batch after an attempt.
enum Verdict {
    Done(Vec<Reply>),
    Again(Duration),
    Split,
    Failed(RepoError),
}

impl PostgresStore {
    /// Runs a batch to its end.
    pub(crate) async fn run(
        &self,
        submissions: &[Submission],
        now: Timestamp,
    ) -> Result<Vec<Reply>, RepoError> {
        self.run_until(submissions, now, Instant::now() + self.options().deadline).await
    }

    async fn run_until(
        &self,
        submissions: &[Submission],
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Vec<Reply>, RepoError> {
        if submissions.iter().all(|submission| submission.0.is_empty()) {
            return Ok(decide_batch(Rows::default(), submissions, now).replies);
        }
        let mut batch = Batch { submissions, deadline, open: Vec::new(), attempts: 0, contentions: 0 };
        loop {
            let mut progress = Progress::default();
            let attempt = Box::pin(attempt(self, submissions, now, &mut progress));
            let result = timeout_at(deadline, attempt).await;
            let result =
                result.unwrap_or_else(|_| Err(Failure::Lost("the database did not answer in time".into())));
            match batch.judge(result, progress) {
                Verdict::Done(replies) => return Ok(replies),
                Verdict::Failed(error) => return Err(error),
                Verdict::Again(wait) => tokio::time::sleep(wait).await,
                Verdict::Split => return self.halves(submissions, now, deadline).await,
            }
        }
    }

    /// Runs the halves one after the other: in the end the poisoned command fails alone.
    async fn halves(
        &self,
        submissions: &[Submission],
        now: Timestamp,
        deadline: Instant,
    ) -> Result<Vec<Reply>, RepoError> {
        let (first, second) = submissions.split_at(submissions.len() / 2);
        let mut replies = Box::pin(self.run_until(first, now, deadline)).await?;
        match Box::pin(self.run_until(second, now, deadline)).await {
            Ok(more) => replies.extend(more),
            // The first half may be durable: from here on every submission answers for itself.
            Err(error) => replies.extend(second.iter().map(|_| Err(SubmitError::Failed(error.clone())))),
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
            Failure::Contention(_) | Failure::Duplicate(_) => {
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
