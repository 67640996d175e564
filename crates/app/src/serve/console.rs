//! The console beside the API: its keys, its quotas, and the figures that it shows.

use std::{
    net::IpAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use balance_console::{Gate, Live, LiveFigures, Refused, Session};
use balance_domain::{
    Actor, ApiKey, ApiKeyId, Timestamp,
    ports::{ApiKeyRepo, Clock, RepoError},
};
use balance_http::{Access, Denied};

use crate::{clock::SystemClock, keys::child_of};

/// How long a visit lasts at most, in microseconds: a working day.
const VISIT_MICROS: i64 = 8 * 60 * 60 * 1_000_000;

/// The keys are read again for a token that is not known, because another instance may have made it: at most this
/// often.
const LOOK_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// Lets visitors in by the keys of the API.
pub(super) struct Keyring {
    access: Access,
    keys: Arc<dyn ApiKeyRepo>,
    looked_at: Mutex<Option<Instant>>,
}

impl Keyring {
    pub(super) fn new(access: Access, keys: Arc<dyn ApiKeyRepo>) -> Self {
        Self { access, keys, looked_at: Mutex::default() }
    }

    fn may_look_again(&self) -> bool {
        let mut looked_at = self.looked_at.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = looked_at.is_none_or(|at| at.elapsed() >= LOOK_AGAIN_AFTER);
        if is_due {
            *looked_at = Some(Instant::now());
        }
        is_due
    }
}

fn refused(denied: Denied) -> Refused {
    match denied {
        Denied::Unauthenticated => Refused::Unauthenticated,
        Denied::RateLimited(seconds) => Refused::RateLimited(seconds),
        Denied::Unknown => Refused::Failed(RepoError::Unavailable("the keys were not read yet".into())),
    }
}

#[async_trait]
impl Gate for Keyring {
    async fn admit(&self, token: Option<&str>, peer: Option<IpAddr>) -> Result<Option<Arc<ApiKey>>, Refused> {
        match self.access.admit(token, peer) {
            Err(Denied::Unauthenticated) if token.is_some() && self.may_look_again() => {
                self.access.refresh().await?;
                self.access.admit(token, peer).map_err(refused)
            }
            admitted => admitted.map_err(refused),
        }
    }

    async fn begin(&self, token: &str, peer: Option<IpAddr>) -> Result<Session, Refused> {
        let parent = self.admit(Some(token), peer).await?.ok_or(Refused::Unauthenticated)?;
        let now = SystemClock.now();
        let latest = Timestamp::from_micros(now.micros().saturating_add(VISIT_MICROS)).unwrap_or(now);
        let expires_at = parent.expires_at.map_or(latest, |ends| ends.min(latest));
        let child = child_of(&parent, now, expires_at);
        let (key, token) = child.map_err(|error| Refused::Failed(RepoError::Internal(error.into())))?;
        self.keys.add_api_key(key, Actor::Key(parent.id)).await?;
        self.access.refresh().await?;
        Ok(Session { token, seconds: (expires_at.micros() - now.micros()) / 1_000_000 })
    }

    fn key_name(&self, id: ApiKeyId) -> Option<String> {
        self.access.key_name(id)
    }

    async fn end(&self, key: &ApiKey) -> Result<(), RepoError> {
        // Only what was made for a visit ends with it.
        if key.parent_id.is_some() {
            self.keys.revoke_api_key(key.id, Actor::Key(key.id), SystemClock.now()).await?;
            self.access.refresh().await?;
        }
        Ok(())
    }
}

/// The figures of the first page, as they were last counted.
#[derive(Default)]
pub(super) struct Figures {
    holds: AtomicU64,
}

impl Figures {
    /// Nothing was counted yet.
    const UNKNOWN: u64 = 0;

    /// Notes how many reservations are active.
    pub(super) fn note_holds(&self, count: u64) {
        self.holds.store(count.saturating_add(1), Ordering::Relaxed);
    }
}

impl LiveFigures for Figures {
    fn live(&self) -> Live {
        let holds = match self.holds.load(Ordering::Relaxed) {
            Self::UNKNOWN => None,
            counted => Some(counted - 1),
        };
        Live { holds, ..Live::default() }
    }
}
