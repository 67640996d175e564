//! Pushes the whole ledger into a sink: three statements, each in the order of users, merged as they go.

use balance_domain::{Account, RecordedOperation, Reservation, UserId, ports::LedgerSink};
use rusqlite::{Connection, Row, Rows};

use crate::{
    early,
    rows::{
        account, account_columns, recorded_operation, recorded_operation_columns, reservation,
        reservation_columns,
    },
};

const ACCOUNTS: &str = concat!("SELECT ", account_columns!(), " FROM accounts ORDER BY user_id");

/// Each operation is in one of the two indexes. Only the rowids of one user's operations are sorted; rows are fetched
/// one by one. (Without a LIMIT SQLite leaves out the ORDER BY of a query within a join.)
const OPERATIONS: &str = concat!(
    "SELECT ",
    recorded_operation_columns!(),
    " FROM (
        SELECT user_id AS owner, id AS place FROM operations INDEXED BY operations_by_key
        WHERE idempotency_key IS NOT NULL
        UNION ALL
        SELECT user_id, id FROM operations INDEXED BY operations_without_key WHERE idempotency_key IS NULL
        ORDER BY owner, place LIMIT -1
    ) CROSS JOIN operations ON operations.id = place"
);

const RESERVATIONS: &str =
    concat!("SELECT ", reservation_columns!(), " FROM reservations ORDER BY user_id, service_id, order_id");

/// Within the transaction of the caller: one moment. One row of each statement is held at a time.
pub(crate) fn scan(connection: &Connection, sink: &dyn LedgerSink) -> rusqlite::Result<()> {
    let count: i64 = connection.query_row("SELECT count(*) FROM accounts", [], |row| row.get(0))?;
    sink.begin(count.unsigned_abs());
    let mut statements =
        (connection.prepare(ACCOUNTS)?, connection.prepare(OPERATIONS)?, connection.prepare(RESERVATIONS)?);
    let mut accounts = Stream::start(statements.0.query([])?, account)?;
    let mut operations = Stream::start(statements.1.query([])?, recorded_operation)?;
    let mut reservations = Stream::start(statements.2.query([])?, reservation)?;
    while let Some(user_id) = lowest([accounts.user_id(), operations.user_id(), reservations.user_id()]) {
        // Rows without an account are damage: shown under an account that nothing happened to, so that the
        // audit finds them.
        sink.account(accounts.next_of(user_id)?.unwrap_or(Account::unopened(user_id)));
        while let Some(operation) = operations.next_of(user_id)? {
            sink.operation(operation);
        }
        while let Some(reservation) = reservations.next_of(user_id)? {
            sink.reservation(reservation);
        }
    }
    for user_id in early::wrongly_listed(connection)? {
        sink.damage(user_id, "the first operations or the reservations are not listed as they are");
    }
    Ok(())
}

fn lowest(heads: [Option<UserId>; 3]) -> Option<UserId> {
    heads.into_iter().flatten().min()
}

/// The rows of one statement, one of them read ahead.
struct Stream<'stmt, T> {
    rows: Rows<'stmt>,
    parse: fn(&Row<'_>) -> rusqlite::Result<T>,
    head: Option<T>,
}

impl<'stmt, T: Owned> Stream<'stmt, T> {
    fn start(rows: Rows<'stmt>, parse: fn(&Row<'_>) -> rusqlite::Result<T>) -> rusqlite::Result<Self> {
        let mut stream = Self { rows, parse, head: None };
        stream.advance()?;
        Ok(stream)
    }

    fn user_id(&self) -> Option<UserId> {
        self.head.as_ref().map(Owned::user_id)
    }

    /// The next row, if it is of this user.
    fn next_of(&mut self, user_id: UserId) -> rusqlite::Result<Option<T>> {
        if self.user_id() == Some(user_id) { self.advance() } else { Ok(None) }
    }

    fn advance(&mut self) -> rusqlite::Result<Option<T>> {
        let next = self.rows.next()?.map(self.parse).transpose()?;
        Ok(std::mem::replace(&mut self.head, next))
    }
}

/// A row of one user.
trait Owned {
    fn user_id(&self) -> UserId;
}

impl Owned for Account {
    fn user_id(&self) -> UserId {
        self.user_id
    }
}

impl Owned for RecordedOperation {
    fn user_id(&self) -> UserId {
        self.operation.user_id
    }
}

impl Owned for Reservation {
    fn user_id(&self) -> UserId {
        self.key.user_id
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    #[test]
    fn nothing_is_sorted_but_the_places_of_one_users_operations() {
        let connection = schema::migrated();
        for sql in [ACCOUNTS, RESERVATIONS] {
            let plan = schema::plan(&connection, sql);
            assert!(!plan.contains("TEMP B-TREE"), "{sql}: {plan}");
        }
        let plan = schema::plan(&connection, OPERATIONS);
        let lines: Vec<&str> = plan.lines().skip_while(|line| !line.starts_with("MERGE")).collect();
        assert_eq!(
            lines,
            [
                "MERGE (UNION ALL)",
                "LEFT",
                "SCAN operations USING COVERING INDEX operations_by_key",
                "USE TEMP B-TREE FOR LAST TERM OF ORDER BY",
                "RIGHT",
                "SCAN operations USING COVERING INDEX operations_without_key",
                "USE TEMP B-TREE FOR LAST TERM OF ORDER BY",
                "SCAN (subquery-2)",
                "SEARCH operations USING INTEGER PRIMARY KEY (rowid=?)",
            ]
        );
    }
}
