//! The cases: one function per behaviour, one file per theme. A case panics where the store is wrong.

pub mod api_keys;
pub mod batches;
pub mod books;
pub mod captures;
pub mod closing;
pub mod concurrency;
pub mod dry_runs;
pub mod events;
pub mod expiry;
pub mod history;
pub mod idempotency;
pub mod identity;
pub mod instances;
pub mod money;
pub mod rejections;
pub mod reopening;
pub mod reports;
pub mod reservations;
pub mod services;
pub mod texts;
pub mod transfers;
