//! Batches: read, decide, write if unchanged; again until the outcome is certain or time is up.
//!
//! Every write of a user's data also gives the account's row a new random version. The write succeeds only if each
//! account still has the version that was read (optimistic concurrency), so no lock is held while the batch is
//! decided:
//!
//! | Course | Round trips | Statements | Locks, until the commit |
//! |---|---|---|---|
//! | cached | 1 | `WRITE_…` | accounts that are opened, in their order; then rows written, in theirs |
//! | cached in part, or refused on the cache | 2 | `SNAPSHOT`; `WRITE_…` | the same |
//! | fresh: after a conflict | 2 | `SNAPSHOT`; `WRITE_…` | the same |
//! | locked: after two conflicts | 3 | `BEGIN`, `CLAIM_ACCOUNTS`, `LOCK_ACCOUNTS`; `SNAPSHOT`; `WRITE_…`, `COMMIT` | `services` against removal, then all accounts named: those without a row first |
//! | nothing is written | 1 | `SNAPSHOT` | none |
//! | repeats, and nothing is written | 2 | `SNAPSHOT`; `CONFIRM` | none |
//! | a service is reserved for the first time, an account is closed | +3 | `BEGIN`; `WRITE_…`; `MARK_SERVICES_USED`, `ERASE_COMMENTS`; `COMMIT` | as above, then the rows of the services |
//!
//! What confirms that nothing has changed: the account's version; for a key, the unique index over keys; for a
//! reservation that is made, its primary key; for a service, a count under the lock that a removal waits for. A
//! refusal, or the answer to a repeat, is not written, so it is never given out of the cache.
//!
//! If a commit gets no answer, its outcome is unknown, and the batch is retried on a new snapshot. (1) The snapshot has
//! the first attempt's write: the keys make it a replay. (2) It has the rows that the first attempt read: the retry
//! changes their versions, so that the first attempt can no longer commit. (3) It has newer rows: the first attempt
//! conflicts as well. What has expired by the time of the retry is written, too. Replays are acknowledged only after a
//! commit that every synchronous standby has confirmed.
//!
//! An account that somebody else holds for long must not hold up the others: see `around`.

mod around;
mod attempt;
mod load;
mod parts;
mod reconcile;
mod write;

use std::time::Duration;

use balance_domain::{
    DryRun, Needs, Rows, Submission, decide_batch, dry_run,
    ports::{Cause, Reply, RepoError, SubmitError},
};
use tokio::time::{Instant, timeout_at};

use crate::{PostgresStore, contention::Course, error::Failure, store::jitter};
use attempt::{Attempt, Progress};
use load::ReadSet;
use parts::each_failed;
use reconcile::reconcile;

/// After as many conflicts a batch has its rows locked first.
const CONFLICTS_UNLOCKED_MAX: u32 = 2;

/// How often others may be in the way of one batch.
const CONFLICTS_MAX: u32 = 8;

/// What to do with a batch after an attempt.
enum Verdict {
    Done(Vec<Reply>),
    Again(Duration),
    /// An account may be locked by somebody else.
    Around(Duration, Cause),
    Bisect,
    Failed(RepoError),
}

/// How long a batch may take.
#[derive(Clone, Copy)]
struct Bounds {
    deadline: Instant,
    /// How long the server waits for a row, where that is not as usual: then all rows are locked first.
    lock_timeout: Option<Duration>,
}

impl PostgresStore {
    /// Runs a batch to its end.
    pub(crate) async fn run(&self, submissions: &[Submission]) -> Result<Vec<Reply>, RepoError> {
        if submissions.iter().all(|submission| submission.commands.is_empty()) {
            return Ok(decide_batch(Rows::default(), submissions, self.moment()?).replies);
        }
        let bounds = Bounds { deadline: Instant::now() + self.options().deadline, lock_timeout: None };
        let locked = self.contention().locked_accounts(Instant::now());
        if locked.is_empty() {
            return self.run_whole(submissions, bounds).await;
        }
        self.run_around(locked, submissions, bounds).await
    }

    /// What the submissions would do, decided on one snapshot: nothing is locked or written.
    pub(crate) async fn decided_only(&self, submissions: &[Submission]) -> Result<DryRun, RepoError> {
        let moment = self.moment()?;
        let once = || async {
            let lease = self.lease_for_read().await?;
            let mut read = ReadSet::empty(Needs::of(submissions));
            let users = read.users().iter().copied().collect();
            let result = read.read(lease.client(), users, moment).await;
            lease.used(result)?;
            Ok(dry_run(read.rows(moment), submissions, moment))
        };
        self.repeated_in_time(once).await
    }

    /// Runs a batch whose accounts are not known to be locked by anybody, or only for a moment.
    async fn run_whole(&self, submissions: &[Submission], bounds: Bounds) -> Result<Vec<Reply>, RepoError> {
        if submissions.is_empty() {
            return Ok(Vec::new());
        }
        let mut batch = Batch::new(self, submissions, bounds);
        loop {
            match batch.attempt().await {
                Verdict::Done(replies) => {
                    if bounds.lock_timeout.is_some() {
                        self.contention().note_locked(&Needs::of(submissions).accounts, &[].into());
                    }
                    return Ok(replies);
                }
                Verdict::Failed(error) => return Err(error),
                Verdict::Again(wait) => tokio::time::sleep(wait).await,
                Verdict::Bisect => return self.bisected(submissions, bounds).await,
                Verdict::Around(wait, cause) => {
                    let locked = self.find_locked(submissions, bounds.deadline).await;
                    if bounds.lock_timeout.is_some() {
                        return Ok(each_failed(submissions, &RepoError::Unavailable(cause)).collect());
                    }
                    if !locked.is_empty() {
                        return self.run_around(locked, submissions, bounds).await;
                    }
                    tokio::time::sleep(wait).await;
                }
            }
        }
    }

    /// Runs the halves one after the other: in the end the poisoned command fails alone.
    async fn bisected(&self, submissions: &[Submission], bounds: Bounds) -> Result<Vec<Reply>, RepoError> {
        let (first, second) = submissions.split_at(submissions.len() / 2);
        let mut replies = Box::pin(self.run_whole(first, bounds)).await?;
        match Box::pin(self.run_whole(second, bounds)).await {
            Ok(more) => replies.extend(more),
            // The first half may be durable: from here on every submission answers for itself.
            Err(error) => replies.extend(each_failed(second, &error)),
        }
        Ok(replies)
    }
}

/// A batch, and what is known of it after some attempts.
struct Batch<'a> {
    store: &'a PostgresStore,
    submissions: &'a [Submission],
    bounds: Bounds,
    first_course: Course,
    /// The answers of attempts whose commit was sent and not answered.
    open: Vec<Vec<Reply>>,
    attempts: u32,
    conflicts: u32,
    contentions: u32,
}

impl<'a> Batch<'a> {
    fn new(store: &'a PostgresStore, submissions: &'a [Submission], bounds: Bounds) -> Self {
        let first_course = match bounds.lock_timeout {
            Some(_) => Course::Locked,
            None => store.contention().course(Instant::now()),
        };
        Self {
            store,
            submissions,
            bounds,
            first_course,
            open: Vec::new(),
            attempts: 0,
            conflicts: 0,
            contentions: 0,
        }
    }

    async fn attempt(&mut self) -> Verdict {
        let course = self.course();
        let attempt = Attempt {
            store: self.store,
            submissions: self.submissions,
            course,
            lock_timeout: self.bounds.lock_timeout,
            is_retry: !self.open.is_empty(),
        };
        let mut progress = Progress::default();
        let running = Box::pin(attempt.run(&mut progress));
        let result = timeout_at(self.bounds.deadline, running).await;
        let result = result.unwrap_or_else(|_| Err(Failure::late()));
        self.attempts += 1;
        self.note(&result, course, progress.rests_on_cache);
        match result {
            Ok(replies) => {
                Verdict::Done(reconcile(self.submissions, std::mem::take(&mut self.open), replies))
            }
            Err(failure) => {
                self.open.extend(progress.sent);
                self.after(failure)
            }
        }
    }

    /// What this attempt is decided on.
    fn course(&self) -> Course {
        match (self.conflicts, self.open.is_empty()) {
            (0, true) => self.first_course,
            (CONFLICTS_UNLOCKED_MAX.., _) => Course::Locked,
            _ => self.first_course.max(Course::Fresh),
        }
    }

    fn note(&self, result: &Result<Vec<Reply>, Failure>, course: Course, on_cached: bool) {
        let contention = self.store.contention();
        match result {
            Ok(_) => contention.succeeded(course, on_cached),
            Err(failure @ Failure::Conflict(_)) => {
                contention.conflicted(course, on_cached, Instant::now());
                tracing::debug!(?failure, ?course, "a batch was not written: something has changed");
            }
            Err(failure) => {
                if on_cached && failure.is_open() {
                    contention.lost();
                }
                let (attempt, open) = (self.attempts, self.open.len());
                // Each of its calls writes a line of its own once the last attempt has failed.
                tracing::debug!(attempt, open, ?failure, "a batch did not succeed");
            }
        }
    }

    fn after(&mut self, failure: Failure) -> Verdict {
        let may_repeat = match &failure {
            Failure::Lost(_) | Failure::Away(_) | Failure::Unconfirmed(_) => true,
            Failure::Conflict(_) => {
                self.conflicts += 1;
                self.conflicts <= CONFLICTS_MAX
            }
            // While an earlier commit is open, its backend may be the one that holds the lock: this batch stays whole.
            Failure::Locked(cause) if self.open.is_empty() => {
                return Verdict::Around(jitter(self.attempts), cause.clone());
            }
            Failure::Contention(_) | Failure::Locked(_) => {
                self.contentions += 1;
                self.contentions <= CONFLICTS_MAX
            }
            Failure::Full(_)
            | Failure::ClockUnsafe(_)
            | Failure::Busy
            | Failure::Data(_)
            | Failure::Defect(_) => false,
        };
        // Who conflicts for the first time has waited for the other already.
        let is_first_conflict =
            matches!(failure, Failure::Conflict(_)) && self.conflicts <= CONFLICTS_UNLOCKED_MAX;
        let wait = if is_first_conflict { Duration::ZERO } else { jitter(self.attempts) };
        if may_repeat && Instant::now() + wait < self.bounds.deadline {
            return Verdict::Again(wait);
        }
        if !self.open.is_empty() {
            return Verdict::Failed(failure.into_unknown());
        }
        match failure {
            Failure::Data(_) | Failure::Conflict(_) if self.submissions.len() > 1 => Verdict::Bisect,
            Failure::Data(cause) | Failure::Conflict(cause) => {
                Verdict::Done(vec![Err(SubmitError::Failed(RepoError::Internal(cause)))])
            }
            other => Verdict::Failed(other.into_error()),
        }
    }
}
