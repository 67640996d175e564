//! Brings the schema up to what this binary knows, once, however many instances start together.
//!
//! Instances are upgraded one after the other, so older ones meet a schema that is newer than they know. They go on if
//! the name of every migration that they do not know begins with [`ADDITIVE`]: a promise that what was there before
//! still works as before. Anything else they refuse.

use std::time::Duration;

use balance_domain::ports::{Cause, RepoError};
use tokio::time::{sleep, timeout};
use tokio_postgres::{Client, Row, SimpleQueryMessage};

use crate::{
    PostgresStore,
    error::{Failure, UnknownSchema, explained, is_permanent},
    rows::column,
};

mod embedded {
    refinery::embed_migrations!("../../migrations/postgres");
}

/// How the names of migrations begin that older binaries can live with. `docs/operations.md` says what that takes.
const ADDITIVE: &str = "add_";

/// The advisory lock that migrating instances queue at; any fixed number serves. A migration may take long.
const LOCK: &str = "SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_try_advisory_lock(7281001)";

/// How often an instance asks for the lock while another one migrates. It does not wait in the server: that would not
/// tell one that works from one that has frozen.
const LOCK_EVERY: Duration = Duration::from_millis(100);

/// Migrations that take longer find the server frozen. Some build indexes over all operations.
const MIGRATED_WITHIN: Duration = Duration::from_hours(12);

impl PostgresStore {
    /// Applies the migrations that are missing. Instances that start together wait for each other. Where none is
    /// missing, as at nearly every start, that is one look with the deadline of any other.
    ///
    /// On a connection of its own, closed afterwards: the lock goes with it, whatever happens.
    pub async fn migrate(&self) -> Result<(), RepoError> {
        let mut client = self.connector().separate().await.map_err(Failure::into_error)?;
        while !self.is_first_to_lock(&client).await.map_err(Failure::into_error)? {
            sleep(LOCK_EVERY).await;
        }
        // Nothing may be there yet.
        let applied = timeout(self.options().deadline, client.query(APPLIED, &[])).await;
        if applied.map_err(|_| Failure::late().into_error())?.is_ok_and(|rows| check(&rows).is_ok()) {
            return Ok(());
        }
        // Those of a newer binary: `check` finds whether this one can live with them.
        let runner = embedded::migrations::runner().set_abort_missing(false);
        let migrated = timeout(MIGRATED_WITHIN, runner.run_async(&mut client)).await;
        migrated.map_err(|_| Failure::late().into_error())?.map_err(not_migrated)?;
        Ok(())
    }

    async fn is_first_to_lock(&self, client: &Client) -> Result<bool, Failure> {
        let asked = timeout(self.options().deadline, client.simple_query(LOCK)).await;
        let answers = asked.map_err(|_| Failure::late())??;
        Ok(answers
            .iter()
            .any(|answer| matches!(answer, SimpleQueryMessage::Row(row) if row.get(0) == Some("t"))))
    }

    /// Whether the schema is the one that this binary was built with, or that one with additions.
    pub(crate) async fn check_schema(&self) -> Result<(), RepoError> {
        check(&self.probe(APPLIED).await?)
    }
}

/// Whether these are the migrations that this binary knows, with additions at most.
fn check(rows: &[Row]) -> Result<(), RepoError> {
    let applied = rows.iter().map(applied).collect::<Result<Vec<_>, _>>().map_err(Failure::into_error)?;
    let known: Vec<(i64, String)> = embedded::migrations::runner()
        .get_migrations()
        .iter()
        .map(|migration| (i64::from(migration.version()), migration.checksum().to_string()))
        .collect();
    let mut rest = applied.iter();
    let has_all_known = known.iter().all(|known| rest.next().is_some_and(|applied| applied.is(known)));
    if has_all_known && rest.all(|later| later.name.starts_with(ADDITIVE)) {
        return Ok(());
    }
    let applied = applied.last().map_or(0, |last| last.version);
    let known = known.last().map_or(0, |(version, _)| *version);
    Err(RepoError::Unavailable(UnknownSchema { applied, known }.into()))
}

/// With the remedy where the server said what is wrong, for instance that the role may not create tables.
fn not_migrated(error: refinery::Error) -> RepoError {
    let cause = Cause::from(error);
    match cause.find::<tokio_postgres::Error>().and_then(|error| error.as_db_error()) {
        Some(said) if is_permanent(&explained(said)) => RepoError::Unavailable(explained(said)),
        _ => RepoError::Internal(cause),
    }
}

const APPLIED: &str = "SELECT version::bigint, name, checksum FROM refinery_schema_history ORDER BY version";

/// A migration that was applied.
struct Applied {
    version: i64,
    name: String,
    checksum: String,
}

impl Applied {
    fn is(&self, (version, checksum): &(i64, String)) -> bool {
        self.version == *version && self.checksum == *checksum
    }
}

fn applied(row: &Row) -> Result<Applied, Failure> {
    Ok(Applied { version: column(row, 0)?, name: column(row, 1)?, checksum: column(row, 2)? })
}
