//! Who may do what. Keys are looked up in a snapshot in memory, so that a request costs no query; the app
//! refreshes it every other second, which is how fast a revoked key dies.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{Arc, OnceLock, PoisonError, RwLock},
};

use actix_web::http::header::{AUTHORIZATION, HeaderMap, HeaderName};
use balance_domain::{
    ApiKey, ApiKeyId, Scope, SecretHash,
    ports::{ApiKeyRepo, Clock, RepoError},
};
use subtle::ConstantTimeEq;

use crate::{
    limits::{self, RateLimit},
    problem::{Code, Problem},
};

/// The header that can carry a key instead of `Authorization`.
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Seconds to wait for the first look at the keys.
const UNKNOWN_RETRY_SECONDS: u32 = 1;

/// Which requests have access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// The keys could not be read yet: no request has access.
    Unknown,
    /// No key was ever created: every request has access. For loopback only; the app ensures that.
    Open,
    /// Keys exist, live or not: only a live one gives access.
    Keys,
}

/// Why a caller is not let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Denied {
    /// The keys were not read yet.
    Unknown,
    /// No live key was given.
    Unauthenticated,
    /// The quota is used up; seconds until it is not.
    RateLimited(u32),
}

/// The API keys as they were last read, and the quota of each.
#[derive(Clone)]
pub struct Access {
    repo: Arc<dyn ApiKeyRepo>,
    clock: Arc<dyn Clock>,
    snapshot: Arc<RwLock<Option<Arc<Snapshot>>>>,
    rate_limit: Arc<OnceLock<RateLimit>>,
}

type Snapshot = HashMap<String, Arc<ApiKey>>;

impl Access {
    /// Access by the keys of `repo`; no request has access before the first [`Access::refresh`].
    pub fn new(repo: Arc<dyn ApiKeyRepo>, clock: Arc<dyn Clock>) -> Self {
        Self { repo, clock, snapshot: Arc::default(), rate_limit: Arc::default() }
    }

    /// Reads the keys again. On an error the earlier ones stay in force.
    pub async fn refresh(&self) -> Result<(), RepoError> {
        let keys = self.repo.api_keys().await?;
        let snapshot = keys.into_iter().map(|key| (key.id.as_str().to_owned(), Arc::new(key))).collect();
        *self.snapshot.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(snapshot));
        Ok(())
    }

    /// Which requests have access at present.
    pub fn mode(&self) -> AccessMode {
        match self.current() {
            None => AccessMode::Unknown,
            Some(keys) if keys.is_empty() => AccessMode::Open,
            Some(_) => AccessMode::Keys,
        }
    }

    fn current(&self) -> Option<Arc<Snapshot>> {
        self.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys as they were last read; until they are, no request has access.
    pub(crate) fn known(&self) -> Result<Arc<Snapshot>, Problem> {
        self.current().ok_or_else(|| Problem::retry(Code::Unavailable, UNKNOWN_RETRY_SECONDS))
    }

    /// The live key that the headers carry; `None` while access is open.
    pub(crate) fn authenticate(&self, headers: &HeaderMap) -> Result<Option<Arc<ApiKey>>, Problem> {
        let keys = self.known()?;
        if keys.is_empty() {
            return Ok(None);
        }
        let live = presented(headers).and_then(|(id, secret)| self.live(&keys, id, secret));
        live.map(Some).ok_or_else(|| Problem::new(Code::Unauthenticated))
    }

    /// The live key of a token, counted against its quota; `None` while access is open. For pages, which carry the
    /// token otherwise than the API does.
    pub fn admit(&self, token: Option<&str>, peer: Option<IpAddr>) -> Result<Option<Arc<ApiKey>>, Denied> {
        let keys = self.current().ok_or(Denied::Unknown)?;
        let key = if keys.is_empty() {
            None
        } else {
            let live = token.and_then(parts).and_then(|(id, secret)| self.live(&keys, id, secret));
            Some(live.ok_or(Denied::Unauthenticated)?)
        };
        self.wait_seconds(key.as_deref(), peer).map_or(Ok(key), |seconds| Err(Denied::RateLimited(seconds)))
    }

    /// What the key of this id is called, alive or not.
    pub fn key_name(&self, id: ApiKeyId) -> Option<String> {
        self.current()?.get(id.as_str()).map(|key| key.name.clone())
    }

    /// Sets the quota of each caller, once.
    pub(crate) fn limit_to(&self, requests_per_second: u32) {
        let _ = self.rate_limit.set(RateLimit::new(requests_per_second));
    }

    /// Counts a request against the quota of its caller; how long to wait if that is used up.
    pub(crate) fn wait_seconds(&self, key: Option<&ApiKey>, peer: Option<IpAddr>) -> Option<u32> {
        self.rate_limit.get().and_then(|limit| limit.wait_seconds(limits::Caller::of(key, peer)))
    }

    /// The key with this id and secret, if it and the key that it was made from are alive.
    fn live(&self, keys: &Snapshot, id: &str, secret: &str) -> Option<Arc<ApiKey>> {
        let known = keys.get(id);
        // An unknown id costs the same work as a wrong secret.
        let expected = known.map_or([0; 32], |key| key.secret_hash.0);
        let is_secret = bool::from(SecretHash::of(secret).0.ct_eq(&expected));
        let now = self.clock.now();
        let key = known.filter(|key| is_secret && key.is_live(now))?;
        let is_orphan = key
            .parent_id
            .is_some_and(|parent| keys.get(parent.as_str()).is_none_or(|parent| !parent.is_live(now)));
        (!is_orphan).then(|| Arc::clone(key))
    }
}

/// Refuses a key that lacks the scope.
pub(crate) fn authorise(key: Option<&ApiKey>, scope: Scope) -> Result<(), Problem> {
    match key {
        Some(key) if !key.allows(scope) => {
            Err(Problem::with_detail(Code::Forbidden, format!("the key lacks the scope {}", scope.as_str())))
        }
        _ => Ok(()),
    }
}

/// Id and secret of `bal_<id>_<secret>`, from `Authorization: Bearer` or `X-Api-Key`.
fn presented(headers: &HeaderMap) -> Option<(&str, &str)> {
    let key = match headers.get(AUTHORIZATION) {
        Some(value) => {
            let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
            if !scheme.eq_ignore_ascii_case("bearer") {
                return None;
            }
            key.trim_start()
        }
        None => headers.get(X_API_KEY)?.to_str().ok()?,
    };
    parts(key)
}

/// Id and secret of a token.
fn parts(token: &str) -> Option<(&str, &str)> {
    token.strip_prefix("bal_")?.split_once('_')
}
