//! Where API keys are kept.

use async_trait::async_trait;

use crate::{ApiKey, ApiKeyId, Timestamp, ports::RepoError};

/// The API keys of this installation.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ApiKeyRepo: Send + Sync + 'static {
    /// Keeps a new key.
    async fn add_api_key(&self, key: ApiKey) -> Result<(), RepoError>;

    /// All keys ever made, revoked and expired ones included, by `created_at`, then id.
    async fn api_keys(&self) -> Result<Vec<ApiKey>, RepoError>;

    /// Revokes a key at `now`; a key that is revoked already keeps its time. `None` if there is no such key.
    async fn revoke_api_key(&self, id: ApiKeyId, now: Timestamp) -> Result<Option<ApiKey>, RepoError>;
}
