//! A store that commits when the test says so and records its calls.

use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use balance_domain::{
    Accepted, Account, AccountAsOf, Command, DryRun, IdempotencyKey, Operation, OperationPosition,
    OperationQuery, Page, Receipt, Reservation, ReservationKey, ReservationPosition, ReservationQuery,
    ReservationSearch, SearchPosition, Submission, Timestamp, UserId,
    ports::{BalanceRepo, LedgerSink, Reply, RepoError},
};
use balance_group_commit::{GroupCommit, GroupCommitOptions};
use tokio::{
    sync::Semaphore,
    task::{JoinHandle, yield_now},
};

/// How the fake answers a batch of commands, given the users of its submissions.
type Script = Box<dyn Fn(&[i64]) -> Result<(), RepoError> + Send + Sync>;

/// The one user whom the fake can tell of without being asked through its gate.
pub(crate) const RECALLED: i64 = 1_000;

pub(crate) struct Fake {
    gate: Semaphore,
    script: Script,
    /// The users of each batch; noted when the batch arrives.
    batches: Mutex<Vec<Vec<i64>>>,
    /// The same of reads.
    reads: Mutex<Vec<Vec<i64>>>,
    committed: Mutex<Vec<i64>>,
}

impl Fake {
    /// Commits at once.
    pub(crate) fn open() -> Arc<Self> {
        Self::with(Semaphore::MAX_PERMITS, |_| Ok(()))
    }

    /// Holds every call until [`Fake::release`].
    pub(crate) fn gated() -> Arc<Self> {
        Self::with(0, |_| Ok(()))
    }

    /// Holds every call but for the first `permits`, then does as the script says.
    pub(crate) fn with(
        permits: usize,
        script: impl Fn(&[i64]) -> Result<(), RepoError> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            gate: Semaphore::new(permits),
            script: Box::new(script),
            batches: Mutex::default(),
            reads: Mutex::default(),
            committed: Mutex::default(),
        })
    }

    /// Lets `calls` calls pass, then waits until nothing moves any more.
    pub(crate) async fn release(&self, calls: usize) {
        self.gate.add_permits(calls);
        settle().await;
    }

    /// The users of every batch that arrived, in order.
    pub(crate) fn batches(&self) -> Vec<Vec<i64>> {
        self.batches.lock().unwrap().clone()
    }

    /// The users of every read that arrived, in order.
    pub(crate) fn reads(&self) -> Vec<Vec<i64>> {
        self.reads.lock().unwrap().clone()
    }

    /// The users of all submissions that were committed, in order.
    pub(crate) fn committed(&self) -> Vec<i64> {
        self.committed.lock().unwrap().clone()
    }

    async fn pass(&self) {
        self.gate.acquire().await.unwrap().forget();
    }
}

#[async_trait]
impl BalanceRepo for Fake {
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        let users: Vec<i64> = submissions.iter().map(first_user).collect();
        self.batches.lock().unwrap().push(users.clone());
        self.pass().await;
        (self.script)(&users)?;
        self.committed.lock().unwrap().extend(users);
        Ok(submissions.iter().map(|submission| Ok(receipts_for(submission))).collect())
    }

    async fn accounts(&self, user_ids: Vec<UserId>) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        let users: Vec<i64> = user_ids.iter().map(|user| user.get()).collect();
        self.reads.lock().unwrap().push(users.clone());
        self.pass().await;
        (self.script)(&users)?;
        Ok(user_ids.into_iter().map(account_of).collect())
    }

    fn recall_account(&self, user_id: UserId) -> Option<AccountAsOf> {
        (user_id == user(RECALLED)).then(|| account_of(user_id)).flatten()
    }

    async fn reservation(&self, _: ReservationKey) -> Result<Option<Reservation>, RepoError> {
        unreachable!("these tests do not ask for it")
    }

    async fn reservations(
        &self,
        _: ReservationQuery,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError> {
        unreachable!("these tests do not ask for it")
    }

    async fn operations(&self, _: OperationQuery) -> Result<Page<Operation, OperationPosition>, RepoError> {
        unreachable!("these tests do not ask for it")
    }

    async fn dry_run(&self, _: Vec<Submission>) -> Result<DryRun, RepoError> {
        unreachable!("these tests do not ask for it")
    }

    async fn search_reservations(
        &self,
        _: ReservationSearch,
    ) -> Result<Page<Reservation, SearchPosition>, RepoError> {
        unreachable!("these tests do not ask for it")
    }

    async fn operation_by_key(&self, _: UserId, _: IdempotencyKey) -> Result<Option<Operation>, RepoError> {
        unreachable!("these tests do not ask for it")
    }

    async fn due_users(&self, _: u32) -> Result<Vec<UserId>, RepoError> {
        unreachable!("these tests do not ask for it")
    }

    async fn scan(&self, _: Arc<dyn LedgerSink>) -> Result<(), RepoError> {
        unreachable!("these tests do not ask for it")
    }

    async fn ready(&self) -> Result<(), RepoError> {
        Ok(())
    }
}

/// The fake has accounts of even users only, and names the user in the account.
fn account_of(user_id: UserId) -> Option<AccountAsOf> {
    let recorded = Account::unopened(user_id);
    (user_id.get() % 2 == 0).then_some(AccountAsOf { at: Timestamp::MIN, recorded, has_due: false })
}

fn first_user(submission: &Submission) -> i64 {
    submission.commands.first().map_or(0, |command| command.user_id().get())
}

/// One receipt per command that names its user.
fn receipts_for(submission: &Submission) -> Vec<Accepted> {
    let accepted = |command: &Command| Accepted {
        receipt: Receipt::Account(Account::unopened(command.user_id())),
        is_replay: false,
    };
    submission.commands.iter().map(accepted).collect()
}

pub(crate) fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

/// Users of the first and of the second of two lanes.
pub(crate) fn users_of_two_lanes() -> [Vec<i64>; 2] {
    let (even, odd) = (1..=40).partition(|id| user(*id).bucket().is_multiple_of(2));
    [even, odd]
}

/// The smallest submission about this user.
pub(crate) fn about(id: i64) -> Submission {
    Command::Expire { user_id: user(id) }.into()
}

/// The users named in the receipts of the replies.
pub(crate) fn users_in(replies: &[Reply]) -> Vec<i64> {
    let user_in = |accepted: &Accepted| match &accepted.receipt {
        Receipt::Account(account) => account.user_id.get(),
        receipt => panic!("the fake gives accounts, not {receipt:?}"),
    };
    replies.iter().flat_map(|reply| reply.as_ref().unwrap()).map(user_in).collect()
}

/// Runs everybody else until nothing moves: on a current-thread runtime a few turns are plenty.
pub(crate) async fn settle() {
    for _ in 0..200 {
        yield_now().await;
    }
}

pub(crate) type Answer = JoinHandle<Result<Vec<Reply>, RepoError>>;

/// Calls in a task of its own, as requests do, and lets the call arrive.
pub(crate) async fn call(group: &Arc<GroupCommit>, users: &[i64]) -> Answer {
    call_with(group, users.iter().map(|id| about(*id)).collect()).await
}

/// The same with any submissions.
pub(crate) async fn call_with(group: &Arc<GroupCommit>, submissions: Vec<Submission>) -> Answer {
    let group = group.clone();
    let answer = tokio::spawn(async move { group.execute(submissions).await });
    settle().await;
    answer
}

pub(crate) fn group(inner: &Arc<Fake>, options: GroupCommitOptions) -> Arc<GroupCommit> {
    Arc::new(GroupCommit::new(inner.clone(), options))
}
