//! The signals that ask a service to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGTERM (orchestrators) and SIGINT (people).
pub(super) struct Signals {
    term: Signal,
    int: Signal,
}

impl Signals {
    /// From here on neither ends the process by itself.
    pub(super) fn listen() -> std::io::Result<Self> {
        Ok(Self { term: signal(SignalKind::terminate())?, int: signal(SignalKind::interrupt())? })
    }

    /// Waits for the next of either.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.term.recv() => {}
            _ = self.int.recv() => {}
        }
    }
}
