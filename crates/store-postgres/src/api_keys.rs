//! API keys. Few rows, read rarely: callers keep them in memory.

use async_trait::async_trait;
use balance_domain::{
    ApiKey, ApiKeyId, Scope, SecretHash, Timestamp,
    ports::{ApiKeyRepo, RepoError},
};
use tokio_postgres::types::ToSql;

use crate::{PostgresStore, failure::Failure, rows::column, session::Session, values::At, wire::Row};

const ADD: &str = "\
INSERT INTO api_keys (id, name, scopes, secret_hash, created_at, expires_at, revoked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id";

const ALL: &str = "\
SELECT id, name, scopes, secret_hash, created_at, expires_at, revoked_at
FROM api_keys ORDER BY created_at, id";

const REVOKE: &str = "\
UPDATE api_keys SET revoked_at = coalesce(revoked_at, $2) WHERE id = $1
RETURNING id, name, scopes, secret_hash, created_at, expires_at, revoked_at";

#[async_trait]
impl ApiKeyRepo for PostgresStore {
    async fn add_api_key(&self, key: ApiKey) -> Result<(), RepoError> {
        let mut adding = self.begin("BEGIN").await?;
        let added = adding.work(|session| Box::pin(add(session, key))).await;
        adding.finish(added).await
    }

    async fn api_keys(&self) -> Result<Vec<ApiKey>, RepoError> {
        let rows = self.read(ALL, &[]).await?;
        rows.iter().map(api_key).collect::<Result<_, _>>().map_err(Failure::into_error)
    }

    async fn revoke_api_key(&self, id: ApiKeyId, now: Timestamp) -> Result<Option<ApiKey>, RepoError> {
        // Revoking twice keeps the first time, so this may be repeated like a read.
        let rows = self.read(REVOKE, &[&id.as_str(), &At(now)]).await?;
        rows.first().map(api_key).transpose().map_err(Failure::into_error)
    }
}

async fn add(session: &mut Session, key: ApiKey) -> Result<(), Failure> {
    let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.as_str()).collect();
    let values: [&(dyn ToSql + Sync); 7] = [
        &key.id.as_str(),
        &key.name,
        &scopes,
        &key.secret_hash.0.as_slice(),
        &At(key.created_at),
        &key.expires_at.map(At),
        &key.revoked_at.map(At),
    ];
    session.query(ADD, &values).await.map(drop)
}

fn api_key(row: &Row) -> Result<ApiKey, Failure> {
    let scopes: Vec<&str> = column(row, 2)?;
    let scopes = scopes.into_iter().map(str::parse).collect::<Result<Vec<Scope>, _>>();
    let hash: &[u8] = column(row, 3)?;
    Ok(ApiKey {
        id: ApiKeyId::new(column::<String>(row, 0)?).map_err(Failure::damaged)?,
        name: column(row, 1)?,
        scopes: scopes.map_err(Failure::damaged)?,
        secret_hash: SecretHash(hash.try_into().map_err(Failure::damaged)?),
        created_at: column::<At>(row, 4)?.0,
        expires_at: column::<Option<At>>(row, 5)?.map(|at| at.0),
        revoked_at: column::<Option<At>>(row, 6)?.map(|at| at.0),
    })
}
