//! Which binary this is.

use std::fmt;

use serde_json::{Value, json};

/// Of the package.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");
/// The commit it was built from; `unknown` where there was no repository.
pub(crate) const COMMIT: &str = env!("SOURCE_COMMIT");
/// Version and commit, for `--version`.
pub(crate) const SHORT: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("SOURCE_COMMIT"), ")");

/// What `balance version` prints.
pub(crate) struct Version;

impl Version {
    fn features() -> Vec<&'static str> {
        if cfg!(feature = "otel") { vec!["otel"] } else { Vec::new() }
    }

    /// The same for programs.
    pub(crate) fn as_json() -> Value {
        json!({
            "version": VERSION,
            "commit": COMMIT,
            "features": Self::features(),
            "stores": ["sqlite", "postgres"],
            "target": format!("{}-{}", std::env::consts::ARCH, std::env::consts::OS),
        })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let features = Self::features();
        writeln!(f, "balance   {VERSION}")?;
        writeln!(f, "commit    {COMMIT}")?;
        writeln!(
            f,
            "features  {}",
            if features.is_empty() { "none".to_owned() } else { features.join(", ") }
        )?;
        writeln!(f, "stores    SQLite, PostgreSQL")?;
        writeln!(f, "target    {}-{}", std::env::consts::ARCH, std::env::consts::OS)
    }
}
