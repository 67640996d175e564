//! What is particular to a ledger in a file: the file itself, and histories and batches of a size and kind that
//! take other ways through the statements.

mod backup;
mod history;
mod kill;
mod ledger;
mod open;
mod teller;
