//! The whole ledger of one moment, in chunks: one snapshot, three cursors side by side, memory flat.

use std::{collections::VecDeque, time::Duration};

use tokio::time::timeout;

use crate::{
    PostgresStore,
    failure::Failure,
    rows::{self, column},
    session::Session,
    wire::Row,
};
use balance_domain::{
    Account, RecordedOperation, Reservation, UserId,
    ports::{LedgerSink, RepoError},
};

/// A statement that takes longer finds the server frozen. Most fetch a chunk; the count reads an index of all accounts.
const STATEMENT_WITHIN: Duration = Duration::from_mins(5);

/// One snapshot for all. An audit may take hours.
const BEGIN: &str = "\
BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0";

const COUNT: &str = "SELECT count(*) FROM accounts WHERE seq > 0";

/// Each order is that of a primary key, so nothing is sorted.
const ACCOUNTS: &str = "\
DECLARE accounts_of_all NO SCROLL CURSOR FOR
SELECT a.user_id, a.available, a.reserved, a.seq, a.last_at, a.closed
FROM accounts a WHERE a.seq > 0 ORDER BY a.bucket, a.user_id";

const OPERATIONS: &str = "\
DECLARE operations_of_all NO SCROLL CURSOR FOR
SELECT o.user_id, o.seq, o.kind, o.amount, o.available_after, o.reserved_after, o.service_id, o.order_id, \
    o.counterparty_user_id, o.comment, o.idempotency_key, o.created_at, o.actor, o.fingerprint, o.reservation_amount, \
    o.reservation_captured, o.reservation_released, o.reservation_refunded, o.reservation_created_at, \
    o.reservation_expires_at, o.reservation_state
FROM operations o ORDER BY o.bucket, o.user_id, o.seq";

const RESERVATIONS: &str = "\
DECLARE reservations_of_all NO SCROLL CURSOR FOR
SELECT r.user_id, r.service_id, r.order_id, r.amount, r.captured, r.released, r.refunded, r.created_at, \
    r.expires_at, r.state
FROM reservations r ORDER BY r.bucket, r.user_id, r.service_id, r.order_id";

impl PostgresStore {
    /// On a connection of its own: an audit must not take one away from the batches.
    pub(crate) async fn scan_all(&self, sink: &dyn LedgerSink) -> Result<(), RepoError> {
        self.scan_once(sink).await.map_err(Failure::into_error)
    }

    async fn scan_once(&self, sink: &dyn LedgerSink) -> Result<(), Failure> {
        let mut session = self.separate_session().await?;
        in_time(session.run(BEGIN)).await?;
        let counted = in_time(session.query(COUNT, &[])).await?;
        let counted: i64 = counted.first().map_or(Ok(0), |row| column(row, 0))?;
        sink.begin(counted.try_into().unwrap_or_default());
        for declaration in [ACCOUNTS, OPERATIONS, RESERVATIONS] {
            in_time(session.run(declaration)).await?;
        }
        let mut accounts = Cursor::new("FETCH 2000 FROM accounts_of_all", |row| rows::account(row, 0));
        let mut operations = Cursor::new("FETCH 2000 FROM operations_of_all", rows::recorded);
        let mut reservations = Cursor::new("FETCH 2000 FROM reservations_of_all", rows::reservation);
        while let Some(account) = accounts.next(&mut session).await? {
            sink.account(account);
            while let Some(operation) = operations.next_of(account.user_id, &mut session).await? {
                sink.operation(operation);
            }
            while let Some(reservation) = reservations.next_of(account.user_id, &mut session).await? {
                sink.reservation(reservation);
            }
        }
        let is_left = operations.next(&mut session).await?.is_some()
            || reservations.next(&mut session).await?.is_some();
        if is_left {
            return Err(Failure::damaged("there are operations or reservations without an account"));
        }
        in_time(session.run("ROLLBACK")).await
    }
}

async fn in_time<T>(statement: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    timeout(STATEMENT_WITHIN, statement)
        .await
        .unwrap_or_else(|_| Err(Failure::Away("the database did not answer in time".into())))
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

/// A cursor of the server, read chunk by chunk.
struct Cursor<T> {
    fetch: &'static str,
    read: fn(&Row) -> Result<T, Failure>,
    chunk: VecDeque<Row>,
    next: Option<T>,
    is_over: bool,
}

impl<T: Owned> Cursor<T> {
    const fn new(fetch: &'static str, read: fn(&Row) -> Result<T, Failure>) -> Self {
        Self { fetch, read, chunk: VecDeque::new(), next: None, is_over: false }
    }

    async fn next(&mut self, session: &mut Session) -> Result<Option<T>, Failure> {
        self.peek(session).await?;
        Ok(self.next.take())
    }

    /// The next one, if it belongs to this user.
    async fn next_of(&mut self, owner: UserId, session: &mut Session) -> Result<Option<T>, Failure> {
        let is_theirs = self.peek(session).await?.is_some_and(|next| next.owner() == owner);
        Ok(if is_theirs { self.next.take() } else { None })
    }

    async fn peek(&mut self, session: &mut Session) -> Result<Option<&T>, Failure> {
        if self.next.is_none() {
            if self.chunk.is_empty() && !self.is_over {
                self.chunk = self.fetch(session).await?.into();
                self.is_over = self.chunk.is_empty();
            }
            self.next = self.chunk.pop_front().as_ref().map(self.read).transpose()?;
        }
        Ok(self.next.as_ref())
    }

    async fn fetch(&self, session: &mut Session) -> Result<Vec<Row>, Failure> {
        in_time(session.query(self.fetch, &[])).await
    }
}
