//! What is particular to a ledger in a file: the file itself, and histories and batches of a size and kind that
//! take other ways through the statements.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod backup;
mod full_disk;
mod history;
mod kill;
mod ledger;
mod open;
mod privacy;
mod recent;
mod replaced;
mod teller;
