//! A real file system of a few MiB, for one test: a tmpfs in a mount namespace of a process of its own.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
    process::Command,
};

/// Set for the process that has the file system: where it is mounted.
const MOUNT_POINT: &str = "BALANCE_TEST_SMALL_DISK";

/// Mounts the file system and calls the program, as `sh -c MOUNT sh MOUNT_POINT SIZE PROGRAM …`.
const MOUNT: &str = r#"mount -t tmpfs -o "size=$2,mode=700" none "$1" && cd / && shift 2 && exec "$@""#;

/// The file system, in the inner process; `None` in the outer one, once the inner one has passed the test of this name.
///
/// Needs `unshare`, and the right to mount: root's, or anyone's where the system lets users create namespaces.
///
/// # Panics
///
/// If the inner process fails, or cannot mount.
pub fn small_disk(test: &str, mebibytes: u32) -> Option<PathBuf> {
    if let Some(mount_point) = mount_point() {
        return Some(mount_point);
    }
    let folder = tempfile::tempdir().unwrap();
    let is_root = fs::metadata("/proc/self").unwrap().uid() == 0;
    let inner = Command::new("unshare")
        .args(if is_root { None } else { Some("--map-root-user") })
        .args(["--mount", "--", "sh", "-c", MOUNT, "sh"])
        .arg(folder.path())
        .arg(format!("{mebibytes}m"))
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(MOUNT_POINT, folder.path())
        .output()
        .unwrap();
    let said = [inner.stdout, inner.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
    assert!(
        inner.status.success(),
        "on a file system of its own (which `unshare --mount` must allow): {said}"
    );
    assert!(said.contains("1 passed"), "there is no test {test}: {said}");
    None
}

#[expect(clippy::disallowed_methods, reason = "how the inner process recognises itself")]
fn mount_point() -> Option<PathBuf> {
    std::env::var(MOUNT_POINT).ok().map(PathBuf::from)
}

/// Takes all space but this, until the value is dropped.
///
/// # Panics
///
/// If the file system fails in another way than by being full.
pub fn fill(disk: &Path, spare_kibibytes: u64) -> Ballast {
    let path = disk.join("ballast");
    let mut file = File::create(&path).unwrap();
    let block = [1; 4096];
    let mut length = 0;
    loop {
        match file.write_all(&block) {
            Ok(()) => length += 4096,
            Err(error) if error.kind() == ErrorKind::StorageFull => break,
            Err(error) => panic!("{error}"),
        }
    }
    file.set_len(u64::saturating_sub(length, spare_kibibytes * 1024)).unwrap();
    Ballast(path)
}

/// Takes space until it is dropped.
pub struct Ballast(PathBuf);

impl Drop for Ballast {
    fn drop(&mut self) {
        fs::remove_file(&self.0).unwrap();
    }
}
