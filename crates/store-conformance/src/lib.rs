//! The suite that every store of the ledger must pass, and the model it is compared with.
//!
//! A store crate implements [`Harness`] in a test file and names it in [`conformance!`]: every behaviour
//! becomes one named test. [`MemoryStore`] is the model; the differential and metamorphic runners compare a store
//! with it, and with itself, over random histories. `docs/writing-a-store.md` shows the whole way.
//!
//! A suite speaks through panics: a case that finds a difference panics with what it saw.

mod audited;
mod clock;
mod harness;
mod memory;
mod random;
pub mod small_disk;
mod snapshot;
mod suite;
pub mod teller;

#[doc(hidden)]
pub mod cases;

pub use audited::audit;
pub use clock::SetClock;
pub use harness::{Harness, Store};
pub use memory::MemoryStore;
pub use random::{Plan, Tally, differential, metamorphic};
pub use snapshot::{Pages, snapshot};
pub use teller::Teller;
