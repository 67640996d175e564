//! Accounts with what is due on top of what is recorded, and who has something due.

use std::collections::HashSet;

use balance_domain::{AccountAsOf, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension};

use crate::rows::{account, account_columns, value};

const ACCOUNT: &str = concat!("SELECT ", account_columns!(), " FROM accounts WHERE user_id = ?1");

const DUE: &str = "
    SELECT count(*), coalesce(sum(amount - captured - released), 0)
    FROM reservations INDEXED BY reservations_active
    WHERE user_id = ?1 AND state = 'active' AND expires_at <= ?2";

/// Longest due first. The order is that of the index, so reading stops once there are enough users.
const DUE_USERS: &str = "
    SELECT user_id
    FROM reservations INDEXED BY reservations_due
    WHERE state = 'active' AND expires_at <= ?1
    ORDER BY expires_at, user_id";

/// The accounts at `now`, in the order asked for.
pub(super) fn accounts(
    connection: &Connection,
    user_ids: &[UserId],
    now: Timestamp,
) -> rusqlite::Result<Vec<Option<AccountAsOf>>> {
    user_ids.iter().map(|user_id| one(connection, *user_id, now)).collect()
}

fn one(connection: &Connection, user_id: UserId, now: Timestamp) -> rusqlite::Result<Option<AccountAsOf>> {
    let mut statement = connection.prepare_cached(ACCOUNT)?;
    let Some(recorded) = statement.query_row([user_id.get()], account).optional()? else { return Ok(None) };
    let (mut due_count, mut due_remaining) = (0, 0);
    // An active reservation holds money: nothing reserved, nothing due.
    if recorded.reserved > 0 {
        let mut statement = connection.prepare_cached(DUE)?;
        (due_count, due_remaining) =
            statement.query_row((user_id.get(), now.micros()), |row| Ok((row.get(0)?, row.get(1)?)))?;
    }
    Ok(Some(AccountAsOf { at: now, recorded, due_count, due_remaining }))
}

/// Up to `users_max` distinct users with a due reservation.
pub(super) fn due_users(
    connection: &Connection,
    now: Timestamp,
    users_max: u32,
) -> rusqlite::Result<Vec<UserId>> {
    let enough = usize::try_from(users_max).unwrap_or(usize::MAX);
    let mut statement = connection.prepare_cached(DUE_USERS)?;
    let mut rows = statement.query([now.micros()])?;
    let (mut users, mut seen) = (Vec::new(), HashSet::new());
    while users.len() < enough
        && let Some(row) = rows.next()?
    {
        let user_id = value(row, 0, UserId::new)?;
        if seen.insert(user_id) {
            users.push(user_id);
        }
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn each_question_is_answered_from_its_index_without_a_sort() {
        let connection = schema::migrated();
        for (sql, search) in [
            (ACCOUNT, "SEARCH accounts USING INTEGER PRIMARY KEY (rowid=?)"),
            (DUE, "INDEX reservations_active (user_id=? AND expires_at<?)"),
            (DUE_USERS, "INDEX reservations_due (expires_at<?)"),
        ] {
            let plan = schema::plan(&connection, sql);
            assert!(plan.contains(search), "{sql}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}
