//! Short histories: the indexes of history and of the listing leave out an account's first operations and reservations
//! (see the migrations).
//!
//! While the account has no more than these, the index of keys and that of operations without one lead to all of its
//! operations, ordered by rowid: operations are appended and never removed. Its reservations are adjacent in their
//! table. The writer lists both once, with the last early operation; from then on the lists are used.

use balance_domain::{Timestamp, UserId};
use rusqlite::{Connection, OptionalExtension};

use crate::rows::value;

/// [`EARLY`] for the text of statements.
macro_rules! early_count {
    () => {
        1000
    };
}

/// How many first operations of an account the indexes of history leave out: `seq > 1000` in the migrations. Up
/// to this many are read and sorted within a millisecond or two.
pub(crate) const EARLY: i64 = early_count!();

/// The rowids of all operations of the user `?1`, none of which is fetched.
macro_rules! ids_of_user {
    () => {
        "(SELECT id FROM operations INDEXED BY operations_by_key \
          WHERE user_id = ?1 AND idempotency_key IS NOT NULL \
          UNION ALL \
          SELECT id FROM operations INDEXED BY operations_without_key \
          WHERE user_id = ?1 AND idempotency_key IS NULL)"
    };
}

pub(crate) use {early_count, ids_of_user};

/// Operations count on from 1, so this is how many there are, too.
const LAST_SEQ: &str = "SELECT seq FROM accounts WHERE user_id = ?1";

const COUNT: &str = concat!("SELECT count(*) FROM ", ids_of_user!());

const LIST_OPERATIONS: &str = concat!(
    "INSERT INTO early_operations (user_id, seq, operation_id) SELECT ?1, row_number() OVER (ORDER BY id), id FROM ",
    ids_of_user!(),
    " ORDER BY id LIMIT ",
    early_count!()
);

const LIST_RESERVATIONS: &str = "UPDATE reservations SET is_listed = 1 WHERE user_id = ?1 AND is_listed = 0";

const COUNT_BEFORE: &str = concat!(
    "SELECT count(*) FROM operations NOT INDEXED WHERE id IN ",
    ids_of_user!(),
    " AND created_at < ?2"
);

/// Listed operations that are others, lists that are not whole, and reservations that are left out.
const WRONGLY_LISTED: &str = concat!(
    "SELECT listed.user_id FROM early_operations AS listed LEFT JOIN operations ON operations.id = operation_id
        WHERE operations.user_id IS NOT listed.user_id OR operations.seq IS NOT listed.seq
    UNION
    SELECT user_id FROM accounts
        WHERE seq >= ",
    early_count!(),
    " AND (
        (SELECT count(*) FROM early_operations AS listed WHERE listed.user_id = accounts.user_id) <> ",
    early_count!(),
    " OR EXISTS (SELECT 1 FROM reservations WHERE reservations.user_id = accounts.user_id AND is_listed = 0))"
);

const TIME_OF_LISTED: &str = "SELECT created_at FROM operations WHERE id = \
     (SELECT operation_id FROM early_operations WHERE user_id = ?1 AND seq = ?2)";

/// The number of the user's last operation; 0 if there is no account.
pub(crate) fn last_seq(connection: &Connection, user_id: UserId) -> rusqlite::Result<i64> {
    let found = connection.prepare_cached(LAST_SEQ)?.query_row([user_id.get()], |row| row.get(0)).optional();
    found.map(Option::unwrap_or_default)
}

/// Whether the first operations and the reservations of an account with operations up to `last_seq` are listed.
pub(crate) const fn are_listed(last_seq: i64) -> bool {
    last_seq >= EARLY
}

/// How many operations of the user there are, which takes as long.
pub(crate) fn count(connection: &Connection, user_id: UserId) -> rusqlite::Result<i64> {
    connection.prepare_cached(COUNT)?.query_row([user_id.get()], |row| row.get(0))
}

/// Lists the early operations and all reservations of the user, in the transaction that appends the last early
/// operation.
pub(crate) fn list(connection: &Connection, user_id: UserId) -> rusqlite::Result<()> {
    for sql in [LIST_OPERATIONS, LIST_RESERVATIONS] {
        connection.prepare_cached(sql)?.execute([user_id.get()])?;
    }
    Ok(())
}

/// How many of the user's operations, none of them listed, are of an earlier time.
pub(crate) fn count_before(
    connection: &Connection,
    user_id: UserId,
    instant: Timestamp,
) -> rusqlite::Result<i64> {
    connection.prepare_cached(COUNT_BEFORE)?.query_row((user_id.get(), instant.micros()), |row| row.get(0))
}

/// Users whose lists are not what their rows say.
pub(crate) fn wrongly_listed(connection: &Connection) -> rusqlite::Result<Vec<UserId>> {
    let mut statement = connection.prepare(WRONGLY_LISTED)?;
    statement.query_map([], |row| value(row, 0, UserId::new))?.collect()
}

/// The time of a listed operation, in microseconds.
pub(crate) fn time_of_listed(connection: &Connection, user_id: UserId, seq: i64) -> rusqlite::Result<i64> {
    connection.prepare_cached(TIME_OF_LISTED)?.query_row((user_id.get(), seq), |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn no_row_is_fetched_to_find_the_rowids_of_an_account() {
        let connection = schema::migrated();
        for sql in [COUNT, LIST_OPERATIONS, COUNT_BEFORE] {
            let plan = schema::plan(&connection, sql);
            assert!(
                plan.contains("SEARCH operations USING COVERING INDEX operations_by_key (user_id=? AND "),
                "{plan}"
            );
            assert!(
                plan.contains(
                    "SEARCH operations USING COVERING INDEX operations_without_key (user_id=? AND "
                ),
                "{plan}"
            );
        }
        let plan = schema::plan(&connection, LIST_RESERVATIONS);
        assert_eq!(plan, "SEARCH reservations USING PRIMARY KEY (user_id=?)");
        let plan = schema::plan(&connection, WRONGLY_LISTED);
        assert!(!plan.contains("SCAN operations") && !plan.contains("SCAN reservations"), "{plan}");
        let plan = schema::plan(&connection, TIME_OF_LISTED);
        assert!(plan.contains("SEARCH early_operations USING PRIMARY KEY (user_id=? AND seq=?)"), "{plan}");
    }
}
