//! The one place that says what a failure of SQLite means to a caller: by code, never by message.

use balance_domain::ports::RepoError;
use rusqlite::{
    Error, ErrorCode,
    ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC, SQLITE_IOERR_WRITE},
};

/// A failure of a statement other than COMMIT: its transaction is rolled back, so nothing was executed.
pub(crate) fn repo_error(error: Error) -> RepoError {
    match error.sqlite_error_code() {
        Some(
            ErrorCode::DatabaseBusy
            | ErrorCode::DatabaseLocked
            | ErrorCode::DiskFull
            | ErrorCode::SystemIoFailure
            | ErrorCode::CannotOpen
            | ErrorCode::ReadOnly
            | ErrorCode::PermissionDenied
            | ErrorCode::FileLockingProtocolFailed
            | ErrorCode::OutOfMemory,
        ) => RepoError::Unavailable(error.into()),
        _ => RepoError::Internal(error.into()),
    }
}

/// Whether a failed COMMIT certainly left nothing in the log, whether SQLite has rolled it back itself or not: it
/// was refused before its last page was written. That page carries the mark of the commit, so a write that failed,
/// for lack of space or of a quota or on a disk that became read-only, was not whole. What fails behind it is in
/// doubt: the flush, and the index of the log.
pub(crate) fn is_certain_at_commit(error: &Error) -> bool {
    let is_refused = matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::ConstraintViolation
        )
    );
    is_refused || extended_code(error) == Some(SQLITE_IOERR_WRITE)
}

/// Whether a sync failed. The kernel may then have dropped the pages and report success next time, so a
/// repeat proves nothing.
pub(crate) fn is_failed_sync(error: &Error) -> bool {
    matches!(extended_code(error), Some(SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC))
}

fn extended_code(error: &Error) -> Option<i32> {
    error.sqlite_error().map(|error| error.extended_code)
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn failure(code: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn failures_are_distinguished_by_code() {
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_BUSY_SNAPSHOT, ffi::SQLITE_FULL, ffi::SQLITE_IOERR_READ] {
            assert!(matches!(repo_error(failure(code)), RepoError::Unavailable(_)), "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_CONSTRAINT_CHECK] {
            assert!(matches!(repo_error(failure(code)), RepoError::Internal(_)), "{code}");
        }
        assert!(matches!(repo_error(Error::QueryReturnedNoRows), RepoError::Internal(_)));
    }

    #[test]
    fn a_commit_that_failed_behind_its_last_write_is_not_certain() {
        for code in [ffi::SQLITE_FULL, ffi::SQLITE_IOERR_WRITE, ffi::SQLITE_CONSTRAINT_FOREIGNKEY] {
            assert!(is_certain_at_commit(&failure(code)), "{code}");
        }
        for code in [ffi::SQLITE_IOERR_FSYNC, ffi::SQLITE_IOERR_SHMSIZE, ffi::SQLITE_NOMEM] {
            assert!(!is_certain_at_commit(&failure(code)), "{code}");
        }
        assert!(is_failed_sync(&failure(ffi::SQLITE_IOERR_FSYNC)));
        assert!(!is_failed_sync(&failure(ffi::SQLITE_IOERR_READ)));
    }
}
