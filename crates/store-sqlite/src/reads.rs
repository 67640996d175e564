//! [`BalanceRepo`] on the file: `execute` goes to the writer, each read to a reader, in one transaction.

mod accounts;
mod reservations;

use std::sync::Arc;

use async_trait::async_trait;
use balance_domain::{
    AccountAsOf, IdempotencyKey, Operation, OperationPosition, OperationQuery, Page, Reservation,
    ReservationKey, ReservationPosition, ReservationQuery, Submission, Timestamp, UserId,
    ports::{AccountReads, BalanceRepo, Connections, LedgerSink, Reply, RepoError, StoreFigures},
};

use crate::{execute::execute, history, scan, schema, store::SqliteStore};

#[async_trait]
impl StoreFigures for SqliteStore {
    async fn active_reservations(&self, now: Timestamp, count_max: u32) -> Result<u64, RepoError> {
        self.readers().read(move |connection| reservations::count_active(connection, now, count_max)).await
    }

    fn connections(&self) -> Connections {
        self.readers().connections()
    }

    fn account_reads(&self) -> AccountReads {
        self.recent().account_reads()
    }
}

#[async_trait]
impl BalanceRepo for SqliteStore {
    async fn execute(&self, submissions: Vec<Submission>, now: Timestamp) -> Result<Vec<Reply>, RepoError> {
        self.writer().run(move |session| execute(session, &submissions, now)).await
    }

    async fn accounts(
        &self,
        user_ids: Vec<UserId>,
        now: Timestamp,
    ) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        if let [user_id] = user_ids[..]
            && let Some(account) = self.recall_account(user_id, now)
        {
            return Ok(vec![Some(account)]);
        }
        self.recent().have_looked_up(user_ids.len());
        self.readers().read(move |connection| accounts::accounts(connection, &user_ids, now)).await
    }

    fn recall_account(&self, user_id: UserId, now: Timestamp) -> Option<AccountAsOf> {
        self.recent().recall(user_id, now)
    }

    async fn reservation(
        &self,
        key: ReservationKey,
        now: Timestamp,
    ) -> Result<Option<Reservation>, RepoError> {
        self.readers().read(move |connection| reservations::one(connection, key, now)).await
    }

    async fn reservations(
        &self,
        query: ReservationQuery,
        now: Timestamp,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError> {
        self.readers().read(move |connection| reservations::page(connection, &query, now)).await
    }

    async fn operations(
        &self,
        query: OperationQuery,
    ) -> Result<Page<Operation, OperationPosition>, RepoError> {
        self.readers().read(move |connection| history::page(connection, &query)).await
    }

    async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError> {
        self.readers().read(move |connection| history::by_key(connection, user_id, &key)).await
    }

    async fn due_users(&self, now: Timestamp, users_max: u32) -> Result<Vec<UserId>, RepoError> {
        self.readers().read(move |connection| accounts::due_users(connection, now, users_max)).await
    }

    async fn scan(&self, sink: Arc<dyn LedgerSink>) -> Result<(), RepoError> {
        self.readers().read(move |connection| scan::scan(connection, sink.as_ref())).await
    }

    async fn ready(&self) -> Result<(), RepoError> {
        self.writer().ready().await?;
        self.readers().run(|connection| schema::check(connection)).await
    }
}
