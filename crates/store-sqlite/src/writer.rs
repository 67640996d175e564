//! The one thread that writes. It owns the writing connection and takes one piece of work after the other, each
//! one transaction; an answer leaves it only after COMMIT.

mod checkpoint;
mod session;

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, OnceLock},
    thread::JoinHandle,
};

use balance_domain::ports::{Cause, RepoError};
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::{file::LockedFile, recent::Recent};
pub(crate) use session::{Session, Verdict};

/// Work that waits for the thread; a caller past it waits for a place. Each piece may be a whole batch.
const QUEUE_MAX: usize = 64;

type Work = Box<dyn FnOnce(&mut Session) + Send>;

/// The callers' side of the thread.
pub(crate) struct Writer {
    queue: Option<mpsc::Sender<Work>>,
    thread: Option<JoinHandle<()>>,
    broken: Broken,
}

/// Set once, when a failure left the disk in doubt: from then on nothing is written until the file is opened
/// anew, which recovers what is really there.
#[derive(Clone, Default)]
pub(crate) struct Broken(Arc<OnceLock<Cause>>);

impl Writer {
    /// Starts the thread. The lock on the file is released after the connection is closed.
    pub(crate) fn start(
        connection: Connection,
        file: LockedFile,
        recent: Arc<Recent>,
    ) -> Result<Self, RepoError> {
        let broken = Broken::default();
        let data = File::open(file.path()).map_err(|error| RepoError::Unavailable(error.into()))?;
        let data = Arc::new(data);
        let session = Session::start(file.path(), Arc::clone(&data), connection, recent, broken.clone())?;
        let (queue, work) = mpsc::channel(QUEUE_MAX);
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                serve(session, work);
                // After the last connection: see `Checkpoints::start`.
                drop(data);
                drop(file);
            })
            .map_err(|error| RepoError::Unavailable(error.into()))?;
        Ok(Self { queue: Some(queue), thread: Some(thread), broken })
    }

    /// Runs the work on the thread. Once it was queued it runs, whether or not the caller still waits.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Session) -> Result<T, RepoError> + Send + 'static,
    ) -> Result<T, RepoError> {
        let stopped = || RepoError::Unavailable("the writer has stopped".into());
        let (reply, answer) = oneshot::channel();
        let work: Work = Box::new(move |session| {
            // A caller who is gone needs no answer; the work is done all the same.
            let _ = reply.send(work(session));
        });
        self.queue.as_ref().ok_or_else(stopped)?.send(work).await.map_err(|_| stopped())?;
        answer.await.unwrap_or_else(|_| Err(RepoError::Unknown("the writer panicked in this work".into())))
    }

    /// Whether writes are refused since a failure left the disk in doubt.
    pub(crate) fn check(&self) -> Result<(), RepoError> {
        self.broken.check()
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

impl Broken {
    fn check(&self) -> Result<(), RepoError> {
        match self.0.get() {
            None => Ok(()),
            Some(cause) => Err(RepoError::Unavailable(
                format!("writes are refused until the file is opened anew: {cause}").into(),
            )),
        }
    }

    fn set(&self, cause: Cause) {
        tracing::error!(%cause, "the disk is in doubt: no more writes until the file is opened anew");
        let _ = self.0.set(cause);
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
