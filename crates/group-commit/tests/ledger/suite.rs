//! The whole suite of the stores, through group commit.

use std::sync::Arc;

use async_trait::async_trait;
use balance_store_conformance::{Harness, MemoryStore, SetClock, Store, conformance};

use crate::grouped::Grouped;

struct Through(Arc<Grouped>);

#[async_trait]
impl Harness for Through {
    async fn fresh() -> Self {
        Self(Arc::new(Grouped::new(MemoryStore::new())))
    }

    fn store(&self) -> Arc<dyn Store> {
        self.0.clone()
    }

    fn clock(&self) -> SetClock {
        self.0.clock()
    }

    async fn reopen(self) -> Self {
        Self(Arc::new(Grouped::new(self.0.drain().await)))
    }
}

conformance!(Through);
