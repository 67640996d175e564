//! Log files: a new one per day or hour and whenever one is full, never more than a number of them, so that all of them
//! together have a bound in bytes. Only the owner reads them, and no link is followed.

use std::{
    fs::{self, DirBuilder, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use balance_domain::ports::Clock;
use rustix::fs::OFlags;

use super::lines::Place;
use crate::{
    clock::SystemClock,
    settings::{LogFile, LogRotation},
};

const PREFIX: &str = "balance";
const SUFFIX: &str = ".jsonl";

/// A file that is smaller would be begun for every few lines.
const FILE_BYTES_MIN: u64 = 64 * 1024;

/// The files of one folder, of which one is open.
pub(super) struct LogFiles {
    folder: PathBuf,
    rotation: LogRotation,
    files_max: usize,
    file_bytes_max: u64,
    open: Option<Open>,
}

struct Open {
    file: File,
    period: String,
    bytes: u64,
}

/// Which file: of which day or hour, and the how manieth of it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Name {
    period: String,
    number: u32,
}

impl LogFiles {
    /// Opens the file of now, so that a folder that cannot be used is noticed at once.
    pub(super) fn open(settings: &LogFile) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&settings.folder)?;
        let files_max = settings.files_max.max(1);
        let mut files = Self {
            folder: settings.folder.clone(),
            rotation: settings.rotation,
            files_max,
            file_bytes_max: (settings.bytes_max / files_max as u64).max(FILE_BYTES_MIN),
            open: None,
        };
        files.file(0)?;
        Ok(files)
    }

    /// The file of this period that has room for a line; older ones go.
    fn next(&self, period: String, line_bytes: u64) -> io::Result<Open> {
        let mut names = self.names()?;
        let latest = names.iter().rev().find(|name| name.period == period).cloned();
        let mut name = latest.unwrap_or(Name { period, number: 1 });
        let bytes = match fs::symlink_metadata(self.folder.join(name.file_name())) {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        let is_full = bytes > 0 && bytes + line_bytes > self.file_bytes_max;
        name.number += u32::from(is_full);
        let file = open(&self.folder.join(name.file_name()))?;
        if !names.contains(&name) {
            names.push(name.clone());
            names.sort_unstable();
        }
        for old in &names[..names.len().saturating_sub(self.files_max)] {
            // Somebody else may have been quicker.
            drop(fs::remove_file(self.folder.join(old.file_name())));
        }
        Ok(Open { file, period: name.period, bytes: if is_full { 0 } else { bytes } })
    }

    /// The log files of the folder, oldest first.
    fn names(&self) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.extend(entry?.file_name().to_str().and_then(Name::parse));
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Place for LogFiles {
    fn file(&mut self, line_bytes: usize) -> io::Result<&mut File> {
        let line_bytes = line_bytes as u64;
        let period = period(self.rotation);
        let fits = |open: &Open| open.period == period && open.bytes + line_bytes <= self.file_bytes_max;
        if !self.open.as_ref().is_some_and(fits) {
            self.open = Some(self.next(period, line_bytes)?);
        }
        let open = self.open.as_mut().ok_or(io::ErrorKind::NotFound)?;
        open.bytes += line_bytes;
        Ok(&mut open.file)
    }
}

impl Name {
    fn file_name(&self) -> String {
        let Self { period, number } = self;
        let dot = if period.is_empty() { "" } else { "." };
        match number {
            1 => format!("{PREFIX}{dot}{period}{SUFFIX}"),
            _ => format!("{PREFIX}{dot}{period}.{number}{SUFFIX}"),
        }
    }

    /// Nothing of other files.
    fn parse(file_name: &str) -> Option<Self> {
        let middle = file_name.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
        let mut parts = middle.split('.').skip(1);
        let (first, second) = (parts.next().unwrap_or_default(), parts.next());
        let is_period =
            |text: &str| text.len() >= 10 && text.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        let name = match (first, second) {
            ("", None) => Self { period: String::new(), number: 1 },
            (period, None) if is_period(period) => Self { period: period.to_owned(), number: 1 },
            (period, Some(number)) if is_period(period) => {
                Self { period: period.to_owned(), number: number.parse().ok()? }
            }
            (number, None) => Self { period: String::new(), number: number.parse().ok()? },
            _ => return None,
        };
        // What is not written as we write it is not ours.
        (name.file_name() == file_name).then_some(name)
    }
}

/// Day or hour of now, in UTC; empty for all time.
fn period(rotation: LogRotation) -> String {
    let now = SystemClock.now().to_string();
    match rotation {
        LogRotation::Daily => now[..10].to_owned(),
        LogRotation::Hourly => now[..13].replace('T', "-"),
        LogRotation::Never => String::new(),
    }
}

/// Opens a plain file to append to, whatever stands at its place.
fn open(path: &Path) -> io::Result<File> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(flags.bits().cast_signed())
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("{} is not a plain file", path.display())));
    }
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use std::{io::Write, os::unix::fs::symlink};

    use super::*;
    use crate::telemetry::lines::{Lines, Lost};

    fn settings(folder: &Path, files_max: usize, bytes_max: u64) -> LogFile {
        LogFile { folder: folder.join("logs"), rotation: LogRotation::Daily, files_max, bytes_max }
    }

    fn sizes(folder: &Path) -> Vec<(String, u64)> {
        let mut sizes: Vec<_> = fs::read_dir(folder.join("logs"))
            .unwrap()
            .map(|entry| entry.unwrap())
            .map(|entry| (entry.file_name().into_string().unwrap(), entry.metadata().unwrap().len()))
            .collect();
        sizes.sort();
        sizes
    }

    #[test]
    fn all_files_together_have_a_bound() {
        let folder = tempfile::tempdir().unwrap();
        let bound = 3 * FILE_BYTES_MIN;
        let line = format!("{}\n", "x".repeat(999));
        for _ in 0..3 {
            // Reopened in between, as by a restart.
            let files = LogFiles::open(&settings(folder.path(), 3, bound)).unwrap();
            let mut lines = Lines::new(files, Lost::default());
            for _ in 0..300 {
                lines.write_all(line.as_bytes()).unwrap();
            }
            let sizes = sizes(folder.path());
            assert_eq!(sizes.len(), 3, "{sizes:?}");
            assert!(sizes.iter().map(|(_, bytes)| bytes).sum::<u64>() <= bound, "{sizes:?}");
            assert!(sizes.iter().all(|(_, bytes)| bytes % 1_000 == 0), "no line is cut: {sizes:?}");
        }
        let last = sizes(folder.path()).into_iter().map(|(name, _)| Name::parse(&name).unwrap().number).max();
        assert_eq!(last, Some(14), "900 lines, 65 in each file");
    }

    #[test]
    fn only_the_owner_reads_them_and_links_are_not_followed() {
        let folder = tempfile::tempdir().unwrap();
        let settings = settings(folder.path(), 3, 1 << 20);
        drop(LogFiles::open(&settings).unwrap());
        let (name, _) = sizes(folder.path()).remove(0);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&settings.folder), mode(&settings.folder.join(&name))), (0o700, 0o600));

        let elsewhere = folder.path().join("elsewhere");
        fs::remove_file(settings.folder.join(&name)).unwrap();
        symlink(&elsewhere, settings.folder.join(&name)).unwrap();
        assert!(LogFiles::open(&settings).is_err());
        assert!(!elsewhere.exists());
    }

    #[test]
    fn files_of_others_are_left_alone() {
        for name in
            ["balance.jsonl", "balance.2.jsonl", "balance.2026-11-28.jsonl", "balance.2026-11-28-09.17.jsonl"]
        {
            assert_eq!(Name::parse(name).unwrap().file_name(), name);
        }
        for name in [
            "balance.db",
            "balance.02.jsonl",
            "balances.jsonl",
            "balance.x.jsonl",
            "balance.1.jsonl",
            "other.jsonl",
        ] {
            assert_eq!(Name::parse(name), None, "{name}");
        }
        assert!(Name::parse("balance.2026-11-28.9.jsonl") < Name::parse("balance.2026-11-28.10.jsonl"));
        assert!(Name::parse("balance.2026-11-28.10.jsonl") < Name::parse("balance.2026-11-29.jsonl"));
    }
}
