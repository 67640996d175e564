//! Where the books of a benchmark are: a folder and, for PostgreSQL, a server. Everything that is created here is
//! removed with it; a store that was there before stays.

use std::path::{Path, PathBuf};

use anyhow::Context;
use balance_postgres_harness as postgres;
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::{Data, Store};

/// Room for books.
pub(crate) struct Environment {
    store: Store,
    folder: TempDir,
    server: Option<postgres::Server>,
    /// A store that exists already: new books are made beside it, on the same server or in the same folder.
    given: Option<String>,
    /// Databases made on a server that is not ours.
    made: Vec<String>,
}

impl Environment {
    /// Beside the store whose URL is `given`; a new place without one.
    pub(crate) fn open(store: Store, data: Data, given: Option<&str>) -> anyhow::Result<Self> {
        let folder = match (given.and_then(|url| url.strip_prefix("sqlite:")), data) {
            (Some(path), _) => TempDir::new_in(folder_of(path)?),
            (None, Data::Disk) => TempDir::new_in("target"),
            (None, Data::Tmpfs) => TempDir::new_in("/dev/shm"),
        };
        let folder = folder.context("no folder for the benchmark can be made")?;
        let server = (store == Store::Postgres && given.is_none()).then(|| start_postgres(data, Vec::new()));
        Ok(Self { store, folder, server, given: given.map(str::to_owned), made: Vec::new() })
    }

    /// The URL of an empty store.
    pub(crate) fn new_books(&mut self, name: &str) -> anyhow::Result<String> {
        match (&self.server, self.store, &self.given) {
            (Some(server), ..) => Ok(server.socket_url(&server.create_database(None))),
            (None, Store::Postgres, Some(given)) => {
                let database = format!("balance_bench_{}_{name}", std::process::id());
                query(given, &[&format!("CREATE DATABASE {database}")])?;
                let url = with_database(given, &database);
                self.made.push(database);
                Ok(url)
            }
            _ => Ok(format!("sqlite:{}/{name}.db", self.folder.path().canonicalize()?.display())),
        }
    }

    /// Removes books that [`Environment::new_books`] made, so that their database does no work beside the next ones.
    pub(crate) fn remove_books(&mut self, url: &str) -> anyhow::Result<()> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            for suffix in ["", "-wal", "-shm"] {
                let file = format!("{path}{suffix}");
                if Path::new(&file).exists() {
                    std::fs::remove_file(&file).with_context(|| format!("removing {file}"))?;
                }
            }
            return Ok(());
        }
        let server = self.server_url().context("there is no server")?;
        let database = url.split('?').next().and_then(|url| url.rsplit('/').next()).unwrap_or_default();
        self.made.retain(|made| made != database);
        drop_database(&server, database)
    }

    /// For files beside the books.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Any URL of the server.
    pub(crate) fn server_url(&self) -> Option<String> {
        match (&self.server, self.store) {
            (Some(server), _) => Some(server.socket_url("postgres")),
            (None, Store::Postgres) => self.given.clone(),
            (None, Store::Sqlite) => None,
        }
    }

    /// Where commits are flushed to: the folder of the cluster, if it is on this machine and may be written to.
    pub(crate) fn flushed_folder(&self) -> PathBuf {
        let cluster = self.server_url().and_then(|url| cluster_folder(&url));
        let writable = cluster.filter(|folder| tempfile::tempfile_in(folder).is_ok());
        writable.unwrap_or_else(|| self.folder.path().to_owned())
    }

    /// The postmaster, if the database runs on this machine.
    pub(crate) fn database_pid(&self) -> Option<u32> {
        match &self.server {
            Some(server) => Some(server.pid()),
            None => postmaster(&self.server_url()?),
        }
    }
}

impl Drop for Environment {
    fn drop(&mut self) {
        for database in &self.made {
            if let Some(given) = &self.given
                && let Err(error) = drop_database(given, database)
            {
                eprintln!("the database {database} is left behind: {error:#}");
            }
        }
    }
}

/// A private server with the settings of a small production one, and these behind them: the last of a name counts.
pub(crate) fn start_postgres(data: Data, further: Vec<String>) -> postgres::Server {
    let settings = ["shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=15min"];
    let settings = settings.into_iter().map(str::to_owned).chain(further);
    postgres::Server::start(postgres::Options {
        durable: true,
        on_tmpfs: data == Data::Tmpfs,
        settings: settings.collect(),
        ..postgres::Options::default()
    })
}

/// Runs statements in turn; the first value of the last one's first row, as text.
pub(crate) fn query(url: &str, statements: &[&str]) -> anyhow::Result<Option<String>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.context("connecting")?;
        tokio::spawn(connection);
        let mut last = None;
        for statement in statements {
            last = client.simple_query(statement).await?.into_iter().find_map(|message| match message {
                tokio_postgres::SimpleQueryMessage::Row(row) => row.get(0).map(str::to_owned),
                _ => None,
            });
        }
        Ok(last)
    })
}

fn drop_database(server: &str, database: &str) -> anyhow::Result<()> {
    query(server, &[&format!("DROP DATABASE {database} WITH (FORCE)")]).map(|_| ())
}

/// The data folder of a server, if there is such a folder on this machine.
pub(crate) fn cluster_folder(url: &str) -> Option<PathBuf> {
    let folder = PathBuf::from(query(url, &["SHOW data_directory"]).ok()??);
    folder.is_dir().then_some(folder)
}

/// The folder that a file lies in.
pub(crate) fn folder_of(path: &str) -> anyhow::Result<PathBuf> {
    let file = Path::new(path).canonicalize().with_context(|| format!("no store at {path}"))?;
    Ok(file.parent().unwrap_or(Path::new("/")).to_owned())
}

/// As the cluster's own file names it.
fn postmaster(url: &str) -> Option<u32> {
    let file = cluster_folder(url)?.join("postmaster.pid");
    std::fs::read_to_string(file).ok()?.lines().next()?.trim().parse().ok()
}

/// The same URL with another database.
fn with_database(url: &str, database: &str) -> String {
    let (before, query) = url.split_once('?').map_or((url, None), |(before, query)| (before, Some(query)));
    let authority_at = before.find("://").map_or(0, |at| at + 3);
    let end = before[authority_at..].find('/').map_or(before.len(), |at| authority_at + at);
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    format!("{}/{database}{query}", &before[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn books_beside_a_given_store_are_on_its_server() {
        for (given, expected) in [
            ("postgres://u:p@h:5432/large", "postgres://u:p@h:5432/new"),
            ("postgres://u@h/large?sslmode=disable", "postgres://u@h/new?sslmode=disable"),
            ("postgresql://h", "postgresql://h/new"),
        ] {
            assert_eq!(with_database(given, "new"), expected);
        }
    }
}
