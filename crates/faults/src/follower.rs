//! A consumer of the feed that watches a round. Whatever is broken meanwhile, it must get each operation of each
//! account once and in its order: a cursor that was given out never skips anything.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::task::JoinHandle;

use crate::{
    history::OperationView,
    target::{Feed, HttpTarget},
};

/// How long the feed may lag behind the histories once all faults are over.
const CATCH_UP_WITHIN: Duration = Duration::from_secs(30);
/// Wait after a call that brought no page, so that a dead service is not hammered.
const PAUSE: Duration = Duration::from_millis(20);

/// See the module. It follows until it is dropped.
pub struct Follower {
    log: Arc<Mutex<Log>>,
    following: JoinHandle<()>,
}

/// What came.
#[derive(Default)]
struct Log {
    /// The numbers of each account's operations, as they came.
    numbers: BTreeMap<i64, Vec<i64>>,
    events: u64,
    /// Calls that brought no page.
    failures: u64,
    /// Calls that were refused for good; nothing may follow.
    refused: Option<String>,
}

impl Log {
    fn take(&mut self, operations: Vec<(i64, i64)>) {
        for (user_id, seq) in operations {
            self.events += 1;
            self.numbers.entry(user_id).or_default().push(seq);
        }
    }
}

impl Follower {
    /// Follows from now on, at one instance after another, with pages of random sizes.
    pub async fn start(targets: Vec<HttpTarget>, seed: u64) -> anyhow::Result<Self> {
        let first = targets.first().context("no instance to follow")?;
        let cursor = match first.events("latest", 1, 0).await? {
            Feed::Page(page) => page.next_cursor,
            Feed::Refused(why) => bail!("the feed cannot be followed: {why}"),
        };
        let log = Arc::<Mutex<Log>>::default();
        let following = tokio::spawn(follow(Arc::clone(&log), targets, cursor, seed));
        Ok(Self { log, following })
    }

    /// How many events came so far.
    pub fn events(&self) -> u64 {
        lock(&self.log).events
    }

    /// How many calls brought no page.
    pub fn failures(&self) -> u64 {
        lock(&self.log).failures
    }

    /// Waits until everything of these histories came. Returns what is wrong.
    pub async fn compare(&self, histories: &BTreeMap<i64, Vec<OperationView>>) -> Vec<String> {
        let started = Instant::now();
        while !self.has_all(histories) && !self.is_over() && started.elapsed() < CATCH_UP_WITHIN {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let log = lock(&self.log);
        let mut wrong: Vec<String> = log.refused.iter().map(|why| format!("refused: {why}")).collect();
        for (user_id, history) in histories {
            let numbers = log.numbers.get(user_id).map_or(&[][..], Vec::as_slice);
            wrong.extend(difference(history.len(), numbers).map(|what| format!("user {user_id}: {what}")));
        }
        wrong
    }

    fn has_all(&self, histories: &BTreeMap<i64, Vec<OperationView>>) -> bool {
        let log = lock(&self.log);
        let came = |user_id: &i64| log.numbers.get(user_id).map_or(0, Vec::len);
        histories.iter().all(|(user_id, history)| came(user_id) >= history.len())
    }

    fn is_over(&self) -> bool {
        self.following.is_finished()
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// What is wrong with the numbers of an account that has had at least this many operations.
fn difference(operations: usize, numbers: &[i64]) -> Option<String> {
    if numbers.len() < operations {
        return Some(format!("{} of {operations} operations came", numbers.len()));
    }
    let wrong = numbers.iter().zip(1..).find(|(number, expected)| *number != expected);
    wrong.map(|(number, expected)| format!("operation {number} came where {expected} was due"))
}

fn lock(log: &Mutex<Log>) -> MutexGuard<'_, Log> {
    log.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn follow(log: Arc<Mutex<Log>>, targets: Vec<HttpTarget>, mut cursor: String, seed: u64) {
    let mut random = SmallRng::seed_from_u64(seed);
    // The same cursor must do at any instance.
    for target in targets.iter().cycle() {
        match target.events(&cursor, random.random_range(1..=100), 1).await {
            Ok(Feed::Page(page)) => {
                cursor = page.next_cursor;
                lock(&log).take(page.operations);
            }
            Ok(Feed::Refused(why)) => {
                lock(&log).refused = Some(why);
                return;
            }
            Err(_) => {
                lock(&log).failures += 1;
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_missing_doubled_or_out_of_order_is_seen() {
        assert_eq!(difference(3, &[1, 2, 3]), None);
        assert_eq!(difference(2, &[1, 2, 3]), None, "an expiry came after the history was read");
        for wrong in [&[1, 2][..], &[1, 3, 2], &[1, 2, 2, 3], &[2, 3, 4], &[1, 2, 4]] {
            assert!(difference(3, wrong).is_some(), "{wrong:?}");
        }
    }
}
