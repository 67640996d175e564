//! The connections that read, beside the writer. A read sees every commit that was answered before it began.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use balance_domain::{
    Moment,
    ports::{Clock, Connections, RepoError},
};
use rusqlite::{Connection, TransactionBehavior};
use tokio::{sync::Semaphore, task};

use crate::{connection::open_reader, error::repo_error};

/// A fixed number of read-only connections, lent out for one read each.
pub(crate) struct Readers {
    idle: Arc<Idle>,
    /// As many permits as connections: who holds one finds an idle connection.
    permits: Arc<Semaphore>,
    count: usize,
    /// Each read that waits for a permit has a clone of this, also one that is given up.
    waiting: Arc<()>,
}

#[derive(Default)]
struct Idle(Mutex<Vec<Connection>>);

impl Readers {
    pub(crate) fn open(path: &Path, count: usize) -> Result<Self, RepoError> {
        let count = count.max(1);
        let connections = (0..count).map(|_| open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        let idle = Arc::new(Idle(Mutex::new(connections)));
        Ok(Self { idle, permits: Arc::new(Semaphore::new(count)), waiting: Arc::default(), count })
    }

    /// How many there are, and who waits for one.
    pub(crate) fn connections(&self) -> Connections {
        let idle = self.permits.available_permits();
        let waiting = Arc::strong_count(&self.waiting) - 1;
        Connections { max: self.count, in_use: self.count - idle, idle, waiting }
    }

    /// Runs the read on a thread that may block, within one transaction: it sees one moment.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RepoError> {
        self.run(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Deferred).map_err(repo_error)?;
            read(&transaction).map_err(repo_error)
        })
        .await
    }

    /// The same, for what depends on the time, which is read with the snapshot.
    pub(crate) async fn read_at<T: Send + 'static>(
        &self,
        clock: Arc<dyn Clock>,
        read: impl FnOnce(&Connection, Moment) -> rusqlite::Result<T> + Send + 'static,
    ) -> Result<T, RepoError> {
        self.run(move |connection| {
            let transaction =
                connection.transaction_with_behavior(TransactionBehavior::Deferred).map_err(repo_error)?;
            read(&transaction, clock.moment()?).map_err(repo_error)
        })
        .await
    }

    /// Runs work that makes its own transactions on a thread that may block.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, RepoError> + Send + 'static,
    ) -> Result<T, RepoError> {
        let closed = |_| RepoError::Unavailable("the store is closed".into());
        let waiting = Arc::clone(&self.waiting);
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
        drop(waiting);
        let idle = Arc::clone(&self.idle);
        task::spawn_blocking(move || {
            let mut connection = idle.take()?;
            let outcome = catch_unwind(AssertUnwindSafe(|| work(&mut connection)));
            // The connection first, then the permit.
            idle.give_back(connection);
            drop(permit);
            outcome.unwrap_or_else(|_| Err(RepoError::Internal("a read panicked".into())))
        })
        .await
        .unwrap_or_else(|error| Err(RepoError::Internal(error.into())))
    }

    /// Closes the idle connections, so that the writer is the last to close and tidies up the log.
    pub(crate) fn close(&self) {
        self.permits.close();
        self.idle.connections().clear();
    }
}

impl Idle {
    fn take(&self) -> Result<Connection, RepoError> {
        let closed = || RepoError::Unavailable("the store is closed".into());
        self.connections().pop().ok_or_else(closed)
    }

    fn give_back(&self, connection: Connection) {
        self.connections().push(connection);
    }

    fn connections(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connection::open_writer;

    #[tokio::test]
    async fn who_has_a_connection_and_who_waits_is_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("balance.db");
        let _writer = open_writer(&path).unwrap();
        let readers = Arc::new(Readers::open(&path, 2).unwrap());
        let figures = |in_use, waiting| Connections { max: 2, in_use, idle: 2 - in_use, waiting };
        assert_eq!(readers.connections(), figures(0, 0));
        let (end, is_over) = std::sync::mpsc::channel::<()>();
        let is_over = Arc::new(Mutex::new(is_over));
        let reads: Vec<_> = (0..3)
            .map(|_| {
                let (readers, is_over) = (Arc::clone(&readers), Arc::clone(&is_over));
                let wait = move |_: &mut Connection| {
                    // Ends when the other side is dropped.
                    let _ = is_over.lock().unwrap().recv();
                    Ok(())
                };
                tokio::spawn(async move { readers.run(wait).await })
            })
            .collect();
        while readers.connections() != figures(2, 1) {
            tokio::task::yield_now().await;
        }
        drop(end);
        for read in reads {
            read.await.unwrap().unwrap();
        }
        assert_eq!(readers.connections(), figures(0, 0));
    }

    #[tokio::test]
    async fn a_read_that_panics_gives_its_connection_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("balance.db");
        let _writer = open_writer(&path).unwrap();
        let readers = Readers::open(&path, 1).unwrap();
        for _ in 0..3 {
            let panicked: Result<(), _> = readers.read(|_| panic!("on purpose")).await;
            assert!(matches!(panicked, Err(RepoError::Internal(_))));
        }
        let one: i64 = readers.read(|c| c.query_row("SELECT 1", [], |row| row.get(0))).await.unwrap();
        assert_eq!(one, 1);
    }
}
