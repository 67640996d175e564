//! What the feed shares between its readers: the store, the name of the ledger, and how many wait.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use balance_domain::{
    ApiKey, EventPage, EventPosition, EventQuery,
    ports::{EventRepo, FeedError, IdentityRepo, RepoError},
};
use metrics::{counter, gauge};

use crate::{
    access::Access,
    problem::{Code, Problem},
    wire::{EventBody, EventPageBody, cursor_of, place_of},
};

/// Seconds after which a reader who found no place may try again.
const FULL_RETRY_SECONDS: u32 = 5;

/// The feed behind the contract.
#[derive(Clone)]
pub struct Events(Arc<Inner>);

struct Inner {
    repo: Arc<dyn EventRepo>,
    identity: Arc<dyn IdentityRepo>,
    /// The ledger as events name it, once it was read.
    source: OnceLock<Arc<str>>,
    followers_max: usize,
    followers: AtomicUsize,
    is_stopping: AtomicBool,
}

impl Events {
    /// The feed of `repo`, the ledger of `identity`; at most `followers_max` readers wait at a time.
    pub fn new(repo: Arc<dyn EventRepo>, identity: Arc<dyn IdentityRepo>, followers_max: usize) -> Self {
        Self(Arc::new(Inner {
            repo,
            identity,
            source: OnceLock::new(),
            followers_max,
            followers: AtomicUsize::default(),
            is_stopping: AtomicBool::default(),
        }))
    }

    /// Ends all waiting: the service stops.
    pub fn stop(&self) {
        self.0.is_stopping.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.0.is_stopping.load(Ordering::Relaxed)
    }

    async fn source(&self) -> Result<Arc<str>, RepoError> {
        if let Some(source) = self.0.source.get() {
            return Ok(Arc::clone(source));
        }
        let recorded = self.0.identity.ledger().await?;
        let recorded = recorded.ok_or_else(|| RepoError::Unavailable("the ledger has no id yet".into()))?;
        let source = || format!("urn:balance:{}", recorded.identity.id).into();
        Ok(Arc::clone(self.0.source.get_or_init(source)))
    }

    /// A place among those who wait.
    pub(crate) fn follower(&self) -> Result<Follower, Problem> {
        let before = self.0.followers.fetch_add(1, Ordering::Relaxed);
        let follower = Follower { events: self.clone() };
        follower.show();
        if before < self.0.followers_max {
            Ok(follower)
        } else {
            Err(Problem::retry(Code::TooManyFollowers, FULL_RETRY_SECONDS))
        }
    }
}

/// A caller of the feed, who may read for an hour.
#[derive(Clone)]
pub(crate) struct Reader {
    events: Events,
    /// The ledger, as its events name it.
    pub(crate) source: Arc<str>,
    access: Access,
    key: Option<Arc<ApiKey>>,
}

impl Reader {
    /// Somebody who was let in.
    pub(crate) async fn new(
        events: Events,
        access: Access,
        key: Option<Arc<ApiKey>>,
    ) -> Result<Self, RepoError> {
        let source = events.source().await?;
        Ok(Self { events, source, access, key })
    }

    /// Whether the service stops.
    pub(crate) fn is_stopping(&self) -> bool {
        self.events.is_stopping()
    }

    /// A place among those who wait.
    pub(crate) fn follower(&self) -> Result<Follower, Problem> {
        self.events.follower()
    }

    /// The place that a cursor names; `None` if it names none.
    pub(crate) async fn place(&self, cursor: Option<&str>) -> Result<Option<EventPosition>, FeedError> {
        match cursor {
            None | Some("earliest") => Ok(Some(EventPosition::EARLIEST)),
            Some("latest") => self.events.0.repo.events_head().await.map(Some),
            Some(cursor) => Ok(place_of(cursor, &self.source)),
        }
    }

    /// A part of the feed, while the caller is let in.
    pub(crate) async fn page(&self, query: EventQuery) -> Result<EventPage, Problem> {
        self.access.check_again(self.key.as_deref())?;
        let page = self.events.0.repo.events(query).await?;
        counter!("balance_events_read_total").increment(page.events.len() as u64);
        Ok(page)
    }

    /// The page as it is answered.
    pub(crate) fn body(&self, page: EventPage) -> EventPageBody {
        EventPageBody {
            next_cursor: cursor_of(&page.next, &self.source),
            data: page.events.into_iter().map(|event| EventBody::new(event, &self.source)).collect(),
        }
    }
}

/// A caller that waits for events; gone when dropped.
pub(crate) struct Follower {
    events: Events,
}

impl Follower {
    fn show(&self) {
        #[expect(clippy::cast_precision_loss, reason = "some dozens")]
        gauge!("balance_events_followers").set(self.events.0.followers.load(Ordering::Relaxed) as f64);
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.events.0.followers.fetch_sub(1, Ordering::Relaxed);
        self.show();
    }
}
