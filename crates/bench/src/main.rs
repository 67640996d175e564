//! A benchmark anyone can run: `just bench`.
//!
//! It starts its own PostgreSQL, the real binary and a roofline server, drives all of them with the same
//! prepared requests over the same connections in the same run, and prints ratios, because single figures of a
//! busy machine mean little. Afterwards it proves with `balance audit` that nothing was lost.

#![expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are rounded for people; no money is computed here"
)]

mod client;
mod drive;
mod grow;
mod plot;
mod probe;
mod process;
mod progress;
mod report;
mod roofline;
mod run;
mod workload;

use std::{path::PathBuf, time::Duration};

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
    /// Fill an empty store with a ledger of any size: 10 million accounts with 10 million captures by default.
    Grow(grow::GrowArgs),
    /// Serve the roofline by itself: a constant JSON answer to every request. Stops with its parent.
    Roofline,
}

/// Which store the service keeps its books in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Store {
    Postgres,
    Sqlite,
}

/// Where the store's files lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Data {
    /// A folder on disk: commits wait for the device.
    Disk,
    /// A folder in memory: shows the cost in CPU without the noise of a shared disk.
    Tmpfs,
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
    #[arg(long, value_delimiter = ',', default_value = "1,16,64,256")]
    connections: Vec<usize>,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
    /// How often each measurement is taken, interleaved with its roofline; the median is reported.
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// Offer this many requests per second instead of as many as are answered (open loop); latency then counts
    /// from the moment a request was due, so that a stall is not hidden.
    #[arg(long)]
    rate: Option<f64>,
    /// Users that exist before the measurement, each with money.
    #[arg(long, default_value_t = 100_000)]
    users: u64,
    /// The binary to measure. Built with `cargo build --release -p balance-app`.
    #[arg(long, default_value = "target/release/balance")]
    binary: PathBuf,
    /// Another build, measured in turn with the first: A and B in one run.
    #[arg(long)]
    baseline: Option<PathBuf>,
    /// Settings for the service, as `BALANCE_…=value`; may be repeated.
    #[arg(long = "set", value_name = "NAME=VALUE")]
    settings: Vec<String>,
    /// Write all figures as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Draw throughput and p99 over connections as SVG.
    #[arg(long)]
    svg: Option<PathBuf>,
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
        Command::Grow(args) => grow::grow(&args),
        Command::Roofline => roofline::serve(),
    }
}
