-- The whole ledger.
--
-- Every key and unique index of a user's rows begins with (bucket, user_id), and so do other indexes but for those
-- of the sweeper and of revenue, which are about everybody. `bucket` is a fixed hash of the user id (0-255), kept
-- beside it: it costs nothing here and lets the same schema be distributed by it (docs/scaling.md). There are no
-- foreign keys and no triggers: each would be work per row, while every row is written together with its account
-- row, by one statement that knows what all the others are.
--
-- One CHECK per table: they are the second line behind the rules, and each is prepared again for every statement.
-- Times are UTC with microseconds. Amounts are integers of minor units.

-- What this ledger is: one row, written when the ledger is made. Only `had_keys` changes, once: a ledger that had a key
-- is never open again to callers without one, even if its keys are lost.
CREATE TABLE ledger (
    only_row          boolean  NOT NULL CONSTRAINT ledger_pkey PRIMARY KEY CONSTRAINT ledger_is_one CHECK (only_row),
    id                text     COLLATE "C" NOT NULL,
    currency          text     COLLATE "C" NOT NULL,
    currency_decimals smallint NOT NULL,
    accounting_zone   text     COLLATE "C" NOT NULL,
    had_keys          boolean  NOT NULL DEFAULT false
);

-- One row per user, which answers for everything that is theirs. Updated by every command: a third of each page
-- stays free, and nothing but the key is indexed, so that updates stay on their page and leave the index alone.
-- A row of which `seq` is 0 is no account: a batch claimed it to lock it, and did not open it.
--
-- `version` is a random number, another one whenever anything of the user is written: a row of the version that was
-- read proves that all of the user is as it was read, on this server or on one that took over. To repair rows of a
-- user by hand, also change the version of the account.
CREATE TABLE accounts (
    user_id   bigint      NOT NULL,
    available bigint      NOT NULL,
    reserved  bigint      NOT NULL,
    seq       bigint      NOT NULL,
    last_at   timestamptz NOT NULL,
    version   bigint      NOT NULL,
    bucket    smallint    NOT NULL,
    closed    boolean     NOT NULL,
    CONSTRAINT accounts_pkey PRIMARY KEY (bucket, user_id),
    CONSTRAINT accounts_balances CHECK (available >= 0 AND reserved >= 0)
) WITH (fillfactor = 66);

CREATE TABLE services (
    id      bigint  NOT NULL CONSTRAINT services_pkey PRIMARY KEY,
    name    text    COLLATE "C" NOT NULL CONSTRAINT services_name UNIQUE,
    retired boolean NOT NULL,
    -- A reservation was made for it: it can be retired, but not deleted.
    used    boolean NOT NULL
);

-- Money set aside. A row is written twice or three times in its life. `reserve_seq` is the number of the operation that
-- made it.
CREATE TABLE reservations (
    user_id     bigint      NOT NULL,
    service_id  bigint      NOT NULL,
    order_id    bigint      NOT NULL,
    amount      bigint      NOT NULL,
    captured    bigint      NOT NULL,
    released    bigint      NOT NULL,
    refunded    bigint      NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz NOT NULL,
    reserve_seq bigint      NOT NULL,
    bucket      smallint    NOT NULL,
    state       text        COLLATE "C" NOT NULL,
    CONSTRAINT reservations_pkey PRIMARY KEY (bucket, user_id, service_id, order_id),
    CONSTRAINT reservations_sums CHECK (
        amount > 0 AND captured >= 0 AND released >= 0 AND captured + released <= amount
        AND refunded >= 0 AND refunded <= captured
    )
) WITH (fillfactor = 80, autovacuum_vacuum_scale_factor = 0.05);

-- What is due of the accounts that a batch or a reader names. Holds active reservations only, so it stays small.
CREATE INDEX reservations_due ON reservations (bucket, user_id, expires_at) WHERE state = 'active';

-- What is due of anybody, the longest due first: the sweeper's. A planner that takes the table for empty would find it
-- as good as `reservations_due` for one user, and go on reading everybody's entries when it is not empty any more.
-- `amount > 0` is always true; only the sweeper's statements say it, and so only they can use this index.
CREATE INDEX reservations_sweep ON reservations (expires_at, user_id) WHERE state = 'active' AND amount > 0;

-- A user's reservations, latest made first. Those that an account's first 1,000 operations made are not in it: they are
-- found by those operations as quickly, and nearly every account stays below. Only the statement of the listing says
-- `reserve_seq > 1000` and can use it (crates/store-postgres/src/reads/reservations.rs).
CREATE INDEX reservations_listing ON reservations (bucket, user_id, created_at, service_id, order_id)
    WHERE reserve_seq > 1000;

-- What happened, only ever appended. The reservation_* columns are the reservation as the whole request left
-- it: with them a request is answered again word for word.
--
-- `batch` orders the feed: drawn inside the statement that writes the batch, under the locks of its accounts. Numbers
-- become visible in another order than they are drawn in; crates/store-postgres/src/events.rs knows up to where they
-- are complete. The default is for rows that are written by hand.
CREATE SEQUENCE operation_batches;

CREATE TABLE operations (
    user_id                bigint      NOT NULL,
    seq                    bigint      NOT NULL,
    amount                 bigint      NOT NULL,
    available_after        bigint      NOT NULL,
    reserved_after         bigint      NOT NULL,
    batch                  bigint      NOT NULL DEFAULT nextval('operation_batches'),
    created_at             timestamptz NOT NULL,
    service_id             bigint,
    order_id               bigint,
    counterparty_user_id   bigint,
    reservation_amount     bigint,
    reservation_captured   bigint,
    reservation_released   bigint,
    reservation_refunded   bigint,
    reservation_created_at timestamptz,
    reservation_expires_at timestamptz,
    reservation_seq        bigint,
    bucket                 smallint    NOT NULL,
    kind                   text        COLLATE "C" NOT NULL,
    reservation_state      text        COLLATE "C",
    idempotency_key        text        COLLATE "C",
    -- Who did it: key:<id>, anonymous or expiry.
    actor                  text        COLLATE "C" NOT NULL,
    fingerprint            bytea,
    comment                text        COLLATE "C",
    CONSTRAINT operations_pkey PRIMARY KEY (bucket, user_id, seq),
    CONSTRAINT operations_amounts CHECK (amount > 0 AND available_after >= 0 AND reserved_after >= 0)
) WITH (autovacuum_vacuum_insert_scale_factor = 0.05);

-- A key is answered once. The rules look it up; this index refuses it if another instance was faster.
CREATE UNIQUE INDEX operations_by_key ON operations (bucket, user_id, idempotency_key)
    WHERE idempotency_key IS NOT NULL;

-- History by kind and amount, of one service and of one order. An account's first 1,000 operations are not in these
-- indexes: they are found by their number as quickly, and nearly every account stays below, so that most commands
-- write to two indexes of this table instead of five. Only statements that say `seq > 1000` can use them: those of
-- history, which read the others beside (crates/store-postgres/src/history/sql.rs).
CREATE INDEX operations_by_kind ON operations (bucket, user_id, kind, amount, seq) WHERE seq > 1000;
CREATE INDEX operations_by_service ON operations (bucket, user_id, service_id, seq)
    WHERE seq > 1000 AND service_id IS NOT NULL;
CREATE INDEX operations_by_order ON operations (bucket, user_id, order_id, seq)
    WHERE seq > 1000 AND order_id IS NOT NULL;

-- Histories by amount: all kinds together, and of one service, without an account's first 1,000 operations like the
-- others.
--
-- All kinds together, because a period of a long history may leave out all of a kind's large amounts: merged from
-- the kinds, the page would have to wait for the first row of each. `reserved_after >= 0` is true of every row. It
-- keeps the index to the statements that say so: to a planner that knows nothing of the table any index that begins
-- with the user looks as good as the one that is meant.
CREATE INDEX operations_by_amount ON operations (bucket, user_id, amount, seq)
    WHERE seq > 1000 AND reserved_after >= 0;
CREATE INDEX operations_by_service_amount ON operations (bucket, user_id, service_id, kind, amount, seq)
    WHERE seq > 1000 AND service_id IS NOT NULL;

-- The revenue of a period is read from this index alone.
CREATE INDEX operations_revenue ON operations (created_at) INCLUDE (service_id, kind, amount)
    WHERE kind IN ('capture', 'refund');

-- Nothing is dated before this. One row. Every batch reads it in the statement that writes; to move it on, the table is
-- locked against all batches first.
CREATE TABLE books (
    only_row     boolean     NOT NULL CONSTRAINT books_pkey PRIMARY KEY CONSTRAINT books_are_one CHECK (only_row),
    closed_until timestamptz NOT NULL
);

INSERT INTO books (only_row, closed_until) VALUES (true, '0001-01-01T00:00:00Z');

-- The feed. Duplicates are packed: a batch costs little more than an entry.
CREATE INDEX operations_by_batch ON operations (batch);

-- What happened and is no operation. `seq` is the account's last operation then: the fact stands behind it in the feed.
-- `details` is a JSON object.
CREATE TABLE facts (
    id         bigint      GENERATED ALWAYS AS IDENTITY CONSTRAINT facts_pkey PRIMARY KEY,
    batch      bigint      NOT NULL,
    kind       text        COLLATE "C" NOT NULL,
    subject    text        COLLATE "C" NOT NULL,
    user_id    bigint,
    seq        bigint      NOT NULL,
    service_id bigint,
    actor      text        COLLATE "C" NOT NULL,
    created_at timestamptz NOT NULL,
    details    text        NOT NULL
);

CREATE INDEX facts_by_batch ON facts (batch);

-- Reports as they were built: a final one can be published again for ever.
CREATE TABLE reports (
    month    text        COLLATE "C" NOT NULL CONSTRAINT reports_pkey PRIMARY KEY,
    is_final boolean     NOT NULL,
    built_at timestamptz NOT NULL
);

-- Sums of a month are wider than any balance: numeric without decimals.
CREATE TABLE report_lines (
    month        text    COLLATE "C" NOT NULL,
    position     integer NOT NULL,
    service_id   bigint  NOT NULL,
    service_name text    COLLATE "C" NOT NULL,
    captured     numeric NOT NULL,
    refunded     numeric NOT NULL,
    CONSTRAINT report_lines_pkey PRIMARY KEY (month, position)
);

CREATE TABLE api_keys (
    id          text        COLLATE "C" NOT NULL CONSTRAINT api_keys_pkey PRIMARY KEY,
    name        text        COLLATE "C" NOT NULL,
    scopes      text[]      COLLATE "C" NOT NULL,
    secret_hash bytea       NOT NULL,
    created_at  timestamptz NOT NULL,
    expires_at  timestamptz,
    revoked_at  timestamptz,
    -- The key that a visit of the console was begun with.
    parent_id   text        COLLATE "C",
    last_used_at timestamptz
);

-- What the statements of batches and balances take: all rows of one kind are one array of one of these types. Fields
-- travel by position.
CREATE TYPE account_ref AS (bucket smallint, user_id bigint);
CREATE TYPE key_ref AS (bucket smallint, user_id bigint, idempotency_key text COLLATE "C");
CREATE TYPE reservation_ref AS (bucket smallint, user_id bigint, service_id bigint, order_id bigint);
-- The version that a reader has of an account, and where its row was; NULLs where it has none.
CREATE TYPE account_version AS (bucket smallint, user_id bigint, version bigint, place tid);
-- An account as it is to be. A row that exists must still be of the version `expected`, and is looked for at its place
-- alone; both are NULL for an account that is new.
CREATE TYPE account_row AS (
    bucket    smallint,
    user_id   bigint,
    available bigint,
    reserved  bigint,
    seq       bigint,
    last_at   timestamptz,
    closed    boolean,
    version   bigint,
    expected  bigint,
    place     tid
);
CREATE TYPE reservation_row AS (
    bucket      smallint,
    user_id     bigint,
    service_id  bigint,
    order_id    bigint,
    amount      bigint,
    captured    bigint,
    released    bigint,
    refunded    bigint,
    created_at  timestamptz,
    expires_at  timestamptz,
    state       text COLLATE "C",
    reserve_seq bigint
);
CREATE TYPE fact_row AS (
    kind       text COLLATE "C",
    subject    text COLLATE "C",
    user_id    bigint,
    seq        bigint,
    service_id bigint,
    actor      text COLLATE "C",
    created_at timestamptz,
    details    text
);
CREATE TYPE operation_row AS (
    bucket                 smallint,
    user_id                bigint,
    seq                    bigint,
    kind                   text COLLATE "C",
    amount                 bigint,
    available_after        bigint,
    reserved_after         bigint,
    service_id             bigint,
    order_id               bigint,
    counterparty_user_id   bigint,
    comment                text COLLATE "C",
    idempotency_key        text COLLATE "C",
    created_at             timestamptz,
    actor                  text COLLATE "C",
    fingerprint            bytea,
    reservation_amount     bigint,
    reservation_captured   bigint,
    reservation_released   bigint,
    reservation_refunded   bigint,
    reservation_created_at timestamptz,
    reservation_expires_at timestamptz,
    reservation_state      text COLLATE "C",
    reservation_seq        bigint
);

-- Where the Citus extension is present the ledger is spread by bucket; everywhere else this does nothing.
DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_extension WHERE extname = 'citus') THEN
        PERFORM create_reference_table('services');
        PERFORM create_reference_table('books');
        PERFORM create_distributed_table('accounts', 'bucket');
        PERFORM create_distributed_table('reservations', 'bucket', colocate_with => 'accounts');
        PERFORM create_distributed_table('operations', 'bucket', colocate_with => 'accounts');
    END IF;
END
$$;
