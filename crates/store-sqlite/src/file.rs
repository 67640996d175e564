//! The file on disk: its folder, and the lock that keeps a second process out.

use std::{
    ffi::OsString,
    fs::{self, File, OpenOptions, TryLockError},
    path::{Path, PathBuf},
};

use balance_domain::ports::RepoError;

/// The store's file, locked for this process until this is dropped or the process ends, however it ends.
pub(crate) struct LockedFile {
    path: PathBuf,
    _lock: File,
}

impl LockedFile {
    /// Makes the folder if it is missing and takes the lock, or says which of the two failed and why.
    pub(crate) fn take(path: &Path) -> Result<Self, RepoError> {
        let path = absolute(path)?;
        let lock_path = beside(&path, ".lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .map_err(|error| unavailable(format!("cannot open {}", lock_path.display()), error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { path, _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(RepoError::Unavailable(
                format!("{} is in use by another process: only one may open it", path.display()).into(),
            )),
            Err(TryLockError::Error(error)) => {
                Err(unavailable(format!("cannot lock {}", lock_path.display()), error))
            }
        }
    }

    /// Where the file is, free of symbolic links.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
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

/// Symbolic links are resolved, so that two names of one file mean one lock.
fn absolute(path: &Path) -> Result<PathBuf, RepoError> {
    if let Ok(path) = path.canonicalize() {
        return Ok(path);
    }
    let folder = folder_of(path);
    create_folder(folder)?;
    let folder = folder
        .canonicalize()
        .map_err(|error| unavailable(format!("cannot reach the folder {}", folder.display()), error))?;
    let name = path
        .file_name()
        .ok_or_else(|| RepoError::Unavailable(format!("{} does not name a file", path.display()).into()))?;
    Ok(folder.join(name))
}

fn create_folder(folder: &Path) -> Result<(), RepoError> {
    if folder.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(folder)
        .map_err(|error| unavailable(format!("cannot create the folder {}", folder.display()), error))?;
    sync_folder(folder_of(folder))
}

pub(crate) fn unavailable(what: String, error: std::io::Error) -> RepoError {
    RepoError::Unavailable(FileError { what, error }.into())
}

/// A failure of the file system, and what it was in the way of.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
struct FileError {
    what: String,
    #[source]
    error: std::io::Error,
}
