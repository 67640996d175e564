//! A build of the service with books of its own: made, filled, started, stopped and audited.

use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, bail, ensure};

use crate::{
    client::Connection,
    process::{self, Served, balance},
    progress::progress,
    workload::{SERVICE_ID, Users, user_id},
};

/// Every user starts with this much, in minor units: enough for any run.
pub(crate) const FUNDS: u64 = 1_000_000_000;

/// How a service is to be started.
pub(crate) struct Wish<'a> {
    pub(crate) name: &'static str,
    pub(crate) binary: &'a Path,
    pub(crate) url: String,
    pub(crate) folder: &'a Path,
    /// `BALANCE_…=value`.
    pub(crate) settings: &'a [String],
    /// How many users the books have, or get.
    pub(crate) users: u64,
    /// Whether they are to be made and given money.
    pub(crate) is_new: bool,
}

/// A running service.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    pub(crate) authorization: String,
    pub(crate) users: u64,
    /// To how many of them requests go, if not to all.
    pub(crate) active: Option<u64>,
    binary: PathBuf,
    settings: Vec<(String, String)>,
    served: Served,
}

impl Subject {
    pub(crate) fn start(wish: &Wish<'_>) -> anyhow::Result<Self> {
        let binary = process::found(wish.binary)?;
        let settings = settings(wish)?;
        let migration = balance(&binary, &settings, &["migrate"]).output()?;
        ensure!(migration.status.success(), "migrating: {}", String::from_utf8_lossy(&migration.stderr));
        let arguments = ["keys", "create", "--name", "bench", "--scope", "admin"];
        let key = create_key(&mut balance(&binary, &settings, &arguments))?;
        let served = Served::start(balance(&binary, &settings, &["serve"]), Some("/health/ready"))?;
        let authorization = format!("Bearer {key}");
        let subject = Self {
            name: wish.name,
            authorization,
            users: wish.users,
            active: None,
            binary,
            settings,
            served,
        };
        if wish.is_new {
            subject.fund()?;
        }
        Ok(subject)
    }

    pub(crate) fn served(&self) -> &Served {
        &self.served
    }

    pub(crate) fn authority(&self) -> &str {
        &self.served.authority
    }

    /// Whom requests are about.
    pub(crate) fn asked(&self) -> Users {
        self.active.map_or(Users::first(self.users), |active| Users::some(active, self.users))
    }

    /// Stops the service and starts it again on the books as they are. How long the start took until it was ready.
    pub(crate) fn restart(&mut self) -> anyhow::Result<Duration> {
        self.served.stop()?;
        self.served =
            Served::start(balance(&self.binary, &self.settings, &["serve"]), Some("/health/ready"))?;
        Ok(self.served.ready_in)
    }

    /// Stops the service and has the books proven.
    pub(crate) fn verify(mut self) -> anyhow::Result<()> {
        self.served.stop()?;
        let output = balance(&self.binary, &self.settings, &["audit"]).output()?;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        ensure!(output.status.success(), "audit of {} failed ({}): {said}", self.name, output.status);
        Ok(())
    }

    /// Creates the service and gives every user money, over the API.
    fn fund(&self) -> anyhow::Result<()> {
        let services = format!(r#"{{"services":[{{"id":{SERVICE_ID},"name":"Bench"}}]}}"#);
        let bar = progress(self.users, "funding users");
        let mut caller = Caller::new(self)?;
        caller.post("/api/v1/services", &services)?;
        let all: Vec<u64> = (0..self.users).collect();
        for some in all.chunks(1000) {
            let deposit = |&index: &u64| {
                let user = user_id(index);
                format!(r#"{{"kind":"deposit","idempotency_key":"fund","user_id":{user},"amount":{FUNDS}}}"#)
            };
            let commands: Vec<String> = some.iter().map(deposit).collect();
            let body = format!(r#"{{"mode":"independent","commands":[{}]}}"#, commands.join(","));
            caller.post("/api/v1/batches", &body)?;
            bar.inc(some.len() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    }
}

fn settings(wish: &Wish<'_>) -> anyhow::Result<Vec<(String, String)>> {
    let folder = |name: &str| wish.folder.join(name).display().to_string();
    let mut settings: Vec<(String, String)> = [
        ("BALANCE_DATABASE_URL", wish.url.clone()),
        ("BALANCE_LISTEN", "127.0.0.1:0".into()),
        ("BALANCE_REPORT_FOLDER", folder("reports")),
        ("BALANCE_LOG_FILE__FOLDER", folder("logs")),
        ("BALANCE_LOG", "warn".into()),
        // What is measured is the service, not its limit.
        ("BALANCE_HTTP__COMMANDS_PER_SECOND", "0".into()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    for setting in wish.settings {
        let (name, value) = setting.split_once('=').context("--set takes NAME=VALUE")?;
        settings.push((name.into(), value.into()));
    }
    Ok(settings)
}

fn create_key(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let key = text.split_whitespace().find(|word| word.starts_with("bal_"));
    key.map(str::to_owned).with_context(|| format!("no key: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Calls a service now and then, one call after the other.
pub(crate) struct Caller {
    runtime: tokio::runtime::Runtime,
    connection: Connection,
    authorization: String,
}

impl Caller {
    pub(crate) fn new(subject: &Subject) -> anyhow::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let connection = runtime.block_on(Connection::open(subject.authority()))?;
        Ok(Self { runtime, connection, authorization: subject.authorization.clone() })
    }

    /// Posts JSON and returns the body of the answer; anything but 200 and 201 is an error.
    pub(crate) fn post(&mut self, path: &str, body: &str) -> anyhow::Result<String> {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: localhost\r\nAuthorization: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.authorization,
            body.len()
        );
        let answer = self.runtime.block_on(self.connection.call(request.as_bytes()))?;
        let said = String::from_utf8_lossy(self.connection.body(answer)).into_owned();
        if !matches!(answer.status, 200 | 201) {
            bail!("{path} answered {}: {said}", answer.status);
        }
        Ok(said)
    }
}
