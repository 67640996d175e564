//! The connections that read, beside the writer. A read sees every commit that was answered before it began.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use balance_domain::ports::RepoError;
use rusqlite::{Connection, TransactionBehavior};
use tokio::{sync::Semaphore, task};

use crate::{connection::open_reader, error::repo_error};

/// A fixed number of read-only connections, lent out for one read each.
#[derive(Clone)]
pub(crate) struct Readers {
    idle: Arc<Idle>,
    /// As many permits as connections: who holds one finds an idle connection.
    permits: Arc<Semaphore>,
}

#[derive(Default)]
struct Idle(Mutex<Vec<Connection>>);

impl Readers {
    pub(crate) fn open(path: &Path, count: usize) -> Result<Self, RepoError> {
        let count = count.max(1);
        let connections = (0..count).map(|_| open_reader(path)).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { idle: Arc::new(Idle(Mutex::new(connections))), permits: Arc::new(Semaphore::new(count)) })
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

    /// Runs work that makes its own transactions on a thread that may block.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Connection) -> Result<T, RepoError> + Send + 'static,
    ) -> Result<T, RepoError> {
        let closed = |_| RepoError::Unavailable("the store is closed".into());
        let permit = Arc::clone(&self.permits).acquire_owned().await.map_err(closed)?;
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
