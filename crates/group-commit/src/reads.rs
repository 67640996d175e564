//! Runs merged reads of balances: every user is looked up once, every caller gets its own in its own order.

use std::{collections::HashMap, sync::Arc};

use balance_domain::{
    AccountAsOf, UserId,
    ports::{BalanceRepo, RepoError},
};

use crate::{
    bisect::{Bisection, Failure, Outcome},
    lane::Work,
    queue::Size,
    unwind::caught,
};

/// One call of `accounts`.
pub(crate) struct ReadRequest {
    pub(crate) user_ids: Vec<UserId>,
}

type Accounts = Vec<Option<AccountAsOf>>;

/// Runs calls of `accounts` as one.
pub(crate) struct Reads {
    inner: Arc<dyn BalanceRepo>,
}

/// The weight of a call: its users, and at least one.
pub(crate) fn size_of(user_ids: &[UserId]) -> Size {
    Size { count: user_ids.len().max(1), bytes: size_of_val(user_ids) }
}

impl Reads {
    pub(crate) fn new(inner: Arc<dyn BalanceRepo>) -> Self {
        Self { inner }
    }

    async fn run_once(&self, user_ids: Vec<UserId>) -> Result<Accounts, Failure> {
        let expected = user_ids.len();
        let accounts = caught(async { self.inner.accounts(user_ids).await }).await;
        // A panic while reading has at least executed nothing.
        let accounts = accounts.map_err(|panic| internal(format!("the store panicked: {panic}")))?;
        let accounts = accounts.map_err(Failure::Error)?;
        if accounts.len() != expected {
            return Err(internal(format!("the store gave {} accounts for {expected} users", accounts.len())));
        }
        Ok(accounts)
    }

    async fn run_merged(&self, requests: &[ReadRequest]) -> Result<Vec<Accounts>, Failure> {
        let mut places = HashMap::with_capacity(requests.len());
        let mut user_ids = Vec::with_capacity(requests.len());
        for user_id in requests.iter().flat_map(|request| &request.user_ids) {
            places.entry(*user_id).or_insert_with(|| {
                user_ids.push(*user_id);
                user_ids.len() - 1
            });
        }
        let accounts = self.run_once(user_ids).await?;
        let account_of = |user_id| places.get(user_id).and_then(|place: &usize| accounts[*place]);
        Ok(requests.iter().map(|request| request.user_ids.iter().map(account_of).collect()).collect())
    }

    /// Finishes a read that, as a whole, failed.
    async fn divide(&self, requests: &[ReadRequest], failure: Failure) -> Vec<Outcome<Accounts>> {
        let mut bisection = Bisection::new(requests.len(), failure);
        while let Some(part) = bisection.next_part() {
            let result = self.run_merged(&requests[part.range()]).await;
            bisection.record(part, result);
        }
        bisection.into_outcomes()
    }
}

fn internal(text: String) -> Failure {
    Failure::Error(RepoError::Internal(text.into()))
}

impl Work for Reads {
    type Request = ReadRequest;
    type Answer = Accounts;
    const NAME: &'static str = "read balances";

    async fn run(&self, mut requests: Vec<ReadRequest>) -> Vec<Outcome<Accounts>> {
        if requests.len() == 1
            && let Some(ReadRequest { user_ids }) = requests.pop()
        {
            return vec![self.run_once(user_ids).await.map_err(Failure::into_error)];
        }
        match self.run_merged(&requests).await {
            Ok(answers) => answers.into_iter().map(Ok).collect(),
            Err(failure) => self.divide(&requests, failure).await,
        }
    }

    fn lost() -> RepoError {
        RepoError::Internal("the task that read for this call ended early".into())
    }
}
