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
use crate::{
    error::{is_certain_at_commit, repo_error},
    recent::Recent,
};

/// The writing connection, on its thread.
pub(crate) struct Session {
    /// Dropped first: the writer's connection closes last.
    pub(super) checkpoints: Checkpoints,
    connection: Connection,
    recent: Arc<Recent>,
    /// What SQLite calls the version of the file: another one each time that a connection other than this one has committed.
    data_version: Option<i64>,
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
        recent: Arc<Recent>,
        broken: Broken,
    ) -> Result<Self, RepoError> {
        let checkpoints = Checkpoints::start(path, data, &mut connection, broken.clone())?;
        Ok(Self { checkpoints, connection, recent, data_version: None, broken })
    }

    /// One write transaction. An error, a panic or [`Verdict::Discard`] leaves no trace of it; any error but
    /// [`RepoError::Unknown`] means that nothing was executed.
    pub(crate) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<Verdict<T>, RepoError>,
    ) -> Result<T, RepoError> {
        self.broken.check()?;
        self.batch("BEGIN IMMEDIATE").map_err(repo_error)?;
        if let Err(error) = self.notice_others() {
            self.leave_transaction();
            return Err(repo_error(error));
        }
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

    /// Accounts as they were committed last: to be taken out before and put back after a commit that changes them.
    pub(crate) fn recent(&self) -> Arc<Recent> {
        Arc::clone(&self.recent)
    }

    /// Nobody else is to write; whoever does makes what is remembered wrong.
    fn notice_others(&mut self) -> rusqlite::Result<()> {
        let version: i64 =
            self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.data_version.replace(version).is_some_and(|before| before != version) {
            self.recent.forget_all();
        }
        Ok(())
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
    pub(super) fn connection(&mut self) -> &mut Connection {
        &mut self.connection
    }

    fn batch(&self, sql: &'static str) -> rusqlite::Result<()> {
        self.connection.prepare_cached(sql)?.execute([]).map(|_| ())
    }
}
