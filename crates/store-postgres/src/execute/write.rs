//! The second round trip: every changed row once, set-based, and the commit.

use std::{
    collections::HashSet,
    future::{Future, poll_fn},
    task::Poll,
};

use balance_domain::{Account, AccountStatus, Changes, RecordedOperation, Reservation, ServiceId, UserId};
use futures::{future::maybe_done, join};

use crate::{
    failure::Failure,
    session::Session,
    statements::{
        APPEND_OPERATIONS, COMMIT, ERASE_COMMENTS, MARK_SERVICES_USED, UNOPEN_ACCOUNT, WRITE_ACCOUNTS,
        WRITE_RESERVATIONS,
    },
    values::{At, bucket, state_name},
};

use super::columns::OperationColumns;

/// Why nothing was written, or why nobody knows.
pub(super) struct WriteFailure {
    pub(super) failure: Failure,
    /// The commit may have happened.
    pub(super) is_open: bool,
}

/// Writes and commits. All statements leave at once, in the order in which they are named here; each answer is
/// awaited, and an error of any is an error of the whole, because then the server refuses the commit too.
pub(super) async fn write(
    session: &Session,
    changes: &Changes,
    opened: &[UserId],
) -> Result<(), WriteFailure> {
    session.take_warning();
    let (accounts, reservations, operations, used, erased, unopened, committed) = join!(
        write_accounts(session, &changes.accounts),
        write_reservations(session, &changes.reservations),
        append_operations(session, &changes.operations),
        mark_services_used(session, &changes.services_used),
        erase_comments(session, &changes.closed),
        unopen_accounts(session, opened, &changes.accounts),
        session.run(COMMIT),
    );
    let written = accounts.and(reservations).and(operations).and(used).and(erased).and(unopened);
    written.map_err(|failure| refused(failure, false))?;
    committed.map_err(|failure| refused(failure, true))?;
    if session.take_warning() {
        let cause = "the server warned while it committed".into();
        return Err(WriteFailure { failure: Failure::Unconfirmed(cause), is_open: true });
    }
    Ok(())
}

/// An error that the server put into words ends the transaction for certain, unless it is the commit itself that
/// was interrupted. A broken connection ends nothing.
fn refused(failure: Failure, is_commit: bool) -> WriteFailure {
    let is_open = match &failure {
        Failure::Lost(_) | Failure::Unconfirmed(_) => true,
        Failure::Away(_) | Failure::Contention(_) => is_commit,
        _ => false,
    };
    WriteFailure { failure, is_open }
}

async fn write_accounts(session: &Session, accounts: &[Account]) -> Result<(), Failure> {
    if accounts.is_empty() {
        return Ok(());
    }
    let buckets: Vec<i16> = accounts.iter().map(|account| bucket(account.user_id)).collect();
    let users: Vec<i64> = accounts.iter().map(|account| account.user_id.get()).collect();
    let available: Vec<i64> = accounts.iter().map(|account| account.available).collect();
    let reserved: Vec<i64> = accounts.iter().map(|account| account.reserved).collect();
    let seqs: Vec<i64> = accounts.iter().map(|account| account.seq).collect();
    let last_at: Vec<At> = accounts.iter().map(|account| At(account.last_at)).collect();
    let closed: Vec<bool> = accounts.iter().map(|account| account.status == AccountStatus::Closed).collect();
    let written = session
        .execute_hot(WRITE_ACCOUNTS, &[&buckets, &users, &available, &reserved, &seqs, &last_at, &closed])
        .await?;
    all_written(written, accounts.len(), "accounts")
}

async fn write_reservations(session: &Session, reservations: &[Reservation]) -> Result<(), Failure> {
    if reservations.is_empty() {
        return Ok(());
    }
    let buckets: Vec<i16> = reservations.iter().map(|r| bucket(r.key.user_id)).collect();
    let users: Vec<i64> = reservations.iter().map(|r| r.key.user_id.get()).collect();
    let services: Vec<i64> = reservations.iter().map(|r| r.key.service_id.get()).collect();
    let orders: Vec<i64> = reservations.iter().map(|r| r.key.order_id.get()).collect();
    let amounts: Vec<i64> = reservations.iter().map(|r| r.amount.get()).collect();
    let captured: Vec<i64> = reservations.iter().map(|r| r.captured).collect();
    let released: Vec<i64> = reservations.iter().map(|r| r.released).collect();
    let refunded: Vec<i64> = reservations.iter().map(|r| r.refunded).collect();
    let created_at: Vec<At> = reservations.iter().map(|r| At(r.created_at)).collect();
    let expires_at: Vec<At> = reservations.iter().map(|r| At(r.expires_at)).collect();
    let states: Vec<&str> = reservations.iter().map(|r| state_name(r.state)).collect();
    let written = session
        .execute_hot(
            WRITE_RESERVATIONS,
            &[
                &buckets,
                &users,
                &services,
                &orders,
                &amounts,
                &captured,
                &released,
                &refunded,
                &created_at,
                &expires_at,
                &states,
            ],
        )
        .await?;
    all_written(written, reservations.len(), "reservations")
}

async fn append_operations(session: &Session, recorded: &[RecordedOperation]) -> Result<(), Failure> {
    if recorded.is_empty() {
        return Ok(());
    }
    let columns = OperationColumns::of(recorded);
    let written = session.execute_hot(APPEND_OPERATIONS, &columns.values()).await?;
    all_written(written, recorded.len(), "operations")
}

async fn mark_services_used(session: &Session, services: &[ServiceId]) -> Result<(), Failure> {
    if services.is_empty() {
        return Ok(());
    }
    let ids: Vec<i64> = services.iter().map(|id| id.get()).collect();
    // Another batch may have marked one before: fewer rows are as good.
    session.execute_hot(MARK_SERVICES_USED, &[&ids]).await.map(|_| ())
}

async fn erase_comments(session: &Session, closed: &[UserId]) -> Result<(), Failure> {
    for_each(session, ERASE_COMMENTS, closed.iter().copied()).await
}

/// Accounts that were opened and stayed without an operation leave no row behind.
async fn unopen_accounts(session: &Session, opened: &[UserId], written: &[Account]) -> Result<(), Failure> {
    let written: HashSet<UserId> = written.iter().map(|account| account.user_id).collect();
    for_each(session, UNOPEN_ACCOUNT, opened.iter().copied().filter(|user| !written.contains(user))).await
}

/// Rare work, user by user. All statements leave at the first poll, so that they stay in front of the commit;
/// the ready-made joins promise no such thing for many futures.
async fn for_each(session: &Session, sql: &str, users: impl Iterator<Item = UserId>) -> Result<(), Failure> {
    let mut running: Vec<_> = users
        .map(|user| {
            let work = async move { session.execute_hot(sql, &[&bucket(user), &user.get()]).await };
            Box::pin(maybe_done(work))
        })
        .collect();
    poll_fn(|context| {
        let unfinished =
            running.iter_mut().filter_map(|one| one.as_mut().poll(context).is_pending().then_some(()));
        if unfinished.count() == 0 { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    running.iter_mut().filter_map(|one| one.as_mut().take_output()).try_for_each(|done| done.map(|_| ()))
}

/// Rows that the locks keep in place cannot be missing. Should they be, the commit has been sent already.
fn all_written(written: u64, wanted: usize, what: &str) -> Result<(), Failure> {
    if usize::try_from(written) == Ok(wanted) {
        return Ok(());
    }
    Err(Failure::Unconfirmed(format!("{written} of {wanted} {what} were written").into()))
}
