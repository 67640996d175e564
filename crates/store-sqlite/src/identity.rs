//! [`IdentityRepo`] on the file.

use async_trait::async_trait;
use balance_domain::{
    AccountingZone, Currency, LedgerId, LedgerIdentity,
    ports::{IdentityRepo, LedgerRecord, RepoError},
};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::{error::repo_error, rows::text, store::SqliteStore, writer::Verdict};

#[async_trait]
impl IdentityRepo for SqliteStore {
    async fn ledger(&self) -> Result<Option<LedgerRecord>, RepoError> {
        self.readers().read(ledger).await
    }

    async fn make_ledger(&self, identity: LedgerIdentity) -> Result<(), RepoError> {
        self.writer()
            .run(move |session| {
                session.transaction(|connection| {
                    make(connection, &identity).map(Verdict::Commit).map_err(repo_error)
                })
            })
            .await
    }
}

fn ledger(connection: &Connection) -> rusqlite::Result<Option<LedgerRecord>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, currency, currency_decimals, accounting_zone,
             (SELECT max(version) FROM refinery_schema_history)
         FROM ledger",
    )?;
    statement.query_row([], record).optional()
}

fn record(row: &Row<'_>) -> rusqlite::Result<LedgerRecord> {
    let decimals: u8 = row.get(2)?;
    let identity = LedgerIdentity {
        id: text(row, 0, LedgerId::parse)?,
        currency: text(row, 1, |code: &str| Currency::recorded(code, decimals))?,
        zone: text(row, 3, AccountingZone::new)?,
    };
    Ok(LedgerRecord { identity, schema_version: row.get(4)? })
}

fn make(connection: &Connection, identity: &LedgerIdentity) -> rusqlite::Result<()> {
    let LedgerIdentity { id, currency, zone } = identity;
    connection
        .prepare_cached(
            "INSERT INTO ledger (only_row, id, currency, currency_decimals, accounting_zone, had_keys)
             VALUES (1, ?1, ?2, ?3, ?4, EXISTS (SELECT 1 FROM api_keys)) ON CONFLICT DO NOTHING",
        )?
        .execute((id.to_string(), currency.code(), currency.decimals(), zone.name()))?;
    Ok(())
}
