//! The feed of the store of maps: a list of everything that was written.

use async_trait::async_trait;
use balance_domain::{
    Changes, Event, EventPage, EventPosition, EventQuery, Fact, Happening, RecordedFact, UserId,
    ports::{EventRepo, FeedError, RepoError},
};

use crate::tables::{DecidedStore, Tables};

/// One entry of the list.
#[derive(Clone)]
pub(crate) enum Entry {
    /// An operation, by its account and its place there.
    Operation(UserId, usize),
    Fact(RecordedFact),
}

#[async_trait]
impl EventRepo for DecidedStore {
    async fn events(&self, query: EventQuery) -> Result<EventPage, FeedError> {
        let tables = self.tables();
        if query.after > tables.head() {
            return Err(FeedError::Ahead);
        }
        let mut page = EventPage::at(&query);
        for at in usize::try_from(query.after.batch).unwrap()..tables.feed.len() {
            if !page.take(&query, tables.event(at)) {
                return Ok(page);
            }
        }
        page.is_end = true;
        Ok(page)
    }

    async fn events_head(&self) -> Result<EventPosition, FeedError> {
        Ok(self.tables().head())
    }

    async fn add_facts(&self, facts: Vec<Fact>) -> Result<(), RepoError> {
        let mut tables = self.tables();
        for fact in facts {
            tables.note(fact);
        }
        Ok(())
    }
}

fn place(count: usize) -> EventPosition {
    EventPosition { batch: count.try_into().unwrap(), ..EventPosition::EARLIEST }
}

impl Tables {
    fn head(&self) -> EventPosition {
        place(self.feed.len())
    }

    fn event(&self, at: usize) -> Event {
        let happening = match &self.feed[at] {
            Entry::Operation(user_id, at) => Happening::Operation(self.operations[user_id][*at].clone()),
            Entry::Fact(fact) => Happening::Fact(fact.clone()),
        };
        Event { position: place(at + 1), happening }
    }

    pub(crate) fn note(&mut self, fact: Fact) {
        let id = self.feed.len().try_into().unwrap();
        self.feed.push(Entry::Fact(RecordedFact { id, fact }));
    }

    /// Lists a batch: its operations in order, and each fact before the first operation that follows it.
    pub(crate) fn list(&mut self, changes: &Changes) {
        let mut facts = changes.facts.clone();
        for recorded in &changes.operations {
            let (user_id, seq) = (recorded.operation.user_id, recorded.operation.seq);
            for fact in facts.extract_if(.., |fact| fact.user_id == Some(user_id) && fact.seq < seq) {
                let id = self.feed.len().try_into().unwrap();
                self.feed.push(Entry::Fact(RecordedFact { id, fact }));
            }
            self.feed.push(Entry::Operation(user_id, usize::try_from(seq - 1).unwrap()));
        }
        for fact in facts {
            self.note(fact);
        }
    }
}
