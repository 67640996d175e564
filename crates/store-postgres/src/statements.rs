//! The statements of the batch path, each with the lock it takes and why.
//!
//! A planner without statistics may take a full table for an empty one and read all of it. So lookups are
//! lateral subqueries, which can only run once per element of the arrays, and sessions forbid what would compete
//! with an index scan in there (`session`). A test explains every statement on empty, fresh and large tables.

/// Settings of every session: with these a lookup has one plan left, by its index. `jit` and parallel workers
/// would only add their start.
pub const PLANNER: &str = "-c enable_seqscan=off -c enable_bitmapscan=off -c enable_hashjoin=off \
    -c enable_mergejoin=off -c enable_sort=off -c enable_material=off -c enable_memoize=off -c jit=off \
    -c max_parallel_workers_per_gather=0";

/// Has every statement planned once, not for each set of values: with [`PLANNER`] the plans are the same, and planning
/// costs more than running most of them. Not on Citus, which looks at values to find the shard.
pub const PLAN_ONCE: &str = "\
SELECT set_config('plan_cache_mode', 'force_generic_plan', false)
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus')";

/// READ COMMITTED, whatever the server's default: later statements must see what the locks waited for.
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE";

/// Ends a transaction that wrote nothing, or gives its locks back.
pub const ROLLBACK: &str = "ROLLBACK";

/// A timeout must not interrupt the commit's wait for a standby.
pub const NO_TIMEOUT: &str = "SET LOCAL statement_timeout = 0";

/// The end of a batch. The pipeline that it belongs to is skipped after an error, and its answer is looked at: in an
/// aborted transaction the server would call it `ROLLBACK`.
pub const COMMIT: &str = "COMMIT";

/// [`COMMIT`] for what is not a batch, as one text. In an aborted transaction `SET` is an error, so that the
/// server can never answer this with a silent rollback.
pub const COMMIT_ALONE: &str = "SET LOCAL statement_timeout = 0; COMMIT";

/// Locks the account rows one after the other in the order of the arrays, which are sorted by (bucket, user) in
/// all batches: no two can wait for each other. Row locks until the end of the transaction.
pub const LOCK_ACCOUNTS: &str = "\
SELECT a.user_id, a.available, a.reserved, a.seq, a.last_at, a.closed, a.xmin, a.ctid
FROM unnest($1::account_ref[]) AS n
CROSS JOIN LATERAL (
    SELECT *, xmin, ctid FROM accounts WHERE bucket = n.bucket AND user_id = n.user_id FOR UPDATE
) AS a";

/// Brings missing account rows into being, unseen by others until the commit, which makes an absent account as
/// good as locked: whoever else inserts it waits.
pub const OPEN_ACCOUNTS: &str = "\
INSERT INTO accounts (bucket, user_id, available, reserved, seq, last_at, closed)
SELECT n.bucket, n.user_id, 0, 0, 0, $2, false
FROM unnest($1::account_ref[]) AS n
ON CONFLICT (bucket, user_id) DO NOTHING";

/// Takes an account row back that was opened and that nothing happened to.
pub const UNOPEN_ACCOUNT: &str = "DELETE FROM accounts WHERE bucket = $1 AND user_id = $2 AND seq = 0";

/// What a user's keys were answered.
pub const KEYED_OPERATIONS: &str = "\
SELECT o.user_id, o.seq, o.kind, o.amount, o.available_after, o.reserved_after, o.service_id, o.order_id, \
    o.counterparty_user_id, o.comment, o.idempotency_key, o.created_at, o.actor, o.fingerprint, o.reservation_amount, \
    o.reservation_captured, o.reservation_released, o.reservation_refunded, o.reservation_created_at, \
    o.reservation_expires_at, o.reservation_state
FROM unnest($1::key_ref[]) AS n
CROSS JOIN LATERAL (
    SELECT * FROM operations
    WHERE bucket = n.bucket AND user_id = n.user_id AND idempotency_key = n.idempotency_key
    OFFSET 0
) AS o";

/// The reservations that a batch names, and those of its accounts that are past their deadline. One may come
/// twice.
pub const RESERVATIONS: &str = "\
SELECT r.user_id, r.service_id, r.order_id, r.amount, r.captured, r.released, r.refunded, r.created_at, \
    r.expires_at, r.state
FROM unnest($1::reservation_ref[]) AS n
CROSS JOIN LATERAL (
    SELECT * FROM reservations
    WHERE bucket = n.bucket AND user_id = n.user_id AND service_id = n.service_id AND order_id = n.order_id
    OFFSET 0
) AS r
UNION ALL
SELECT r.user_id, r.service_id, r.order_id, r.amount, r.captured, r.released, r.refunded, r.created_at, \
    r.expires_at, r.state
FROM unnest($2::account_ref[]) AS n
CROSS JOIN LATERAL (
    SELECT * FROM reservations
    WHERE bucket = n.bucket AND user_id = n.user_id AND state = 'active' AND expires_at <= $3
    OFFSET 0
) AS r";

/// The services that money is to be reserved for. The ACCESS SHARE lock on the table lasts until the commit: a
/// removal, which takes ACCESS EXCLUSIVE, comes wholly before or wholly after this batch.
pub const SERVICES: &str = "SELECT id, retired, used FROM services WHERE id = ANY ($1)";

/// Writes whole accounts over their rows, which are locked and exist. It is an insert because that finds the rows
/// by the key whatever the planner believes; an update joined with arrays may be planned the other way round. No
/// indexed column changes, so the index stays untouched. Answers which versions the rows have now.
pub const WRITE_ACCOUNTS: &str = "\
WITH written AS (
    INSERT INTO accounts (bucket, user_id, available, reserved, seq, last_at, closed)
    SELECT * FROM unnest($1::account_row[])
    ON CONFLICT (bucket, user_id) DO UPDATE
    SET available = excluded.available, reserved = excluded.reserved, seq = excluded.seq, \
        last_at = excluded.last_at, closed = excluded.closed
    RETURNING user_id, ctid
)
SELECT pg_current_xact_id()::xid, array_agg(user_id), array_agg(ctid) FROM written";

/// Writes whole accounts over rows that nobody has locked before, one after the other in the order of the array, which is
/// the canonical one. Each must still be where and what it was; otherwise the division fails, and the batch with it. Answers
/// like [`WRITE_ACCOUNTS`].
///
/// `LIMIT $2`, the number of elements, limits nothing: it makes the planner expect one row, so that reading all of a table
/// that it takes for tiny never looks cheaper than going to the places.
pub const CHANGE_ACCOUNTS: &str = "\
WITH written AS (
    UPDATE accounts AS a
    SET available = n.available, reserved = n.reserved, seq = n.seq, last_at = n.last_at, closed = n.closed
    FROM (SELECT * FROM unnest($1::account_change[]) LIMIT $2) AS n
    WHERE a.ctid = n.place AND a.xmin = n.transaction AND a.bucket = n.bucket AND a.user_id = n.user_id
    RETURNING a.user_id, a.ctid
)
SELECT pg_current_xact_id()::xid, array_agg(user_id), array_agg(ctid), 1 / (count(*) = $2)::integer FROM written";

/// Fails by a division unless so many of these services may be reserved for, and have been before. It locks like
/// [`SERVICES`].
pub const CONFIRM_SERVICES: &str = "\
SELECT 1 / (count(*) = $2)::integer FROM services WHERE id = ANY ($1) AND used AND NOT retired";

/// Writes whole reservations, new ones or over their rows; their accounts are locked. A row keeps the number of the
/// operation that made it, unless it is made anew: an insert must have one, and 0 stands for none.
pub const WRITE_RESERVATIONS: &str = "\
INSERT INTO reservations (bucket, user_id, service_id, order_id, amount, captured, released, refunded, \
    created_at, expires_at, state, reserve_seq)
SELECT * FROM unnest($1::reservation_row[])
ON CONFLICT (bucket, user_id, service_id, order_id) DO UPDATE
SET amount = excluded.amount, captured = excluded.captured, released = excluded.released, \
    refunded = excluded.refunded, created_at = excluded.created_at, expires_at = excluded.expires_at, \
    state = excluded.state, \
    reserve_seq = CASE excluded.reserve_seq WHEN 0 THEN reservations.reserve_seq ELSE excluded.reserve_seq END";

/// Writes reservations that were never made before. Nobody has looked whether they were: the primary key refuses them then.
pub const MAKE_RESERVATIONS: &str = "\
INSERT INTO reservations (bucket, user_id, service_id, order_id, amount, captured, released, refunded, \
    created_at, expires_at, state, reserve_seq)
SELECT * FROM unnest($1::reservation_row[])";

/// Appends operations in the order given. The unique indexes are the second line: an error here ends the
/// batch.
pub const APPEND_OPERATIONS: &str = "\
INSERT INTO operations (bucket, user_id, seq, kind, amount, available_after, reserved_after, service_id, \
    order_id, counterparty_user_id, comment, idempotency_key, created_at, actor, fingerprint, reservation_amount, \
    reservation_captured, reservation_released, reservation_refunded, reservation_created_at, \
    reservation_expires_at, reservation_state)
SELECT * FROM unnest($1::operation_row[])";

/// From now on these services can be retired, not deleted. In the order of ids, and no account is locked after
/// it: two batches cannot wait for each other.
pub const MARK_SERVICES_USED: &str = "UPDATE services SET used = true WHERE id = ANY ($1) AND NOT used";

/// Erases the free text of a user who was closed.
pub const ERASE_COMMENTS: &str = "\
UPDATE operations SET comment = NULL
WHERE bucket = $1 AND user_id = $2 AND comment IS NOT NULL";

/// Accounts that are not of the version that the reader believes, with what is due of them, all of one moment; NULLs for
/// one that does not exist. Who has nothing reserved has nothing due: most are spared the look.
pub const READ_ACCOUNTS: &str = "\
SELECT n.user_id, a.available, a.reserved, a.seq, a.last_at, a.closed, CASE WHEN a.reserved > 0 THEN (
    SELECT ARRAY[count(*), coalesce(sum(amount - captured - released), 0)::bigint]
    FROM reservations
    WHERE bucket = n.bucket AND user_id = n.user_id AND state = 'active' AND expires_at <= $2
) END
FROM unnest($1::account_version[]) AS n
LEFT JOIN LATERAL (
    SELECT * FROM accounts WHERE bucket = n.bucket AND user_id = n.user_id AND seq > 0 OFFSET 0
) AS a ON true
WHERE n.place IS NULL OR NOT EXISTS (
    SELECT FROM accounts
    WHERE ctid = n.place AND xmin = n.transaction AND bucket = n.bucket AND user_id = n.user_id
    OFFSET 0
)";

/// One operation by its key.
pub const OPERATION_BY_KEY: &str = "\
SELECT o.user_id, o.seq, o.kind, o.amount, o.available_after, o.reserved_after, o.service_id, o.order_id, \
    o.counterparty_user_id, o.comment, o.idempotency_key, o.created_at, o.actor
FROM operations o
WHERE o.bucket = $1 AND o.user_id = $2 AND o.idempotency_key = $3";

/// One reservation.
pub const RESERVATION_BY_KEY: &str = "\
SELECT r.user_id, r.service_id, r.order_id, r.amount, r.captured, r.released, r.refunded, r.created_at, \
    r.expires_at, r.state
FROM reservations r
WHERE r.bucket = $1 AND r.user_id = $2 AND r.service_id = $3 AND r.order_id = $4";

/// Users with something due, the longest due first; a user comes once per reservation. `amount > 0`
/// lets this statement alone use the sweeper's index: see the migration.
pub const DUE_USERS: &str = "\
SELECT r.user_id FROM reservations r
WHERE r.state = 'active' AND r.amount > 0 AND r.expires_at <= $1
ORDER BY r.expires_at, r.user_id
LIMIT $2";

/// The statements that every connection has ready before its first batch.
pub const HOT: [&str; 19] = [
    BEGIN,
    ROLLBACK,
    NO_TIMEOUT,
    COMMIT,
    LOCK_ACCOUNTS,
    KEYED_OPERATIONS,
    RESERVATIONS,
    SERVICES,
    OPEN_ACCOUNTS,
    UNOPEN_ACCOUNT,
    WRITE_ACCOUNTS,
    WRITE_RESERVATIONS,
    CHANGE_ACCOUNTS,
    MAKE_RESERVATIONS,
    CONFIRM_SERVICES,
    APPEND_OPERATIONS,
    MARK_SERVICES_USED,
    ERASE_COMMENTS,
    READ_ACCOUNTS,
];

/// Statements whose plan must not depend on statistics, with the indexes that they must use, sorted; `|` parts
/// equally good ones.
pub fn planned() -> Vec<(String, &'static [&'static str])> {
    let fixed: [(&str, &'static [&'static str]); 19] = [
        (LOCK_ACCOUNTS, &["accounts_pkey"]),
        (KEYED_OPERATIONS, &["operations_by_key"]),
        (RESERVATIONS, &["reservations_due", "reservations_pkey"]),
        (SERVICES, &["services_pkey"]),
        (OPEN_ACCOUNTS, &[]),
        (UNOPEN_ACCOUNT, &["accounts_pkey"]),
        (WRITE_ACCOUNTS, &[]),
        (WRITE_RESERVATIONS, &[]),
        (CHANGE_ACCOUNTS, &[]),
        (MAKE_RESERVATIONS, &[]),
        (CONFIRM_SERVICES, &["services_pkey"]),
        (APPEND_OPERATIONS, &[]),
        (MARK_SERVICES_USED, &["services_pkey"]),
        (ERASE_COMMENTS, &["operations_pkey"]),
        (READ_ACCOUNTS, &["accounts_pkey", "reservations_due"]),
        (OPERATION_BY_KEY, &["operations_by_key"]),
        (RESERVATION_BY_KEY, &["reservations_pkey"]),
        (DUE_USERS, &["reservations_sweep"]),
        (crate::reports::REVENUE, &["operations_revenue", "services_pkey"]),
    ];
    let fixed = fixed.into_iter().map(|(sql, indexes)| (sql.to_owned(), indexes));
    fixed.chain(crate::reservations::planned()).chain(crate::history::planned()).collect()
}
