//! `kill -9` of the service and of PostgreSQL under load: nothing acknowledged is lost, nothing happens
//! twice, the books are clean after every kill, and calls are accepted again soon.

use std::time::{Duration, Instant};

use rand::{Rng, SeedableRng, rngs::SmallRng};

use crate::{
    report::{Reporter, RunReport},
    runs::{
        RunOptions, progress,
        round::{Round, Shape},
    },
    supervisor::{Stage, StageOptions, Store},
};

/// Kills of one round.
const KILLS_PER_ROUND: u64 = 10;
/// Calls that must be accepted before a kill, so that it meets work.
const CALLS_BEFORE: u64 = 100;

/// Kills one instance of the service at a time; after each kill the books are audited, then it starts again.
pub async fn kill_service(
    options: &RunOptions,
    store: Store,
    instances: usize,
    kills: u64,
) -> anyhow::Result<RunReport> {
    let name = format!("kill-service ({store:?}, {instances} instance(s))");
    let mut reporter = Reporter::new(&name, options.seed, "kill -9 of the service under load");
    let mut random = SmallRng::seed_from_u64(options.seed);
    let mut stage = stage(options, store, instances).await?;
    let bar = progress(&name, kills);
    for round_number in 0..kills.div_ceil(KILLS_PER_ROUND) {
        let round = Round::start(&stage, round_number, options.seed, Shape::MIXED).await?;
        for _ in 0..KILLS_PER_ROUND.min(kills - round_number * KILLS_PER_ROUND) {
            round.await_progress(CALLS_BEFORE).await?;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..150))).await;
            let victim = random.random_range(0..stage.instances.len());
            stage.instances[victim].kill().await?;
            reporter.audited(stage.audit().await);
            let started = Instant::now();
            stage.instances[victim].start().await?;
            round.await_progress(1).await?;
            reporter.recovered(started.elapsed());
            reporter.trials(1);
            bar.inc(1);
        }
        round.finish(&mut stage, &mut reporter).await?;
    }
    Ok(reporter.finish())
}

/// Kills PostgreSQL with all its processes and starts it again.
pub async fn kill_database(options: &RunOptions, instances: usize, kills: u64) -> anyhow::Result<RunReport> {
    let name = format!("kill-database ({instances} instance(s))");
    let mut reporter = Reporter::new(&name, options.seed, "kill -9 of PostgreSQL under load");
    let mut random = SmallRng::seed_from_u64(options.seed);
    let mut stage = stage(options, Store::Postgres, instances).await?;
    let bar = progress(&name, kills);
    for round_number in 0..kills.div_ceil(KILLS_PER_ROUND) {
        let round = Round::start(&stage, round_number, options.seed, Shape::MIXED).await?;
        for _ in 0..KILLS_PER_ROUND.min(kills - round_number * KILLS_PER_ROUND) {
            round.await_progress(CALLS_BEFORE).await?;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..150))).await;
            stage.database.kill().await?;
            tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
            stage.database.ensure_running().await?;
            let started = Instant::now();
            round.await_progress(1).await?;
            reporter.recovered(started.elapsed());
            reporter.audited(stage.audit().await);
            reporter.trials(1);
            bar.inc(1);
        }
        round.finish(&mut stage, &mut reporter).await?;
    }
    Ok(reporter.finish())
}

async fn stage(options: &RunOptions, store: Store, instances: usize) -> anyhow::Result<Stage> {
    Stage::start(StageOptions {
        binary: options.binary.clone(),
        store,
        instances,
        with_proxy: false,
        sweep_interval: Duration::from_millis(200),
        caches_accounts: true,
        keep: options.keep.clone(),
    })
    .await
}
