//! One installation: a folder, a database, and the configuration that servers and commands of it share.

use std::{
    fs::File,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use tempfile::TempDir;

use super::Server;

/// Which store an installation keeps its money in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    Sqlite,
    Postgres,
}

/// One installation. Servers of it come and go; the folder and the database stay.
pub(crate) struct World {
    folder: TempDir,
    pub(crate) store: Store,
    environment: Vec<(String, String)>,
}

impl World {
    pub(crate) fn new(store: Store) -> Self {
        let world = Self { store, ..Self::unconfigured() };
        let database_url = match store {
            Store::Sqlite => format!("sqlite:{}", world.folder().join("balance.db").display()),
            Store::Postgres => super::postgres::new_database(),
        };
        world
            .with("BALANCE_DATABASE_URL", &database_url)
            .with("BALANCE_LISTEN", "127.0.0.1:0")
            .with("BALANCE_REPORT_FOLDER", "reports")
            .with("BALANCE_LOG_FILE__FOLDER", "logs")
            // The database of tests need not survive a power cut.
            .with("BALANCE_ALLOW_UNSAFE_DURABILITY", "true")
    }

    /// An installation with nothing configured: everything is as the binary has it.
    pub(crate) fn unconfigured() -> Self {
        Self { folder: TempDir::new().unwrap(), store: Store::Sqlite, environment: Vec::new() }
    }

    /// The same installation with a variable set.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        self.environment.retain(|(given, _)| given != name);
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same installation without a variable.
    pub(crate) fn without(mut self, name: &str) -> Self {
        self.environment.retain(|(given, _)| given != name);
        self
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The value of a variable.
    pub(crate) fn variable(&self, name: &str) -> &str {
        &self.environment.iter().find(|(given, _)| given == name).unwrap().1
    }

    /// Where stdout of the servers goes, one after another.
    pub(crate) fn stdout_path(&self) -> PathBuf {
        self.folder.path().join("stdout.log")
    }

    /// A command of the binary, with nothing in its environment but this installation's configuration.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        self.wrapped(Command::new(env!("CARGO_BIN_EXE_balance")), arguments)
    }

    /// Shell commands as a page of the documentation has them: `balance` and the tools of PostgreSQL can be called by
    /// name, and the first failure ends them.
    pub(crate) fn shell(&self, commands: &str) -> Command {
        let balance = Path::new(env!("CARGO_BIN_EXE_balance")).parent().unwrap();
        let path = [balance, super::postgres::tools(), Path::new("/usr/bin"), Path::new("/bin")];
        let mut shell = self.wrapped(Command::new("/bin/bash"), &["-euo", "pipefail", "-c", commands]);
        shell.env("PATH", std::env::join_paths(path).unwrap());
        shell
    }

    fn wrapped(&self, mut command: Command, arguments: &[&str]) -> Command {
        self.in_here(command.args(arguments));
        command
    }

    /// Gives a command this installation's folder, and nothing in its environment but its configuration.
    pub(crate) fn in_here<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command
            .current_dir(self.folder.path())
            .env_clear()
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
    }

    /// Runs a command of the binary to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts a server and waits until it can be reached.
    pub(crate) fn start(&self) -> Server {
        self.start_as(self.command(&["serve"]))
    }

    /// Starts a server that may write files of at most `blocks` 512-byte blocks: a full disk.
    pub(crate) fn start_with_full_disk(&self, blocks: u32) -> Server {
        let mut shell = Command::new("sh");
        shell.args(["-c", "trap '' XFSZ; ulimit -f \"$1\"; exec \"$0\" serve"]);
        shell.arg(env!("CARGO_BIN_EXE_balance")).arg(blocks.to_string());
        self.start_as(self.wrapped(shell, &[]))
    }

    fn start_as(&self, mut command: Command) -> Server {
        let stdout = File::options().create(true).append(true).open(self.stdout_path()).unwrap();
        Server::attach(command.stdout(stdout).stderr(Stdio::piped()).spawn().unwrap())
    }

    /// Insists that the books add up. The server must have ended.
    #[track_caller]
    pub(crate) fn audit(&self) -> String {
        let output = self.run(&["audit"]);
        let said =
            format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(0), "{said}");
        assert!(said.contains("clean: everything adds up"), "{said}");
        said
    }
}
