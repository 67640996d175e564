//! A benchmark anyone can run: `just targets` prints the table of all targets, `just bench` measures chosen
//! workloads, `just grow` fills a store.
//!
//! It starts its own PostgreSQL, the real binary and a roofline server, drives all of them with the same
//! prepared requests over the same connections in the same run, and prints ratios, because single figures of a
//! busy machine mean little. Afterwards `balance audit` proves that nothing was lost.

#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test fails by panicking"))]
#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are rounded for people; no money is computed here"
)]

mod client;
mod drive;
mod environment;
mod grow;
mod history;
mod measure;
mod numbers;
mod plot;
mod probe;
mod process;
mod progress;
mod report;
mod roofline;
mod run;
mod subject;
mod targets;
mod workload;

use std::{
    io::{Read, Write},
    path::PathBuf,
    time::Duration,
};

use clap::{Args, Parser, Subcommand, ValueEnum};

use workload::Workload;

#[derive(Parser)]
#[command(name = "balance-bench", version, about, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Measure workloads over HTTP, beside the roofline of the same run.
    Run(Box<RunArgs>),
    /// Measure every target in one run and print the table.
    Targets(Box<targets::TargetsArgs>),
    /// Put the tables of several runs side by side: the files that `targets --json` wrote.
    Table {
        /// In the order of the columns.
        #[arg(required = true)]
        files: Vec<PathBuf>,
    },
    /// Fill an empty store with a ledger of any size: 10 million accounts, 100 million operations by default.
    Grow(grow::GrowArgs),
    /// Run a PostgreSQL as the benchmark would and print its URL, to grow a store in and to measure it more than
    /// once; it and its data are gone when this ends.
    Postgres {
        /// Where its files lie: on disk that is the folder for temporary files, `TMPDIR`.
        #[arg(long, value_enum, default_value = "disk")]
        data: Data,
        /// Settings of the server that are added to those of the benchmark or replace them; may be repeated.
        #[arg(long = "set", value_name = "NAME=VALUE")]
        settings: Vec<String>,
    },
    /// Serve the roofline by itself: a constant JSON answer to every request. Stops with its parent.
    Roofline,
}

/// Which store the service keeps its books in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Store {
    Postgres,
    Sqlite,
}

impl Store {
    const fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Sqlite => "sqlite",
        }
    }
}

/// Where the store's files lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Data {
    /// A folder on disk: commits wait for the device.
    Disk,
    /// A folder in memory: shows the cost in CPU without the noise of a shared disk.
    Tmpfs,
}

impl Data {
    const fn name(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Tmpfs => "tmpfs",
        }
    }
}

#[derive(Args, Clone, Debug)]
struct RunArgs {
    /// Which store the service uses.
    #[arg(long, value_enum, default_value = "postgres")]
    store: Store,
    /// Where the store's files lie.
    #[arg(long, value_enum, default_value = "disk")]
    data: Data,
    /// Workloads, separated by commas.
    #[arg(long, value_enum, value_delimiter = ',', default_value = "deposit,reserve-capture,balance-read")]
    workloads: Vec<Workload>,
    /// Numbers of connections, separated by commas.
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256", value_parser = numbers::count())]
    connections: Vec<usize>,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 5.0, value_parser = numbers::positive)]
    seconds: f64,
    /// How often each measurement is taken, interleaved with its roofline; the median is reported.
    #[arg(long, default_value_t = 3, value_parser = numbers::count())]
    rounds: usize,
    /// Offer this many requests per second instead of as many as are answered (open loop); latency then counts
    /// from the moment a request was due, so that a stall is not hidden.
    #[arg(long, value_parser = numbers::positive)]
    rate: Option<f64>,
    /// Users that exist before the measurement, each with money.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(1..))]
    users: u64,
    /// The binary to measure. As a rule the one beside this program, of the same build.
    #[arg(long, default_value_os_t = process::beside_this(), hide_default_value = true)]
    binary: PathBuf,
    /// Another build, alternating with the first: A and B in one run.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Settings for the service, as `BALANCE_…=value`; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Write all figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw throughput and p99 over connections as SVG.
    #[arg(long, alias = "svg")]
    plot: Option<PathBuf>,
    /// Keep the data of a PostgreSQL or SQLite store that exists already: its URL. Nothing is created or funded.
    #[arg(long)]
    database_url: Option<String>,
}

impl RunArgs {
    fn duration(&self) -> Duration {
        Duration::from_secs_f64(self.seconds)
    }
}

fn main() -> anyhow::Result<()> {
    match Cli::parse().command {
        Command::Run(args) => run::run(&args),
        Command::Targets(args) => targets::targets(&args),
        Command::Table { files } => targets::table(&files),
        Command::Grow(args) => grow::grow(&args),
        Command::Postgres { data, settings } => postgres(data, settings),
        Command::Roofline => roofline::serve(),
    }
}

/// Until standard input ends, or Ctrl-C.
fn postgres(data: Data, settings: Vec<String>) -> anyhow::Result<()> {
    let server = environment::start_postgres(data, settings);
    writeln!(std::io::stdout(), "{}", server.socket_url(&server.create_database(None)))?;
    eprintln!("ends with Ctrl-C or the end of its input");
    std::io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
