//! Work that goes on beside the requests: reaching the database, knowing the API keys, tidying up metrics.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use balance_domain::ports::RepoError;
use balance_http::{Access, Refusals};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, interval, sleep, timeout},
};

use super::guard::Guard;
use crate::{
    output::failure,
    settings::{Database, Settings},
    stores::Stores,
    telemetry::Metrics,
};

/// How soon a key that was made or revoked elsewhere is noticed.
const KEYS_EVERY: Duration = Duration::from_secs(2);
/// The first and the longest pause between attempts to reach a database.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How often it is said again that a database cannot be used.
const SAID_AGAIN_EVERY: Duration = Duration::from_mins(1);
/// How often metrics are folded.
const METRICS_EVERY: Duration = Duration::from_secs(5);

/// What is known about reaching the database.
pub(super) struct Connection {
    attempt: watch::Receiver<Option<bool>>,
    last_failure: Arc<Mutex<String>>,
}

impl Connection {
    /// Brings the schema up to date if wanted and reads the API keys; tries until that works, then keeps
    /// reading the keys.
    pub(super) fn keep(
        settings: &Settings,
        stores: &Stores,
        access: &Access,
        guard: &Guard,
        background: &mut JoinSet<()>,
    ) -> Self {
        let (attempts, attempt) = watch::channel(None);
        let last_failure = Arc::new(Mutex::new("it does not answer".to_owned()));
        let (stores, access, last) = (stores.clone(), access.clone(), Arc::clone(&last_failure));
        let guard = guard.clone();
        let (database, migrate) = (settings.database.clone(), settings.migrate_on_start);
        background.spawn(async move {
            let mut pause = BACKOFF.0;
            let mut complaint = Complaint::default();
            while let Err(error) = connect(&stores, &access, &guard, migrate).await {
                let text = failure(&error).join(": ");
                complaint.about(&database, &text);
                *last.lock().unwrap_or_else(PoisonError::into_inner) = text;
                attempts.send_replace(Some(false));
                sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
            attempts.send_replace(Some(true));
            tracing::info!(ledger = %database, "connected to the database");
            refresh(&access).await;
        });
        Self { attempt, last_failure }
    }

    /// Whether the first attempt worked; waits for it, but not longer than this.
    pub(super) async fn first(&self, patience: Duration) -> bool {
        let mut attempt = self.attempt.clone();
        let first = timeout(patience, attempt.wait_for(Option::is_some)).await;
        first.is_ok_and(|first| first.is_ok_and(|first| *first == Some(true)))
    }

    /// Why the database cannot be used; nothing once it is.
    pub(super) fn failure(&self) -> Option<String> {
        let is_connected = *self.attempt.borrow() == Some(true);
        (!is_connected).then(|| self.last_failure.lock().unwrap_or_else(PoisonError::into_inner).clone())
    }
}

/// A database that cannot be used is a line of the log when that begins, when the reason changes, and otherwise once a
/// minute, though it is tried every second.
#[derive(Default)]
struct Complaint(Option<(String, Instant)>);

impl Complaint {
    fn about(&mut self, database: &Database, failure: &str) {
        let is_known =
            self.0.as_ref().is_some_and(|(said, at)| said == failure && at.elapsed() < SAID_AGAIN_EVERY);
        if !is_known {
            tracing::warn!(ledger = %database, failure, "the database cannot be used yet; trying again");
            self.0 = Some((failure.to_owned(), Instant::now()));
        }
    }
}

async fn connect(stores: &Stores, access: &Access, guard: &Guard, migrate: bool) -> Result<(), RepoError> {
    if migrate {
        stores.migrate().await?;
    }
    guard.ask().await?;
    access.refresh().await
}

/// Keeps the API keys fresh. While they cannot be read, the last known ones stay in force for half a minute.
async fn refresh(access: &Access) {
    let mut ticks = interval(KEYS_EVERY);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        match access.refresh().await {
            Ok(()) => is_failing = false,
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(%error, "the API keys cannot be read; those known stay in force for 30 seconds");
            }
            Err(_) => {}
        }
    }
}

/// Folds metrics so that memory stays flat while nobody asks for them, and sums up refused requests in the log.
pub(super) async fn tidy(metrics: Metrics, refusals: Refusals) {
    let mut ticks = interval(METRICS_EVERY);
    loop {
        ticks.tick().await;
        metrics.tidy();
        refusals.sum_up();
    }
}
