//! What a piece of work sees of the writer: transactions on its connection, and what their failures mean.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
};

use balance_domain::ports::{Cause, RepoError};
use rusqlite::Connection;

use super::Broken;
use crate::error::{is_certain_at_commit, is_failed_sync, repo_error};

/// Pages in the log at which it is copied back into the file: 64 MiB. Large enough that a page which many
/// commits touch is copied once, small enough that readers search the log quickly.
const LOG_PAGES_MAX: u32 = 16_384;

/// The writing connection, on its thread.
pub(crate) struct Session {
    connection: Connection,
    /// Pages in the log after the last commit.
    log_pages: Arc<AtomicU32>,
    /// [`LOG_PAGES_MAX`], less in tests.
    pub(super) log_pages_max: u32,
    broken: Broken,
}

/// What is to become of a transaction whose work went well.
pub(crate) enum Verdict<T> {
    /// Commit, then answer.
    Commit(T),
    /// Nothing was to be written: answer without a commit.
    Discard(T),
}

/// Has the connection count the pages of its log, commit by commit.
pub(super) fn count_log_pages(connection: &mut Connection) -> rusqlite::Result<Arc<AtomicU32>> {
    let pages = Arc::new(AtomicU32::new(0));
    let counter = Arc::clone(&pages);
    connection.wal_hook(Some(move |_: &mut rusqlite::hooks::Wal, pages: i32| {
        counter.store(pages.unsigned_abs(), Ordering::Relaxed);
        Ok(())
    }))?;
    Ok(pages)
}

impl Session {
    pub(super) fn new(connection: Connection, log_pages: Arc<AtomicU32>, broken: Broken) -> Self {
        Self { connection, log_pages, log_pages_max: LOG_PAGES_MAX, broken }
    }

    /// One write transaction. An error, a panic or [`Verdict::Discard`] leaves no trace of it; any error but
    /// [`RepoError::Unknown`] means that nothing was executed.
    pub(crate) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<Verdict<T>, RepoError>,
    ) -> Result<T, RepoError> {
        self.broken.check()?;
        self.batch("BEGIN IMMEDIATE").map_err(repo_error)?;
        match catch_unwind(AssertUnwindSafe(|| work(&self.connection))) {
            Ok(Ok(Verdict::Commit(answer))) => self.commit().map(|()| answer),
            Ok(Ok(Verdict::Discard(answer))) => {
                self.leave_transaction();
                Ok(answer)
            }
            Ok(Err(error)) => {
                self.leave_transaction();
                Err(error)
            }
            Err(panic) => {
                self.leave_transaction();
                resume_unwind(panic)
            }
        }
    }

    /// A COMMIT that fails may have reached the log all the same, and would come back when the file is opened
    /// after a crash. Only a refusal before the last page was written is certain.
    fn commit(&mut self) -> Result<(), RepoError> {
        let Err(error) = self.batch("COMMIT") else { return Ok(()) };
        if !self.connection.is_autocommit() && is_certain_at_commit(&error) {
            self.leave_transaction();
            return Err(repo_error(error));
        }
        let cause = Cause::from(error);
        self.broken.set(cause.clone());
        self.leave_transaction();
        Err(RepoError::Unknown(cause))
    }

    /// Rolls back what is still open. Some errors of SQLite have done so already.
    pub(super) fn leave_transaction(&mut self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.batch("ROLLBACK") {
            self.broken.set(error.into());
        }
    }

    /// Copies the log back into the file once it is long. After the answers, so that nobody waits for it but
    /// the next batch.
    pub(super) fn checkpoint_if_due(&mut self) {
        if self.log_pages.load(Ordering::Relaxed) < self.log_pages_max || self.broken.check().is_err() {
            return;
        }
        match self.connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
            Ok(()) => self.log_pages.store(0, Ordering::Relaxed),
            Err(error) if is_failed_sync(&error) => self.broken.set(error.into()),
            Err(error) => tracing::warn!(%error, "the log could not be copied back; trying again later"),
        }
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn batch(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}
