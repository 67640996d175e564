//! What the ledger is: one row.

use async_trait::async_trait;
use balance_domain::{
    AccountingZone, Currency, LedgerId, LedgerIdentity,
    ports::{IdentityRepo, LedgerRecord, RepoError},
};
use tokio_postgres::Row;

use crate::{PostgresStore, error::Failure, rows::column, store::Transaction};

const LEDGER: &str = "\
SELECT id, currency, currency_decimals, accounting_zone, \
    (SELECT max(version)::bigint FROM refinery_schema_history)
FROM ledger";

/// Instances that start together: the first one's stays.
const MAKE: &str = "\
INSERT INTO ledger (only_row, id, currency, currency_decimals, accounting_zone, had_keys)
VALUES (true, $1, $2, $3, $4, EXISTS (SELECT FROM api_keys)) ON CONFLICT DO NOTHING";

#[async_trait]
impl IdentityRepo for PostgresStore {
    async fn ledger(&self) -> Result<Option<LedgerRecord>, RepoError> {
        // An audit reads it on a standby, which the connections of the service refuse.
        let rows = match self.read(LEDGER, &[]).await {
            Ok(rows) => rows,
            Err(error) => self.read_anywhere(LEDGER).await.map_err(|_| error)?,
        };
        rows.first().map(record).transpose().map_err(Failure::into_error)
    }

    async fn make_ledger(&self, identity: LedgerIdentity) -> Result<(), RepoError> {
        let making = self.begin("BEGIN").await?;
        let made = make(&making, &identity).await;
        making.finish(made).await
    }
}

async fn make(making: &Transaction, identity: &LedgerIdentity) -> Result<(), Failure> {
    let LedgerIdentity { id, currency, zone } = identity;
    let decimals = i16::from(currency.decimals());
    making.query(MAKE, &[&id.to_string(), &currency.code(), &decimals, &zone.name()]).await.map(drop)
}

fn record(row: &Row) -> Result<LedgerRecord, Failure> {
    let decimals = column::<i16>(row, 2)?.try_into().map_err(Failure::damaged)?;
    let identity = LedgerIdentity {
        id: LedgerId::parse(column(row, 0)?).map_err(Failure::damaged)?,
        currency: Currency::recorded(column(row, 1)?, decimals).map_err(Failure::damaged)?,
        zone: AccountingZone::new(column(row, 3)?).map_err(Failure::damaged)?,
    };
    Ok(LedgerRecord { identity, schema_version: column(row, 4)? })
}
