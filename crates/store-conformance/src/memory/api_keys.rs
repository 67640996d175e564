//! The API keys of the model.

use async_trait::async_trait;
use balance_domain::{
    Actor, ApiKey, ApiKeyId, Fact, Timestamp,
    ports::{ApiKeyRepo, ApiKeys, RepoError},
};

use super::MemoryStore;

#[async_trait]
impl ApiKeyRepo for MemoryStore {
    async fn add_api_key(&self, key: ApiKey, actor: Actor) -> Result<(), RepoError> {
        let mut world = self.world();
        if world.api_keys.iter().any(|kept| kept.id == key.id) {
            return Err(RepoError::Internal(format!("there is an API key {} already", key.id).into()));
        }
        world.note_fact(Fact::key_created(&key, actor));
        world.api_keys.push(key);
        Ok(())
    }

    async fn api_keys(&self) -> Result<ApiKeys, RepoError> {
        let mut keys = self.world().api_keys.clone();
        keys.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        let had_keys = !keys.is_empty();
        Ok(ApiKeys { keys, faults: Vec::new(), had_keys })
    }

    async fn revoke_api_key(
        &self,
        id: ApiKeyId,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Option<ApiKey>, RepoError> {
        let mut world = self.world();
        let Some(key) = world.api_keys.iter_mut().find(|key| key.id == id) else { return Ok(None) };
        if key.revoked_at.is_some() {
            return Ok(Some(key.clone()));
        }
        key.revoked_at = Some(now);
        let key = key.clone();
        world.note_fact(Fact::key_revoked(&key, actor, now));
        Ok(Some(key))
    }

    async fn note_api_key_uses(&self, uses: Vec<(ApiKeyId, Timestamp)>) -> Result<(), RepoError> {
        let mut world = self.world();
        for (id, at) in uses {
            if let Some(key) = world.api_keys.iter_mut().find(|key| key.id == id) {
                key.last_used_at = key.last_used_at.max(Some(at));
            }
        }
        Ok(())
    }
}
