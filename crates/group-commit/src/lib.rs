//! A [`BalanceRepo`] around a [`BalanceRepo`]: merges concurrent calls into one transaction.
//!
//! A commit costs about the same whether it carries one command or a thousand. So while one batch commits, the
//! next gathers: everything that arrives in the meantime leaves together. There is no timer and no added wait:
//! a call that finds its lane idle leaves at once.
//!
//! ```text
//! execute ──► lane of each submission's users ──► queue ──► runner ──► inner.execute(all) ──► replies
//! accounts ─► one that the store recalls: answered at once, and not counted as a batch
//!          ─► read lane ─► idle: straight through; busy: queue ──► runner ──► inner.accounts(each user once)
//! the rest ─► straight through
//! ```
//!
//! # Invariants
//!
//! - Submissions that share an account keep their order, within a call and within a lane; replies come in the
//!   call's order. A call is split by lane only if each of its submissions has one lane; a submission is never
//!   split.
//! - The runner owns the transaction. A caller that goes away changes nothing: what was queued is executed.
//! - Queues are bounded by count and bytes, and by age where more waits than one batch carries. What does not fit is
//!   refused at once and not executed.
//! - One submission that makes the store panic or fail internally does not affect its neighbours: the batch is
//!   bisected and retried. `bisect.rs` says why that is safe.
//! - A read joins only a batch that was not sent yet, so that it sees every reply given before it started.
//! - No caller waits for ever because of this crate: a runner survives a panic and answers the calls of its batch
//!   with an error; calls that wait when the runtime shuts down get one too. The store must bound its own time.

mod bisect;
mod lane;
mod metrics;
mod options;
mod queue;
mod reads;
mod spans;
mod split;
mod unwind;
mod writes;

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use balance_domain::{
    AccountAsOf, DryRun, IdempotencyKey, Operation, OperationPosition, OperationQuery, Page, Reservation,
    ReservationKey, ReservationPosition, ReservationQuery, ReservationSearch, SearchPosition, Submission,
    UserId,
    ports::{BalanceRepo, LedgerSink, Reply, RepoError},
};
use tokio::runtime::Handle;

use self::{
    lane::Lane,
    reads::{ReadRequest, Reads},
    split::Route,
    writes::{WriteRequest, Writes},
};
pub use self::{metrics::describe, options::GroupCommitOptions};

/// Merges concurrent calls of `execute` into one transaction, and those of `accounts` into one query.
pub struct GroupCommit {
    inner: Arc<dyn BalanceRepo>,
    writes: Vec<Arc<Lane<Writes>>>,
    reads: Arc<Lane<Reads>>,
    is_draining: AtomicBool,
}

impl GroupCommit {
    /// Puts queues in front of `inner`.
    ///
    /// Batches run on the runtime that this is called in, wherever calls come from; that should be a
    /// multi-thread one. Install the metrics recorder first: the handles are taken here.
    ///
    /// # Panics
    ///
    /// Outside of a tokio runtime.
    pub fn new(inner: Arc<dyn BalanceRepo>, options: GroupCommitOptions) -> Self {
        let runtime = Handle::current();
        let writes = (0..options.lanes.clamp(1, GroupCommitOptions::LANES_MAX))
            .map(|index| {
                let work = Writes::new(inner.clone());
                Lane::new(work, options.write_limits(), metrics::for_writes(index), runtime.clone())
            })
            .collect();
        let work = Reads::new(inner.clone());
        let reads = Lane::new(work, options.read_limits(), metrics::for_reads(), runtime);
        Self { inner, writes, reads, is_draining: AtomicBool::new(false) }
    }

    /// Waits until all queued work is answered. From the call on, new work is refused with
    /// [`RepoError::Unavailable`] and [`ready`](BalanceRepo::ready) says so too. May be called more than once.
    pub async fn drain(&self) {
        self.is_draining.store(true, Ordering::Relaxed);
        self.writes.iter().for_each(|lane| lane.close());
        self.reads.close();
        for lane in &self.writes {
            lane.idle().await;
        }
        self.reads.idle().await;
    }

    /// Runs a call whose submissions belong to several lanes, each in its own.
    async fn execute_split(
        &self,
        submissions: Vec<Submission>,
        lanes: &[usize],
    ) -> Result<Vec<Reply>, RepoError> {
        let shares = split::split_by_lane(submissions, lanes, self.writes.len());
        let shares: Vec<_> =
            shares.into_iter().map(|(lane, share)| (lane, writes::size_of(&share), share)).collect();
        // A caller who meets a full lane is refused as a whole, before any of the call is queued.
        for (lane, size, _) in &shares {
            self.writes[*lane].admit_or_refuse(*size)?;
        }
        // All are queued before any is waited for: they run side by side, even if the caller goes away.
        let queue = |(lane, size, submissions): (usize, _, _)| {
            (lane, self.writes[lane].queue(WriteRequest { submissions }, size))
        };
        let waiting: Vec<_> = shares.into_iter().map(queue).collect();
        let mut answers = vec![Ok(Vec::new()); self.writes.len()];
        for (lane, share) in waiting {
            answers[lane] = share.answer().await;
        }
        split::merge_replies(answers, lanes)
    }
}

#[async_trait]
impl BalanceRepo for GroupCommit {
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        if submissions.is_empty() {
            return Ok(Vec::new());
        }
        match Route::of(&submissions, self.writes.len()) {
            Route::Whole(lane) => {
                let size = writes::size_of(&submissions);
                self.writes[lane].submit(WriteRequest { submissions }, size).await
            }
            Route::Split(lanes) => self.execute_split(submissions, &lanes).await,
        }
    }

    async fn accounts(&self, user_ids: Vec<UserId>) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        if let [user_id] = user_ids[..]
            && let Some(account) = self.recall_account(user_id)
        {
            return Ok(vec![Some(account)]);
        }
        let size = reads::size_of(&user_ids);
        self.reads.direct_or_submit(ReadRequest { user_ids }, size).await
    }

    fn recall_account(&self, user_id: UserId) -> Option<AccountAsOf> {
        if self.is_draining.load(Ordering::Relaxed) { None } else { self.inner.recall_account(user_id) }
    }

    async fn reservation(&self, key: ReservationKey) -> Result<Option<Reservation>, RepoError> {
        self.inner.reservation(key).await
    }

    async fn reservations(
        &self,
        query: ReservationQuery,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError> {
        self.inner.reservations(query).await
    }

    async fn operations(
        &self,
        query: OperationQuery,
    ) -> Result<Page<Operation, OperationPosition>, RepoError> {
        self.inner.operations(query).await
    }

    /// Not through a lane: it waits for nobody, and nobody waits for it.
    async fn dry_run(&self, submissions: Vec<Submission>) -> Result<DryRun, RepoError> {
        self.inner.dry_run(submissions).await
    }

    async fn search_reservations(
        &self,
        search: ReservationSearch,
    ) -> Result<Page<Reservation, SearchPosition>, RepoError> {
        self.inner.search_reservations(search).await
    }

    async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError> {
        self.inner.operation_by_key(user_id, key).await
    }

    async fn due_users(&self, users_max: u32) -> Result<Vec<UserId>, RepoError> {
        self.inner.due_users(users_max).await
    }

    async fn scan(&self, sink: Arc<dyn LedgerSink>) -> Result<(), RepoError> {
        self.inner.scan(sink).await
    }

    async fn ready(&self) -> Result<(), RepoError> {
        if self.is_draining.load(Ordering::Relaxed) {
            return Err(lane::closed());
        }
        self.inner.ready().await
    }
}
