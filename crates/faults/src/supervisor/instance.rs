//! One instance of the service: a process with a folder and a port of its own, the same after a restart.

use std::{
    fs::File,
    net::TcpListener,
    path::{Path, PathBuf},
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use tokio::process::{Child, Command};

use crate::{
    supervisor::{Signal, send},
    target::HttpTarget,
};

/// Longer than a start on a loaded machine with a recovering database takes.
const READY_WITHIN: Duration = Duration::from_secs(40);
/// A call that takes longer counts as unknown.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// See the module.
pub struct Instance {
    binary: PathBuf,
    database_url: String,
    folder: PathBuf,
    sweep_interval: Duration,
    caches_accounts: bool,
    port: u16,
    api_key: String,
    child: Option<Child>,
    client: reqwest::Client,
}

impl Instance {
    pub(super) fn new(
        binary: &Path,
        database_url: &str,
        folder: PathBuf,
        sweep_interval: Duration,
        caches_accounts: bool,
    ) -> anyhow::Result<Self> {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        Ok(Self {
            binary: binary.to_owned(),
            database_url: database_url.to_owned(),
            folder,
            sweep_interval,
            caches_accounts,
            port,
            api_key: format!("bal_{}_{}", "0fa17".repeat(3).get(..12).unwrap_or_default(), "5a".repeat(32)),
            child: None,
            client: reqwest::Client::builder().timeout(Duration::from_secs(2)).build()?,
        })
    }

    /// The instance as the load sees it.
    pub fn target(&self) -> anyhow::Result<HttpTarget> {
        HttpTarget::new(&self.base(), &self.api_key, CALL_TIMEOUT)
    }

    fn base(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Starts the process and returns when it is ready.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        self.spawn()?;
        self.await_ready().await
    }

    /// Starts the process.
    pub fn spawn(&mut self) -> anyhow::Result<()> {
        let log = File::options().create(true).append(true).open(self.log())?;
        let mut command = Command::new(&self.binary);
        command.env_clear();
        if !self.caches_accounts {
            command.env("BALANCE_DATABASE__RECENT_ACCOUNTS_MAX", "0");
        }
        let child = command
            .arg("serve")
            .current_dir(&self.folder)
            .env("BALANCE_LISTEN", format!("127.0.0.1:{}", self.port))
            .env("BALANCE_DATABASE_URL", &self.database_url)
            .env("BALANCE_ADMIN_KEY", &self.api_key)
            .env("BALANCE_LOG", "warn")
            .env("BALANCE_HTTP__COMMANDS_PER_SECOND", "0")
            .env("BALANCE_SWEEP_INTERVAL_MS", self.sweep_interval.as_millis().to_string())
            .env("BALANCE_SHUTDOWN_SECONDS", "5")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("starting {}", self.binary.display()))?;
        self.child = Some(child);
        Ok(())
    }

    /// Waits until it answers that it is ready.
    pub async fn await_ready(&mut self) -> anyhow::Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        let url = format!("{}/health/ready", self.base());
        loop {
            let answer = self.client.get(&url).send().await;
            if answer.is_ok_and(|answer| answer.status().is_success()) {
                return Ok(());
            }
            if !self.is_running() || Instant::now() > deadline {
                let tail = self.log_tail(15);
                bail!("an instance does not become ready; the end of its log, last line first: {tail:#?}");
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// The last lines of its log (warnings and errors only), last line first.
    pub fn log_tail(&self, lines: usize) -> Vec<String> {
        let log = std::fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().rev().take(lines).map(ToOwned::to_owned).collect()
    }

    /// Whether the process exists.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Kills the process as `kill -9` does and returns when it is gone.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill().await.context("killing an instance")?;
        }
        Ok(())
    }

    /// Sends a signal to the process.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.child.as_ref().and_then(Child::id).context("the instance does not run")?;
        send(pid, signal)
    }

    fn log(&self) -> PathBuf {
        self.folder.join("stdout.log")
    }
}
