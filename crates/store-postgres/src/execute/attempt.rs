//! One attempt at a batch under locks: two round trips, one flush.

use std::time::Duration;

use balance_domain::{
    Changes, Moment, Needs, Reservation, ReservationState, Rows, Submission, UserId, decide_batch,
    ports::Reply,
};

use crate::{PostgresStore, failure::Failure, statements::ROLLBACK, store::Lease};

use super::{
    load::{Loaded, load},
    recent::{Era, Seen},
    write::{Versions, WriteFailure, write},
};

/// What an attempt has done so far, for when it fails or is cut off.
#[derive(Default)]
pub(super) struct Progress {
    /// The answers that hold if the commit, which may have been sent, succeeds.
    pub(super) commit_sent: Option<Vec<Reply>>,
}

/// Gives the connection back as it was. If that fails, it is closed: the batch has succeeded all the same.
async fn done(mut lease: Lease, lock_timeout: Option<Duration>) {
    if lock_timeout.is_none() || lease.session().run("RESET lock_timeout").await.is_ok() {
        lease.give_back();
    }
}

/// What of the loaded rows is to be remembered once they are written over.
fn seen(era: Option<Era>, accounts: Vec<UserId>, versions: Versions, rows: &Rows) -> Seen {
    let is_active = |reservation: &&Reservation| reservation.state == ReservationState::Active;
    let mut active: Vec<_> = rows.reservations.iter().filter(is_active).copied().collect();
    active.sort_unstable_by_key(|reservation| reservation.key);
    active.dedup_by_key(|reservation| reservation.key);
    Seen { era, accounts, versions, active, services: rows.services.clone() }
}

/// Loads, decides and writes. The connection returns to the pool after success only.
pub(super) async fn attempt(
    store: &PostgresStore,
    submissions: &[Submission],
    moment: Moment,
    lock_timeout: Option<Duration>,
    progress: &mut Progress,
) -> Result<Vec<Reply>, Failure> {
    let needs = Needs::of(submissions);
    let mut lease = store.lease().await?;
    let session = lease.session();
    if let Some(timeout) = lock_timeout {
        session.run(&format!("SET lock_timeout = {}", timeout.as_millis())).await?;
    }
    let Loaded { rows, versions, opened } = load(session, &needs, moment).await?;
    let seen = seen(session.era(), needs.accounts, versions, &rows);
    let decided = decide_batch(rows, submissions, moment);
    if decided.changes == Changes::default() {
        session.run(ROLLBACK).await?;
        store.recent().learn(&seen, &decided.changes, &Versions::new());
        done(lease, lock_timeout).await;
        return Ok(decided.replies);
    }
    progress.commit_sent = Some(decided.replies);
    match write(session, &decided.changes, &opened).await {
        Ok(versions) => {
            store.recent().learn(&seen, &decided.changes, &versions);
            done(lease, lock_timeout).await;
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
