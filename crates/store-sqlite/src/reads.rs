//! [`BalanceRepo`] on the file: `execute` goes to the writer, each read to a reader, in one transaction.

mod accounts;
mod reservations;
mod search;

use std::sync::Arc;

use async_trait::async_trait;
use balance_domain::{
    AccountAsOf, DryRun, IdempotencyKey, Moment, Operation, OperationPosition, OperationQuery, Page,
    Reservation, ReservationKey, ReservationPosition, ReservationQuery, ReservationSearch, SearchPosition,
    Submission, UserId,
    ports::{
        AccountReads, BalanceRepo, Connections, LedgerSink, OperationTotal, Reply, RepoError, StoreFigures,
        StoreTimes,
    },
};

use crate::{
    execute::{dry_run, execute},
    history, scan, schema,
    store::SqliteStore,
};

#[async_trait]
impl StoreFigures for SqliteStore {
    async fn active_reservations(&self, count_max: u32) -> Result<u64, RepoError> {
        let now = self.clock().now();
        self.readers().read(move |connection| reservations::count_active(connection, now, count_max)).await
    }

    async fn accounts_up_to(&self, count_max: u32) -> Result<u64, RepoError> {
        self.readers().read(move |connection| accounts::count(connection, count_max)).await
    }

    async fn times(&self) -> Result<StoreTimes, RepoError> {
        let newest = self.readers().read(accounts::newest_time).await?;
        Ok(StoreTimes { clock: None, newest })
    }

    fn connections(&self) -> Connections {
        self.readers().connections()
    }

    fn operations(&self) -> Vec<OperationTotal> {
        self.recent().operations().all()
    }

    fn account_reads(&self) -> AccountReads {
        self.recent().account_reads()
    }
}

#[async_trait]
impl BalanceRepo for SqliteStore {
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        self.writer().run(move |session| execute(session, &submissions)).await
    }

    async fn accounts(&self, user_ids: Vec<UserId>) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        if let [user_id] = user_ids[..]
            && let Some(account) = self.recall_account(user_id)
        {
            return Ok(vec![Some(account)]);
        }
        self.recent().have_looked_up(user_ids.len());
        let accounts = move |connection: &_, moment| accounts::accounts(connection, &user_ids, moment);
        self.readers().read_at(Arc::clone(self.clock()), accounts).await
    }

    fn recall_account(&self, user_id: UserId) -> Option<AccountAsOf> {
        self.recent().recall(user_id, self.clock().moment().ok()?)
    }

    async fn reservation(&self, key: ReservationKey) -> Result<Option<Reservation>, RepoError> {
        self.readers().read(move |connection| reservations::one(connection, key)).await
    }

    async fn reservations(
        &self,
        query: ReservationQuery,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError> {
        self.readers().read(move |connection| reservations::page(connection, &query)).await
    }

    async fn operations(
        &self,
        query: OperationQuery,
    ) -> Result<Page<Operation, OperationPosition>, RepoError> {
        self.readers().read(move |connection| history::page(connection, &query)).await
    }

    async fn dry_run(&self, submissions: Vec<Submission>) -> Result<DryRun, RepoError> {
        let run = move |connection: &_, moment| dry_run(connection, &submissions, moment);
        self.readers().read_at(Arc::clone(self.clock()), run).await
    }

    async fn search_reservations(
        &self,
        search: ReservationSearch,
    ) -> Result<Page<Reservation, SearchPosition>, RepoError> {
        let page = move |connection: &_, moment: Moment| search::page(connection, &search, moment.now());
        self.readers().read_at(Arc::clone(self.clock()), page).await
    }

    async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError> {
        self.readers().read(move |connection| history::by_key(connection, user_id, &key)).await
    }

    async fn due_users(&self, users_max: u32) -> Result<Vec<UserId>, RepoError> {
        let due =
            move |connection: &_, moment: Moment| accounts::due_users(connection, moment.now(), users_max);
        self.readers().read_at(Arc::clone(self.clock()), due).await
    }

    async fn scan(&self, sink: Arc<dyn LedgerSink>) -> Result<(), RepoError> {
        self.readers().read(move |connection| scan::scan(connection, sink.as_ref())).await
    }

    async fn ready(&self) -> Result<(), RepoError> {
        self.clock().moment()?;
        self.writer().ready().await?;
        self.readers().run(|connection| schema::check(connection)).await
    }
}
