//! Nothing crashes, everything hangs: the service or the database is stopped and continued later, the network is
//! slow, a COMMIT is stuck. Abandoned work must not come back, and calls are accepted again afterwards.

use std::time::{Duration, Instant};

use anyhow::bail;
use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    pgproxy::{Fault, Rule, Side, Trigger},
    report::{Reporter, RunReport},
    runs::{
        RunOptions, progress,
        round::{Round, Shape},
    },
    supervisor::{Signal, Stage, StageOptions, Store},
};

/// Stalls of one round.
const STALLS_PER_ROUND: u64 = 4;

/// Stalls something `count` times for `duration`, each kind in turn.
pub async fn stalls(options: &RunOptions, count: u64, duration: Duration) -> anyhow::Result<RunReport> {
    let name = "stalls";
    let mut reporter = Reporter::new(name, options.seed, "process or connection stalled under load");
    let mut random = SmallRng::seed_from_u64(options.seed);
    let mut stage = Stage::start(StageOptions {
        binary: options.binary.clone(),
        store: Store::Postgres,
        instances: 2,
        with_proxy: true,
        sweep_interval: Duration::from_millis(200),
        caches_accounts: true,
        keep: options.keep.clone(),
    })
    .await?;
    let bar = progress(name, count);
    for round_number in 0..count.div_ceil(STALLS_PER_ROUND) {
        let round = Round::start(&stage, round_number, options.seed, Shape::MIXED).await?;
        for number in 0..STALLS_PER_ROUND.min(count - round_number * STALLS_PER_ROUND) {
            round.await_progress(100).await?;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..100))).await;
            let accepted = round.load.accepted();
            stall(&stage, number, duration, &mut random).await?;
            reporter.figure("accepted_during_stalls", round.load.accepted() - accepted);
            let over_at = Instant::now();
            round.await_progress(1).await?;
            reporter.recovered(over_at.elapsed());
            reporter.trials(1);
            bar.inc(1);
        }
        round.finish(&mut stage, &mut reporter).await?;
    }
    Ok(reporter.finish())
}

async fn stall(stage: &Stage, kind: u64, duration: Duration, random: &mut SmallRng) -> anyhow::Result<()> {
    let Some(proxy) = &stage.proxy else { bail!("no proxy") };
    match kind {
        0 => {
            let victim = &stage.instances[random.random_range(0..stage.instances.len())];
            victim.signal(Signal::STOP)?;
            tokio::time::sleep(duration).await;
            victim.signal(Signal::CONT)?;
        }
        1 => {
            stage.database.signal(Signal::STOP)?;
            tokio::time::sleep(duration).await;
            stage.database.signal(Signal::CONT)?;
        }
        2 => {
            proxy.slow_down(Duration::from_millis(random.random_range(5..50)));
            tokio::time::sleep(duration).await;
            proxy.slow_down(Duration::ZERO);
        }
        _ => {
            let side = if random.random_bool(0.5) { Side::Before } else { Side::After };
            proxy.arm(Rule { trigger: Trigger::Commit(1), side, fault: Fault::Stall(duration) });
            tokio::time::sleep(duration + Duration::from_millis(100)).await;
        }
    }
    Ok(())
}
