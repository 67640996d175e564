//! Makes values of the domain out of rows. Columns are read by position: each statement names the list of
//! columns that its reader here expects.

use balance_domain::{
    Account, AccountStatus, Amount, Comment, Fingerprint, IdempotencyKey, LoadedService, Operation,
    OperationKind, OrderId, RecordedOperation, Reservation, ReservationKey, Service, ServiceId, ServiceName,
    ServiceStatus, UserId,
};
use tokio_postgres::{Row, types::FromSql};

use crate::{
    error::Failure,
    values::{At, RowVersion, state_of},
};

/// Reads one column; what does not fit the domain is damage.
pub(crate) fn column<'a, T: FromSql<'a>>(row: &'a Row, index: usize) -> Result<T, Failure> {
    row.try_get(index).map_err(Failure::damaged)
}

/// Reads an integer that the domain has a type for.
pub(crate) fn id<T: TryFrom<i64, Error = balance_domain::Invalid>>(
    row: &Row,
    index: usize,
) -> Result<T, Failure> {
    T::try_from(column(row, index)?).map_err(Failure::damaged)
}

fn optional_id<T: TryFrom<i64, Error = balance_domain::Invalid>>(
    row: &Row,
    index: usize,
) -> Result<Option<T>, Failure> {
    column::<Option<i64>>(row, index)?.map(T::try_from).transpose().map_err(Failure::damaged)
}

/// `user_id, available, reserved, seq, last_at, closed`, from `first` on.
pub(crate) fn account(row: &Row, first: usize) -> Result<Account, Failure> {
    let is_closed: bool = column(row, first + 5)?;
    Ok(Account {
        user_id: id(row, first)?,
        available: column(row, first + 1)?,
        reserved: column(row, first + 2)?,
        seq: column(row, first + 3)?,
        last_at: column::<At>(row, first + 4)?.0,
        status: if is_closed { AccountStatus::Closed } else { AccountStatus::Open },
    })
}

/// `version, ctid`, from `first` on.
pub(crate) fn version(row: &Row, first: usize) -> Result<RowVersion, Failure> {
    Ok(RowVersion { number: column(row, first)?, place: column(row, first + 1)? })
}

/// `user_id, service_id, order_id, amount, captured, released, refunded, created_at, expires_at, state, reserve_seq`,
/// from `first` on.
pub(crate) fn reservation(row: &Row, first: usize) -> Result<Reservation, Failure> {
    let key = ReservationKey {
        user_id: id(row, first)?,
        service_id: id(row, first + 1)?,
        order_id: id(row, first + 2)?,
    };
    reservation_of(row, key, first + 3)
}

/// `amount, captured, released, refunded, created_at, expires_at, state, reserve_seq`, from `first` on.
fn reservation_of(row: &Row, key: ReservationKey, first: usize) -> Result<Reservation, Failure> {
    let state: &str = column(row, first + 6)?;
    Ok(Reservation {
        key,
        amount: id::<Amount>(row, first)?,
        captured: column(row, first + 1)?,
        released: column(row, first + 2)?,
        refunded: column(row, first + 3)?,
        created_at: column::<At>(row, first + 4)?.0,
        expires_at: column::<At>(row, first + 5)?.0,
        reserve_seq: column(row, first + 7)?,
        state: state_of(state).ok_or_else(|| Failure::damaged(format!("{state} is no state")))?,
    })
}

/// `user_id, seq, kind, amount, available_after, reserved_after, service_id, order_id, counterparty_user_id,
/// comment, idempotency_key, created_at, actor`, from `first` on.
pub(crate) fn operation(row: &Row, first: usize) -> Result<Operation, Failure> {
    let kind: &str = column(row, first + 2)?;
    let comment: Option<&str> = column(row, first + 9)?;
    let key: Option<&str> = column(row, first + 10)?;
    Ok(Operation {
        user_id: id::<UserId>(row, first)?,
        seq: column(row, first + 1)?,
        kind: OperationKind::from_name(kind)
            .ok_or_else(|| Failure::damaged(format!("{kind} is no kind of operation")))?,
        amount: id::<Amount>(row, first + 3)?,
        available_after: column(row, first + 4)?,
        reserved_after: column(row, first + 5)?,
        service_id: optional_id::<ServiceId>(row, first + 6)?,
        order_id: optional_id::<OrderId>(row, first + 7)?,
        counterparty_user_id: optional_id::<UserId>(row, first + 8)?,
        comment: comment.map(Comment::new).transpose().map_err(Failure::damaged)?,
        idempotency_key: key.map(IdempotencyKey::new).transpose().map_err(Failure::damaged)?,
        created_at: column::<At>(row, first + 11)?.0,
        actor: column::<&str>(row, first + 12)?.parse().map_err(Failure::damaged)?,
    })
}

/// What [`recorded`] reads, of `operations o`.
macro_rules! recorded_columns {
    () => {
        "o.user_id, o.seq, o.kind, o.amount, o.available_after, o.reserved_after, o.service_id, o.order_id, \
         o.counterparty_user_id, o.comment, o.idempotency_key, o.created_at, o.actor, o.fingerprint, \
         o.reservation_amount, o.reservation_captured, o.reservation_released, o.reservation_refunded, \
         o.reservation_created_at, o.reservation_expires_at, o.reservation_state, o.reservation_seq"
    };
}
pub(crate) use recorded_columns;

/// The columns of [`operation`], then `fingerprint` and the reservation as in [`reservation`], its key left out and
/// each column named `reservation_…`, the last one
/// `reservation_seq`.
pub(crate) fn recorded(row: &Row, first: usize) -> Result<RecordedOperation, Failure> {
    let operation = operation(row, first)?;
    let fingerprint: Option<&[u8]> = column(row, first + 13)?;
    let fingerprint = fingerprint.map(<[u8; 16]>::try_from).transpose().map_err(Failure::damaged)?;
    let has_reservation = column::<Option<i64>>(row, first + 14)?.is_some();
    let key = operation.service_id.zip(operation.order_id).filter(|_| has_reservation);
    let user_id = operation.user_id;
    let reservation_after = key
        .map(|(service_id, order_id)| {
            reservation_of(row, ReservationKey { user_id, service_id, order_id }, first + 14)
        })
        .transpose()?;
    Ok(RecordedOperation { operation, fingerprint: fingerprint.map(Fingerprint), reservation_after })
}

/// `id, name, retired`.
pub(crate) fn service(row: &Row) -> Result<Service, Failure> {
    let name: &str = column(row, 1)?;
    Ok(Service {
        id: id(row, 0)?,
        name: ServiceName::new(name).map_err(Failure::damaged)?,
        status: service_status(column(row, 2)?),
    })
}

/// `id, retired, used`, from `first` on.
pub(crate) fn loaded_service(row: &Row, first: usize) -> Result<LoadedService, Failure> {
    Ok(LoadedService {
        id: id(row, first)?,
        status: service_status(column(row, first + 1)?),
        is_used: column(row, first + 2)?,
    })
}

/// The status of a service whose row says so.
pub(crate) const fn service_status(is_retired: bool) -> ServiceStatus {
    if is_retired { ServiceStatus::Retired } else { ServiceStatus::Active }
}
