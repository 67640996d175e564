//! The statements of the batch path and of balances, each with the lock it takes and why.
//!
//! A planner without statistics may take a full table for an empty one and read all of it. So look-ups are
//! lateral subqueries, which can only run once per element of the arrays, and sessions forbid what would compete
//! with an index scan in there ([`PLANNER`]). A test explains every statement on empty, tiny, fresh and large tables
//! (`plans`).

/// Settings of every session: with these a look-up has one plan left, by its index. `jit` and parallel workers
/// would only add their start.
pub(crate) const PLANNER: &str = "SET enable_seqscan = off; SET enable_bitmapscan = off; SET enable_hashjoin = off; \
    SET enable_mergejoin = off; SET enable_sort = off; SET enable_material = off; SET enable_memoize = off; \
    SET jit = off; SET max_parallel_workers_per_gather = 0";

/// Begins the transaction of a batch. READ COMMITTED, whatever the server's default: the statements that follow the
/// locks must see what the locks waited for.
pub(crate) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// [`BEGIN`] for a batch that locks its rows first. `services` and `books` come before any account, as they do in
/// [`WRITE_ALL`], which has all of its table locks before its first row: otherwise a removal, or a closing of the
/// books, that waits between the two could deadlock.
pub(crate) const BEGIN_LOCKED: &str =
    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; LOCK TABLE services, books IN ACCESS SHARE MODE";

/// The end of a batch's transaction. In an aborted transaction the server calls it `ROLLBACK`, and the driver does not
/// say so: it counts only where every statement before it has succeeded.
pub(crate) const COMMIT: &str = "COMMIT";

/// [`COMMIT`] for what is not a batch. In an aborted transaction the first statement is an error, so that the server
/// can never answer this with a silent rollback.
pub(crate) const COMMIT_ALONE: &str = "SELECT 1; COMMIT";

/// Ends a transaction that wrote nothing, or gives its locks back.
pub(crate) const ROLLBACK: &str = "ROLLBACK";

/// Makes rows for those of these accounts that have none, in the order of the array: rows of no operation, which count
/// as no account. A batch that locks its rows first can then lock all of them: an account that another batch opened
/// after the locks were taken would have to be locked out of order, and one opened meanwhile would have to be waited
/// for with locks in hand.
pub(crate) const CLAIM_ACCOUNTS: &str = "\
INSERT INTO accounts (bucket, user_id, available, reserved, seq, last_at, closed, version)
SELECT n.bucket, n.user_id, 0, 0, 0, 'epoch', false, 0
FROM unnest($1::account_ref[]) AS n
LEFT JOIN LATERAL (
    SELECT true AS has_row FROM accounts WHERE bucket = n.bucket AND user_id = n.user_id OFFSET 0
) AS a ON true
WHERE a.has_row IS NULL
ON CONFLICT DO NOTHING";

/// Locks the account rows one after the other in the order of the array, which is sorted by (bucket, user) in
/// all batches: no two can wait for each other. Row locks until the end of the transaction.
pub(crate) const LOCK_ACCOUNTS: &str = "\
SELECT FROM unnest($1::account_ref[]) AS n
CROSS JOIN LATERAL (
    SELECT FROM accounts WHERE bucket = n.bucket AND user_id = n.user_id FOR UPDATE
) AS a";

/// Which of these accounts exist and are locked by somebody else. What it locks itself is free again when it ends.
pub(crate) const LOCKED_BY_OTHERS: &str = "\
SELECT a.user_id
FROM unnest($1::account_ref[]) AS n
CROSS JOIN LATERAL (
    SELECT bucket, user_id FROM accounts WHERE bucket = n.bucket AND user_id = n.user_id OFFSET 0
) AS a
LEFT JOIN LATERAL (
    SELECT true AS is_free FROM accounts
    WHERE bucket = a.bucket AND user_id = a.user_id FOR UPDATE SKIP LOCKED
) AS f ON true
WHERE f.is_free IS NULL";

/// What a batch is decided on, in one snapshot: accounts (`$1`) with their versions, what keys (`$2`) were answered,
/// reservations that are named (`$3`), the earliest of each account that are past their deadline at `$4` (one more
/// than may expire in one transaction, which shows that there are more), services (`$5`), and up to when the books are
/// closed. A reservation may come twice. No lock but those of every reader.
///
/// A row has the columns of one part, from 0, [`SNAPSHOT_OPERATION`], [`SNAPSHOT_RESERVATION`] or [`SNAPSHOT_SERVICE`]
/// on, and NULLs elsewhere, the buckets of operations and reservations left unread. That of the books has nothing but
/// [`SNAPSHOT_CLOSED_UNTIL`].
pub(crate) const SNAPSHOT: &str = "\
SELECT a.user_id, a.available, a.reserved, a.seq, a.last_at, a.closed, a.version, a.ctid, (NULL::operation_row).*, \
    (NULL::reservation_row).*, NULL::bigint, NULL::boolean, NULL::boolean
FROM unnest($1::account_ref[]) AS n
CROSS JOIN LATERAL (
    SELECT *, ctid FROM accounts WHERE bucket = n.bucket AND user_id = n.user_id OFFSET 0
) AS a
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, o.bucket, o.user_id, o.seq, o.kind, o.amount, \
    o.available_after, o.reserved_after, o.service_id, o.order_id, o.counterparty_user_id, o.comment, \
    o.idempotency_key, o.created_at, o.actor, o.fingerprint, o.reservation_amount, o.reservation_captured, \
    o.reservation_released, o.reservation_refunded, o.reservation_created_at, o.reservation_expires_at, \
    o.reservation_state, o.reservation_seq, (NULL::reservation_row).*, NULL, NULL, NULL
FROM unnest($2::key_ref[]) AS n
CROSS JOIN LATERAL (
    SELECT * FROM operations
    WHERE bucket = n.bucket AND user_id = n.user_id AND idempotency_key = n.idempotency_key
    OFFSET 0
) AS o
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, (NULL::operation_row).*, r.bucket, r.user_id, r.service_id, \
    r.order_id, r.amount, r.captured, r.released, r.refunded, r.created_at, r.expires_at, r.state, r.reserve_seq, \
    NULL, NULL, NULL
FROM unnest($3::reservation_ref[]) AS n
CROSS JOIN LATERAL (
    SELECT * FROM reservations
    WHERE bucket = n.bucket AND user_id = n.user_id AND service_id = n.service_id AND order_id = n.order_id
    OFFSET 0
) AS r
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, (NULL::operation_row).*, r.bucket, r.user_id, r.service_id, \
    r.order_id, r.amount, r.captured, r.released, r.refunded, r.created_at, r.expires_at, r.state, r.reserve_seq, \
    NULL, NULL, NULL
FROM unnest($1::account_ref[]) AS n
CROSS JOIN LATERAL (
    SELECT * FROM reservations
    WHERE bucket = n.bucket AND user_id = n.user_id AND state = 'active' AND expires_at <= $4
    ORDER BY expires_at
    LIMIT 2001
) AS r
UNION ALL
SELECT NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, (NULL::operation_row).*, (NULL::reservation_row).*, s.id, \
    s.retired, s.used
FROM services s WHERE s.id = ANY ($5)
UNION ALL
SELECT NULL, NULL, NULL, NULL, b.closed_until, NULL, NULL, NULL, (NULL::operation_row).*, (NULL::reservation_row).*, \
    NULL, NULL, NULL
FROM books b WHERE b.only_row";

/// The column of [`SNAPSHOT`] that says up to when the books are closed, in a row without a user.
pub(crate) const SNAPSHOT_CLOSED_UNTIL: usize = 4;

/// The first column of [`SNAPSHOT`] that an operation is read from.
pub(crate) const SNAPSHOT_OPERATION: usize = 9;
/// The first column of [`SNAPSHOT`] that a reservation is read from.
pub(crate) const SNAPSHOT_RESERVATION: usize = 32;
/// The first column of [`SNAPSHOT`] that a service is read from.
pub(crate) const SNAPSHOT_SERVICE: usize = 43;

/// Writes over account rows, `$2` of them in `$1`, each only if it is still where and of the version that it was read.
/// It locks them one after the other in the order of the array, the canonical one, until the commit.
///
/// `LIMIT $2` limits nothing: it makes the planner expect one row, so that reading all of a table that it takes for
/// tiny never looks cheaper than going to the places.
macro_rules! written {
    () => {
        "\
WITH written AS (
    UPDATE accounts AS a
    SET available = n.available, reserved = n.reserved, seq = n.seq, last_at = n.last_at, closed = n.closed, \
        version = n.version
    FROM (SELECT * FROM unnest($1::account_row[]) LIMIT $2) AS n
    WHERE a.ctid = n.place AND a.version = n.expected AND a.bucket = n.bucket AND a.user_id = n.user_id
    RETURNING a.user_id, a.ctid
)"
    };
}

/// Draws the number of the batch, once, when the first row that carries it is written: after the accounts are locked
/// and confirmed, so that of two batches of one account the later one has the higher number
/// ([`events`](crate::events)).
macro_rules! numbered {
    () => {
        "number AS MATERIALIZED (SELECT nextval('operation_batches') AS batch)"
    };
}

/// Appends operations (`$3`) in the order given. Their accounts are locked by then. The unique index refuses a key that
/// was used before, which nobody may have looked up.
macro_rules! appended {
    () => {
        "\
appended AS (
    INSERT INTO operations (bucket, user_id, seq, kind, amount, available_after, reserved_after, service_id, \
        order_id, counterparty_user_id, comment, idempotency_key, created_at, actor, fingerprint, reservation_amount, \
        reservation_captured, reservation_released, reservation_refunded, reservation_created_at, \
        reservation_expires_at, reservation_state, reservation_seq, batch)
    SELECT n.*, (SELECT batch FROM number) FROM unnest($3::operation_row[]) AS n
)"
    };
}

/// Inserts whole reservations; `$rows` is the parameter that has them.
macro_rules! insert_reservations {
    ($rows:literal) => {
        concat!(
            "INSERT INTO reservations (bucket, user_id, service_id, order_id, amount, captured, released, refunded, \
             created_at, expires_at, state, reserve_seq)
             SELECT * FROM unnest(",
            $rows,
            "::reservation_row[])"
        )
    };
}

/// Whether the books are closed up to the instant that the batch was decided with; `$until` is the parameter that has
/// it. The ACCESS SHARE lock on the table is taken before any row and before the snapshot of the statement, and lasts
/// until the commit: a closing, which takes ACCESS EXCLUSIVE, comes wholly before or wholly after this batch.
macro_rules! books_are_as {
    ($until:literal) => {
        concat!("(SELECT closed_until FROM books WHERE only_row) IS NOT DISTINCT FROM ", $until)
    };
}

/// Writes a batch that only moves money between accounts that exist, if every one is unchanged and the books are closed
/// up to `$4`: otherwise the division fails, and with it the statement, before anything but accounts was touched.
/// Answers where the rows are now.
///
/// As a statement of its own it is its own transaction. It does not touch `services`, so that no removal holds it up.
pub(crate) const WRITE_MOVEMENTS: &str = concat!(
    written!(),
    ", ",
    numbered!(),
    ", ",
    appended!(),
    "
SELECT array_agg(user_id), array_agg(ctid), 1 / (count(*) = $2 AND ",
    books_are_as!("$4"),
    ")::integer FROM written"
);

/// Writes any batch if everything that it was decided on is unchanged. Beside what [`WRITE_MOVEMENTS`] does:
///
/// - `opened` (`$4`): accounts that have no row yet, in the canonical order. They are inserted before any existing
///   row is locked: an insert may wait for a batch that is writing the same account, and waiting with row locks held
///   could deadlock. The primary key refuses an account that another batch has made meanwhile.
/// - `kept` (`$5`): reservations that are known to exist, written over their rows. It is an insert because that finds
///   the rows by the key whatever the planner believes.
/// - `made` (`$6`): reservations that nothing is known of: the primary key refuses one that exists.
/// - `$7`: services that money is set aside for; each must take reservations, and have been marked as used. The ACCESS
///   SHARE lock on the table is taken before any row and lasts until the commit: a removal, which takes ACCESS
///   EXCLUSIVE, comes wholly before or wholly after this batch.
/// - `$8`: up to when the books are closed, as `$4` there.
/// - `$9`: facts of the batch, which share its number.
///
/// PostgreSQL runs the CTEs that the main query reads first, in its order: `opened` before `written`; then the others.
pub(crate) const WRITE_ALL: &str = concat!(
    written!(),
    ", opened AS (
    INSERT INTO accounts (bucket, user_id, available, reserved, seq, last_at, closed, version)
    SELECT n.bucket, n.user_id, n.available, n.reserved, n.seq, n.last_at, n.closed, n.version
    FROM unnest($4::account_row[]) AS n
    RETURNING user_id, ctid
), kept AS (
    ",
    insert_reservations!("$5"),
    "
    ON CONFLICT (bucket, user_id, service_id, order_id) DO UPDATE
    SET amount = excluded.amount, captured = excluded.captured, released = excluded.released, \
        refunded = excluded.refunded, created_at = excluded.created_at, expires_at = excluded.expires_at, \
        state = excluded.state, reserve_seq = excluded.reserve_seq
), made AS (
    ",
    insert_reservations!("$6"),
    "
), ",
    numbered!(),
    ", ",
    appended!(),
    ", noted AS (
    INSERT INTO facts (batch, kind, subject, user_id, seq, service_id, actor, created_at, details)
    SELECT (SELECT batch FROM number), n.* FROM unnest($9::fact_row[]) AS n
)
SELECT array_agg(user_id), array_agg(ctid), 1 / (
    count(*) = $2 + cardinality($4)
    AND (SELECT count(*) FROM services WHERE id = ANY ($7) AND used AND NOT retired) = cardinality($7)
    AND ",
    books_are_as!("$8"),
    "
)::integer
FROM (SELECT user_id, ctid FROM opened UNION ALL SELECT user_id, ctid FROM written) AS accounts"
);

/// From now on these services can be retired, not deleted. After the accounts and in the order of ids, so that two
/// batches cannot wait for each other. Counts those that take reservations.
pub(crate) const MARK_SERVICES_USED: &str =
    "UPDATE services SET used = true WHERE id = ANY ($1) AND NOT retired";

/// Erases the free text of a user who is closed in the same transaction, which has locked the account.
pub(crate) const ERASE_COMMENTS: &str = "\
UPDATE operations SET comment = NULL
WHERE bucket = $1 AND user_id = $2 AND comment IS NOT NULL";

/// Commits nothing but a message that nobody reads. That has a record in the log, so the commit waits until every
/// standby that must confirm commits has confirmed this one, and with it all that were before. A transaction that
/// writes no record waits for nobody.
pub(crate) const CONFIRM: &str = "SELECT pg_catalog.pg_logical_emit_message(true, 'balance', '')::text";

/// Accounts that are not of the version that the reader has, and whether anything of them is due, in one snapshot;
/// NULLs for one that does not exist. Who has nothing reserved has nothing due: most are spared the look.
pub(crate) const READ_ACCOUNTS: &str = "\
SELECT n.user_id, a.available, a.reserved, a.seq, a.last_at, a.closed, a.reserved > 0 AND EXISTS (
    SELECT FROM reservations
    WHERE bucket = n.bucket AND user_id = n.user_id AND state = 'active' AND expires_at <= $2
)
FROM unnest($1::account_version[]) AS n
LEFT JOIN LATERAL (
    SELECT * FROM accounts WHERE bucket = n.bucket AND user_id = n.user_id AND seq > 0 OFFSET 0
) AS a ON true
WHERE n.place IS NULL OR NOT EXISTS (
    SELECT FROM accounts
    WHERE ctid = n.place AND version = n.version AND bucket = n.bucket AND user_id = n.user_id
    OFFSET 0
)";

/// One operation by its key.
pub(crate) const OPERATION_BY_KEY: &str = "\
SELECT o.user_id, o.seq, o.kind, o.amount, o.available_after, o.reserved_after, o.service_id, o.order_id, \
    o.counterparty_user_id, o.comment, o.idempotency_key, o.created_at, o.actor
FROM operations o
WHERE o.bucket = $1 AND o.user_id = $2 AND o.idempotency_key = $3";

/// One reservation.
pub(crate) const RESERVATION_BY_KEY: &str = "\
SELECT r.user_id, r.service_id, r.order_id, r.amount, r.captured, r.released, r.refunded, r.created_at, \
    r.expires_at, r.state, r.reserve_seq
FROM reservations r
WHERE r.bucket = $1 AND r.user_id = $2 AND r.service_id = $3 AND r.order_id = $4";

/// Users with something due, the longest due first; a user comes once per reservation. `amount > 0`
/// lets this statement alone use the sweeper's index: see the migration.
pub(crate) const DUE_USERS: &str = "\
SELECT r.user_id FROM reservations r
WHERE r.state = 'active' AND r.amount > 0 AND r.expires_at <= $1
ORDER BY r.expires_at, r.user_id
LIMIT $2";

#[cfg(test)]
mod tests {
    use balance_postgres_harness::shared;
    use tokio_postgres::NoTls;

    use super::*;

    #[test]
    fn one_more_is_loaded_than_may_expire() {
        assert!(SNAPSHOT.contains(&format!("LIMIT {}\n", balance_domain::EXPIRIES_MAX + 1)));
    }

    /// The driver hides the tag by which the server tells that it rolled back instead.
    #[tokio::test]
    async fn only_commit_alone_reports_an_aborted_transaction() {
        let (client, connection) = tokio_postgres::connect(&shared().url("postgres"), NoTls).await.unwrap();
        tokio::spawn(connection);
        let failed = "BEGIN; SELECT 1 / 0";
        client.batch_execute(failed).await.unwrap_err();
        client.batch_execute(COMMIT).await.expect("this is what the driver says of a rollback");
        client.batch_execute(failed).await.unwrap_err();
        let refused = client.batch_execute(COMMIT_ALONE).await.unwrap_err();
        assert_eq!(refused.code().unwrap().code(), "25P02");
    }
}
