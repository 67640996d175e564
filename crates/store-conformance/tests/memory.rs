//! The model passes the suite; against itself the random histories only prove that the runner is sound.

use std::sync::Arc;

use balance_store_conformance::{Harness, MemoryStore, SetClock, Store, conformance, random_histories};

struct Memory(MemoryStore);

#[async_trait::async_trait]
impl Harness for Memory {
    async fn fresh() -> Self {
        Self(MemoryStore::new())
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    fn clock(&self) -> SetClock {
        self.0.clock()
    }

    async fn reopen(self) -> Self {
        self
    }
}

conformance!(Memory);
random_histories!(Memory, 30);
