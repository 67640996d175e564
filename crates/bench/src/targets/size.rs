//! A large store beside an empty one: throughput, pages of a long history, the report of a large month, start.

use super::{
    Findings, Group, TargetsArgs,
    line::{Bound, Line, rate},
    report, start,
};
use crate::{
    drive::{Load, drive},
    grow::Grown,
    history::{self, Filter, Sort},
    measure::Meter,
    report::{median, ratio},
    subject::Subject,
    workload::Workload,
};

/// How often the bar moves in a round.
pub(super) const MEASUREMENTS: u64 = 2 * 6 * 3;

const WORKLOADS: [Workload; 3] = [Workload::Deposit, Workload::ReserveCapture, Workload::BalanceRead];
const PAGE_MS_MAX: f64 = 20.0;
/// Connections that read pages: few, because it is the time of a page that counts.
const READERS: usize = 4;

pub(super) fn measure(
    args: &TargetsArgs,
    meter: &mut Meter,
    empty: &Subject,
    grown: &mut Subject,
    facts: &Grown,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    findings.lines.push(start::start(args, Group::Size, grown)?);
    report::measure(args, meter, grown, findings)?;
    pages(args, meter, grown, facts, findings)?;
    warm_up(args, meter, [empty, grown])?;
    throughput(args, meter, [empty, grown], "any account", findings)?;
    // As many as the empty store has: what differs is the size of the store alone.
    grown.active = Some(args.users);
    warm_up(args, meter, [empty, grown])?;
    throughput(args, meter, [empty, grown], &format!("{} active accounts", args.users), findings)
}

/// Warms up both stores, for as long as was requested.
fn warm_up(args: &TargetsArgs, meter: &mut Meter, subjects: [&Subject; 2]) -> anyhow::Result<()> {
    let Some(duration) = args.warm_up() else { return Ok(()) };
    meter.bar().set_message("warming up");
    for subject in subjects {
        drive(&Load { duration, ..meter.load(subject, Workload::Deposit, 256) })?;
    }
    meter.bar().set_message("measuring");
    Ok(())
}

fn throughput(
    args: &TargetsArgs,
    meter: &mut Meter,
    subjects: [&Subject; 2],
    whom: &str,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    for workload in WORKLOADS {
        for connections in [64, 256] {
            let rows = meter.measure(&subjects, workload, connections, None)?;
            findings.keep(&rows);
            let [empty, grown] = &rows[..] else { continue };
            let kept = ratio(grown.requests_per_second(), empty.requests_per_second());
            findings.lines.push(Line {
                name: format!(
                    "At size, {}, {whom}, {connections} connections{}",
                    workload.name(),
                    args.warmed()
                ),
                wanted: "≥ 0.8 of the empty store's throughput".into(),
                measured: format!(
                    "{} of {}",
                    rate(median(grown.requests_per_second())),
                    rate(median(empty.requests_per_second()))
                ),
                ratio: kept,
                met: Bound::AtLeast(0.8).is_met_by_some(kept),
                command: args.command(Group::Size),
            });
        }
    }
    Ok(())
}

/// Every order, plain and with each filter; of the filters the slowest counts.
fn pages(
    args: &TargetsArgs,
    meter: &Meter,
    grown: &Subject,
    facts: &Grown,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    for sort in Sort::ALL {
        let name = format!("Page of a history of {} operations, sort={}", facts.long_history, sort.name());
        for (what, filters) in [("p99", &[Filter::Plain][..]), ("filtered, p99", &Filter::ALL[..])] {
            let mut slowest = 0.0_f64;
            let mut measured = Vec::new();
            for &filter in filters {
                let pages = history::read(grown, args.size.month, sort, filter, READERS, meter.duration())?;
                slowest = slowest.max(pages.p99_ms);
                measured.push(format!("{} {:.2} ms of {} pages", filter.name(), pages.p99_ms, pages.count));
            }
            findings.lines.push(Line {
                name: format!("{name}, {what}"),
                wanted: format!("≤ {PAGE_MS_MAX} ms"),
                measured: measured.join(", "),
                ratio: None,
                met: Bound::AtMost(PAGE_MS_MAX).is_met_by(slowest),
                command: args.command(Group::Size),
            });
        }
    }
    Ok(())
}
