//! One attempt at a batch: two round trips, one flush.

use balance_domain::{Changes, Needs, Submission, Timestamp, decide_batch, ports::Reply};

use crate::{PostgresStore, failure::Failure, statements::ROLLBACK};

use super::{
    load::load,
    write::{WriteFailure, write},
};

/// What an attempt has done so far, for when it fails or is cut off.
#[derive(Default)]
pub(super) struct Progress {
    /// The answers that hold if the commit, which may have been sent, succeeds.
    pub(super) commit_sent: Option<Vec<Reply>>,
}

/// Loads, decides and writes. The connection returns to the pool after success only.
pub(super) async fn attempt(
    store: &PostgresStore,
    submissions: &[Submission],
    now: Timestamp,
    progress: &mut Progress,
) -> Result<Vec<Reply>, Failure> {
    let needs = Needs::of(submissions);
    let mut lease = store.lease().await?;
    let session = lease.session();
    let loaded = load(session, &needs, now).await?;
    let decided = decide_batch(loaded.rows, submissions, now);
    if decided.changes == Changes::default() {
        session.run(ROLLBACK).await?;
        lease.give_back();
        return Ok(decided.replies);
    }
    progress.commit_sent = Some(decided.replies);
    match write(session, &decided.changes, &loaded.opened).await {
        Ok(()) => {
            lease.give_back();
            Ok(progress.commit_sent.take().unwrap_or_default())
        }
        Err(WriteFailure { failure, is_open }) => {
            if !is_open {
                progress.commit_sent = None;
            }
            Err(failure)
        }
    }
}
