//! What a piece of work sees of the writer: transactions on its connection, and what their failures mean.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::Path,
    sync::Arc,
};

use balance_domain::ports::{Cause, RepoError};
use rusqlite::Connection;

use super::{Broken, checkpoint::Checkpoints};
use crate::error::{is_certain_at_commit, repo_error};

/// The writing connection, on its thread.
pub(crate) struct Session {
    /// Dropped first: the writer's connection closes last.
    pub(super) checkpoints: Checkpoints,
    connection: Connection,
    broken: Broken,
}

/// What is to become of a transaction whose work went well.
pub(crate) enum Verdict<T> {
    /// Commit, then answer.
    Commit(T),
    /// Nothing was to be written: answer without a commit.
    Discard(T),
}

impl Session {
    pub(super) fn start(
        path: &Path,
        data: Arc<File>,
        mut connection: Connection,
        broken: Broken,
    ) -> Result<Self, RepoError> {
        let checkpoints = Checkpoints::start(path, data, &mut connection, broken.clone())?;
        Ok(Self { checkpoints, connection, broken })
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
    fn leave_transaction(&mut self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.batch("ROLLBACK") {
            self.broken.set(error.into());
        }
    }

    /// Between transactions, after the answers: nobody waits for it but the next batch.
    pub(super) fn tidy(&mut self) {
        self.leave_transaction();
        self.checkpoints.advance(&self.connection);
    }

    #[cfg(test)]
    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    fn batch(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}
