//! Replaces a file atomically and durably. Blocking.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions, TryLockError},
    io::{self, Read, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
    thread::sleep,
    time::{Duration, Instant},
};

use rustix::fs::OFlags;

/// Revenue is readable for the user that the service runs as, whatever the umask says.
const FILE_MODE: u32 = 0o600;
const FOLDER_MODE: u32 = 0o700;

/// Links are not followed, and a named pipe is not waited for.
const AS_IT_IS: i32 = OFlags::NOFOLLOW.union(OFlags::NONBLOCK).bits().cast_signed();

/// How long another process may publish into the same folder.
const LOCK_WAIT: Duration = Duration::from_secs(3);

/// The publishing process holds this file's lock, so that temporary files have fixed names and one that a killed
/// process left is overwritten by the next.
const LOCK_NAME: &str = ".revenue.lock";

/// Makes `bytes` the file `name` of `folder`. A file that has these bytes already is left alone.
///
/// Order matters: the content is durable before the name points to it, and the name before we return.
pub(crate) fn publish(folder: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let target = folder.join(name);
    if !is_published(&target, bytes)? {
        DirBuilder::new().recursive(true).mode(FOLDER_MODE).create(folder)?;
        let lock = options().create(true).write(true).truncate(false).open(folder.join(LOCK_NAME))?;
        wait_for(&lock)?;
        let draft = Draft::write(folder.join(format!(".{name}.tmp")), bytes)?;
        draft.rename(&target)?;
    }
    File::open(folder)?.sync_all()
}

/// Something else than a file, a link for instance, is not what was published: it is replaced.
fn is_published(target: &Path, bytes: &[u8]) -> io::Result<bool> {
    match fs::symlink_metadata(target) {
        Ok(found) if found.is_file() && found.len() == bytes.len() as u64 => {}
        Ok(_) => return Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    }
    let mut published = Vec::with_capacity(bytes.len());
    options().read(true).open(target)?.read_to_end(&mut published)?;
    Ok(published == bytes)
}

fn options() -> OpenOptions {
    let mut options = File::options();
    options.mode(FILE_MODE).custom_flags(AS_IT_IS);
    options
}

/// Takes the lock unless another process keeps it too long.
fn wait_for(lock: &File) -> io::Result<()> {
    let until = Instant::now() + LOCK_WAIT;
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(error),
            Err(TryLockError::WouldBlock) if Instant::now() >= until => {
                return Err(io::Error::new(
                    io::ErrorKind::TimedOut,
                    "another process keeps the report folder locked",
                ));
            }
            Err(TryLockError::WouldBlock) => sleep(Duration::from_millis(5)),
        }
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
        let mut file = options().write(true).create_new(true).open(&path)?;
        let draft = Self(path);
        file.set_permissions(Permissions::from_mode(FILE_MODE))?;
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
