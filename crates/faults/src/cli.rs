//! The arguments of the command line.

use std::{
    io::{self, Write},
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context;
use balance_faults::{
    checker::{Rules, check},
    final_state::FinalState,
    history::{Record, read_log},
    pgproxy::{Fault, Proxy, Rule, Side, Trigger},
    report::RunReport,
    runs::{
        Extent, RunOptions, all, commit_cuts, every_round_trip, follow, kill_database, kill_service,
        opposing_transfers, silently, stalls,
    },
    sabotage::{Proof, prove_all},
    supervisor::Store,
};
use clap::{Args, Parser, Subcommand, ValueEnum};

/// Breaks a running `balance` in every way that we know of and proves that no money is lost or doubled.
///
/// Everything runs on 127.0.0.1 with databases and folders of its own, which go away afterwards. PostgreSQL
/// must be installed; build the service first: cargo build --release -p balance-app. Exit codes: 0 all held,
/// 1 something did not, 2 could not run.
#[derive(Debug, Parser)]
#[command(name = "balance-faults", version, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Args)]
struct Common {
    /// The service to test; beside this program if left out
    #[arg(long, global = true, value_name = "FILE", env = "BALANCE_FAULTS_BINARY")]
    balance: Option<PathBuf>,
    /// Everything random follows from it; a random one if left out
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// Where to write the reports as JSON; stdout has them in any case
    #[arg(long, global = true, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Folder for the history (JSON lines) and the final state of every round, for `check`
    #[arg(long, global = true, value_name = "FOLDER")]
    keep: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Every run, one after another
    All {
        /// About two minutes: what CI runs (the default)
        #[arg(long, conflicts_with = "full")]
        quick: bool,
        /// What a release needs; takes most of an hour
        #[arg(long)]
        full: bool,
    },
    /// kill -9 the service under load; the books are audited after every kill
    KillService {
        #[arg(long, value_enum, default_value = "postgres")]
        store: Store,
        /// Instances on one PostgreSQL
        #[arg(long, default_value_t = 1)]
        instances: usize,
        #[arg(long, default_value_t = 100)]
        kills: u64,
    },
    /// kill -9 PostgreSQL under load
    KillDatabase {
        #[arg(long, default_value_t = 2)]
        instances: usize,
        #[arg(long, default_value_t = 30)]
        kills: u64,
    },
    /// Follow the feed while the service and the database are killed and others hold transactions open
    Follow {
        #[arg(long, value_enum, default_value = "postgres")]
        store: Store,
        #[arg(long, default_value_t = 50)]
        rounds: u64,
    },
    /// Cut connections right before or after COMMIT, and let COMMITs land late
    CommitCuts {
        #[arg(long, default_value_t = 2)]
        instances: usize,
        #[arg(long, default_value_t = 500)]
        cuts: u64,
    },
    /// Break every message of a request once, before and after it is sent
    EveryRoundTrip {
        /// Batch shapes: 1 deposit, 2 also transfer, 3 also twenty commands at once
        #[arg(long, default_value_t = 3)]
        shapes: usize,
    },
    /// Transfers in both directions on two instances: no deadlock is seen, every sum is exact
    OpposingTransfers {
        #[arg(long, default_value_t = 200_000)]
        transfers: u64,
    },
    /// Stop and continue the service and the database, slow the connection, hold a COMMIT
    Stalls {
        #[arg(long, default_value_t = 40)]
        count: u64,
        #[arg(long, default_value_t = 4)]
        seconds: u64,
    },
    /// Prove the checker: every sabotaged ledger must be caught, the sound one must pass
    Sabotage,
    /// Judge a recorded history together with a final state
    Check {
        /// The history, JSON lines
        history: PathBuf,
        /// The final state, JSON
        finals: PathBuf,
        /// No fault was injected: every call must have been decided
        #[arg(long)]
        faultless: bool,
    },
    /// A proxy in front of a PostgreSQL that breaks a message now and then, until it is interrupted
    Proxy(ProxyArgs),
}

#[derive(Debug, Args)]
struct ProxyArgs {
    /// Where to listen
    #[arg(long, default_value = "127.0.0.1:6432")]
    listen: SocketAddr,
    /// The PostgreSQL behind it
    #[arg(long, default_value = "127.0.0.1:5432")]
    upstream: SocketAddr,
    /// Break every n-th COMMIT; 0 breaks none
    #[arg(long, default_value_t = 0)]
    every_commit: u64,
    /// Break the n-th message after the last break instead; 0 breaks none
    #[arg(long, default_value_t = 0, conflicts_with = "every_commit")]
    every_message: u64,
    /// Whether the server gets the message
    #[arg(long, value_enum, default_value = "after")]
    side: SideName,
    /// What happens to the connection
    #[arg(long, value_enum, default_value = "cut")]
    fault: FaultName,
    /// How long a stall lasts, or how late a late message is
    #[arg(long, default_value_t = 1_000)]
    milliseconds: u64,
    /// Delay every message by this long
    #[arg(long, default_value_t = 0)]
    delay_milliseconds: u64,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum SideName {
    Before,
    After,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum FaultName {
    Cut,
    Reset,
    Stall,
    Late,
}

/// Runs one command; returns whether everything held.
pub(crate) async fn run(cli: Cli) -> anyhow::Result<bool> {
    let seed = cli.common.seed.unwrap_or_else(rand::random);
    let options = || {
        Ok::<_, anyhow::Error>(RunOptions {
            binary: binary(&cli.common)?,
            seed,
            keep: cli.common.keep.clone(),
        })
    };
    let report = match cli.command {
        Command::All { full, .. } => {
            let extent = if full { Extent::FULL } else { Extent::QUICK };
            let reports = all(&options()?, &extent, |report| drop(print_summary(report))).await;
            return finish(&cli.common, &reports);
        }
        Command::KillService { store, instances, kills } => {
            kill_service(&options()?, store, instances, kills).await?
        }
        Command::KillDatabase { instances, kills } => kill_database(&options()?, instances, kills).await?,
        Command::Follow { store, rounds } => follow(&options()?, store, rounds).await?,
        Command::CommitCuts { instances, cuts } => commit_cuts(&options()?, instances, cuts).await?,
        Command::EveryRoundTrip { shapes } => every_round_trip(&options()?, shapes).await?,
        Command::OpposingTransfers { transfers } => opposing_transfers(&options()?, transfers).await?,
        Command::Stalls { count, seconds } => {
            stalls(&options()?, count, Duration::from_secs(seconds)).await?
        }
        Command::Sabotage => return sabotage_table(seed).await,
        Command::Check { history, finals, faultless } => return check_files(&history, &finals, faultless),
        Command::Proxy(args) => return proxy(args).await,
    };
    finish(&cli.common, &[report])
}

fn binary(common: &Common) -> anyhow::Result<PathBuf> {
    let beside = || Ok::<_, io::Error>(std::env::current_exe()?.with_file_name("balance"));
    let binary = common.balance.clone().map_or_else(beside, Ok)?;
    binary.canonicalize().with_context(|| {
        format!("{} is not there; build it: cargo build --release -p balance-app", binary.display())
    })
}

fn print_summary(report: &RunReport) -> io::Result<()> {
    let verdict = if report.passed { "held  " } else { "FAILED" };
    let mut out = io::stderr().lock();
    writeln!(out, "{verdict} {} {}: {} ({:.0} s)", report.trials, report.trial, report.run, report.seconds)?;
    report.problems.iter().try_for_each(|problem| writeln!(out, "       {problem}"))
}

fn finish(common: &Common, reports: &[RunReport]) -> anyhow::Result<bool> {
    let json = serde_json::to_string_pretty(reports)?;
    if let Some(path) = &common.report {
        std::fs::write(path, &json).with_context(|| format!("writing {}", path.display()))?;
    }
    writeln!(io::stdout().lock(), "{json}")?;
    Ok(reports.iter().all(|report| report.passed))
}

async fn sabotage_table(seed: u64) -> anyhow::Result<bool> {
    let print = |proof: &Proof| {
        let name = proof.bug.map_or_else(|| "no bug".to_owned(), |bug| format!("{bug:?}"));
        let crashes = if proof.has_crashes { "with crashes" } else { "" };
        let verdict = match (proof.is_proven, proof.bug) {
            (true, Some(_)) => "caught",
            (true, None) => "passed",
            (false, Some(_)) => "NOT CAUGHT",
            (false, None) => "WRONGLY ACCUSED",
        };
        let line = format!("{name:22} {crashes:12} {verdict:10} {:?}", proof.broken);
        drop(writeln!(io::stdout().lock(), "{line}"));
    };
    let proofs = silently(prove_all(seed, print)).await?;
    let proven = proofs.iter().filter(|proof| proof.is_proven).count();
    writeln!(io::stdout().lock(), "{proven} of {} as it must be, seed {seed}", proofs.len())?;
    Ok(proven == proofs.len())
}

fn check_files(history: &Path, finals: &Path, is_faultless: bool) -> anyhow::Result<bool> {
    let records: Vec<Record> = read_log(history)?;
    let text = std::fs::read(finals).with_context(|| format!("opening {}", finals.display()))?;
    let finals: FinalState = serde_json::from_slice(&text).context("reading the final state")?;
    let zone = balance_faults::target::usual_zone()?;
    let verdict = check(&records, &finals, &Rules { zone, is_faultless });
    writeln!(io::stdout().lock(), "{}", serde_json::to_string_pretty(&verdict)?)?;
    Ok(verdict.is_clean())
}

async fn proxy(args: ProxyArgs) -> anyhow::Result<bool> {
    let proxy = Proxy::start_at(args.listen, args.upstream).await?;
    proxy.slow_down(Duration::from_millis(args.delay_milliseconds));
    let trigger = match (args.every_commit, args.every_message) {
        (0, 0) => None,
        (0, message) => Some(Trigger::Message(message)),
        (commit, _) => Some(Trigger::Commit(commit)),
    };
    let wait = Duration::from_millis(args.milliseconds);
    let fault = match args.fault {
        FaultName::Cut => Fault::Cut,
        FaultName::Reset => Fault::Reset,
        FaultName::Stall => Fault::Stall(wait),
        FaultName::Late => Fault::Late(wait),
    };
    let side = match args.side {
        SideName::Before => Side::Before,
        SideName::After => Side::After,
    };
    writeln!(io::stderr().lock(), "{} -> {}", proxy.address(), args.upstream)?;
    let breaking = async {
        let Some(trigger) = trigger else { return std::future::pending().await };
        loop {
            let fired = proxy.fired();
            proxy.arm(Rule { trigger, side, fault });
            while proxy.fired() == fired {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => result?,
        () = breaking => {}
    }
    writeln!(io::stderr().lock(), "broke {} of {} messages", proxy.fired(), proxy.messages())?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
        assert!(Cli::try_parse_from(["balance-faults", "all", "--quick"]).is_ok());
        assert!(Cli::try_parse_from(["balance-faults", "all", "--quick", "--full"]).is_err());
    }
}
