//! The revenue report of a large month over HTTP beside writes: its time, its memory, and the latency of the
//! writes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use serde::Deserialize;

use super::{
    Findings, Group, TargetsArgs,
    line::{Bound, Line},
};
use crate::{
    drive::{Load, drive, quantile_ms},
    grow::PRICE,
    measure::Meter,
    process::memory_mb,
    subject::{Caller, Subject},
    workload::Workload,
};

const SECONDS_MAX: f64 = 5.0;
/// More than this is not called flat.
const MEMORY_MB_MAX: f64 = 20.0;
const CONNECTIONS: usize = 16;
/// Longer than any report may take.
const PATIENCE: Duration = Duration::from_mins(2);

/// What `POST /api/v1/reports/revenue` answers.
#[derive(Deserialize)]
struct Built {
    total: i64,
}

pub(super) fn measure(
    args: &TargetsArgs,
    meter: &mut Meter,
    subject: &Subject,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let rate = Some(args.write_rate);
    let quiet = Load { rate, ..meter.load(subject, Workload::Deposit, CONNECTIONS) };
    let without_ms = quantile_ms(&drive(&quiet)?.latency, 0.99);

    let before_mb = subject.served().resident_mb();
    let done = Arc::new(AtomicBool::new(false));
    let busy = Load {
        rate,
        duration: PATIENCE,
        stop: Some(Arc::clone(&done)),
        ..meter.load(subject, Workload::Deposit, CONNECTIONS)
    };
    let watch = watch_memory(subject.served().pid(), Arc::clone(&done));
    let mut caller = Caller::new(subject)?;
    let body = format!(r#"{{"month":"{}"}}"#, args.size.month);
    let building = thread::spawn(move || build(&mut caller, &body, &done));
    let with_ms = quantile_ms(&drive(&busy)?.latency, 0.99);
    let (seconds, built) = building.join().map_err(|_| anyhow!("the report's thread failed"))??;
    let peak_mb = watch.join().map_err(|_| anyhow!("the memory's thread failed"))?;
    let after_mb = subject.served().resident_mb();

    findings.lines.push(Line {
        name: "Report of a month over HTTP while writes go on".into(),
        wanted: format!("≤ {SECONDS_MAX} s"),
        measured: format!(
            "{seconds:.2} s for {} captures; p99 of {} writes/s {without_ms:.1} ms without and {with_ms:.1} ms with it",
            built.total / PRICE,
            args.write_rate
        ),
        ratio: None,
        met: Bound::AtMost(SECONDS_MAX).is_met_by(seconds),
        command: args.command(Group::Size),
    });
    findings.lines.push(Line {
        name: "Memory of the service while the report is built".into(),
        wanted: format!("flat, ≤ {MEMORY_MB_MAX} MB more"),
        measured: format!("{before_mb:.0} MB before, {peak_mb:.0} MB at the peak, {after_mb:.0} MB after"),
        ratio: None,
        met: Bound::AtMost(MEMORY_MB_MAX).is_met_by(peak_mb - before_mb),
        command: args.command(Group::Size),
    });
    Ok(())
}

/// Starts half a second after the writes, and ends them half a second later, whatever the result.
fn build(caller: &mut Caller, body: &str, done: &AtomicBool) -> anyhow::Result<(f64, Built)> {
    thread::sleep(Duration::from_millis(500));
    let start = Instant::now();
    let answer = caller.post("/api/v1/reports/revenue", body);
    let seconds = start.elapsed().as_secs_f64();
    thread::sleep(Duration::from_millis(500));
    done.store(true, Ordering::Relaxed);
    let built = serde_json::from_str(&answer?).context("the report's answer")?;
    Ok((seconds, built))
}

/// The peak of resident memory of a process, sampled every 10 ms until the end.
fn watch_memory(pid: u32, done: Arc<AtomicBool>) -> thread::JoinHandle<f64> {
    thread::spawn(move || {
        let mut peak = 0.0_f64;
        while !done.load(Ordering::Relaxed) {
            peak = peak.max(memory_mb(pid, "VmRSS:"));
            thread::sleep(Duration::from_millis(10));
        }
        peak
    })
}
