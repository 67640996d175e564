//! Who may do what. Keys are looked up in a snapshot in memory, so that a request costs no query; the app
//! refreshes it every other second, which is how fast a revoked key dies. A snapshot that is too old lets nobody in.

use std::{
    collections::HashMap,
    net::IpAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError, RwLock,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use actix_web::http::{
    Uri,
    header::{AUTHORIZATION, HOST, HeaderMap, HeaderName, ORIGIN},
};
use balance_domain::{
    ApiKey, ApiKeyId, Scope, SecretHash, Timestamp,
    ports::{ApiKeyRepo, Clock, RepoError},
    split_token,
};
use subtle::ConstantTimeEq;

use self::uses::{Known, Refusals};
use crate::{
    limits::{self, RateLimit},
    problem::{Code, Problem},
    wire::command_scopes,
};

mod keys;
mod uses;

/// The header that can carry a key instead of `Authorization`.
pub(crate) const X_API_KEY: HeaderName = HeaderName::from_static("x-api-key");

/// Seconds to wait for a look at the keys.
const UNKNOWN_RETRY_SECONDS: u32 = 1;

/// Keys that could not be read for so long are not trusted any more: a revoked one may be among them.
const AGE_MAX: Duration = Duration::from_secs(30);

/// How requests are let in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AccessMode {
    /// The keys could not be read, or not for too long: nobody is let in.
    Unknown,
    /// No key was ever made: everybody on this machine is let in. The app sees to it that nobody else is there.
    Open,
    /// Keys exist, live or not, or existed: only who has a live one is let in.
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
    state: Arc<State>,
}

struct State {
    snapshot: RwLock<Option<Arc<Snapshot>>>,
    /// As the snapshot has it; looked at for every request.
    is_open: AtomicBool,
    /// A process that has seen a key never opens again.
    has_seen_keys: AtomicBool,
    /// The quota of each caller.
    rate_limit: OnceLock<RateLimit>,
    /// How often an address may fail to show a live key.
    failures: RateLimit,
    /// What the log has of rows that cannot be read.
    faults: Mutex<Vec<String>>,
    refusals: Refusals,
}

/// The keys, by id.
pub(crate) struct Snapshot {
    keys: HashMap<ApiKeyId, Arc<Known>>,
    read_at: Instant,
    is_open: bool,
}

impl Snapshot {
    fn get(&self, id: &str) -> Option<&Arc<Known>> {
        self.keys.get(&ApiKeyId::new(id).ok()?)
    }
}

impl Access {
    /// Access by the keys of `repo`; lets nobody in before the first [`Access::refresh`].
    pub fn new(repo: Arc<dyn ApiKeyRepo>, clock: Arc<dyn Clock>) -> Self {
        let state = State {
            snapshot: RwLock::default(),
            is_open: AtomicBool::default(),
            has_seen_keys: AtomicBool::default(),
            rate_limit: OnceLock::new(),
            failures: RateLimit::of_failures(),
            faults: Mutex::default(),
            refusals: Refusals::default(),
        };
        Self { repo, clock, state: Arc::new(state) }
    }

    /// Reads the keys again. On an error the earlier ones stay in force, until they are too old.
    pub async fn refresh(&self) -> Result<(), RepoError> {
        // Whatever is changed while the keys are read may be missed: they are of the moment before.
        let read_at = Instant::now();
        let read = self.repo.api_keys().await?;
        self.log_faults(read.faults);
        let has_seen_keys =
            self.state.has_seen_keys.fetch_or(read.had_keys, Ordering::Relaxed) || read.had_keys;
        let mut snapshot = self.state.snapshot.write().unwrap_or_else(PoisonError::into_inner);
        let before = snapshot.clone();
        if before.as_ref().is_some_and(|before| before.read_at > read_at) {
            return Ok(());
        }
        if has_seen_keys && !read.had_keys && before.as_ref().is_some_and(|before| !before.keys.is_empty()) {
            tracing::error!(
                "every API key is gone from the store; nobody is let in until there is one again"
            );
        }
        let known = |key: ApiKey| {
            let earlier = before.as_ref().and_then(|before| before.keys.get(&key.id));
            (key.id, Arc::new(Known::new(key, earlier.map(Arc::as_ref))))
        };
        let keys = read.keys.into_iter().map(known).collect();
        *snapshot = Some(Arc::new(Snapshot { keys, read_at, is_open: !has_seen_keys }));
        self.state.is_open.store(!has_seen_keys, Ordering::Relaxed);
        Ok(())
    }

    /// Rows that cannot be read are logged once, not every other second.
    fn log_faults(&self, faults: Vec<String>) {
        let mut logged = self.state.faults.lock().unwrap_or_else(PoisonError::into_inner);
        for fault in faults.iter().filter(|fault| !logged.contains(fault)) {
            tracing::warn!(fault, "a part of an API key is ignored");
        }
        *logged = faults;
    }

    /// How requests are let in at present.
    pub fn mode(&self) -> AccessMode {
        match self.known() {
            Err(_) => AccessMode::Unknown,
            Ok(snapshot) if snapshot.is_open => AccessMode::Open,
            Ok(_) => AccessMode::Keys,
        }
    }

    /// How long ago the keys were read that are in force; `None` before the first time.
    pub fn age(&self) -> Option<Duration> {
        self.current().map(|snapshot| snapshot.read_at.elapsed())
    }

    fn current(&self) -> Option<Arc<Snapshot>> {
        self.state.snapshot.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The keys as they were last read, unless that is too long ago: then nobody can be let in.
    pub(crate) fn known(&self) -> Result<Arc<Snapshot>, Problem> {
        let fresh = self.current().filter(|snapshot| snapshot.read_at.elapsed() <= AGE_MAX);
        fresh.ok_or_else(|| Problem::retry(Code::Unavailable, UNKNOWN_RETRY_SECONDS))
    }

    /// While nobody needs a key: whether the request was meant for this machine, as its sender names it. A page of a
    /// stranger, in a browser on this machine, can give its own name to a loopback address, and send requests there.
    pub(crate) fn check_place(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Problem> {
        if !self.state.is_open.load(Ordering::Relaxed) {
            return Ok(());
        }
        let refused = |what: &str| {
            let detail =
                format!("{what} names another place, and without an API key only this machine is served");
            Err(Problem::with_detail(Code::HostNotAllowed, detail))
        };
        let text = |name| headers.get(name).map_or(Some(""), |value| value.to_str().ok());
        if !text(HOST).is_some_and(is_this_machine)
            || uri.authority().is_some_and(|at| !is_this_machine(at.as_str()))
        {
            return refused("Host");
        }
        let is_foreign =
            |origin: &str| !origin.split_once("://").is_some_and(|(_, place)| is_this_machine(place));
        if headers.contains_key(ORIGIN) && text(ORIGIN).is_none_or(is_foreign) {
            return refused("Origin");
        }
        Ok(())
    }

    /// The live key that the headers carry; `None` while access is open.
    pub(crate) fn authenticate(
        &self,
        headers: &HeaderMap,
        peer: Option<IpAddr>,
    ) -> Result<Option<Arc<ApiKey>>, Problem> {
        let snapshot = self.known()?;
        if snapshot.is_open {
            return Ok(None);
        }
        self.live_key(&snapshot, presented(headers), peer).map(Some)
    }

    /// The live key of a token. A caller without one counts as a failure of its address, and is refused with 429 once
    /// there were too many: before anything is hashed if no key has the id, otherwise after the comparison, so that
    /// nobody can lock out others at the same address.
    fn live_key(
        &self,
        snapshot: &Snapshot,
        token: Option<&str>,
        peer: Option<IpAddr>,
    ) -> Result<Arc<ApiKey>, Problem> {
        let count_failure = || self.state.failures.check(limits::Caller::of(None, peer), 1);
        let refused = || Problem::new(Code::Unauthenticated);
        let Some((id, secret)) = token.and_then(split_token) else {
            count_failure()?;
            return Err(refused());
        };
        let Some(known) = snapshot.get(id) else {
            count_failure()?;
            // An unknown id costs the same work as a wrong secret.
            std::hint::black_box(SecretHash::of(secret).0.ct_eq(&[0; 32]));
            return Err(refused());
        };
        let is_secret = bool::from(SecretHash::of(secret).0.ct_eq(&known.key.secret_hash.0));
        let live = if is_secret { self.liveness(snapshot, &known.key) } else { Err(refused()) };
        match live {
            Ok(()) => {
                known.note_use(self.clock.now());
                Ok(Arc::clone(&known.key))
            }
            Err(problem) => {
                count_failure()?;
                self.state.refusals.note(known.key.id, None);
                Err(problem)
            }
        }
    }

    /// The live key of a token, counted against its quota; `None` while access is open. For pages, which carry the
    /// token otherwise than the API does. No token is no failure: somebody wants to log in.
    pub fn admit(&self, token: Option<&str>, peer: Option<IpAddr>) -> Result<Option<Arc<ApiKey>>, Denied> {
        let denied = |problem: Problem| match problem.code() {
            Code::RateLimited => Denied::RateLimited(problem.retry_after_seconds().unwrap_or(1)),
            _ => Denied::Unauthenticated,
        };
        let snapshot = self.known().map_err(|_| Denied::Unknown)?;
        let key = match token {
            _ if snapshot.is_open => None,
            None => return Err(Denied::Unauthenticated),
            token => Some(self.live_key(&snapshot, token, peer).map_err(denied)?),
        };
        self.count(key.as_deref(), peer, 1).map_err(denied)?;
        Ok(key)
    }

    /// What the key of this id is called, alive or not.
    pub fn key_name(&self, id: ApiKeyId) -> Option<String> {
        self.current()?.keys.get(&id).map(|known| known.key.name.clone())
    }

    /// Sets the quota of each caller, once.
    pub(crate) fn limit_to(&self, commands_per_second: u32) {
        let _ = self.state.rate_limit.set(RateLimit::new(commands_per_second));
    }

    /// Counts commands against the quota of their caller.
    pub(crate) fn count(
        &self,
        key: Option<&ApiKey>,
        peer: Option<IpAddr>,
        commands: usize,
    ) -> Result<(), Problem> {
        self.state
            .rate_limit
            .get()
            .map_or(Ok(()), |limit| limit.check(limits::Caller::of(key, peer), commands))
    }

    /// A key dies with the one that it was made from. Its sender, who has the secret, may know what became of it.
    fn liveness(&self, snapshot: &Snapshot, key: &ApiKey) -> Result<(), Problem> {
        let now = self.clock.now();
        liveness(key, now)?;
        let Some(parent) = key.parent_id else { return Ok(()) };
        match snapshot.keys.get(&parent) {
            Some(parent) => liveness(&parent.key, now),
            None => Err(Problem::new(Code::KeyRevoked)),
        }
    }

    /// Whether a caller would still be let in, for requests that take their time.
    pub(crate) fn check_again(&self, key: Option<&ApiKey>) -> Result<(), Problem> {
        let snapshot = self.known()?;
        let refused = || Problem::new(Code::Unauthenticated);
        let Some(key) = key else { return if snapshot.is_open { Ok(()) } else { Err(refused()) } };
        let known = snapshot.keys.get(&key.id).map(|known| &known.key);
        let known = known.filter(|known| known.secret_hash == key.secret_hash).ok_or_else(refused)?;
        self.liveness(&snapshot, known)?;
        if known.scopes == key.scopes { Ok(()) } else { Err(Problem::new(Code::Forbidden)) }
    }

    /// Refuses a key that lacks the scope.
    pub(crate) fn authorise(&self, key: Option<&ApiKey>, scope: Scope) -> Result<(), Problem> {
        match key {
            Some(key) if !key.allows(scope) => {
                self.state.refusals.note(key.id, Some(scope));
                let detail = format!("the key lacks the scope {}", scope.as_str());
                Err(Problem::with_detail(Code::Forbidden, detail))
            }
            _ => Ok(()),
        }
    }

    /// Refuses a key that no command could be sent with.
    pub(crate) fn authorise_any_command(&self, key: Option<&ApiKey>) -> Result<(), Problem> {
        let scopes = command_scopes();
        match key {
            Some(key) if !scopes.iter().any(|scope| key.allows(*scope)) => {
                self.state.refusals.note(key.id, Some(Scope::Deposit));
                let names = scopes.into_iter().map(Scope::as_str).collect::<Vec<_>>().join(", ");
                let detail = format!("the key has none of the scopes {names}");
                Err(Problem::with_detail(Code::Forbidden, detail))
            }
            _ => Ok(()),
        }
    }
}

/// Who has the secret may know what became of the key.
fn liveness(key: &ApiKey, now: Timestamp) -> Result<(), Problem> {
    if let Some(at) = key.revoked_at {
        return Err(Problem::with_detail(Code::KeyRevoked, format!("the key was revoked at {at}")));
    }
    if key.is_live(now) {
        return Ok(());
    }
    let at = key.expires_at.unwrap_or(now);
    Err(Problem::with_detail(Code::KeyExpired, format!("the key expired at {at}")))
}

/// The id of the key that the headers carry, for the log: real or not, but an id by its looks.
pub(crate) fn presented_id(headers: &HeaderMap) -> Option<&str> {
    presented(headers).and_then(split_token).map(|(id, _)| id)
}

/// The token of `Authorization: Bearer` or `X-Api-Key`.
fn presented(headers: &HeaderMap) -> Option<&str> {
    match headers.get(AUTHORIZATION) {
        Some(value) => {
            let (scheme, key) = value.to_str().ok()?.split_once(' ')?;
            scheme.eq_ignore_ascii_case("bearer").then(|| key.trim_start())
        }
        None => headers.get(X_API_KEY)?.to_str().ok(),
    }
}

/// `localhost` or a loopback address, with or without a port.
fn is_this_machine(place: &str) -> bool {
    let host = match place.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => place.split(':').next().unwrap_or_default(),
    };
    host.eq_ignore_ascii_case("localhost") || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_localhost_or_loopback() {
        for place in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:8080"] {
            assert!(is_this_machine(place), "{place}");
        }
        for place in [
            "",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "10.0.0.1:8080",
            "[::2]",
            "null",
        ] {
            assert!(!is_this_machine(place), "{place}");
        }
    }
}
