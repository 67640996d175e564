//! What is written, and the commit: every changed row once, set-based, all in one round trip.

use std::{
    collections::{HashMap, HashSet},
    fmt::Debug,
};

use balance_domain::{Account, Changes, OperationKind, ReservationKey, ServiceId, UserId};

use crate::{
    failure::Failure,
    records::{AccountChange, Record, Records, ReservationRow},
    rows::column,
    session::Session,
    statements::{
        APPEND_OPERATIONS, BEGIN, CHANGE_ACCOUNTS, COMMIT, CONFIRM_SERVICES, ERASE_COMMENTS,
        MAKE_RESERVATIONS, MARK_SERVICES_USED, NO_TIMEOUT, UNOPEN_ACCOUNT, WRITE_ACCOUNTS,
        WRITE_RESERVATIONS,
    },
    values::{RowPlace, RowVersion, bucket},
    wire::{Answers, Pipeline, Place, Row},
};

use super::recent::Taken;

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

/// What a pipeline must have done, by the places of its statements.
struct Script {
    /// Writes accounts, and answers which versions they have now; none where accounts stay as they are.
    accounts: Option<Expected>,
    expected: Vec<Expected>,
}

/// Which versions the rows of accounts have that were written.
pub(super) type Versions = HashMap<UserId, RowVersion>;

/// Writes under locks, and commits. All statements leave at once, in the order in which they are named here; after an error
/// of any the server skips the rest, the commit too.
pub(super) async fn write(
    session: &mut Session,
    changes: &Changes,
    opened: &[UserId],
) -> Result<Versions, WriteFailure> {
    commit(session, |pipeline| {
        let accounts = match changes.accounts.as_slice() {
            [] => None,
            accounts => Some(Expected {
                place: pipeline.add(WRITE_ACCOUNTS, &[&Records(accounts)])?,
                rows: accounts.len(),
                what: Account::TYPE,
            }),
        };
        let mut expected = Vec::with_capacity(2);
        expected.extend(write_rows(pipeline, WRITE_RESERVATIONS, &reservation_rows(changes))?);
        expected.extend(write_rows(pipeline, APPEND_OPERATIONS, &changes.operations)?);
        mark_services_used(pipeline, &changes.services_used)?;
        for user in &changes.closed {
            pipeline.add(ERASE_COMMENTS, &[&bucket(*user), &user.get()])?;
        }
        unopen_accounts(pipeline, opened, &changes.accounts)?;
        Ok(Script { accounts, expected })
    })
    .await
}

/// The whole transaction of a batch that was decided on `taken`: confirms all of that, writes, and commits.
pub(super) async fn change(
    session: &mut Session,
    changes: &Changes,
    taken: &Taken,
) -> Result<Versions, WriteFailure> {
    commit(session, |pipeline| {
        pipeline.add(BEGIN, &[])?;
        let rows = account_changes(&changes.accounts, taken)?;
        let place = pipeline.add(CHANGE_ACCOUNTS, &[&Records(&rows), &count(rows.len())])?;
        let accounts = Expected { place, rows: rows.len(), what: AccountChange::TYPE };
        // After the accounts, as under locks: two batches and a removal between them cannot wait in a circle.
        confirm_services(pipeline, taken.services())?;
        let (made, known): (Vec<_>, Vec<_>) =
            reservation_rows(changes).into_iter().partition(|row| row.reserve_seq.is_some());
        let mut expected = Vec::with_capacity(3);
        expected.extend(write_rows(pipeline, MAKE_RESERVATIONS, &made)?);
        expected.extend(write_rows(pipeline, WRITE_RESERVATIONS, &known)?);
        expected.extend(write_rows(pipeline, APPEND_OPERATIONS, &changes.operations)?);
        Ok(Script { accounts: Some(accounts), expected })
    })
    .await
}

/// Sends the statements that `add` adds, and a commit behind them.
async fn commit(
    session: &mut Session,
    add: impl FnOnce(&mut Pipeline<'_>) -> Result<Script, Failure>,
) -> Result<Versions, WriteFailure> {
    session.take_warning();
    let mut pipeline = session.pipeline();
    let (script, commit) = ended(&mut pipeline, add).map_err(WriteFailure::unsent)?;
    let answers = pipeline.send().await;
    let mut answers =
        answers.map_err(|broken| not_done(broken.failure, broken.answered >= commit.index()))?;
    if answers.tag(commit) != "COMMIT" {
        let cause = format!("the server answered the commit with {:?}", answers.tag(commit));
        return Err(WriteFailure::open(Failure::Lost(cause.into())));
    }
    if session.take_warning() {
        let cause = "the server warned while it committed".into();
        return Err(WriteFailure::open(Failure::Unconfirmed(cause)));
    }
    all_written(&answers, &script.expected).map_err(WriteFailure::open)?;
    let Some(Expected { place, rows, what }) = script.accounts else { return Ok(Versions::new()) };
    let versions = versions(&answers.rows(place)).map_err(WriteFailure::open)?;
    are_written(versions.len(), rows, what).map_err(WriteFailure::open)?;
    Ok(versions)
}

fn ended(
    pipeline: &mut Pipeline<'_>,
    add: impl FnOnce(&mut Pipeline<'_>) -> Result<Script, Failure>,
) -> Result<(Script, Place), Failure> {
    let script = add(pipeline)?;
    pipeline.add(NO_TIMEOUT, &[])?;
    Ok((script, pipeline.add(COMMIT, &[])?))
}

/// What [`WRITE_ACCOUNTS`] answers.
fn versions(answer: &[Row]) -> Result<Versions, Failure> {
    let Some(row) = answer.first() else { return Ok(Versions::new()) };
    let transaction = column(row, 0)?;
    let (users, places): (Vec<i64>, Vec<RowPlace>) = (column(row, 1)?, column(row, 2)?);
    let version = |(user_id, place)| {
        let user_id = UserId::new(user_id).map_err(Failure::damaged)?;
        Ok((user_id, RowVersion { transaction, place }))
    };
    users.into_iter().zip(places).map(version).collect()
}

fn account_changes<'a>(accounts: &'a [Account], taken: &Taken) -> Result<Vec<AccountChange<'a>>, Failure> {
    let change = |account: &'a Account| {
        let version = taken.version(account.user_id);
        let version =
            version.ok_or_else(|| Failure::Defect("an account changes that was not known".into()))?;
        Ok(AccountChange { account, version })
    };
    accounts.iter().map(change).collect()
}

fn confirm_services(pipeline: &mut Pipeline<'_>, services: &[ServiceId]) -> Result<(), Failure> {
    if !services.is_empty() {
        let ids: Vec<i64> = services.iter().map(|id| id.get()).collect();
        pipeline.add(CONFIRM_SERVICES, &[&ids, &count(ids.len())])?;
    }
    Ok(())
}

/// As SQL counts.
fn count(rows: usize) -> i64 {
    i64::try_from(rows).unwrap_or(i64::MAX)
}

/// An error that the server put into words ends the transaction for certain, unless it is the commit itself that
/// was interrupted. A broken connection ends nothing.
fn not_done(failure: Failure, is_commit: bool) -> WriteFailure {
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

fn all_written(answers: &Answers, expected: &[Expected]) -> Result<(), Failure> {
    for Expected { place, rows, what } in expected {
        are_written(usize::try_from(answers.written(*place)).unwrap_or(usize::MAX), *rows, what)?;
    }
    Ok(())
}

/// Rows that the locks keep in place cannot be missing. Should they be, the commit has happened already.
fn are_written(written: usize, expected: usize, what: &str) -> Result<(), Failure> {
    if written == expected {
        return Ok(());
    }
    Err(Failure::Unconfirmed(format!("{written} of {expected} values of {what} were written").into()))
}
