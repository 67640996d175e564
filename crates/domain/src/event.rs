//! The feed: everything that happened, in one order, seen from its beginning for ever.
//!
//! It is a view of what is stored anyway: the operations with the facts between them. Each account's events come in the
//! order of `seq`, a cause before its effect.

use std::fmt;

use crate::{
    Actor, Fact, FactKind, Invalid, OperationKind, RecordedFact, RecordedOperation, ServiceId, Timestamp,
    UserId,
};

/// A place in the feed of one ledger: behind an event, or before all of them. Stores use the numbers as they need;
/// the order of places is that of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventPosition {
    /// The batch, or the operation, that the event came with.
    pub batch: i64,
    /// The account; 0 for none.
    pub user_id: i64,
    /// The account's operation; 0 for none.
    pub seq: i64,
    /// The fact behind that operation; 0 for the operation itself.
    pub fact: i64,
}

impl EventPosition {
    /// Before everything.
    pub const EARLIEST: Self = Self { batch: 0, user_id: 0, seq: 0, fact: 0 };
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// Money moved.
    Operation(RecordedOperation),
    /// Something else happened.
    Fact(RecordedFact),
}

/// One entry of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Where it stands.
    pub position: EventPosition,
    /// What happened.
    pub happening: Happening,
}

impl Event {
    /// Its id, which is the same in every store, after a restore and in every delivery: `<user>-<seq>` of an operation,
    /// `fact-<number>` of a fact. Consumers drop doubles by it.
    pub fn id(&self) -> String {
        match &self.happening {
            Happening::Operation(RecordedOperation { operation, .. }) => {
                format!("{}-{}", operation.user_id, operation.seq)
            }
            Happening::Fact(fact) => format!("fact-{}", fact.id),
        }
    }

    /// What kind of event it is.
    pub const fn kind(&self) -> EventType {
        match &self.happening {
            Happening::Operation(recorded) => EventType::Operation(recorded.operation.kind),
            Happening::Fact(recorded) => EventType::Fact(recorded.fact.kind),
        }
    }

    /// What it happened to.
    pub fn subject(&self) -> String {
        match &self.happening {
            Happening::Operation(recorded) => format!("users/{}", recorded.operation.user_id),
            Happening::Fact(recorded) => recorded.fact.subject.clone(),
        }
    }

    /// When it happened.
    pub const fn at(&self) -> Timestamp {
        match &self.happening {
            Happening::Operation(recorded) => recorded.operation.created_at,
            Happening::Fact(recorded) => recorded.fact.at,
        }
    }

    /// Who did it.
    pub const fn actor(&self) -> Actor {
        match &self.happening {
            Happening::Operation(recorded) => recorded.operation.actor,
            Happening::Fact(recorded) => recorded.fact.actor,
        }
    }

    const fn about(&self) -> (Option<UserId>, Option<ServiceId>) {
        match &self.happening {
            Happening::Operation(recorded) => {
                (Some(recorded.operation.user_id), recorded.operation.service_id)
            }
            Happening::Fact(RecordedFact { fact: Fact { user_id, service_id, .. }, .. }) => {
                (*user_id, *service_id)
            }
        }
    }
}

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum EventType {
    /// An operation of this kind.
    Operation(OperationKind),
    /// A fact of this kind.
    Fact(FactKind),
}

impl EventType {
    const PREFIX: &str = "balance.";
    const OPERATION: &str = "operation.";

    /// Every type.
    pub fn all() -> impl Iterator<Item = Self> {
        let operations = OperationKind::ALL.into_iter().map(Self::Operation);
        operations.chain(FactKind::ALL.iter().copied().map(Self::Fact))
    }

    /// The types that a name stands for: its own, or, ending in `.*`, all that begin so. None for any other text.
    pub fn named(name: &str) -> Result<Vec<Self>, Invalid> {
        let group = name.strip_suffix('*').filter(|group| group.ends_with('.'));
        let is_meant = |kind: &Self| {
            let own = kind.to_string();
            group.map_or(own == name, |group| own.starts_with(group))
        };
        let types: Vec<Self> = Self::all().filter(is_meant).collect();
        if types.is_empty() { Err(Invalid::EventType) } else { Ok(types) }
    }
}

/// The name in the feed, for example `balance.operation.capture`.
impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::PREFIX)?;
        match self {
            Self::Operation(kind) => write!(f, "{}{}", Self::OPERATION, kind.as_str()),
            Self::Fact(kind) => f.write_str(kind.as_str()),
        }
    }
}

/// Which events are wanted; absent means all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EventFilter {
    /// Only these types.
    pub types: Option<Vec<EventType>>,
    /// Only of this account.
    pub user_id: Option<UserId>,
    /// Only of this service.
    pub service_id: Option<ServiceId>,
}

impl EventFilter {
    /// Whether the event is wanted.
    pub fn takes(&self, event: &Event) -> bool {
        let (user_id, service_id) = event.about();
        self.types.as_ref().is_none_or(|types| types.contains(&event.kind()))
            && (self.user_id.is_none() || self.user_id == user_id)
            && (self.service_id.is_none() || self.service_id == service_id)
    }
}

/// The most events of a page.
pub const EVENTS_MAX: u16 = 1_000;
/// The size of a page that nobody asked a size for.
pub const EVENTS_DEFAULT: u16 = 100;

/// How many events a page may have: `1 ..= 1000`, 100 by default.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventLimit(u16);

impl EventLimit {
    /// Accepts `1 ..= 1000`.
    pub const fn new(events: u16) -> Result<Self, Invalid> {
        if events < 1 || events > EVENTS_MAX { Err(Invalid::EventLimit) } else { Ok(Self(events)) }
    }

    /// The number of events.
    pub const fn get(self) -> u16 {
        self.0
    }
}

impl Default for EventLimit {
    fn default() -> Self {
        Self(EVENTS_DEFAULT)
    }
}

/// The next part of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventQuery {
    /// Behind this place.
    pub after: EventPosition,
    /// Which events.
    pub filter: EventFilter,
    /// At most this many.
    pub limit: EventLimit,
}

/// A part of the feed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventPage {
    /// The events, in their order.
    pub events: Vec<Event>,
    /// Where the next part starts: behind everything that was looked at, wanted or not.
    pub next: EventPosition,
    /// Nothing was behind `next`. Otherwise more may follow at once, even if this page is empty.
    pub is_end: bool,
}

impl EventPage {
    /// How many rows a store looks at for one page: unwanted ones are passed over, and a page must not take for ever.
    pub const ROWS_MAX: usize = 10_000;

    /// A page without an event so far.
    pub const fn at(query: &EventQuery) -> Self {
        Self { events: Vec::new(), next: query.after, is_end: false }
    }

    /// Adds the event that comes next, if it is wanted; `false` if the page is full without it.
    pub fn take(&mut self, query: &EventQuery, event: Event) -> bool {
        let is_full = self.events.len() == usize::from(query.limit.get());
        if !is_full {
            self.next = event.position;
            if query.filter.takes(&event) {
                self.events.push(event);
            }
        }
        !is_full
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_is_named_alone_or_with_its_group() {
        for kind in EventType::all() {
            assert_eq!(EventType::named(&kind.to_string()), Ok(vec![kind]));
        }
        let count = |name: &str| EventType::named(name).map(|types| types.len());
        assert_eq!(count("balance.operation.*"), Ok(OperationKind::ALL.len()));
        assert_eq!(count("balance.*"), Ok(EventType::all().count()));
        for refused in
            ["", "*", "balance.", "balance.operation", "capture", "balance.op*", "balance.nothing.*"]
        {
            assert_eq!(count(refused), Err(Invalid::EventType), "{refused:?}");
        }
    }
}
