//! The whole ledger in one snapshot, in chunks: three cursors side by side, memory flat.

use std::{collections::VecDeque, time::Duration};

use balance_domain::{
    Account, RecordedOperation, Reservation, UserId,
    ports::{LedgerSink, RepoError},
};
use tokio::time::timeout;
use tokio_postgres::{IsolationLevel, Portal, Row, Transaction};

use crate::{
    PostgresStore,
    error::Failure,
    rows::{self, column, recorded_columns},
};

/// A statement that takes longer finds the server frozen. Most fetch a chunk; the count reads an index of all accounts.
const STATEMENT_WITHIN: Duration = Duration::from_mins(5);

/// How many rows a chunk has.
const CHUNK: i32 = 2_000;

/// An audit may take hours.
const NO_TIMEOUTS: &str =
    "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

const COUNT: &str = "SELECT count(*) FROM accounts WHERE seq > 0";

/// Each order is that of a primary key, so nothing is sorted.
const ACCOUNTS: &str = "\
SELECT a.user_id, a.available, a.reserved, a.seq, a.last_at, a.closed
FROM accounts a WHERE a.seq > 0 ORDER BY a.bucket, a.user_id";

const OPERATIONS: &str =
    concat!("SELECT ", recorded_columns!(), " FROM operations o ORDER BY o.bucket, o.user_id, o.seq");

const RESERVATIONS: &str = "\
SELECT r.user_id, r.service_id, r.order_id, r.amount, r.captured, r.released, r.refunded, r.created_at, \
    r.expires_at, r.state, r.reserve_seq
FROM reservations r ORDER BY r.bucket, r.user_id, r.service_id, r.order_id";

impl PostgresStore {
    /// On a connection of its own: an audit must not take one away from the batches.
    pub(crate) async fn scan_all(&self, sink: &dyn LedgerSink) -> Result<(), RepoError> {
        self.scan_once(sink).await.map_err(Failure::into_error)
    }

    /// Rows of a statement that an audit reads before it scans: on a connection of its own, and on a standby, too.
    pub(crate) async fn read_anywhere(&self, sql: &str) -> Result<Vec<Row>, RepoError> {
        let reading = async {
            let client = self.connector().separate_for_read().await?;
            in_time(client.query(sql, &[])).await
        };
        reading.await.map_err(Failure::into_error)
    }

    async fn scan_once(&self, sink: &dyn LedgerSink) -> Result<(), Failure> {
        let mut client = self.connector().separate_for_read().await?;
        let beginning =
            client.build_transaction().isolation_level(IsolationLevel::RepeatableRead).read_only(true);
        let reading = in_time(beginning.start()).await?;
        in_time(reading.batch_execute(NO_TIMEOUTS)).await?;
        let counted = in_time(reading.query_one(COUNT, &[])).await?;
        sink.begin(column::<i64>(&counted, 0)?.try_into().unwrap_or_default());
        let mut accounts = Cursor::open(&reading, ACCOUNTS, rows::account).await?;
        let mut operations = Cursor::open(&reading, OPERATIONS, rows::recorded).await?;
        let mut reservations = Cursor::open(&reading, RESERVATIONS, rows::reservation).await?;
        while let Some(account) = accounts.next().await? {
            sink.account(account);
            while let Some(operation) = operations.next_of(account.user_id).await? {
                sink.operation(operation);
            }
            while let Some(reservation) = reservations.next_of(account.user_id).await? {
                sink.reservation(reservation);
            }
        }
        if operations.next().await?.is_some() || reservations.next().await?.is_some() {
            return Err(Failure::damaged("there are operations or reservations without an account"));
        }
        in_time(reading.rollback()).await
    }
}

async fn in_time<T>(statement: impl Future<Output = Result<T, tokio_postgres::Error>>) -> Result<T, Failure> {
    Ok(timeout(STATEMENT_WITHIN, statement).await.map_err(|_| Failure::late())??)
}

/// Something of one user.
trait Owned {
    fn owner(&self) -> UserId;
}

impl Owned for Account {
    fn owner(&self) -> UserId {
        self.user_id
    }
}

impl Owned for RecordedOperation {
    fn owner(&self) -> UserId {
        self.operation.user_id
    }
}

impl Owned for Reservation {
    fn owner(&self) -> UserId {
        self.key.user_id
    }
}

/// A statement whose rows are read chunk by chunk.
struct Cursor<'a, T> {
    reading: &'a Transaction<'a>,
    portal: Portal,
    read: fn(&Row, usize) -> Result<T, Failure>,
    chunk: VecDeque<Row>,
    next: Option<T>,
    is_over: bool,
}

impl<'a, T: Owned> Cursor<'a, T> {
    async fn open(
        reading: &'a Transaction<'a>,
        sql: &str,
        read: fn(&Row, usize) -> Result<T, Failure>,
    ) -> Result<Self, Failure> {
        let portal = in_time(async { reading.bind(&reading.prepare(sql).await?, &[]).await }).await?;
        Ok(Self { reading, portal, read, chunk: VecDeque::new(), next: None, is_over: false })
    }

    async fn next(&mut self) -> Result<Option<T>, Failure> {
        self.peek().await?;
        Ok(self.next.take())
    }

    /// The next one, if it belongs to this user.
    async fn next_of(&mut self, owner: UserId) -> Result<Option<T>, Failure> {
        let is_theirs = self.peek().await?.is_some_and(|next| next.owner() == owner);
        Ok(if is_theirs { self.next.take() } else { None })
    }

    async fn peek(&mut self) -> Result<Option<&T>, Failure> {
        if self.next.is_none() {
            if self.chunk.is_empty() && !self.is_over {
                self.chunk = in_time(self.reading.query_portal(&self.portal, CHUNK)).await?.into();
                self.is_over = self.chunk.is_empty();
            }
            let row = self.chunk.pop_front();
            self.next = row.as_ref().map(|row| (self.read)(row, 0)).transpose()?;
        }
        Ok(self.next.as_ref())
    }
}
