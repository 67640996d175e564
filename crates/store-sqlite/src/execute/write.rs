//! Writes the sum of a batch's decisions: every row once, accounts before what refers to them.

use std::collections::HashMap;

use balance_domain::{
    Account, AccountStatus, Actor, Changes, Comment, IdempotencyKey, OrderId, RecordedOperation, Reservation,
    ReservationState, ServiceId, UserId, ports::RepoError,
};
use rusqlite::{Connection, params};

use super::numbers;
use crate::{
    early::{self, EARLY, early_count, ids_of_user},
    error::repo_error,
    facts,
    rows::state_name,
};

/// `?7` is the number that the row has: operations count on from there.
const UPDATE_ACCOUNT: &str = "
    UPDATE accounts SET closed = ?2, available = ?3, reserved = ?4, seq = ?5, last_at = ?6
    WHERE user_id = ?1 AND seq = ?7";

/// Only for a user without operations: a lost row does not start over.
const INSERT_ACCOUNT: &str = concat!(
    "INSERT INTO accounts (user_id, closed, available, reserved, seq, last_at)
    SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE NOT EXISTS ",
    ids_of_user!()
);

/// Leaves `created_at` alone, so that the index by time is not touched; a reservation that started over has another
/// one and is not found.
const UPDATE_RESERVATION: &str = "
    UPDATE reservations
    SET state = ?4, amount = ?5, captured = ?6, released = ?7, refunded = ?8, expires_at = ?10
    WHERE user_id = ?1 AND service_id = ?2 AND order_id = ?3 AND created_at = ?9 AND reserve_seq = ?11";

/// For a new reservation, and for one that starts over under the key of an earlier one, which is listed if any is.
/// The account is written already.
const REPLACE_RESERVATION: &str = concat!(
    "INSERT INTO reservations (user_id, service_id, order_id, state, amount, captured, released, refunded,
                              created_at, expires_at, reserve_seq, is_listed)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, (SELECT seq >= ",
    early_count!(),
    " FROM accounts WHERE user_id = ?1))
    ON CONFLICT (user_id, service_id, order_id) DO UPDATE
    SET state = ?4, amount = ?5, captured = ?6, released = ?7, refunded = ?8, created_at = ?9, expires_at = ?10,
        reserve_seq = ?11"
);

const INSERT_OPERATION: &str = "
    INSERT INTO operations (user_id, seq, kind, amount, available_after, reserved_after, service_id, order_id,
                            counterparty_user_id, comment, idempotency_key, created_at, actor, fingerprint,
                            reservation_state, reservation_amount, reservation_captured, reservation_released,
                            reservation_refunded, reservation_created_at, reservation_expires_at, reservation_seq)
    VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22)";

const ERASE_COMMENTS: &str = concat!(
    "UPDATE operations NOT INDEXED SET comment = NULL WHERE comment IS NOT NULL AND id IN ",
    ids_of_user!()
);

const MARK_USED: &str = "UPDATE services SET used = 1 WHERE id = ?1";

/// Writes all of it. Comments are erased last: operations of this very batch are included.
pub(super) fn changes(connection: &Connection, changes: &Changes) -> Result<(), RepoError> {
    let Changes { accounts, reservations, operations, services_used, closed, facts } = changes;
    write_accounts(connection, accounts, &numbers::preceding(changes)?)?;
    mark_used(connection, services_used).map_err(repo_error)?;
    write_reservations(connection, reservations).map_err(repo_error)?;
    let first = append_operations(connection, operations).map_err(repo_error)?;
    match first {
        Some(first) => facts::add(connection, facts, operations, first),
        None => facts::add_alone(connection, facts),
    }
    .map_err(repo_error)?;
    list_early(connection, accounts, operations)?;
    erase_comments(connection, closed).map_err(repo_error)
}

fn write_accounts(
    connection: &Connection,
    accounts: &[Account],
    preceding: &HashMap<UserId, i64>,
) -> Result<(), RepoError> {
    // In the order of the B-tree, which is not that of buckets.
    let mut accounts: Vec<&Account> = accounts.iter().collect();
    accounts.sort_unstable_by_key(|account| account.user_id);
    let mut update = connection.prepare_cached(UPDATE_ACCOUNT).map_err(repo_error)?;
    let mut insert = connection.prepare_cached(INSERT_ACCOUNT).map_err(repo_error)?;
    for account in accounts {
        let closed = account.status == AccountStatus::Closed;
        let &Account { user_id, available, reserved, seq, last_at, .. } = account;
        let written = match preceding[&user_id] {
            0 => insert.execute((user_id.get(), closed, available, reserved, seq, last_at.micros())),
            last => update.execute((user_id.get(), closed, available, reserved, seq, last_at.micros(), last)),
        };
        if written.map_err(repo_error)? == 0 {
            return Err(numbers::miscounted(user_id));
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
            reservation.reserve_seq,
        );
        // Nothing happened to it yet: nearly always it is new.
        let looks_new = reservation.state == ReservationState::Active && reservation.captured == 0;
        if looks_new || update.execute(row)? == 0 {
            replace.execute(row)?;
        }
    }
    Ok(())
}

/// The row id of the first one; the others count up from it, because nobody else writes and none is ever deleted.
fn append_operations(
    connection: &Connection,
    operations: &[RecordedOperation],
) -> rusqlite::Result<Option<i64>> {
    let mut first = None;
    let mut insert = connection.prepare_cached(INSERT_OPERATION)?;
    for RecordedOperation { operation, fingerprint, reservation_after: after } in operations {
        let id = insert.insert(params![
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
            operation.actor.write_to(&mut [0; Actor::BYTES_MAX]),
            fingerprint.as_ref().map(|fingerprint| fingerprint.0.as_slice()),
            after.map(|reservation| state_name(reservation.state)),
            after.map(|reservation| reservation.amount.get()),
            after.map(|reservation| reservation.captured),
            after.map(|reservation| reservation.released),
            after.map(|reservation| reservation.refunded),
            after.map(|reservation| reservation.created_at.micros()),
            after.map(|reservation| reservation.expires_at.micros()),
            after.map(|reservation| reservation.reserve_seq),
        ])?;
        first.get_or_insert(id);
    }
    Ok(first)
}

/// Histories that become long by these operations.
fn list_early(
    connection: &Connection,
    accounts: &[Account],
    operations: &[RecordedOperation],
) -> Result<(), RepoError> {
    for RecordedOperation { operation, .. } in operations.iter().filter(|last| last.operation.seq == EARLY) {
        let user_id = operation.user_id;
        let account = accounts.iter().find(|account| account.user_id == user_id);
        if account.map(|account| account.seq) != Some(early::count(connection, user_id).map_err(repo_error)?)
        {
            return Err(numbers::miscounted(user_id));
        }
        early::list(connection, user_id).map_err(repo_error)?;
    }
    Ok(())
}

fn mark_used(connection: &Connection, ids: &[ServiceId]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(MARK_USED)?;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn no_row_is_looked_for_in_a_whole_table() {
        let connection = schema::migrated();
        for sql in [UPDATE_ACCOUNT, UPDATE_RESERVATION, ERASE_COMMENTS, MARK_USED] {
            let plan = schema::plan(&connection, sql);
            assert!(!plan.contains("SCAN"), "{sql}: {plan}");
        }
    }
}
