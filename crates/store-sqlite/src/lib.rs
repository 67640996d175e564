//! The ledger in one SQLite file: the embedded default, for one process on one machine.
//!
//! Everything that writes runs on one thread that owns the one writing connection, one transaction at a time;
//! answers are given after COMMIT. Reads run beside it on a few read-only connections. No rule about money is
//! here: a batch loads the rows that its commands name, lets [`decide_batch`](balance_domain::decide_batch)
//! decide, and writes the result. Balances of recently committed accounts come from a cache (`recent`, ADR 10).
//!
//! Durability is write-ahead log, `synchronous=FULL`, read back at open. After a failed sync nobody knows what is
//! on the disk, so the store refuses all further writes until the file is reopened, which writes and flushes
//! what it finds before anything is served (`recovery`). A full disk is no such failure: it refuses, and work goes
//! on when there is space.

mod api_keys;
mod beside;
mod catalogue;
mod connection;
mod early;
mod error;
mod events;
mod execute;
mod facts;
mod file;
mod history;
mod identity;
mod readers;
mod reads;
mod recent;
mod recovery;
mod reports;
mod rows;
mod scan;
mod schema;
mod store;
mod writer;

pub use beside::SqliteKeys;
pub use store::{SqliteOptions, SqliteStore};
