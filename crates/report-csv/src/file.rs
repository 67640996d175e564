//! Replaces a file atomically and durably. Blocking.

use std::{
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// The publishing process holds this file's lock, so that temporary files have fixed names and one that a killed
/// process left is overwritten by the next.
const LOCK_NAME: &str = ".revenue.lock";

/// Makes `bytes` the file `name` of `folder`. A file that has these bytes already is left alone.
///
/// Order matters: the content is durable before the name points to it, and the name before we return.
pub(crate) fn publish(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let target = folder.join(name);
    if !is_published(&target, bytes)? {
        fs::create_dir_all(folder)?;
        let lock = File::options().create(true).write(true).truncate(false).open(folder.join(LOCK_NAME))?;
        lock.lock()?;
        let draft = Draft::write(folder.join(format!(".{name}.tmp")), bytes)?;
        draft.rename(&target)?;
    }
    File::open(folder)?.sync_all()
}

fn is_published(target: &Path, bytes: &[u8]) -> io::Result<bool> {
    match fs::read(target) {
        Ok(published) => Ok(published == bytes),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A temporary file that is removed unless it is renamed.
struct Draft(PathBuf);

impl Draft {
    fn write(path: PathBuf, bytes: &[u8]) -> io::Result<Self> {
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let mut file = File::create_new(&path)?;
        let draft = Self(path);
        file.write_all(bytes)?;
        file.sync_all()?;
        Ok(draft)
    }

    fn rename(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.0, target)
    }
}

impl Drop for Draft {
    /// After a rename there is nothing at the old name, and nobody else can have made one: we hold the lock.
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}
