//! The model: all ports of a store in memory, written to be obviously right rather than fast.
//!
//! It does not use the domain's decider. The money rules are written here a second time, naively and one
//! command at a time, so that comparing a store with this model also tests the decider.

mod advice;
mod api_keys;
mod book;
mod catalogue;
mod events;
mod expiry;
mod identity;
mod ledger;
mod reads;
mod reports;
mod rules;

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use balance_domain::{
    ApiKey, Fact, IdempotencyKey, LedgerIdentity, Moment, MoneyCommand, Month, Receipt, RevenueReport,
    Service, ServiceId, Timestamp, UserId,
    ports::{Clock, RepoError},
};

use crate::SetClock;
use book::Book;
use events::Entry;

/// A ledger that lives as long as the last of its clones.
#[derive(Clone, Default)]
pub struct MemoryStore {
    world: Arc<Mutex<World>>,
    clock: SetClock,
}

impl MemoryStore {
    /// An empty one with a clock of its own.
    pub fn new() -> Self {
        Self::default()
    }

    /// An empty one with this clock.
    pub fn with_clock(clock: SetClock) -> Self {
        Self { world: Arc::default(), clock }
    }

    /// Its clock.
    pub fn clock(&self) -> SetClock {
        self.clock.clone()
    }

    fn moment(&self, world: &World) -> Result<Moment, RepoError> {
        let moment = self.clock.moment()?;
        Ok(world.closed_until.map_or(moment, |closed_until| moment.closed_until(closed_until)))
    }

    /// One lock for everything: every call is one moment.
    fn world(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// All there is.
#[derive(Clone, Default)]
struct World {
    /// Accounts that something happened to.
    books: BTreeMap<UserId, Book>,
    /// The keys that were answered.
    answers: BTreeMap<(UserId, IdempotencyKey), Answer>,
    /// The catalogue, and whether a reservation was ever made for the service.
    services: BTreeMap<ServiceId, (Service, bool)>,
    reports: BTreeMap<Month, RevenueReport>,
    api_keys: Vec<ApiKey>,
    identity: Option<LedgerIdentity>,
    /// Nothing is dated before this.
    closed_until: Option<Timestamp>,
    /// Everything that happened, in order.
    feed: Vec<Entry>,
    /// How many operations of each account are in the feed.
    listed: BTreeMap<UserId, usize>,
    /// Facts about accounts that are not in the feed yet.
    facts: Vec<Fact>,
}

/// What a key was first used for, and what was answered.
#[derive(Clone)]
struct Answer {
    meaning: MoneyCommand,
    receipt: Receipt,
    /// The text of its comment is gone, from both.
    is_erased: bool,
}
