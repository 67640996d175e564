//! [`ApiKeyRepo`] on the file.

use async_trait::async_trait;
use balance_domain::{
    Actor, ApiKey, ApiKeyId, Fact, Scope, SecretHash, Timestamp,
    ports::{ApiKeyRepo, ApiKeys, RepoError},
};
use rusqlite::{Connection, OptionalExtension, Row};

use crate::{
    error::repo_error,
    facts,
    rows::{optional, text, value},
    store::SqliteStore,
    writer::Verdict,
};

#[async_trait]
impl ApiKeyRepo for SqliteStore {
    async fn add_api_key(&self, key: ApiKey, actor: Actor) -> Result<(), RepoError> {
        self.change_keys(move |connection| add(connection, &key, actor)).await
    }

    async fn api_keys(&self) -> Result<ApiKeys, RepoError> {
        self.readers().read(all).await
    }

    async fn revoke_api_key(
        &self,
        id: ApiKeyId,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, RepoError> {
        self.change_keys(move |connection| revoke(connection, id, actor, now)).await
    }

    async fn note_api_key_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), RepoError> {
        self.change_keys(move |connection| note_uses(connection, &uses)).await
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

pub(crate) fn add(connection: &Connection, key: &ApiKey, actor: Actor) -> rusqlite::Result<()> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    connection
        .prepare_cached(
            "INSERT INTO api_keys (id, name, scopes, secret_hash, created_at, expires_at, revoked_at, parent_id, last_used_at)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)",
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
            key.last_used_at.map(Timestamp::micros),
        ))?;
    connection.prepare_cached("UPDATE ledger SET had_keys = 1 WHERE had_keys = 0")?.execute([])?;
    facts::add_alone(connection, &[Fact::key_created(key, actor)])
}

/// A row that cannot be understood is left out; the others count.
pub(crate) fn all(connection: &Connection) -> rusqlite::Result<ApiKeys> {
    let mut statement = connection.prepare_cached(
        "SELECT id, name, scopes, secret_hash, created_at, expires_at, revoked_at, parent_id, last_used_at
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
    let mut had_keys =
        connection.prepare_cached("SELECT EXISTS (SELECT 1 FROM ledger WHERE had_keys = 1)")?;
    read.had_keys |= had_keys.query_row([], |row| row.get::<_, bool>(0))?;
    Ok(read)
}

fn is_unknown(scope: &str) -> bool {
    !scope.is_empty() && scope.parse::<Scope>().is_err()
}

/// A key that is revoked already keeps its time.
pub(crate) fn revoke(
    connection: &Connection,
    id: ApiKeyId,
    actor: Actor,
    now: Timestamp,
) -> rusqlite::Result<Option<ApiKey>> {
    let newly = connection
        .prepare_cached("UPDATE api_keys SET revoked_at = ?2 WHERE id = ?1 AND revoked_at IS NULL")?
        .execute((id.as_str(), now.micros()))?;
    let key = connection
        .prepare_cached(
            "SELECT id, name, scopes, secret_hash, created_at, expires_at, revoked_at, parent_id, last_used_at
             FROM api_keys WHERE id = ?1",
        )?
        .query_row([id.as_str()], api_key)
        .optional()?;
    if let Some(key) = key.as_ref().filter(|_| newly > 0) {
        facts::add_alone(connection, &[Fact::key_revoked(key, actor, now)])?;
    }
    Ok(key)
}

pub(crate) fn note_uses(connection: &Connection, uses: &[(ApiKeyId, Timestamp)]) -> rusqlite::Result<()> {
    let mut note = connection.prepare_cached(
        "UPDATE api_keys SET last_used_at = max(coalesce(last_used_at, ?2), ?2) WHERE id = ?1",
    )?;
    uses.iter().try_for_each(|(id, at)| note.execute((id.as_str(), at.micros())).map(drop))
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
        last_used_at: optional(row, 8, Timestamp::from_micros)?,
    })
}

/// What is not known grants nothing.
fn scopes(names: &str) -> Vec<Scope> {
    names.split(' ').filter_map(|name| name.parse().ok()).collect()
}
