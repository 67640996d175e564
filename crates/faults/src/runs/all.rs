//! All runs one after another, in two sizes.

use std::time::Duration;

use anyhow::Context;

use crate::{
    report::{Reporter, RunReport},
    runs::{
        RunOptions, commit_cuts, every_round_trip, follow, kill_database, kill_service, opposing_transfers,
        stalls,
    },
    sabotage::prove_all,
    supervisor::Store,
};

/// How much of each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Extent {
    /// Kills of the service on PostgreSQL with two instances.
    pub kills_service: u64,
    /// Kills of the service on SQLite.
    pub kills_sqlite: u64,
    /// Kills of PostgreSQL.
    pub kills_database: u64,
    /// Commits cut.
    pub cuts: u64,
    /// Batch shapes of which every message is broken.
    pub shapes: usize,
    /// Rounds of kills that are followed, on each store.
    pub followed: u64,
    /// Transfers.
    pub transfers: u64,
    /// Stalls, and how long each.
    pub stalls: u64,
    /// How long a stall is.
    pub stall: Duration,
    /// No run may take longer.
    pub run_within: Duration,
}

impl Extent {
    /// For every change: about two minutes.
    pub const QUICK: Self = Self {
        kills_service: 5,
        kills_sqlite: 5,
        kills_database: 3,
        cuts: 40,
        shapes: 1,
        followed: 2,
        transfers: 5_000,
        stalls: 4,
        stall: Duration::from_secs(1),
        run_within: Duration::from_mins(3),
    };

    /// For a release.
    pub const FULL: Self = Self {
        kills_service: 100,
        kills_sqlite: 100,
        kills_database: 30,
        cuts: 500,
        shapes: 3,
        followed: 50,
        transfers: 200_000,
        stalls: 40,
        stall: Duration::from_secs(4),
        run_within: Duration::from_mins(45),
    };
}

/// Proves the checker, then runs everything. `done` gets each report as soon as it is ready; a run that
/// could not be carried out is a failed report.
pub async fn all(options: &RunOptions, extent: &Extent, mut done: impl FnMut(&RunReport)) -> Vec<RunReport> {
    let mut reports = Vec::new();
    let mut add = |name: &str, result: Result<anyhow::Result<RunReport>, tokio::time::error::Elapsed>| {
        let result = result.context("the run took too long").and_then(|result| result);
        let report = result.unwrap_or_else(|error| {
            let mut reporter = Reporter::new(name, options.seed, "run");
            reporter.trials(1);
            reporter.problem(format!("{error:#}"));
            reporter.finish()
        });
        done(&report);
        reports.push(report);
    };
    let within = extent.run_within;
    add("sabotage", bounded(within, sabotage(options)).await);
    add(
        "kill-service",
        bounded(within, kill_service(options, Store::Postgres, 2, extent.kills_service)).await,
    );
    add("kill-service", bounded(within, kill_service(options, Store::Sqlite, 1, extent.kills_sqlite)).await);
    add("kill-database", bounded(within, kill_database(options, 2, extent.kills_database)).await);
    add("follow", bounded(within, follow(options, Store::Postgres, extent.followed)).await);
    add("follow", bounded(within, follow(options, Store::Sqlite, extent.followed)).await);
    add("commit-cuts", bounded(within, commit_cuts(options, 2, extent.cuts)).await);
    add("every-round-trip", bounded(within, every_round_trip(options, extent.shapes)).await);
    add("opposing-transfers", bounded(within, opposing_transfers(options, extent.transfers)).await);
    add("stalls", bounded(within, stalls(options, extent.stalls, extent.stall)).await);
    reports
}

/// On the heap: the futures of whole runs are large.
async fn bounded<T>(
    within: Duration,
    run: impl Future<Output = T>,
) -> Result<T, tokio::time::error::Elapsed> {
    tokio::time::timeout(within, Box::pin(run)).await
}

/// The checker's own proof as a run: one trial per bug and twin.
pub async fn sabotage(options: &RunOptions) -> anyhow::Result<RunReport> {
    let mut reporter = Reporter::new("sabotage", options.seed, "ledger with one bug (or none) judged");
    let proofs = silently(prove_all(options.seed, |_| ())).await?;
    for proof in proofs {
        reporter.trials(1);
        reporter.figure("caught_or_rightly_passed", u64::from(proof.is_proven));
        if !proof.is_proven {
            reporter.problem(format!("{:?} (crashes: {}): {:?}", proof.bug, proof.has_crashes, proof.broken));
        }
    }
    Ok(reporter.finish())
}

/// The deciders of sabotaged ledgers panic on the damage that they did. The ledger returns that as an error, so
/// it need not be printed as well.
pub async fn silently<T>(proof: impl Future<Output = T>) -> T {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| ()));
    let result = proof.await;
    std::panic::set_hook(usual);
    result
}
