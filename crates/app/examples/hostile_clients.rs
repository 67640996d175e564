//! What good callers notice of bad ones: `hostile_clients 127.0.0.1:8080`, against a service that is running on a
//! database of its own, started with no API key.
//!
//! Prints for each kind of hostile connection the p99 of good callers beside it, and the service's memory. Ends with
//! an error if that is more than twice as long, or more than 200 MB above idle.
//!
//! Good callers deposit at a fixed rate while others do one bad thing after another, each between two quiet spells.
//! Times count from the moment a call was due, so that a stall is not hidden. Needs `ulimit -n` above twice the
//! number of bad connections. See docs/operations.md, "Limits".
#![expect(clippy::print_stdout, reason = "the figures are what this is for")]

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use anyhow::{Context as _, bail};
use clap::{Parser, ValueEnum};
use reqwest::Client;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::{JoinHandle, JoinSet},
    time::{Instant, interval_at, sleep, sleep_until},
};

/// Good callers, each with a connection of its own.
const CALLERS: u32 = 32;
/// The time between two calls of one of them.
const EVERY: Duration = Duration::from_millis(100);
/// A hostile connection that was closed is reopened, but not more often than this.
const RENEWED_EVERY: Duration = Duration::from_secs(1);
/// What was thrown at the service may take a moment to clear.
const CLEARING: Duration = Duration::from_secs(2);
/// The time between two bytes of the slow.
const DRIBBLE: Duration = Duration::from_millis(500);

const HEAD: &str = "POST /api/v1/users/1/deposits HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: bad\r\n\
                    Content-Type: application/json\r\n";
/// The largest answer that anybody may ask for.
const LARGE: &str = "GET /swagger/swagger-ui-bundle.js HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The shortest request that is answered.
const TINY: &str = "GET / HTTP/1.1\r\nHost:\r\n\r\n";
const UNFINISHED: &str = "POST /nix HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
const WRONG_KEY: &str =
    "GET /api/v1/services HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer nonsense\r\n\r\n";
/// The time between two of them on one connection.
const WRONG_KEY_EVERY: Duration = Duration::from_secs(1);
/// What is promised: memory above idle in MB, and how much longer the p99 of good callers may be.
const MEMORY_MAX: f64 = 200.0;
const RATIO_MAX: f64 = 2.0;

#[derive(Parser)]
struct Arguments {
    /// Where the service listens.
    address: SocketAddr,
    /// Seconds per measurement.
    #[arg(long, default_value_t = 10)]
    seconds: u64,
    /// Bad connections at a time.
    #[arg(long, default_value_t = 2_000)]
    connections: u32,
    /// What the bad do, one thing after another; all of it unless named.
    #[arg(long, value_enum, value_delimiter = ',')]
    attacks: Vec<Attack>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Attack {
    Silent,
    SlowHead,
    SlowBody,
    SlowReader,
    NeverReads,
    ConnectAndLeave,
    Oversized,
    Garbage,
    /// Requests without end, and the answers read as slowly as may be.
    Pipelined,
    /// A body that is announced, answered early, and never sent.
    Unfinished,
    /// As large a head as is taken, but for its end.
    LargeHead,
    /// Keys that are none, as fast as they are refused.
    WrongKeys,
}

impl Attack {
    /// One bad connection, until the service closes it.
    async fn run(self, stream: &mut TcpStream) -> std::io::Result<()> {
        match self {
            Self::Silent => {}
            Self::SlowHead => return dribble(stream, HEAD).await,
            Self::SlowBody => return dribble(stream, &format!("{HEAD}Content-Length: 1000\r\n\r\n")).await,
            Self::SlowReader => {
                stream.write_all(LARGE.repeat(8).as_bytes()).await?;
                while stream.read_u8().await.is_ok() {
                    sleep(DRIBBLE).await;
                }
            }
            Self::NeverReads => {
                stream.write_all(LARGE.repeat(16).as_bytes()).await?;
                std::future::pending::<()>().await;
            }
            Self::ConnectAndLeave => return Ok(()),
            Self::Oversized => {
                stream.write_all(format!("{HEAD}Content-Length: 1000000\r\n\r\n").as_bytes()).await?;
                stream.write_all(&vec![b' '; 100_000]).await?;
            }
            Self::Pipelined => {
                let all = TINY.repeat(5_600);
                let (mut reading, mut writing) = stream.split();
                let write = writing.write_all(all.as_bytes());
                let read = async {
                    let mut few = [0; 512];
                    while reading.read(&mut few).await? > 0 {
                        sleep(DRIBBLE * 4).await;
                    }
                    Ok(())
                };
                return tokio::try_join!(write, read).map(drop);
            }
            Self::Unfinished => {
                stream.write_all(UNFINISHED.as_bytes()).await?;
            }
            Self::LargeHead => {
                stream.write_all(format!("{HEAD}X-Large: {}", "x".repeat(16_000)).as_bytes()).await?;
            }
            Self::WrongKeys => {
                let mut answer = [0; 4096];
                loop {
                    stream.write_all(WRONG_KEY.as_bytes()).await?;
                    if stream.read(&mut answer).await? == 0 {
                        return Ok(());
                    }
                    sleep(WRONG_KEY_EVERY).await;
                }
            }
            Self::Garbage => stream.write_all(&[0x16, 3, 1, 0xff, 0, b'\n'].repeat(100)).await?,
        }
        let mut nobody = [0; 4096];
        while stream.read(&mut nobody).await? > 0 {}
        Ok(())
    }
}

/// A byte now and then, after a beginning that promises more.
async fn dribble(stream: &mut TcpStream, beginning: &str) -> std::io::Result<()> {
    stream.write_all(beginning.as_bytes()).await?;
    loop {
        sleep(DRIBBLE).await;
        stream.write_all(b"x").await?;
    }
}

async fn attack_for_ever(attack: Attack, address: SocketAddr, first: Duration, made: Arc<AtomicU64>) {
    sleep(first).await;
    loop {
        let again_at = Instant::now() + RENEWED_EVERY;
        if let Ok(mut stream) = TcpStream::connect(address).await {
            made.fetch_add(1, Ordering::Relaxed);
            // However it ends, the next one follows.
            drop(attack.run(&mut stream).await);
        }
        sleep_until(again_at).await;
    }
}

/// What the good callers saw.
#[derive(Default)]
struct Seen {
    times: Vec<Duration>,
    failures: usize,
}

impl Seen {
    /// The time within which this share of the calls was answered, in milliseconds.
    fn within(&mut self, percent: usize) -> f64 {
        self.times.sort_unstable();
        let index = (self.times.len() * percent / 100).min(self.times.len().saturating_sub(1));
        self.times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
    }

    fn add(&mut self, other: Self) {
        self.times.extend(other.times);
        self.failures += other.failures;
    }
}

/// The good callers, for the life of the program: their connections are there before the bad ones.
struct Good {
    address: SocketAddr,
    clients: Vec<Client>,
    made: Arc<AtomicU64>,
}

impl Good {
    fn new(address: SocketAddr) -> anyhow::Result<Self> {
        let client = || Client::builder().timeout(Duration::from_secs(10)).build();
        let clients = (0..CALLERS).map(|_| client()).collect::<Result<_, _>>()?;
        Ok(Self { address, clients, made: Arc::default() })
    }

    async fn call_for(&self, span: Duration) -> Seen {
        let began = Instant::now();
        let mut callers = JoinSet::new();
        for (number, client) in (0..CALLERS).zip(&self.clients) {
            let first = began + EVERY * number / CALLERS;
            callers.spawn(deposit(client.clone(), self.address, Arc::clone(&self.made), first, began + span));
        }
        callers.join_all().await.into_iter().fold(Seen::default(), |mut all, seen| {
            all.add(seen);
            all
        })
    }

    /// The most memory and open files of the service that are seen, until this is dropped.
    fn watch(&self) -> Watch {
        let seen = Arc::new(Mutex::new((0_u64, 0_u64)));
        let (client, address, most) = (self.clients[0].clone(), self.address, Arc::clone(&seen));
        let watching = tokio::spawn(async move {
            loop {
                if let Ok((memory, files)) = cost(&client, address).await
                    && let Ok(mut most) = most.lock()
                {
                    *most = (most.0.max(memory), most.1.max(files));
                }
                sleep(Duration::from_millis(500)).await;
            }
        });
        Watch { seen, watching }
    }
}

/// Memory in bytes and open files of the service.
async fn cost(client: &Client, address: SocketAddr) -> anyhow::Result<(u64, u64)> {
    let text = client.get(format!("http://{address}/metrics")).send().await?.text().await?;
    let figure = |name: &str| -> anyhow::Result<u64> {
        let line = text.lines().find_map(|line| line.strip_prefix(name));
        Ok(line.context("the service tells these figures on Linux")?.trim().parse()?)
    };
    Ok((figure("process_resident_memory_bytes ")?, figure("process_open_fds ")?))
}

struct Watch {
    seen: Arc<Mutex<(u64, u64)>>,
    watching: JoinHandle<()>,
}

impl Watch {
    fn end(self) -> (u64, u64) {
        self.watching.abort();
        self.seen.lock().map_or((0, 0), |seen| *seen)
    }
}

async fn deposit(
    client: Client,
    address: SocketAddr,
    made: Arc<AtomicU64>,
    first: Instant,
    until: Instant,
) -> Seen {
    let mut seen = Seen::default();
    let mut ticks = interval_at(first, EVERY);
    loop {
        let due = ticks.tick().await;
        if due >= until {
            return seen;
        }
        let number = made.fetch_add(1, Ordering::Relaxed);
        let request = client
            .post(format!("http://{address}/api/v1/users/{}/deposits", number % 1_000 + 1))
            .header("Idempotency-Key", format!("{}-{number}", std::process::id()))
            .json(&serde_json::json!({"amount": 1}));
        match request.send().await {
            Ok(answer) if answer.status() == 201 => seen.times.push(due.elapsed()),
            _ => seen.failures += 1,
        }
    }
}

/// Whether it is as good as promised.
async fn measure(attack: Attack, idle: u64, good: &Good, arguments: &Arguments) -> bool {
    let span = Duration::from_secs(arguments.seconds);
    let mut quiet = good.call_for(span).await;
    let watch = good.watch();
    let made = Arc::new(AtomicU64::new(0));
    let mut bad = JoinSet::new();
    for number in 0..arguments.connections {
        let first = RENEWED_EVERY * number / arguments.connections;
        bad.spawn(attack_for_ever(attack, arguments.address, first, Arc::clone(&made)));
    }
    // Longer than the service lets anybody be slow.
    let lasting = if matches!(attack, Attack::NeverReads) { Duration::from_secs(40) } else { span * 2 };
    let mut hostile = good.call_for(lasting).await;
    bad.shutdown().await;
    let (memory, files) = watch.end();
    sleep(CLEARING).await;
    quiet.add(good.call_for(span).await);
    let (before, during) = (quiet.within(99), hostile.within(99));
    #[expect(clippy::cast_precision_loss, reason = "memory of a process")]
    let above = memory.saturating_sub(idle) as f64 / 1e6;
    println!(
        "{:<16} {:>8} {:>6} {:>7} {:>9.2} {:>9.2} {before:>9.2} {during:>9.2} {:>6.2} {files:>6} {above:>9.1}",
        format!("{attack:?}"),
        made.load(Ordering::Relaxed),
        hostile.times.len(),
        hostile.failures + quiet.failures,
        quiet.within(50),
        hostile.within(50),
        during / before,
    );
    above <= MEMORY_MAX && during <= before * RATIO_MAX && hostile.failures == 0
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let arguments = Arguments::parse();
    let good = Good::new(arguments.address)?;
    good.call_for(Duration::from_secs(2)).await;
    let (idle, _) = cost(&good.clients[0], good.address).await?;
    println!("{} hostile connections; idle the service has {} MB", arguments.connections, idle / 1_000_000);
    println!(
        "{:<16} {:>8} {:>6} {:>7} {:>9} {:>9} {:>9} {:>9} {:>6} {:>6} {:>9}",
        "hostile",
        "made",
        "good",
        "failed",
        "p50 ms",
        "beside",
        "p99 ms",
        "beside",
        "ratio",
        "files",
        "MB above"
    );
    let named = &arguments.attacks;
    let mut broken = Vec::new();
    for attack in if named.is_empty() { Attack::value_variants() } else { named } {
        if !measure(*attack, idle, &good, &arguments).await {
            broken.push(*attack);
        }
    }
    if broken.is_empty() {
        println!("all within {MEMORY_MAX} MB above idle and {RATIO_MAX} times the p99");
        return Ok(());
    }
    bail!(
        "more than {MEMORY_MAX} MB above idle, {RATIO_MAX} times the p99, or a good call that failed: {broken:?}"
    )
}
