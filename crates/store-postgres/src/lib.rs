//! The ledger in PostgreSQL.
//!
//! One script does everything that changes money: read a snapshot, or what this instance has cached; have the domain
//! decide; write if everything is unchanged, in one statement, which is a transaction of its own. [`execute`] has the
//! table of its round trips and locks (ADR 4).
//!
//! - [`PostgresStore`] implements all ports; [`PostgresOptions`] says where and how.
//! - `connection`: how connections are made, what they are set to, what is refused. `store`: the pools. `error`:
//!   what an error means.
//! - `execute`: batches, retries, commits of unknown outcome. `cache`: accounts as they were written last. The other
//!   modules are one port or query each, named as in `store-sqlite`.

mod api_keys;
mod cache;
mod catalogue;
mod connection;
mod contention;
mod error;
mod events;
mod execute;
mod facts;
mod history;
mod identity;
mod options;
#[cfg(test)]
mod plans;
mod reads;
mod records;
mod reports;
mod rows;
mod scan;
mod schema;
mod statements;
mod store;
mod tls;
mod values;

pub use error::is_permanent;
pub use options::PostgresOptions;
pub use store::PostgresStore;
