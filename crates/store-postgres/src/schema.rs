//! Brings the schema up to what this binary knows, once, however many instances start together.
//!
//! Instances are upgraded one after the other, so older ones meet a schema that is newer than they know. They go on if
//! the name of every migration that they do not know begins with [`ADDITIVE`]: a promise that what was there before
//! still works as before. Anything else they refuse.

use balance_domain::ports::RepoError;
use tokio_postgres::Row;

use crate::{PostgresStore, error::Failure, rows::column};

mod embedded {
    refinery::embed_migrations!("../../migrations/postgres");
}

/// How the names of migrations begin that older binaries can live with. `docs/operations.md` says what that takes.
const ADDITIVE: &str = "add_";

/// The advisory lock that migrating instances queue at; any fixed number serves.
const LOCK: &str = "SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock(7281001)";

impl PostgresStore {
    /// Applies the migrations that are missing. Instances that start together wait for each other.
    ///
    /// On a connection of its own, closed afterwards: the lock goes with it, whatever happens.
    pub async fn migrate(&self) -> Result<(), RepoError> {
        let mut client = self.connector().separate().await.map_err(Failure::into_error)?;
        client.batch_execute(LOCK).await.map_err(|error| Failure::from(error).into_error())?;
        embedded::migrations::runner()
            // Those of a newer binary: whether this one can live with them is told by `check_schema`.
            .set_abort_missing(false)
            .run_async(&mut client)
            .await
            .map_err(|error| RepoError::Internal(error.into()))?;
        Ok(())
    }

    /// Whether the schema is the one that this binary was built with, or that one with additions.
    pub(crate) async fn check_schema(&self) -> Result<(), RepoError> {
        let rows = self.probe(APPLIED).await?;
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
        Err(RepoError::Unavailable(
            format!(
                "the schema is at version {}, this binary knows version {} and can live with what is only added to that",
                applied.last().map_or(0, |last| last.version),
                known.last().map_or(0, |(version, _)| *version),
            )
            .into(),
        ))
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
