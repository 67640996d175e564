//! What a piece of work sees of the writer: transactions on its connection, and what their failures mean.

use std::{
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::Arc,
    time::{Duration, Instant},
};

use balance_domain::ports::{Cause, Clock, RepoError};
use rusqlite::Connection;

use super::{Health, checkpoint::Checkpoints};
use crate::{
    error::{is_certain_at_commit, repo_error},
    recent::Recent,
};

/// How long transactions go on between two looks whether the file is still where it was. Looking at three names
/// takes as long as a tenth of a small transaction.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The writing connection, on its thread.
pub(crate) struct Session {
    /// Dropped first: the writer's connection closes last.
    pub(super) checkpoints: Checkpoints,
    connection: Connection,
    recent: Arc<Recent>,
    clock: Arc<dyn Clock>,
    /// SQLite's version of the file: it changes each time that another connection has committed.
    data_version: Option<i64>,
    looked_at: Instant,
    /// Dropped last, after the connections.
    health: Arc<Health>,
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
        mut connection: Connection,
        (recent, clock): (Arc<Recent>, Arc<dyn Clock>),
        health: Arc<Health>,
    ) -> Result<Self, RepoError> {
        let checkpoints = Checkpoints::start(&mut connection, Arc::clone(&health))?;
        Ok(Self {
            checkpoints,
            connection,
            recent,
            clock,
            data_version: None,
            looked_at: Instant::now(),
            health,
        })
    }

    /// One write transaction. An error, a panic or [`Verdict::Discard`] leaves no trace of it; any error but
    /// [`RepoError::Unknown`] means that nothing was executed.
    pub(crate) fn transaction<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<Verdict<T>, RepoError>,
    ) -> Result<T, RepoError> {
        self.check_file()?;
        let outcome = self.attempt(work);
        self.health.note(&outcome);
        outcome
    }

    /// Commits something without meaning, to see whether the disk takes it.
    pub(super) fn write_nothing(&mut self) -> Result<(), RepoError> {
        self.transaction(|connection| {
            let version: i64 =
                connection.pragma_query_value(None, "user_version", |row| row.get(0)).map_err(repo_error)?;
            connection.pragma_update(None, "user_version", version).map_err(repo_error)?;
            Ok(Verdict::Commit(()))
        })
    }

    fn attempt<T>(
        &mut self,
        work: impl FnOnce(&Connection) -> Result<Verdict<T>, RepoError>,
    ) -> Result<T, RepoError> {
        self.batch("BEGIN IMMEDIATE").map_err(repo_error)?;
        if let Err(error) = self.prepare() {
            self.leave_transaction();
            return Err(error);
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

    /// To be read inside the transaction: nothing is recorded between that moment and the commit.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    fn check_file(&mut self) -> Result<(), RepoError> {
        if self.looked_at.elapsed() < LOOK_EVERY {
            return self.health.check_known();
        }
        self.looked_at = Instant::now();
        self.health.check()
    }

    /// What has to be so before anything is read or written.
    fn prepare(&mut self) -> Result<(), RepoError> {
        self.notice_others().map_err(repo_error)?;
        self.health.reserve_index(self.checkpoints.log_pages())
    }

    /// No other process should write; a foreign write makes the cache stale.
    fn notice_others(&mut self) -> rusqlite::Result<()> {
        let version: i64 =
            self.connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0))?;
        if self.data_version.replace(version).is_some_and(|before| before != version) {
            self.recent.forget_all();
        }
        Ok(())
    }

    /// A failed COMMIT may have reached the log, and would come back when the file is opened
    /// after a crash. Only a refusal before the last page was written is certain.
    fn commit(&mut self) -> Result<(), RepoError> {
        let Err(error) = self.batch("COMMIT") else { return Ok(()) };
        self.leave_transaction();
        if is_certain_at_commit(&error) {
            return Err(repo_error(error));
        }
        let cause = Cause::from(error);
        self.health.set_broken(cause.clone());
        Err(RepoError::Unknown(cause))
    }

    /// Rolls back what is still open. Some errors of SQLite have done so already.
    fn leave_transaction(&mut self) {
        if self.connection.is_autocommit() {
            return;
        }
        if let Err(error) = self.batch("ROLLBACK") {
            self.health.set_broken(error.into());
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
