//! Brings the schema up to what this binary knows, once, however many instances start together.

use balance_domain::ports::RepoError;

use crate::{PostgresStore, failure::Failure, rows::column};

mod embedded {
    refinery::embed_migrations!("../../migrations/postgres");
}

/// The advisory lock that migrating instances queue at; any fixed number serves.
const LOCK: &str = "SET statement_timeout = 0; SET lock_timeout = 0; SELECT pg_advisory_lock(7281001)";

impl PostgresStore {
    /// Applies the migrations that are missing. Instances that start together wait for each other.
    ///
    /// On a connection of its own, closed afterwards: the lock goes with it, whatever happens.
    pub async fn migrate(&self) -> Result<(), RepoError> {
        let mut client = self.separate().await.map_err(Failure::into_error)?;
        client.batch_execute(LOCK).await.map_err(|error| Failure::from(error).into_error())?;
        embedded::migrations::runner()
            .run_async(&mut client)
            .await
            .map_err(|error| RepoError::Internal(error.into()))?;
        Ok(())
    }

    /// Whether the schema is exactly the one that this binary was built with.
    pub(crate) async fn check_schema(&self) -> Result<(), RepoError> {
        let rows = self
            .read("SELECT version::bigint, checksum FROM refinery_schema_history ORDER BY version", &[])
            .await?;
        let applied = rows
            .iter()
            .map(|row| Ok((column::<i64>(row, 0)?, column::<String>(row, 1)?)))
            .collect::<Result<Vec<_>, Failure>>()
            .map_err(Failure::into_error)?;
        let known: Vec<(i64, String)> = embedded::migrations::runner()
            .get_migrations()
            .iter()
            .map(|migration| (i64::from(migration.version()), migration.checksum().to_string()))
            .collect();
        if applied == known {
            return Ok(());
        }
        let last = |list: &[(i64, String)]| list.last().map_or(0, |(version, _)| *version);
        Err(RepoError::Unavailable(
            format!(
                "the schema is at version {}, this binary knows version {}",
                last(&applied),
                last(&known)
            )
            .into(),
        ))
    }
}
