//! Writes down the expiry of reservations that are past their deadline. A janitor: every answer is right without
//! it, so a failure is logged and tried again.

use std::time::Duration;

use balance_domain::{Ledger, ports::RepoError};
use metrics::{counter, describe_counter, describe_gauge, gauge};
use tokio::time::{Instant, MissedTickBehavior, interval};

/// Users whose reservations are expired in one go: a bound on how long others wait behind it.
const CHUNK_USERS: u32 = 1_000;

/// Sweeps for ever.
pub(super) async fn run(ledger: Ledger, every: Duration) {
    describe_counter!(
        "balance_sweeper_users_total",
        "Users whose due reservations were written down as expired"
    );
    describe_counter!("balance_sweeper_failures_total", "Sweeps that failed and were tried again");
    describe_gauge!("balance_sweeper_lag_seconds", "Time since the sweeper last left nothing undone");
    // An alarm on its growth must see it start from 0.
    counter!("balance_sweeper_failures_total").increment(0);
    let mut ticks = interval(every);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut clean_at = Instant::now();
    loop {
        ticks.tick().await;
        match sweep_all(&ledger).await {
            Ok(()) => clean_at = Instant::now(),
            // The guard says so, once.
            Err(RepoError::ClockUnsafe(_)) => {}
            Err(error) => {
                counter!("balance_sweeper_failures_total").increment(1);
                tracing::warn!(%error, "expired reservations could not be written down; trying again");
            }
        }
        gauge!("balance_sweeper_lag_seconds").set(clean_at.elapsed().as_secs_f64());
    }
}

/// Chunk after chunk until nothing is due, or nothing but what fails. Others get their turn in between: each chunk is
/// a call of its own, and no more expires in it than in one transaction.
async fn sweep_all(ledger: &Ledger) -> Result<(), RepoError> {
    loop {
        let swept = ledger.sweep(CHUNK_USERS).await?;
        counter!("balance_sweeper_users_total").increment(swept.done() as u64);
        let is_progress = swept.done() + swept.postponed > 0;
        if !is_progress || swept.due < CHUNK_USERS as usize && swept.postponed == 0 {
            return swept.failures.into_iter().next().map_or(Ok(()), Err);
        }
    }
}
