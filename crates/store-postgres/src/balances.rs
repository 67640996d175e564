//! The ledger port: batches go to `execute`, each read to its own module.

use std::sync::Arc;

use async_trait::async_trait;
use balance_domain::{
    AccountAsOf, IdempotencyKey, Moment, Operation, OperationPosition, OperationQuery, Page, Reservation,
    ReservationKey, ReservationPosition, ReservationQuery, Submission, Timestamp, UserId,
    ports::{BalanceRepo, LedgerSink, Reply, RepoError},
};
use tokio_postgres::types::ToSql;

use crate::{
    PostgresStore,
    execute::Recalled,
    failure::Failure,
    records::{AccountVersion, Records},
    rows::{self, column},
    statements::{DUE_USERS, OPERATION_BY_KEY, READ_ACCOUNTS},
    values::{At, bucket},
    wire::Row,
};

#[async_trait]
impl BalanceRepo for PostgresStore {
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        self.run(&submissions, self.moment()?).await
    }

    async fn accounts(&self, user_ids: Vec<UserId>) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        let moment = self.moment()?;
        let mut distinct = user_ids.clone();
        distinct.sort_unstable();
        distinct.dedup();
        let accounts = self.repeated_in_time(|| self.accounts_of(&distinct, moment)).await?;
        let account_of = |user| distinct.binary_search(user).ok().and_then(|place| accounts[place]);
        Ok(user_ids.iter().map(account_of).collect())
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

    async fn operation_by_key(
        &self,
        user_id: UserId,
        key: IdempotencyKey,
    ) -> Result<Option<Operation>, RepoError> {
        let values: [&(dyn ToSql + Sync); 3] = [&bucket(user_id), &user_id.get(), &key.as_str()];
        let rows = self.read(OPERATION_BY_KEY, &values).await?;
        rows.first().map(rows::operation).transpose().map_err(Failure::into_error)
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
        self.check_schema().await
    }
}

impl PostgresStore {
    /// The accounts of these users, who are sorted, as they are at the moment of one statement: it reads those that are not
    /// of the version that is remembered.
    async fn accounts_of(
        &self,
        users: &[UserId],
        moment: Moment,
    ) -> Result<Vec<Option<AccountAsOf>>, Failure> {
        let mut lease = self.lease_for_read().await?;
        let recalled = self.recent().recall(lease.session().era(), users, moment);
        let asked = |(user_id, recalled): (&UserId, &Option<Recalled>)| AccountVersion {
            user_id: *user_id,
            version: recalled.as_ref().map(|recalled| recalled.version),
        };
        let asked: Vec<_> = users.iter().zip(&recalled).map(asked).collect();
        let rows = lease.session().query(READ_ACCOUNTS, &[&Records(&asked), &At(moment.now())]).await?;
        lease.give_back();

        let mut accounts: Vec<_> =
            recalled.into_iter().map(|recalled| recalled.map(|recalled| recalled.account)).collect();
        let mut looked_up = Vec::with_capacity(rows.len());
        for row in &rows {
            let user = rows::id(row, 0)?;
            let place = users.binary_search(&user);
            let place = place.map_err(|_| Failure::Defect("an account that nobody asked for".into()))?;
            accounts[place] = account_as_of(row, moment.now())?;
            looked_up.push((user, asked[place].version));
        }
        self.recent().have_read(users.len().saturating_sub(looked_up.len()), &looked_up);
        Ok(accounts)
    }
}

/// [`READ_ACCOUNTS`].
fn account_as_of(row: &Row, now: Timestamp) -> Result<Option<AccountAsOf>, Failure> {
    if column::<Option<i64>>(row, 1)?.is_none() {
        return Ok(None);
    }
    let due: Option<Vec<i64>> = column(row, 6)?;
    let has_due = due.is_some_and(|due| due.first().is_some_and(|count| *count > 0));
    Ok(Some(AccountAsOf { at: now, recorded: rows::account(row, 0)?, has_due }))
}

fn first_of_each(rows: &[Row]) -> Result<Vec<UserId>, Failure> {
    let mut seen = std::collections::HashSet::new();
    let mut users = Vec::new();
    for row in rows {
        let user: UserId = rows::id(row, 0)?;
        if seen.insert(user) {
            users.push(user);
        }
    }
    Ok(users)
}
