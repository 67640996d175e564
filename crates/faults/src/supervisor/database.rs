//! Where the books are: a private PostgreSQL with everything that makes it durable switched on, or a file.

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::Context;
use balance_postgres_harness::{Options, Server};

use crate::supervisor::{Signal, Store, send_to_family};

/// See the module.
pub enum Database {
    /// A server, and the name of the database on it.
    Postgres {
        /// The server.
        server: Arc<Server>,
        /// The database.
        name: String,
        /// Killed and not yet restarted.
        is_down: bool,
    },
    /// The URL of a file.
    Sqlite(String),
}

impl Database {
    /// Starts an empty one.
    pub(super) async fn start(store: Store, folder: &Path) -> anyhow::Result<Self> {
        if store == Store::Sqlite {
            return Ok(Self::Sqlite(format!("sqlite:{}", folder.join("balance.db").display())));
        }
        let start = || {
            let server = Server::start(Options { durable: true, on_tmpfs: false, ..Options::default() });
            let name = server.create_database(None);
            (Arc::new(server), name)
        };
        let (server, name) = tokio::task::spawn_blocking(start).await.context("starting PostgreSQL")?;
        Ok(Self::Postgres { server, name, is_down: false })
    }

    /// Where the server listens.
    pub fn address(&self) -> Option<SocketAddr> {
        match self {
            Self::Postgres { server, .. } => Some(SocketAddr::from(([127, 0, 0, 1], server.port()))),
            Self::Sqlite(_) => None,
        }
    }

    /// The URL for the service; through a proxy if a port is given.
    pub fn url(&self, port: Option<u16>) -> String {
        match (self, port) {
            (Self::Postgres { name, .. }, Some(port)) => {
                format!("postgres://postgres@127.0.0.1:{port}/{name}")
            }
            (Self::Postgres { server, name, .. }, None) => server.url(name),
            (Self::Sqlite(url), _) => url.clone(),
        }
    }

    /// Kills the server and all its processes at once.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        let Self::Postgres { server, is_down, .. } = self else { return Ok(()) };
        let server = Arc::clone(server);
        *is_down = true;
        tokio::task::spawn_blocking(move || server.kill_9()).await.context("killing PostgreSQL")
    }

    /// Starts the server again if it was killed; it recovers by itself.
    pub async fn ensure_running(&mut self) -> anyhow::Result<()> {
        let Self::Postgres { server, is_down, .. } = self else { return Ok(()) };
        if std::mem::take(is_down) {
            let server = Arc::clone(server);
            tokio::task::spawn_blocking(move || server.restart()).await.context("restarting PostgreSQL")?;
        }
        Ok(())
    }

    /// Stops (`Signal::STOP`) or continues (`Signal::CONT`) the server with all its processes.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        match self {
            Self::Postgres { server, .. } => send_to_family(server.pid(), signal),
            Self::Sqlite(_) => Ok(()),
        }
    }

    /// How many deadlocks the server has broken.
    pub async fn deadlocks(&self) -> anyhow::Result<u64> {
        let Self::Postgres { server, name, .. } = self else { return Ok(0) };
        let (server, name) = (Arc::clone(server), name.clone());
        let ask = move || {
            server.psql(&name, "select deadlocks from pg_stat_database where datname = current_database()")
        };
        Ok(tokio::task::spawn_blocking(ask).await?.parse()?)
    }
}
