//! The ledger port: batches go to `execute`, each read to its own module.

mod accounts;
mod reservations;
mod search;

#[cfg(test)]
pub(crate) use reservations::planned as planned_reservations;

use std::{collections::HashSet, sync::Arc};

use async_trait::async_trait;
use balance_domain::{
    AccountAsOf, DryRun, IdempotencyKey, Operation, OperationPosition, OperationQuery, Page, Reservation,
    ReservationKey, ReservationPosition, ReservationQuery, ReservationSearch, SearchPosition, Submission,
    UserId,
    ports::{BalanceRepo, LedgerSink, Reply, RepoError},
};
use tokio_postgres::{Row, types::ToSql};

use crate::{
    PostgresStore,
    error::Failure,
    rows,
    statements::{DUE_USERS, OPERATION_BY_KEY},
    values::{At, bucket},
};

#[async_trait]
impl BalanceRepo for PostgresStore {
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        self.run(&submissions).await
    }

    async fn accounts(&self, user_ids: Vec<UserId>) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        self.accounts_as_of(&user_ids).await
    }

    async fn reservation(&self, key: ReservationKey) -> Result<Option<Reservation>, RepoError> {
        self.one_reservation(key).await
    }

    async fn reservations(
        &self,
        query: ReservationQuery,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError> {
        self.reservations_page(&query).await
    }

    async fn operations(
        &self,
        query: OperationQuery,
    ) -> Result<Page<Operation, OperationPosition>, RepoError> {
        self.operations_page(&query).await
    }

    async fn dry_run(&self, submissions: Vec<Submission>) -> Result<DryRun, RepoError> {
        self.decided_only(&submissions).await
    }

    async fn search_reservations(
        &self,
        search: ReservationSearch,
    ) -> Result<Page<Reservation, SearchPosition>, RepoError> {
        self.found_reservations(&search).await
    }

    async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError> {
        let values: [&(dyn ToSql + Sync); 3] = [&bucket(user_id), &user_id.get(), &key.as_str()];
        let rows = self.read(OPERATION_BY_KEY, &values).await?;
        rows.first().map(|row| rows::operation(row, 0)).transpose().map_err(Failure::into_error)
    }

    /// Reads reservations rather than users, and more of them while too few users turn up.
    async fn due_users(&self, users_max: u32) -> Result<Vec<UserId>, RepoError> {
        let now = self.moment()?.now();
        let users_max = usize::try_from(users_max).unwrap_or(usize::MAX);
        let mut rows_max = i64::try_from(users_max.saturating_mul(2)).unwrap_or(i64::MAX);
        loop {
            let rows = self.read(DUE_USERS, &[&At(now), &rows_max]).await?;
            let is_all = i64::try_from(rows.len()).is_ok_and(|read| read < rows_max);
            let mut users = first_of_each(&rows).map_err(Failure::into_error)?;
            if is_all || users.len() >= users_max {
                users.truncate(users_max);
                return Ok(users);
            }
            rows_max = rows_max.saturating_mul(4);
        }
    }

    async fn scan(&self, sink: Arc<dyn LedgerSink>) -> Result<(), RepoError> {
        self.scan_all(sink.as_ref()).await
    }

    async fn ready(&self) -> Result<(), RepoError> {
        self.moment()?;
        self.check_schema().await
    }
}

fn first_of_each(rows: &[Row]) -> Result<Vec<UserId>, Failure> {
    let mut seen = HashSet::new();
    let mut users = Vec::new();
    for row in rows {
        let user: UserId = rows::id(row, 0)?;
        if seen.insert(user) {
            users.push(user);
        }
    }
    Ok(users)
}
