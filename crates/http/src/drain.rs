//! The time between the signal to stop and the stop itself, in which load balancers learn that no more calls should
//! come here.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether a server is about to stop. It then still accepts connections and answers every call, but is not ready, and
/// closes each connection after the answer, so that callers open their next one elsewhere. Clones are one.
#[derive(Clone, Debug, Default)]
pub struct Drain(Arc<AtomicBool>);

impl Drain {
    /// From here on the server is not ready. There is no way back.
    pub fn begin(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// Whether the server is about to stop.
    pub fn has_begun(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
