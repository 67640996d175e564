//! Accounts, and who has something due.

use std::collections::HashSet;

use balance_domain::{AccountAsOf, Moment, Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension};

use crate::rows::{account, account_columns, optional, value};

const ACCOUNT: &str = concat!("SELECT ", account_columns!(), " FROM accounts WHERE user_id = ?1");

const HAS_DUE: &str = "
    SELECT EXISTS (
        SELECT 1 FROM reservations INDEXED BY reservations_active
        WHERE user_id = ?1 AND state = 'active' AND expires_at <= ?2
    )";

/// Longest due first. The order is that of the index, so reading stops once there are enough users.
const DUE_USERS: &str = "
    SELECT user_id
    FROM reservations INDEXED BY reservations_due
    WHERE state = 'active' AND expires_at <= ?1
    ORDER BY expires_at, user_id";

/// The accounts at this moment, in the order asked for.
pub(super) fn accounts(
    connection: &Connection,
    user_ids: &[UserId],
    moment: Moment,
) -> rusqlite::Result<Vec<Option<AccountAsOf>>> {
    user_ids.iter().map(|user_id| one(connection, *user_id, moment)).collect()
}

fn one(connection: &Connection, user_id: UserId, moment: Moment) -> rusqlite::Result<Option<AccountAsOf>> {
    let mut statement = connection.prepare_cached(ACCOUNT)?;
    let Some(recorded) = statement.query_row([user_id.get()], account).optional()? else { return Ok(None) };
    // An active reservation holds money: nothing reserved, nothing due.
    let has_due = recorded.reserved > 0 && {
        let mut statement = connection.prepare_cached(HAS_DUE)?;
        statement.query_row((user_id.get(), moment.now().micros()), |row| row.get(0))?
    };
    Ok(Some(AccountAsOf { at: moment.now(), recorded, has_due }))
}

/// The newest time among the operations that were appended last: all of them, but for a clock that was set back since.
const NEWEST_TIME: &str =
    "SELECT max(created_at) FROM (SELECT created_at FROM operations ORDER BY id DESC LIMIT 1000)";

/// How many accounts there are, counted no further than `count_max`.
pub(super) fn count(connection: &Connection, count_max: u32) -> rusqlite::Result<u64> {
    let counted: i64 = connection
        .prepare_cached("SELECT count(*) FROM (SELECT 1 FROM accounts LIMIT ?1)")?
        .query_row([count_max], |row| row.get(0))?;
    Ok(counted.unsigned_abs())
}

/// The newest recorded time.
pub(super) fn newest_time(connection: &Connection) -> rusqlite::Result<Option<Timestamp>> {
    connection.prepare_cached(NEWEST_TIME)?.query_row([], |row| optional(row, 0, Timestamp::from_micros))
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
            (HAS_DUE, "INDEX reservations_active (user_id=? AND expires_at<?)"),
            (DUE_USERS, "INDEX reservations_due (expires_at<?)"),
        ] {
            let plan = schema::plan(&connection, sql);
            assert!(plan.contains(search), "{sql}: {plan}");
            assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
    }
}
