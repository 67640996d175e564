//! Under which user the server runs: PostgreSQL refuses root, so root switches to `postgres` or `nobody`.

use std::{
    fs,
    os::unix::{fs::chown, process::CommandExt},
    path::Path,
    process::Command,
};

/// The ids of an unprivileged user; `None` where this process is unprivileged itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Identity(Option<(u32, u32)>);

impl Identity {
    /// This process, or the user that root switches to.
    pub(crate) fn choose() -> Self {
        if !rustix::process::geteuid().is_root() {
            return Self(None);
        }
        let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
        let ids = ["postgres", "nobody"].iter().find_map(|name| ids_of(&users, name));
        Self(Some(ids.unwrap_or((65_534, 65_534))))
    }

    /// Makes a command run as this user.
    pub(crate) fn apply(self, command: &mut Command) {
        if let Some((uid, gid)) = self.0 {
            command.uid(uid).gid(gid);
        }
    }

    /// Gives a folder to this user.
    pub(crate) fn own(self, folder: &Path) {
        if let Some((uid, gid)) = self.0 {
            chown(folder, Some(uid), Some(gid))
                .unwrap_or_else(|error| panic!("{} cannot be handed over: {error}", folder.display()));
        }
    }
}

fn ids_of(passwd: &str, name: &str) -> Option<(u32, u32)> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}
