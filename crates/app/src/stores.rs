//! The store that the configuration names, as the ports that everybody else asks.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, bail};
use balance_domain::ports::{
    ApiKeyRepo, BalanceRepo, Clock, EventRepo, IdentityRepo, RepoError, ReportRepo, ServiceRepo, StoreFigures,
};
use balance_store_postgres::{PostgresOptions, PostgresStore};
use balance_store_sqlite::{SqliteKeys, SqliteOptions, SqliteStore};
use secrecy::ExposeSecret;

use crate::{
    clock::SystemClock,
    identity,
    settings::{Database, Settings},
};

/// One store behind all of its ports.
#[derive(Clone)]
pub(crate) struct Stores {
    pub(crate) balances: Arc<dyn BalanceRepo>,
    pub(crate) services: Arc<dyn ServiceRepo>,
    pub(crate) reports: Arc<dyn ReportRepo>,
    pub(crate) api_keys: Arc<dyn ApiKeyRepo>,
    pub(crate) events: Arc<dyn EventRepo>,
    pub(crate) figures: Arc<dyn StoreFigures>,
    pub(crate) identity: Arc<dyn IdentityRepo>,
    /// The store, if it is a server rather than a file.
    server: Option<PostgresStore>,
}

impl Stores {
    /// Opens the file, or gets ready to connect to the server, which need not be there yet.
    pub(crate) fn open(settings: &Settings, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        match &settings.database {
            Database::Sqlite(path) => {
                settings.check_place(path)?;
                let options = SqliteOptions {
                    migrate: settings.migrate_on_start,
                    readers: settings.pool.connections_max.min(64),
                    recent_accounts_max: settings.pool.recent_accounts_max,
                };
                Ok(Self::over_sqlite(SqliteStore::open(path, options, clock).map_err(explained)?))
            }
            Database::Postgres(url) => {
                Ok(Self::over_postgres(open_postgres(settings, url.expose_secret(), clock)?))
            }
        }
    }

    /// Brings the schema up to date. A file is opened with its schema up to date already.
    pub(crate) async fn migrate(&self) -> Result<(), RepoError> {
        match &self.server {
            Some(server) => server.migrate().await,
            None => Ok(()),
        }
    }

    /// Whether the store is a server that may come and go, rather than a file that was opened.
    pub(crate) fn is_remote(&self) -> bool {
        self.server.is_some()
    }

    fn over_sqlite(store: SqliteStore) -> Self {
        Self {
            balances: Arc::new(store.clone()),
            services: Arc::new(store.clone()),
            reports: Arc::new(store.clone()),
            api_keys: Arc::new(store.clone()),
            events: Arc::new(store.clone()),
            figures: Arc::new(store.clone()),
            identity: Arc::new(store),
            server: None,
        }
    }

    fn over_postgres(store: PostgresStore) -> Self {
        Self {
            balances: Arc::new(store.clone()),
            services: Arc::new(store.clone()),
            reports: Arc::new(store.clone()),
            api_keys: Arc::new(store.clone()),
            events: Arc::new(store.clone()),
            figures: Arc::new(store.clone()),
            identity: Arc::new(store.clone()),
            server: Some(store),
        }
    }
}

/// The schema, and what the ledger is, for `balance migrate`.
pub(crate) async fn migrate(settings: &Settings) -> anyhow::Result<()> {
    let settings = Settings { migrate_on_start: true, ..settings.clone() };
    let stores = Stores::open(&settings, Arc::new(SystemClock))?;
    stores.migrate().await?;
    identity::settle(stores.identity.as_ref(), &settings).await
}

/// The API keys alone, beside a running service or without one.
pub(crate) fn keys(settings: &Settings) -> anyhow::Result<Arc<dyn ApiKeyRepo>> {
    Ok(match &settings.database {
        Database::Sqlite(path) => {
            settings.check_place(path)?;
            Arc::new(SqliteKeys::open(path, settings.migrate_on_start)?)
        }
        Database::Postgres(url) => {
            Arc::new(open_postgres(settings, url.expose_secret(), Arc::new(SystemClock))?)
        }
    })
}

/// Writes a copy of the file, a consistent snapshot, beside a running service or without one.
pub(crate) fn backup(settings: &Settings, to: &Path) -> anyhow::Result<()> {
    match &settings.database {
        Database::Sqlite(from) => Ok(SqliteStore::backup(from, to)?),
        Database::Postgres(_) => {
            bail!("a PostgreSQL database is backed up with its own tools: pg_dump or pg_basebackup")
        }
    }
}

fn open_postgres(settings: &Settings, url: &str, clock: Arc<dyn Clock>) -> anyhow::Result<PostgresStore> {
    let pool = &settings.pool;
    let options = PostgresOptions {
        ca_file: pool.ca_file.clone(),
        connections_max: pool.connections_max,
        batches_max: settings.batching.lanes,
        wait_timeout: pool.wait_timeout,
        connect_timeout: pool.connect_timeout,
        deadline: pool.deadline,
        statement_timeout: pool.statement_timeout,
        recent_accounts_max: pool.recent_accounts_max,
        allow_unsafe_durability: settings.allow_unsafe_durability,
        ..PostgresOptions::new(url)
    };
    PostgresStore::new(options, clock).context("the database cannot be used")
}

/// What to do about a file that another process has.
fn explained(error: RepoError) -> anyhow::Error {
    let is_in_use = error.to_string().contains("in use by another process");
    let error = anyhow::Error::new(error);
    if is_in_use {
        return error.context("the database file belongs to a running service: stop that first");
    }
    error
}
