//! Where a ledger keeps what it is.

use async_trait::async_trait;

use crate::{LedgerIdentity, ports::RepoError};

/// A ledger as its store knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LedgerRecord {
    /// What it is; the same for ever.
    pub identity: LedgerIdentity,
    /// The number of the last migration of its schema.
    pub schema_version: i64,
}

/// What the ledger is.
#[cfg_attr(feature = "mock", mockall::automock)]
#[async_trait]
pub trait IdentityRepo: Send + Sync + 'static {
    /// What is recorded; `None` for a store whose schema is there, and nothing else.
    async fn ledger(&self) -> Result<Option<LedgerRecord>, RepoError>;

    /// Records what a new ledger is. Where that is recorded already it stays as it is.
    async fn make_ledger(&self, identity: LedgerIdentity) -> Result<(), RepoError>;
}
