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
    pub(super) async fn next(&mut self) -> Asker {
        tokio::select! {
            _ = self.term.recv() => Asker::Orchestrator,
            _ = self.int.recv() => Asker::Person,
        }
    }
}

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Asker {
    /// SIGTERM: others are to be given time to notice.
    Orchestrator,
    /// SIGINT: somebody waits at a terminal.
    Person,
}
