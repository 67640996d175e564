//! The script of a batch: begin, load the rows that it names, have them decided, write the changes, commit,
//! answer. The transaction is the only lock that is needed: nobody else writes.

mod load;
mod numbers;
mod write;

use std::panic::{AssertUnwindSafe, catch_unwind};

use balance_domain::{
    Changes, Decided, DryRun, Moment, Needs, Rows, Submission, decide_batch,
    ports::{Reply, RepoError},
};

use rusqlite::Connection;

use crate::{
    error::repo_error,
    reports,
    writer::{Session, Verdict},
};

/// Decides and records the submissions. A batch that fails on a bug is bisected until the culprit is alone, so that
/// its neighbours are not affected.
pub(crate) fn execute(session: &mut Session, submissions: &[Submission]) -> Result<Vec<Reply>, RepoError> {
    match attempt(session, submissions) {
        Err(RepoError::Internal(cause)) if submissions.len() > 1 => {
            tracing::error!(%cause, "a batch failed; its submissions are tried in smaller ones");
            Ok(in_halves(session, submissions))
        }
        outcome => outcome,
    }
}

fn in_halves(session: &mut Session, submissions: &[Submission]) -> Vec<Reply> {
    let (first, second) = submissions.split_at(submissions.len() / 2);
    let mut replies = Vec::with_capacity(submissions.len());
    for half in [first, second] {
        match attempt(session, half) {
            Ok(answered) => replies.extend(answered),
            Err(RepoError::Internal(_)) if half.len() > 1 => replies.extend(in_halves(session, half)),
            Err(error) => replies.extend(half.iter().map(|_| Err(error.clone().into()))),
        }
    }
    replies
}

fn attempt(session: &mut Session, submissions: &[Submission]) -> Result<Vec<Reply>, RepoError> {
    if submissions.is_empty() {
        return Ok(Vec::new());
    }
    let needs = Needs::of(submissions);
    let (recent, clock) = (session.recent(), session.clock());
    let mut written = None;
    let replies = session.transaction(|connection| {
        let closed_until = reports::closed_until(connection).map_err(repo_error)?;
        let moment = clock.moment()?.closed_until(closed_until);
        let rows = load::rows(connection, &needs, moment).map_err(repo_error)?;
        let Decided { replies, changes } = decided(rows, submissions, moment)?;
        if changes == Changes::default() {
            return Ok(Verdict::Discard(replies));
        }
        write::changes(connection, &changes)?;
        written = Some((recent.take(&changes), changes));
        Ok(Verdict::Commit(replies))
    })?;
    if let Some((before, changes)) = written {
        recent.learn(before, &changes);
    }
    Ok(replies)
}

/// Decides the submissions on what a reader sees.
pub(crate) fn dry_run(
    connection: &Connection,
    submissions: &[Submission],
    moment: Moment,
) -> rusqlite::Result<DryRun> {
    let moment = moment.closed_until(reports::closed_until(connection)?);
    let rows = load::rows(connection, &Needs::of(submissions), moment)?;
    Ok(balance_domain::dry_run(rows, submissions, moment))
}

/// Damaged rows may make the rules panic before they come to a submission.
fn decided(rows: Rows, submissions: &[Submission], moment: Moment) -> Result<Decided, RepoError> {
    catch_unwind(AssertUnwindSafe(|| decide_batch(rows, submissions, moment)))
        .map_err(|_| RepoError::Internal("deciding the batch panicked".into()))
}
