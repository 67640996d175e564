//! Keys that are made, listed and revoked over HTTP, and what is written down about their use.

use std::sync::Arc;

use balance_domain::{
    Actor, ApiKey, ApiKeyId, Fact, NewApiKey,
    ports::{ApiKeys, RepoError},
};

use super::{Access, uses::Known};
use crate::problem::{Code, Problem};

impl Access {
    /// Writes down when keys were used, and takes the refusals since the last call, as facts.
    pub async fn settle(&self) -> Result<Vec<Fact>, RepoError> {
        let uses: Vec<_> = self.with_known(Known::unwritten_use);
        if !uses.is_empty() {
            self.repo.note_api_key_uses(uses).await?;
        }
        Ok(self.state.refusals.take(self.clock.now()))
    }

    /// The seconds until each key that expires does, negative once it has; revoked ones have none left.
    pub fn lifetimes(&self) -> Vec<(ApiKeyId, Option<f64>)> {
        let now = self.clock.now();
        self.with_known(|Known { key, .. }| {
            let expires_at = key.expires_at?;
            #[expect(clippy::cast_precision_loss, reason = "for a graph")]
            let seconds = (expires_at.micros() - now.micros()) as f64 / 1e6;
            Some((key.id, key.revoked_at.is_none().then_some(seconds)))
        })
    }

    fn with_known<T>(&self, wanted: impl Fn(&Known) -> Option<T>) -> Vec<T> {
        let Some(snapshot) = self.current() else { return Vec::new() };
        snapshot.keys.values().map(Arc::as_ref).filter_map(wanted).collect()
    }

    /// Makes a key and the token to send.
    pub(crate) async fn create(&self, new: NewApiKey, actor: Actor) -> Result<(ApiKey, String), Problem> {
        let mut random = [0; NewApiKey::RANDOM_BYTES];
        getrandom::fill(&mut random).map_err(|_| Problem::new(Code::Internal))?;
        let (key, token) = new.mint(random, self.clock.now());
        self.repo.add_api_key(key.clone(), actor).await?;
        self.notice_change().await;
        Ok((key, token))
    }

    /// Every key ever made, as it is stored.
    pub(crate) async fn all(&self) -> Result<ApiKeys, RepoError> {
        self.repo.api_keys().await
    }

    /// Revokes a key; `None` if there is none.
    pub(crate) async fn revoke(&self, id: ApiKeyId, actor: Actor) -> Result<Option<ApiKey>, RepoError> {
        let revoked = self.repo.revoke_api_key(id, actor, self.clock.now()).await?;
        self.notice_change().await;
        Ok(revoked)
    }

    /// The change is made; if it cannot be read now, the next refresh sees it.
    async fn notice_change(&self) {
        if let Err(error) = self.refresh().await {
            tracing::warn!(%error, "a change of the API keys is noticed later");
        }
    }
}
