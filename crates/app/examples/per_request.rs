//! What one request costs the service itself, without a database and without a generator that competes for the
//! cores: a store in memory that answers at once, keys and metrics as in production, and a client that sends to
//! all connections before it reads from any. Prints the CPU time of the server's threads per request.
//!
//! `cargo run --release -p balance-app --example per_request -- [deposit|balance] [requests] [connections]
//! [direct|grouped|roofline]`
//!
//! Under `valgrind --tool=callgrind` the same gives instructions, which repeat from run to run: measure two numbers of
//! requests and divide the difference.

#![expect(clippy::print_stdout, reason = "a measuring tool prints what it measured")]
#![expect(clippy::cast_precision_loss, reason = "figures are rounded for people")]
#![expect(clippy::unwrap_used, reason = "a measuring tool may stop at the first surprise")]

use std::{
    collections::BTreeMap,
    fs,
    io::{Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
};

use actix_web::{App, HttpResponse, HttpServer, http::header::ContentType, web};
use async_trait::async_trait;
use balance_domain::{
    Account, AccountAsOf, AccountingZone, ApiKey, ApiKeyId, Currency, DryRun, IdempotencyKey, Ledger,
    Operation, OperationPosition, OperationQuery, Page, Reports, Reservation, ReservationKey,
    ReservationPosition, ReservationQuery, ReservationSearch, Rows, Scope, SearchPosition, SecretHash,
    Submission, Timestamp, Ttl, UserId, decide_batch,
    ports::{
        ApiKeyRepo, BalanceRepo, Clock, LedgerSink, MockApiKeyRepo, MockEventRepo, MockIdentityRepo,
        MockReportRepo, MockReportSink, MockServiceRepo, Reply, RepoError,
    },
};
use balance_group_commit::{GroupCommit, GroupCommitOptions};
use balance_http::{Access, Api, Events, HttpSettings, ServerOptions};
use metrics_exporter_prometheus::PrometheusBuilder;

/// As in the service.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const SECRET: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFG";

/// Decides, and forgets at once.
struct Store;

#[async_trait]
impl BalanceRepo for Store {
    async fn execute(&self, submissions: Vec<Submission>) -> Result<Vec<Reply>, RepoError> {
        Ok(decide_batch(Rows::default(), &submissions, NOW.moment()?).replies)
    }

    async fn accounts(&self, user_ids: Vec<UserId>) -> Result<Vec<Option<AccountAsOf>>, RepoError> {
        let account = |user_id| AccountAsOf {
            at: NOW,
            recorded: Account { available: 1_000_000, seq: 17, ..Account::unopened(user_id) },
            has_due: false,
        };
        Ok(user_ids.into_iter().map(|user_id| Some(account(user_id))).collect())
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

/// Always the same time: the wall clock belongs to the service.
const NOW: Timestamp = Timestamp::MIN;

fn key() -> ApiKey {
    ApiKey {
        id: ApiKeyId::new("0123456789ab").unwrap(),
        name: "bench".to_owned(),
        scopes: vec![Scope::Admin],
        secret_hash: SecretHash::of(SECRET),
        created_at: Timestamp::MIN,
        expires_at: None,
        parent_id: None,
        revoked_at: None,
        last_used_at: None,
    }
}

async fn api(is_grouped: bool) -> Api {
    let clock: Arc<dyn Clock> = Arc::new(NOW);
    let mut repo: Arc<dyn BalanceRepo> = Arc::new(Store);
    if is_grouped {
        repo = Arc::new(GroupCommit::new(repo, GroupCommitOptions::default()));
    }
    let mut keys = MockApiKeyRepo::new();
    keys.expect_api_keys().returning(|| {
        Ok(balance_domain::ports::ApiKeys { keys: vec![key()], faults: Vec::new(), had_keys: true })
    });
    let access = Access::new(Arc::new(keys) as Arc<dyn ApiKeyRepo>, Arc::clone(&clock));
    access.refresh().await.unwrap();
    let zone = AccountingZone::new("Europe/Moscow").unwrap();
    Api {
        ledger: Ledger::new(repo),
        identity: Arc::new(MockIdentityRepo::new()),
        services: Arc::new(MockServiceRepo::new()),
        reports: Reports::new(Arc::new(MockReportRepo::new()), Arc::new(MockReportSink::new()), clock, zone),
        access,
        refusals: balance_http::Refusals::default(),
        events: Events::new(Arc::new(MockEventRepo::new()), Arc::new(MockIdentityRepo::new()), 1),
        settings: HttpSettings::new(Currency::RUB, "sqlite", Ttl::from_seconds(600).unwrap()),
    }
}

/// The least that this server library does: reads the body, answers a constant.
async fn constant(_body: web::Bytes) -> HttpResponse {
    let answer =
        r#"{"user_id":100000000001,"seq":17,"kind":"deposit","amount":100,"available_after":100000}"#;
    HttpResponse::Created().content_type(ContentType::json()).body(answer)
}

/// Serves on threads of its own, for as long as the process runs.
fn serve(way: &str) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (is_grouped, is_roofline) = (way == "grouped", way == "roofline");
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let options = ServerOptions { workers: 1, ..ServerOptions::default() };
            let server = if is_roofline {
                let constant = || App::new().default_service(web::to(constant));
                HttpServer::new(constant).workers(1).disable_signals().listen(listener).unwrap().run()
            } else {
                balance_http::server(api(is_grouped).await, listener, &options).unwrap()
            };
            server.await.unwrap();
        });
    });
    address
}

fn request(call: &str, serial: usize) -> Vec<u8> {
    let user = 100_000_000_000 + serial % 10_000;
    let authorization = format!("Authorization: Bearer bal_0123456789ab_{SECRET}");
    if call == "balance" {
        return format!(
            "GET /api/v1/users/{user}/balance HTTP/1.1\r\nHost: bench\r\n{authorization}\r\n\r\n"
        )
        .into();
    }
    let body = r#"{"amount":100,"comment":"bench"}"#;
    format!(
        "POST /api/v1/users/{user}/deposits HTTP/1.1\r\nHost: bench\r\n{authorization}\r\n\
         Idempotency-Key: bench-{serial:016}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into()
}

/// Sends on every connection, then reads every answer: small ones, each in one piece.
fn drive(streams: &mut [TcpStream], call: &str, requests: usize, first: usize) {
    let mut answer = [0; 4096];
    for round in 0..requests / streams.len() {
        for (index, stream) in streams.iter_mut().enumerate() {
            stream.write_all(&request(call, first + round * 1000 + index)).unwrap();
        }
        for stream in streams.iter_mut() {
            let length = stream.read(&mut answer).unwrap();
            let text = String::from_utf8_lossy(&answer[..length]);
            assert!(answer.starts_with(b"HTTP/1.1 20") && text.trim_end().ends_with('}'), "{text}");
        }
    }
}

/// CPU nanoseconds by thread name, the client's own left out.
fn cpu_nanoseconds() -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for entry in fs::read_dir("/proc/self/task").unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_string_lossy() == std::process::id().to_string() {
            continue;
        }
        let name = fs::read_to_string(path.join("comm")).unwrap().trim().to_owned();
        let figures = fs::read_to_string(path.join("schedstat")).unwrap();
        *all.entry(name).or_default() += figures.split(' ').next().unwrap().parse::<u64>().unwrap();
    }
    all
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let argument = |index: usize, usual: &str| arguments.get(index).map_or(usual, String::as_str).to_owned();
    let call = argument(0, "deposit");
    let requests: usize = argument(1, "200000").parse().unwrap();
    let connections: usize = argument(2, "32").parse().unwrap();
    let way = argument(3, "grouped");

    let recorder = PrometheusBuilder::new().set_buckets(&[0.001, 0.01, 0.1, 1.0]).unwrap();
    let figures = recorder.install_recorder().unwrap();
    let address = serve(&way);
    let mut streams: Vec<TcpStream> =
        (0..connections).map(|_| TcpStream::connect(address).unwrap()).collect();
    drive(&mut streams, &call, connections * 4, 500_000_000);

    let before = cpu_nanoseconds();
    let started = std::time::Instant::now();
    drive(&mut streams, &call, requests, 0);
    let elapsed = started.elapsed();
    let after = cpu_nanoseconds();

    let per_request = |nanoseconds: u64| nanoseconds as f64 / 1000.0 / requests as f64;
    let mut sum = 0;
    for (name, nanoseconds) in &after {
        let used = nanoseconds - before.get(name).copied().unwrap_or(0);
        sum += used;
        if per_request(used) >= 0.05 {
            println!("  {name:<20} {:>6.2} us", per_request(used));
        }
    }
    println!(
        "{call} {way} {connections} connections: {:.2} us CPU per request, {:.0} requests/s, {} bytes of metrics",
        per_request(sum),
        requests as f64 / elapsed.as_secs_f64(),
        figures.render().len()
    );
}
