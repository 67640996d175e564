//! The first round trip: begin, lock, and only then look.

use std::collections::HashSet;

use balance_domain::{Account, LoadedService, Needs, Rows, Timestamp, UserId};
use futures::join;
use tokio_postgres::Row;

use crate::{
    failure::Failure,
    rows::{self, column},
    session::Session,
    statements::{BEGIN, BEGIN_ANEW, KEYED_OPERATIONS, LOCK_ACCOUNTS, OPEN_ACCOUNTS, RESERVATIONS, SERVICES},
    values::{At, bucket, users},
};

/// How often accounts may vanish between opening and locking them: only others' withdrawn openings do so.
const ROUNDS_MAX: u32 = 5;

/// Everything that a batch is decided on, under its locks.
pub(super) struct Loaded {
    pub(super) rows: Rows,
    /// Accounts whose rows this transaction has made.
    pub(super) opened: Vec<UserId>,
}

/// Locks and loads. Where accounts are missing it begins anew by making their rows: whoever waits for a row
/// that is being made holds no lock on an existing one, so that no circle can close.
pub(super) async fn load(session: &Session, needs: &Needs, now: Timestamp) -> Result<Loaded, Failure> {
    let mut opened = Vec::new();
    let mut begin = BEGIN;
    for _ in 0..ROUNDS_MAX {
        let rows = round_trip(session, begin, needs, now, &opened).await?;
        let missing = missing(needs, &rows.accounts);
        if missing.is_empty() {
            return Ok(Loaded { rows, opened });
        }
        opened = merged(needs, &opened, &missing);
        begin = BEGIN_ANEW;
    }
    Err(Failure::Contention("accounts came and went while they were being locked".into()))
}

/// All statements leave at once; the server works them off in the order in which they are named here. Each
/// that comes after the lock has a snapshot taken under it.
async fn round_trip(
    session: &Session,
    begin: &str,
    needs: &Needs,
    now: Timestamp,
    opened: &[UserId],
) -> Result<Rows, Failure> {
    let (started, opening, accounts, keyed_operations, reservations, services) = join!(
        session.run(begin),
        open_accounts(session, opened),
        lock_accounts(session, &needs.accounts),
        keyed_operations(session, needs),
        reservations(session, needs, now),
        services(session, needs),
    );
    started?;
    opening?;
    let accounts = accounts?;
    let keyed_operations = keyed_operations?;
    let reservations = all(&reservations?, rows::reservation)?;
    Ok(Rows {
        accounts: all(&accounts, |row| rows::account(row, 0))?,
        keyed_operations: all(&keyed_operations, rows::recorded)?,
        reservations,
        services: all(&services?, loaded_service)?,
    })
}

async fn open_accounts(session: &Session, opened: &[UserId]) -> Result<(), Failure> {
    if opened.is_empty() {
        return Ok(());
    }
    let (buckets, users) = users(opened);
    session.execute_hot(OPEN_ACCOUNTS, &[&buckets, &users, &At(Timestamp::MIN)]).await.map(|_| ())
}

async fn lock_accounts(session: &Session, accounts: &[UserId]) -> Result<Vec<Row>, Failure> {
    let (buckets, users) = users(accounts);
    session.query_hot(LOCK_ACCOUNTS, &[&buckets, &users]).await
}

async fn keyed_operations(session: &Session, needs: &Needs) -> Result<Vec<Row>, Failure> {
    if needs.keys.is_empty() {
        return Ok(Vec::new());
    }
    let buckets: Vec<i16> = needs.keys.iter().map(|(user, _)| bucket(*user)).collect();
    let users: Vec<i64> = needs.keys.iter().map(|(user, _)| user.get()).collect();
    let keys: Vec<&str> = needs.keys.iter().map(|(_, key)| key.as_str()).collect();
    session.query_hot(KEYED_OPERATIONS, &[&buckets, &users, &keys]).await
}

async fn reservations(session: &Session, needs: &Needs, now: Timestamp) -> Result<Vec<Row>, Failure> {
    let keys = &needs.reservations;
    let buckets: Vec<i16> = keys.iter().map(|key| bucket(key.user_id)).collect();
    let owners: Vec<i64> = keys.iter().map(|key| key.user_id.get()).collect();
    let services: Vec<i64> = keys.iter().map(|key| key.service_id.get()).collect();
    let orders: Vec<i64> = keys.iter().map(|key| key.order_id.get()).collect();
    let (account_buckets, accounts) = users(&needs.accounts);
    session
        .query_hot(
            RESERVATIONS,
            &[&buckets, &owners, &services, &orders, &account_buckets, &accounts, &At(now)],
        )
        .await
}

async fn services(session: &Session, needs: &Needs) -> Result<Vec<Row>, Failure> {
    if needs.services.is_empty() {
        return Ok(Vec::new());
    }
    let ids: Vec<i64> = needs.services.iter().map(|id| id.get()).collect();
    session.query_hot(SERVICES, &[&ids]).await
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

fn missing(needs: &Needs, accounts: &[Account]) -> Vec<UserId> {
    if accounts.len() == needs.accounts.len() {
        return Vec::new();
    }
    let found: HashSet<UserId> = accounts.iter().map(|account| account.user_id).collect();
    needs.accounts.iter().copied().filter(|user| !found.contains(user)).collect()
}

/// Both, in the canonical order.
fn merged(needs: &Needs, opened: &[UserId], missing: &[UserId]) -> Vec<UserId> {
    let both: HashSet<UserId> = opened.iter().chain(missing).copied().collect();
    needs.accounts.iter().copied().filter(|user| both.contains(user)).collect()
}
