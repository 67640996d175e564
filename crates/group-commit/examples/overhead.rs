//! What the layer itself costs, and how large batches grow: calls per second through it with a store that
//! answers at once and with one whose commits take time.
//!
//! `cargo run --release -p balance-group-commit --example overhead -- [worker threads] [seconds per line]`

#![expect(clippy::print_stdout, reason = "a measuring tool prints what it measured")]
#![expect(clippy::unwrap_used, reason = "a measuring tool may stop at the first surprise")]

use std::{
    hint::black_box,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use async_trait::async_trait;
use balance_domain::{
    Accepted, Account, AccountAsOf, Action, Amount, Comment, DryRun, IdempotencyKey, MoneyCommand, Operation,
    OperationPosition, OperationQuery, Page, Receipt, Reservation, ReservationKey, ReservationPosition,
    ReservationQuery, ReservationSearch, SearchPosition, Submission, UserId,
    ports::{BalanceRepo, LedgerSink, Reply, RepoError},
};
use balance_group_commit::{GroupCommit, GroupCommitOptions};
use tokio::runtime::{Builder, Runtime};

/// How long the store takes for a batch.
#[derive(Clone, Copy)]
enum Commit {
    /// Nothing at all: what remains is the layer.
    Instant,
    /// A wait of its own (disk, network) and then some for every command, without use of the processor.
    Waits { batch: Duration, command: Duration },
    /// The same, busy on a thread of its own.
    Busy { batch: Duration, command: Duration },
}

impl Commit {
    async fn run(self, commands: u32) {
        match self {
            Self::Instant => {}
            Self::Waits { batch, command } => tokio::time::sleep(batch + command * commands).await,
            Self::Busy { batch, command } => {
                let until = Instant::now() + batch + command * commands;
                tokio::task::spawn_blocking(move || while Instant::now() < until {}).await.unwrap();
            }
        }
    }
}

struct Store {
    commit: Commit,
    batches: AtomicU64,
}

impl Store {
    async fn pass(&self, count: usize) {
        self.batches.fetch_add(1, Ordering::Relaxed);
        self.commit.run(u32::try_from(count).unwrap()).await;
    }
}

#[async_trait]
impl BalanceRepo for Store {
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        self.pass(submissions.len()).await;
        let receipt = || Receipt::Account(Account::unopened(user(1)));
        Ok(submissions.iter().map(|_| Ok(vec![Accepted { receipt: receipt(), is_replay: false }])).collect())
    }

    async fn accounts(&self, user_ids: Vec<UserId>) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        self.pass(user_ids.len()).await;
        Ok(vec![None; user_ids.len()])
    }

    async fn reservation(&self, _: ReservationKey) -> Result<Option<Reservation>, RepoError> {
        Err(RepoError::Overloaded)
    }

    async fn reservations(
        &self,
        _: ReservationQuery,
    ) -> Result<Page<Reservation, ReservationPosition>, RepoError> {
        Err(RepoError::Overloaded)
    }

    async fn operations(&self, _: OperationQuery) -> Result<Page<Operation, OperationPosition>, RepoError> {
        Err(RepoError::Overloaded)
    }

    async fn dry_run(&self, _: Vec<Submission>) -> Result<DryRun, RepoError> {
        Err(RepoError::Overloaded)
    }

    async fn search_reservations(
        &self,
        _: ReservationSearch,
    ) -> Result<Page<Reservation, SearchPosition>, RepoError> {
        Err(RepoError::Overloaded)
    }

    async fn operation_by_key(&self, _: UserId, _: IdempotencyKey) -> Result<Option<Operation>, RepoError> {
        Err(RepoError::Overloaded)
    }

    async fn due_users(&self, _: u32) -> Result<Vec<UserId>, RepoError> {
        Err(RepoError::Overloaded)
    }

    async fn scan(&self, _: Arc<dyn LedgerSink>) -> Result<(), RepoError> {
        Err(RepoError::Overloaded)
    }

    async fn ready(&self) -> Result<(), RepoError> {
        Ok(())
    }
}

fn user(id: i64) -> UserId {
    UserId::new(id).unwrap()
}

/// A request as it leaves the HTTP layer: fresh text of its own.
fn deposit(client: i64) -> Vec<Submission> {
    let action = Action::Deposit { user_id: user(client), amount: Amount::MIN };
    let key = IdempotencyKey::new("3b241101-e2bb-4255-8caf-4136c566a962").unwrap();
    let comment = Some(Comment::new("order 4711 of the shop").unwrap());
    vec![MoneyCommand { action, key, comment }.into()]
}

/// What clients do, each in a loop of its own.
#[derive(Clone, Copy)]
enum Load {
    Write,
    Read,
}

async fn client(repo: Arc<dyn BalanceRepo>, id: i64, load: Load, stop: Arc<AtomicBool>) -> u64 {
    let mut calls = 0;
    while !stop.load(Ordering::Relaxed) {
        match load {
            Load::Write => drop(black_box(repo.execute(deposit(id)).await.unwrap())),
            Load::Read => drop(black_box(repo.accounts(vec![user(id)]).await.unwrap())),
        }
        calls += 1;
        if calls % 16 == 0 {
            // A store that answers at once would otherwise never let the other clients of this thread run.
            tokio::task::yield_now().await;
        }
    }
    calls
}

/// Where clients run: on the runtime of the lanes, or each thread on its own as web workers do.
#[derive(Clone, Copy, Debug)]
enum Clients {
    Together,
    Apart,
}

struct Measure {
    workers: usize,
    duration: Duration,
}

impl Measure {
    fn run(&self, title: &str, commit: Commit, load: Load, place: Clients, lanes: usize, clients: i64) {
        let runtime = Builder::new_multi_thread().worker_threads(self.workers).enable_all().build().unwrap();
        let store = Arc::new(Store { commit, batches: AtomicU64::new(0) });
        let options = GroupCommitOptions { lanes, ..GroupCommitOptions::default() };
        let group: Arc<dyn BalanceRepo> = {
            let _entered = runtime.enter();
            Arc::new(GroupCommit::new(store.clone(), options))
        };
        let started = Instant::now();
        let calls = match place {
            Clients::Together => self.together(&runtime, &group, load, clients),
            Clients::Apart => self.apart(&group, load, clients),
        };
        let seconds = started.elapsed().as_secs_f64();
        let batches = store.batches.load(Ordering::Relaxed);
        let per_second = f64::from(u32::try_from(calls).unwrap()) / seconds;
        println!(
            "{title:<38} {place:<8?} lanes {lanes} clients {clients:>4}: {per_second:>9.0} calls/s, {:>6} per batch",
            calls / batches.max(1)
        );
    }

    fn together(&self, runtime: &Runtime, group: &Arc<dyn BalanceRepo>, load: Load, clients: i64) -> u64 {
        runtime.block_on(self.clients(group, load, 1..=clients))
    }

    fn apart(&self, group: &Arc<dyn BalanceRepo>, load: Load, clients: i64) -> u64 {
        let threads = 2;
        let share = clients / threads;
        let run = |thread| {
            let runtime = Builder::new_current_thread().enable_all().build().unwrap();
            let first = thread * share + 1;
            runtime.block_on(self.clients(group, load, first..=first + share - 1))
        };
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
            handles.into_iter().map(|handle| handle.join().unwrap()).sum()
        })
    }

    async fn clients(
        &self,
        group: &Arc<dyn BalanceRepo>,
        load: Load,
        ids: std::ops::RangeInclusive<i64>,
    ) -> u64 {
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> =
            ids.map(|id| tokio::spawn(client(group.clone(), id, load, stop.clone()))).collect();
        tokio::time::sleep(self.duration).await;
        stop.store(true, Ordering::Relaxed);
        let mut calls = 0;
        for client in clients {
            calls += client.await.unwrap();
        }
        calls
    }
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let workers = arguments.next().map_or(1, |text| text.parse().unwrap());
    let seconds = arguments.next().map_or(2.0, |text| text.parse().unwrap());
    let measure = Measure { workers, duration: Duration::from_secs_f64(seconds) };
    println!("{workers} worker thread(s) for lanes, {seconds} s per line");

    for clients in [1, 64, 256, 1_024] {
        for place in [Clients::Together, Clients::Apart] {
            if clients > 1 || matches!(place, Clients::Together) {
                measure.run("write, store answers at once", Commit::Instant, Load::Write, place, 1, clients);
            }
        }
    }
    measure.run("write, store answers at once", Commit::Instant, Load::Write, Clients::Together, 4, 1_024);
    for clients in [64, 1_024] {
        measure.run(
            "read, store answers at once",
            Commit::Instant,
            Load::Read,
            Clients::Together,
            1,
            clients,
        );
    }
    let (batch, command) = (Duration::from_millis(2), Duration::from_micros(10));
    let waits = Commit::Waits { batch, command };
    let (batch, command) = (Duration::from_micros(300), Duration::from_micros(8));
    let busy = Commit::Busy { batch, command };
    for clients in [64, 256] {
        for place in [Clients::Together, Clients::Apart] {
            measure.run("write, waits 2 ms + 10 us/command", waits, Load::Write, place, 1, clients);
            measure.run("write, waits 2 ms + 10 us/command", waits, Load::Write, place, 4, clients);
            measure.run("write, busy 300 us + 8 us/command", busy, Load::Write, place, 1, clients);
        }
    }
}
