//! One attempt at a batch: read, decide, write if unchanged.

use std::time::Duration;

use balance_domain::{Decided, Moment, Needs, Submission, decide_batch, ports::Reply};
use deadpool_postgres::ClientWrapper;
use futures::future::join3;

use crate::{
    PostgresStore,
    cache::Written,
    contention::Course,
    error::Failure,
    records::Records,
    statements::{BEGIN_LOCKED, CLAIM_ACCOUNTS, COMMIT, CONFIRM, LOCK_ACCOUNTS, ROLLBACK},
    store::query,
};

use super::{load::ReadSet, write::Writing};

/// What is to be attempted.
pub(super) struct Attempt<'a> {
    pub(super) store: &'a PostgresStore,
    pub(super) submissions: &'a [Submission],
    pub(super) course: Course,
    /// How long the server waits for a row, where that is not as usual.
    pub(super) lock_timeout: Option<Duration>,
    /// Whether an earlier attempt at the same may have been committed.
    pub(super) is_retry: bool,
}

/// How far an attempt has come, for when it fails or is cut off.
#[derive(Default)]
pub(super) struct Progress {
    /// The answers that hold if what was sent, and may have been committed, was.
    pub(super) sent: Option<Vec<Reply>>,
    /// Whether anything was decided on cached rows.
    pub(super) rests_on_cache: bool,
    /// A transaction is open that no commit was sent for.
    is_open: bool,
}

impl Attempt<'_> {
    /// Runs it to its end. The connection goes back to the pool if it is in order.
    pub(super) async fn run(&self, progress: &mut Progress) -> Result<Vec<Reply>, Failure> {
        let lease = self.store.lease_for_batch().await?;
        let result = self.decide_and_write(lease.client(), progress).await;
        if result.as_ref().is_err_and(|failure| !failure.is_open()) {
            progress.sent = None;
        }
        let is_fit = result.as_ref().err().is_none_or(Failure::leaves_connection_fit);
        if is_fit && (!progress.is_open || lease.client().batch_execute(ROLLBACK).await.is_ok()) {
            lease.give_back();
        }
        result
    }

    async fn decide_and_write(
        &self,
        client: &ClientWrapper,
        progress: &mut Progress,
    ) -> Result<Vec<Reply>, Failure> {
        let mut read = self.sources();
        if self.course == Course::Locked {
            self.lock(client, &read, progress).await?;
        }
        let (Decided { replies, mut changes }, moment) = self.decide(client, &mut read).await?;
        progress.rests_on_cache = read.rests_on_cache();
        // A retry takes the versions away from the first attempt, also where it changes nothing itself: the clock may
        // have moved between the two, so that the same rows do not prove that both decide the same.
        let beside =
            if self.is_retry { read.unwritten(&changes) } else { read.beside(self.submissions, &changes) };
        if changes.accounts.is_empty() && beside.is_empty() {
            return self.answer(client, replies, progress).await;
        }
        if !beside.is_empty() {
            changes.accounts.extend(beside);
            changes.accounts.sort_unstable_by_key(|account| (account.user_id.bucket(), account.user_id));
        }
        let writing = Writing::new(&changes, &read, moment)?;
        progress.sent = Some(replies);
        // A single statement travels with its commit: from here on its outcome may be unknown.
        let warnings = self.store.connector().warnings();
        let after = if progress.is_open {
            // Ready before the commit leaves: otherwise that would come first. Until then there is something to roll
            // back.
            writing.prepare(client).await?;
            progress.is_open = !writing.is_one_statement();
            writing.and_commit(client).await?
        } else if writing.is_one_statement() {
            writing.alone(client).await?
        } else {
            progress.is_open = true;
            writing.in_transaction(client).await?
        };
        progress.is_open = false;
        self.refuse_warnings(warnings)?;
        self.store.cache().learn(&Written {
            changes: &changes,
            before: &read.versions(),
            after: &after,
            active: &read.active(),
            services: &writing.confirmed_services(),
        });
        Ok(progress.sent.take().unwrap_or_default())
    }

    fn sources(&self) -> ReadSet {
        let needs = Needs::of(self.submissions);
        if self.course == Course::Cached {
            return ReadSet::cached(needs, self.store.cache());
        }
        ReadSet::empty(needs)
    }

    /// Begins a transaction that holds the rows of all accounts, whether they exist or not. All statements leave at
    /// once.
    async fn lock(
        &self,
        client: &ClientWrapper,
        read: &ReadSet,
        progress: &mut Progress,
    ) -> Result<(), Failure> {
        let mut beginning = BEGIN_LOCKED.to_owned();
        if let Some(timeout) = self.lock_timeout {
            beginning = format!("{beginning}; SET LOCAL lock_timeout = {}", timeout.as_millis());
        }
        let accounts = Records(read.users());
        client.prepare_cached(CLAIM_ACCOUNTS).await?;
        client.prepare_cached(LOCK_ACCOUNTS).await?;
        progress.is_open = true;
        let (begun, claimed, locked) = join3(
            client.batch_execute(&beginning),
            query(client, CLAIM_ACCOUNTS, &[&accounts]),
            query(client, LOCK_ACCOUNTS, &[&accounts]),
        )
        .await;
        begun?;
        claimed?;
        locked.map(drop)
    }

    /// Decides on cached rows where possible. Submissions that the write would not confirm (refusals, replays) are
    /// decided again on a snapshot; a second time, everything is read.
    async fn decide(&self, client: &ClientWrapper, read: &mut ReadSet) -> Result<(Decided, Moment), Failure> {
        let mut wanted = read.missing();
        let mut has_read = false;
        loop {
            let mut moment = self.store.moment()?;
            if let Some(users) = wanted {
                read.read(client, users, moment).await?;
                read.correct(self.store.cache());
                if let Some(closed_until) = read.closed_until() {
                    self.store.note_closed(closed_until);
                    moment = moment.closed_until(closed_until);
                }
            }
            let decided = decide_batch(read.rows(moment), self.submissions, moment);
            wanted = read.unproven(self.submissions, &decided.replies, &decided.changes);
            if wanted.is_none() {
                return Ok((decided, moment));
            }
            if has_read {
                // Others move on while this looks: now everything, which leaves nothing unproven.
                wanted = Some(read.users().iter().copied().collect());
            }
            has_read = true;
        }
    }

    /// Answers what changes nothing. What was done before is answered for once all standbys that must have it have it.
    async fn answer(
        &self,
        client: &ClientWrapper,
        replies: Vec<Reply>,
        progress: &mut Progress,
    ) -> Result<Vec<Reply>, Failure> {
        let is_replay = |reply: &Reply| reply.as_ref().is_ok_and(|all| all.iter().any(|one| one.is_replay));
        if self.is_retry || replies.iter().any(is_replay) {
            progress.sent = Some(replies.clone());
            let warnings = self.store.connector().warnings();
            query(client, CONFIRM, &[]).await?;
            self.commit(client, progress).await?;
            self.refuse_warnings(warnings)?;
            progress.sent = None;
        } else {
            self.commit(client, progress).await?;
        }
        Ok(replies)
    }

    async fn commit(&self, client: &ClientWrapper, progress: &mut Progress) -> Result<(), Failure> {
        if std::mem::take(&mut progress.is_open) {
            client.batch_execute(COMMIT).await?;
        }
        Ok(())
    }

    fn refuse_warnings(&self, before: u64) -> Result<(), Failure> {
        if self.store.connector().warnings() == before {
            return Ok(());
        }
        Err(Failure::Unconfirmed("the server warned while it committed".into()))
    }
}
