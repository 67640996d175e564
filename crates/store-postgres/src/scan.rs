//! The whole ledger of one moment, in chunks: one snapshot, three cursors side by side, memory flat.

use std::{collections::VecDeque, time::Duration};

use balance_domain::{
    Account, RecordedOperation, Reservation, UserId,
    ports::{LedgerSink, RepoError},
};
use tokio_postgres::{IsolationLevel, Portal, Row, Transaction};

use crate::{
    PostgresStore,
    failure::Failure,
    rows::{self, column},
};

/// Rows fetched at a time from each cursor.
const CHUNK_ROWS: i32 = 2_000;

/// A chunk that takes longer finds the server frozen.
const CHUNK_WITHIN: Duration = Duration::from_mins(1);

/// An audit may take hours; each order is that of a primary key, so nothing is sorted.
const SETTINGS: &str = "SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

const COUNT: &str = "SELECT count(*) FROM accounts WHERE seq > 0";

const ACCOUNTS: &str = "\
SELECT a.user_id, a.available, a.reserved, a.seq, a.last_at, a.closed
FROM accounts a WHERE a.seq > 0 ORDER BY a.bucket, a.user_id";

const OPERATIONS: &str = "\
SELECT o.user_id, o.seq, o.kind, o.amount, o.available_after, o.reserved_after, o.service_id, o.order_id, \
    o.counterparty_user_id, o.comment, o.idempotency_key, o.created_at, o.fingerprint, o.reservation_amount, \
    o.reservation_captured, o.reservation_released, o.reservation_refunded, o.reservation_created_at, \
    o.reservation_expires_at, o.reservation_state
FROM operations o ORDER BY o.bucket, o.user_id, o.seq";

const RESERVATIONS: &str = "\
SELECT r.user_id, r.service_id, r.order_id, r.amount, r.captured, r.released, r.refunded, r.created_at, \
    r.expires_at, r.state
FROM reservations r ORDER BY r.bucket, r.user_id, r.service_id, r.order_id";

impl PostgresStore {
    /// On a connection of its own: an audit must not take one away from the batches.
    pub(crate) async fn scan_all(&self, sink: &dyn LedgerSink) -> Result<(), RepoError> {
        self.scan_once(sink).await.map_err(Failure::into_error)
    }

    async fn scan_once(&self, sink: &dyn LedgerSink) -> Result<(), Failure> {
        let mut session = self.separate().await?;
        let transaction = session
            .client_mut()
            .build_transaction()
            .isolation_level(IsolationLevel::RepeatableRead)
            .read_only(true)
            .start()
            .await?;
        transaction.batch_execute(SETTINGS).await?;
        let counted: i64 = column(&transaction.query_one(COUNT, &[]).await?, 0)?;
        sink.begin(counted.try_into().unwrap_or_default());
        let mut accounts = Cursor::open(&transaction, ACCOUNTS, |row| rows::account(row, 0)).await?;
        let mut operations = Cursor::open(&transaction, OPERATIONS, rows::recorded).await?;
        let mut reservations = Cursor::open(&transaction, RESERVATIONS, rows::reservation).await?;
        while let Some(account) = accounts.next().await? {
            sink.account(account);
            while let Some(operation) = operations.next_of(account.user_id).await? {
                sink.operation(operation);
            }
            while let Some(reservation) = reservations.next_of(account.user_id).await? {
                sink.reservation(reservation);
            }
        }
        let is_left = operations.next().await?.is_some() || reservations.next().await?.is_some();
        if is_left {
            return Err(Failure::damaged("there are operations or reservations without an account"));
        }
        Ok(transaction.rollback().await?)
    }
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

/// A portal of the server, read chunk by chunk.
struct Cursor<'a, T> {
    transaction: &'a Transaction<'a>,
    portal: Portal,
    read: fn(&Row) -> Result<T, Failure>,
    chunk: VecDeque<Row>,
    next: Option<T>,
    is_over: bool,
}

impl<'a, T: Owned> Cursor<'a, T> {
    async fn open(
        transaction: &'a Transaction<'a>,
        sql: &str,
        read: fn(&Row) -> Result<T, Failure>,
    ) -> Result<Self, Failure> {
        let portal = transaction.bind(sql, &[]).await?;
        Ok(Self { transaction, portal, read, chunk: VecDeque::new(), next: None, is_over: false })
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
                self.fetch().await?;
            }
            self.next = self.chunk.pop_front().as_ref().map(self.read).transpose()?;
        }
        Ok(self.next.as_ref())
    }

    async fn fetch(&mut self) -> Result<(), Failure> {
        let rows = self.transaction.query_portal(&self.portal, CHUNK_ROWS);
        let rows = tokio::time::timeout(CHUNK_WITHIN, rows)
            .await
            .map_err(|_| Failure::Away("the database did not answer in time".into()))??;
        self.is_over = rows.is_empty();
        self.chunk = rows.into();
        Ok(())
    }
}
