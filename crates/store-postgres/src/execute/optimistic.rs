//! The optimistic attempt: a batch whose accounts were all here a moment ago is decided on what they were then, and
//! written in one round trip in the place of two, without a look at keys, reservations or locks.
//!
//! What it was decided on is confirmed by the statements that write, in their transaction:
//!
//! - **Accounts**: each row is still of the version that was decided on. Whatever changes for a user is written together
//!   with their account's row, reservations too, so an equal version means that all of it is as it was.
//! - **Keys**: the unique index refuses one that was used before. (Before the batch: within it the decision sees to that.)
//! - **Reservations that are made**: refused if the row exists.
//! - **Services**: counted, under the lock that a removal waits for.
//!
//! One that is not confirmed ends the transaction, and the whole batch runs again under locks. So does every
//! command that would be refused: only what is written is confirmed. Nothing is answered on the strength of memory alone.
//!
//! Where nobody knows whether the commit happened, the same commands run again under locks, at the same time. The old
//! transaction may not even have begun and hold no lock that the new one would wait for; all the same only one of them can
//! happen. Either the new one finds every row as it was remembered: then it decides the same and writes, which gives the
//! rows another version. Or it does not, and then the old one is not confirmed either.
//!
//! Other instances that write the same accounts make this fail. It then rests, longer each time, so that in the end
//! nearly everything goes under locks.

use std::collections::HashSet;

use balance_domain::{
    Changes, Moment, Submission, decide_batch,
    ports::{Reply, RepoError},
};
use tokio::time::{Instant, timeout_at};

use crate::{PostgresStore, failure::Failure, statements::ROLLBACK, store::Lease};

use super::{
    Bounds,
    parts::Parts,
    recent::Taken,
    write::{WriteFailure, change},
};

/// How often what would be refused is set apart before all goes under locks.
const ROUNDS_MAX: usize = 3;

/// A part of a batch, decided on what is known.
struct Plan<'a> {
    parts: Parts<'a>,
    replies: Vec<Reply>,
    changes: Changes,
    taken: Taken,
}

/// What became of the attempt.
enum Outcome {
    Done(Vec<Reply>),
    /// Not begun: no connection, or one to a server that nothing is known of.
    NotBegun(Failure),
    /// For certain not: something was not confirmed, or somebody was in the way.
    NotDone(Failure),
    /// Nobody knows: these are the answers if it did happen.
    Open(Failure, Vec<Reply>),
}

/// Gives a connection back whose transaction failed: the server has answered everything. After some failures a new
/// connection is better, as under locks.
async fn undo(mut lease: Lease, failure: &Failure) {
    let is_fit = !matches!(failure, Failure::Away(_) | Failure::Defect(_));
    if is_fit && lease.session().run(ROLLBACK).await.is_ok() {
        lease.give_back();
    }
}

impl PostgresStore {
    /// Runs a batch, as much of it as can be without a look at the database first.
    pub(super) async fn run_optimistically(
        &self,
        submissions: &[Submission],
        bounds: Bounds,
    ) -> Result<Vec<Reply>, RepoError> {
        let Some(Plan { parts, replies, changes, taken }) = self.plan(submissions, bounds.moment) else {
            return self.run_within(submissions, bounds).await;
        };
        let first = match self.attempt_in_time(changes, replies, taken, bounds.deadline).await {
            Outcome::Done(replies) => replies,
            Outcome::NotBegun(Failure::Busy) => return Err(Failure::Busy.into_error()),
            Outcome::NotBegun(_) => return self.run_within(submissions, bounds).await,
            Outcome::NotDone(failure) => return self.run_overtaken(&failure, submissions, bounds).await,
            // It did happen, though not as safely as it should: nothing that runs now makes it safer.
            Outcome::Open(failure @ Failure::Unconfirmed(_), _) => return Err(failure.into_unknown()),
            Outcome::Open(failure, replies) => {
                tracing::warn!(?failure, "nobody knows whether a batch was committed");
                self.recent().rest(Instant::now());
                self.run_again(&parts.first, bounds, vec![replies]).await?
            }
        };
        let apart = Box::pin(self.run_within(&parts.apart, bounds)).await;
        Ok(parts.answered(first, apart))
    }

    /// Decides what can be decided on what is known; `None` where that is too little to be worth a transaction of its own.
    fn plan<'a>(&self, submissions: &'a [Submission], moment: Moment) -> Option<Plan<'a>> {
        let mut refused = HashSet::new();
        for _ in 0..ROUNDS_MAX {
            let parts = {
                let is_known = self.recent().judge(Instant::now())?;
                Parts::of(submissions, HashSet::new(), |index, submission| {
                    refused.contains(&index) || !is_known(submission)
                })
            };
            if parts.apart.len() * 4 > submissions.len() {
                return None;
            }
            let taken = self.recent().take(&parts.first)?;
            let decided = decide_batch(taken.rows(), &parts.first, moment);
            if decided.replies.iter().all(Result::is_ok) && !decided.changes.accounts.is_empty() {
                return Some(Plan { parts, replies: decided.replies, changes: decided.changes, taken });
            }
            let replies = parts.places_of_first().zip(&decided.replies);
            refused.extend(replies.filter(|(_, reply)| reply.is_err()).map(|(place, _)| place));
            self.recent().put_back(taken);
        }
        None
    }

    /// Writes what was decided, if all of it is confirmed.
    async fn attempt_in_time(
        &self,
        changes: Changes,
        replies: Vec<Reply>,
        taken: Taken,
        deadline: Instant,
    ) -> Outcome {
        let mut lease = match self.lease().await {
            Ok(lease) => lease,
            Err(failure) => {
                self.recent().put_back(taken);
                return Outcome::NotBegun(failure);
            }
        };
        if lease.session().era() != Some(taken.era()) {
            lease.give_back();
            return Outcome::NotBegun(Failure::Contention("another server took over".into()));
        }
        let written = timeout_at(deadline, Box::pin(change(lease.session(), &changes, &taken))).await;
        let late = || WriteFailure { failure: Failure::Lost("no answer in time".into()), is_open: true };
        match written.unwrap_or_else(|_| Err(late())) {
            Ok(versions) => {
                lease.give_back();
                self.recent().confirmed(taken, &changes, &versions);
                Outcome::Done(replies)
            }
            Err(WriteFailure { failure, is_open: true }) => {
                self.recent().put_back(taken);
                Outcome::Open(failure, replies)
            }
            Err(WriteFailure { failure, is_open: false }) => {
                self.recent().put_back(taken);
                undo(lease, &failure).await;
                Outcome::NotDone(failure)
            }
        }
    }

    /// Runs a batch under locks that was not confirmed.
    async fn run_overtaken(
        &self,
        failure: &Failure,
        submissions: &[Submission],
        bounds: Bounds,
    ) -> Result<Vec<Reply>, RepoError> {
        tracing::debug!(?failure, "a batch goes under locks: what it was decided on was not confirmed");
        self.recent().rest(Instant::now());
        if matches!(failure, Failure::Locked(_)) {
            let held = self.find_held(submissions, bounds.deadline).await;
            if !held.is_empty() {
                return self.run_around(held, submissions, bounds).await;
            }
        }
        self.run_within(submissions, bounds).await
    }
}
