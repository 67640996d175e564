//! Commits with an unknown outcome: the connection breaks right before or right after a COMMIT, or the COMMIT
//! lands while the batch is already being retried.

use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    pgproxy::{Fault, Proxy, Rule, Side, Trigger},
    report::{Reporter, RunReport},
    runs::{
        RunOptions, progress,
        round::{Round, Shape},
    },
    supervisor::{Stage, StageOptions, Store},
};

/// Cuts of one round.
const CUTS_PER_ROUND: u64 = 50;
/// How long to wait for a COMMIT under load.
const FIRES_WITHIN: Duration = Duration::from_secs(20);

/// Breaks `cuts` commits, at random places and in random ways.
pub async fn commit_cuts(options: &RunOptions, instances: usize, cuts: u64) -> anyhow::Result<RunReport> {
    let name = format!("commit-cuts ({instances} instance(s))");
    let mut reporter = Reporter::new(&name, options.seed, "commit cut off under load");
    let mut random = SmallRng::seed_from_u64(options.seed);
    let mut stage = Stage::start(StageOptions {
        binary: options.binary.clone(),
        store: Store::Postgres,
        instances,
        with_proxy: true,
        sweep_interval: Duration::from_millis(200),
        caches_accounts: true,
        keep: options.keep.clone(),
    })
    .await?;
    let bar = progress(&name, cuts);
    for round_number in 0..cuts.div_ceil(CUTS_PER_ROUND) {
        let round = Round::start(&stage, round_number, options.seed, Shape::MIXED).await?;
        round.await_progress(50).await?;
        let Some(proxy) = &stage.proxy else { bail!("no proxy") };
        for _ in 0..CUTS_PER_ROUND.min(cuts - round_number * CUTS_PER_ROUND) {
            let rule = rule(&mut random);
            cut(proxy, rule).await?;
            reporter.figure(figure(&rule), 1);
            let broken_at = Instant::now();
            round.await_progress(5).await?;
            reporter.recovered(broken_at.elapsed());
            reporter.trials(1);
            bar.inc(1);
        }
        round.finish(&mut stage, &mut reporter).await?;
    }
    Ok(reporter.finish())
}

fn rule(random: &mut SmallRng) -> Rule {
    let wait = Duration::from_millis(random.random_range(5..400));
    let fault = match random.random_range(0..8) {
        0..3 => Fault::Cut,
        3..6 => Fault::Reset,
        _ => Fault::Late(wait),
    };
    let side = if random.random_bool(0.5) { Side::Before } else { Side::After };
    Rule { trigger: Trigger::Commit(random.random_range(1..4)), side, fault }
}

const fn figure(rule: &Rule) -> &'static str {
    match (rule.fault, rule.side) {
        (Fault::Late(_), _) => "commits_late",
        (Fault::Cut, Side::Before) => "cut_before",
        (Fault::Cut, Side::After) => "cut_after",
        (_, Side::Before) => "reset_before",
        (_, Side::After) => "reset_after",
    }
}

async fn cut(proxy: &Proxy, rule: Rule) -> anyhow::Result<()> {
    let (fired, started) = (proxy.fired(), Instant::now());
    proxy.arm(rule);
    while proxy.fired() == fired {
        let (waited, commits) = (started.elapsed(), proxy.commits());
        ensure!(waited < FIRES_WITHIN, "no COMMIT came by in {waited:?}; {commits} since the start");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    Ok(())
}
