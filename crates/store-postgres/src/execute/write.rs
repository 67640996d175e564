//! The second round trip: every changed row once, set-based, and the commit.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
};

use balance_domain::{Account, Changes, OperationKind, ReservationKey, ServiceId, UserId};

use crate::{
    failure::Failure,
    records::{Record, Records, ReservationRow},
    session::Session,
    statements::{
        APPEND_OPERATIONS, COMMIT, ERASE_COMMENTS, MARK_SERVICES_USED, NO_TIMEOUT, UNOPEN_ACCOUNT,
        WRITE_ACCOUNTS, WRITE_RESERVATIONS,
    },
    values::bucket,
    wire::{Answers, Pipeline, Place},
};

/// Why nothing was written, or why nobody knows.
pub(super) struct WriteFailure {
    pub(super) failure: Failure,
    /// The commit may have happened.
    pub(super) is_open: bool,
}

impl WriteFailure {
    /// Nothing was sent yet.
    fn unsent(failure: Failure) -> Self {
        Self { failure, is_open: false }
    }

    fn open(failure: Failure) -> Self {
        Self { failure, is_open: true }
    }
}

/// What a statement must have written, by its place in the pipeline.
struct Expected {
    place: Place,
    rows: usize,
    what: &'static str,
}

/// Writes and commits. All statements leave at once, in the order in which they are named here; after an error of
/// any the server skips the rest, the commit too.
pub(super) async fn write(
    session: &mut Session,
    changes: &Changes,
    opened: &[UserId],
) -> Result<(), WriteFailure> {
    session.take_warning();
    let mut pipeline = session.pipeline();
    let (expected, commit) = add_all(&mut pipeline, changes, opened).map_err(WriteFailure::unsent)?;
    let answers = pipeline.send().await;
    let answers = answers.map_err(|broken| refused(broken.failure, broken.answered >= commit.index()))?;
    if answers.tag(commit) != "COMMIT" {
        let cause = format!("the server answered the commit with {:?}", answers.tag(commit));
        return Err(WriteFailure::open(Failure::Lost(cause.into())));
    }
    if session.take_warning() {
        let cause = "the server warned while it committed".into();
        return Err(WriteFailure::open(Failure::Unconfirmed(cause)));
    }
    all_written(&answers, &expected).map_err(WriteFailure::open)
}

/// Adds every statement; what they must have written, and the commit's place.
fn add_all(
    pipeline: &mut Pipeline<'_>,
    changes: &Changes,
    opened: &[UserId],
) -> Result<(Vec<Expected>, Place), Failure> {
    let mut expected = Vec::with_capacity(3);
    expected.extend(write_rows(pipeline, WRITE_ACCOUNTS, &changes.accounts)?);
    expected.extend(write_rows(pipeline, WRITE_RESERVATIONS, &reservation_rows(changes))?);
    expected.extend(write_rows(pipeline, APPEND_OPERATIONS, &changes.operations)?);
    mark_services_used(pipeline, &changes.services_used)?;
    for user in &changes.closed {
        pipeline.add(ERASE_COMMENTS, &[&bucket(*user), &user.get()])?;
    }
    unopen_accounts(pipeline, opened, &changes.accounts)?;
    pipeline.add(NO_TIMEOUT, &[])?;
    Ok((expected, pipeline.add(COMMIT, &[])?))
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

/// Adds a statement that writes these rows, each once; nothing where there are none.
fn write_rows<T: Record + Debug + Sync>(
    pipeline: &mut Pipeline<'_>,
    sql: &str,
    rows: &[T],
) -> Result<Option<Expected>, Failure> {
    if rows.is_empty() {
        return Ok(None);
    }
    let place = pipeline.add(sql, &[&Records(rows)])?;
    Ok(Some(Expected { place, rows: rows.len(), what: T::TYPE }))
}

/// The reservations, with the numbers of the operations that made them anew.
fn reservation_rows(changes: &Changes) -> Vec<ReservationRow<'_>> {
    let made = changes.operations.iter().map(|recorded| &recorded.operation);
    let made = made.filter(|operation| operation.kind == OperationKind::Reserve);
    let made: HashMap<_, _> = made
        .map(|operation| ((operation.user_id, operation.service_id, operation.order_id), operation.seq))
        .collect();
    let seq_of = |ReservationKey { user_id, service_id, order_id }| {
        made.get(&(user_id, Some(service_id), Some(order_id))).copied()
    };
    changes
        .reservations
        .iter()
        .map(|reservation| ReservationRow { reservation, reserve_seq: seq_of(reservation.key) })
        .collect()
}

/// Another batch may have marked one before: fewer rows are as good.
fn mark_services_used(pipeline: &mut Pipeline<'_>, services: &[ServiceId]) -> Result<(), Failure> {
    if !services.is_empty() {
        let ids: Vec<i64> = services.iter().map(|id| id.get()).collect();
        pipeline.add(MARK_SERVICES_USED, &[&ids])?;
    }
    Ok(())
}

/// Accounts that were opened and stayed without an operation leave no row behind.
fn unopen_accounts(
    pipeline: &mut Pipeline<'_>,
    opened: &[UserId],
    written: &[Account],
) -> Result<(), Failure> {
    if opened.is_empty() {
        return Ok(());
    }
    let written: HashSet<UserId> = written.iter().map(|account| account.user_id).collect();
    for user in opened.iter().filter(|user| !written.contains(user)) {
        pipeline.add(UNOPEN_ACCOUNT, &[&bucket(*user), &user.get()])?;
    }
    Ok(())
}

/// Rows that the locks keep in place cannot be missing. Should they be, the commit has happened already.
fn all_written(answers: &Answers, expected: &[Expected]) -> Result<(), Failure> {
    for Expected { place, rows, what } in expected {
        let written = answers.written(*place);
        if usize::try_from(written) != Ok(*rows) {
            return Err(Failure::Unconfirmed(
                format!("{written} of {rows} values of {what} were written").into(),
            ));
        }
    }
    Ok(())
}
