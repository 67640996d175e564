//! One account that nine of ten deposits are for: what that does to the throughput, and to the others.

use super::{
    Findings, Group, TargetsArgs,
    line::{Bound, Line, rate},
};
use crate::{
    measure::Meter,
    report::{Row, median, ratio},
    subject::Subject,
    workload::Workload,
};

const CONNECTIONS: usize = 64;

/// In each round: one connection alone, the uniform load, the load with a hot account, and the rooflines.
pub(super) fn measure(
    args: &TargetsArgs,
    meter: &mut Meter,
    subject: &Subject,
    findings: &mut Findings,
) -> anyhow::Result<()> {
    let mut alone = Row::new(subject.name, Workload::Deposit, 1);
    let mut uniform = Row::new(subject.name, Workload::Deposit, CONNECTIONS);
    let mut hot = Row::new(subject.name, Workload::HotAccount, CONNECTIONS);
    for _ in 0..meter.rounds() {
        let roofline = meter.roofline(Workload::Deposit, 1)?;
        meter.round(subject, &mut alone, &roofline, None)?;
        let roofline = meter.roofline(Workload::Deposit, CONNECTIONS)?;
        meter.round(subject, &mut uniform, &roofline, None)?;
        meter.round(subject, &mut hot, &roofline, None)?;
    }
    let throughput = ratio(hot.requests_per_second(), uniform.requests_per_second());
    findings.lines.push(Line {
        name: format!("One hot account with 90 % of deposits, {CONNECTIONS} connections"),
        wanted: "≥ 0.8 of the uniform throughput".into(),
        measured: format!(
            "{} of {}",
            rate(median(hot.requests_per_second())),
            rate(median(uniform.requests_per_second()))
        ),
        ratio: throughput,
        met: Bound::AtLeast(0.8).is_met_by_some(throughput),
        command: args.command(Group::Hot),
    });
    let others = ratio(hot.others_p99_ms(), uniform.p99_ms());
    findings.lines.push(Line {
        name: "p99 of the others beside a hot account".into(),
        wanted: format!("≤ 3 times that of {CONNECTIONS} connections without one"),
        measured: format!(
            "{:.2} ms beside {:.2} ms; one connection alone {:.2} ms, {:.1} times",
            median(hot.others_p99_ms()),
            median(uniform.p99_ms()),
            median(alone.p99_ms()),
            ratio(hot.others_p99_ms(), alone.p99_ms()).unwrap_or(f64::NAN)
        ),
        ratio: others,
        met: Bound::AtMost(3.0).is_met_by_some(others),
        command: args.command(Group::Hot),
    });
    findings.keep(&[alone, uniform, hot]);
    Ok(())
}
