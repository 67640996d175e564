//! Two instances on one database, transfers between the same few accounts in both directions: no deadlock
//! reaches a caller, and every sum is exact. Nothing is broken on purpose here.

use std::time::Duration;

use anyhow::ensure;

use crate::{
    history::{Call, MoneyAction, Outcome, Record},
    load::Weights,
    report::{Reporter, RunReport},
    runs::{
        RunOptions, progress,
        round::{Round, Shape},
    },
    supervisor::{Stage, StageOptions, Store},
};

/// Calls of one round, so that a history fits into memory with ease.
const CALLS_PER_ROUND: u64 = 50_000;

/// Makes calls, nearly all of them transfers, until `transfers` of them have happened.
pub async fn opposing_transfers(options: &RunOptions, transfers: u64) -> anyhow::Result<RunReport> {
    let name = "opposing-transfers";
    let mut reporter = Reporter::new(name, options.seed, "transfer on two instances");
    let mut stage = Stage::start(StageOptions {
        binary: options.binary.clone(),
        store: Store::Postgres,
        instances: 2,
        with_proxy: false,
        sweep_interval: Duration::from_millis(500),
        caches_accounts: true,
        keep: options.keep.clone(),
    })
    .await?;
    let bar = progress(name, transfers);
    let (mut done, mut round_number) = (0, 0);
    while done < transfers {
        let shape = Shape {
            processes: 32,
            users: 4,
            weights: Weights::TRANSFERS,
            calls_max: CALLS_PER_ROUND.min((transfers - done) * 5 / 4 + 100),
            repeats_percent: 5,
            is_faultless: true,
            key_share_percent: 2,
        };
        let mut round = Round::start(&stage, round_number, options.seed, shape).await?;
        let watching = tokio::spawn({
            let (bar, load) = (bar.clone(), round.load.clone());
            async move {
                loop {
                    bar.set_position(done + load.calls());
                    tokio::time::sleep(Duration::from_millis(200)).await;
                }
            }
        });
        round.join().await?;
        watching.abort();
        let records = round.load.records();
        let happened = transfers_in(&records);
        ensure!(happened > 0, "no transfer happened");
        done += happened;
        round_number += 1;
        reporter.trials(happened);
        round.finish(&mut stage, &mut reporter).await?;
    }
    reporter.figure("deadlocks_broken_by_postgres", stage.database.deadlocks().await?);
    Ok(reporter.finish())
}

/// First answers only: a replay is no second transfer.
fn transfers_in(records: &[Record]) -> u64 {
    let happened = |record: &&Record| {
        matches!(&record.call, Call::Money(call) if matches!(call.action, MoneyAction::Transfer { .. }))
            && matches!(record.outcome, Outcome::Ok { replayed: false, .. })
    };
    records.iter().filter(happened).count() as u64
}
