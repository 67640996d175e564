//! Signals to processes that this tool started.

use std::fs;

use anyhow::Context;
pub use rustix::process::Signal;
use rustix::process::{Pid, kill_process};

/// Sends a signal to one process.
pub fn send(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let pid = i32::try_from(pid).ok().and_then(Pid::from_raw).context("no such process id")?;
    kill_process(pid, signal).with_context(|| format!("signalling {pid:?}"))
}

/// Sends a signal to a process and its children: a database server with all its backends.
pub fn send_to_family(pid: u32, signal: Signal) -> anyhow::Result<()> {
    send(pid, signal)?;
    for child in children(pid) {
        // A backend may end on its own in between.
        drop(send(child, signal));
    }
    Ok(())
}

fn children(parent: u32) -> Vec<u32> {
    let is_child = |pid: &u32| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        // The name stands in brackets and may hold anything; after it come the state and the parent.
        let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
        after_name.split_whitespace().nth(1).and_then(|field| field.parse().ok()) == Some(parent)
    };
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_child).collect()
}
