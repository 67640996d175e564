//! API keys. Few rows, read rarely: callers keep them in memory.

use async_trait::async_trait;
use balance_domain::{
    Actor, ApiKey, ApiKeyId, Fact, Scope, SecretHash, Timestamp,
    ports::{ApiKeyRepo, ApiKeys, RepoError},
};
use tokio_postgres::{Row, types::ToSql};

use crate::{PostgresStore, error::Failure, facts, rows::column, store::Transaction, values::At};

const ADD: &str = "\
INSERT INTO api_keys (id, name, scopes, secret_hash, created_at, expires_at, revoked_at, parent_id, last_used_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING id";

const ALL: &str = "\
SELECT id, name, scopes, secret_hash, created_at, expires_at, revoked_at, parent_id, last_used_at
FROM api_keys ORDER BY created_at, id";

const ONE: &str = "\
SELECT id, name, scopes, secret_hash, created_at, expires_at, revoked_at, parent_id, last_used_at
FROM api_keys WHERE id = $1";

const REVOKE: &str = "\
UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL
RETURNING id, name, scopes, secret_hash, created_at, expires_at, revoked_at, parent_id, last_used_at";

const NOTE_USE: &str = "\
UPDATE api_keys SET last_used_at = greatest(last_used_at, $2) WHERE id = $1 RETURNING id";

const NOTE_KEYS: &str = "UPDATE ledger SET had_keys = true WHERE NOT had_keys RETURNING id";

const HAD_KEYS: &str = "SELECT EXISTS (SELECT FROM ledger WHERE had_keys)";

#[async_trait]
impl ApiKeyRepo for PostgresStore {
    async fn add_api_key(&self, key: ApiKey, actor: Actor) -> Result<(), RepoError> {
        let adding = self.begin("BEGIN").await?;
        let added = add(&adding, key, actor).await;
        adding.finish(added).await
    }

    async fn api_keys(&self) -> Result<ApiKeys, RepoError> {
        let rows = self.read(ALL, &[]).await?;
        let mut read = read(&rows);
        if rows.is_empty() {
            let had = self.read(HAD_KEYS, &[]).await?;
            read.had_keys = had.first().is_some_and(|row| column(row, 0).unwrap_or(true));
        }
        Ok(read)
    }

    async fn revoke_api_key(
        &self,
        id: ApiKeyId,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, RepoError> {
        let revoking = self.begin("BEGIN").await?;
        let revoked = revoke(&revoking, id, actor, now).await;
        revoking.finish(revoked).await
    }

    async fn note_api_key_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), RepoError> {
        for (id, at) in uses {
            // The later one stays, so this may be repeated like a read.
            self.read(NOTE_USE, &[&id.as_str(), &At(at)]).await?;
        }
        Ok(())
    }
}

async fn revoke(
    revoking: &Transaction,
    id: ApiKeyId,
    actor: Actor,
    now: Timestamp,
) -> Result<Option<ApiKey>, Failure> {
    let rows = revoking.query(REVOKE, &[&id.as_str(), &At(now)]).await?;
    let revoked = rows.first().map(api_key).transpose()?;
    if let Some(key) = &revoked {
        facts::add(revoking, &[Fact::key_revoked(key, actor, now)]).await?;
        return Ok(revoked);
    }
    revoking.query(ONE, &[&id.as_str()]).await?.first().map(api_key).transpose()
}

async fn add(adding: &Transaction, key: ApiKey, actor: Actor) -> Result<(), Failure> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let values: [&(dyn ToSql + Sync); 9] = [
        &key.id.as_str(),
        &key.name,
        &scopes,
        &key.secret_hash.0.as_slice(),
        &At(key.created_at),
        &key.expires_at.map(At),
        &key.revoked_at.map(At),
        &key.parent_id.as_ref().map(ApiKeyId::as_str),
        &key.last_used_at.map(At),
    ];
    adding.query(ADD, &values).await?;
    adding.query(NOTE_KEYS, &[]).await?;
    facts::add(adding, &[Fact::key_created(&key, actor)]).await
}

/// A row that cannot be understood is left out; the others count.
fn read(rows: &[Row]) -> ApiKeys {
    let mut read = ApiKeys { had_keys: !rows.is_empty(), ..ApiKeys::default() };
    for row in rows {
        let id = column::<&str>(row, 0).unwrap_or("without an id");
        let scopes = column::<Vec<&str>>(row, 2).unwrap_or_default();
        let unknown = scopes.into_iter().filter(|name| name.parse::<Scope>().is_err());
        read.faults.extend(unknown.map(|name| format!("API key {id}: the scope {name:?} is not known")));
        match api_key(row) {
            Ok(key) => read.keys.push(key),
            Err(failure) => {
                read.faults.push(format!("API key {id} cannot be read: {}", failure.into_error()));
            }
        }
    }
    read
}

/// A scope that is not known grants nothing.
fn api_key(row: &Row) -> Result<ApiKey, Failure> {
    let scopes: Vec<&str> = column(row, 2)?;
    let hash: &[u8] = column(row, 3)?;
    let parent_id: Option<&str> = column(row, 7)?;
    Ok(ApiKey {
        id: ApiKeyId::new(column::<String>(row, 0)?).map_err(Failure::damaged)?,
        name: column(row, 1)?,
        scopes: scopes.into_iter().filter_map(|name| name.parse().ok()).collect(),
        secret_hash: SecretHash(hash.try_into().map_err(Failure::damaged)?),
        parent_id: parent_id.map(ApiKeyId::new).transpose().map_err(Failure::damaged)?,
        created_at: column::<At>(row, 4)?.0,
        expires_at: column::<Option<At>>(row, 5)?.map(|at| at.0),
        revoked_at: column::<Option<At>>(row, 6)?.map(|at| at.0),
        last_used_at: column::<Option<At>>(row, 8)?.map(|at| at.0),
    })
}
