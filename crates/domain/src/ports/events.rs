//! The feed of a store.

use async_trait::async_trait;

use crate::{EventPage, EventPosition, EventQuery, Fact, ports::RepoError};

/// Why there is no page of the feed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum FeedError {
    /// The place lies behind everything that there is: what its owner saw was taken back, by a restore or a fail-over.
    #[error("the place lies behind the end of the feed")]
    Ahead,
    /// The store cannot prove an order of what happens in it.
    #[error("this store has no order of events: {0}")]
    NoOrder(&'static str),
    /// We failed.
    #[error(transparent)]
    Failed(#[from] RepoError),
}

/// The feed: all operations and facts in one order.
///
/// # Contract
///
/// - What was answered before a call began is in the feed of that call or before its place: nothing that is written
///   later ever comes before a place that was given out. Complete, for ever.
/// - Each account's operations come in the order of `seq`; a transfer's `transfer_in` and `transfer_out` are neighbours
///   of their own accounts only.
/// - A fact comes behind the operations of its account that precede it, and before those that follow.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait EventRepo: Send + Sync + 'static {
    /// What follows a place.
    async fn events(&self, query: EventQuery) -> Result<EventPage, FeedError>;

    /// The place behind everything that can be shown now.
    async fn events_head(&self) -> Result<EventPosition, FeedError>;

    /// Writes facts that stand for themselves, beside no other change.
    async fn add_facts(&self, facts: Vec<Fact>) -> Result<(), RepoError>;
}
