//! Group commit in front of a real ledger: it must not be noticed.

#![expect(clippy::unwrap_used, reason = "a test stops at the first surprise")]

mod grouped;
mod money;
mod suite;
