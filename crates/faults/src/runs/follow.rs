//! The feed while everything breaks at once: `kill -9` of the service and of PostgreSQL, transactions of others that
//! stay open, and writers that draw a number and roll back. Every round checks the feed ([`Round`]); this run is hard
//! on it.

use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio_postgres::{Client, NoTls};

use crate::{
    report::{Reporter, RunReport},
    runs::{
        RunOptions, progress,
        round::{Round, Shape},
    },
    supervisor::{Stage, StageOptions, Store},
};

/// Calls that must be accepted between two faults.
const CALLS_BEFORE: u64 = 100;
/// How long the feed may stand still while a transaction of others stays open.
const EVENTS_WITHIN: Duration = Duration::from_secs(10);

/// Holds back what a horizon of transactions would wait for.
const FOREIGN: &str = "BEGIN; CREATE TEMP TABLE held (a int); INSERT INTO held VALUES (1)";

/// Draws a number under the lock of a writer and leaves it unused.
const ABORTED: &str = "\
BEGIN;
INSERT INTO operations (user_id, seq, amount, available_after, reserved_after, created_at, bucket, kind, actor)
    VALUES (9000000000000000001, 1, 5, 5, 0, now(), 1, 'transfer_in', 'anonymous')";

/// Each round kills an instance, on PostgreSQL also the database, and compares the feed with all histories.
pub async fn follow(options: &RunOptions, store: Store, rounds: u64) -> anyhow::Result<RunReport> {
    let name = format!("follow ({store:?})");
    let mut reporter = Reporter::new(&name, options.seed, "round of kills under load, followed");
    let mut random = SmallRng::seed_from_u64(options.seed);
    let mut stage = Stage::start(StageOptions {
        binary: options.binary.clone(),
        store,
        instances: if store == Store::Postgres { 2 } else { 1 },
        with_proxy: false,
        sweep_interval: Duration::from_millis(200),
        caches_accounts: true,
        keep: options.keep.clone(),
    })
    .await?;
    let bar = progress(&name, rounds);
    for number in 0..rounds {
        let round = Round::start(&stage, number, options.seed, Shape::MIXED).await?;
        round.await_progress(CALLS_BEFORE).await?;
        if store == Store::Postgres {
            disturb(&stage, &round, &mut random).await?;
            kill_database(&mut stage, &mut random).await?;
            round.await_progress(CALLS_BEFORE).await?;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(0..150))).await;
        let victim = random.random_range(0..stage.instances.len());
        stage.instances[victim].kill().await?;
        stage.instances[victim].start().await?;
        round.await_progress(CALLS_BEFORE).await?;
        round.finish(&mut stage, &mut reporter).await?;
        reporter.trials(1);
        bar.inc(1);
    }
    Ok(reporter.finish())
}

/// A transaction of others stays open, and the feed goes on; a writer holds a number for a while and gives it up.
async fn disturb(stage: &Stage, round: &Round, random: &mut SmallRng) -> anyhow::Result<()> {
    let foreign = client(stage).await?;
    foreign.batch_execute(FOREIGN).await?;
    let before = round.events();
    let started = Instant::now();
    while round.events() == before {
        ensure!(started.elapsed() < EVENTS_WITHIN, "the feed waits for a transaction that writes elsewhere");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let aborted = client(stage).await?;
    aborted.batch_execute(ABORTED).await?;
    tokio::time::sleep(Duration::from_millis(random.random_range(0..200))).await;
    aborted.batch_execute("ROLLBACK").await?;
    round.await_progress(CALLS_BEFORE / 2).await?;
    Ok(())
}

async fn kill_database(stage: &mut Stage, random: &mut SmallRng) -> anyhow::Result<()> {
    stage.database.kill().await?;
    tokio::time::sleep(Duration::from_millis(random.random_range(0..300))).await;
    stage.database.ensure_running().await
}

/// A connection of its own, closed with the client.
async fn client(stage: &Stage) -> anyhow::Result<Client> {
    let (client, connection) = tokio_postgres::connect(&stage.database.url(None), NoTls)
        .await
        .context("connecting to PostgreSQL")?;
    tokio::spawn(connection);
    Ok(client)
}
