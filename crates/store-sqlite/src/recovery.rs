//! What a process that was killed left in the log, made durable before anything is served.
//!
//! What it wrote and did not flush can be read like everything else, out of the system's cache; and after a flush that
//! failed the system may take pages for written that are not on the disk. An answer that rests on them, a balance or a
//! replay, promises what a power loss takes back.

use std::{
    fs::{self, File},
    io,
    os::unix::fs::FileExt,
    path::Path,
    time::Duration,
};

use balance_domain::ports::RepoError;
use rusqlite::Connection;

use crate::{
    connection::BUSY_WAIT,
    error::{is_failed_sync, repo_error},
    file::{LedgerFile, beside, unavailable},
};

/// How long to wait for another program that reads the file: a backup may take minutes.
const READER_WAIT: Duration = Duration::from_millis(250);

/// How much of the log is written again at a time.
const BLOCK_BYTES: usize = 1 << 20;

/// Copies the log back into the database and flushes both. Where that cannot be done now, because a backup reads
/// the file or the disk is full, the log is written again where it is.
pub(crate) fn settle(connection: &Connection, file: &LedgerFile) -> Result<(), RepoError> {
    let log = beside(file.path(), "-wal");
    if fs::metadata(&log).map_or(0, |log| log.len()) > 0 {
        match copy_back(connection) {
            // The cut as well: should pages in the middle of the log be missing on the disk, its beginning must not
            // come back over what was copied.
            Ok(true) => flush(&log, File::open(&log).and_then(|log| log.sync_all()))?,
            Err(error) if is_failed_sync(&error) => return Err(repo_error(error)),
            Ok(false) => {
                tracing::info!("another program reads the file: its log stays for now");
                write_again(connection, &log)?;
            }
            Err(error) => {
                tracing::warn!(%error, "the log could not be copied back: it stays for now");
                write_again(connection, &log)?;
            }
        }
    }
    flush(file.path(), file.flush())
}

fn flush(path: &Path, outcome: io::Result<()>) -> Result<(), RepoError> {
    outcome.map_err(|error| unavailable(format!("cannot flush {}", path.display()), error))
}

/// Whether all of the log could be copied, and cut off.
fn copy_back(connection: &Connection) -> rusqlite::Result<bool> {
    connection.busy_timeout(READER_WAIT)?;
    let is_busy =
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get::<_, bool>("busy"));
    connection.busy_timeout(BUSY_WAIT)?;
    Ok(!is_busy?)
}

/// Writes the log once more, byte for byte, and flushes it. Readers of it see no difference; writers are kept out.
fn write_again(connection: &Connection, log: &Path) -> Result<(), RepoError> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(repo_error)?;
    let written = flush(log, rewrite(log));
    connection.execute_batch("ROLLBACK").map_err(repo_error)?;
    written
}

fn rewrite(path: &Path) -> io::Result<()> {
    let file = File::options().read(true).write(true).open(path)?;
    let mut block = vec![0; BLOCK_BYTES];
    let mut offset = 0;
    loop {
        let length = file.read_at(&mut block, offset)?;
        if length == 0 {
            return file.sync_all();
        }
        file.write_all_at(&block[..length], offset)?;
        offset += length as u64;
    }
}
