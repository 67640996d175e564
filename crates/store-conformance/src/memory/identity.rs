//! What the model's ledger is.

use async_trait::async_trait;
use balance_domain::{
    LedgerIdentity,
    ports::{IdentityRepo, LedgerRecord, RepoError},
};

use super::MemoryStore;

#[async_trait]
impl IdentityRepo for MemoryStore {
    async fn ledger(&self) -> Result<Option<LedgerRecord>, RepoError> {
        Ok(self.world().identity.map(|identity| LedgerRecord { identity, schema_version: 1 }))
    }

    async fn make_ledger(&self, identity: LedgerIdentity) -> Result<(), RepoError> {
        self.world().identity.get_or_insert(identity);
        Ok(())
    }
}
