//! One running server.

use std::{
    fs,
    net::TcpListener,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal};

use crate::{binaries, data::DataFolder, identity::Identity};

/// Longer than a start under load with crash recovery takes.
const READY_WITHIN: Duration = Duration::from_mins(1);

/// Starts the server (`$1` and its arguments), then waits for the end of the pipe that is its standard input:
/// that is when the value is dropped or the process that holds it has died, however that happened. `$0` is
/// the folder to remove, `$3` the cluster; a server that was killed before leaves a shared memory segment behind,
/// named on line 7 of its pid file.
const KEEPER: &str = r#"
"$@" < /dev/null & server=$!
read -r word
kill -QUIT "$server" 2> /dev/null
wait "$server" 2> /dev/null
segment=$(sed -n '7s/^ *[0-9]* *//p' "$3/postmaster.pid" 2> /dev/null)
[ "$word" = keep ] && exit 0
[ -n "$segment" ] && ipcrm -m "$segment" 2> /dev/null
cd / && rm -rf "$0" 2> /dev/null
exit 0
"#;

/// How a server is to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// With `fsync` and full page writes: for crash tests and honest measurements. Off for speed.
    pub durable: bool,
    /// Data in memory, where the system has a tmpfs.
    pub on_tmpfs: bool,
    /// Tables and indexes on this file system instead, in a folder that every user can reach. The log of changes stays
    /// where it would be.
    pub tables_on: Option<PathBuf>,
    /// Further settings, `name=value` as in `postgresql.conf`.
    pub settings: Vec<String>,
}

/// For tests: fast, in memory, not durable.
impl Default for Options {
    fn default() -> Self {
        Self { durable: false, on_tmpfs: true, tables_on: None, settings: Vec::new() }
    }
}

/// A private server on a port of its own of 127.0.0.1, superuser `postgres`, no password. Dropping it stops it
/// and removes its data.
#[derive(Debug)]
pub struct Server {
    bin: PathBuf,
    identity: Identity,
    options: Options,
    port: u16,
    databases: AtomicU32,
    keeper: Mutex<Option<Keeper>>,
    // Last: removed once the keeper is gone.
    data: DataFolder,
}

/// The shell that holds the server.
#[derive(Debug)]
struct Keeper {
    shell: Child,
    pipe: Option<ChildStdin>,
}

impl Server {
    /// Initialises a new cluster and starts it; returns when it accepts connections.
    ///
    /// # Panics
    ///
    /// If PostgreSQL is not installed, or does not start.
    pub fn start(options: Options) -> Self {
        let bin = binaries::folder();
        let identity = Identity::choose();
        let data = DataFolder::create(&bin, identity, options.on_tmpfs, options.tables_on.as_deref());
        Self::launched(bin, identity, options, data)
    }

    /// A hot standby of this server with the same options: a copy that follows it by streaming replication, under
    /// this name for `synchronous_standby_names`. Returns when it streams.
    ///
    /// # Panics
    ///
    /// If the copy cannot be made or does not follow.
    #[must_use]
    pub fn standby(&self, name: &str) -> Self {
        let options = self.options.clone();
        let primary = format!("host=127.0.0.1 port={} user=postgres application_name={name}", self.port);
        let data = DataFolder::follow(&self.bin, self.identity, options.on_tmpfs, &primary);
        let standby = Self::launched(self.bin.clone(), self.identity, options, data);
        self.await_standby(name);
        standby
    }

    /// Waits until the standby of this name streams.
    ///
    /// # Panics
    ///
    /// If it does not within a minute.
    pub fn await_standby(&self, name: &str) {
        let streams = format!(
            "SELECT count(*) FROM pg_stat_replication WHERE application_name = '{name}' AND state = 'streaming'"
        );
        let deadline = Instant::now() + READY_WITHIN;
        while self.psql("postgres", &streams) != "1" {
            assert!(Instant::now() < deadline, "the standby {name} does not stream");
            thread::sleep(Duration::from_millis(20));
        }
    }

    /// Makes a standby a primary of its own, with what it has received; returns when it accepts writes.
    ///
    /// # Panics
    ///
    /// If it is no standby, or is not promoted within a minute.
    pub fn promote(&self) {
        let seconds = READY_WITHIN.as_secs();
        assert_eq!(
            self.psql("postgres", &format!("SELECT pg_promote(true, {seconds})")),
            "t",
            "not promoted"
        );
    }

    /// Changes settings for good and has the running server read them: `ALTER SYSTEM SET …` each.
    ///
    /// # Panics
    ///
    /// If the server refuses, or has not read them within a minute.
    pub fn reconfigure(&self, settings: &[&str]) {
        let loaded = || self.psql("postgres", "SELECT pg_conf_load_time()");
        let before = loaded();
        let changes = settings.iter().map(|setting| format!("ALTER SYSTEM SET {setting}"));
        let changes: Vec<String> = changes.chain(["SELECT pg_reload_conf()".to_owned()]).collect();
        self.run("postgres", &changes.iter().map(String::as_str).collect::<Vec<_>>());
        let deadline = Instant::now() + READY_WITHIN;
        while loaded() == before {
            assert!(Instant::now() < deadline, "PostgreSQL does not read its settings again");
            thread::sleep(Duration::from_millis(10));
        }
    }

    fn launched(bin: PathBuf, identity: Identity, options: Options, data: DataFolder) -> Self {
        let (port, databases, keeper) = (free_port(), AtomicU32::new(0), Mutex::new(None));
        let server = Self { bin, identity, options, port, databases, keeper, data };
        server.launch();
        server
    }

    /// The connection URL of a database: `postgres://postgres@127.0.0.1:PORT/NAME`.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://postgres@127.0.0.1:{}/{database}", self.port)
    }

    /// The connection URL of a database over the server's Unix socket.
    pub fn socket_url(&self, database: &str) -> String {
        let folder = self.data.root().display().to_string().replace('/', "%2F");
        format!("postgres://postgres@{folder}:{}/{database}", self.port)
    }

    /// The port on 127.0.0.1, the same after a restart.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of this server's binaries, `pg_dump` and its like among them.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// The process id of the postmaster.
    ///
    /// # Panics
    ///
    /// If the server does not run.
    pub fn pid(&self) -> u32 {
        let pid = self.pid_line(0).and_then(|line| line.parse().ok());
        pid.unwrap_or_else(|| panic!("the PostgreSQL of this test does not run"))
    }

    /// Makes a database with a name of its own, empty or as a copy of `template`, which nobody may stay
    /// connected to. Returns the name.
    ///
    /// # Panics
    ///
    /// If the server refuses.
    pub fn create_database(&self, template: Option<&str>) -> String {
        let name = format!("d{}", self.databases.fetch_add(1, Ordering::Relaxed));
        let template = template.unwrap_or("template1");
        // A connection that was closed a moment ago may still be on its way out of the template.
        let wait = format!(
            "DO $$ BEGIN FOR i IN 1..500 LOOP \
                 EXIT WHEN NOT EXISTS (SELECT FROM pg_stat_activity WHERE datname = '{template}'); \
                 PERFORM pg_sleep(0.02), pg_stat_clear_snapshot(); \
             END LOOP; END $$"
        );
        self.run("postgres", &[&wait, &format!("CREATE DATABASE {name} TEMPLATE {template}")]);
        name
    }

    /// Runs SQL in a database as superuser and returns what `psql -At` prints.
    ///
    /// # Panics
    ///
    /// If the SQL fails.
    pub fn psql(&self, database: &str, sql: &str) -> String {
        self.run(database, &[sql])
    }

    /// Runs each of these as a transaction of its own.
    fn run(&self, database: &str, commands: &[&str]) -> String {
        let output = Command::new(self.bin.join("psql"))
            .args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"])
            .args(commands.iter().flat_map(|sql| ["-c", sql]))
            .arg(self.url(database))
            .stdin(Stdio::null())
            .output()
            .unwrap_or_else(|error| panic!("psql does not start: {error}"));
        assert!(output.status.success(), "{commands:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).trim_end().to_owned()
    }

    /// Kills the postmaster as `kill -9` does and returns when all its processes are gone. Nothing is
    /// flushed: what survives is what was durable, or still is in the page cache.
    ///
    /// # Panics
    ///
    /// If the server does not run.
    pub fn kill_9(&self) {
        self.signal(Signal::KILL);
        self.release("keep");
        self.await_backends_gone();
    }

    /// Stops the server the orderly way, with a checkpoint.
    ///
    /// # Panics
    ///
    /// If the server does not run, or does not stop within a minute.
    pub fn stop(&self) {
        self.signal(Signal::INT);
        let deadline = Instant::now() + READY_WITHIN;
        while self.data.cluster().join("postmaster.pid").exists() {
            assert!(Instant::now() < deadline, "PostgreSQL does not stop");
            thread::sleep(Duration::from_millis(10));
        }
        self.release("keep");
    }

    /// Starts the server again after [`kill_9`](Self::kill_9) or [`stop`](Self::stop), on the same data and
    /// port; a running one is stopped first. Returns when it accepts connections.
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn restart(&self) {
        if self.keeper().is_some() {
            self.stop();
        }
        self.launch();
    }

    fn launch(&self) {
        let stale = self.pid_line(0);
        let log = fs::File::create(self.data.log())
            .unwrap_or_else(|error| panic!("the log of PostgreSQL cannot be written: {error}"));
        let mut command = Command::new("/bin/sh");
        command.args(["-c", KEEPER]).arg(self.data.root()).arg(self.bin.join("postgres"));
        command.arg("-D").arg(self.data.cluster()).arg("-k").arg(self.data.root());
        for setting in self.settings() {
            command.arg("-c").arg(setting);
        }
        command
            .current_dir(self.data.root())
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Not in the group that Ctrl-C reaches: the keeper must outlive the test to clean up.
            .process_group(0);
        self.identity.apply(&mut command);
        let mut shell = command.spawn().unwrap_or_else(|error| panic!("/bin/sh does not start: {error}"));
        let pipe = shell.stdin.take();
        *self.keeper() = Some(Keeper { shell, pipe });
        self.await_ready(stale.as_deref());
    }

    fn settings(&self) -> Vec<String> {
        let mut settings = vec![
            "listen_addresses=127.0.0.1".to_owned(),
            format!("port={}", self.port),
            // Shared segments as files of the data folder: a killed server leaves nothing elsewhere.
            "dynamic_shared_memory_type=mmap".to_owned(),
            "max_connections=200".to_owned(),
            "log_min_messages=warning".to_owned(),
        ];
        if !self.options.durable {
            settings.extend(["fsync=off".to_owned(), "full_page_writes=off".to_owned()]);
        }
        settings.extend(self.options.settings.iter().cloned());
        settings
    }

    /// A TCP connect is no readiness: the server accepts while it is starting up. Line 8 of the pid file is,
    /// unless the file is the one that a killed server left behind.
    fn await_ready(&self, stale: Option<&str>) {
        let deadline = Instant::now() + READY_WITHIN;
        while self.pid_line(0).as_deref() == stale || self.pid_line(7).as_deref() != Some("ready") {
            let mut keeper = self.keeper();
            let has_ended = keeper.as_mut().is_none_or(|k| matches!(k.shell.try_wait(), Ok(Some(_))));
            drop(keeper);
            assert!(
                !has_ended && Instant::now() < deadline,
                "PostgreSQL does not start: {}",
                fs::read_to_string(self.data.log()).unwrap_or_default()
            );
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Every backend keeps the cluster's shared memory attached, and a restart refuses while one does.
    fn await_backends_gone(&self) {
        let cluster = self.data.cluster();
        let deadline = Instant::now() + READY_WITHIN;
        while processes_in(&cluster) > 0 {
            assert!(Instant::now() < deadline, "backends of a killed PostgreSQL do not end");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn pid_line(&self, line: usize) -> Option<String> {
        let text = fs::read_to_string(self.data.cluster().join("postmaster.pid")).ok()?;
        text.lines().nth(line).map(|line| line.trim().to_owned())
    }

    fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may be gone already: then there is nothing left to stop.
            let _gone = rustix::process::kill_process(pid, signal);
        }
    }

    /// Ends the keeper with `word` as its last input, and waits until it has exited.
    fn release(&self, word: &str) {
        let keeper = self.keeper().take();
        if let Some(mut keeper) = keeper {
            if let Some(mut pipe) = keeper.pipe.take() {
                // A keeper that has exited has nothing left to do.
                let _gone = std::io::Write::write_all(&mut pipe, format!("{word}\n").as_bytes());
            }
            let _status = keeper.shell.wait();
        }
    }

    fn keeper(&self) -> MutexGuard<'_, Option<Keeper>> {
        self.keeper.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.release("end");
    }
}

/// A port that was free a moment ago; the server reports the rare loss of that race when it starts.
fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    listener.unwrap_or_else(|error| panic!("no free port on 127.0.0.1: {error}")).port()
}

/// How many processes work in this folder: every process of PostgreSQL does so in its data folder.
fn processes_in(folder: &Path) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes.filter(|entry| fs::read_link(entry.path().join("cwd")).is_ok_and(|cwd| cwd == folder)).count()
}
