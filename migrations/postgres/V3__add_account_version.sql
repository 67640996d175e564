-- What a reader of balances believes of an account: the version that its row has, NULL where nothing is known. Only what
-- is otherwise is read (crates/store-postgres/src/balances.rs).
CREATE TYPE account_version AS (
    bucket      smallint,
    user_id     bigint,
    transaction xid,
    place       tid
);
