//! Whether the service is ready, as a metric, and as a line of the log when it changes: an instance that answers 503 to
//! everybody must be seen also where nobody calls.

use std::time::Duration;

use balance_domain::Ledger;
use balance_http::{Access, AccessMode, Drain};
use metrics::{describe_gauge, gauge};
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::output::failure;

/// How often it is found out, and how long that may take.
const EVERY: Duration = Duration::from_secs(2);

/// Finds it out for ever.
pub(super) async fn watch(ledger: Ledger, access: Access, drain: Drain) {
    describe_gauge!("balance_ready", "1 while /health/ready answers 200, otherwise 0");
    let mut ticks = interval(EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut was_ready = true;
    loop {
        ticks.tick().await;
        let obstacle = obstacle(&ledger, &access, &drain).await;
        gauge!("balance_ready").set(if obstacle.is_none() { 1.0 } else { 0.0 });
        match &obstacle {
            Some(reason) if was_ready => tracing::warn!(reason, "not ready"),
            None if !was_ready => tracing::info!("ready again"),
            _ => {}
        }
        was_ready = obstacle.is_none();
    }
}

/// Why calls are not served.
async fn obstacle(ledger: &Ledger, access: &Access, drain: &Drain) -> Option<String> {
    if drain.has_begun() {
        return Some("the service is about to stop".to_owned());
    }
    if access.mode() == AccessMode::Unknown {
        return Some("the API keys were not read yet".to_owned());
    }
    match timeout(EVERY, ledger.ready()).await {
        Ok(Ok(())) => None,
        Ok(Err(error)) => Some(failure(&error).join(": ")),
        Err(_) => Some("the store does not answer".to_owned()),
    }
}
