//! API keys of a file that a running service owns: the command line changes them beside it.
//!
//! The service notices commits of others, and nothing that it caches depends on keys. Its lock is left alone: it
//! keeps a second service out, not this.

use std::{path::Path, sync::Mutex, sync::PoisonError};

use async_trait::async_trait;
use balance_domain::{
    Actor, ApiKey, ApiKeyId, Timestamp,
    ports::{ApiKeyRepo, RepoError},
};
use rusqlite::{Connection, TransactionBehavior};

use crate::{
    api_keys,
    connection::open_writer,
    error::repo_error,
    schema,
};

/// The keys of a file that is in use.
pub struct SqliteKeys(Mutex<Connection>);

impl SqliteKeys {
    /// Opens a file that a service has open, of the schema that this binary knows.
    pub fn open(path: &Path) -> Result<Self, RepoError> {
        let connection = open_writer(path)?;
        schema::check(&connection)?;
        Ok(Self(Mutex::new(connection)))
    }

    fn change<T>(&self, change: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, RepoError> {
        let mut connection = self.0.lock().unwrap_or_else(PoisonError::into_inner);
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

    async fn api_keys(&self) -> Result<Vec<ApiKey>, RepoError> {
        self.change(api_keys::all)
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
