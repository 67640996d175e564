//! Opening connections: every setting is made here, each with its reason, and those that keep money safe are
//! read back.

use std::{path::Path, time::Duration};

use balance_domain::ports::RepoError;
use rusqlite::{Connection, OpenFlags};

use crate::error::repo_error;

/// How long to wait for the lock of another process, an administrator's shell for instance. We do not compete.
pub(crate) const BUSY_WAIT: Duration = Duration::from_secs(5);

/// Distinct statements per connection; every filter of history is one.
const STATEMENTS_CACHED: usize = 128;

/// What must be in force, by pragma, as SQLite prints it: a commit is on the disk before it is answered, and
/// references hold.
const REQUIRED: [(&str, &str); 3] = [("journal_mode", "wal"), ("synchronous", "2"), ("foreign_keys", "1")];

/// Opens the connection that writes, and makes the file if there is none.
pub(crate) fn open_writer(path: &Path) -> Result<Connection, RepoError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags).map_err(repo_error)?;
    configure_writer(&connection).map_err(repo_error)?;
    require(&connection)?;
    Ok(connection)
}

/// Opens a connection that can only read.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, RepoError> {
    let flags =
        OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_EXRESCODE;
    let connection = Connection::open_with_flags(path, flags).map_err(repo_error)?;
    configure_reader(&connection).map_err(repo_error)?;
    Ok(connection)
}

fn configure_writer(connection: &Connection) -> rusqlite::Result<()> {
    configure(connection)?;
    set(connection, "journal_mode", "WAL")?;
    // NORMAL would answer before the log is on the disk: a power loss would take back what was promised.
    set(connection, "synchronous", "FULL")?;
    // On Apple systems a plain sync stops at the drive's cache. No effect elsewhere.
    set(connection, "fullfsync", "ON")?;
    set(connection, "foreign_keys", "ON")?;
    // 32 MiB: holds the dirty pages of a large batch and the upper levels of every B-tree. Not more: after a page
    // split, the end of the transaction walks the whole cache (docs/lab/2026-11-26-sqlite-writer.md).
    set(connection, "cache_size", "-32768")?;
    // Check-points are ours (see writer/checkpoint.rs): SQLite's own ignore a failed sync.
    set(connection, "wal_autocheckpoint", "0")?;
    // The log shrinks back to 256 MiB after a long read. Not to the length of a round: the disk would have to
    // allocate the rest again in every round.
    set(connection, "journal_size_limit", "268435456")?;
    // Erased comments are overwritten with zeros in the pages that are written anyway.
    set(connection, "secure_delete", "FAST")
}

fn configure_reader(connection: &Connection) -> rusqlite::Result<()> {
    configure(connection)?;
    // 2 MiB: every commit beside it empties a reader's cache; the system's page cache serves them all.
    set(connection, "cache_size", "-2048")
}

fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(BUSY_WAIT)?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS_CACHED);
    // A sort never leaves a file with users' data in the system's temporary folder.
    set(connection, "temp_store", "MEMORY")?;
    // A read error on a mapped page kills the process instead of failing one read.
    set(connection, "mmap_size", "0")?;
    // Functions and tables with side effects do not run from a schema that was tampered with.
    set(connection, "trusted_schema", "OFF")?;
    // A page with cells outside of its bounds is reported as damage when it is read.
    set(connection, "cell_size_check", "ON")
}

fn set(connection: &Connection, pragma: &str, value: &str) -> rusqlite::Result<()> {
    connection.execute_batch(&format!("PRAGMA {pragma} = {value}"))
}

/// Refuses a connection on which a required setting did not take.
fn require(connection: &Connection) -> Result<(), RepoError> {
    for (pragma, wanted) in REQUIRED {
        let found = read_back(connection, pragma).map_err(repo_error)?;
        if found != wanted {
            return Err(RepoError::Unavailable(
                format!("SQLite runs with {pragma}={found}, but money needs {pragma}={wanted}").into(),
            ));
        }
    }
    Ok(())
}

fn read_back(connection: &Connection, pragma: &str) -> rusqlite::Result<String> {
    connection.query_row(&format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}"), [], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_keep_money_safe_are_in_force() {
        let folder = tempfile::tempdir().unwrap();
        let connection = open_writer(&folder.path().join("balance.db")).unwrap();
        for (pragma, wanted) in REQUIRED {
            assert_eq!(read_back(&connection, pragma).unwrap(), wanted, "{pragma}");
        }
    }

    #[test]
    fn a_setting_that_did_not_take_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for (pragma, weak) in [("journal_mode", "DELETE"), ("synchronous", "NORMAL"), ("foreign_keys", "OFF")]
        {
            let connection = open_writer(&folder.path().join("balance.db")).unwrap();
            set(&connection, pragma, weak).unwrap();
            let refused = require(&connection).unwrap_err();
            assert!(refused.to_string().contains(pragma), "{refused}");
        }
    }

    #[test]
    fn readers_cannot_write() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("balance.db");
        let writer = open_writer(&path).unwrap();
        writer.execute_batch("CREATE TABLE t (a) STRICT").unwrap_err();
        writer.execute_batch("CREATE TABLE t (a INTEGER) STRICT").unwrap();
        let reader = open_reader(&path).unwrap();
        let refused = reader.execute_batch("INSERT INTO t VALUES (1)").unwrap_err();
        assert_eq!(refused.sqlite_error_code(), Some(rusqlite::ErrorCode::ReadOnly));
    }
}
