//! Every configuration key: name, default, what it is for. The one list that the file, the environment, the command
//! line, `balance config` and the example file share.

/// One key. Sections are written with a dot: `http.workers`.
pub(crate) struct Key {
    /// The name in the file.
    pub(crate) name: &'static str,
    /// The value when nobody gives one, as text; empty is "none".
    pub(crate) default: &'static str,
    /// Never printed. Its environment variable can name a file instead.
    pub(crate) is_secret: bool,
    /// Among the few that `balance --help` lists.
    pub(crate) is_usual: bool,
    /// For people, one or more lines.
    pub(crate) help: &'static str,
}

impl Key {
    /// The name of the environment variable: `http.workers` is `BALANCE_HTTP__WORKERS`.
    pub(crate) fn environment_name(&self) -> String {
        environment_name(self.name)
    }

    /// The flag on the command line: `http.workers` is `--http-workers`.
    pub(crate) fn flag(&self) -> String {
        format!("--{}", self.name.replace(['.', '_'], "-"))
    }

    /// Whether it is true or false, so that its flag alone means true.
    pub(crate) fn is_switch(&self) -> bool {
        matches!(self.default, "true" | "false")
    }

    const fn usual(self) -> Self {
        Self { is_usual: true, ..self }
    }
}

/// The environment variable for a key of this name, known or not.
pub(crate) fn environment_name(key: &str) -> String {
    format!("BALANCE_{}", key.replace('.', "__").to_uppercase())
}

const fn key(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, default, is_secret: false, is_usual: false, help }
}

const fn secret(name: &'static str, default: &'static str, help: &'static str) -> Key {
    Key { name, default, is_secret: true, is_usual: false, help }
}

/// All keys, those of one section together and those without a section first, as TOML wants them.
pub(crate) const KEYS: &[Key] = &[
    key(
        "listen",
        "127.0.0.1:8080",
        "Address and port of the HTTP server; port 0 takes any free one.\n\
         Any other address than a loopback one needs behind_proxy and at least one API key.",
    ).usual(),
    key(
        "admin_listen",
        "",
        "Address and port for /metrics, /health/*, /openapi.json, /docs and the Swagger page, which then are not on listen;\n\
         empty leaves them there. No API key is needed for them, and they answer when http.connections_max is reached.",
    ),
    key(
        "behind_proxy",
        "false",
        "Says that a proxy with TLS stands in front, so that others reach the service: it then needs at least one API\n\
         key, and takes the last address of X-Forwarded-For for the caller's. The service itself speaks plain HTTP.",
    ).usual(),
    secret(
        "database_url",
        "sqlite:data/balance.db",
        "Where the money is: sqlite:PATH (one file, no server) or postgres://USER:PASSWORD@HOST/DATABASE.\n\
         On the command line a password can be read by everybody on the machine.",
    ).usual(),
    secret(
        "admin_key",
        "",
        "An API key with every scope that is not kept in the store, for the first steps:\n\
         bal_<12 hex digits>_<64 hex digits>. `balance keys create` makes proper ones.",
    ),
    key(
        "console",
        "on",
        "The pages for people at /console: on, read_only (they show things, nothing can be done there) or off.",
    ),
    key("currency", "RUB", "ISO 4217 code of the one currency. A ledger keeps the one that it was made with."),
    key("accounting_zone", "Europe/Moscow", "IANA time zone in which accounting months begin and end. A ledger keeps its zone, too."),
    key(
        "reservation_ttl_seconds",
        "600",
        "How long money stays reserved when a request names no time limit, 1 to 2592000.",
    ),
    key("report_folder", "data/reports", "Folder for the CSV files of the monthly reports.").usual(),
    key(
        "migrate_on_start",
        "true",
        "Bring the schema up to date at start. With false, run `balance migrate` before a new version.",
    ).usual(),
    key(
        "allow_unsafe_durability",
        "false",
        "Start even if the database is set to lose confirmed operations in a crash (fsync=off and the like).",
    ),
    key(
        "sweep_interval_ms",
        "1000",
        "How often expired reservations are written down; 0 is never. Answers are right either way.",
    ),
    key(
        "drain_seconds",
        "0",
        "How long after SIGTERM calls are still taken while /health/ready says 503, so that load balancers send\n\
         the next ones elsewhere before the service stops, 0 to 600. 5 suits most. SIGINT (Ctrl-C) does not wait.",
    ),
    key(
        "shutdown_seconds",
        "20",
        "How long a stop may take, after drain_seconds, to finish requests that were accepted, 1 to 600.",
    ),
    key(
        "log",
        "info,actix_server=warn",
        "What is logged: error, warn, info, debug, trace or off, or a list with levels for parts of the service\n\
         such as info,balance_http=debug.",
    ).usual(),
    key("log_format", "auto", "Logs on stdout: json, text, or auto (text on a terminal, json elsewhere).\n\
         NO_COLOR takes the colours out.").usual(),
    key("log_file.folder", "data/logs", "Folder for logs as JSON lines, beside those on stdout, or off.").usual(),
    key("log_file.rotation", "daily", "A new file daily, hourly or never (UTC)."),
    key("log_file.files_max", "14", "How many files are kept, 1 to 10000."),
    key(
        "log_file.bytes_max",
        "2147483648",
        "How large all files together may become; a new one begins when its share is full, and the oldest goes.",
    ),
    key(
        "clock.tolerance_ms",
        "1000",
        "How far this machine's clock may be off before no money moves (503 clock_unsafe): 100 to 60000 milliseconds.",
    ),
    key(
        "clock.accepted_until",
        "",
        "Recorded times up to this one (RFC 3339) come from a clock that was ahead, and the clock is right now: it is\n\
         not held against them. Empty holds it against all.",
    ),
    key("http.workers", "0", "Threads that serve requests; 0 is one per core."),
    key("http.connections_max", "2000", "Connections served at a time."),
    key(
        "http.keep_alive_seconds",
        "75",
        "How long an idle connection stays open, 1 to 3600: longer than a proxy in front keeps its own.",
    ),
    key("http.body_bytes_max", "65536", "Largest request body in bytes."),
    key("http.batch_bytes_max", "1048576", "Largest body of POST /batches in bytes."),
    key(
        "http.ids_as_strings",
        "false",
        "Answer ids as strings of digits, for callers whose numbers are exact up to 2^53 only (JavaScript).\n\
         Requests may send them either way.",
    ),
    key(
        "http.bodies_bytes_max",
        "67108864",
        "Request bodies that are being read, of all callers, in bytes; one API key may have a quarter of it.",
    ),
    key(
        "http.commands_per_second",
        "10000",
        "Commands per second of one API key before 429, as many at once; each command of a batch counts, every other\n\
         request counts as one. 0 is no limit.",
    ),
    key(
        "events.followers_max",
        "64",
        "Callers that may wait for events at a time, 1 to 10000: streams, and GET /events with wait.",
    ),
    key(
        "group_commit.lanes",
        "0",
        "Batches that are written side by side; 0 is 1 on SQLite and 2 on PostgreSQL.",
    ),
    key("group_commit.batch_commands_max", "2000", "Commands in one transaction."),
    key("group_commit.queue_commands_max", "20000", "Commands that may wait, per lane, before 503; one API key may fill half of the room that is left."),
    key(
        "group_commit.queue_age_ms_max",
        "2000",
        "How long a command may wait behind more than a batch before 503, in milliseconds.",
    ),
    key("database.connections_max", "16", "Connections to PostgreSQL; threads that read from SQLite."),
    key("database.connect_timeout_ms", "3000", "Time to connect to PostgreSQL, in milliseconds."),
    key("database.wait_timeout_ms", "2000", "Time to wait for a free connection, in milliseconds."),
    key("database.statement_timeout_ms", "10000", "Time for one statement on PostgreSQL, in milliseconds."),
    key(
        "database.recent_accounts_max",
        "200000",
        "Accounts in the cache, with which most batches and balance reads need no look-up first:\n\
         about 150 bytes each, and 90 per active reservation; 0 switches it off.",
    ),
    key("database.deadline_ms", "5000", "Time for one call, its repetitions included, in milliseconds."),
    key(
        "database.ca_file",
        "",
        "Certificates (PEM) to trust for TLS to PostgreSQL instead of the system's. TLS is requested with\n\
         sslmode in the URL.",
    ),
    key(
        "otel.endpoint",
        "",
        "Collector of OpenTelemetry that traces are sent to, such as http://127.0.0.1:4318 (OTLP over HTTP); empty\n\
         sends none. Needs a binary that was built with `--features otel`.",
    ),
    key("otel.service_name", "balance", "The name of this service in traces."),
    key(
        "otel.sample_ratio",
        "1",
        "Which part of the requests is traced, 0 to 1. A caller that sends a traceparent decides for its own.",
    ),
];
