//! Proves the checker: ledgers in this process, each with one bug of a kind that real systems shipped, driven
//! by the same load as the service. Every bug must be caught; the same ledger without one must pass.
//!
//! No bug is a switch of the product: the ledger here is a small `BalanceRepo` of its own around
//! `balance_domain::decide_batch`.

mod bug;
mod clock;
mod ledger;
mod proof;
mod rows;

pub use bug::Bug;
pub use proof::{Proof, prove, prove_all};
