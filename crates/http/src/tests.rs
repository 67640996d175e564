//! The contract as its callers see it: requests in, answers out, over the model of the stores and over mocks
//! that fail on demand.

mod access;
mod amounts;
mod batches;
mod bodies;
mod contract;
mod dry_runs;
mod events;
mod failures;
mod frame;
mod ids;
mod keys;
mod money;
mod paging;
mod reports;
mod sockets;
pub(crate) mod world;
