//! The driving side: what HTTP, the sweeper and the command line call.

use std::sync::Arc;

use crate::{
    AccountAsOf, Actor, Command, DryRun, IdempotencyKey, Operation, OperationPosition, OperationQuery, Page,
    Reservation, ReservationKey, ReservationPosition, ReservationQuery, ReservationSearch, SearchPosition,
    Submission, UserId,
    ports::{BalanceRepo, Reply, RepoError, SubmitError},
};

/// How often a call is submitted again while more of its users' reservations are due than expire at once, and how
/// often a read looks again for what has become due meanwhile.
const ROUNDS_MAX: usize = 16;

/// What a sweep found and could not do.
#[derive(Clone, Debug)]
pub struct Swept {
    /// Users with something due, at most as many as were asked for.
    pub due: usize,
    /// Those of them of whom more is due than expires at once.
    pub postponed: usize,
    /// Why it failed, for each of them that it failed for.
    pub failures: Vec<RepoError>,
}

impl Swept {
    /// Users of whom nothing is due any more.
    pub fn done(&self) -> usize {
        self.due.saturating_sub(self.failures.len() + self.postponed)
    }
}

/// A ledger in some store.
///
/// What it returns is recorded: a read that finds something due has the expiry recorded first, so that every version
/// of an account, its balances and the states of its reservations are those of the operation with this number.
#[derive(Clone)]
pub struct Ledger {
    repo: Arc<dyn BalanceRepo>,
}

impl Ledger {
    /// A ledger kept by `repo`.
    pub fn new(repo: Arc<dyn BalanceRepo>) -> Self {
        Self { repo }
    }

    /// Decides and records the submissions; one reply each, in order.
    pub async fn submit(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        let mut replies = self.repo.execute(submissions).await?;
        for _ in 0..ROUNDS_MAX {
            let (places, postponed) = postponed(&replies);
            if places.is_empty() {
                return Ok(replies);
            }
            // Some of the call may be done: what fails now is answered for itself.
            let count = places.len();
            let again = self.repo.execute(postponed).await;
            let again = again.unwrap_or_else(|error| vec![Err(error.into()); count]);
            places.into_iter().zip(again).for_each(|(place, reply)| replies[place] = reply);
        }
        let is_postponed = |reply: &&mut Reply| matches!(reply, Err(SubmitError::Postponed(_)));
        replies.iter_mut().filter(is_postponed).for_each(|reply| *reply = Err(RepoError::Overloaded.into()));
        Ok(replies)
    }

    /// One submission.
    pub async fn submit_one(&self, submission: Submission) -> Reply {
        let replies = self.submit(vec![submission]).await?;
        let missing = || Err(RepoError::Internal("the store gave no reply".into()).into());
        replies.into_iter().next().unwrap_or_else(missing)
    }

    /// What [`submit`](Self::submit) would answer now, and what the accounts would hold: no promise. Money does not
    /// move and no key is used up. What is due expires, as before any other answer.
    pub async fn dry_run(&self, submissions: Vec<Submission>) -> Result<DryRun, RepoError> {
        let users =
            submissions.iter().flat_map(|submission| &submission.commands).flat_map(Command::user_ids);
        let users: Vec<UserId> = users.collect();
        let run = self.repo.dry_run(submissions.clone()).await?;
        if postponed(&run.replies).0.is_empty() {
            return Ok(run);
        }
        // More is due than expires at once: that is recorded first.
        for user_id in users {
            self.account(user_id).await?;
        }
        self.repo.dry_run(submissions).await
    }

    /// The same for one submission, with its reply alone.
    pub async fn dry_run_one(&self, submission: Submission) -> Result<(Reply, DryRun), RepoError> {
        let mut run = self.dry_run(vec![submission]).await?;
        let missing = || RepoError::Internal("the store gave no reply".into());
        let reply = run.replies.pop().ok_or_else(missing)?;
        Ok((reply, run))
    }

    /// A page of the active reservations of all users.
    pub async fn search_reservations(
        &self,
        search: ReservationSearch,
    ) -> Result<Page<Reservation, SearchPosition>, RepoError> {
        self.repo.search_reservations(search).await
    }

    /// The account as it is now, and when that is; `None` for a user whom nothing has happened to.
    pub async fn account(&self, user_id: UserId) -> Result<Option<AccountAsOf>, RepoError> {
        for _ in 0..ROUNDS_MAX {
            match self.recorded(user_id).await? {
                Some(account) if account.has_due => {}
                account => return Ok(account),
            }
            if let Err(SubmitError::Failed(error)) = self.submit_one(expiry(user_id)).await {
                return Err(error);
            }
        }
        // Deadlines that pass between each expiry and the look behind it: what was due when the call began is recorded.
        self.recorded(user_id).await
    }

    /// One reservation.
    pub async fn reservation(&self, key: ReservationKey) -> Result<Option<Reservation>, RepoError> {
        match self.account(key.user_id).await? {
            Some(_) => self.repo.reservation(key).await,
            None => Ok(None),
        }
    }

    /// A page of a user's reservations; `None` for a user whom nothing has happened to.
    pub async fn reservations(
        &self,
        query: ReservationQuery,
    ) -> Result<Option<Page<Reservation, ReservationPosition>>, RepoError> {
        match self.account(query.user_id).await? {
            Some(_) => self.repo.reservations(query).await.map(Some),
            None => Ok(None),
        }
    }

    /// A page of a user's history, expiries up to now included; `None` for a user whom nothing has happened
    /// to.
    pub async fn operations(
        &self,
        query: OperationQuery,
    ) -> Result<Option<Page<Operation, OperationPosition>>, RepoError> {
        match self.account(query.user_id).await? {
            Some(_) => self.repo.operations(query).await.map(Some),
            None => Ok(None),
        }
    }

    /// The operation that answers for a key of this user.
    pub async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError> {
        self.repo.operation_by_key(user_id, key).await
    }

    /// Records the expiry of due reservations of up to `users_max` users, of each as many as expire at once. What
    /// fails for one user does not keep it from the others.
    pub async fn sweep(&self, users_max: u32) -> Result<Swept, RepoError> {
        let users = self.repo.due_users(users_max).await?;
        let mut swept = Swept { due: users.len(), postponed: 0, failures: Vec::new() };
        if users.is_empty() {
            return Ok(swept);
        }
        let submissions = users.into_iter().map(expiry).collect();
        for reply in self.repo.execute(submissions).await? {
            match reply {
                Err(SubmitError::Failed(error)) => swept.failures.push(error),
                Err(SubmitError::Postponed(_)) => swept.postponed += 1,
                Ok(_) | Err(SubmitError::Rejected { .. }) => {}
            }
        }
        Ok(swept)
    }

    /// Whether the store can be reached and has the schema that this binary knows.
    pub async fn ready(&self) -> Result<(), RepoError> {
        self.repo.ready().await
    }

    async fn recorded(&self, user_id: UserId) -> Result<Option<AccountAsOf>, RepoError> {
        Ok(self.repo.accounts(vec![user_id]).await?.into_iter().next().flatten())
    }
}

/// Records what is due; nobody asked for it.
fn expiry(user_id: UserId) -> Submission {
    Submission::from(Command::Expire { user_id }).by(Actor::Expiry)
}

/// What is to be submitted again, and whose reply is to be replaced.
fn postponed(replies: &[Reply]) -> (Vec<usize>, Vec<Submission>) {
    let found = replies.iter().enumerate().filter_map(|(place, reply)| match reply {
        Err(SubmitError::Postponed(submission)) => Some((place, submission.clone())),
        _ => None,
    });
    found.unzip()
}
