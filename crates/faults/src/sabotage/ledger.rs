//! The in-process ledger: locks, loads, decides, commits and answers as the real stores do, with pauses where
//! those wait for a disk, commits whose outcome is lost now and then, and one bug if asked for.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use balance_domain::{
    Account, AccountAsOf, Action, Actor, Amount, Changes, Command, Decided, Decision, DryRun, IdempotencyKey,
    Moment, MoneyCommand, Needs, Operation, OperationPosition, OperationQuery, Page, Period, Receipt,
    Rejection, Reservation, ReservationKey, ReservationPosition, ReservationQuery, ReservationSearch, Rows,
    SearchPosition, ServiceId, State, Submission, Timestamp, UserId, decide, decide_batch, decide_batch_by,
    ports::{BalanceRepo, Clock, LedgerSink, Reply, RepoError, SubmitError},
};
use tokio::sync::OwnedMutexGuard;

use crate::{
    sabotage::{bug::Bug, rows::Tables},
    target::Bookkeeping,
};

/// How long a lock is waited for: far longer than a loaded machine keeps a sound ledger waiting.
const LOCK_PATIENCE: Duration = Duration::from_secs(4);
/// One commit in this many loses its outcome; every second of those never happened.
const LOST_COMMITS: u64 = 40;
/// How far the lagging copy of [`Bug::StaleRead`] lags.
const COPY_LAG: Duration = Duration::from_millis(20);
/// How long an early answer of [`Bug::ReplyBeforeCommit`] is ahead of its commit.
const COMMIT_LAG: Duration = Duration::from_millis(15);

/// A ledger with at most one bug.
pub(super) struct ProofLedger {
    bug: Option<Bug>,
    clock: Arc<dyn Clock>,
    inner: Mutex<Inner>,
    locks: Mutex<HashMap<UserId, Arc<tokio::sync::Mutex<()>>>>,
    commits: AtomicU64,
}

#[derive(Default)]
struct Inner {
    /// What is visible.
    tables: Tables,
    /// What survives a crash.
    durable: Tables,
    /// Answered, but not durable yet.
    pending: Vec<(Instant, Changes)>,
    /// The lagging copy.
    copy: Option<(Instant, Tables)>,
    /// Number of crashes: what was in flight before one does not commit after it.
    epoch: u64,
}

impl Inner {
    fn flush(&mut self, until: Instant) {
        let due = self.pending.iter().take_while(|(at, _)| *at <= until).count();
        for (_, changes) in self.pending.drain(..due) {
            self.durable.apply(&changes);
        }
    }
}

impl ProofLedger {
    pub(super) fn new(bug: Option<Bug>, clock: Arc<dyn Clock>) -> Self {
        Self { bug, clock, inner: Mutex::default(), locks: Mutex::default(), commits: AtomicU64::new(0) }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    const fn has(&self, bug: Bug) -> bool {
        matches!(self.bug, Some(ours) if ours as u8 == bug as u8)
    }

    /// The machine crashes and restarts with what was durable.
    pub(super) fn crash(&self) {
        let mut inner = self.inner();
        inner.flush(Instant::now());
        inner.pending.clear();
        inner.tables = inner.durable.clone();
        inner.epoch += 1;
    }

    async fn lock(&self, accounts: &[UserId]) -> Result<Vec<OwnedMutexGuard<()>>, RepoError> {
        let mut guards = Vec::with_capacity(accounts.len());
        for user_id in accounts {
            let mutex = {
                let mut locks = self.locks.lock().unwrap_or_else(PoisonError::into_inner);
                Arc::clone(locks.entry(*user_id).or_default())
            };
            let waited = tokio::time::timeout(LOCK_PATIENCE, mutex.lock_owned()).await;
            guards.push(waited.map_err(|_| RepoError::Internal("deadlock detected".into()))?);
            tokio::task::yield_now().await;
        }
        Ok(guards)
    }

    /// One transaction. `None` if its outcome was lost.
    async fn transaction(&self, submissions: &[Submission]) -> Result<Option<Vec<Reply>>, RepoError> {
        let needs = Needs::of(submissions);
        let keyed_early = self.has(Bug::KeyCheckBeforeLock).then(|| self.inner().tables.keyed(&needs));
        let _guards = if self.has(Bug::LostUpdate) {
            Vec::new()
        } else if self.has(Bug::UnsortedLocks) {
            self.lock(&in_order_of_request(submissions, &needs)).await?
        } else {
            self.lock(&needs.accounts).await?
        };
        let moment = self.clock.moment()?;
        let (rows, epoch) = {
            let inner = self.inner();
            let keyed = keyed_early.unwrap_or_else(|| inner.tables.keyed(&needs));
            (inner.tables.load(&needs, keyed, moment), inner.epoch)
        };
        tokio::task::yield_now().await;
        let mut decided = self.decide(rows, submissions, moment);
        self.spoil_changes(&mut decided, &needs.accounts);
        for _ in 0..2 {
            tokio::task::yield_now().await;
        }
        self.commit(decided, epoch)
    }

    fn decide(&self, rows: Rows, submissions: &[Submission], moment: Moment) -> Decided {
        let is_sweep = submissions
            .iter()
            .flat_map(|submission| &submission.commands)
            .any(|command| matches!(command, Command::Expire { .. }));
        match self.bug {
            Some(Bug::ExpiryBySweeperOnly) if !is_sweep => {
                let decider = |state: &State, command: &Command, actor, _: Moment| {
                    decide(state, command, actor, moment)
                };
                decide_batch_by(decider, rows, submissions, long_ago())
            }
            Some(Bug::LostRefundCap) => decide_batch_by(refund_without_cap, rows, submissions, moment),
            _ => decide_batch(rows, submissions, moment),
        }
    }

    /// Bugs in what is written. Only locked accounts are touched: each ledger has one bug.
    fn spoil_changes(&self, decided: &mut Decided, locked: &[UserId]) {
        let changes = &mut decided.changes;
        match self.bug {
            Some(Bug::SequenceGap) => {
                let is_refused = |reply: &Reply| matches!(reply, Err(SubmitError::Rejected { .. }));
                if decided.replies.iter().any(is_refused) {
                    let inner = self.inner();
                    let written = changes.accounts.first().copied();
                    let stored =
                        || locked.iter().find_map(|user_id| inner.tables.accounts.get(user_id)).copied();
                    let burnt = written.or_else(stored);
                    changes.accounts.extend(burnt.map(|account| Account { seq: account.seq + 1, ..account }));
                }
            }
            Some(Bug::HalfTransfer) => {
                let is_income = changes.operations.len() == 2
                    && changes.operations[1].operation.counterparty_user_id.is_some();
                if is_income && self.commits.load(Ordering::Relaxed).is_multiple_of(50) {
                    let lost = changes.operations.remove(1).operation.user_id;
                    changes.accounts.retain(|account| account.user_id != lost);
                }
            }
            Some(Bug::ReleaseNotRecorded) => changes
                .operations
                .retain(|recorded| recorded.operation.kind != balance_domain::OperationKind::Release),
            _ => {}
        }
    }

    fn commit(&self, decided: Decided, epoch: u64) -> Result<Option<Vec<Reply>>, RepoError> {
        let number = self.commits.fetch_add(1, Ordering::Relaxed);
        let mut inner = self.inner();
        if inner.epoch != epoch {
            return Err(RepoError::Unknown("the machine stopped".into()));
        }
        let is_outcome_lost = number % LOST_COMMITS == 7;
        let is_undone = is_outcome_lost && number % (2 * LOST_COMMITS) == 7;
        let is_dropped = self.has(Bug::CommitTagIgnored) && number % LOST_COMMITS == 9;
        if !is_undone && !is_dropped {
            inner.tables.apply(&decided.changes);
            if self.has(Bug::ReplyBeforeCommit) {
                inner.pending.push((Instant::now() + COMMIT_LAG, decided.changes));
                inner.flush(Instant::now());
            } else {
                inner.durable.apply(&decided.changes);
            }
        }
        Ok((!is_outcome_lost).then_some(decided.replies))
    }

    /// Bugs in how a repeat is answered.
    fn spoil_replies(&self, replies: &mut [Reply]) {
        if !self.has(Bug::ReplayOfToday) {
            return;
        }
        let inner = self.inner();
        for accepted in replies.iter_mut().flatten().flatten().filter(|accepted| accepted.is_replay) {
            match &mut accepted.receipt {
                Receipt::Operation(operation) => {
                    if let Some(account) = inner.tables.accounts.get(&operation.user_id) {
                        operation.available_after = account.available;
                    }
                }
                Receipt::Reservation { reservation, .. } => {
                    if let Some(today) = inner.tables.reservations.get(&reservation.key) {
                        *reservation = *today;
                    }
                }
                Receipt::Account(_) => {}
            }
        }
    }

    fn copy(&self) -> Tables {
        let mut inner = self.inner();
        if !self.has(Bug::StaleRead) {
            return inner.tables.clone();
        }
        let is_fresh = inner.copy.as_ref().is_some_and(|(at, _)| at.elapsed() < COPY_LAG);
        if !is_fresh {
            inner.copy = Some((Instant::now(), inner.tables.clone()));
        }
        inner.copy.as_ref().map_or_else(Tables::default, |(_, tables)| tables.clone())
    }
}

/// Accounts as the requests name them.
fn in_order_of_request(submissions: &[Submission], needs: &Needs) -> Vec<UserId> {
    let mut users = Vec::new();
    for command in submissions.iter().flat_map(|submission| &submission.commands) {
        if let Command::Money(MoneyCommand { action: Action::Transfer { from, to, .. }, .. }) = command {
            users.extend([*from, *to]);
        }
    }
    users.extend(&needs.accounts);
    let mut seen = std::collections::HashSet::new();
    users.retain(|user_id| seen.insert(*user_id));
    users
}

/// A time at which nothing is due.
fn long_ago() -> Moment {
    Moment::new(Timestamp::MIN, Moment::TOLERANCE)
}

/// Decides a refund on a reservation that knows of no earlier refund.
fn refund_without_cap(
    state: &State,
    command: &Command,
    actor: Actor,
    moment: Moment,
) -> Result<Decision, Rejection> {
    let Command::Money(money) = command else { return decide(state, command, actor, moment) };
    let (Action::Refund { reservation: balance_domain::Hold { key, .. }, .. }, None) =
        (&money.action, state.answered(money.action.user_id(), &money.key))
    else {
        return decide(state, command, actor, moment);
    };
    let forgetful = |reservation: Reservation| Reservation { refunded: 0, ..reservation };
    let rows = Rows {
        accounts: vec![state.account(key.user_id)],
        reservations: state.reservation(*key).map(forgetful).into_iter().collect(),
        ..Rows::default()
    };
    decide(&State::new(rows, long_ago()).0, command, actor, moment)
}

/// The same commands with every amount through a 32-bit float of major units, rounded up.
fn rounded(submissions: &mut [Submission]) {
    #[expect(clippy::cast_precision_loss, clippy::cast_possible_truncation, reason = "this is the bug")]
    let round = |amount: &mut Amount| {
        let major = amount.get() as f32 / 100.0 + 0.004;
        *amount = Amount::new((major * 100.0).ceil() as i64).unwrap_or(*amount);
    };
    for command in submissions.iter_mut().flat_map(|submission| &mut submission.commands) {
        let Command::Money(command) = command else { continue };
        match &mut command.action {
            Action::Deposit { amount, .. }
            | Action::Withdraw { amount, .. }
            | Action::Transfer { amount, .. }
            | Action::Reserve { amount, .. } => round(amount),
            Action::Capture { amount, .. } | Action::Refund { amount, .. } => {
                amount.iter_mut().for_each(round);
            }
            Action::Release { .. } => {}
        }
    }
}

/// The same commands under keys that no client sent.
fn under_other_keys(submissions: &mut [Submission]) {
    for command in submissions.iter_mut().flat_map(|submission| &mut submission.commands) {
        if let Command::Money(command) = command
            && let Ok(key) = IdempotencyKey::new(format!("{}-again", command.key))
        {
            command.key = key;
        }
    }
}

#[async_trait]
impl BalanceRepo for ProofLedger {
    async fn execute(&self, mut submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        if self.has(Bug::AmountRounding) {
            rounded(&mut submissions);
        }
        loop {
            if let Some(mut replies) = self.transaction(&submissions).await? {
                self.spoil_replies(&mut replies);
                return Ok(replies);
            }
            if self.has(Bug::UnknownCalledFailed) {
                return Err(RepoError::Unavailable("the commit failed".into()));
            }
            if self.has(Bug::RetryWithoutKey) {
                under_other_keys(&mut submissions);
            }
        }
    }

    async fn accounts(&self, user_ids: Vec<UserId>) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        let tables = self.copy();
        let moment = self.clock.moment()?;
        let is_blind = self.has(Bug::ExpiryBySweeperOnly);
        let seen = |account: AccountAsOf| AccountAsOf { has_due: account.has_due && !is_blind, ..account };
        Ok(user_ids.into_iter().map(|user_id| tables.account_as_of(user_id, moment).map(seen)).collect())
    }

    async fn reservation(&self, key: ReservationKey) -> Result<Option<Reservation>, RepoError> {
        Ok(self.inner().tables.reservations.get(&key).copied())
    }

    async fn reservations(
        &self,
        query: ReservationQuery,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError> {
        Ok(self.inner().tables.reservations_page(&query))
    }

    async fn operations(
        &self,
        query: OperationQuery,
    ) -> Result<Page<Operation, OperationPosition>, RepoError> {
        Ok(self.inner().tables.operations_page(&query))
    }

    async fn dry_run(&self, _: Vec<Submission>) -> Result<DryRun, RepoError> {
        Err(RepoError::Overloaded)
    }

    async fn search_reservations(
        &self,
        _: ReservationSearch,
    ) -> Result<Page<Reservation, SearchPosition>, RepoError> {
        Err(RepoError::Overloaded)
    }

    async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError> {
        Ok(self.inner().tables.by_key(user_id, &key).map(|recorded| recorded.operation.clone()))
    }

    async fn due_users(&self, users_max: u32) -> Result<Vec<UserId>, RepoError> {
        let now = self.clock.moment()?.now();
        let inner = self.inner();
        let mut due: Vec<_> = inner.tables.reservations.values().filter(|r| r.is_due(now)).collect();
        due.sort_by_key(|reservation| reservation.expires_at);
        let mut users: Vec<UserId> = Vec::new();
        for reservation in due {
            if !users.contains(&reservation.key.user_id) && users.len() < users_max as usize {
                users.push(reservation.key.user_id);
            }
        }
        Ok(users)
    }

    async fn scan(&self, sink: Arc<dyn LedgerSink>) -> Result<(), RepoError> {
        let tables = self.copy();
        sink.begin(tables.accounts.len() as u64);
        for (user_id, account) in &tables.accounts {
            sink.account(*account);
            for recorded in tables.operations.get(user_id).into_iter().flatten() {
                sink.operation(recorded.clone());
            }
            let reservations = tables.reservations.values().filter(|r| r.key.user_id == *user_id);
            reservations.for_each(|reservation| sink.reservation(*reservation));
        }
        Ok(())
    }

    async fn ready(&self) -> Result<(), RepoError> {
        Ok(())
    }
}

impl Bookkeeping for ProofLedger {
    fn add_services(&self, ids: &[ServiceId]) {
        let mut inner = self.inner();
        for id in ids {
            inner.tables.add_service(*id);
            inner.durable.add_service(*id);
        }
    }

    fn revenue(&self, mut period: Period) -> Vec<(ServiceId, i128, i128)> {
        let later = |at: Timestamp, micros: i64| {
            Timestamp::from_micros(at.micros() + micros).unwrap_or(Timestamp::MAX)
        };
        match self.bug {
            Some(Bug::WrongMonthEdge) => period.end = later(period.end, 1),
            Some(Bug::MonthInUtc) => {
                let offset_micros = 3 * 3_600 * 1_000_000;
                (period.start, period.end) =
                    (later(period.start, offset_micros), later(period.end, offset_micros));
            }
            _ => {}
        }
        self.inner().tables.revenue(period)
    }
}
