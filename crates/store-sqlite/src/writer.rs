//! The one thread that writes. It owns the writing connection and takes one piece of work after the other, each
//! one transaction; an answer leaves it only after COMMIT.

mod checkpoint;
mod health;
mod session;

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    thread::JoinHandle,
};

use balance_domain::ports::{Clock, RepoError};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{file::LedgerFile, recent::Recent};
use health::Health;
pub(crate) use session::{Session, Verdict};

/// Work that waits for the thread; a caller past it waits for a place. Each piece may be a whole batch.
const QUEUE_MAX: usize = 64;

type Work = Box<dyn FnOnce(&mut Session) + Send>;

/// The callers' side of the thread.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
    /// With the lock on the file, which is released after the thread has closed its connections.
    health: Arc<Health>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        connection: Connection,
        file: LedgerFile,
        recent: Arc<Recent>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, RepoError> {
        let health = Arc::new(Health::of(file));
        let session = Session::start(connection, (recent, clock), Arc::clone(&health))?;
        let (queue, work) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || serve(session, work))
            .map_err(|error| RepoError::Unavailable(error.into()))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), health })
    }

    /// Runs the work on the thread. Once it was queued it runs, whether or not the caller still waits.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, RepoError> + Send + 'static,
    ) -> Result<T, RepoError> {
        let stopped = || RepoError::Unavailable("the writer has stopped".into());
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |session| {
            // A caller that is gone needs no answer; the work is done.
            let _ = reply.send(work(session));
        });
        self.queue.as_ref().ok_or_else(stopped)?.send(work).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(RepoError::Unknown("the writer panicked in this work".into())))
    }

    /// Whether the file can be written. Costs a commit only while the last transaction was refused, so that
    /// recovery is noticed without a caller.
    pub(crate) async fn ready(&self) -> Result<(), RepoError> {
        self.health.check()?;
        if self.health.is_refused() {
            self.run(Session::write_nothing).await?;
        }
        Ok(())
    }
}

/// Waits until the work that is queued is done and the file is closed.
impl Drop for Writer {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(thread) = self.thread.take() {
            // Panics of the work were caught; there is nothing to learn from the thread's end.
            let _ = thread.join();
        }
    }
}

/// Until every sender is gone. A panic fails the one piece of work; its caller hears of it by the reply that is
/// dropped.
fn serve(mut session: Session, mut work: mpsc::Receiver<Work>) {
    while let Some(work) = work.blocking_recv() {
        if catch_unwind(AssertUnwindSafe(|| work(&mut session))).is_err() {
            tracing::error!("a piece of work of the writer panicked; it was rolled back");
        }
        session.tidy();
    }
}

#[cfg(test)]
mod tests;
