//! Whether calls are served: asked of the store at most once a second, however many ask the service.

use std::time::{Duration, Instant};

use balance_domain::ports::RepoError;
use tokio::sync::Mutex;

use crate::{api::Api, problem::Problem};

/// How long an answer holds.
const FRESH: Duration = Duration::from_secs(1);

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// The last answer of the store, and when it was given. Who asks while the store is asked waits for the same answer.
#[derive(Default)]
pub(crate) struct Readiness(Mutex<Option<(Instant, Result<(), RepoError>)>>);

impl Readiness {
    /// Whether the store can be used, and the API keys are known.
    pub(crate) async fn check(&self, api: &Api) -> Result<(), Problem> {
        let mut last = self.0.lock().await;
        let fresh = last.as_ref().filter(|(at, _)| at.elapsed() < FRESH);
        let answer = if let Some((_, answer)) = fresh {
            answer.clone()
        } else {
            let asked = tokio::time::timeout(PATIENCE, api.ledger.ready()).await;
            let silent = |_| Err(RepoError::Unavailable("the store does not answer".into()));
            last.insert((Instant::now(), asked.unwrap_or_else(silent))).1.clone()
        };
        drop(last);
        answer?;
        api.access.known()?;
        Ok(())
    }
}
