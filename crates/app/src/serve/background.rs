//! Work that goes on beside the requests: reaching the database, knowing the API keys, tidying up metrics.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use balance_domain::ports::RepoError;
use balance_http::Access;
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{interval, sleep, timeout},
};

use super::guard::Guard;
use crate::{stores::Stores, telemetry::Metrics};

/// How soon a key that was made or revoked elsewhere is noticed.
const KEYS_EVERY: Duration = Duration::from_secs(2);
/// The first and the longest pause between attempts to reach a database.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How often metrics are folded.
const METRICS_EVERY: Duration = Duration::from_secs(5);

/// What is known about reaching the database.
pub(super) struct Connection {
    attempt: watch::Receiver<Option<bool>>,
    last_error: Arc<Mutex<Option<String>>>,
}

impl Connection {
    /// Brings the schema up to date if wanted and reads the API keys; tries until that works, then keeps
    /// reading the keys.
    pub(super) fn keep(
        stores: &Stores,
        access: &Access,
        guard: &Guard,
        migrate: bool,
        background: &mut JoinSet<()>,
    ) -> Self {
        let (attempts, attempt) = watch::channel(None);
        let last_error = Arc::new(Mutex::new(None));
        let (stores, access, error) = (stores.clone(), access.clone(), Arc::clone(&last_error));
        let guard = guard.clone();
        background.spawn(async move {
            let mut pause = BACKOFF.0;
            while let Err(failure) = connect(&stores, &access, &guard, migrate).await {
                tracing::warn!(%failure, "the database cannot be used yet; trying again");
                *error.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure.to_string());
                attempts.send_replace(Some(false));
                sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
            attempts.send_replace(Some(true));
            tracing::info!("the database is in use");
            refresh(&access).await;
        });
        Self { attempt, last_error }
    }

    /// Whether the first attempt worked; waits for it, but not longer than this.
    pub(super) async fn first(&self, patience: Duration) -> bool {
        let mut attempt = self.attempt.clone();
        let first = timeout(patience, attempt.wait_for(Option::is_some)).await;
        first.is_ok_and(|first| first.is_ok_and(|first| *first == Some(true)))
    }

    /// Why the last attempt failed.
    pub(super) fn last_error(&self) -> Option<String> {
        self.last_error.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

async fn connect(stores: &Stores, access: &Access, guard: &Guard, migrate: bool) -> Result<(), RepoError> {
    if migrate {
        stores.migrate().await?;
    }
    guard.ask().await?;
    access.refresh().await
}

/// Keeps the API keys fresh. While they cannot be read, the last known ones stay in force.
async fn refresh(access: &Access) {
    let mut ticks = interval(KEYS_EVERY);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        match access.refresh().await {
            Ok(()) => is_failing = false,
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(%error, "the API keys cannot be read; those known stay in force");
            }
            Err(_) => {}
        }
    }
}

/// Folds metrics so that memory stays flat while nobody asks for them.
pub(super) async fn tidy(metrics: Metrics) {
    let mut ticks = interval(METRICS_EVERY);
    loop {
        ticks.tick().await;
        metrics.tidy();
    }
}
