//! The feed of the model: a list of everything, in the order in which calls were answered.

use std::collections::BTreeSet;

use async_trait::async_trait;
use balance_domain::{
    Event, EventPage, EventPosition, EventQuery, Fact, Happening, RecordedFact, UserId,
    ports::{EventRepo, FeedError, RepoError},
};

use super::{MemoryStore, World};

/// One entry of the list.
#[derive(Clone)]
pub(super) enum Entry {
    /// An operation, by its account and its place in the account's book, where its text may be erased later.
    Operation(UserId, usize),
    Fact(RecordedFact),
}

#[async_trait]
impl EventRepo for MemoryStore {
    async fn events(&self, query: EventQuery) -> Result<EventPage, FeedError> {
        let world = self.world();
        if query.after > world.head() {
            return Err(FeedError::Ahead);
        }
        let mut page = EventPage::at(&query);
        for at in usize::try_from(query.after.batch).unwrap_or(usize::MAX)..world.feed.len() {
            if !page.take(&query, world.event(at)) {
                return Ok(page);
            }
        }
        page.is_end = true;
        Ok(page)
    }

    async fn events_head(&self) -> Result<EventPosition, FeedError> {
        Ok(self.world().head())
    }

    async fn add_facts(&self, facts: Vec<Fact>) -> Result<(), RepoError> {
        let mut world = self.world();
        for fact in facts {
            world.note_fact(fact);
        }
        Ok(())
    }
}

fn place(count: usize) -> EventPosition {
    EventPosition { batch: number(count), user_id: 0, seq: 0, fact: 0 }
}

fn number(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl World {
    fn head(&self) -> EventPosition {
        place(self.feed.len())
    }

    fn event(&self, at: usize) -> Event {
        let happening = match &self.feed[at] {
            Entry::Operation(user_id, place) => {
                Happening::Operation(self.books[user_id].operations[*place].clone())
            }
            Entry::Fact(fact) => Happening::Fact(fact.clone()),
        };
        Event { position: place(at + 1), happening }
    }

    /// A fact that is about no account, or whose account has nothing that is not listed yet.
    pub(super) fn note_fact(&mut self, fact: Fact) {
        let facts = self.feed.iter().filter(|entry| matches!(entry, Entry::Fact(_))).count();
        self.feed.push(Entry::Fact(RecordedFact { id: number(facts) + 1, fact }));
    }

    /// Lists what happened to these users since they were listed last, each account's facts between its operations.
    pub(super) fn list(&mut self, users: &BTreeSet<UserId>) {
        let facts = std::mem::take(&mut self.facts);
        for user_id in users {
            let mut of_user = facts.iter().filter(|fact| fact.user_id == Some(*user_id)).peekable();
            let count = self.books.get(user_id).map_or(0, |book| book.operations.len());
            let listed = self.listed.insert(*user_id, count).unwrap_or(0);
            for at in listed..count {
                while let Some(fact) = of_user.next_if(|fact| fact.seq <= number(at)) {
                    self.note_fact(fact.clone());
                }
                self.feed.push(Entry::Operation(*user_id, at));
            }
            of_user.for_each(|fact| self.note_fact(fact.clone()));
        }
    }
}
