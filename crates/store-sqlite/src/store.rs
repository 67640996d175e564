//! [`SqliteStore`]: opening, migrating and copying the file.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use balance_domain::ports::{Clock, RepoError};
use rusqlite::Connection;

use crate::{
    connection::{open_reader, open_writer},
    error::repo_error,
    file::{LedgerFile, beside, create_private, folder_of, sync_folder, unavailable},
    readers::Readers,
    recent::Recent,
    recovery, schema,
    writer::Writer,
};

/// How to open the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Bring the schema up to date first. Otherwise a schema that is not up to date is refused.
    pub migrate: bool,
    /// Connections that read at the same time, at least 1. Each costs up to about 2 MiB.
    pub readers: usize,
    /// About how many accounts are cached; 0 switches the cache off. About 120 bytes each, and 90 per active
    /// reservation.
    pub recent_accounts_max: usize,
}

impl Default for SqliteOptions {
    fn default() -> Self {
        Self { migrate: true, readers: 4, recent_accounts_max: 200_000 }
    }
}

/// A ledger in one file. Clones share it; it is closed when the last of them is dropped.
#[derive(Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

struct Inner {
    clock: Arc<dyn Clock>,
    recent: Arc<Recent>,
    readers: Readers,
    writer: Writer,
}

/// The writer closes last (fields are dropped after this), so that it can copy the log back and remove it.
impl Drop for Inner {
    fn drop(&mut self) {
        self.readers.close();
    }
}

impl SqliteStore {
    /// Opens the file, and makes it and its folder if they are missing. What depends on the time is decided by `clock`.
    ///
    /// [`RepoError::Unavailable`] if another process has it open, if it cannot be made, or if its schema is not
    /// the one this binary knows.
    pub fn open(path: &Path, options: SqliteOptions, clock: Arc<dyn Clock>) -> Result<Self, RepoError> {
        let SqliteOptions { migrate, readers, recent_accounts_max } = options;
        let (file, mut connection) = open_file(path)?;
        if migrate {
            schema::migrate(&mut connection)?;
        }
        schema::check(&connection)?;
        let readers = Readers::open(file.path(), readers)?;
        let recent = Arc::new(Recent::new(recent_accounts_max));
        let writer = Writer::start(connection, file, Arc::clone(&recent), Arc::clone(&clock))?;
        Ok(Self { inner: Arc::new(Inner { clock, recent, readers, writer }) })
    }

    /// Brings the schema of a file that no process has open up to date, making the file if it is missing.
    pub fn migrate(path: &Path) -> Result<(), RepoError> {
        let (_file, mut connection) = open_file(path)?;
        schema::migrate(&mut connection)
    }

    /// Writes a consistent copy of the ledger. The file may be in use, also by another process: this only reads,
    /// takes no lock and migrates nothing. `to` must not exist yet, and does not exist before the copy is whole and
    /// on the disk. The copy opens like any other file.
    ///
    /// [`RepoError::Unavailable`] if there is no ledger at `from`, or the copy cannot be written.
    pub fn backup(from: &Path, to: &Path) -> Result<(), RepoError> {
        // SQLite's own words for this do not say which file. Opening it here would not do: closing it again takes
        // the locks away that SQLite has on it in this process.
        fs::metadata(from).map_err(|error| unavailable(format!("cannot read {}", from.display()), error))?;
        let connection = open_reader(from)?;
        if !schema::is_recorded(&connection)? {
            return Err(RepoError::Unavailable(format!("{} holds no ledger", from.display()).into()));
        }
        copy_to(&connection, to)
    }

    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.inner.clock
    }

    pub(crate) fn recent(&self) -> &Recent {
        &self.inner.recent
    }

    pub(crate) fn readers(&self) -> &Readers {
        &self.inner.readers
    }

    pub(crate) fn writer(&self) -> &Writer {
        &self.inner.writer
    }
}

/// Takes the file for this process, and makes durable what is found in it. The connection must close before the file.
pub(crate) fn open_file(path: &Path) -> Result<(LedgerFile, Connection), RepoError> {
    let mut file = LedgerFile::take(path)?;
    let connection = open_writer(file.path())?;
    recovery::settle(&connection, &file)?;
    file.watch()?;
    Ok((file, connection))
}

fn copy_to(connection: &Connection, to: &Path) -> Result<(), RepoError> {
    if to.exists() {
        return Err(RepoError::Unavailable(format!("{} exists already", to.display()).into()));
    }
    let draft = Draft(beside(to, ".part"));
    let in_the_way = |error| unavailable(format!("cannot write the copy {}", to.display()), error);
    draft.remove().map_err(in_the_way)?;
    let text = draft.0.to_str().ok_or_else(|| RepoError::Unavailable("the path is not UTF-8".into()))?;
    // SQLite would make it readable for others. It writes into an empty file as if there were none.
    let copy = create_private(&draft.0).map_err(in_the_way)?;
    // One read transaction, and pages in order without gaps: smaller than the original.
    connection.execute("VACUUM INTO ?1", [text]).map_err(repo_error)?;
    copy.sync_all().map_err(in_the_way)?;
    // Not `rename`: it would replace a file that appeared meanwhile.
    fs::hard_link(&draft.0, to).map_err(in_the_way)?;
    draft.remove().map_err(in_the_way)?;
    sync_folder(folder_of(to))
}

/// A copy in the making; a failure leaves nothing behind.
struct Draft(PathBuf);

impl Draft {
    fn remove(&self) -> std::io::Result<()> {
        match fs::remove_file(&self.0) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }
}

impl Drop for Draft {
    fn drop(&mut self) {
        let _ = self.remove();
    }
}
