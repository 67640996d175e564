//! The file on disk: whose it is, what others may read of it, and whether it is still the one that was opened.
//!
//! SQLite finds the log and its index by the name of the database, and trusts that nobody takes them away. So one inode
//! belongs to one process, under one name, and the names are compared with what was opened, again and again.

use std::{
    collections::BTreeSet,
    ffi::OsString,
    fs::{self, DirBuilder, File, Metadata, OpenOptions, Permissions, TryLockError},
    io::{self, ErrorKind},
    os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use balance_domain::ports::{Cause, RepoError};

/// Files of a ledger are for the user that the service runs as, and nobody else.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// What SQLite keeps beside a database: the log, and the index of the log.
const COMPANIONS: [&str; 2] = ["-wal", "-shm"];

/// The index of the log grows by 32 KiB for every 4,096 pages.
const INDEX_STEP_BYTES: u64 = 32 * 1024;
const INDEX_STEP_PAGES: u64 = 4096;
const BLOCK_BYTES: u64 = 4096;

/// Pages, beyond those in the log, that its index always has room for on the disk: more than a batch writes. SQLite
/// extends the index after it has flushed a commit; were there no space for that, it would refuse a commit that a
/// crash brings back.
const INDEX_AHEAD_PAGES: u64 = 32_768;

/// The files that this process has open.
static OPEN: Mutex<BTreeSet<Identity>> = Mutex::new(BTreeSet::new());

/// The store's file, locked for this process until this is dropped or the process ends, however it ends.
///
/// To be dropped after the last connection: closing any descriptor of a file takes away the locks that SQLite has on it
/// in this process.
pub(crate) struct LedgerFile {
    path: PathBuf,
    data: File,
    index: Option<File>,
    /// The database and its companions as they were opened; empty before [`watch`](Self::watch).
    watched: Vec<(PathBuf, Identity)>,
    /// The longest that the database has been: it never shrinks.
    bytes: AtomicU64,
    /// How much of the index is on the disk for certain.
    index_bytes: AtomicU64,
    _lock: Option<File>,
    _claim: Claim,
}

impl LedgerFile {
    /// Makes the file and its folder if they are missing and takes the lock, or says what failed and why.
    pub(crate) fn take(path: &Path) -> Result<Self, RepoError> {
        create_folder(folder_of(path))?;
        let (data, claim) = Claim::open(path)?;
        let lock = lock(path, &data)?;
        let found = data.metadata().map_err(|error| unreachable(path, error))?;
        if !found.is_file() {
            return Err(refused(path, "is not a file"));
        }
        if found.nlink() > 1 {
            return Err(refused(
                path,
                "has more than one name (hard links), and each would have a log of its own",
            ));
        }
        let path = path.canonicalize().map_err(|error| unreachable(path, error))?;
        make_private(&path)?;
        for suffix in COMPANIONS {
            make_private(&beside(&path, suffix))?;
        }
        let (bytes, index_bytes) = (AtomicU64::new(0), AtomicU64::new(0));
        let watched = Vec::new();
        Ok(Self { path, data, index: None, watched, bytes, index_bytes, _lock: lock, _claim: claim })
    }

    /// Begins to watch the names, once SQLite has opened the file and made its companions.
    pub(crate) fn watch(&mut self) -> Result<(), RepoError> {
        let index = beside(&self.path, "-shm");
        let file = File::options().read(true).write(true).open(&index);
        self.index = Some(file.map_err(|error| unreachable(&index, error))?);
        let opened = self.data.metadata().map_err(|error| unreachable(&self.path, error))?;
        let mut watched = vec![(self.path.clone(), Identity::of(&opened))];
        for path in COMPANIONS.map(|suffix| beside(&self.path, suffix)) {
            let found = fs::symlink_metadata(&path).map_err(|error| unreachable(&path, error))?;
            watched.push((path, Identity::of(&found)));
        }
        self.watched = watched;
        self.check().map_err(RepoError::Unavailable)
    }

    /// Whether every name still leads to what was opened, and nobody has cut the database short.
    pub(crate) fn check(&self) -> Result<(), Cause> {
        let refused =
            |path: &Path, why| Err(format!("{} was {why} while it was in use", path.display()).into());
        for (path, opened) in &self.watched {
            let found = fs::symlink_metadata(path).ok().filter(|found| Identity::of(found) == *opened);
            let Some(found) = found else {
                return refused(path, "removed or replaced");
            };
            if *path == self.path && self.bytes.fetch_max(found.len(), Ordering::Relaxed) > found.len() {
                return refused(path, "overwritten");
            }
        }
        Ok(())
    }

    /// Makes sure that the index has room on the disk for whatever the next transaction appends to the log; refuses
    /// where the disk is full.
    pub(crate) fn reserve_index(&self, log_pages: u32) -> Result<(), RepoError> {
        let steps = (u64::from(log_pages) + INDEX_AHEAD_PAGES) / INDEX_STEP_PAGES + 1;
        let (wanted, reserved) = (steps * INDEX_STEP_BYTES, self.index_bytes.load(Ordering::Relaxed));
        if let Some(index) = self.index.as_ref().filter(|_| reserved < wanted) {
            reserve(index, wanted).map_err(|error| unavailable("the log cannot grow".to_owned(), error))?;
            self.index_bytes.store(wanted, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Where the file is, free of symbolic links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Flushes the database itself, without its log.
    pub(crate) fn flush(&self) -> io::Result<()> {
        self.data.sync_data()
    }
}

/// Which file it is, whatever its name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    fn of(found: &Metadata) -> Self {
        Self { device: found.dev(), inode: found.ino() }
    }
}

/// This process has the file open. A second descriptor must not even be tried: closing it would release the locks of
/// the first store.
struct Claim(Identity);

impl Claim {
    fn open(path: &Path) -> Result<(File, Self), RepoError> {
        let mut open = open_files();
        if fs::metadata(path).is_ok_and(|found| open.contains(&Identity::of(&found))) {
            return Err(in_use(path));
        }
        let data = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(FILE_MODE)
            .open(path)
            .map_err(|error| unavailable(format!("cannot open {} to write", path.display()), error))?;
        let identity = Identity::of(&data.metadata().map_err(|error| unreachable(path, error))?);
        open.insert(identity);
        Ok((data, Self(identity)))
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        open_files().remove(&self.0);
    }
}

fn open_files() -> MutexGuard<'static, BTreeSet<Identity>> {
    OPEN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Locks the database itself, so that every name of it means one lock. Linux keeps `flock` apart from the byte ranges
/// that SQLite locks.
#[cfg(target_os = "linux")]
fn lock(path: &Path, data: &File) -> Result<Option<File>, RepoError> {
    locked(path, data.try_lock()).map(|()| None)
}

/// Locks a file beside the database: elsewhere `flock` collides with the byte ranges that SQLite locks.
#[cfg(not(target_os = "linux"))]
fn lock(path: &Path, _data: &File) -> Result<Option<File>, RepoError> {
    let path = beside(&path.canonicalize().map_err(|error| unreachable(path, error))?, ".lock");
    let lock = File::options().create(true).truncate(false).write(true).mode(FILE_MODE).open(&path);
    let lock = lock.map_err(|error| unreachable(&path, error))?;
    locked(&path, lock.try_lock()).map(|()| Some(lock))
}

/// Whether another process has the file, by its lock. Only for a process that has no connection to the file.
pub(crate) fn is_in_use(path: &Path) -> bool {
    File::open(path).is_ok_and(|data| lock(path, &data).is_err())
}

fn locked(path: &Path, outcome: Result<(), TryLockError>) -> Result<(), RepoError> {
    match outcome {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(in_use(path)),
        Err(TryLockError::Error(error)) => Err(unavailable(format!("cannot lock {}", path.display()), error)),
    }
}

/// Makes the file so long, as SQLite itself would: by a byte in every block that is not there yet.
fn reserve(file: &File, bytes: u64) -> io::Result<()> {
    for block in file.metadata()?.len() / BLOCK_BYTES..bytes / BLOCK_BYTES {
        file.write_all_at(&[0], (block + 1) * BLOCK_BYTES - 1)?;
    }
    Ok(())
}

/// Removes the permissions of others that a restore by `cp`, or an older release, left. Not through a link: the log
/// and its index have no reason to be one.
fn make_private(path: &Path) -> Result<(), RepoError> {
    let found = match fs::symlink_metadata(path) {
        Ok(found) => found,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(unreachable(path, error)),
    };
    if !found.is_file() {
        return Err(refused(path, "is not a file"));
    }
    if found.mode() & 0o7777 == FILE_MODE {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(FILE_MODE))
        .map_err(|error| unavailable(format!("cannot make {} private", path.display()), error))
}

/// Makes a file that did not exist, readable for nobody else.
pub(crate) fn create_private(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(FILE_MODE))?;
    Ok(file)
}

/// The path with a suffix after its file name.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// Makes the entries of a folder durable: a new file is there after a power loss only if its folder was synced.
pub(crate) fn sync_folder(folder: &Path) -> Result<(), RepoError> {
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| unavailable(format!("cannot sync the folder {}", folder.display()), error))
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn create_folder(folder: &Path) -> Result<(), RepoError> {
    if folder.is_dir() {
        return Ok(());
    }
    DirBuilder::new()
        .recursive(true)
        .mode(FOLDER_MODE)
        .create(folder)
        .map_err(|error| unavailable(format!("cannot create the folder {}", folder.display()), error))?;
    sync_folder(folder_of(folder))
}

fn in_use(path: &Path) -> RepoError {
    refused(path, "is in use by another process: only one may open it")
}

fn refused(path: &Path, why: &str) -> RepoError {
    RepoError::Unavailable(format!("{} {why}", path.display()).into())
}

fn unreachable(path: &Path, error: io::Error) -> RepoError {
    unavailable(format!("cannot reach {}", path.display()), error)
}

pub(crate) fn unavailable(what: String, error: io::Error) -> RepoError {
    RepoError::Unavailable(FileError { what, error }.into())
}

/// A failure of the file system, and what it was in the way of.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct FileError {
    what: String,
    #[source]
    error: io::Error,
}
