//! How much of request bodies may be in memory while they are read: over all callers, and of one of them.
//!
//! Counted are bodies that come in more than one piece. Others are parsed as soon as they are there, and what waits to
//! be executed has bounds of its own.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    limits::Caller,
    problem::{Code, Problem},
};

/// Which part of all one caller may have.
const SHARES: usize = 4;

/// Seconds after which there may be room again.
const RETRY_SECONDS: u32 = 1;

/// The bytes that are held at present.
pub(crate) struct Bodies {
    bytes_max: usize,
    held: Mutex<Held>,
}

#[derive(Default)]
struct Held {
    all: usize,
    of_callers: HashMap<Caller, usize>,
}

impl Bodies {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { bytes_max, held: Mutex::default() }
    }

    /// Room for the body of a caller, which is nothing yet.
    pub(crate) fn room(&self, caller: Caller) -> Room<'_> {
        Room { bodies: self, caller, bytes: 0 }
    }

    /// No code that holds the lock leaves the figures half changed.
    fn lock(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What one body holds.
pub(crate) struct Room<'a> {
    bodies: &'a Bodies,
    caller: Caller,
    bytes: usize,
}

impl Room<'_> {
    /// Takes so much more.
    pub(crate) fn grow(&mut self, bytes: usize) -> Result<(), Problem> {
        let mut held = self.bodies.lock();
        let all = held.all.saturating_add(bytes);
        let own = held.of_callers.get(&self.caller).copied().unwrap_or_default().saturating_add(bytes);
        if all > self.bodies.bytes_max || own > self.bodies.bytes_max / SHARES {
            return Err(Problem::retry(Code::Overloaded, RETRY_SECONDS));
        }
        held.all = all;
        held.of_callers.insert(self.caller, own);
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        if self.bytes == 0 {
            return;
        }
        let mut held = self.bodies.lock();
        held.all -= self.bytes;
        if let Some(own) = held.of_callers.get_mut(&self.caller) {
            *own -= self.bytes;
            if *own == 0 {
                held.of_callers.remove(&self.caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_callers_have_a_bound_and_one_has_a_part_of_it() {
        let bodies = Bodies::new(400);
        let mut greedy = bodies.room(Caller::Key(1));
        assert!(greedy.grow(100).is_ok());
        assert_eq!(greedy.grow(1).unwrap_err().code(), Code::Overloaded);
        assert!(bodies.room(Caller::Key(1)).grow(1).is_err(), "another body of the same caller");
        let mut others: Vec<_> = (2..5).map(|key| bodies.room(Caller::Key(key))).collect();
        assert!(others.iter_mut().all(|room| room.grow(100).is_ok()));
        assert!(bodies.room(Caller::Key(9)).grow(1).is_err(), "there is no more");
        drop(greedy);
        assert!(bodies.room(Caller::Key(1)).grow(100).is_ok());
        drop(others);
        assert_eq!(bodies.lock().all, 0);
        assert!(bodies.lock().of_callers.is_empty());
    }
}
