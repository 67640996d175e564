//! Measures `execute` alone: no HTTP, no group commit, a private PostgreSQL on this machine.
//!
//! Funds 100,000 users, then runs batches of random users' deposits, reserves and captures, each with a key, for
//! some seconds per row, and prints commands per second. `--disk` takes the temporary folder with full durability
//! instead of a tmpfs; `--seconds N` the time per row; `--only BATCHxLANES` one row; `--recent N` how many accounts
//! the store caches, by default as many as in production.

#![expect(clippy::expect_used, reason = "a measurement of what its own code made valid")]
#![expect(clippy::cast_precision_loss, reason = "figures for people")]

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant, SystemTime},
};

use balance_domain::{
    Action, Amount, Comment, IdempotencyKey, MoneyCommand, OrderId, ReservationKey, ServiceId, ServiceName,
    Submission, TimeLimit, Timestamp, Ttl, UserId,
    ports::{BalanceRepo, OptimisticBatches, ServiceRepo, StoreFigures},
};
use balance_postgres_harness::{Options, Server};
use balance_store_postgres::{PostgresOptions, PostgresStore};
use rand::{Rng, SeedableRng, rngs::SmallRng};

/// The service's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const USERS: i64 = 100_000;
const SERVICES: i64 = 100;
const ROWS: [(usize, usize); 8] =
    [(1, 1), (1, 2), (16, 1), (16, 2), (64, 1), (64, 2), (1_000, 1), (1_000, 2)];

type Anything<T> = Result<T, Box<dyn Error>>;

struct Asked {
    on_disk: bool,
    seconds: u64,
    only: Option<(usize, usize)>,
    recent: Option<usize>,
    settings: Vec<String>,
    sql: Option<String>,
}

impl Asked {
    fn parse() -> Anything<Self> {
        let mut asked =
            Self { on_disk: false, seconds: 5, only: None, recent: None, settings: Vec::new(), sql: None };
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.as_str() {
                "--disk" => asked.on_disk = true,
                "--seconds" => asked.seconds = words.next().ok_or("how many?")?.parse()?,
                "--only" => {
                    let row = words.next().ok_or("which row?")?;
                    let (batch, lanes) = row.split_once('x').ok_or("BATCHxLANES")?;
                    asked.only = Some((batch.parse()?, lanes.parse()?));
                }
                "--recent" => asked.recent = Some(words.next().ok_or("how many?")?.parse()?),
                "--set" => asked.settings.push(words.next().ok_or("name=value")?),
                "--sql" => asked.sql = words.next(),
                other => return Err(format!("{other}?").into()),
            }
        }
        Ok(asked)
    }
}

#[tokio::main]
async fn main() -> Anything<()> {
    let asked = Asked::parse()?;
    let mut settings = vec!["shared_buffers=1GB".to_owned(), "max_wal_size=8GB".to_owned()];
    settings.extend(asked.settings);
    let server =
        Server::start(Options { durable: true, on_tmpfs: !asked.on_disk, settings, ..Options::default() });
    let mut options = PostgresOptions::new(server.url("postgres"));
    options.recent_accounts_max = asked.recent.unwrap_or(options.recent_accounts_max);
    let store = PostgresStore::new(options, Arc::new(now()))?;
    store.migrate().await?;
    if let Some(sql) = &asked.sql {
        server.psql("postgres", sql);
    }
    fund(&store).await?;
    report(&format!("{} {}", server.pid(), server.url("postgres")));
    for (batch, lanes) in ROWS {
        if asked.only.is_none_or(|only| only == (batch, lanes)) {
            let before = (ticks_of_children(server.pid()), ticks_of("self"));
            let (count, seconds) = row(&store, batch, lanes, Duration::from_secs(asked.seconds)).await?;
            let (ours, theirs) = (ticks_of("self") - before.1, ticks_of_children(server.pid()) - before.0);
            let OptimisticBatches { confirmed, repeated } = store.optimistic_batches();
            let micros = |ticks: u64| ticks as f64 * 10_000.0 / count as f64;
            report(&format!(
                "{batch:>5} a batch, {lanes} lanes: {:>8.0} commands/s; CPU per command: {:>6.1} us server, {:>6.1} us client; \
                 batches without a look: {confirmed} confirmed, {repeated} repeated",
                count as f64 / seconds,
                micros(theirs),
                micros(ours),
            ));
        }
    }
    Ok(())
}

/// Runs one row of the table.
async fn row(store: &PostgresStore, batch: usize, lanes: usize, time: Duration) -> Anything<(u64, f64)> {
    let done = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let mut running = Vec::new();
    for lane in 0..lanes {
        let (store, done) = (store.clone(), done.clone());
        running.push(tokio::spawn(async move {
            let mut load = Load::new((lane + lanes * 16 + batch * 256) as u64);
            while start.elapsed() < time {
                let submissions = load.batch(batch, (lane, lanes));
                match store.execute(submissions).await {
                    Ok(replies) if replies.iter().all(Result::is_ok) => {}
                    other => panic!("a command was not accepted: {other:?}"),
                }
                done.fetch_add(batch as u64, Ordering::Relaxed);
            }
        }));
    }
    for lane in running {
        lane.await?;
    }
    Ok((done.load(Ordering::Relaxed), start.elapsed().as_secs_f64()))
}

/// The CPU time of all processes of the server, those that ended too, in hundredths of a second. Other than the rate it
/// hardly depends on who else uses the machine.
fn ticks_of_children(parent: u32) -> u64 {
    let ended = ticks(&parent.to_string(), 13);
    let processes = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let names = processes.filter_map(|entry| entry.file_name().into_string().ok());
    let children = names.filter(|name| stat(name).is_some_and(|fields| fields[1] == parent.to_string()));
    ended + children.map(|name| ticks_of(&name)).sum::<u64>()
}

fn ticks_of(process: &str) -> u64 {
    ticks(process, 11)
}

/// User and system time, which stand side by side: its own from the 11th field on, that of its ended children from
/// the 13th.
fn ticks(process: &str, first: usize) -> u64 {
    let fields = stat(process).unwrap_or_default();
    fields.iter().skip(first).take(2).filter_map(|ticks| ticks.parse::<u64>().ok()).sum()
}

/// The fields of `/proc/PID/stat` from the state on.
fn stat(process: &str) -> Option<Vec<String>> {
    let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    let (_, fields) = text.rsplit_once(')')?;
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

async fn fund(store: &PostgresStore) -> Anything<()> {
    let services =
        (1..=SERVICES).map(|id| Ok((ServiceId::new(id)?, ServiceName::new(format!("Service {id}"))?)));
    store.add_services(services.collect::<Anything<_>>()?).await??;
    for first in (1..=USERS).step_by(1_000) {
        let deposits = (first..first + 1_000).map(|user| {
            let action = Action::Deposit { user_id: user_id(user), amount: amount(1_000_000_000) };
            command(action, format!("fund-{user}"), None)
        });
        store.execute(deposits.collect()).await?;
    }
    Ok(())
}

/// Random commands: a third each of deposits, reserves, and captures of what was reserved a while ago.
struct Load {
    random: SmallRng,
    reserved: Vec<ReservationKey>,
    number: u64,
    name: u64,
}

impl Load {
    fn new(name: u64) -> Self {
        Self { random: SmallRng::seed_from_u64(name), reserved: Vec::new(), number: 0, name }
    }

    /// Users are split among the lanes, as group commit does by bucket.
    fn batch(&mut self, count: usize, (lane, lanes): (usize, usize)) -> Vec<Submission> {
        let mut fresh = Vec::new();
        let batch = (0..count).map(|_| {
            self.number += 1;
            let key = format!("{:08x}-{:016x}", self.name, self.random.random::<u64>());
            let user = loop {
                let user = user_id(self.random.random_range(1..=USERS));
                if usize::from(user.bucket()) % lanes == lane {
                    break user;
                }
            };
            let pick = self.number % 3;
            if pick == 2 && !self.reserved.is_empty() {
                let index = self.random.random_range(0..self.reserved.len());
                let reservation = self.reserved.swap_remove(index);
                return command(
                    Action::Capture { reservation: reservation.into(), amount: None, is_final: true },
                    key,
                    None,
                );
            }
            if pick == 0 {
                return command(Action::Deposit { user_id: user, amount: amount(500) }, key, Some("top-up"));
            }
            let order = self.random.random_range(1..i64::MAX);
            let service = self.random.random_range(1..=SERVICES);
            let reservation =
                ReservationKey { user_id: user, service_id: service_id(service), order_id: order_id(order) };
            fresh.push(reservation);
            let time_limit = TimeLimit::Default(ttl());
            command(Action::Reserve { reservation, amount: amount(100), time_limit }, key, None)
        });
        let batch: Vec<Submission> = batch.collect();
        self.reserved.extend(fresh);
        batch
    }
}

fn command(action: Action, key: String, comment: Option<&str>) -> Submission {
    let key = IdempotencyKey::new(key).expect("made of hexadecimal digits");
    let comment = comment.map(|text| Comment::new(text).expect("short and plain"));
    MoneyCommand { action, key, comment }.into()
}

fn user_id(id: i64) -> UserId {
    UserId::new(id).expect("positive")
}

fn service_id(id: i64) -> ServiceId {
    ServiceId::new(id).expect("positive")
}

fn order_id(id: i64) -> OrderId {
    OrderId::new(id).expect("positive")
}

fn amount(minor_units: i64) -> Amount {
    Amount::new(minor_units).expect("positive")
}

fn ttl() -> Ttl {
    Ttl::from_seconds(600).expect("ten minutes")
}

fn now() -> Timestamp {
    #[expect(clippy::disallowed_methods, reason = "a measurement is a program of its own")]
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_micros())
        .ok()
        .and_then(|micros| Timestamp::from_micros(micros).ok())
        .unwrap_or(Timestamp::MIN)
}

fn report(line: &str) {
    #[expect(clippy::print_stdout, reason = "what was measured is what this is for")]
    {
        println!("{line}");
    }
}
