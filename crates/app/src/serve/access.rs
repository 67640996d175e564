//! The API keys that are in force: those of the store and the one of the configuration. Sees to it that a service
//! that others can reach is never open to everyone.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use async_trait::async_trait;
use balance_domain::{
    Actor, ApiKey, ApiKeyId, Timestamp,
    ports::{ApiKeyRepo, ApiKeys, RepoError},
};

use crate::keys::AdminKey;

/// Why a service that others can reach refuses every request.
pub(super) const WIDE_OPEN: &str = "no API key exists, and other machines can reach this service: make a key with \
    `balance keys create --name NAME --scope admin`, or set admin_key (BALANCE_ADMIN_KEY)";

/// Reads the keys of the store and adds that of the configuration.
pub(super) struct Keys {
    inner: Arc<dyn ApiKeyRepo>,
    admin: Option<AdminKey>,
    is_exposed: bool,
    is_wide_open: AtomicBool,
}

impl Keys {
    /// `is_exposed`: others than this machine can reach the service, themselves or through a proxy.
    pub(super) fn new(inner: Arc<dyn ApiKeyRepo>, admin: Option<AdminKey>, is_exposed: bool) -> Self {
        Self { inner, admin, is_exposed, is_wide_open: AtomicBool::new(false) }
    }

    /// Whether, by the last look, the whole network would have access.
    pub(super) fn is_wide_open(&self) -> bool {
        self.is_wide_open.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl ApiKeyRepo for Keys {
    async fn add_api_key(&self, key: ApiKey, actor: Actor) -> Result<(), RepoError> {
        self.inner.add_api_key(key, actor).await
    }

    /// An error keeps [`balance_http::Access`] closed, or as it was.
    async fn api_keys(&self) -> Result<ApiKeys, RepoError> {
        let mut read = self.inner.api_keys().await?;
        read.keys.extend(self.admin.as_ref().map(AdminKey::to_api_key));
        read.had_keys |= self.admin.is_some();
        let is_wide_open = self.is_exposed && !read.had_keys;
        self.is_wide_open.store(is_wide_open, Ordering::Relaxed);
        if is_wide_open { Err(RepoError::Unavailable(WIDE_OPEN.into())) } else { Ok(read) }
    }

    async fn revoke_api_key(
        &self,
        id: ApiKeyId,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, RepoError> {
        self.inner.revoke_api_key(id, actor, now).await
    }

    async fn note_api_key_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), RepoError> {
        self.inner.note_api_key_uses(uses).await
    }
}
