//! Whether the file may be written: what every part of the writer asks, and where it reports what went wrong.

use std::{
    io,
    path::Path,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

use balance_domain::ports::{Cause, RepoError};

use crate::file::LedgerFile;

/// The file of the store, and its state.
pub(crate) struct Health {
    file: LedgerFile,
    /// Set once, when a failure left the state of the disk unknown, or the file was removed: from then on nothing
    /// is written until the file is reopened.
    broken: OnceLock<Cause>,
    /// The last transaction was refused, by a full disk for instance. The next one is tried all the same.
    is_refused: AtomicBool,
}

impl Health {
    pub(super) fn of(file: LedgerFile) -> Self {
        Self { file, broken: OnceLock::new(), is_refused: AtomicBool::new(false) }
    }

    /// Refuses once the disk is in doubt, and from the moment that the file is no longer the one that was opened.
    pub(super) fn check(&self) -> Result<(), RepoError> {
        if self.broken.get().is_none()
            && let Err(cause) = self.file.check()
        {
            self.set_broken(cause);
        }
        self.check_known()
    }

    /// [`check`](Self::check) without a look at the file.
    pub(super) fn check_known(&self) -> Result<(), RepoError> {
        match self.broken.get() {
            None => Ok(()),
            Some(cause) => Err(RepoError::Unavailable(
                format!("writes are refused until the file is reopened: {cause}").into(),
            )),
        }
    }

    pub(super) fn set_broken(&self, cause: Cause) {
        tracing::error!(%cause, "no more writes until the file is reopened");
        let _ = self.broken.set(cause);
    }

    /// Whether the last transaction could be written as far as the disk is concerned.
    pub(super) fn note<T>(&self, outcome: &Result<T, RepoError>) {
        let is_refused = matches!(outcome, Err(RepoError::Unavailable(_)));
        self.is_refused.store(is_refused, Ordering::Relaxed);
    }

    pub(super) fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    /// See [`LedgerFile::reserve_index`].
    pub(super) fn reserve_index(&self, log_pages: u32) -> Result<(), RepoError> {
        self.file.reserve_index(log_pages)
    }

    pub(super) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Flushes the database itself, without its log.
    pub(super) fn flush(&self) -> io::Result<()> {
        self.file.flush()
    }
}
