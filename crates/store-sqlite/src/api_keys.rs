//! [`ApiKeyRepo`] on the file.

use async_trait::async_trait;
use balance_domain::{
    ApiKey, ApiKeyId, Scope, SecretHash, Timestamp,
    ports::{ApiKeyRepo, ApiKeys, RepoError},
};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::{
    error::repo_error,
    rows::{optional, text, value},
    store::SqliteStore,
    writer::Verdict,
};

#[async_trait]
impl ApiKeyRepo for SqliteStore {
    async fn add_api_key(&self, key: ApiKey) -> Result<(), RepoError> {
        self.change_keys(move |connection| add(connection, &key)).await
    }

    async fn api_keys(&self) -> Result<ApiKeys, RepoError> {
        self.readers().read(all).await
    }

    async fn revoke_api_key(&self, id: ApiKeyId, now: Timestamp) -> Result<Option<ApiKey>, RepoError> {
        self.change_keys(move |connection| revoke(connection, &id, now)).await
    }
}

impl SqliteStore {
    /// One transaction of the writer.
    async fn change_keys<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RepoError> {
        self.writer()
            .run(move |session| {
                session.transaction(|connection| change(connection).map(Verdict::Commit).map_err(repo_error))
            })
            .await
    }
}

fn add(connection: &Connection, key: &ApiKey) -> rusqlite::Result<()> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    connection
        .prepare_cached(
            "INSERT INTO api_keys (id, name, scopes, secret_hash, created_at, expires_at, revoked_at, parent_id)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        )?
        .execute((
            key.id.as_str(),
            &key.name,
            scopes.join(" "),
            key.secret_hash.0,
            key.created_at.micros(),
            key.expires_at.map(Timestamp::micros),
            key.revoked_at.map(Timestamp::micros),
            key.parent_id.as_ref().map(ApiKeyId::as_str),
        ))?;
    Ok(())
}

/// A row that cannot be understood is left out; the others count.
fn all(connection: &Connection) -> rusqlite::Result<ApiKeys> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name, scopes, secret_hash, created_at, expires_at, revoked_at, parent_id
         FROM api_keys ORDER BY created_at, id",
    )?;
    let mut read = ApiKeys::default();
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        read.had_keys = true;
        let unknown = row.get_ref(2)?.as_str().unwrap_or_default().split(' ').filter(|name| is_unknown(name));
        let id = row.get_ref(0)?.as_str().unwrap_or("without an id").to_owned();
        read.faults.extend(unknown.map(|name| format!("API key {id}: the scope {name:?} is not known")));
        match api_key(row) {
            Ok(key) => read.keys.push(key),
            Err(error) => read.faults.push(format!("API key {id} cannot be read: {error}")),
        }
    }
    Ok(read)
}

fn is_unknown(scope: &str) -> bool {
    !scope.is_empty() && scope.parse::<Scope>().is_err()
}

/// A key that is revoked already keeps its time.
fn revoke(connection: &Connection, id: &ApiKeyId, now: Timestamp) -> rusqlite::Result<Option<ApiKey>> {
    connection
        .prepare_cached(
            "UPDATE api_keys SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1
             RETURNING id, name, scopes, secret_hash, created_at, expires_at, revoked_at, parent_id",
        )?
        .query_row((id.as_str(), now.micros()), api_key)
        .optional()
}

fn api_key(row: &Row<'_>) -> rusqlite::Result<ApiKey> {
    Ok(ApiKey {
        id: text(row, 0, ApiKeyId::new)?,
        name: row.get(1)?,
        scopes: scopes(row.get_ref(2)?.as_str()?),
        secret_hash: SecretHash(row.get(3)?),
        parent_id: row.get::<_, Option<String>>(7)?.map(|_| text(row, 7, ApiKeyId::new)).transpose()?,
        created_at: value(row, 4, Timestamp::from_micros)?,
        expires_at: optional(row, 5, Timestamp::from_micros)?,
        revoked_at: optional(row, 6, Timestamp::from_micros)?,
    })
}

/// What is not known grants nothing.
fn scopes(names: &str) -> Vec<Scope> {
    names.split(' ').filter_map(|name| name.parse().ok()).collect()
}
