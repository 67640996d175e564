//! Reading accounts, as recorded, and whether more is due.

use balance_domain::{AccountAsOf, Moment, Timestamp, UserId, ports::RepoError};
use tokio_postgres::Row;

use crate::{
    PostgresStore,
    error::Failure,
    records::{AccountVersion, Records},
    rows::{self, column},
    statements::READ_ACCOUNTS,
    store::query,
    values::At,
};

impl PostgresStore {
    /// The accounts in the order asked for; a user may come twice.
    pub(super) async fn accounts_as_of(
        &self,
        users: &[UserId],
    ) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        let moment = self.moment()?;
        let mut distinct = users.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let accounts = self.repeated_in_time(|| self.accounts_of(&distinct, moment)).await?;
        let account_of = |user| distinct.binary_search(user).ok().and_then(|index| accounts[index]);
        Ok(users.iter().map(account_of).collect())
    }

    /// The accounts of these users, who are sorted, as they are at the moment of one statement: it reads those that
    /// are not of the version that is cached.
    async fn accounts_of(
        &self,
        users: &[UserId],
        moment: Moment,
    ) -> Result<Vec<Option<AccountAsOf>>, Failure> {
        let lease = self.lease_for_read().await?;
        let cached = self.cache().of_readers(users, |cached| cached.as_of(moment));
        let asked = users.iter().zip(&cached).map(|(user_id, cached)| AccountVersion {
            user_id: *user_id,
            version: cached.as_ref().map(|(version, _)| *version),
        });
        let asked: Vec<_> = asked.collect();
        let rows = query(lease.client(), READ_ACCOUNTS, &[&Records(&asked), &At(moment.now())]).await;
        let rows = lease.used(rows)?;

        let mut accounts: Vec<_> =
            cached.into_iter().map(|cached| cached.map(|(_, account)| account)).collect();
        let mut looked_up = Vec::with_capacity(rows.len());
        for row in &rows {
            let user = rows::id(row, 0)?;
            let index = users.binary_search(&user);
            let index = index.map_err(|_| Failure::Defect("an account that nobody asked for".into()))?;
            accounts[index] = account_as_of(row, moment.now())?;
            looked_up.push((user, asked[index].version));
        }
        self.cache().have_read(users.len().saturating_sub(looked_up.len()), &looked_up);
        Ok(accounts)
    }
}

/// [`READ_ACCOUNTS`].
fn account_as_of(row: &Row, now: Timestamp) -> Result<Option<AccountAsOf>, Failure> {
    if column::<Option<i64>>(row, 1)?.is_none() {
        return Ok(None);
    }
    Ok(Some(AccountAsOf { at: now, recorded: rows::account(row, 0)?, has_due: column(row, 6)? }))
}
