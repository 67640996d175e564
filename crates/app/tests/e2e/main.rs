//! The real binary, over HTTP, on every store: what a company that runs it would see.
//!
//! Each test of [`on_every_store!`] runs on an embedded SQLite file and on a real PostgreSQL of its own database.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "what a test has counted is printed on request")]

mod access;
mod access_matrix;
mod backups;
mod clock;
mod concurrency;
mod configuration;
mod defects;
mod deployment;
mod disk;
mod feed;
mod harness;
mod input;
mod key_holders;
mod keys;
mod kills;
mod ledger;
mod life;
mod logs;
mod metrics;
mod mistakes;
mod outage;
mod raw_http;
mod secrets;
mod stopping;
mod strangers;
mod supervision;
