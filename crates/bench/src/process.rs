//! The processes under measurement: started here, stopped here, and their CPU time read from `/proc`.

use std::{
    collections::HashMap,
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context, bail};

/// A server on a loopback port. Killed when dropped.
pub(crate) struct Served {
    child: Child,
    _stdin: Option<ChildStdin>,
    pub(crate) authority: String,
}

impl Served {
    /// Starts the command and waits until it prints its address on standard error and, with `ready_path`, answers 200 there.
    pub(crate) fn start(mut command: Command, ready_path: Option<&str>) -> anyhow::Result<Self> {
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
        let served = Self { child, _stdin: stdin, authority };
        if let Some(path) = ready_path {
            served.wait_until_ready(path)?;
        }
        Ok(served)
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Resident memory in MiB.
    pub(crate) fn resident_mib(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap_or_default();
        let kib = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:")?.trim().strip_suffix(" kB")?.parse().ok());
        kib.unwrap_or(0.0) / 1024.0
    }

    /// Asks it to stop and waits until it has.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
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
        let request = format!("GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n");
        for _ in 0..300 {
            let status = runtime.block_on(async {
                let mut connection = crate::client::Connection::open(&self.authority).await?;
                connection.call(request.as_bytes()).await.map(|answer| answer.status)
            });
            if matches!(status, Ok(200)) {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
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
