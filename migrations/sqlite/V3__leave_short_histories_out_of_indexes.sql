-- An account's first 1,000 operations leave the index by number, too, so that most commands write to one B-tree less. As long as there
-- are no more, the index of keys, which every command writes to anyway, leads to all of them, but for those without a key,
-- which have an index of their own. When the 1,000th comes, all of them are listed, once.

CREATE TABLE early_operations (
    user_id      INTEGER NOT NULL REFERENCES accounts (user_id),
    seq          INTEGER NOT NULL CHECK (seq BETWEEN 1 AND 1000),
    operation_id INTEGER NOT NULL,
    PRIMARY KEY (user_id, seq)
) STRICT, WITHOUT ROWID;

INSERT INTO early_operations (user_id, seq, operation_id)
SELECT operations.user_id, operations.seq, operations.id
FROM accounts CROSS JOIN operations INDEXED BY operations_by_seq ON operations.user_id = accounts.user_id
WHERE accounts.seq >= 1000 AND operations.seq <= 1000;

DROP INDEX operations_by_seq;

CREATE UNIQUE INDEX operations_by_seq ON operations (user_id, seq) WHERE seq > 1000;

-- Nobody sent a key for an incoming transfer, an expiry, or the rest that a final capture gives back. (The key, NULL in
-- all of them, is there so that SQLite need not fetch a row to see that it has none.)
CREATE INDEX operations_without_key ON operations (user_id, idempotency_key) WHERE idempotency_key IS NULL;

-- The reservations of a short history are all read and sorted. They enter the index of the listing with the 1,000th operation.
ALTER TABLE reservations ADD COLUMN is_listed INTEGER NOT NULL DEFAULT 0 CHECK (is_listed IN (0, 1));

UPDATE reservations SET is_listed = 1 WHERE user_id IN (SELECT user_id FROM accounts WHERE seq >= 1000);

DROP INDEX reservations_by_time;

CREATE INDEX reservations_by_time ON reservations (user_id, created_at) WHERE is_listed = 1;
