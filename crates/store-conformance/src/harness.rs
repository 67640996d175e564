//! What the suite needs of a store: the ports themselves, and a way to begin empty and to come back later.

use std::sync::Arc;

use async_trait::async_trait;
use balance_domain::ports::{ApiKeyRepo, BalanceRepo, EventRepo, IdentityRepo, ReportRepo, ServiceRepo};

use crate::SetClock;

/// Everything that one store crate implements.
pub trait Store: BalanceRepo + ServiceRepo + ReportRepo + ApiKeyRepo + EventRepo + IdentityRepo {}

impl<S: BalanceRepo + ServiceRepo + ReportRepo + ApiKeyRepo + EventRepo + IdentityRepo> Store for S {}

/// Gives the suite stores to work on. A store crate implements it in its test file; dropping the harness
/// cleans up after it.
#[async_trait]
pub trait Harness: Sized + Send + Sync + 'static {
    /// A store of its own with nothing in it, its schema in place.
    async fn fresh() -> Self;

    /// The store that is open now.
    fn store(&self) -> Arc<dyn Store>;

    /// The clock of that store and of all its instances.
    fn clock(&self) -> SetClock;

    /// Closes the store as a process that ends does (connections, files, threads), then opens the same data
    /// again.
    async fn reopen(self) -> Self;

    /// `count` handles on the same data, as several processes of the service hold them. A store that allows
    /// one process alone keeps this default: clones of the one handle.
    async fn instances(&self, count: usize) -> Vec<Arc<dyn Store>> {
        vec![self.store(); count]
    }
}
