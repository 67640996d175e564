//! Measures the reads that grow with the ledger: pages of a history of a million operations, revenue of ten
//! million captures, the scan of an audit. `--captures N` takes fewer captures, `--disk` the temporary folder.
//!
//! The rows are made by SQL: they are read here, not believed.
#![expect(clippy::expect_used, reason = "a measurement of what its own code made valid")]

use std::{
    error::Error,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use balance_domain::{
    Account, Amount, Limit, OperationFilter, OperationKind, OperationQuery, OperationSort, OrderId, Period,
    RecordedOperation, Reservation, ServiceId, Timestamp, UserId,
    ports::{BalanceRepo, LedgerSink, ReportRepo},
};
use balance_postgres_harness::{Options, Server};
use balance_store_postgres::{PostgresOptions, PostgresStore};

const OPERATIONS: i64 = 1_000_000;
const ROUNDS: usize = 100;

type Anything<T> = Result<T, Box<dyn Error>>;

#[tokio::main]
async fn main() -> Anything<()> {
    let words: Vec<String> = std::env::args().collect();
    let captures = words.iter().position(|word| word == "--captures").and_then(|at| words.get(at + 1));
    let captures: i64 = captures.map_or(Ok(10_000_000), |count| count.parse())?;
    let settings = ["shared_buffers=2GB", "max_wal_size=16GB"].map(str::to_owned).to_vec();
    let on_tmpfs = !words.iter().any(|word| word == "--disk");
    let server = Server::start(Options { durable: true, on_tmpfs, settings, ..Options::default() });
    let store = PostgresStore::new(PostgresOptions::new(server.url("postgres")), Arc::new(Timestamp::MIN))?;
    store.migrate().await?;
    fill(&server, captures);
    pages(&store).await?;
    revenue(&store).await?;
    scan(&store).await
}

/// User 1 with a million operations, one per second, and captures of 100,000 other users in one month.
fn fill(server: &Server, captures: i64) {
    let owner = UserId::new(1).expect("positive").bucket();
    let indexes = server.psql(
        "postgres",
        "SELECT string_agg(indexdef, ';') FROM pg_indexes WHERE tablename = 'operations' AND indexname <> 'operations_pkey'",
    );
    let drops = server.psql(
        "postgres",
        "SELECT string_agg('DROP INDEX ' || indexname, ';') FROM pg_indexes \
         WHERE tablename = 'operations' AND indexname <> 'operations_pkey'",
    );
    server.psql("postgres", &drops);
    server.psql(
        "postgres",
        &format!(
            "INSERT INTO services SELECT s, 'Service ' || s, false, true FROM generate_series(1, 100) s; \
             INSERT INTO accounts SELECT u, 5, 0, {captures} / 100000, now(), u, u % 256, false \
                 FROM generate_series(2, 100001) u; \
             INSERT INTO accounts VALUES (1, 5, 0, {OPERATIONS}, '2026-06-01', 1, {owner}, false); \
             INSERT INTO operations (user_id, seq, amount, available_after, reserved_after, created_at, service_id, \
                     order_id, bucket, kind, idempotency_key, actor, fingerprint) \
                 SELECT 1, n, 1 + (hashint4(n) & 65535), 1, 0, timestamptz '2026-01-01' + n * interval '1 second', \
                     1 + n % 100, 1 + n / 3, {owner}, (ARRAY['reserve', 'capture', 'refund'])[1 + n % 3], 'key-' || n, 'anonymous', \
                     '\\x00112233445566778899aabbccddeeff' FROM generate_series(1, {OPERATIONS}) n; \
             INSERT INTO operations (user_id, seq, amount, available_after, reserved_after, created_at, service_id, \
                     order_id, bucket, kind, idempotency_key, actor, fingerprint) \
                 SELECT 2 + n % 100000, 1 + (n - 1) / 100000, 1 + n % 1000, 1, 0, \
                     timestamptz '2027-01-01' + n * interval '0.2 second', 1 + n % 100, n, (2 + n % 100000) % 256, 'capture', \
                     'key-' || n, 'anonymous', '\\x00112233445566778899aabbccddeeff' FROM generate_series(1, {captures}) n"
        ),
    );
    server.psql("postgres", &indexes);
    report("filled");
}

async fn pages(store: &PostgresStore) -> Anything<()> {
    let all = OperationFilter::default();
    let start = "2026-01-01T00:00:00Z".parse::<Timestamp>()?.micros();
    let second = |n: i64| Timestamp::from_micros(start + n * 1_000_000);
    let filters = [
        ("everything", all.clone()),
        (
            "an hour long ago",
            OperationFilter { from: Some(second(9_000)?), to: Some(second(12_600)?), ..all.clone() },
        ),
        ("the first half", OperationFilter { to: Some(second(500_000)?), ..all.clone() }),
        ("one service", OperationFilter { service_id: Some(ServiceId::new(7)?), ..all.clone() }),
        ("one order", OperationFilter { order_id: Some(OrderId::new(150_000)?), ..all.clone() }),
        ("one kind", OperationFilter { kind: Some(OperationKind::Refund), ..all.clone() }),
        ("no such kind", OperationFilter { kind: Some(OperationKind::Expire), ..all.clone() }),
        ("few amounts", OperationFilter { min_amount: Some(Amount::new(65_500)?), ..all.clone() }),
    ];
    for (name, filter) in filters {
        for sort in [
            OperationSort::NewestFirst,
            OperationSort::OldestFirst,
            OperationSort::LargestFirst,
            OperationSort::SmallestFirst,
        ] {
            let mut query = OperationQuery {
                user_id: UserId::new(1)?,
                filter: filter.clone(),
                sort,
                after: None,
                limit: Limit::new(50)?,
            };
            let mut times = Vec::new();
            while times.len() < ROUNDS {
                let begin = Instant::now();
                let page = store.operations(query.clone()).await?;
                times.push(begin.elapsed());
                query.after = page.next;
            }
            times.sort_unstable();
            let [median, p99] = [ROUNDS / 2, ROUNDS - 1].map(|at| times[at]);
            report(&format!("{name:>18} {sort:?}: median {median:>9.2?}, p99 {p99:>9.2?}"));
        }
    }
    Ok(())
}

async fn revenue(store: &PostgresStore) -> Anything<()> {
    let period = Period { start: "2027-01-01T00:00:00Z".parse()?, end: "2027-02-01T00:00:00Z".parse()? };
    for _ in 0..3 {
        let begin = Instant::now();
        let lines = store.revenue(period).await?;
        let sum: i128 = lines.iter().map(balance_domain::RevenueLine::net).sum();
        report(&format!("revenue of {} services, {sum} in all: {:.2?}", lines.len(), begin.elapsed()));
    }
    Ok(())
}

/// Counts, and keeps nothing.
#[derive(Default)]
struct Count(AtomicU64);

impl LedgerSink for Count {
    fn begin(&self, _: u64) {}
    fn account(&self, _: Account) {}
    fn operation(&self, _: RecordedOperation) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
    fn reservation(&self, _: Reservation) {}
    fn damage(&self, _: UserId, _: &'static str) {}
}

async fn scan(store: &PostgresStore) -> Anything<()> {
    let count = Arc::new(Count::default());
    let begin = Instant::now();
    let done = tokio::time::timeout(Duration::from_mins(2), store.scan(count.clone())).await?;
    let counted = count.0.load(Ordering::Relaxed);
    report(&format!("scan of {counted} operations: {:.2?}, sound: {}", begin.elapsed(), done.is_ok()));
    Ok(())
}

fn report(line: &str) {
    #[expect(clippy::print_stdout, reason = "what was measured is what this is for")]
    {
        println!("{line}");
    }
}
