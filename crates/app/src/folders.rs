//! The folders that a configuration writes to: whether they can be written, and how much room there is.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
};

use crate::settings::{Database, Settings};

/// A folder, which need not be there yet: what is asked is then asked of the nearest one above it that is.
#[derive(Clone, Debug)]
pub(crate) struct Folder {
    /// What it is for: `database`, `reports` or `logs`.
    pub(crate) place: &'static str,
    pub(crate) path: PathBuf,
}

/// Every folder that this configuration writes to.
pub(crate) fn of(settings: &Settings) -> Vec<Folder> {
    let mut folders = Vec::new();
    if let Database::Sqlite(file) = &settings.database {
        let folder = file.parent().filter(|folder| !folder.as_os_str().is_empty());
        folders.push(Folder { place: "database", path: folder.unwrap_or(Path::new(".")).to_owned() });
    }
    folders.push(Folder { place: "reports", path: settings.report_folder.clone() });
    folders
        .extend(settings.log_file.as_ref().map(|file| Folder { place: "logs", path: file.folder.clone() }));
    folders
}

impl Folder {
    /// The folder, or the nearest one above it that is there.
    fn existing(&self) -> PathBuf {
        let whole = std::path::absolute(&self.path).unwrap_or_else(|_| self.path.clone());
        whole.ancestors().find(|folder| folder.exists()).unwrap_or(Path::new("/")).to_owned()
    }

    /// What others than root may still write, in bytes.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let room = rustix::fs::statvfs(self.existing())?;
        Ok(room.f_bavail.saturating_mul(room.f_frsize))
    }

    /// Writes a file and removes it.
    pub(crate) fn check_writable(&self) -> io::Result<()> {
        let file = self.existing().join(format!(".balance-{}.probe", std::process::id()));
        File::create_new(&file)?.sync_all()?;
        std::fs::remove_file(file)
    }

    /// Why a confirmed write may not be on a disk, if the kind of the file system says so.
    #[cfg(target_os = "linux")]
    pub(crate) fn doubt(&self) -> Option<&'static str> {
        const KINDS: [(i64, &str); 4] = [
            (0x0102_1994, "tmpfs: in memory, gone after a restart of the machine"),
            (0x6969, "NFS: locks and flushes depend on the server"),
            (0xFF53_4D42, "CIFS: locks and flushes depend on the server"),
            (0xFE53_4D42, "SMB: locks and flushes depend on the server"),
        ];
        let kind = rustix::fs::statfs(self.existing()).ok()?.f_type;
        KINDS.into_iter().find(|(known, _)| *known == kind).map(|(_, doubt)| doubt)
    }

    /// Only Linux says.
    #[cfg(not(target_os = "linux"))]
    pub(crate) fn doubt(&self) -> Option<&'static str> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_is_not_there_yet_is_as_the_one_above_it() {
        let above = tempfile::TempDir::new().unwrap();
        let folder = Folder { place: "reports", path: above.path().join("a/b") };
        assert_eq!(folder.existing(), above.path());
        assert!(folder.free_bytes().unwrap() > 0);
        folder.check_writable().unwrap();
        assert_eq!(std::fs::read_dir(above.path()).unwrap().count(), 0, "nothing is left");
        let nowhere = Folder { place: "reports", path: "/proc/reports".into() };
        assert!(nowhere.check_writable().is_err());
    }
}
