//! The rules of the ledger, through the public API alone: what a store may rely on, whatever it is made of.

#![expect(clippy::unwrap_used, reason = "the words that tests are written in belong to the tests")]

mod audit;
mod batches;
mod deadlines;
mod fingerprints;
mod keys;
mod ledger;
mod months;
mod movements;
mod play;
mod properties;
mod rejections;
mod reports;
mod script;
mod scripts;
mod store;
mod times;
mod world;
