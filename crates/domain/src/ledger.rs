//! The driving side: what HTTP, the sweeper and the command line ask of the ledger.

use std::sync::Arc;

use crate::{
    Account, AccountAsOf, Actor, Command, IdempotencyKey, Operation, OperationPosition, OperationQuery, Page,
    Reservation, ReservationKey, ReservationPosition, ReservationQuery, Submission, Timestamp, UserId,
    ports::{BalanceRepo, Clock, Reply, RepoError, SubmitError},
};

/// What a sweep found and could not do.
#[derive(Clone, Debug)]
pub struct Swept {
    /// Users with something due, at most as many as were asked for.
    pub due: usize,
    /// Why it failed, for each of them that it failed for.
    pub failures: Vec<RepoError>,
}

impl Swept {
    /// Users of whom nothing is due any more.
    pub fn done(&self) -> usize {
        self.due.saturating_sub(self.failures.len())
    }
}

/// A ledger in some store, at the time of some clock.
#[derive(Clone)]
pub struct Ledger {
    repo: Arc<dyn BalanceRepo>,
    clock: Arc<dyn Clock>,
}

impl Ledger {
    /// A ledger kept by `repo`.
    pub fn new(repo: Arc<dyn BalanceRepo>, clock: Arc<dyn Clock>) -> Self {
        Self { repo, clock }
    }

    /// Decides and records the submissions; one reply each, in order.
    pub async fn submit(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        self.repo.execute(submissions, self.clock.now()).await
    }

    /// One submission.
    pub async fn submit_one(&self, submission: Submission) -> Reply {
        let replies = self.submit(vec![submission]).await?;
        let missing = || Err(RepoError::Internal("the store gave no reply".into()).into());
        replies.into_iter().next().unwrap_or_else(missing)
    }

    /// The account as it is now, and when that is; `None` for a user whom nothing has happened to.
    pub async fn account(&self, user_id: UserId) -> Result<(Option<Account>, Timestamp), RepoError> {
        let now = self.clock.now();
        let account = self.account_as_of(user_id, now).await?;
        let as_of = account.map_or(now, |account| account.at);
        Ok((account.map(|account| account.settled()), as_of))
    }

    /// One reservation.
    pub async fn reservation(&self, key: ReservationKey) -> Result<Option<Reservation>, RepoError> {
        self.repo.reservation(key, self.clock.now()).await
    }

    /// A page of a user's reservations; `None` for a user whom nothing has happened to.
    pub async fn reservations(
        &self,
        query: ReservationQuery,
    ) -> Result<Option<Page<Reservation, ReservationPosition>>, RepoError> {
        let now = self.clock.now();
        let user_id = query.user_id;
        let page = self.repo.reservations(query, now).await?;
        if page.items.is_empty() && self.account_as_of(user_id, now).await?.is_none() {
            return Ok(None);
        }
        Ok(Some(page))
    }

    /// A page of a user's history, expiries up to now included; `None` for a user whom nothing has happened
    /// to.
    pub async fn operations(
        &self,
        query: OperationQuery,
    ) -> Result<Option<Page<Operation, OperationPosition>>, RepoError> {
        let now = self.clock.now();
        let Some(account) = self.account_as_of(query.user_id, now).await? else { return Ok(None) };
        if account.due_count > 0 {
            let failures = self.expire(vec![query.user_id], now).await?;
            failures.into_iter().next().map_or(Ok(()), Err)?;
        }
        self.repo.operations(query).await.map(Some)
    }

    /// The operation that answers for a key of this user.
    pub async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError> {
        self.repo.operation_by_key(user_id, key).await
    }

    /// Writes down the expiry of due reservations of up to `users_max` users. Tidies only: every answer is right
    /// without it. What fails for one user is told and does not keep it from the others.
    pub async fn sweep(&self, users_max: u32) -> Result<Swept, RepoError> {
        let now = self.clock.now();
        let users = self.repo.due_users(now, users_max).await?;
        let due = users.len();
        let failures = if due > 0 { self.expire(users, now).await? } else { Vec::new() };
        Ok(Swept { due, failures })
    }

    /// Whether the store can be reached and has the schema that this binary knows.
    pub async fn ready(&self) -> Result<(), RepoError> {
        self.repo.ready().await
    }

    async fn account_as_of(&self, user_id: UserId, now: Timestamp) -> Result<Option<AccountAsOf>, RepoError> {
        Ok(self.repo.accounts(vec![user_id], now).await?.into_iter().next().flatten())
    }

    /// What failed for single users. One who was closed in between has nothing due: such a rejection is no
    /// failure.
    async fn expire(&self, users: Vec<UserId>, now: Timestamp) -> Result<Vec<RepoError>, RepoError> {
        let submissions = users
            .into_iter()
            .map(|user_id| Submission::from(Command::Expire { user_id }).by(Actor::Expiry))
            .collect();
        let replies = self.repo.execute(submissions, now).await?;
        let failure = |reply| match reply {
            Err(SubmitError::Failed(error)) => Some(error),
            Ok(_) | Err(SubmitError::Rejected { .. }) => None,
        };
        Ok(replies.into_iter().filter_map(failure).collect())
    }
}
