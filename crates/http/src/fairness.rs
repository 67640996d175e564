//! Who may submit next, when more is offered than the store takes: each caller in turn, however much one of them
//! offers.
//!
//! A number of commands is let in at once, enough to keep the store busy. Beyond that commands wait in a queue of their
//! caller, and whenever there is room the next caller's turn comes. A caller may fill at most half of what room is
//! left to wait in, so that there always is some for others.

use std::{
    collections::{HashMap, VecDeque},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix_web::web::Data;
use metrics::counter;
use tokio::{sync::oneshot, time::timeout};

use crate::{
    api::Shared,
    limits::Caller,
    problem::{Code, Problem, overloaded_retry_seconds},
};

/// How many commands may be with the ledger, and how many may wait for that and how long.
#[derive(Clone, Copy, Debug)]
pub struct QueueSettings {
    /// Commands that were submitted and not answered yet, of all callers together.
    pub submitted_max: usize,
    /// Commands that wait to be submitted.
    pub waiting_max: usize,
    /// How long a command may wait.
    pub age_max: Duration,
}

/// Commands with the ledger, and those that wait.
pub(crate) struct Fairness {
    settings: QueueSettings,
    submitted: AtomicUsize,
    /// As the queue has it; looked at without its lock.
    waiting: AtomicUsize,
    queue: Mutex<Queue>,
}

#[derive(Default)]
struct Queue {
    /// Who has something waiting, in the order of their turns.
    turns: VecDeque<Caller>,
    calls: HashMap<Caller, Calls>,
}

#[derive(Default)]
struct Calls {
    waiting: VecDeque<Call>,
    commands: usize,
}

struct Call {
    commands: usize,
    go: oneshot::Sender<Place>,
}

impl Fairness {
    pub(crate) fn new(settings: QueueSettings) -> Self {
        Self {
            settings,
            submitted: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            queue: Mutex::default(),
        }
    }

    /// Whether this many more may be submitted now. Whatever is larger than all that may be there goes alone.
    fn takes(&self, commands: usize) -> bool {
        let fits = |submitted| {
            let more = submitted + commands;
            (submitted == 0 || more <= self.settings.submitted_max).then_some(more)
        };
        self.submitted.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    /// Puts a call in the queue of its caller, if there is room.
    fn wait(&self, caller: Caller, commands: usize) -> Option<oneshot::Receiver<Place>> {
        let mut queue = self.lock();
        let waiting = self.waiting.load(Ordering::Relaxed);
        let own = queue.calls.get(&caller).map_or(0, |calls| calls.commands);
        let room = self.settings.waiting_max.saturating_sub(waiting);
        // At most half of the free room for one caller. If nobody waits, a call of any size is queued.
        if own + commands > room && waiting > 0 {
            return None;
        }
        let (go, turn) = oneshot::channel();
        if own == 0 {
            queue.turns.push_back(caller);
        }
        let calls = queue.calls.entry(caller).or_default();
        calls.commands += commands;
        calls.waiting.push_back(Call { commands, go });
        self.waiting.fetch_add(commands, Ordering::Relaxed);
        Some(turn)
    }

    /// Lets in whom there is room for, one call of each caller after the other.
    fn let_in(&self, shared: &Data<Shared>) {
        // Dropped without the lock, which dropping takes: places of callers who have given up.
        let mut unclaimed = Vec::new();
        let mut queue = self.lock();
        while let Some(caller) = queue.turns.pop_front() {
            let Some(calls) = queue.calls.get_mut(&caller) else { continue };
            let Some(commands) = calls.waiting.front().map(|call| call.commands) else { continue };
            if !self.takes(commands) {
                queue.turns.push_front(caller);
                break;
            }
            let call = calls.waiting.pop_front();
            calls.commands -= commands;
            self.waiting.fetch_sub(commands, Ordering::Relaxed);
            if calls.waiting.is_empty() {
                queue.calls.remove(&caller);
            } else {
                queue.turns.push_back(caller);
            }
            let place = Place { shared: shared.clone(), commands };
            unclaimed.extend(call.and_then(|call| call.go.send(place).err()));
        }
        drop(queue);
        drop(unclaimed);
    }

    /// No code that holds the lock leaves the queue half changed.
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Room for commands that are with the ledger, until it is dropped.
pub(crate) struct Place {
    shared: Data<Shared>,
    commands: usize,
}

impl Place {
    /// Waits for the caller's turn, if it has to be waited for.
    pub(crate) async fn take(
        shared: &Data<Shared>,
        caller: Caller,
        commands: usize,
    ) -> Result<Self, Problem> {
        let fairness = &shared.fairness;
        if fairness.waiting.load(Ordering::Relaxed) == 0 && fairness.takes(commands) {
            return Ok(Self { shared: shared.clone(), commands });
        }
        let turn = fairness.wait(caller, commands);
        // Room may have been made between the check above and the queueing: nobody else would notice.
        fairness.let_in(shared);
        let place = match turn {
            Some(turn) => timeout(fairness.settings.age_max, turn).await.ok().and_then(Result::ok),
            None => None,
        };
        place.ok_or_else(|| {
            counter!("balance_overloaded_total", "work" => "turn").increment(1);
            Problem::retry(Code::Overloaded, overloaded_retry_seconds())
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let fairness = &self.shared.fairness;
        fairness.submitted.fetch_sub(self.commands, Ordering::Relaxed);
        if fairness.waiting.load(Ordering::Relaxed) > 0 {
            fairness.let_in(&self.shared);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures::{FutureExt, future::LocalBoxFuture};

    use super::*;
    use crate::tests::world::World;

    async fn shared(submitted_max: usize, waiting_max: usize) -> Data<Shared> {
        let queue = QueueSettings { submitted_max, waiting_max, age_max: Duration::from_millis(200) };
        World::with(|_| {}, |settings| settings.queue = queue).await.shared
    }

    fn asks(
        shared: &Data<Shared>,
        key: u64,
        commands: usize,
    ) -> LocalBoxFuture<'static, Result<Place, Problem>> {
        let shared = shared.clone();
        let mut asks = async move { Place::take(&shared, Caller::Key(key), commands).await }.boxed_local();
        match (&mut asks).now_or_never() {
            Some(done) => async { done }.boxed_local(),
            None => asks,
        }
    }

    #[actix_web::test]
    async fn a_caller_with_many_calls_waits_behind_others() {
        let shared = shared(10, 1_000).await;
        let first = asks(&shared, 1, 10).await.unwrap();
        // A caller that offers much, and then two that offer little.
        let much: Vec<_> = (0..5).map(|_| asks(&shared, 1, 10)).collect();
        let mut little = [asks(&shared, 2, 1), asks(&shared, 3, 1)];
        assert!(little.iter_mut().all(|asks| asks.now_or_never().is_none()));
        drop(first);
        let mut much = much.into_iter();
        let second = much.next().unwrap().now_or_never().unwrap().unwrap();
        drop(second);
        let places: Vec<_> = little.iter_mut().map(|asks| asks.now_or_never().unwrap().unwrap()).collect();
        assert!(much.next().unwrap().now_or_never().is_none(), "its turn comes after theirs");
        drop((places, much));
    }

    #[actix_web::test]
    async fn one_caller_leaves_room_for_others_and_nobody_waits_for_ever() {
        let shared = shared(10, 100).await;
        let place = asks(&shared, 1, 10).await.unwrap();
        let waiting: Vec<_> = (0..5).map(|_| asks(&shared, 1, 10)).collect();
        assert_eq!(
            asks(&shared, 1, 10).await.err().unwrap().code(),
            Code::Overloaded,
            "half of the room is taken"
        );
        assert!(asks(&shared, 2, 10).now_or_never().is_none(), "others may still wait");
        for asks in waiting {
            assert_eq!(asks.await.err().unwrap().code(), Code::Overloaded, "too long");
        }
        let holders = Arc::strong_count(&shared);
        drop(place);
        assert_eq!(Arc::strong_count(&shared), holders - 1, "places of those who gave up hold nothing");
        assert!(asks(&shared, 1, 10).await.is_ok());
        assert_eq!(shared.fairness.submitted.load(Ordering::Relaxed), 0);
        assert_eq!(shared.fairness.waiting.load(Ordering::Relaxed), 0);
    }

    #[actix_web::test]
    async fn what_is_larger_than_all_goes_alone() {
        let shared = shared(10, 20).await;
        let small = asks(&shared, 1, 1).await.unwrap();
        let large = asks(&shared, 1, 1_000);
        drop(small);
        let large = large.await.unwrap();
        assert!(asks(&shared, 1, 1).now_or_never().is_none());
        drop(large);
    }
}
