//! The configuration: defaults, a TOML file, the environment on top, and the command line on top of both. Parsed once,
//! here; everything that is wrong is reported at once.

mod database;
mod keys;
mod parser;
mod show;
mod source;

use std::{
    fmt,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use balance_console::ConsoleMode;
use balance_domain::{AccountingZone, Currency, Invalid, Timestamp, Ttl};

use self::parser::{Parser, one_of};
pub(crate) use self::{
    database::Database,
    keys::{KEYS, Key},
    show::Shown,
    source::{Source, allows_colours},
};
use crate::keys::AdminKey;

/// One thing that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// The key, in the file and in the environment.
    what: String,
    /// Why it cannot be used.
    why: String,
}

impl Problem {
    fn new(what: &str, why: impl Into<String>) -> Self {
        Self { what: what.to_owned(), why: why.into() }
    }
}

/// Everything that is wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problems(Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.len() {
            1 => f.write_str("the configuration has a problem:")?,
            count => write!(f, "the configuration has {count} problems:")?,
        }
        self.0.iter().try_for_each(|Problem { what, why }| write!(f, "\n  - {what}: {why}"))
    }
}

impl std::error::Error for Problems {}

/// How logs are written to stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// JSON unless stdout is a terminal.
    Auto,
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// When a new log file begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogRotation {
    /// At midnight UTC.
    Daily,
    /// At the full hour.
    Hourly,
    /// Not at all.
    Never,
}

/// What happens where there is no ledger yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NewLedger {
    /// One is made: the store was named, or nothing at all was configured.
    IsMade,
    /// None is made: something was configured, but not the store. Most likely that was forgotten.
    IsRefused,
}

/// Logs in a folder.
#[derive(Clone, Debug)]
pub(crate) struct LogFile {
    pub(crate) folder: PathBuf,
    pub(crate) rotation: LogRotation,
    pub(crate) files_max: usize,
    /// Of all files together.
    pub(crate) bytes_max: u64,
}

/// Bounds of the HTTP server. A rate of 0 is no limit.
#[derive(Clone, Debug)]
pub(crate) struct Http {
    pub(crate) workers: usize,
    pub(crate) connections_max: usize,
    pub(crate) keep_alive: Duration,
    pub(crate) body_bytes_max: usize,
    pub(crate) batch_bytes_max: usize,
    pub(crate) ids_as_strings: bool,
    pub(crate) bodies_bytes_max: usize,
    pub(crate) commands_per_second: u32,
}

/// Bounds of group commit.
#[derive(Clone, Debug)]
pub(crate) struct Batching {
    pub(crate) lanes: usize,
    pub(crate) batch_commands_max: usize,
    pub(crate) queue_commands_max: usize,
    pub(crate) queue_age_max: Duration,
}

/// When the clock is trusted.
#[derive(Clone, Debug)]
pub(crate) struct ClockSettings {
    pub(crate) tolerance: Duration,
    /// Recorded times up to this one say nothing about the clock.
    pub(crate) accepted_until: Option<Timestamp>,
}

/// Where traces are sent, and which.
#[cfg_attr(
    not(feature = "otel"),
    expect(dead_code, reason = "a binary that sends none refuses these settings")
)]
#[derive(Clone, Debug)]
pub(crate) struct Traces {
    /// The collector, without the path.
    pub(crate) endpoint: String,
    pub(crate) service_name: String,
    /// Of requests whose caller does not say: 0 to 1.
    pub(crate) sample_ratio: f64,
}

/// Connections and patience.
#[derive(Clone, Debug)]
pub(crate) struct Pool {
    pub(crate) connections_max: usize,
    pub(crate) connect_timeout: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) recent_accounts_max: usize,
    pub(crate) deadline: Duration,
    pub(crate) ca_file: Option<PathBuf>,
}

/// The configuration, meant and checked. The keys and their defaults are in `settings/keys.rs`.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) admin_listen: Option<SocketAddr>,
    pub(crate) database: Database,
    pub(crate) new_ledger: NewLedger,
    pub(crate) admin_key: Option<AdminKey>,
    /// None is off.
    pub(crate) console: Option<ConsoleMode>,
    pub(crate) is_behind_proxy: bool,
    pub(crate) currency: Currency,
    pub(crate) accounting_zone: AccountingZone,
    pub(crate) reservation_ttl: Ttl,
    pub(crate) report_folder: PathBuf,
    pub(crate) migrate_on_start: bool,
    pub(crate) allow_unsafe_durability: bool,
    pub(crate) sweep_interval: Option<Duration>,
    pub(crate) drain: Duration,
    pub(crate) shutdown: Duration,
    pub(crate) log: String,
    pub(crate) log_format: LogFormat,
    pub(crate) log_file: Option<LogFile>,
    pub(crate) clock: ClockSettings,
    pub(crate) http: Http,
    pub(crate) followers_max: usize,
    pub(crate) batching: Batching,
    pub(crate) pool: Pool,
    #[cfg_attr(not(feature = "otel"), expect(dead_code, reason = "always none in a binary that sends none"))]
    pub(crate) traces: Option<Traces>,
    /// What is in effect and where it was given, secrets hidden.
    pub(crate) shown: Shown,
}

impl Settings {
    /// Reads and checks everything.
    pub(crate) fn load(source: Source) -> Result<Self, Problems> {
        let (given, problems) = source.read();
        let mut parser = Parser::new(given, problems);
        let settings = Self::parse(&mut parser);
        let problems = parser.into_problems();
        if problems.is_empty() { Ok(settings) } else { Err(Problems(problems)) }
    }

    fn parse(parser: &mut Parser) -> Self {
        let database = parser.value("database_url", Database::parse);
        let behind_proxy = parser.value("behind_proxy", parser::boolean);
        let batching = parse_batching(parser, &database);
        let listen = parser.value("listen", |text| parse_listen(text, behind_proxy));
        let is_named = parser.given().contains_key("database_url");
        if !is_named && (behind_proxy || !listen.ip().is_loopback()) {
            parser.refuse("database_url", NAMED_FOR_OTHERS.into());
        }
        Self {
            listen,
            new_ledger: if is_named || parser.given().is_empty() {
                NewLedger::IsMade
            } else {
                NewLedger::IsRefused
            },
            admin_listen: parser.optional("admin_listen", parse_address),
            pool: parse_pool(parser, &database, batching.lanes),
            batching,
            database,
            admin_key: parser.optional("admin_key", AdminKey::parse),
            console: parser.value(
                "console",
                one_of(&[
                    ("on", Some(ConsoleMode::On)),
                    ("read_only", Some(ConsoleMode::ReadOnly)),
                    ("off", None),
                ]),
            ),
            is_behind_proxy: behind_proxy,
            currency: parser.value("currency", parse_currency),
            accounting_zone: parser.value("accounting_zone", |text| {
                AccountingZone::new(text).map_err(|_| {
                    format!("{text:?} is no time zone of the IANA database, such as Europe/Moscow or UTC")
                })
            }),
            reservation_ttl: parser.value("reservation_ttl_seconds", |text| {
                let seconds = parser::whole(1, u64::from(Ttl::SECONDS_MAX))(text)?;
                let seconds = u32::try_from(seconds).map_err(|error| error.to_string())?;
                Ttl::from_seconds(seconds).map_err(|error| error.to_string())
            }),
            report_folder: parser.value("report_folder", parser::path),
            migrate_on_start: parser.value("migrate_on_start", parser::boolean),
            allow_unsafe_durability: parser.value("allow_unsafe_durability", parser::boolean),
            sweep_interval: parser
                .value("sweep_interval_ms", parser::milliseconds(0, 3_600_000))
                .into_positive(),
            drain: parser.value("drain_seconds", parser::seconds(0, 600)),
            shutdown: parser.value("shutdown_seconds", parser::seconds(1, 600)),
            log: parser.value("log", parse_log),
            log_format: parser.value(
                "log_format",
                one_of(&[("auto", LogFormat::Auto), ("json", LogFormat::Json), ("text", LogFormat::Text)]),
            ),
            log_file: parse_log_file(parser),
            clock: ClockSettings {
                tolerance: parser.value("clock.tolerance_ms", parser::milliseconds(100, 60_000)),
                accepted_until: parser.optional("clock.accepted_until", |text| {
                    text.parse().map_err(|error: Invalid| error.to_string())
                }),
            },
            http: parse_http(parser),
            followers_max: parser.count("events.followers_max", 1, 10_000),
            traces: parse_traces(parser),
            shown: Shown::of(parser.given()),
        }
    }
}

/// A forgotten variable would open a new and empty ledger, in which retried payments would happen again.
const NAMED_FOR_OTHERS: &str = "must be set where others than this machine reach the service: which ledger they reach \
    is not left to the folder that it was started in";

impl Settings {
    /// Refuses a file that is not there where no new ledger is to be made.
    pub(crate) fn check_place(&self, file: &Path) -> Result<(), NoSuchLedger> {
        let is_fine = self.new_ledger == NewLedger::IsMade || file.exists();
        if is_fine { Ok(()) } else { Err(NoSuchLedger(self.database.to_string())) }
    }
}

/// There is no ledger where one would be without a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NoSuchLedger(String);

impl fmt::Display for NoSuchLedger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "there is no ledger yet in {}, and the configuration names none: set database_url \
             (BALANCE_DATABASE_URL, --database-url) to the ledger that is meant, or to sqlite:data/balance.db \
             for a new one here",
            self.0
        )
    }
}

impl std::error::Error for NoSuchLedger {}

/// Nothing for zero.
trait IntoPositive: Sized {
    fn into_positive(self) -> Option<Self>;
}

impl IntoPositive for Duration {
    fn into_positive(self) -> Option<Self> {
        (!self.is_zero()).then_some(self)
    }
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| format!("{text:?} is not an address with a port, like 127.0.0.1:8080"))
}

fn parse_listen(text: &str, behind_proxy: bool) -> Result<SocketAddr, String> {
    let address = parse_address(text)?;
    if !address.ip().is_loopback() && !behind_proxy {
        return Err(format!(
            "{address} can be reached from other machines, and the service speaks plain HTTP: put a proxy \
             with TLS in front and set behind_proxy (BALANCE_BEHIND_PROXY) to true"
        ));
    }
    Ok(address)
}

fn parse_currency(text: &str) -> Result<Currency, String> {
    Currency::new(text).map_err(|_| format!("{text:?} is no currency of ISO 4217, such as RUB or KZT"))
}

/// A word that is no level would be taken for the name of a part that is to be logged, and everything else be silent.
fn parse_log(text: &str) -> Result<String, String> {
    const LEVELS: [&str; 6] = ["error", "warn", "info", "debug", "trace", "off"];
    let is_level = |word: &str| LEVELS.iter().any(|level| level.eq_ignore_ascii_case(word));
    for directive in text.split(',').map(str::trim).filter(|directive| !directive.is_empty()) {
        let level = directive.rsplit_once('=').map_or(directive, |(_, level)| level);
        if !is_level(level) {
            return Err(format!("{level:?} is none of {}", LEVELS.join(", ")));
        }
    }
    match tracing_subscriber::EnvFilter::try_new(text) {
        Ok(_) => Ok(text.to_owned()),
        Err(_) => Err(format!("{text:?} is not a level or a list such as info,balance_http=debug")),
    }
}

fn parse_log_file(parser: &mut Parser) -> Option<LogFile> {
    let rotation =
        [("daily", LogRotation::Daily), ("hourly", LogRotation::Hourly), ("never", LogRotation::Never)];
    let rotation = parser.value("log_file.rotation", one_of(&rotation));
    let files_max = parser.count("log_file.files_max", 1, 10_000);
    let bytes_max = parser.value("log_file.bytes_max", parser::whole(1 << 20, 1 << 50));
    let folder = parser.value("log_file.folder", parser::path);
    (folder != Path::new("off")).then_some(LogFile { folder, rotation, files_max, bytes_max })
}

fn parse_http(parser: &mut Parser) -> Http {
    let batch_bytes_max = parser.count("http.batch_bytes_max", 1024, 64 << 20);
    let bodies_bytes_max = parser.count("http.bodies_bytes_max", 1 << 20, 1 << 40);
    if bodies_bytes_max < 4 * batch_bytes_max {
        let why = format!(
            "{bodies_bytes_max} is too little: one API key may have a quarter of it, and http.batch_bytes_max is \
             {batch_bytes_max}"
        );
        parser.refuse("http.bodies_bytes_max", why);
    }
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    Http {
        workers: match parser.count("http.workers", 0, 1024) {
            0 => cores,
            workers => workers,
        },
        connections_max: parser.count("http.connections_max", 1, 1_000_000),
        keep_alive: parser.value("http.keep_alive_seconds", parser::seconds(1, 3600)),
        body_bytes_max: parser.count("http.body_bytes_max", 1024, 16 << 20),
        batch_bytes_max,
        bodies_bytes_max,
        ids_as_strings: parser.value("http.ids_as_strings", parser::boolean),
        commands_per_second: parser.rate("http.commands_per_second"),
    }
}

/// Two lanes keep a database busy while one of them waits for its flush; with more the batches get smaller, and
/// each command costs more (docs/performance.md).
fn parse_batching(parser: &mut Parser, database: &Database) -> Batching {
    let usual = match database {
        Database::Sqlite(_) => 1,
        Database::Postgres(_) => 2,
    };
    Batching {
        lanes: match parser.count("group_commit.lanes", 0, 256) {
            0 => usual,
            lanes => lanes,
        },
        batch_commands_max: parser.count("group_commit.batch_commands_max", 1, 100_000),
        queue_commands_max: parser.count("group_commit.queue_commands_max", 1, 10_000_000),
        queue_age_max: parser.value("group_commit.queue_age_ms_max", parser::milliseconds(1, 600_000)),
    }
}

/// PostgreSQL: a connection per lane, one to tell whether the service is ready, and at least one for all the rest.
fn parse_pool(parser: &mut Parser, database: &Database, lanes: usize) -> Pool {
    let patience = || parser::milliseconds(1, 600_000);
    let connections_max = parser.count("database.connections_max", 1, 10_000);
    let needed = lanes + 2;
    if matches!(database, Database::Postgres(_)) && connections_max < needed {
        let why = format!(
            "{connections_max} is too few for {lanes} lanes (group_commit.lanes): with PostgreSQL each takes a \
             connection, and two more are needed, so at least {needed}"
        );
        parser.refuse("database.connections_max", why);
    }
    Pool {
        connections_max,
        connect_timeout: parser.value("database.connect_timeout_ms", patience()),
        wait_timeout: parser.value("database.wait_timeout_ms", patience()),
        statement_timeout: parser.value("database.statement_timeout_ms", patience()),
        recent_accounts_max: parser.count("database.recent_accounts_max", 0, 100_000_000),
        deadline: parser.value("database.deadline_ms", patience()),
        ca_file: parser.optional("database.ca_file", parser::path),
    }
}

fn parse_traces(parser: &mut Parser) -> Option<Traces> {
    let endpoint = parser.optional("otel.endpoint", parse_collector);
    let service_name = parser.value("otel.service_name", parse_service_name);
    let sample_ratio = parser.value("otel.sample_ratio", parse_ratio);
    endpoint.map(|endpoint| Traces { endpoint, service_name, sample_ratio })
}

/// Says nothing of the value: it may hold a password.
fn parse_collector(url: &str) -> Result<String, String> {
    if !cfg!(feature = "otel") {
        return Err("this binary was built without traces: build it with `--features otel`".into());
    }
    let place = url.strip_prefix("http://").unwrap_or_default().trim_end_matches('/');
    let is_plain = |b: u8| b.is_ascii_graphic() && !matches!(b, b'@' | b'?' | b'#');
    if place.is_empty() || place.starts_with(['/', ':']) || !place.bytes().all(is_plain) {
        return Err(
            "is not written http://HOST:PORT; for TLS, or to give a password, run a collector beside \
                    this service that does so"
                .into(),
        );
    }
    Ok(format!("http://{place}"))
}

fn parse_service_name(text: &str) -> Result<String, String> {
    let is_fine = (1..=255).contains(&text.len()) && !text.chars().any(char::is_control);
    if is_fine { Ok(text.to_owned()) } else { Err(format!("{text:?} is not 1 to 255 bytes of text")) }
}

fn parse_ratio(text: &str) -> Result<f64, String> {
    let ratio = text.parse().ok().filter(|ratio| (0.0..=1.0).contains(ratio));
    ratio.ok_or_else(|| format!("{text:?} is not a number from 0 to 1"))
}

#[cfg(test)]
mod tests;
