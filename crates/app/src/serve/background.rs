//! Work that goes on beside the requests: reaching the database, knowing the API keys, tidying up metrics.

use std::time::Duration;

use balance_domain::ports::EventRepo;
use balance_http::{Access, Refusals};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, interval, sleep, timeout},
};

use super::{figures, guard::Guard};
use crate::{
    identity::{self, OtherLedger},
    output::reasons,
    settings::{Database, Settings},
    stores::Stores,
    telemetry::Metrics,
};

/// How soon a key that was made or revoked elsewhere is noticed.
const KEYS_EVERY: Duration = Duration::from_secs(2);
/// After how many looks at the keys their uses are written down: half a minute.
const SETTLE_ROUNDS: u64 = 15;
/// The first and the longest pause between attempts to reach a database.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(1));
/// How often it is said again that a database cannot be used.
const SAID_AGAIN_EVERY: Duration = Duration::from_mins(1);
/// How often metrics are folded.
const METRICS_EVERY: Duration = Duration::from_secs(5);

/// How reaching the database goes.
#[derive(Clone, Debug)]
enum Attempt {
    /// Not tried yet.
    First,
    /// It cannot be used, for this reason; it is tried again.
    Failed(String),
    /// It holds another ledger than the configuration is for; trying again would not help.
    Refused(OtherLedger),
    /// It is used.
    Connected,
}

/// What is known about reaching the database.
pub(super) struct Connection(watch::Receiver<Attempt>);

impl Connection {
    /// Brings the schema up to date if wanted, makes sure of the ledger and reads the API keys; tries until that works,
    /// then keeps reading the keys.
    pub(super) fn keep(
        settings: &Settings,
        stores: &Stores,
        access: &Access,
        guard: &Guard,
        background: &mut JoinSet<()>,
    ) -> Self {
        let (attempts, attempt) = watch::channel(Attempt::First);
        let (stores, access, guard) = (stores.clone(), access.clone(), guard.clone());
        let settings = settings.clone();
        background.spawn(async move {
            let mut pause = BACKOFF.0;
            let mut complaint = Complaint::default();
            while let Err(error) = connect(&stores, &access, &guard, &settings).await {
                if let Some(other) = error.downcast_ref::<OtherLedger>() {
                    attempts.send_replace(Attempt::Refused(other.clone()));
                    return;
                }
                let text = reasons(&error).join(": ");
                complaint.about(&settings.database, &text);
                attempts.send_replace(Attempt::Failed(text));
                sleep(pause.mul_f64(rand::random_range(0.5..1.0))).await;
                pause = (pause * 2).min(BACKOFF.1);
            }
            attempts.send_replace(Attempt::Connected);
            tracing::info!(ledger = %settings.database, "connected to the database");
            refresh(&access, stores.events.as_ref()).await;
        });
        Self(attempt)
    }

    /// Waits for the first attempt, but not longer than this.
    pub(super) async fn first(&self, patience: Duration) {
        let mut attempt = self.0.clone();
        let first = attempt.wait_for(|attempt| !matches!(attempt, Attempt::First));
        // What is not known by then is returned by `failure`.
        let _ = timeout(patience, first).await;
    }

    /// Why the database cannot be used; nothing once it is.
    pub(super) fn failure(&self) -> Option<String> {
        match &*self.0.borrow() {
            Attempt::First => Some("it does not answer".to_owned()),
            Attempt::Failed(why) => Some(why.clone()),
            Attempt::Refused(other) => Some(other.to_string()),
            Attempt::Connected => None,
        }
    }

    /// What the database holds instead of the ledger that the configuration is for, if that was found.
    pub(super) fn refusal(&self) -> Option<OtherLedger> {
        match &*self.0.borrow() {
            Attempt::Refused(other) => Some(other.clone()),
            _ => None,
        }
    }

    /// Waits until the database turns out to hold another ledger.
    pub(super) async fn refused(&self) -> OtherLedger {
        let mut attempt = self.0.clone();
        loop {
            if let Some(other) = self.refusal() {
                return other;
            }
            if attempt.changed().await.is_err() {
                // Connected, and so for good.
                std::future::pending::<()>().await;
            }
        }
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

async fn connect(stores: &Stores, access: &Access, guard: &Guard, settings: &Settings) -> anyhow::Result<()> {
    if settings.migrate_on_start {
        stores.migrate().await?;
    }
    identity::settle(stores.identity.as_ref(), settings).await?;
    guard.ask().await?;
    Ok(access.refresh().await?)
}

/// Keeps the API keys fresh, and writes down when they were used and whom they did not let in. While they cannot be
/// read, the last known ones stay in force for half a minute.
async fn refresh(access: &Access, events: &dyn EventRepo) {
    let mut ticks = interval(KEYS_EVERY);
    let mut is_failing = false;
    for round in 0_u64.. {
        ticks.tick().await;
        if round % SETTLE_ROUNDS == SETTLE_ROUNDS - 1 {
            settle(access, events).await;
        }
        match access.refresh().await {
            Ok(()) => {
                is_failing = false;
                figures::record_keys(access);
            }
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::warn!(%error, "the API keys cannot be read; those known stay in force for 30 seconds");
            }
            Err(_) => {}
        }
    }
}

/// What cannot be written now is lost: figures for people, which no rule asks for.
async fn settle(access: &Access, events: &dyn EventRepo) {
    let settled = async {
        let facts = access.settle().await?;
        if facts.is_empty() { Ok(()) } else { events.add_facts(facts).await }
    };
    if let Err(error) = settled.await {
        tracing::warn!(%error, "uses and refusals of API keys cannot be written down");
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
