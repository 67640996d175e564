-- The ledger, what it is, the catalogue of services, the reports that were built, and the API keys.
--
-- Money is integers of minor units, times are integer microseconds since 1970-01-01T00:00:00Z. The rules live in
-- the domain crate; the CHECKs and foreign keys here are the second line, for the day when a rule is wrong. They
-- spell lists out with OR: for IN with more than two values SQLite builds a small B-tree for every row inserted.
--
-- A random B-tree leaf that a command dirties is a page to log and to check-point, and that is what a write costs.
-- So every index says below what it is for, and the indexes of history leave out what a short scan finds as well.

-- What this ledger is: one row, written when the ledger is made. Only `had_keys` changes, once: a ledger that had a key
-- is never open again to callers without one, even if its keys are lost.
CREATE TABLE ledger (
    only_row          INTEGER PRIMARY KEY CHECK (only_row = 1),
    id                TEXT    NOT NULL,
    currency          TEXT    NOT NULL,
    currency_decimals INTEGER NOT NULL CHECK (currency_decimals BETWEEN 0 AND 4),
    accounting_zone   TEXT    NOT NULL,
    had_keys          INTEGER NOT NULL DEFAULT 0 CHECK (had_keys IN (0, 1))
) STRICT;

-- user_id is the rowid: one B-tree, and a balance is overwritten in place.
CREATE TABLE accounts (
    user_id   INTEGER PRIMARY KEY,
    closed    INTEGER NOT NULL CHECK (closed IN (0, 1)),
    available INTEGER NOT NULL CHECK (available >= 0),
    reserved  INTEGER NOT NULL CHECK (reserved >= 0),
    seq       INTEGER NOT NULL CHECK (seq >= 1),
    last_at   INTEGER NOT NULL
) STRICT;

-- Names are compared byte for byte, and retired services keep theirs.
CREATE TABLE services (
    id      INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL UNIQUE,
    retired INTEGER NOT NULL CHECK (retired IN (0, 1)),
    used    INTEGER NOT NULL CHECK (used IN (0, 1))
) STRICT;

-- Small rows that are always reached by their key: without a rowid the key's B-tree is the table.
CREATE TABLE reservations (
    user_id    INTEGER NOT NULL REFERENCES accounts (user_id),
    service_id INTEGER NOT NULL REFERENCES services (id),
    order_id   INTEGER NOT NULL,
    state      TEXT    NOT NULL CHECK (state = 'active' OR state = 'captured' OR state = 'released' OR state = 'expired'),
    amount     INTEGER NOT NULL CHECK (amount >= 1),
    captured   INTEGER NOT NULL CHECK (captured >= 0),
    released   INTEGER NOT NULL CHECK (released >= 0),
    refunded   INTEGER NOT NULL CHECK (refunded BETWEEN 0 AND captured),
    created_at INTEGER NOT NULL,
    expires_at INTEGER NOT NULL,
    -- The number of the operation that made it.
    reserve_seq INTEGER NOT NULL CHECK (reserve_seq >= 1),
    is_listed  INTEGER NOT NULL DEFAULT 0 CHECK (is_listed IN (0, 1)),
    PRIMARY KEY (user_id, service_id, order_id),
    -- Money is set aside exactly while the reservation is active.
    CHECK (CASE state WHEN 'active' THEN captured + released < amount ELSE captured + released = amount END)
) STRICT, WITHOUT ROWID;

-- Every batch and every balance asks: what of this user is due?
CREATE INDEX reservations_active ON reservations (user_id, expires_at) WHERE state = 'active';

-- The sweeper asks: who has been due longest? (user_id follows from the key.) Deadlines mostly grow, so inserts
-- and deletes share few leaves.
CREATE INDEX reservations_due ON reservations (expires_at) WHERE state = 'active';

-- A user's reservations, latest made first, page by page. (The rest of the key follows.) Those of a short history
-- are all read and sorted; they enter this index with the account's 1,000th operation.
CREATE INDEX reservations_by_time ON reservations (user_id, created_at) WHERE is_listed = 1;

-- Append-only, but for comments, which are erased when the account is closed. Rows may carry a kilobyte of comment,
-- so they have a rowid: they are appended densely at the end, and the B-trees that are hit at random stay small.
-- The reservation_* columns are the reservation as the whole request left it: the receipt of the request.
CREATE TABLE operations (
    id                     INTEGER PRIMARY KEY,
    user_id                INTEGER NOT NULL REFERENCES accounts (user_id),
    seq                    INTEGER NOT NULL CHECK (seq >= 1),
    kind                   TEXT    NOT NULL CHECK (kind = 'deposit' OR kind = 'reserve' OR kind = 'capture' OR kind = 'release'
                                               OR kind = 'withdrawal' OR kind = 'transfer_out' OR kind = 'transfer_in'
                                               OR kind = 'expire' OR kind = 'refund'),
    amount                 INTEGER NOT NULL CHECK (amount >= 1),
    available_after        INTEGER NOT NULL CHECK (available_after >= 0),
    reserved_after         INTEGER NOT NULL CHECK (reserved_after >= 0),
    service_id             INTEGER,
    order_id               INTEGER,
    counterparty_user_id   INTEGER,
    comment                TEXT,
    idempotency_key        TEXT,
    fingerprint            BLOB,
    created_at             INTEGER NOT NULL,
    -- Who did it: key:<id>, anonymous or expiry.
    actor                  TEXT    NOT NULL,
    reservation_amount     INTEGER,
    reservation_captured   INTEGER,
    reservation_released   INTEGER,
    reservation_refunded   INTEGER,
    reservation_state      TEXT,
    reservation_seq        INTEGER,
    reservation_created_at INTEGER,
    reservation_expires_at INTEGER,
    CHECK ((idempotency_key IS NULL) = (fingerprint IS NULL))
) STRICT;

-- An account's first 1,000 operations. They are in none of the indexes of history, so that most commands write to
-- fewer B-trees: as long as there are no more, the index of keys, which every command writes to anyway, leads to
-- all of them but those without a key, which have an index of their own. When the 1,000th comes, all of them are
-- listed here, once.
CREATE TABLE early_operations (
    user_id      INTEGER NOT NULL REFERENCES accounts (user_id),
    seq          INTEGER NOT NULL CHECK (seq BETWEEN 1 AND 1000),
    operation_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, seq)
) STRICT, WITHOUT ROWID;

-- The order of an account's history, without gaps or doubles.
CREATE UNIQUE INDEX operations_by_seq ON operations (user_id, seq) WHERE seq > 1000;

-- Nobody sent a key for an incoming transfer, an expiry, or the rest that a final capture gives back. (The key, NULL in
-- all of them, is there so that SQLite need not fetch a row to see that it has none.)
CREATE INDEX operations_without_key ON operations (user_id, idempotency_key) WHERE idempotency_key IS NULL;

-- A key is answered once, for ever: the backstop under the look-up that precedes every decision.
CREATE UNIQUE INDEX operations_by_key ON operations (user_id, idempotency_key) WHERE idempotency_key IS NOT NULL;

-- The other orders and the filters of history. An account's first 1,000 operations are not in these indexes: reading
-- them by seq takes a millisecond, and nearly every account stays below, so that most commands need not touch
-- these B-trees at all. The same 1,000 stands in the queries (crates/store-sqlite/src/history.rs).
-- By amount carries what else may be filtered, so that rows which do not pass are skipped without being fetched.
CREATE INDEX operations_by_amount  ON operations (user_id, amount, seq, kind, service_id) WHERE seq > 1000;
CREATE INDEX operations_by_kind    ON operations (user_id, kind, seq)       WHERE seq > 1000;
CREATE INDEX operations_by_service ON operations (user_id, service_id, seq) WHERE seq > 1000 AND service_id IS NOT NULL;
CREATE INDEX operations_by_kind_amount    ON operations (user_id, kind, amount, seq)             WHERE seq > 1000;
CREATE INDEX operations_by_service_amount ON operations (user_id, service_id, amount, seq, kind) WHERE seq > 1000 AND service_id IS NOT NULL;
CREATE INDEX operations_by_order   ON operations (user_id, order_id, seq)   WHERE seq > 1000 AND order_id IS NOT NULL;

-- Revenue of a month is summed from this index alone. Time grows, so it is appended to.
CREATE INDEX operations_revenue ON operations (created_at, service_id, kind, amount)
    WHERE kind IN ('capture', 'refund');

-- Nothing is dated before this. Every batch reads it in its own transaction.
CREATE TABLE books (
    only_row     INTEGER PRIMARY KEY CHECK (only_row = 1),
    closed_until INTEGER NOT NULL
) STRICT;

INSERT INTO books (only_row, closed_until) VALUES (1, -62135596800000000);

-- What happened and is no operation. A fact stands in the feed behind the operation that was the last one before it; of
-- an account's own, the one that `seq` counts. `details` is a JSON object.
CREATE TABLE facts (
    id              INTEGER PRIMARY KEY,
    after_operation INTEGER NOT NULL,
    kind            TEXT    NOT NULL,
    subject         TEXT    NOT NULL,
    user_id         INTEGER,
    seq             INTEGER NOT NULL,
    service_id      INTEGER,
    actor           TEXT    NOT NULL,
    created_at      INTEGER NOT NULL,
    details         TEXT    NOT NULL
) STRICT;

CREATE UNIQUE INDEX facts_by_place ON facts (after_operation, id);

CREATE TABLE reports (
    month    TEXT    PRIMARY KEY,
    is_final INTEGER NOT NULL CHECK (is_final IN (0, 1)),
    built_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

-- Sums are wider than 64 bits, so they are decimal text.
CREATE TABLE report_lines (
    month        TEXT    NOT NULL REFERENCES reports (month) ON DELETE CASCADE,
    position     INTEGER NOT NULL,
    service_id   INTEGER NOT NULL,
    service_name TEXT    NOT NULL,
    captured     TEXT    NOT NULL,
    refunded     TEXT    NOT NULL,
    PRIMARY KEY (month, position)
) STRICT, WITHOUT ROWID;

-- Scopes are names separated by spaces. Of the secret only its SHA-256 is kept.
CREATE TABLE api_keys (
    id          TEXT    PRIMARY KEY,
    name        TEXT    NOT NULL,
    scopes      TEXT    NOT NULL,
    secret_hash BLOB    NOT NULL CHECK (length(secret_hash) = 32),
    created_at  INTEGER NOT NULL,
    expires_at  INTEGER,
    revoked_at  INTEGER,
    -- The key that a visit of the console was begun with.
    parent_id   TEXT,
    last_used_at INTEGER
) STRICT, WITHOUT ROWID;
