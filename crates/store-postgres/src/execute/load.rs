//! The first round trip: begin, lock, and only then look.

use std::collections::HashSet;

use balance_domain::{Account, LoadedService, Moment, Needs, Rows, Timestamp, UserId};

use crate::{
    failure::Failure,
    records::Records,
    rows::{self, column},
    session::Session,
    statements::{BEGIN, KEYED_OPERATIONS, LOCK_ACCOUNTS, OPEN_ACCOUNTS, RESERVATIONS, ROLLBACK, SERVICES},
    values::{At, RowVersion},
    wire::{Pipeline, Place, Row},
};

use super::write::Versions;

/// How often accounts may vanish between opening and locking them: only others' withdrawn openings do so.
const ROUNDS_MAX: u32 = 5;

/// Everything that a batch is decided on, under its locks.
pub(super) struct Loaded {
    pub(super) rows: Rows,
    /// Of the accounts.
    pub(super) versions: Versions,
    /// Accounts whose rows this transaction has made.
    pub(super) opened: Vec<UserId>,
}

/// Locks and loads. Where accounts are missing that the batch may open it begins anew by making their rows: whoever waits for a row
/// that is being made holds no lock on an existing one, so that no circle can close.
pub(super) async fn load(session: &mut Session, needs: &Needs, moment: Moment) -> Result<Loaded, Failure> {
    let mut opened = Vec::new();
    for round in 0..ROUNDS_MAX {
        let (rows, versions) = round_trip(session, round > 0, needs, moment, &opened).await?;
        let missing = missing(needs, &rows.accounts);
        if missing.is_empty() {
            return Ok(Loaded { rows, versions, opened });
        }
        opened = merged(needs, &opened, &missing);
    }
    Err(Failure::Contention("accounts came and went while they were being locked".into()))
}

/// All statements leave at once; the server works them off in the order in which they are named here. Each
/// that comes after the lock has a snapshot taken under it.
async fn round_trip(
    session: &mut Session,
    is_anew: bool,
    needs: &Needs,
    moment: Moment,
    opened: &[UserId],
) -> Result<(Rows, Versions), Failure> {
    let mut pipeline = session.pipeline();
    if is_anew {
        pipeline.add(ROLLBACK, &[])?;
    }
    pipeline.add(BEGIN, &[])?;
    open_accounts(&mut pipeline, opened)?;
    let accounts = pipeline.add(LOCK_ACCOUNTS, &[&Records(&needs.accounts)])?;
    let keyed_operations = keyed_operations(&mut pipeline, needs)?;
    let reservations = pipeline
        .add(RESERVATIONS, &[&Records(&needs.reservations), &Records(&needs.accounts), &At(moment.now())])?;
    let services = services(&mut pipeline, needs)?;
    let mut answers = pipeline.send().await.map_err(|broken| broken.failure)?;
    let accounts = all(&answers.rows(accounts), |row| Ok((rows::account(row, 0)?, version(row)?)))?;
    let versions = accounts.iter().map(|(account, version)| (account.user_id, *version)).collect();
    let rows = Rows {
        accounts: accounts.into_iter().map(|(account, _)| account).collect(),
        keyed_operations: all(&answers.rows(keyed_operations), rows::recorded)?,
        reservations: all(&answers.rows(reservations), rows::reservation)?,
        services: all(&answers.rows(services), loaded_service)?,
        backlog: Vec::new(),
    };
    Ok((rows, versions))
}

fn version(row: &Row) -> Result<RowVersion, Failure> {
    Ok(RowVersion { transaction: column(row, 6)?, place: column(row, 7)? })
}

fn open_accounts(pipeline: &mut Pipeline<'_>, opened: &[UserId]) -> Result<(), Failure> {
    if !opened.is_empty() {
        pipeline.add(OPEN_ACCOUNTS, &[&Records(opened), &At(Timestamp::MIN)])?;
    }
    Ok(())
}

fn keyed_operations(pipeline: &mut Pipeline<'_>, needs: &Needs) -> Result<Option<Place>, Failure> {
    if needs.keys.is_empty() {
        return Ok(None);
    }
    pipeline.add(KEYED_OPERATIONS, &[&Records(&needs.keys)]).map(Some)
}

fn services(pipeline: &mut Pipeline<'_>, needs: &Needs) -> Result<Option<Place>, Failure> {
    if needs.services.is_empty() {
        return Ok(None);
    }
    let ids: Vec<i64> = needs.services.iter().map(|id| id.get()).collect();
    pipeline.add(SERVICES, &[&ids]).map(Some)
}

fn loaded_service(row: &Row) -> Result<LoadedService, Failure> {
    Ok(LoadedService {
        id: rows::id(row, 0)?,
        status: rows::service_status(column(row, 1)?),
        is_used: column(row, 2)?,
    })
}

fn all<T>(rows: &[Row], read: impl Fn(&Row) -> Result<T, Failure>) -> Result<Vec<T>, Failure> {
    rows.iter().map(read).collect()
}

/// Accounts that are to be made. One that is missing and that no command can bring into being needs no row: what is asked
/// of it is refused.
fn missing(needs: &Needs, accounts: &[Account]) -> Vec<UserId> {
    if accounts.len() == needs.accounts.len() {
        return Vec::new();
    }
    let found: HashSet<UserId> = accounts.iter().map(|account| account.user_id).collect();
    needs.creates.iter().copied().filter(|user| !found.contains(user)).collect()
}

/// Both, in the canonical order.
fn merged(needs: &Needs, opened: &[UserId], missing: &[UserId]) -> Vec<UserId> {
    let both: HashSet<UserId> = opened.iter().chain(missing).copied().collect();
    needs.creates.iter().copied().filter(|user| both.contains(user)).collect()
}
