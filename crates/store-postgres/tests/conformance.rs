//! The suite that every store of the ledger must pass, on a real PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

#[path = "store/database.rs"]
mod database;

use database::Database;

balance_store_conformance::conformance!(Database);
balance_store_conformance::random_histories!(Database, 40);
