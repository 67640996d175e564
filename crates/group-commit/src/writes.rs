//! Runs merged calls of `execute`, and gives each caller the replies to its own submissions.

use std::{iter, sync::Arc};

use balance_domain::{
    Command, Comment, MoneyCommand, Submission,
    ports::{BalanceRepo, Reply, RepoError, SubmitError},
};

use crate::{
    bisect::{Bisection, Failure, Outcome},
    lane::Work,
    queue::Size,
    unwind::caught,
};

/// One call of `execute`.
pub(crate) struct WriteRequest {
    pub(crate) submissions: Vec<Submission>,
}

/// Runs calls of `execute` as one.
pub(crate) struct Writes {
    inner: Arc<dyn BalanceRepo>,
}

/// What a call weighs: its commands, and roughly the memory that they hold.
pub(crate) fn size_of(submissions: &[Submission]) -> Size {
    let mut size = Size { count: 0, bytes: size_of_val(submissions) };
    for submission in submissions {
        // An empty submission must not be free.
        size.count += submission.commands.len().max(1);
        size.bytes += size_of_val(submission.commands.as_slice());
        size.bytes += submission.commands.iter().map(text_bytes).sum::<usize>();
    }
    size
}

fn text_bytes(command: &Command) -> usize {
    match command {
        Command::Money(MoneyCommand { key, comment, .. }) => {
            key.as_str().len() + comment.as_ref().map_or("", Comment::as_str).len()
        }
        Command::Extend { .. } | Command::Expire { .. } | Command::Close { .. } => 0,
    }
}

impl Writes {
    pub(crate) fn new(inner: Arc<dyn BalanceRepo>) -> Self {
        Self { inner }
    }

    async fn run_once(&self, batch: Vec<Submission>) -> Result<Vec<Reply>, Failure> {
        let expected = batch.len();
        let replies = caught(async { self.inner.execute(batch).await }).await;
        let replies = replies.map_err(Failure::Panic)?.map_err(Failure::Error)?;
        if replies.len() != expected {
            // The replies cannot be matched with the submissions.
            let text = format!("the store gave {} replies to {expected} submissions", replies.len());
            return Err(Failure::Error(RepoError::Unknown(text.into())));
        }
        Ok(replies)
    }

    /// Finishes a batch whose first run, as a whole, failed.
    async fn divide(&self, submissions: &[Submission], failure: Failure) -> Vec<Outcome<Reply>> {
        let mut bisection = Bisection::new(submissions.len(), failure);
        while let Some(part) = bisection.next_part() {
            let result = self.run_once(submissions[part.range()].to_vec()).await;
            bisection.record(part, result);
        }
        bisection.into_outcomes()
    }
}

impl Work for Writes {
    type Request = WriteRequest;
    type Answer = Vec<Reply>;
    const NAME: &'static str = "commit";

    async fn run(&self, requests: Vec<WriteRequest>) -> Vec<Result<Vec<Reply>, RepoError>> {
        let counts: Vec<usize> = requests.iter().map(|request| request.submissions.len()).collect();
        let submissions = merged(requests);
        let total = submissions.len();
        // A single submission cannot be divided, so nothing is kept of it.
        let kept = if total > 1 { submissions.clone() } else { Vec::new() };
        match self.run_once(submissions).await {
            Ok(replies) => per_call(replies, &counts).map(Ok).collect(),
            Err(failure) if total == 1 => vec![Err(failure.into_error())],
            Err(failure) => {
                let outcomes = self.divide(&kept, failure).await;
                per_call(outcomes, &counts).map(answer).collect()
            }
        }
    }

    fn lost() -> RepoError {
        RepoError::Unknown("the task that ran the batch ended early".into())
    }
}

/// The submissions of all calls, in order. Those of a lone call are moved, not copied.
fn merged(mut requests: Vec<WriteRequest>) -> Vec<Submission> {
    if requests.len() == 1 {
        return requests.pop().map(|request| request.submissions).unwrap_or_default();
    }
    let mut all = Vec::with_capacity(requests.iter().map(|request| request.submissions.len()).sum());
    for request in requests {
        all.extend(request.submissions);
    }
    all
}

/// Cuts what belongs to all calls into what belongs to each.
fn per_call<T>(all: Vec<T>, counts: &[usize]) -> impl Iterator<Item = Vec<T>> {
    let mut all = all.into_iter();
    counts.iter().map(move |count| {
        let mut own = Vec::with_capacity(*count);
        own.extend(iter::repeat_with(|| all.next()).take(*count).flatten());
        own
    })
}

/// The answer to a call: the outer error if all of it failed so, otherwise a reply per submission.
pub(crate) fn answer(outcomes: Vec<Outcome<Reply>>) -> Result<Vec<Reply>, RepoError> {
    if outcomes.iter().any(Result::is_ok) {
        let reply = |outcome: Outcome<Reply>| outcome.unwrap_or_else(|error| Err(SubmitError::Failed(error)));
        return Ok(outcomes.into_iter().map(reply).collect());
    }
    // "Unknown" stands for all: a promise that nothing was executed must hold for every part.
    let is_unknown = |outcome: &Outcome<Reply>| matches!(outcome, Err(RepoError::Unknown(_)));
    let chosen = outcomes.iter().position(is_unknown).unwrap_or(0);
    outcomes.into_iter().nth(chosen).unwrap_or_else(|| Ok(Ok(Vec::new()))).map(|reply| vec![reply])
}
