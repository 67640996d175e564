//! What systemd hears of the service: that it serves, that it still lives, that it stops. Nothing where it did not
//! ask (`Type=notify`, `WatchdogSec=`).

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::interval;

/// The service serves.
pub(super) fn ready(status: &str) {
    notify(&[NotifyState::Ready, NotifyState::Status(status)]);
}

/// The service stops.
pub(super) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Shows signs of life for ever, twice as often as systemd wants them: a runtime that hangs shows none, and is started
/// again.
pub(super) async fn live() {
    let Some(patience) = sd_notify::watchdog_enabled() else { return };
    let mut ticks = interval((patience / 2).max(Duration::from_millis(1)));
    loop {
        ticks.tick().await;
        // On a thread of its own: a systemd that hangs must not hold up a stop.
        drop(tokio::task::spawn_blocking(|| notify(&[NotifyState::Watchdog])).await);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!(%error, "systemd cannot be notified");
    }
}
