//! The ledger in PostgreSQL.
//!
//! A batch of commands costs two round trips and one flush, however many commands it holds. In the first trip a
//! transaction begins, the rows of all accounts named are locked in canonical order, and *later* statements, each with
//! a snapshot taken after the locks, read keys, reservations and services. The domain decides in memory. In the
//! second trip every changed row is written set-based and the transaction commits.
//!
//! Where this instance wrote all of the accounts a moment ago the first trip is left out: the domain decides on what is
//! remembered, and the second trip confirms that in its own statements (`execute::optimistic`, ADR 9). A read of balances
//! has what is remembered confirmed, too, and reads the rest.
//!
//! - [`PostgresStore`] implements all ports; [`PostgresOptions`] says where and how.
//! - `session`: connections, what they are set to, what is refused. `wire`: many statements, one `Sync`. `failure`:
//!   what an error means.
//! - `execute`: batches, retries, commits of unknown outcome. The other modules are one port or query each.

mod api_keys;
mod balances;
mod catalogue;
mod execute;
mod failure;
mod history;
mod migrate;
mod options;
mod records;
mod reports;
mod reservations;
mod rows;
mod scan;
mod session;
#[doc(hidden)]
pub mod statements;
mod store;
mod tls;
mod values;
mod wire;

#[doc(hidden)]
pub use execute::HELD;
pub use options::PostgresOptions;
pub use store::PostgresStore;
