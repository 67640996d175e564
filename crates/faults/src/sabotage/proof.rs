//! One proof: a ledger, a load on it, the checker on what was seen.

use std::{sync::Arc, time::Duration};

use balance_domain::{AccountingZone, Ledger, Month};
use serde::Serialize;

use crate::{
    checker::{Condition, Rules, Verdict, check},
    final_state::{FinalState, Scope},
    load::{Load, LoadOptions, Weights},
    sabotage::{bug::Bug, clock::EdgeClock, ledger::ProofLedger},
    target::{LedgerTarget, Target, usual_zone},
};

/// How long the load runs; on its clock it is ten times as long.
const LOAD_TIME: Duration = Duration::from_millis(1_200);
/// How often the sweeper runs.
const SWEEP_INTERVAL: Duration = Duration::from_millis(70);
/// How often the machine crashes, where it does.
const CRASH_INTERVAL: Duration = Duration::from_millis(90);

/// What a proof showed.
#[derive(Clone, Debug, Serialize)]
pub struct Proof {
    /// The bug; `None` is the correct twin.
    pub bug: Option<Bug>,
    /// The machine crashed now and then.
    pub has_crashes: bool,
    /// The seed of the load.
    pub seed: u64,
    /// Caught as it should be (or, for the twin: nothing found).
    pub is_proven: bool,
    /// The conditions that were found broken.
    pub broken: Vec<Condition>,
    /// What the checker saw.
    pub verdict: Verdict,
}

/// The correct twin, calm and with crashes, then every bug.
pub async fn prove_all(seed: u64, mut done: impl FnMut(&Proof)) -> anyhow::Result<Vec<Proof>> {
    let twins = [(None, false), (None, true)];
    let bugs = Bug::ALL.map(|bug| (Some(bug), bug.needs_crashes()));
    let mut proofs = Vec::new();
    for (bug, has_crashes) in twins.into_iter().chain(bugs) {
        let proof = prove(bug, has_crashes, seed).await?;
        done(&proof);
        proofs.push(proof);
    }
    Ok(proofs)
}

/// Runs a load on a ledger with this bug and checks it.
pub async fn prove(bug: Option<Bug>, has_crashes: bool, seed: u64) -> anyhow::Result<Proof> {
    let zone = usual_zone()?;
    let verdict = run(bug, has_crashes, seed, &zone).await?;
    let is_proven = match bug {
        None => verdict.is_clean(),
        Some(bug) => bug.caught_by().iter().any(|condition| verdict.breaks(*condition)),
    };
    let broken = verdict.broken.keys().copied().collect();
    Ok(Proof { bug, has_crashes, seed, is_proven, broken, verdict })
}

async fn run(
    bug: Option<Bug>,
    has_crashes: bool,
    seed: u64,
    zone: &AccountingZone,
) -> anyhow::Result<Verdict> {
    let month = Month::new(2026, 11)?;
    let books = Arc::new(ProofLedger::new(bug, Arc::new(EdgeClock::new(zone, month))));
    let ledger = Ledger::new(books.clone());
    let target: Arc<dyn Target> = Arc::new(LedgerTarget::new(ledger.clone(), books.clone(), *zone));
    let scope = Scope { users: (1..=6).collect(), services: vec![1, 2, 3], zone: *zone };
    target.add_services(&scope.services).await?;
    let load = Load::new(
        vec![Arc::clone(&target)],
        LoadOptions {
            seed,
            processes: 8,
            users: scope.users.clone(),
            services: scope.services.clone(),
            weights: Weights::ALL,
            repeats_percent: 30,
            calls_max: u64::MAX,
            pause: Duration::from_millis(1),
        },
    );
    let background = tokio::spawn(disturb(ledger, books, has_crashes));
    let running = tokio::spawn({
        let load = load.clone();
        async move { load.run().await }
    });
    tokio::time::sleep(LOAD_TIME).await;
    load.stop();
    running.await?;
    background.abort();
    load.resolve(Duration::from_secs(10)).await;
    let records = load.records();
    let finals = FinalState::read(target.as_ref(), &records, &scope, 100).await;
    Ok(check(&records, &finals, &Rules { zone: *zone, is_faultless: !has_crashes }))
}

/// Sweeps now and then, and crashes the machine if requested.
async fn disturb(ledger: Ledger, books: Arc<ProofLedger>, has_crashes: bool) {
    let mut sweeps = tokio::time::interval(SWEEP_INTERVAL);
    let mut crashes = tokio::time::interval(CRASH_INTERVAL);
    loop {
        tokio::select! {
            // A sweep that meets a crash fails; the next one does its work.
            _ = sweeps.tick() => drop(ledger.sweep(100).await),
            _ = crashes.tick(), if has_crashes => books.crash(),
        }
    }
}
