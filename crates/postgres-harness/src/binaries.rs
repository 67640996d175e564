//! Finds the folder that holds `initdb`, `postgres` and `psql`.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

/// Where Debian keeps one folder per major version.
const DEBIAN: &str = "/usr/lib/postgresql";

/// The folder named by `BALANCE_TEST_PG_BIN`, else the first on `PATH`, else Debian's newest version.
pub(crate) fn folder() -> PathBuf {
    #[expect(clippy::disallowed_methods, reason = "a test tool without configuration of its own")]
    let named = env::var("BALANCE_TEST_PG_BIN").ok().map(PathBuf::from);
    if let Some(folder) = named {
        assert!(is_complete(&folder), "BALANCE_TEST_PG_BIN={} has no initdb and postgres", folder.display());
        return folder;
    }
    on_path().or_else(debian).unwrap_or_else(|| {
        panic!(
            "PostgreSQL is needed for this and was not found on PATH or in {DEBIAN}. Install it with\n    \
             apt-get install --no-install-recommends postgresql\nor name the folder of initdb and postgres in \
             BALANCE_TEST_PG_BIN"
        )
    })
}

fn on_path() -> Option<PathBuf> {
    env::split_paths(&env::var_os("PATH")?).find(|folder| is_complete(folder))
}

fn debian() -> Option<PathBuf> {
    let versions = fs::read_dir(DEBIAN).ok()?.filter_map(|entry| {
        let entry = entry.ok()?;
        let version: u32 = entry.file_name().to_str()?.parse().ok()?;
        Some((version, entry.path().join("bin")))
    });
    versions.filter(|(_, folder)| is_complete(folder)).max().map(|(_, folder)| folder)
}

fn is_complete(folder: &Path) -> bool {
    ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file())
}
