//! The domain's decider against the model: a store that is nothing but maps around `decide_batch` passes the
//! suite and answers thousands of random histories as the model does.

#![expect(
    clippy::unwrap_used,
    reason = "a store that only tests use; what it unwraps is a defect of the test"
)]

#[path = "decided/feed.rs"]
mod feed;
#[path = "decided/ledger.rs"]
mod ledger;
#[path = "decided/sabotage.rs"]
mod sabotage;
#[path = "decided/tables.rs"]
mod tables;

use std::sync::Arc;

use balance_domain::decide;
use balance_store_conformance::{Harness, SetClock, Store, conformance, random_histories};

use tables::DecidedStore;

struct Decided(DecidedStore);

#[async_trait::async_trait]
impl Harness for Decided {
    async fn fresh() -> Self {
        Self(DecidedStore::new(decide))
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.0.clone())
    }

    fn clock(&self) -> SetClock {
        self.0.clock.clone()
    }

    async fn reopen(self) -> Self {
        self
    }
}

conformance!(Decided);
random_histories!(Decided, 300);
