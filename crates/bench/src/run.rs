//! One benchmark: starts everything, measures in turn, verifies, reports.

use std::{path::Path, process::Command, time::Duration};

use anyhow::{Context, bail, ensure};
use balance_postgres_harness as postgres;
use tempfile::TempDir;

use crate::{
    Data, RunArgs, Store,
    client::Connection,
    drive::{Load, Outcome, drive},
    plot, probe,
    process::{Served, balance, cpu_seconds},
    progress::progress,
    report::{Report, Row},
    workload::{SERVICE_ID, Workload, user_id},
};

/// Every user starts with this much, in minor units: enough for any run.
pub(crate) const FUNDS: u64 = 1_000_000_000;

pub(crate) fn run(args: &RunArgs) -> anyhow::Result<()> {
    let folder = match args.data {
        Data::Disk => TempDir::new_in("target")?,
        Data::Tmpfs => TempDir::new_in("/dev/shm")?,
    };
    let database = match (args.store, &args.database_url) {
        (Store::Postgres, None) => Some(start_postgres(args.data)),
        _ => None,
    };
    let roofline = Served::start(roofline_command()?, None)?;
    let mut subjects = Vec::new();
    for (name, binary) in [("balance", Some(&args.binary)), ("baseline", args.baseline.as_ref())] {
        if let Some(binary) = binary {
            subjects.push(Subject::start(name, binary, args, folder.path(), database.as_ref())?);
        }
    }

    let fdatasync_before = probe::fdatasync(folder.path())?;
    let rows = measure_all(args, &roofline, &subjects, database.as_ref())?;
    let fdatasync_after = probe::fdatasync(folder.path())?;

    for subject in subjects {
        subject.verify()?;
    }
    let report = Report::new(args, &rows, fdatasync_before, fdatasync_after);
    report.print()?;
    if let Some(path) = &args.json {
        std::fs::write(path, report.to_json()?).with_context(|| format!("writing {}", path.display()))?;
    }
    if let Some(path) = &args.svg {
        plot::draw(&report, path)?;
    }
    Ok(())
}

fn start_postgres(data: Data) -> postgres::Server {
    let settings = ["shared_buffers=1GB", "max_wal_size=8GB", "checkpoint_timeout=15min"];
    postgres::Server::start(postgres::Options {
        durable: true,
        on_tmpfs: data == Data::Tmpfs,
        settings: settings.map(str::to_owned).to_vec(),
    })
}

fn roofline_command() -> anyhow::Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("roofline");
    Ok(command)
}

/// A build of the service with books of its own.
struct Subject {
    name: &'static str,
    served: Served,
    authorization: String,
    audit: Command,
}

impl Subject {
    fn start(
        name: &'static str,
        binary: &Path,
        args: &RunArgs,
        folder: &Path,
        database: Option<&postgres::Server>,
    ) -> anyhow::Result<Self> {
        let binary = binary.canonicalize().with_context(|| {
            format!("{} is missing: cargo build --release -p balance-app", binary.display())
        })?;
        let url = match (&args.database_url, database) {
            (Some(url), _) => url.clone(),
            (None, Some(server)) => server.url(&server.create_database(None)),
            (None, None) => format!("sqlite:{}/{name}.db", folder.canonicalize()?.display()),
        };
        let mut settings: Vec<(String, String)> = [
            ("BALANCE_DATABASE_URL", url),
            ("BALANCE_LISTEN", "127.0.0.1:0".into()),
            ("BALANCE_REPORT_FOLDER", folder.join("reports").display().to_string()),
            ("BALANCE_LOG", "warn".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec();
        for setting in &args.settings {
            let (name, value) = setting.split_once('=').context("--set takes NAME=VALUE")?;
            settings.push((name.into(), value.into()));
        }
        ensure!(balance(&binary, &settings, &["migrate"]).output()?.status.success(), "migrating failed");
        let key = create_key(&mut balance(
            &binary,
            &settings,
            &["keys", "create", "--name", "bench", "--scope", "admin"],
        ))?;
        let served = Served::start(balance(&binary, &settings, &["serve"]), Some("/health/ready"))?;
        let authorization = format!("Bearer {key}");
        if args.database_url.is_none() {
            fund(&served.authority, &authorization, args.users)?;
        }
        let audit = balance(&binary, &settings, &["audit"]);
        Ok(Self { name, served, authorization, audit })
    }

    /// Stops the service and has the books proven.
    fn verify(mut self) -> anyhow::Result<()> {
        self.served.stop()?;
        let output = self.audit.output()?;
        ensure!(
            output.status.success(),
            "audit of {} failed: {}",
            self.name,
            String::from_utf8_lossy(&output.stdout)
        );
        Ok(())
    }
}

fn create_key(command: &mut Command) -> anyhow::Result<String> {
    let output = command.output()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let key = text.split_whitespace().find(|word| word.starts_with("bal_"));
    key.map(str::to_owned).with_context(|| format!("no key: {}", String::from_utf8_lossy(&output.stderr)))
}

/// Creates the service and gives every user money, over the API.
fn fund(authority: &str, authorization: &str, users: u64) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let bar = progress(users, "funding users");
    runtime.block_on(async {
        let mut connection = Connection::open(authority).await?;
        let services = format!(r#"{{"services":[{{"id":{SERVICE_ID},"name":"Bench"}}]}}"#);
        post(&mut connection, authorization, "/api/v1/services", &services).await?;
        let all: Vec<u64> = (0..users).collect();
        for some in all.chunks(1000) {
            let commands: Vec<String> = some
                .iter()
                .map(|&index| {
                    let user = user_id(index);
                    format!(
                        r#"{{"kind":"deposit","idempotency_key":"fund","user_id":{user},"amount":{FUNDS}}}"#
                    )
                })
                .collect();
            let body = format!(r#"{{"mode":"independent","commands":[{}]}}"#, commands.join(","));
            post(&mut connection, authorization, "/api/v1/batches", &body).await?;
            bar.inc(some.len() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    })
}

async fn post(
    connection: &mut Connection,
    authorization: &str,
    path: &str,
    body: &str,
) -> anyhow::Result<()> {
    let request = format!(
        "POST {path} HTTP/1.1\r\nHost: bench\r\nAuthorization: {authorization}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = connection.call(request.as_bytes()).await?;
    if !matches!(answer.status, 200 | 201) {
        bail!("{path} answered {}: {}", answer.status, String::from_utf8_lossy(connection.body(answer)));
    }
    Ok(())
}

fn measure_all(
    args: &RunArgs,
    roofline: &Served,
    subjects: &[Subject],
    database: Option<&postgres::Server>,
) -> anyhow::Result<Vec<Row>> {
    let combinations = args.workloads.len() * args.connections.len();
    let bar = progress((combinations * args.rounds * (1 + subjects.len())) as u64, "measuring");
    bar.enable_steady_tick(Duration::from_millis(500));
    let mut rows = Vec::new();
    // A number that no earlier run on the same books has used, so that keys stay new.
    let mut lane = rand::random_range(0..400_000_u64) & !0x3ff;
    for &workload in &args.workloads {
        for &connections in &args.connections {
            let mut collected: Vec<Row> =
                subjects.iter().map(|subject| Row::new(subject.name, workload, connections)).collect();
            for _ in 0..args.rounds {
                let load = |authority: &str, authorization: Option<String>, lane| Load {
                    authority: authority.to_owned(),
                    authorization,
                    workload,
                    connections,
                    users: args.users,
                    duration: args.duration(),
                    rate: args.rate,
                    lane,
                };
                let unlimited =
                    Load { rate: None, ..load(&roofline.authority, Some("Bearer x".repeat(10)), lane) };
                let ceiling = drive(&unlimited)?;
                bar.inc(1);
                for (subject, row) in subjects.iter().zip(&mut collected) {
                    let cpu = Cpu::read(subject, database);
                    let outcome =
                        drive(&load(&subject.served.authority, Some(subject.authorization.clone()), lane))?;
                    let cpu = Cpu::read(subject, database).since(&cpu);
                    lane += connections as u64;
                    if let Some(refusal) = &outcome.refusal {
                        bar.suspend(|| eprintln!("{} {}: {refusal}", subject.name, workload.name()));
                    }
                    row.add(&outcome, &ceiling, cpu, subject.served.resident_mib());
                    bar.inc(1);
                }
            }
            rows.append(&mut collected);
        }
    }
    bar.finish_and_clear();
    Ok(rows)
}

/// CPU seconds by process.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Cpu {
    pub(crate) service: f64,
    pub(crate) database: f64,
    pub(crate) generator: f64,
}

impl Cpu {
    fn read(subject: &Subject, database: Option<&postgres::Server>) -> Self {
        Self {
            service: cpu_seconds(subject.served.pid()),
            database: database.map_or(0.0, |server| cpu_seconds(server.pid())),
            generator: own_cpu_seconds(),
        }
    }

    fn since(self, earlier: &Self) -> Self {
        Self {
            service: self.service - earlier.service,
            database: self.database - earlier.database,
            generator: self.generator - earlier.generator,
        }
    }
}

/// CPU seconds of this process without its children.
fn own_cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let Some((_, rest)) = stat.rsplit_once(") ") else { return 0.0 };
    let ticks: u64 = rest.split(' ').skip(11).take(2).filter_map(|field| field.parse::<u64>().ok()).sum();
    ticks as f64 / 100.0
}

/// What one measurement and its roofline gave; see [`Row::add`].
pub(crate) fn commands_per_second(outcome: &Outcome, workload: Workload) -> f64 {
    outcome.per_second() * workload.commands_per_request() as f64
}
