//! Rows of SQLite as values of the domain. A value that the domain does not accept is damage, never a default.

use std::error::Error;

use balance_domain::{
    Account, AccountStatus, Amount, Comment, Fingerprint, IdempotencyKey, LoadedService, Operation,
    OperationKind, OrderId, RecordedOperation, Reservation, ReservationKey, ReservationState, Service,
    ServiceId, ServiceName, ServiceStatus, Timestamp, UserId,
};
use rusqlite::{
    Row,
    types::{FromSql, Type},
};

/// What [`account`] reads.
macro_rules! account_columns {
    () => {
        "user_id, closed, available, reserved, seq, last_at"
    };
}

/// What [`reservation`] reads.
macro_rules! reservation_columns {
    () => {
        "user_id, service_id, order_id, state, amount, captured, released, refunded, created_at, expires_at, \
         reserve_seq"
    };
}

/// What [`operation`] reads.
macro_rules! operation_columns {
    () => {
        "user_id, seq, kind, amount, available_after, reserved_after, service_id, order_id, \
         counterparty_user_id, comment, idempotency_key, created_at, actor"
    };
}

/// What [`recorded_operation`] reads.
macro_rules! recorded_operation_columns {
    () => {
        "user_id, seq, kind, amount, available_after, reserved_after, service_id, order_id, \
         counterparty_user_id, comment, idempotency_key, created_at, actor, fingerprint, reservation_state, \
         reservation_amount, reservation_captured, reservation_released, reservation_refunded, \
         reservation_created_at, reservation_expires_at, reservation_seq"
    };
}

pub(crate) use {account_columns, operation_columns, recorded_operation_columns, reservation_columns};

pub(crate) fn account(row: &Row<'_>) -> rusqlite::Result<Account> {
    Ok(Account {
        user_id: value(row, 0, UserId::new)?,
        status: if row.get(1)? { AccountStatus::Closed } else { AccountStatus::Open },
        available: row.get(2)?,
        reserved: row.get(3)?,
        seq: row.get(4)?,
        last_at: value(row, 5, Timestamp::from_micros)?,
    })
}

pub(crate) fn reservation(row: &Row<'_>) -> rusqlite::Result<Reservation> {
    Ok(Reservation {
        key: ReservationKey {
            user_id: value(row, 0, UserId::new)?,
            service_id: value(row, 1, ServiceId::new)?,
            order_id: value(row, 2, OrderId::new)?,
        },
        state: text(row, 3, state_from_name)?,
        amount: value(row, 4, Amount::new)?,
        captured: row.get(5)?,
        released: row.get(6)?,
        refunded: row.get(7)?,
        created_at: value(row, 8, Timestamp::from_micros)?,
        expires_at: value(row, 9, Timestamp::from_micros)?,
        reserve_seq: row.get(10)?,
    })
}

pub(crate) fn operation(row: &Row<'_>) -> rusqlite::Result<Operation> {
    Ok(Operation {
        user_id: value(row, 0, UserId::new)?,
        seq: row.get(1)?,
        kind: text(row, 2, kind_from_name)?,
        amount: value(row, 3, Amount::new)?,
        available_after: row.get(4)?,
        reserved_after: row.get(5)?,
        service_id: optional(row, 6, ServiceId::new)?,
        order_id: optional(row, 7, OrderId::new)?,
        counterparty_user_id: optional(row, 8, UserId::new)?,
        comment: optional_text(row, 9, Comment::new)?,
        idempotency_key: optional_text(row, 10, IdempotencyKey::new)?,
        created_at: value(row, 11, Timestamp::from_micros)?,
        actor: text(row, 12, str::parse)?,
    })
}

pub(crate) fn recorded_operation(row: &Row<'_>) -> rusqlite::Result<RecordedOperation> {
    let operation = operation(row)?;
    let fingerprint = row.get::<_, Option<[u8; 16]>>(13)?.map(Fingerprint);
    let reservation_after = reservation_after(row, &operation)?;
    Ok(RecordedOperation { operation, fingerprint, reservation_after })
}

/// The reservation as the operation's request left it.
fn reservation_after(row: &Row<'_>, operation: &Operation) -> rusqlite::Result<Option<Reservation>> {
    let (Some(service_id), Some(order_id)) = (operation.service_id, operation.order_id) else {
        return Ok(None);
    };
    Ok(Some(Reservation {
        key: ReservationKey { user_id: operation.user_id, service_id, order_id },
        state: text(row, 14, state_from_name)?,
        amount: value(row, 15, Amount::new)?,
        captured: row.get(16)?,
        released: row.get(17)?,
        refunded: row.get(18)?,
        created_at: value(row, 19, Timestamp::from_micros)?,
        expires_at: value(row, 20, Timestamp::from_micros)?,
        reserve_seq: row.get(21)?,
    }))
}

/// Reads `id, name, retired`.
pub(crate) fn service(row: &Row<'_>) -> rusqlite::Result<Service> {
    Ok(Service {
        id: value(row, 0, ServiceId::new)?,
        name: text(row, 1, ServiceName::new)?,
        status: service_status(row.get(2)?),
    })
}

/// Reads `id, retired, used`.
pub(crate) fn loaded_service(row: &Row<'_>) -> rusqlite::Result<LoadedService> {
    Ok(LoadedService {
        id: value(row, 0, ServiceId::new)?,
        status: service_status(row.get(1)?),
        is_used: row.get(2)?,
    })
}

const fn service_status(retired: bool) -> ServiceStatus {
    if retired { ServiceStatus::Retired } else { ServiceStatus::Active }
}

/// The name of a state in the file.
pub(crate) const fn state_name(state: ReservationState) -> &'static str {
    match state {
        ReservationState::Active => "active",
        ReservationState::Captured => "captured",
        ReservationState::Released => "released",
        ReservationState::Expired => "expired",
    }
}

fn state_from_name(name: &str) -> Result<ReservationState, Unnamed> {
    use ReservationState::{Active, Captured, Expired, Released};
    [Active, Captured, Released, Expired].into_iter().find(|state| state_name(*state) == name).ok_or(Unnamed)
}

fn kind_from_name(name: &str) -> Result<OperationKind, Unnamed> {
    OperationKind::from_name(name).ok_or(Unnamed)
}

/// A name that nothing has.
#[derive(Debug, thiserror::Error)]
#[error("no state or kind has this name")]
pub(crate) struct Unnamed;

/// A column as the value that `parse` makes of it.
pub(crate) fn value<R: FromSql, T, E: Error + Send + Sync + 'static>(
    row: &Row<'_>,
    index: usize,
    parse: impl FnOnce(R) -> Result<T, E>,
) -> rusqlite::Result<T> {
    parse(row.get(index)?).map_err(|error| damaged(row, index, error))
}

/// The same of a column that may be NULL.
pub(crate) fn optional<R: FromSql, T, E: Error + Send + Sync + 'static>(
    row: &Row<'_>,
    index: usize,
    parse: impl FnOnce(R) -> Result<T, E>,
) -> rusqlite::Result<Option<T>> {
    let raw = row.get::<_, Option<R>>(index)?;
    raw.map(parse).transpose().map_err(|error| damaged(row, index, error))
}

/// The same of text, which is parsed where it lies.
pub(crate) fn text<'row, T, E: Error + Send + Sync + 'static>(
    row: &'row Row<'_>,
    index: usize,
    parse: impl FnOnce(&'row str) -> Result<T, E>,
) -> rusqlite::Result<T> {
    let raw = row.get_ref(index)?.as_str().map_err(|error| damaged(row, index, error))?;
    parse(raw).map_err(|error| damaged(row, index, error))
}

/// The same of text that may be NULL.
pub(crate) fn optional_text<'row, T, E: Error + Send + Sync + 'static>(
    row: &'row Row<'_>,
    index: usize,
    parse: impl FnOnce(&'row str) -> Result<T, E>,
) -> rusqlite::Result<Option<T>> {
    let raw = row.get_ref(index)?.as_str_or_null().map_err(|error| damaged(row, index, error))?;
    raw.map(parse).transpose().map_err(|error| damaged(row, index, error))
}

fn damaged(row: &Row<'_>, index: usize, error: impl Error + Send + Sync + 'static) -> rusqlite::Error {
    let found = row.get_ref(index).map_or(Type::Null, |value| value.data_type());
    rusqlite::Error::FromSqlConversionFailure(index, found, Box::new(error))
}
