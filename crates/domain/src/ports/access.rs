//! Where API keys are kept.

use async_trait::async_trait;

use crate::{Actor, ApiKey, ApiKeyId, Timestamp, ports::RepoError};

/// The API keys of an installation, as they were read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApiKeys {
    /// All keys ever made that this binary understands, revoked and expired ones included, by `created_at`, then id. A
    /// scope that it does not know, as a later version may have written it, grants nothing and is left out.
    pub keys: Vec<ApiKey>,
    /// What was left out and why, a line each, for the log: rows, or scopes of rows. Names ids, never secrets.
    pub faults: Vec<String>,
    /// Whether a key was ever made, even if none is left or none is understood.
    pub had_keys: bool,
}

/// The API keys of this installation.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait ApiKeyRepo: Send + Sync + 'static {
    /// Keeps a new key, which `actor` made.
    async fn add_api_key(&self, key: ApiKey, actor: Actor) -> Result<(), RepoError>;

    /// All keys ever made. What cannot be understood does not stop the others from being read.
    async fn api_keys(&self) -> Result<ApiKeys, RepoError>;

    /// Revokes a key for `actor` at `now`; a key that is revoked already keeps its time. `None` if there is no such
    /// key.
    async fn revoke_api_key(
        &self,
        id: ApiKeyId,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, RepoError>;

    /// Notes when keys were used last, unless something later is noted. Keys that are not known are passed over.
    async fn note_api_key_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), RepoError>;
}
