//! Runs real processes: a private PostgreSQL or a SQLite file, one or two instances of the service on it, and
//! a proxy between them; kills, stops and restarts any of them.

mod database;
mod instance;
mod signals;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use tempfile::TempDir;
use tokio::process::Command;

use crate::{pgproxy::Proxy, target::Target};
pub use database::Database;
pub use instance::Instance;
pub use signals::{Signal, send, send_to_family};

/// What to start.
#[derive(Clone, Debug)]
pub struct StageOptions {
    /// The binary `balance`.
    pub binary: PathBuf,
    /// Where the books are.
    pub store: Store,
    /// How many instances of the service, on one database.
    pub instances: usize,
    /// Put a proxy between the instances and PostgreSQL.
    pub with_proxy: bool,
    /// How often the service sweeps; zero is never.
    pub sweep_interval: Duration,
    /// Whether instances cache accounts, and so decide most batches without reading them.
    pub caches_accounts: bool,
    /// Where histories and final states are written to, if anywhere.
    pub keep: Option<PathBuf>,
}

/// Where the books are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Store {
    /// A private PostgreSQL server.
    Postgres,
    /// One file.
    Sqlite,
}

/// Everything that runs. Dropping it ends all processes and removes all files.
pub struct Stage {
    options: StageOptions,
    /// The instances of the service.
    pub instances: Vec<Instance>,
    /// Between the instances and PostgreSQL, if asked for.
    pub proxy: Option<Proxy>,
    /// Where the books are.
    pub database: Database,
    folder: TempDir,
}

impl Stage {
    /// Starts everything and returns when all instances are ready.
    pub async fn start(options: StageOptions) -> anyhow::Result<Self> {
        if options.store == Store::Sqlite && (options.instances != 1 || options.with_proxy) {
            bail!("a SQLite file has one instance and no connection to put a proxy into");
        }
        let folder = tempfile::Builder::new().prefix("balance-faults-").tempdir()?;
        let database = Database::start(options.store, folder.path()).await?;
        let proxy = match database.address() {
            Some(address) if options.with_proxy => Some(Proxy::start(address).await?),
            _ => None,
        };
        let mut stage = Self { options, instances: Vec::new(), proxy, database, folder };
        for number in 0..stage.options.instances {
            let url = stage.database.url(stage.proxy.as_ref().map(|proxy| proxy.address().port()));
            let folder = stage.folder.path().join(format!("instance-{number}"));
            std::fs::create_dir(&folder)?;
            let StageOptions { sweep_interval, caches_accounts, .. } = stage.options;
            let mut instance =
                Instance::new(&stage.options.binary, &url, folder, sweep_interval, caches_accounts)?;
            instance.start().await?;
            stage.instances.push(instance);
        }
        Ok(stage)
    }

    /// Where histories and final states are written to, if anywhere.
    pub fn keep(&self) -> Option<&Path> {
        self.options.keep.as_deref()
    }

    /// The instances as the load sees them.
    pub fn targets(&self) -> anyhow::Result<Vec<Arc<dyn Target>>> {
        let target = |instance: &Instance| Ok(Arc::new(instance.target()?) as Arc<dyn Target>);
        self.instances.iter().map(target).collect()
    }

    /// Ends all faults: the database and every instance run and are ready.
    pub async fn heal(&mut self) -> anyhow::Result<()> {
        if let Some(proxy) = &self.proxy {
            proxy.disarm();
            proxy.slow_down(Duration::ZERO);
        }
        self.database.ensure_running().await?;
        for instance in &mut self.instances {
            if !instance.is_running() {
                instance.start().await?;
            }
            instance.await_ready().await?;
        }
        Ok(())
    }

    /// Runs `balance audit` on the books; the words of a failed one are the error. The file of SQLite belongs
    /// to the running service: kill that first.
    pub async fn audit(&self) -> anyhow::Result<()> {
        let output = Command::new(&self.options.binary)
            .arg("audit")
            .env_clear()
            .current_dir(self.folder.path())
            .env("BALANCE_DATABASE_URL", self.database.url(None))
            .env("BALANCE_LOG", "error")
            .kill_on_drop(true)
            .output()
            .await
            .context("starting balance audit")?;
        if !output.status.success() {
            bail!(
                "the audit is not clean ({}): {}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(())
    }
}
