//! The load client: several processes that call the service over a few hot users, retry what they sent, and
//! record all of it.

mod mix;

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rand::{Rng, SeedableRng, rngs::SmallRng};
use tokio::task::JoinSet;

use crate::{
    history::{Call, MoneyAction, MoneyCall, Outcome, Record},
    target::Target,
};
pub use mix::{Mix, Weights};

/// How a load behaves.
#[derive(Clone, Debug)]
pub struct LoadOptions {
    /// Everything random follows from it.
    pub seed: u64,
    /// How many call side by side.
    pub processes: u32,
    /// Whom they call about.
    pub users: Vec<i64>,
    /// What for.
    pub services: Vec<i64>,
    /// What they do how often.
    pub weights: Weights,
    /// Of a hundred money calls, how many are sent a second time under the same key.
    pub repeats_percent: u32,
    /// Stop after this many calls, retries included.
    pub calls_max: u64,
    /// Wait after a call that got no decision, so that a dead service is not hammered.
    pub pause: Duration,
}

/// A load, running or not. Cheap to clone; clones share everything.
#[derive(Clone)]
pub struct Load {
    shared: Arc<Shared>,
}

struct Shared {
    targets: Vec<Arc<dyn Target>>,
    options: LoadOptions,
    mix: Mix,
    started: Instant,
    records: Mutex<Vec<Record>>,
    /// Keys whose outcome is unknown: any process may retry them.
    unresolved: Mutex<Vec<MoneyCall>>,
    calls: AtomicU64,
    accepted: AtomicU64,
    stopped: AtomicBool,
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Load {
    /// A load on these instances.
    pub fn new(targets: Vec<Arc<dyn Target>>, options: LoadOptions) -> Self {
        let mix = Mix::new(options.users.clone(), options.services.clone(), options.weights, options.seed);
        let shared = Shared {
            targets,
            options,
            mix,
            started: Instant::now(),
            records: Mutex::default(),
            unresolved: Mutex::default(),
            calls: AtomicU64::new(0),
            accepted: AtomicU64::new(0),
            stopped: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Gives every user money, then calls until stopped or done.
    pub async fn run(&self) {
        let mut processes = JoinSet::new();
        for process in 0..self.shared.options.processes {
            let load = self.clone();
            processes.spawn(async move { load.process(process).await });
        }
        while processes.join_next().await.is_some() {}
    }

    /// Ends [`Load::run`] after the calls that are under way.
    pub fn stop(&self) {
        self.shared.stopped.store(true, Ordering::Relaxed);
    }

    /// How many calls were made so far.
    pub fn calls(&self) -> u64 {
        self.shared.calls.load(Ordering::Relaxed)
    }

    /// How many calls were accepted so far: a growing number means that the service is back.
    pub fn accepted(&self) -> u64 {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// What was seen so far.
    pub fn records(&self) -> Vec<Record> {
        lock(&self.shared.records).clone()
    }

    /// Retries every key whose outcome is unknown until each is decided. Returns how many were not.
    pub async fn resolve(&self, patience: Duration) -> usize {
        let deadline = Instant::now() + patience;
        let mut turn = 0;
        loop {
            let open = std::mem::take(&mut *lock(&self.shared.unresolved));
            if open.is_empty() || Instant::now() > deadline {
                return open.len();
            }
            for call in open {
                turn += 1;
                let instance = turn % self.shared.targets.len();
                if !self.retry(u32::MAX, instance, call).await.is_definite() {
                    tokio::time::sleep(self.shared.options.pause).await;
                }
            }
        }
    }

    async fn process(&self, process: u32) {
        let shared = &*self.shared;
        let mut random = SmallRng::seed_from_u64(shared.options.seed ^ (u64::from(process) << 32));
        let mut instance = process as usize % shared.targets.len();
        for call in shared.mix.first_calls(process, shared.options.processes) {
            self.call(process, instance, call).await;
        }
        while !self.is_over() {
            let retried = if random.random_ratio(1, 4) { lock(&shared.unresolved).pop() } else { None };
            let outcome = if let Some(call) = retried {
                self.retry(process, instance, call).await
            } else {
                self.call_or_repeat(process, instance, &mut random).await
            };
            if !outcome.is_definite() {
                instance = (instance + 1) % shared.targets.len();
                tokio::time::sleep(shared.options.pause).await;
            }
        }
    }

    async fn call_or_repeat(&self, process: u32, instance: usize, random: &mut SmallRng) -> Outcome {
        let options = &self.shared.options;
        let call = self.shared.mix.next(process, random);
        let is_repeated =
            matches!(call, Call::Money(_)) && random.random_ratio(options.repeats_percent.min(100), 100);
        if is_repeated {
            self.call_twice(process, instance, call, random).await
        } else {
            self.call(process, instance, call).await
        }
    }

    /// The same key again: at the same moment, maybe on the other instance, or once the first is answered.
    async fn call_twice(&self, process: u32, instance: usize, call: Call, random: &mut SmallRng) -> Outcome {
        let other = random.random_range(0..self.shared.targets.len());
        if random.random_bool(0.5) {
            let twin = self.call(process + self.shared.options.processes, other, call.clone());
            return tokio::join!(self.call(process, instance, call), twin).0;
        }
        let outcome = self.call(process, instance, call.clone()).await;
        self.call(process, other, call).await;
        outcome
    }

    /// A key of which an earlier call is unknown stays so until a later one is decided.
    async fn retry(&self, process: u32, instance: usize, call: MoneyCall) -> Outcome {
        let outcome = self.call(process, instance, Call::Money(call.clone())).await;
        if matches!(outcome, Outcome::NeverSent { .. }) {
            lock(&self.shared.unresolved).push(call);
        }
        outcome
    }

    async fn call(&self, process: u32, instance: usize, call: Call) -> Outcome {
        let shared = &*self.shared;
        let invoked_ns = self.now_ns();
        let outcome = shared.targets[instance].call(&call).await;
        let returned_ns = self.now_ns();
        self.record(Record { process, call, invoked_ns, returned_ns, outcome: outcome.clone() });
        outcome
    }

    /// Makes one batch on an instance and records each of its commands.
    pub async fn batch(&self, instance: usize, calls: &[MoneyCall], atomic: bool) {
        let invoked_ns = self.now_ns();
        let outcomes = self.shared.targets[instance].batch(calls, atomic).await;
        let returned_ns = self.now_ns();
        for (call, outcome) in calls.iter().zip(outcomes) {
            let call = Call::Money(call.clone());
            self.record(Record { process: u32::MAX, call, invoked_ns, returned_ns, outcome });
        }
    }

    /// Makes one money call on an instance, for runs that choose their calls themselves.
    pub async fn money(&self, instance: usize, key: String, action: MoneyAction) -> Outcome {
        let call = MoneyCall { comment: format!("for {key}"), key, action };
        self.call(u32::MAX, instance, Call::Money(call)).await
    }

    fn record(&self, record: Record) {
        let shared = &*self.shared;
        shared.calls.fetch_add(1, Ordering::Relaxed);
        match (&record.call, &record.outcome) {
            (Call::Money(call), Outcome::Ok { .. }) => {
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                shared.mix.learn(&call.action);
            }
            (Call::Money(call), Outcome::Unknown { .. }) => lock(&shared.unresolved).push(call.clone()),
            _ => {}
        }
        lock(&shared.records).push(record);
    }

    fn is_over(&self) -> bool {
        self.shared.stopped.load(Ordering::Relaxed) || self.calls() >= self.shared.options.calls_max
    }

    fn now_ns(&self) -> u64 {
        u64::try_from(self.shared.started.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
