//! Loads what a batch must see, row by row through prepared statements: there is no bound on how many, and rows
//! that lie side by side in a B-tree are asked for one after the other.

use balance_domain::{
    Account, EXPIRIES_MAX, IdempotencyKey, LoadedService, Moment, Needs, RecordedOperation, Reservation,
    ReservationKey, Rows, ServiceId, UserId,
};
use rusqlite::{Connection, OptionalExtension};

use crate::rows::{
    account, account_columns, loaded_service, recorded_operation, recorded_operation_columns, reservation,
    reservation_columns,
};

const ACCOUNT: &str = concat!("SELECT ", account_columns!(), " FROM accounts WHERE user_id = ?1");

const ANSWERED: &str = concat!(
    "SELECT ",
    recorded_operation_columns!(),
    " FROM operations INDEXED BY operations_by_key WHERE user_id = ?1 AND idempotency_key = ?2"
);

const RESERVATION: &str = concat!(
    "SELECT ",
    reservation_columns!(),
    " FROM reservations WHERE user_id = ?1 AND service_id = ?2 AND order_id = ?3"
);

const DUE: &str = concat!(
    "SELECT ",
    reservation_columns!(),
    " FROM reservations INDEXED BY reservations_active",
    " WHERE user_id = ?1 AND state = 'active' AND expires_at <= ?2 ORDER BY expires_at, service_id, order_id"
);

const SERVICE: &str = "SELECT id, retired, used FROM services WHERE id = ?1";

/// The rows of `needs`, and the due reservations of its accounts, as many as expire at once.
pub(super) fn rows(connection: &Connection, needs: &Needs, moment: Moment) -> rusqlite::Result<Rows> {
    let accounts = accounts(connection, &needs.accounts)?;
    let mut reservations = named(connection, &needs.reservations)?;
    let backlog = add_due(connection, &accounts, moment, &mut reservations)?;
    Ok(Rows {
        keyed_operations: answered(connection, &needs.keys)?,
        services: services(connection, &needs.services)?,
        accounts,
        reservations,
        backlog,
    })
}

fn accounts(connection: &Connection, users: &[UserId]) -> rusqlite::Result<Vec<Account>> {
    // The canonical order is one of locks, and there are none here.
    let mut users = users.to_vec();
    users.sort_unstable();
    let mut statement = connection.prepare_cached(ACCOUNT)?;
    let mut found = Vec::with_capacity(users.len());
    for user_id in users {
        found.extend(statement.query_row([user_id.get()], account).optional()?);
    }
    Ok(found)
}

fn answered(
    connection: &Connection,
    keys: &[(UserId, IdempotencyKey)],
) -> rusqlite::Result<Vec<RecordedOperation>> {
    let mut statement = connection.prepare_cached(ANSWERED)?;
    let mut found = Vec::new();
    for (user_id, key) in keys {
        found.extend(statement.query_row((user_id.get(), key.as_str()), recorded_operation).optional()?);
    }
    Ok(found)
}

fn named(connection: &Connection, keys: &[ReservationKey]) -> rusqlite::Result<Vec<Reservation>> {
    let mut statement = connection.prepare_cached(RESERVATION)?;
    let mut found = Vec::with_capacity(keys.len());
    for ReservationKey { user_id, service_id, order_id } in keys {
        let key = (user_id.get(), service_id.get(), order_id.get());
        found.extend(statement.query_row(key, reservation).optional()?);
    }
    Ok(found)
}

/// An active reservation holds money, so an account with nothing reserved has none that could be due. Returns the users
/// of whom more is due than was added.
fn add_due(
    connection: &Connection,
    accounts: &[Account],
    moment: Moment,
    reservations: &mut Vec<Reservation>,
) -> rusqlite::Result<Vec<UserId>> {
    let mut statement = connection.prepare_cached(DUE)?;
    let (mut left, mut backlog) = (EXPIRIES_MAX, Vec::new());
    for account in accounts.iter().filter(|account| account.reserved > 0) {
        let mut due = statement.query((account.user_id.get(), moment.now().micros()))?;
        while let Some(row) = due.next()? {
            if left == 0 {
                backlog.push(account.user_id);
                break;
            }
            reservations.push(reservation(row)?);
            left -= 1;
        }
    }
    Ok(backlog)
}

fn services(connection: &Connection, ids: &[ServiceId]) -> rusqlite::Result<Vec<LoadedService>> {
    let mut statement = connection.prepare_cached(SERVICE)?;
    let mut found = Vec::with_capacity(ids.len());
    for id in ids {
        found.extend(statement.query_row([id.get()], loaded_service).optional()?);
    }
    Ok(found)
}
