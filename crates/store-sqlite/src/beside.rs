//! API keys for the command line, beside the running service that has the file open, or without one.
//!
//! The service notices commits of others, and nothing that it caches depends on keys. Its lock is left alone: it
//! keeps a second service out, not this.

use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};

use async_trait::async_trait;
use balance_domain::{
    Actor, ApiKey, ApiKeyId, Timestamp,
    ports::{ApiKeyRepo, ApiKeys, RepoError},
};
use rusqlite::{Connection, TransactionBehavior};

use crate::{
    api_keys,
    connection::open_writer,
    error::repo_error,
    file::{LedgerFile, is_in_use},
    schema,
    store::open_file,
};

/// The keys of a file, whether or not a service has it open.
pub struct SqliteKeys {
    connection: Mutex<Connection>,
    /// Held while no service has the file. Dropped last.
    _file: Option<LedgerFile>,
}

impl SqliteKeys {
    /// Opens a file of the schema that this binary knows. One that no service has open is made if it is missing, and
    /// brought up to date if `migrate` says so.
    pub fn open(path: &Path, migrate: bool) -> Result<Self, RepoError> {
        let (file, mut connection) = match open_file(path) {
            Ok((file, connection)) => (Some(file), connection),
            Err(_) if is_in_use(path) => (None, open_writer(path)?),
            Err(error) => return Err(error),
        };
        if migrate && file.is_some() {
            schema::migrate(&mut connection)?;
        }
        schema::check(&connection)?;
        Ok(Self { connection: Mutex::new(connection), _file: file })
    }

    fn change<T>(&self, change: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, RepoError> {
        let mut connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let transaction =
            connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(repo_error)?;
        let changed = change(&transaction).map_err(repo_error)?;
        transaction.commit().map_err(repo_error)?;
        Ok(changed)
    }
}

#[async_trait]
impl ApiKeyRepo for SqliteKeys {
    async fn add_api_key(&self, key: ApiKey, actor: Actor) -> Result<(), RepoError> {
        self.change(|connection| api_keys::add(connection, &key, actor))
    }

    async fn api_keys(&self) -> Result<ApiKeys, RepoError> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        api_keys::all(&connection).map_err(repo_error)
    }

    async fn revoke_api_key(
        &self,
        id: ApiKeyId,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, RepoError> {
        self.change(|connection| api_keys::revoke(connection, id, actor, now))
    }

    async fn note_api_key_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), RepoError> {
        self.change(|connection| api_keys::note_uses(connection, &uses))
    }
}
