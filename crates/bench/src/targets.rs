//! `balance-bench targets`: one run, one table. Every target of the project with what was measured, the ratio,
//! whether it is met, and the command that measures it by itself.

mod alone;
mod hot;
mod line;
mod report;
mod single;
mod size;
mod start;

use std::{fmt::Write as _, io::Write as _, path::PathBuf, time::Duration};

use anyhow::Context;
use clap::{Args, ValueEnum};
use serde::{Deserialize, Serialize};

pub(crate) use line::table;
use line::{Line, markdown};

use crate::{
    Data, Store,
    environment::Environment,
    grow::{self, Size},
    measure::Meter,
    numbers, probe,
    process::{self, OthersWatch, balance, cores},
    progress::progress,
    report::{Figures, Row},
    subject::{Subject, Wish},
    workload::Workload,
};

/// Targets that are measured together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Group {
    /// Single writes against the roofline.
    Writes,
    /// Balance reads against the roofline.
    Reads,
    /// Batches of 1,000.
    Batch,
    /// One request alone against its physical parts.
    Alone,
    /// One account with nine tenths of the load.
    Hot,
    /// Start and memory.
    Memory,
    /// A large store beside an empty one; needs --grown or --grow.
    Size,
}

#[derive(Args, Clone, Debug)]
pub(crate) struct TargetsArgs {
    /// Which store the service uses; that of --grown if it is given.
    #[arg(long, value_enum, default_value = "postgres")]
    store: Store,
    /// Where the store's files lie. With --grown: where they do lie, for the target that depends on it.
    #[arg(long, value_enum, default_value = "disk")]
    data: Data,
    /// Only these groups of targets, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Group>,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 3.0, value_parser = numbers::positive)]
    seconds: f64,
    /// How often each measurement is taken, interleaved with what it is compared with.
    #[arg(long, default_value_t = 3, value_parser = numbers::count())]
    rounds: usize,
    /// Users of the store that is not grown.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    users: u64,
    /// The binary to measure. As a rule the one beside this program, of the same build.
    #[arg(long, default_value_os_t = process::beside_this(), hide_default_value = true)]
    binary: PathBuf,
    /// Settings for the service, as `BALANCE_…=value`; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Keep the table and all figures as JSON; `balance-bench table` puts several side by side.
    #[arg(long)]
    json: Option<PathBuf>,
    /// The URL of a store that `balance-bench grow` has filled: adds the targets at size. The empty store is made
    /// beside it, on the same server or in the same folder.
    #[arg(long, conflicts_with = "grow")]
    grown: Option<String>,
    /// Grow such a store first, of the size below, and delete it afterwards.
    #[arg(long)]
    grow: bool,
    #[command(flatten)]
    size: Size,
    /// Seconds of deposits over 256 connections to either store before their throughput is compared at size: right
    /// after a checkpoint PostgreSQL logs whole pages, and the cache of a service is empty.
    #[arg(long, default_value_t = 0.0, value_parser = numbers::not_negative)]
    warm_up: f64,
    /// Writes per second beside the report.
    #[arg(long, default_value_t = 1000.0, value_parser = numbers::positive)]
    write_rate: f64,
}

impl TargetsArgs {
    fn wants(&self, group: Group) -> bool {
        let is_possible = group != Group::Size || self.grow || self.grown.is_some();
        is_possible && (self.only.is_empty() || self.only.contains(&group))
    }

    fn warm_up(&self) -> Option<Duration> {
        Duration::try_from_secs_f64(self.warm_up).ok().filter(|duration| !duration.is_zero())
    }

    /// What the warming-up adds to the name of a line.
    fn warmed(&self) -> String {
        self.warm_up()
            .map_or_else(String::new, |duration| format!(", after {} s of load", duration.as_secs_f64()))
    }

    /// The command that measures one group by itself.
    fn command(&self, group: Group) -> String {
        let group = group.to_possible_value().map_or_else(String::new, |value| value.get_name().to_owned());
        let mut command =
            format!("just targets --store {} --data {} --only {group}", self.store.name(), self.data.name());
        if group == "size" {
            command += " --grown URL";
            command +=
                &self.warm_up().map_or_else(String::new, |time| format!(" --warm-up {}", time.as_secs_f64()));
        }
        command
    }
}

/// A whole run.
#[derive(Serialize, Deserialize)]
struct Report {
    store: String,
    data: String,
    cores: f64,
    seconds: f64,
    rounds: usize,
    users: u64,
    settings: Vec<String>,
    fdatasync_before_us: u64,
    fdatasync_after_us: u64,
    /// The share of the cores that other processes took meanwhile, 0 to 1.
    others_cpu_share: f64,
    lines: Vec<Line>,
    figures: Vec<Figures>,
}

/// What a run collects.
#[derive(Default)]
struct Findings {
    lines: Vec<Line>,
    figures: Vec<Figures>,
    /// The peak memory of a service on one of the new stores, in MB.
    peak_mb: f64,
    /// What the audits of the new stores found.
    unsound: Vec<String>,
}

impl Findings {
    fn keep(&mut self, rows: &[Row]) {
        self.figures.extend(rows.iter().map(Row::figures));
    }
}

/// The command.
pub(crate) fn targets(args: &TargetsArgs) -> anyhow::Result<()> {
    let args = TargetsArgs { store: args.grown.as_deref().map_or(args.store, Store::of_url), ..args.clone() };
    anyhow::ensure!(
        !args.only.contains(&Group::Size) || args.wants(Group::Size),
        "targets at size need --grown URL or --grow"
    );
    let mut environment = Environment::open(args.store, args.data, args.grown.as_deref())?;
    let mut grown = args.wants(Group::Size).then(|| grown(&args, &mut environment)).transpose()?;
    let bar = progress(measurements(&args), "measuring");
    let mut meter =
        Meter::start(environment.database_pid(), Duration::from_secs_f64(args.seconds), args.rounds, bar)?;
    let flushed = environment.flushed_folder();
    let mut findings = Findings::default();

    let before = probe::fdatasync(&flushed)?;
    let watch = OthersWatch::start(environment.database_pid());
    for (group, measure) in GROUPS {
        if args.wants(*group) {
            on_new_books(&args, &mut environment, &mut findings, |empty, environment, findings| {
                measure(&args, &mut meter, empty, environment, findings)
            })?;
        }
    }
    if args.wants(Group::Memory) {
        start::loaded(&args, &mut findings);
    }
    if let Some((subject, facts)) = &mut grown {
        on_new_books(&args, &mut environment, &mut findings, |empty, _, findings| {
            size::measure(&args, &mut meter, empty, subject, facts, findings)
        })?;
    }
    let others = watch.share();
    let after = probe::fdatasync(&flushed)?;
    meter.bar().finish_and_clear();
    let line = books(&args, "new stores", &findings.unsound);
    findings.lines.push(line);
    if let Some((subject, _)) = grown {
        let unsound = subject.verify().err().map(|error| format!("{error:#}"));
        findings.lines.push(books(&args, "grown store", unsound.as_slice()));
    }
    finish(&args, findings, (before, after), others)
}

type Measure = fn(&TargetsArgs, &mut Meter, &mut Subject, &Environment, &mut Findings) -> anyhow::Result<()>;

/// What is measured on a store of its own, in this order.
const GROUPS: &[(Group, Measure)] = &[
    (Group::Alone, |args, meter, subject, environment, findings| {
        alone::measure(args, meter, subject, environment, findings)
    }),
    (Group::Writes, |args, meter, subject, _, findings| {
        single::writes(args, meter, subject, Workload::Deposit, findings)
    }),
    (Group::Writes, |args, meter, subject, _, findings| {
        single::writes(args, meter, subject, Workload::ReserveCapture, findings)
    }),
    (Group::Writes, |args, meter, subject, _, findings| {
        single::writes(args, meter, subject, Workload::Mix, findings)
    }),
    (Group::Reads, |args, meter, subject, _, findings| single::reads(args, meter, subject, findings)),
    (Group::Batch, |args, meter, subject, _, findings| single::batches(args, meter, subject, findings)),
    (Group::Hot, |args, meter, subject, _, findings| hot::measure(args, meter, subject, findings)),
    (Group::Memory, |args, _, subject, _, findings| start::idle(args, subject, findings)),
];

/// Measures on books with only funded users, so that no line depends on what was measured before it; audits and
/// deletes them.
fn on_new_books(
    args: &TargetsArgs,
    environment: &mut Environment,
    findings: &mut Findings,
    measure: impl FnOnce(&mut Subject, &Environment, &mut Findings) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let url = environment.new_books("empty")?;
    let mut subject = start(args, &url, environment, "empty", args.users, true)?;
    measure(&mut subject, environment, findings)?;
    findings.peak_mb = findings.peak_mb.max(subject.served().peak_mb());
    findings.unsound.extend(subject.verify().err().map(|error| format!("{error:#}")));
    environment.remove_books(&url)
}

/// How often the bar moves.
fn measurements(args: &TargetsArgs) -> u64 {
    let of = |group| match group {
        Group::Writes => 6 * 2,
        Group::Reads => 2 * 2,
        Group::Batch => 3,
        Group::Alone => 1,
        Group::Hot => 5,
        Group::Memory => 0,
        Group::Size => size::MEASUREMENTS,
    };
    let wanted = Group::value_variants().iter().filter(|group| args.wants(**group));
    wanted.map(|group| of(*group)).sum::<u64>() * args.rounds as u64
}

fn start(
    args: &TargetsArgs,
    url: &str,
    environment: &Environment,
    name: &'static str,
    users: u64,
    is_new: bool,
) -> anyhow::Result<Subject> {
    Subject::start(&Wish {
        name,
        binary: &args.binary,
        url: url.to_owned(),
        folder: environment.folder(),
        settings: &args.settings,
        users,
        is_new,
    })
}

/// The service on a large store, which is grown first if requested.
fn grown(args: &TargetsArgs, environment: &mut Environment) -> anyhow::Result<(Subject, grow::Grown)> {
    let url = if let Some(url) = &args.grown {
        url.clone()
    } else {
        let url = environment.new_books("grown")?;
        let binary = process::found(&args.binary)?;
        let settings = [("BALANCE_DATABASE_URL".to_owned(), url.clone())];
        let migrated = balance(&binary, &settings, &["migrate"]).output()?;
        anyhow::ensure!(migrated.status.success(), "{}", String::from_utf8_lossy(&migrated.stderr));
        grow::fill(&url, &args.size)?;
        url
    };
    let facts = grow::look(&url, args.size.month)?;
    if let Some(path) = url.strip_prefix("sqlite:") {
        warm(path)?;
    }
    Ok((start(args, &url, environment, "grown", facts.users, false)?, facts))
}

/// Reads a file into the page cache, as far as memory allows: a service that has run for a while has the same from
/// its own reads.
fn warm(path: &str) -> anyhow::Result<()> {
    let mut file = std::fs::File::open(path).with_context(|| format!("opening {path}"))?;
    std::io::copy(&mut file, &mut std::io::sink()).with_context(|| format!("reading {path}"))?;
    Ok(())
}

/// Whether the audits of these stores found nothing.
fn books(args: &TargetsArgs, which: &str, unsound: &[String]) -> Line {
    Line {
        name: format!("Books of the {which} after the run"),
        wanted: "`balance audit` is clean".into(),
        measured: if unsound.is_empty() { "clean".to_owned() } else { unsound.join("; ") },
        ratio: None,
        met: unsound.is_empty(),
        command: format!("just targets --store {} --data {}", args.store.name(), args.data.name()),
    }
}

fn finish(
    args: &TargetsArgs,
    findings: Findings,
    (before, after): (Duration, Duration),
    others_cpu_share: f64,
) -> anyhow::Result<()> {
    let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let report = Report {
        store: args.store.name().into(),
        data: args.data.name().into(),
        cores: cores(),
        seconds: args.seconds,
        rounds: args.rounds,
        users: args.users,
        settings: args.settings.clone(),
        fdatasync_before_us: micros(before),
        fdatasync_after_us: micros(after),
        others_cpu_share,
        lines: findings.lines,
        figures: findings.figures,
    };
    let mut text = String::new();
    writeln!(
        text,
        "\n{} on {}, {} cores for service, database and generator, {} users, median of {} rounds of {} s; \
         8 kB fdatasync {} µs before, {} µs after; other processes took {:.0} % of the cores\n",
        report.store,
        report.data,
        report.cores,
        report.users,
        report.rounds,
        report.seconds,
        report.fdatasync_before_us,
        report.fdatasync_after_us,
        report.others_cpu_share * 100.0
    )?;
    text.push_str(&markdown(&report.lines));
    std::io::stdout().write_all(text.as_bytes())?;
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report)? + "\n";
        std::fs::write(path, json).with_context(|| format!("writing {}", path.display()))?;
    }
    Ok(())
}
