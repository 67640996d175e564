//! The suite that every store of the ledger must pass, on a file of its own each.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::Arc;

use balance_store_conformance::{Harness, SetClock, Store};
use balance_store_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

struct SqliteHarness {
    store: SqliteStore,
    folder: TempDir,
    clock: SetClock,
}

impl SqliteHarness {
    fn open(folder: TempDir, clock: SetClock) -> Self {
        let (path, options) = (folder.path().join("balance.db"), SqliteOptions::default());
        let store = SqliteStore::open(&path, options, Arc::new(clock.clone())).unwrap();
        Self { store, folder, clock }
    }
}

#[async_trait::async_trait]
impl Harness for SqliteHarness {
    async fn fresh() -> Self {
        Self::open(tempfile::tempdir().unwrap(), SetClock::default())
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    fn clock(&self) -> SetClock {
        self.clock.clone()
    }

    async fn reopen(self) -> Self {
        drop(self.store);
        Self::open(self.folder, self.clock)
    }
}

balance_store_conformance::conformance!(SqliteHarness);
