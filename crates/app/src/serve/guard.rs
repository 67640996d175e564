//! Holds the clock against the store, and says so once when it cannot be trusted, and once when it can again.

use std::{sync::Arc, time::Duration};

use balance_domain::{
    Timestamp,
    ports::{Clock, RepoError, StoreFigures},
};
use metrics::{describe_gauge, gauge};
use tokio::time::{MissedTickBehavior, interval};

use crate::clock::GuardedClock;

/// How often the clock is looked at, and every how many looks the store is asked.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const ASK_EVERY: u32 = 3;

/// The clock, and the store that it is held against.
#[derive(Clone)]
pub(super) struct Guard {
    clock: GuardedClock,
    store: Arc<dyn StoreFigures>,
    accepted_until: Option<Timestamp>,
}

impl Guard {
    pub(super) fn new(
        clock: GuardedClock,
        store: Arc<dyn StoreFigures>,
        accepted_until: Option<Timestamp>,
    ) -> Self {
        Self { clock, store, accepted_until }
    }

    /// The clock under guard.
    pub(super) fn clock(&self) -> Arc<dyn Clock> {
        Arc::new(self.clock.clone())
    }

    /// Asks the store: before anything is served, and from then on every few seconds.
    pub(super) async fn ask(&self) -> Result<(), RepoError> {
        let mark = self.clock.mark();
        let times = self.store.times().await?;
        if let Some(theirs) = times.clock {
            self.clock.compare(theirs, mark);
        }
        self.clock.recorded(times.newest.filter(|newest| Some(*newest) > self.accepted_until));
        Ok(())
    }

    /// Watches for ever. While the store cannot be asked, its last answer stands.
    pub(super) async fn watch(self) {
        describe_gauge!(
            "balance_clock_offset_seconds",
            "What this machine's clock shows minus what it should show, as far as that is known"
        );
        let mut ticks = interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut looks, mut is_unsafe) = (0_u32, false);
        loop {
            ticks.tick().await;
            if looks.is_multiple_of(ASK_EVERY)
                && let Err(error) = self.ask().await
            {
                tracing::debug!(%error, "the store could not be asked for the time");
            }
            looks = looks.wrapping_add(1);
            gauge!("balance_clock_offset_seconds").set(self.clock.offset_seconds());
            match self.clock.moment() {
                Err(fault) if !is_unsafe => {
                    is_unsafe = true;
                    tracing::error!(%fault, "the clock cannot be trusted: no money moves until it is right");
                }
                Ok(_) if is_unsafe => {
                    is_unsafe = false;
                    tracing::info!("the clock is right again");
                }
                _ => {}
            }
        }
    }
}
