//! Writes the sum of a batch's decisions: every row once, accounts before what refers to them.

use balance_domain::{
    Account, AccountStatus, Changes, Comment, IdempotencyKey, OrderId, RecordedOperation, Reservation,
    ReservationState, ServiceId, UserId,
};
use rusqlite::{Connection, params};

use crate::rows::state_name;

const UPDATE_ACCOUNT: &str = "UPDATE accounts SET closed = ?2, available = ?3, reserved = ?4, seq = ?5, last_at = ?6 WHERE user_id = ?1";

const INSERT_ACCOUNT: &str = "INSERT INTO accounts (user_id, closed, available, reserved, seq, last_at) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";

/// Leaves `created_at` alone, so that the index by time is not touched; a reservation that began anew has another
/// one and is not found.
const UPDATE_RESERVATION: &str = "
    UPDATE reservations
    SET state = ?4, amount = ?5, captured = ?6, released = ?7, refunded = ?8, expires_at = ?10
    WHERE user_id = ?1 AND service_id = ?2 AND order_id = ?3 AND created_at = ?9";

/// For a new reservation, and for one that begins anew under the key of an earlier one.
const REPLACE_RESERVATION: &str = "
    INSERT INTO reservations (user_id, service_id, order_id, state, amount, captured, released, refunded,
                              created_at, expires_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10)
    ON CONFLICT (user_id, service_id, order_id) DO UPDATE
    SET state = ?4, amount = ?5, captured = ?6, released = ?7, refunded = ?8, created_at = ?9, expires_at = ?10";

const INSERT_OPERATION: &str = "
    INSERT INTO operations (user_id, seq, kind, amount, available_after, reserved_after, service_id, order_id,
                            counterparty_user_id, comment, idempotency_key, created_at, fingerprint,
                            reservation_state, reservation_amount, reservation_captured, reservation_released,
                            reservation_refunded, reservation_created_at, reservation_expires_at)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20)";

const ERASE_COMMENTS: &str =
    "UPDATE operations SET comment = NULL WHERE user_id = ?1 AND comment IS NOT NULL";

/// Writes all of it. Comments are erased last: operations of this very batch are included.
pub(super) fn changes(connection: &Connection, changes: &Changes) -> rusqlite::Result<()> {
    let Changes { accounts, reservations, operations, services_used, closed } = changes;
    write_accounts(connection, accounts)?;
    mark_used(connection, services_used)?;
    write_reservations(connection, reservations)?;
    append_operations(connection, operations)?;
    erase_comments(connection, closed)
}

fn write_accounts(connection: &Connection, accounts: &[Account]) -> rusqlite::Result<()> {
    // In the order of the B-tree, which is not that of buckets.
    let mut accounts: Vec<&Account> = accounts.iter().collect();
    accounts.sort_unstable_by_key(|account| account.user_id);
    let mut update = connection.prepare_cached(UPDATE_ACCOUNT)?;
    let mut insert = connection.prepare_cached(INSERT_ACCOUNT)?;
    for account in accounts {
        let closed = account.status == AccountStatus::Closed;
        let &Account { user_id, available, reserved, seq, last_at, .. } = account;
        let row = (user_id.get(), closed, available, reserved, seq, last_at.micros());
        if update.execute(row)? == 0 {
            insert.execute(row)?;
        }
    }
    Ok(())
}

fn write_reservations(connection: &Connection, reservations: &[Reservation]) -> rusqlite::Result<()> {
    let mut update = connection.prepare_cached(UPDATE_RESERVATION)?;
    let mut replace = connection.prepare_cached(REPLACE_RESERVATION)?;
    for reservation in reservations {
        let row = (
            reservation.key.user_id.get(),
            reservation.key.service_id.get(),
            reservation.key.order_id.get(),
            state_name(reservation.state),
            reservation.amount.get(),
            reservation.captured,
            reservation.released,
            reservation.refunded,
            reservation.created_at.micros(),
            reservation.expires_at.micros(),
        );
        // Nothing happened to it yet: nearly always it is new.
        let looks_new = reservation.state == ReservationState::Active && reservation.captured == 0;
        if looks_new || update.execute(row)? == 0 {
            replace.execute(row)?;
        }
    }
    Ok(())
}

fn append_operations(connection: &Connection, operations: &[RecordedOperation]) -> rusqlite::Result<()> {
    let mut insert = connection.prepare_cached(INSERT_OPERATION)?;
    for RecordedOperation { operation, fingerprint, reservation_after: after } in operations {
        insert.execute(params![
            operation.user_id.get(),
            operation.seq,
            operation.kind.as_str(),
            operation.amount.get(),
            operation.available_after,
            operation.reserved_after,
            operation.service_id.map(ServiceId::get),
            operation.order_id.map(OrderId::get),
            operation.counterparty_user_id.map(UserId::get),
            operation.comment.as_ref().map(Comment::as_str),
            operation.idempotency_key.as_ref().map(IdempotencyKey::as_str),
            operation.created_at.micros(),
            fingerprint.as_ref().map(|fingerprint| fingerprint.0.as_slice()),
            after.map(|reservation| state_name(reservation.state)),
            after.map(|reservation| reservation.amount.get()),
            after.map(|reservation| reservation.captured),
            after.map(|reservation| reservation.released),
            after.map(|reservation| reservation.refunded),
            after.map(|reservation| reservation.created_at.micros()),
            after.map(|reservation| reservation.expires_at.micros()),
        ])?;
    }
    Ok(())
}

fn mark_used(connection: &Connection, ids: &[ServiceId]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached("UPDATE services SET used = 1 WHERE id = ?1")?;
    for id in ids {
        statement.execute([id.get()])?;
    }
    Ok(())
}

fn erase_comments(connection: &Connection, users: &[UserId]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(ERASE_COMMENTS)?;
    for user_id in users {
        statement.execute([user_id.get()])?;
    }
    Ok(())
}
