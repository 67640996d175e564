//! `balance doctor`: looks for what would go wrong, before it does.

use std::{fmt, net::TcpListener, process::ExitCode, sync::Arc, time::Duration};

use balance_domain::ports::Clock;
use rustix::process::{Resource, getrlimit};
use serde_json::{Value, json};
use tokio::time::timeout;

use crate::{
    cli::Output,
    clock::SystemClock,
    folders::{self, Folder},
    health,
    output::{failure, print, print_json, reasons},
    settings::{Database, Settings},
    stores::Stores,
    version::{COMMIT, VERSION},
};

/// How long the store may take to answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// Less room than this is a failure, less than that a warning, in bytes.
const ROOM: (u64, u64) = (100 << 20, 1 << 30);

/// Files that a service opens beside its connections: the database's, logs, listeners.
const OTHER_FILES: u64 = 256;

/// 2026-01-01T00:00:00Z, in microseconds: before this program was written.
const TOO_EARLY: i64 = 1_767_225_600_000_000;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Level {
    Ok,
    Warning,
    Failure,
}

impl Level {
    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Failure => "failure",
        }
    }
}

/// What one look has found.
struct Finding {
    what: &'static str,
    level: Level,
    text: String,
}

fn finding(what: &'static str, level: Level, text: impl Into<String>) -> Finding {
    Finding { what, level, text: text.into() }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<7}  {:<10}  {}", self.level.as_str(), self.what, self.text)
    }
}

/// Looks at everything; 0 if nothing has failed, 1 otherwise.
pub(crate) async fn run(settings: &Settings, output: Output) -> anyhow::Result<ExitCode> {
    let mut findings = vec![finding("version", Level::Ok, format!("{VERSION} ({COMMIT})")), clock()];
    let is_serving = health::is_serving(settings.listen);
    findings.push(address(settings, is_serving));
    findings.push(store(settings, is_serving).await);
    for folder in folders::of(settings) {
        findings.extend(look_at(&folder));
    }
    findings.push(open_files(settings));
    let worst = findings.iter().map(|finding| finding.level).max();
    if output.json {
        print_json(&findings.iter().map(as_json).collect::<Value>())?;
    } else {
        print(findings.iter().map(ToString::to_string).collect::<String>())?;
    }
    Ok(if worst == Some(Level::Failure) { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn as_json(finding: &Finding) -> Value {
    json!({ "what": finding.what, "level": finding.level.as_str(), "text": finding.text })
}

/// Whether the clock can be right at all. Against the database's it is held by the service, see `store`.
fn clock() -> Finding {
    let now = SystemClock.now();
    let level = if now.micros() < TOO_EARLY { Level::Failure } else { Level::Ok };
    finding("clock", level, now.to_string())
}

fn address(settings: &Settings, is_serving: bool) -> Finding {
    let listen = settings.listen;
    if is_serving {
        return finding("address", Level::Ok, format!("{listen}: a service answers there"));
    }
    match TcpListener::bind(listen) {
        Ok(_) => finding("address", Level::Ok, format!("{listen} is free")),
        Err(error) => finding("address", Level::Failure, format!("{listen} cannot be listened on ({error})")),
    }
}

/// Whether the store can be used as it is: reached, allowed, of the right schema, durable. Nothing is made or migrated.
async fn store(settings: &Settings, is_serving: bool) -> Finding {
    const WHAT: &str = "ledger";
    let ledger = &settings.database;
    if let Database::Sqlite(file) = ledger {
        if !file.exists() {
            return finding(
                WHAT,
                Level::Warning,
                format!("{ledger} is not there: a start makes a new, empty one"),
            );
        }
        if is_serving {
            return finding(WHAT, Level::Ok, format!("{ledger} belongs to the service that answers"));
        }
    }
    let settings = Settings { migrate_on_start: false, ..settings.clone() };
    let stores = match Stores::open(&settings, Arc::new(SystemClock)) {
        Ok(stores) => stores,
        Err(error) => {
            return finding(WHAT, Level::Failure, format!("{ledger}: {}", reasons(&error).join("; ")));
        }
    };
    match timeout(PATIENCE, stores.balances.ready()).await {
        Ok(Ok(())) => finding(WHAT, Level::Ok, format!("{ledger} can be used")),
        Ok(Err(error)) => finding(WHAT, Level::Failure, format!("{ledger}: {}", failure(&error).join("; "))),
        Err(_) => finding(WHAT, Level::Failure, format!("{ledger} does not answer")),
    }
}

/// Rights, room, and whether what is flushed stays.
fn look_at(folder: &Folder) -> Vec<Finding> {
    let (what, path) = (folder.place, folder.path.display());
    let mut findings = vec![match folder.check_writable() {
        Ok(()) => finding(what, Level::Ok, format!("{path} can be written")),
        Err(error) => finding(what, Level::Failure, format!("{path} cannot be written ({error})")),
    }];
    findings.push(match folder.free_bytes() {
        Ok(free) => finding(what, room(free), format!("{path} has {} MiB left", free >> 20)),
        Err(error) => {
            finding(what, Level::Failure, format!("{path} does not say how much room it has ({error})"))
        }
    });
    if let Some(doubt) = folder.doubt().filter(|_| what == "database") {
        findings.push(finding(what, Level::Warning, format!("{path} is on {doubt}")));
    }
    findings
}

fn room(free: u64) -> Level {
    match free {
        free if free < ROOM.0 => Level::Failure,
        free if free < ROOM.1 => Level::Warning,
        _ => Level::Ok,
    }
}

/// Each connection is an open file.
fn open_files(settings: &Settings) -> Finding {
    let needed = (settings.http.connections_max + settings.pool.connections_max) as u64 + OTHER_FILES;
    let allowed = getrlimit(Resource::Nofile).current;
    let text = |allowed: u64| format!("{allowed} open files are allowed, up to {needed} are needed");
    match allowed {
        Some(allowed) if allowed < needed => {
            let remedy = "raise the limit (ulimit -n, LimitNOFILE) or lower http.connections_max";
            finding("limits", Level::Warning, format!("{}: {remedy}", text(allowed)))
        }
        Some(allowed) => finding("limits", Level::Ok, text(allowed)),
        None => finding("limits", Level::Ok, "open files are not limited"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn little_room_is_said_before_there_is_none() {
        assert_eq!([0, ROOM.0 - 1].map(room), [Level::Failure; 2]);
        assert_eq!([ROOM.0, ROOM.1 - 1].map(room), [Level::Warning; 2]);
        assert_eq!(room(ROOM.1), Level::Ok);
    }

    #[test]
    fn a_folder_that_cannot_be_written_is_a_failure() {
        let levels = |path: &str| {
            let folder = Folder { place: "reports", path: path.into() };
            look_at(&folder).iter().map(|finding| finding.level).max()
        };
        assert_eq!(levels("/proc/reports"), Some(Level::Failure));
        let folder = tempfile::TempDir::new().unwrap();
        assert_eq!(levels(folder.path().join("reports").to_str().unwrap()), Some(Level::Ok));
    }
}
