//! The one place that says what a failure of SQLite means to a caller: by code, never by message.

use balance_domain::ports::RepoError;
use rusqlite::{
    Error, ErrorCode,
    ffi::{SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSYNC},
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

/// Whether a failed COMMIT, whose transaction is still open, certainly left nothing in the log: it was refused
/// before its last page was written.
pub(crate) fn is_certain_at_commit(error: &Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DiskFull
                | ErrorCode::ConstraintViolation
        )
    )
}

/// Whether a sync failed. The kernel may then have dropped the pages and report success next time, so a
/// repeat proves nothing.
pub(crate) fn is_failed_sync(error: &Error) -> bool {
    let code = error.sqlite_error().map(|error| error.extended_code);
    matches!(code, Some(SQLITE_IOERR_FSYNC | SQLITE_IOERR_DIR_FSYNC))
}

#[cfg(test)]
mod tests {
    use rusqlite::ffi;

    use super::*;

    fn failure(code: i32) -> Error {
        Error::SqliteFailure(ffi::Error::new(code), None)
    }

    #[test]
    fn failures_are_told_apart_by_code() {
        for code in [ffi::SQLITE_BUSY, ffi::SQLITE_BUSY_SNAPSHOT, ffi::SQLITE_FULL, ffi::SQLITE_IOERR_READ] {
            assert!(matches!(repo_error(failure(code)), RepoError::Unavailable(_)), "{code}");
        }
        for code in [ffi::SQLITE_CORRUPT, ffi::SQLITE_NOTADB, ffi::SQLITE_CONSTRAINT_CHECK] {
            assert!(matches!(repo_error(failure(code)), RepoError::Internal(_)), "{code}");
        }
        assert!(matches!(repo_error(Error::QueryReturnedNoRows), RepoError::Internal(_)));
    }

    #[test]
    fn a_commit_that_failed_to_sync_is_not_certain() {
        assert!(is_certain_at_commit(&failure(ffi::SQLITE_FULL)));
        assert!(!is_certain_at_commit(&failure(ffi::SQLITE_IOERR_FSYNC)));
        assert!(!is_certain_at_commit(&failure(ffi::SQLITE_IOERR_WRITE)));
        assert!(is_failed_sync(&failure(ffi::SQLITE_IOERR_FSYNC)));
        assert!(!is_failed_sync(&failure(ffi::SQLITE_IOERR_READ)));
    }
}
