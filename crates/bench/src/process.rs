//! The processes under measurement: started here, stopped here, and their CPU time read from `/proc`.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// A server on a loopback port. Killed when dropped.
pub(crate) struct Served {
    child: Child,
    _stdin: Option<ChildStdin>,
    pub(crate) authority: String,
    /// From the start of the process until it had printed its address and, where that was asked, was ready.
    pub(crate) ready_in: Duration,
}

impl Served {
    /// Starts the command and waits until it prints its address on standard error and, with `ready_path`, answers 200
    /// there.
    pub(crate) fn start(mut command: Command, ready_path: Option<&str>) -> anyhow::Result<Self> {
        let start = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("starting {}", command.get_program().display()))?;
        let stdin = child.stdin.take();
        let mut lines = BufReader::new(child.stderr.take().context("no standard error")?);
        let mut said = String::new();
        let authority = loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                bail!("{} ended before it served: {said}", command.get_program().display());
            }
            said.push_str(&line);
            if let Some((_, rest)) = line.split_once("http://") {
                break rest.chars().take_while(|c| c.is_ascii_digit() || matches!(c, '.' | ':')).collect();
            }
        };
        // What it prints later must not fill the pipe.
        std::thread::spawn(move || lines.read_to_end(&mut Vec::new()).ok());
        let mut served = Self { child, _stdin: stdin, authority, ready_in: Duration::ZERO };
        if let Some(path) = ready_path {
            served.wait_until_ready(path)?;
        }
        served.ready_in = start.elapsed();
        Ok(served)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in MB.
    pub(crate) fn resident_mb(&self) -> f64 {
        memory_mb(self.pid(), "VmRSS:")
    }

    /// The peak of its resident memory, in MB.
    pub(crate) fn peak_mb(&self) -> f64 {
        memory_mb(self.pid(), "VmHWM:")
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(&mut self) -> anyhow::Result<()> {
        Command::new("kill").args(["-TERM", &self.pid().to_string()]).status()?;
        let deadline = Instant::now() + Duration::from_secs(30);
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the service did not stop within 30 s");
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    fn wait_until_ready(&self, path: &str) -> anyhow::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n");
        let deadline = Instant::now() + Duration::from_secs(30);
        while Instant::now() < deadline {
            let status = runtime.block_on(async {
                let mut connection = crate::client::Connection::open(&self.authority).await?;
                connection.call(request.as_bytes()).await.map(|answer| answer.status)
            });
            if matches!(status, Ok(200)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        bail!("the service was not ready within 30 s")
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A line of `/proc/PID/status`, which counts in kB of 1,024 bytes, in MB of a million.
pub(crate) fn memory_mb(pid: u32, line: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let kib: Option<f64> = status
        .lines()
        .find_map(|found| found.strip_prefix(line)?.trim().strip_suffix(" kB")?.trim().parse().ok());
    kib.unwrap_or(0.0) * 1024.0 / 1e6
}

/// The service's binary of the build that this program belongs to.
pub(crate) fn beside_this() -> PathBuf {
    std::env::current_exe().unwrap_or_default().with_file_name("balance")
}

/// Where the binary is, whatever the folder of the process that starts it.
pub(crate) fn found(binary: &Path) -> anyhow::Result<PathBuf> {
    let missing = || format!("{} is missing: cargo build --profile dist -p balance-app", binary.display());
    binary.canonicalize().with_context(missing)
}

/// A command for the binary with only the given settings, none of the caller's.
pub(crate) fn balance(binary: &Path, settings: &[(String, String)], arguments: &[&str]) -> Command {
    let mut command = Command::new(binary);
    let inherited: Vec<_> = std::env::vars().filter(|(name, _)| name.starts_with("BALANCE_")).collect();
    for (name, _) in inherited {
        command.env_remove(name);
    }
    command.envs(settings.iter().cloned()).args(arguments);
    command
}

/// CPU seconds of a process and all that it started, by process id.
pub(crate) fn cpu_seconds(root: u32) -> f64 {
    let mut parents = HashMap::new();
    let mut ticks = HashMap::new();
    for entry in std::fs::read_dir("/proc").into_iter().flatten().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<u32>() else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let Some((_, rest)) = stat.rsplit_once(") ") else { continue };
        let fields: Vec<&str> = rest.split(' ').collect();
        let number = |at: usize| fields.get(at).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
        parents.insert(pid, u32::try_from(number(1)).unwrap_or(0));
        // utime and stime; cutime and cstime belong to children that have ended.
        ticks.insert(pid, number(11) + number(12) + number(13) + number(14));
    }
    let belongs = |mut pid: u32| loop {
        if pid == root {
            return true;
        }
        match parents.get(&pid) {
            Some(&parent) if parent != 0 => pid = parent,
            _ => return false,
        }
    };
    // Linux counts in hundredths of a second for every user process.
    ticks.iter().filter(|(pid, _)| belongs(**pid)).map(|(_, ticks)| *ticks as f64 / 100.0).sum()
}

/// How many cores this process may use.
pub(crate) fn cores() -> f64 {
    std::thread::available_parallelism().map_or(1.0, |cores| cores.get() as f64)
}

/// Measures what other processes do while a benchmark runs, because figures of a busy machine mean little.
pub(crate) struct OthersWatch {
    database_pid: Option<u32>,
    start: Instant,
    busy: f64,
    ours: f64,
}

impl OthersWatch {
    pub(crate) fn start(database_pid: Option<u32>) -> Self {
        Self { database_pid, start: Instant::now(), busy: busy_seconds(), ours: our_seconds(database_pid) }
    }

    /// What part of all cores' time went to others since the start, 0 to 1. Time stolen by a host counts as theirs.
    pub(crate) fn share(&self) -> f64 {
        let theirs = busy_seconds() - self.busy - (our_seconds(self.database_pid) - self.ours);
        (theirs / (self.start.elapsed().as_secs_f64() * cores())).clamp(0.0, 1.0)
    }
}

/// This process, all that it started, and the database wherever it came from.
fn our_seconds(database_pid: Option<u32>) -> f64 {
    let own = std::process::id();
    let started = cpu_seconds(own);
    let foreign = database_pid.filter(|pid| !descends(*pid, own));
    started + foreign.map_or(0.0, cpu_seconds)
}

fn descends(mut pid: u32, from: u32) -> bool {
    loop {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let parent = stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        match parent {
            Some(parent) if parent == from => return true,
            Some(parent) if parent != 0 => pid = parent,
            _ => return false,
        }
    }
}

/// All that the cores did not spend idle or waiting for a disk, by the first line of `/proc/stat`.
fn busy_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    let fields: Vec<f64> = stat
        .lines()
        .next()
        .map(|line| line.split_whitespace().skip(1).filter_map(|field| field.parse().ok()).collect())
        .unwrap_or_default();
    // user, nice, system, idle, iowait, irq, softirq, steal; what follows is part of user already.
    let busy = fields.iter().take(8).enumerate().filter(|(at, _)| !matches!(at, 3 | 4));
    busy.map(|(_, ticks)| ticks / 100.0).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_work_is_not_that_of_others() {
        let watch = OthersWatch::start(None);
        let (busy, ours) = (busy_seconds(), our_seconds(None));
        let end = Instant::now() + Duration::from_millis(300);
        let mut number = 0_u64;
        while Instant::now() < end {
            number = std::hint::black_box(number + 1);
        }
        let (busy, ours) = (busy_seconds() - busy, our_seconds(None) - ours);
        assert!(ours > 0.05, "what this process does is ours: {ours} s");
        assert!(busy >= ours - 0.05, "and the cores were busy with it: {busy} s");
        assert!((0.0..=1.0).contains(&watch.share()));
    }

    #[test]
    fn children_are_ours() {
        let child = Command::new("sleep").arg("5").stdin(Stdio::null()).spawn();
        let mut child = child.unwrap();
        assert!(descends(child.id(), std::process::id()) && !descends(1, std::process::id()));
        child.kill().unwrap();
        child.wait().unwrap();
    }
}
