//! How soon a service is ready, and how much memory it takes.

use std::time::Duration;

use super::{
    Findings, Group, TargetsArgs,
    line::{Bound, Line},
};
use crate::subject::Subject;

const IDLE_MB_MAX: f64 = 50.0;
const LOADED_MB_MAX: f64 = 200.0;
const START_SECONDS_MAX: f64 = 1.0;

/// Restarts the service, and reads its memory before the first request.
pub(super) fn idle(args: &TargetsArgs, subject: &mut Subject, findings: &mut Findings) -> anyhow::Result<()> {
    findings.lines.push(start(args, Group::Memory, subject)?);
    std::thread::sleep(Duration::from_secs(1));
    let idle = subject.served().resident_mb();
    findings.lines.push(Line {
        name: "Memory after the start, idle".into(),
        wanted: format!("≤ {IDLE_MB_MAX} MB"),
        measured: format!("{idle:.0} MB"),
        ratio: None,
        met: Bound::AtMost(IDLE_MB_MAX).is_met_by(idle),
        command: args.command(Group::Memory),
    });
    Ok(())
}

/// From the start of the process until `/health/ready` answers 200, on the books as they are.
pub(super) fn start(args: &TargetsArgs, group: Group, subject: &mut Subject) -> anyhow::Result<Line> {
    let seconds = subject.restart()?.as_secs_f64();
    Ok(Line {
        name: format!("Start on the {} store until ready", subject.name),
        wanted: format!("≤ {START_SECONDS_MAX} s"),
        measured: format!("{seconds:.3} s with {} accounts", subject.users),
        ratio: None,
        met: Bound::AtMost(START_SECONDS_MAX).is_met_by(seconds),
        command: args.command(group),
    })
}

/// The peak of a service under any load of the run.
pub(super) fn loaded(args: &TargetsArgs, findings: &mut Findings) {
    let peak = findings.peak_mb;
    findings.lines.push(Line {
        name: "Memory under load, at its peak".into(),
        wanted: format!("≤ {LOADED_MB_MAX} MB"),
        measured: format!("{peak:.0} MB"),
        ratio: None,
        met: Bound::AtMost(LOADED_MB_MAX).is_met_by(peak),
        command: args.command(Group::Memory).replace(" --only memory", ""),
    });
}
