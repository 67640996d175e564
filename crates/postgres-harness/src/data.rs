//! The data folder of a server: where it is, how it is created.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use tempfile::TempDir;

use crate::identity::Identity;

/// The tmpfs that every Linux has.
const TMPFS: &str = "/dev/shm";

/// A folder that belongs to the server's user and is removed with this value.
#[derive(Debug)]
pub(crate) struct DataFolder {
    folder: TempDir,
    /// The cluster, where it is not in the folder.
    tables: Option<TempDir>,
}

impl DataFolder {
    /// Makes the folder and initialises a cluster in it.
    pub(crate) fn create(bin: &Path, identity: Identity, on_tmpfs: bool, tables_on: Option<&Path>) -> Self {
        let mut data = Self::empty(identity, on_tmpfs);
        let mut initdb = Command::new(bin.join("initdb"));
        initdb.args(["--username=postgres", "--auth=trust", "--no-sync", "--locale=C", "--encoding=UTF8"]);
        if let Some(parent) = tables_on {
            data.tables = Some(own_folder(parent, identity));
            initdb.arg("--waldir").arg(data.root().join("wal"));
        }
        initdb.arg("-D").arg(data.cluster());
        data.run(initdb, identity);
        data
    }

    /// Makes the folder with a copy of a running cluster, which follows that once it is started.
    pub(crate) fn follow(bin: &Path, identity: Identity, on_tmpfs: bool, primary: &str) -> Self {
        let data = Self::empty(identity, on_tmpfs);
        let mut copy = Command::new(bin.join("pg_basebackup"));
        copy.args(["--checkpoint=fast", "--no-sync", "--write-recovery-conf", "--dbname", primary, "-D"])
            .arg(data.cluster());
        data.run(copy, identity);
        data
    }

    fn empty(identity: Identity, on_tmpfs: bool) -> Self {
        let parent =
            if on_tmpfs && Path::new(TMPFS).is_dir() { PathBuf::from(TMPFS) } else { std::env::temp_dir() };
        Self { folder: own_folder(&parent, identity), tables: None }
    }

    /// The folder that holds everything of this server.
    pub(crate) fn root(&self) -> &Path {
        self.folder.path()
    }

    /// The cluster itself.
    pub(crate) fn cluster(&self) -> PathBuf {
        self.tables.as_ref().unwrap_or(&self.folder).path().join("data")
    }

    /// The server's log.
    pub(crate) fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn run(&self, mut command: Command, identity: Identity) {
        command.current_dir(self.root()).stdin(Stdio::null());
        identity.apply(&mut command);
        let output = command.output().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
        assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

fn own_folder(parent: &Path, identity: Identity) -> TempDir {
    let folder = tempfile::Builder::new()
        .prefix("balance-pg-")
        .tempdir_in(parent)
        .unwrap_or_else(|error| panic!("no folder can be made in {}: {error}", parent.display()));
    identity.own(folder.path());
    folder
}
