//! The suite that every store of the ledger must pass, on a file of its own each.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use std::sync::Arc;

use balance_store_conformance::{Harness, Store};
use balance_store_sqlite::{SqliteOptions, SqliteStore};
use tempfile::TempDir;

struct SqliteHarness {
    store: SqliteStore,
    folder: TempDir,
}

impl SqliteHarness {
    fn open(folder: TempDir) -> Self {
        let store = SqliteStore::open(&folder.path().join("balance.db"), SqliteOptions::default()).unwrap();
        Self { store, folder }
    }
}

#[async_trait::async_trait]
impl Harness for SqliteHarness {
    async fn fresh() -> Self {
        Self::open(tempfile::tempdir().unwrap())
    }

    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn reopen(self) -> Self {
        drop(self.store);
        Self::open(self.folder)
    }
}

balance_store_conformance::conformance!(SqliteHarness);
