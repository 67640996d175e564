//! Where webhooks are kept.

use async_trait::async_trait;

use crate::{
    Actor, Attempt, Delivery, Event, Fact, Timestamp, Webhook, WebhookChange, WebhookId, ports::RepoError,
};

/// Who delivers: one instance at a time holds the lease of a webhook.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The instance: a random number.
    pub holder: i64,
    /// Until when no other instance takes it.
    pub until: Timestamp,
}

/// The webhooks of this installation.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait WebhookRepo: Send + Sync + 'static {
    /// Keeps a new webhook.
    async fn add_webhook(&self, webhook: Webhook, actor: Actor) -> Result<(), RepoError>;

    /// All of them, by `created_at`, then id.
    async fn webhooks(&self) -> Result<Vec<Webhook>, RepoError>;

    /// Changes one at `now` ([`Webhook::changed`]) and ends its lease; `None` if there is none.
    async fn change_webhook(
        &self,
        id: WebhookId,
        change: WebhookChange,
        actor: Actor,
        now: Timestamp,
    ) -> Result<Option<Webhook>, RepoError>;

    /// Removes one with its attempts; `false` if there is none.
    async fn delete_webhook(&self, id: WebhookId, actor: Actor, now: Timestamp) -> Result<bool, RepoError>;

    /// Takes the lease of a webhook that nobody else holds at `now`, and shows the webhook; `None` if another one does, or
    /// there is none.
    async fn lease_webhook(
        &self,
        id: WebhookId,
        lease: Lease,
        now: Timestamp,
    ) -> Result<Option<Webhook>, RepoError>;

    /// Writes where a webhook stands and the attempt that led there, keeping the last [`Attempt::KEPT`], unless it was
    /// changed since that version, or somebody else took the lease: then `false`, and nothing is written. `fact` is written
    /// with it.
    async fn save_delivery(
        &self,
        id: WebhookId,
        version: i64,
        holder: i64,
        delivery: Delivery,
        attempt: Option<Attempt>,
        fact: Option<Fact>,
    ) -> Result<bool, RepoError>;

    /// The last attempts, the latest first; `None` if there is no such webhook.
    async fn webhook_attempts(&self, id: WebhookId) -> Result<Option<Vec<Attempt>>, RepoError>;
}

/// Writes events as consumers get them: history, feed and webhooks show one shape.
pub trait EventWriter: Send + Sync + 'static {
    /// The events as the feed shows them, in their order: one JSON document.
    fn write(&self, events: &[Event]) -> Vec<u8>;
}
